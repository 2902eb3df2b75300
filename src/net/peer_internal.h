/*
 * peer_internal.h: what peer.c (the whole, and sending) and peer_in.c (receiving) share; private to src/net.
 */
#ifndef PGVIGIL_NET_PEER_INTERNAL_H
#define PGVIGIL_NET_PEER_INTERNAL_H

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/peer.h"
#include "sys/log.h"

/* A member as long as it is in the list, or a send to it is under way. */
typedef struct PeerTarget {
    char name[AUTH_NAME_LEN];
    char *host;
    uint16_t port;
    uint64_t seq; /* of the last request to it */
    int under_way;
    bool listed;
    bool failing; /* the newest request was not answered */
    int64_t refused_us,
        authentic_us; /* boot clock: a MAC was wrong, one was right; last, in either direction */
    LogLimit failing_limit, answers_limit;
} PeerTarget;

struct PeerNet {
    PeerNetOptions options; /* callbacks and arg only; the rest is kept below */
    AuthKeys keys;
    char cluster[AUTH_NAME_LEN];
    char self[AUTH_NAME_LEN];
    unsigned char *secret;
    Auth *auth;
    HttpServer *server;
    HttpClient *client;
    PeerTarget *target[MEMBER_MAX];
    int target_count;
    uint64_t
        seq_most; /* the highest of any member: where one that is added begins, lest a name's count restart */
    PeerCounters counters;
    LogLimit refused_limit[AUTH_REASONS];
    LogLimit answer_limit;
    const char *send_path; /* where the others hear us */
    bool shares_client;
    unsigned under_way; /* sends, to all */
    bool ending;
};

#define PEER_SECRET_CURE "[cluster] secret has to be the same on both: copy the file, and restart pgvigil"

/* The target of that name, or NULL. */
PeerTarget *peer_find(const PeerNet *net, const char *name);

/* Starts listening. */
bool peer_in_start(PeerNet *net, uv_loop_t *loop, const PeerNetOptions *options, Err *err);

#endif
