/*
 * client.h: asking members and giving them orders.
 *
 * Questions go to the public port and need no secret, orders to the agent port and do. Each request has a
 * deadline, so that a verb never hangs on a dead member.
 */
#ifndef PGVIGIL_CLI_CLIENT_H
#define PGVIGIL_CLI_CLIENT_H

#include "cli/call.h"
#include "config/config.h"

#include <jansson.h>

#define CLIENT_GET_TIMEOUT_MS 1500

typedef struct Client {
    Config *config;
    int pinned;             /* index of --member's, or -1 */
    int64_t leader_wait_ms; /* an order waits so long for a leader to be elected */
    int answered;           /* index of the member that cluster came from */
    json_t *cluster;        /* the newest answer of /v1/cluster, or NULL */
} Client;

/* Loads the configuration and finds --member in it. On failure there is nothing to give back. */
bool client_open(Client *client, const Call *call, Err *err);

/* The same, and an observer's file is good, too: then there is nothing to ask members by. */
bool client_open_either(Client *client, const Call *call, Err *err);

void client_done(Client *client);

/* GET of path from one member's public port; *ret_json is the caller's. ERR_NET or ERR_PROTOCOL names the
 * member. */
bool client_get(const Client *client, int member, const char *path, json_t **ret_json, Err *err);

/*
 * GET of path from --member's, else from the first that answers, beginning with the member on this machine.
 * *ret_member may be NULL.
 */
bool client_get_any(const Client *client, const char *path, json_t **ret_json, int *ret_member, Err *err);

/*
 * Fills client->cluster: without --member the leader's own view if it answers, else that of any member. Where
 * who is asked first knows no leader with a lease, the others are asked for one.
 * ERR_NET if nobody answered.
 */
bool client_ask_cluster(Client *client, Err *err);

/* Index of the member that client->cluster names as leader, or -1; a leader that says that its lease is gone
 * is none. */
int client_leader(const Client *client);

/* Index of a member of that name. -1 with ERR_CONFIG if the configuration has none. */
int client_find(const Client *client, const char *name, Err *err);

/*
 * The member that an order goes to: --member's, else the leader (the cluster is asked if that was not done
 * yet). While nobody leads it waits leader_wait_ms for one, and says so on standard error: an election takes
 * about a second. -1 with ERR_NET if nobody answered, or still nobody leads: then with what a member says of
 * the election.
 */
int client_receiver(Client *client, Err *err);

typedef struct ClientAnswer {
    int64_t id;     /* of the operation; 0: none */
    char state[16]; /* "started", "done" or "refused" */
    char text[300];
} ClientAnswer;

/*
 * POST of a command to a member's agent port, with the secret; takes body over. True if it was answered,
 * whatever the answer is.
 */
bool client_command(Client *client, int member, json_t *body, ClientAnswer *ret_answer, Err *err);

#endif
