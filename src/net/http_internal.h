/*
 * http_internal.h: what http.c and http_server.c share; private to src/net.
 */
#ifndef PGVIGIL_NET_HTTP_INTERNAL_H
#define PGVIGIL_NET_HTTP_INTERNAL_H

#include "base/str.h"
#include "base/types.h"
#include "net/http_server.h"
#include "sys/loop.h"

#include <microhttpd.h>

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

typedef struct HttpHeld {
    HttpRequest *request; /* NULL: free */
    uint32_t generation;  /* rises with each use, so that a token is never seen twice */
    Clock since;
} HttpHeld;

struct HttpServer {
    HttpServerOptions options; /* address is not kept */
    struct MHD_Daemon *daemon;
    uint16_t port;
    unsigned connected; /* connections at this moment; only the thread that runs the daemon counts */
    uv_poll_t *poll;    /* of the daemon's epoll descriptor; NULL with a thread of its own */
    LoopTimer timer;    /* when libmicrohttpd wants to be run */
    LoopTimer held_timer;
    HttpRequest *free; /* requests are kept with their buffers: no allocation in the steady state */
    unsigned free_count;
    unsigned held_count;
    HttpHeld held[HTTP_SERVER_HELD_MAX];
};

/* Answers those that waited too long, and starts the timer for the next ones. */
void http_expire_held(HttpServer *server);

/* Answers all that wait. */
void http_end_held(HttpServer *server, int status);

#endif
