/*
 * http.c: a request's contents, its answer, and waiting for it.
 *
 * A request is suspended only if the handler returned without an answer: most are answered at once, and
 * libmicrohttpd then need not touch its epoll set.
 */
#include "net/http.h"

#include "net/http_internal.h"
#include "sys/clock.h"

#include <assert.h>
#include <netdb.h>
#include <string.h>

#define SLOT_BITS 8
_Static_assert(HTTP_SERVER_HELD_MAX <= 1 << SLOT_BITS, "a slot fits into its bits of a token");

const char *http_request_method(const HttpRequest *request)
{
    return request->method;
}

const char *http_request_path(const HttpRequest *request)
{
    return request->path;
}

const char *http_request_header(const HttpRequest *request, const char *name)
{
    const char *value = NULL;

    if (MHD_lookup_connection_value_n(request->connection, MHD_HEADER_KIND, name, strlen(name), &value,
                                      NULL) != MHD_YES)
        return NULL;
    return value != NULL ? value : "";
}

const char *http_request_argument(const HttpRequest *request, const char *name)
{
    const char *value = NULL;

    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
                                      NULL) != MHD_YES)
        return NULL;
    return value != NULL ? value : "";
}

typedef struct Arguments {
    HttpArgumentFn *on_argument;
    void *arg;
} Arguments;

static enum MHD_Result on_argument(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
    const Arguments *arguments = cls;

    (void) kind;
    return arguments->on_argument(arguments->arg, name, value != NULL ? value : "") ? MHD_YES : MHD_NO;
}

void http_request_arguments(const HttpRequest *request, HttpArgumentFn *function, void *arg)
{
    Arguments arguments = {function, arg};

    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, on_argument, &arguments);
}

const char *http_request_body(const HttpRequest *request, size_t *ret_len)
{
    *ret_len = request->body.len;
    return request->body.len > 0 ? request->body.data : "";
}

bool http_request_is_local(const HttpRequest *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage own, peer;
    socklen_t own_len = sizeof own, peer_len = sizeof peer;

    if (info == NULL || getsockname(info->connect_fd, (struct sockaddr *) &own, &own_len) != 0 ||
        getpeername(info->connect_fd, (struct sockaddr *) &peer, &peer_len) != 0 ||
        own.ss_family != peer.ss_family)
        return false;
    if (own.ss_family == AF_INET)
        return ((struct sockaddr_in *) &own)->sin_addr.s_addr ==
               ((struct sockaddr_in *) &peer)->sin_addr.s_addr;
    return own.ss_family == AF_INET6 &&
           memcmp(&((struct sockaddr_in6 *) &own)->sin6_addr, &((struct sockaddr_in6 *) &peer)->sin6_addr,
                  sizeof(struct in6_addr)) == 0;
}

const char *http_request_peer(const HttpRequest *request, char *ret_text, size_t size)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
    socklen_t len = address != NULL && address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                      : sizeof(struct sockaddr_in);

    if (address == NULL ||
        getnameinfo(address, len, ret_text, (socklen_t) size, NULL, 0, NI_NUMERICHOST) != 0)
        str_copy(ret_text, size, "?");
    return ret_text;
}

uint32_t http_request_hold(HttpRequest *request)
{
    HttpServer *server = request->server;
    int slot = 0;

    assert(request->slot < 0 && !request->responded);
    if (server->poll == NULL || server->stopping || server->held_count >= server->options.held_max)
        return 0;
    while (server->held[slot].request != NULL)
        slot++;
    HttpHeld *held = &server->held[slot];
    held->generation = held->generation % (UINT32_MAX >> SLOT_BITS) + 1;
    held->request = request;
    held->since = clock_now();
    request->slot = slot;
    server->held_count++;
    if (!loop_timer_is_running(&server->held_timer))
        loop_timer_start(&server->held_timer, server->options.held_timeout_ms * US_PER_MS, 0);
    return held->generation << SLOT_BITS | (uint32_t) slot;
}

HttpRequest *http_request_held(HttpServer *server, uint32_t token)
{
    const HttpHeld *held = &server->held[token & ((1u << SLOT_BITS) - 1)];

    return held->request != NULL && held->generation == token >> SLOT_BITS ? held->request : NULL;
}

static void release_slot(HttpRequest *request)
{
    if (request->slot < 0)
        return;
    request->server->held[request->slot].request = NULL;
    request->server->held_count--;
    request->slot = -1;
}

void http_respond(HttpRequest *request, int status, const char *content_type, const char *body, size_t len,
                  const HttpHeader *headers)
{
    assert(!request->responded);
    release_slot(request);
    request->responded = true;
    /* The cast is libmicrohttpd's interface: it copies. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, len > 0 ? (void *) (uintptr_t) body : "", MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        if (content_type != NULL)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        for (const HttpHeader *h = headers; h != NULL && h->name != NULL; h++)
            MHD_add_response_header(response, h->name, h->value);
        MHD_queue_response(request->connection, (unsigned) status, response);
        MHD_destroy_response(response);
    }
    /* If memory ran out, libmicrohttpd asks again for the answer, and the connection is closed there. */
    if (request->suspended) {
        request->suspended = false;
        http_links_wait(request->connection, false);
        HttpServer *server = request->server;
        MHD_resume_connection(request->connection);
        loop_timer_start(&server->timer, 0, 0); /* nothing else would make it run */
    }
}

void http_expire_held(HttpServer *server)
{
    Clock now = clock_now();
    int64_t timeout_us = server->options.held_timeout_ms * US_PER_MS, next_us = timeout_us;

    for (int i = 0; i < HTTP_SERVER_HELD_MAX; i++) {
        HttpRequest *request = server->held[i].request;
        if (request == NULL)
            continue;
        int64_t left_us = timeout_us - clock_elapsed_least(&server->held[i].since, &now);
        if (left_us <= 0)
            http_respond(request, server->options.held_status, NULL, NULL, 0, NULL);
        else if (left_us < next_us)
            next_us = left_us;
    }
    if (server->held_count > 0)
        loop_timer_start(&server->held_timer, next_us, 0);
}

void http_end_held(HttpServer *server, int status)
{
    for (int i = 0; i < HTTP_SERVER_HELD_MAX; i++) {
        if (server->held[i].request != NULL)
            http_respond(server->held[i].request, status, NULL, NULL, 0, NULL);
    }
}
