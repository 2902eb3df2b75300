/*
 * http_server.h: a listener for HTTP/1.1, either on the loop's own thread or in a thread of its own.
 *
 * The handler is called once per request, when all of it is there; it answers with http_respond or takes a
 * token with http_request_hold. One that does neither is answered with 500.
 */
#ifndef PGVIGIL_NET_HTTP_SERVER_H
#define PGVIGIL_NET_HTTP_SERVER_H

#include "base/err.h"
#include "net/http.h"

#include <stdatomic.h>
#include <uv.h>

#define HTTP_SERVER_HELD_MAX 256

struct HttpTls;

/* Since the start; read them from any thread. */
typedef struct HttpServerCounters {
    atomic_ulong requests; /* answered */
    atomic_ulong refused;  /* connections closed at once, because too many were there */
    atomic_ulong shut;     /* connections closed in the middle: idle or slow, and in the way */
    atomic_uint connected; /* connections at this moment */
} HttpServerCounters;

typedef void HttpHandler(void *arg, HttpRequest *request);

typedef struct HttpServerOptions {
    const char *address; /* numeric, IPv4 or IPv6; "::" hears both */
    uint16_t port;       /* 0: any free one, see http_server_port */
    uv_loop_t *loop;     /* NULL: the server runs and calls its handler in a thread of its own */
    /*
     * Most connections at a time; 0: 64. One more: the one that has not finished a request for longest is
     * closed for it, if that is a second at least, so that idle and slow clients keep nobody out; else the
     * new one is.
     */
    unsigned connections;
    unsigned timeout_s;      /* a connection that is idle or stuck for so long is closed. 0: 30 */
    struct HttpTls *tls;     /* the server's from then on, if it starts; NULL: no TLS */
    size_t body_max;         /* bytes; a longer body is answered with 413. 0: 64 KiB */
    unsigned held_max;       /* at most HTTP_SERVER_HELD_MAX, 0: 64 */
    int64_t held_timeout_ms; /* 0: 5000 */
    int held_status;         /* the answer when that passed. 0: 503 */
    HttpHandler *handler;
    HttpHandler *on_too_large; /* told of each 413, whose answer is the server's; or NULL */
    void *arg;
} HttpServerOptions;

/*
 * Listens, or NULL with ERR_CONFIG: a wrong address, or a port in use or not allowed, with the cure. The
 * options may go away afterwards.
 */
HttpServer *http_server_start(const HttpServerOptions *options, Err *err);

/*
 * Answers held requests with 503, closes all connections and frees the server; a thread of its own has ended
 * on return. Not from within the handler. NULL: nothing.
 */
void http_server_stop(HttpServer *server);

/*
 * Connections that begin from now on go by these credentials, which are the server's then, or without TLS if
 * they are NULL; those that are open go on by theirs, or end where TLS begins or ends, and held requests with
 * them (503). Not from within the handler. False with ERR_NET: nobody listens any more; the
 * server can only be stopped.
 */
bool http_server_set_tls(HttpServer *server, struct HttpTls *tls, Err *err);

const HttpServerCounters *http_server_counters(const HttpServer *server);

/* The port that it listens on. */
uint16_t http_server_port(const HttpServer *server);

#endif
