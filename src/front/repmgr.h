/*
 * repmgr.h: what `repmgr cluster show` says, in the forms of repmgr 3 and of repmgr 4 and 5; private to
 * src/front.
 */
#ifndef PGVIGIL_FRONT_REPMGR_H
#define PGVIGIL_FRONT_REPMGR_H

#include "base/err.h"

#include <stdint.h>

#define REPMGR_NODES_MAX 64
#define REPMGR_NAME_LEN  64
#define REPMGR_HOST_LEN  256

typedef struct RepmgrNode {
    int64_t id; /* 0: repmgr 3 shows none */
    char name[REPMGR_NAME_LEN];
    char host[REPMGR_HOST_LEN]; /* of its connection string; "" if that has none */
    uint16_t port;
    bool is_primary; /* it runs as one now, whatever it is registered as */
    bool is_standby; /* it runs as one now */
} RepmgrNode;

typedef struct RepmgrCluster {
    int version; /* 3, or 4 for 4 and 5 */
    RepmgrNode nodes[REPMGR_NODES_MAX];
    int count;
} RepmgrCluster;

/* The table. Anything that is not fully understood is ERR_PROTOCOL. Lines around the table are skipped. */
bool repmgr_parse_table(const char *text, RepmgrCluster *ret_cluster, Err *err);

/*
 * The output of --csv of repmgr 4 and 5 (id, availability, recovery): it has to agree with the table about
 * who runs as what, or ERR_PROTOCOL.
 */
bool repmgr_parse_csv(const char *text, const RepmgrCluster *cluster, Err *err);

#endif
