/*
 * http_links.c: a listener's connections: how many there may be, and which have to go.
 *
 * libmicrohttpd's timeout is one of silence: who sends a byte now and then keeps his connection for ever.
 * Here counts when a connection last finished a request; the one that did so longest ago makes room for a new
 * one.
 */
#include "net/http_internal.h"
#include "sys/clock.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* A connection that is younger, or was served since, is not taken from anybody. */
#define SPARED_US US_PER_SEC

#define NICER_BY 5

static void unlink_it(HttpServer *server, HttpLink *link)
{
    *(link->before != NULL ? &link->before->after : &server->first) = link->after;
    *(link->after != NULL ? &link->after->before : &server->last) = link->before;
    link->before = link->after = NULL;
}

static void append(HttpServer *server, HttpLink *link)
{
    link->before = server->last;
    *(server->last != NULL ? &server->last->after : &server->first) = link;
    server->last = link;
}

/* libmicrohttpd sees the end of its socket and does the rest. */
static void shut(HttpServer *server, HttpLink *link)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(link->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    unlink_it(server, link);
    link->shut = true;
    server->closing++;
    atomic_fetch_add(&server->counters.shut, 1);
    if (info != NULL)
        shutdown(info->connect_fd, SHUT_RDWR);
}

/* The one to go: its request is not held (that has a deadline of its own), and nothing was finished for so
 * long. */
static HttpLink *find_stuck(HttpServer *server, int64_t for_us)
{
    Clock now = clock_now();

    for (HttpLink *link = server->first; link != NULL; link = link->after) {
        if (clock_elapsed_least(&link->since, &now) < for_us)
            return NULL;
        if (!link->waits)
            return link;
    }
    return NULL;
}

/*
 * A thread of its own has questions to answer, whose flood must not take the processor from the loop, from
 * PostgreSQL and from a failover. For Linux a thread is what setpriority calls a process. Where it fails,
 * nothing is lost.
 */
static void yield_to_others(HttpServer *server)
{
    if (server->options.loop == NULL && !server->yields)
        (void) setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICER_BY);
    server->yields = true;
}

bool http_links_admit(HttpServer *server)
{
    unsigned most = server->options.connections;
    HttpLink *stuck = NULL;

    yield_to_others(server);
    if (server->connected - server->closing < most)
        return true;
    if (server->connected < 2 * most) /* those that were shut must have gone before still more come */
        stuck = find_stuck(server, SPARED_US);
    if (stuck == NULL) {
        atomic_fetch_add(&server->counters.refused, 1);
        return false;
    }
    shut(server, stuck);
    return true;
}

void http_links_add(HttpServer *server, struct MHD_Connection *connection, void **ret_link)
{
    HttpLink *link = calloc(1, sizeof *link), *stuck;
    bool ok = link != NULL;

    server->connected++;
    atomic_store(&server->counters.connected, server->connected);
    *ret_link = link;
    while ((stuck = find_stuck(server, (int64_t) server->options.timeout_s * US_PER_SEC)) != NULL)
        shut(server, stuck);
    if (ok) {
        link->connection = connection;
        link->since = clock_now();
        append(server, link);
        pthread_mutex_lock(&server->tls_mutex);
        link->tls = http_tls_ref(server->tls);
        pthread_mutex_unlock(&server->tls_mutex);
        ok = link->tls == NULL || http_tls_begin(link->tls, connection);
    }
    if (ok)
        return;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL)
        shutdown(info->connect_fd, SHUT_RDWR);
}

void http_links_remove(HttpServer *server, HttpLink *link)
{
    server->connected--;
    atomic_store(&server->counters.connected, server->connected);
    if (link == NULL)
        return;
    if (link->shut)
        server->closing--;
    else
        unlink_it(server, link);
    http_tls_free(link->tls);
    free(link);
}

static HttpLink *link_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

void http_links_served(HttpServer *server, struct MHD_Connection *connection)
{
    HttpLink *link = link_of(connection);

    atomic_fetch_add_explicit(&server->counters.requests, 1, memory_order_relaxed);
    if (link == NULL || link->shut)
        return;
    unlink_it(server, link);
    link->since = clock_now();
    append(server, link);
}

void http_links_wait(struct MHD_Connection *connection, bool waits)
{
    HttpLink *link = link_of(connection);

    if (link != NULL)
        link->waits = waits;
}
