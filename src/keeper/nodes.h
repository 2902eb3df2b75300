/*
 * nodes.h: who the nodes are, and where to find them; without PostgreSQL.
 */
#ifndef PGVIGIL_KEEPER_NODES_H
#define PGVIGIL_KEEPER_NODES_H

#include "base/err.h"
#include "keeper/name.h"

#define NODE_CONNINFO_LEN 1024
#define NODE_HOST_LEN     256

typedef struct KeeperNode {
    int seqno;
    char name[NODE_NAME_LEN];
    char id[MEMBER_NAME_LEN];
    char conninfo[NODE_CONNINFO_LEN];
    char host[NODE_HOST_LEN]; /* hostaddr if there is one */
    char port[8];
    bool gone; /* not in the table any more, and still a member: it is talked to until it is none */
} KeeperNode;

typedef struct KeeperNodes {
    bool there;         /* the table is */
    int left_out;       /* rows that say something else than a node */
    int left_out_seqno; /* the first of them */
    bool self_left_out; /* this node's own is one of them */
    int count;
    KeeperNode node[MEMBER_MAX]; /* by seqno; those that are gone last */
} KeeperNodes;

/* By id; -1: none. */
int nodes_find(const KeeperNodes *nodes, const char *id);
/* It is in the table. */
bool nodes_has(const KeeperNodes *nodes, const char *id);
/* What people call it; the id if it is none of them. */
const char *nodes_name(const KeeperNodes *nodes, const char *id);
/* How many are in the table. */
int nodes_registered(const KeeperNodes *nodes);
/* Whether others than the primary have votes: with three nodes, or two if the standby is preferred. */
bool nodes_can_elect(const KeeperNodes *nodes, bool standby_votes);
/* Checks a connection string, and finds host and port in it. ERR_CONFIG says what is wrong with it. */
bool nodes_parse(const char *conninfo, KeeperNode *node, Err *err);

#endif
