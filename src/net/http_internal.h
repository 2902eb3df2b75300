/*
 * http_internal.h: what http.c and http_server.c share; private to src/net.
 */
#ifndef PGVIGIL_NET_HTTP_INTERNAL_H
#define PGVIGIL_NET_HTTP_INTERNAL_H

#include "base/str.h"
#include "base/types.h"
#include "net/http_server.h"
#include "net/http_tls.h"
#include "sys/loop.h"

#include <microhttpd.h>
#include <pthread.h>

struct HttpRequest {
    HttpServer *server;
    struct MHD_Connection *connection;
    const char *method; /* libmicrohttpd's, valid as long as the request */
    const char *path;
    Buf body;
    uint64_t body_seen; /* bytes that came, kept or not */
    bool too_large;
    bool handled;   /* the handler was called */
    bool responded; /* an answer is queued, or could not be */
    bool suspended;
    int slot;          /* in held, or -1 */
    HttpRequest *next; /* in the list of free ones */
};

/* A connection, from its first byte to its end. */
typedef struct HttpLink {
    struct HttpLink *before,
        *after; /* in the list: the one without a finished request for longest is first */
    struct MHD_Connection *connection;
    Clock since;  /* it was made, or finished a request */
    bool shut;    /* by us: out of the list, and about to end */
    bool waits;   /* its request is held */
    HttpTls *tls; /* what its session goes by, or NULL */
} HttpLink;

typedef struct HttpHeld {
    HttpRequest *request; /* NULL: free */
    uint32_t generation;  /* rises with each use, so that a token is never seen twice */
    Clock since;
} HttpHeld;

struct HttpServer {
    HttpServerOptions options; /* address is not kept */
    struct MHD_Daemon *daemon;
    uint16_t port;
    HttpLink *first, *last; /* the daemon's thread only, as are the next two */
    unsigned connected;     /* connections at this moment */
    unsigned closing;       /* of these, shut by us */
    bool yields;            /* this thread's priority was lowered */
    pthread_mutex_t tls_mutex;
    HttpTls *tls; /* for new connections; NULL: none */
    HttpServerCounters counters;
    uv_poll_t *poll; /* of the daemon's epoll descriptor; NULL with a thread of its own */
    LoopTimer timer; /* when libmicrohttpd wants to be run */
    LoopTimer held_timer;
    HttpRequest *free; /* requests are kept with their buffers: no allocation in the steady state */
    unsigned free_count;
    bool stopping; /* nothing is held any more */
    unsigned held_count;
    HttpHeld held[HTTP_SERVER_HELD_MAX];
};

/* ---- http_links.c: connections, how many there may be and which have to go ---- */

/* A new connection may come: there is room, or one is shut that has been idle or slow for a while. */
bool http_links_admit(HttpServer *server);
/* It has begun, and those that have been stuck for longer than the timeout are shut; it has ended. */
void http_links_add(HttpServer *server, struct MHD_Connection *connection, void **ret_link);
void http_links_remove(HttpServer *server, HttpLink *link);
/* It finished a request; its request is held, or is not any more. */
void http_links_served(HttpServer *server, struct MHD_Connection *connection);
void http_links_wait(struct MHD_Connection *connection, bool waits);

/* ---- http_tls.c ---- */
HttpTls *http_tls_ref(HttpTls *tls);
/* Makes a connection that has just begun go by these credentials. */
bool http_tls_begin(const HttpTls *tls, struct MHD_Connection *connection);

/* ---- http.c ---- */

/* Answers those that waited too long, and starts the timer for the next ones. */
void http_expire_held(HttpServer *server);

/* Answers all that wait. */
void http_end_held(HttpServer *server, int status);

#endif
