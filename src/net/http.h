/*
 * http.h: one request that the HTTP server hands to its handler, and the answer to it.
 *
 * A request lives until it is answered. One that is held is known by its token from then on, because its
 * deadline can end it at any time.
 */
#ifndef PGVIGIL_NET_HTTP_H
#define PGVIGIL_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PEER_LEN 64

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

/* An array of these ends with one whose name is NULL. */
typedef struct HttpHeader {
    const char *name;
    const char *value;
} HttpHeader;

/* "GET", "POST", "HEAD", "OPTIONS", ...; never NULL. The body of an answer to HEAD is left out by itself. */
const char *http_request_method(const HttpRequest *request);

/* Decoded, without the query; begins with "/". */
const char *http_request_path(const HttpRequest *request);

/* The decoded value of an argument of the query, "" if it has none; NULL if it is not there. */
const char *http_request_argument(const HttpRequest *request, const char *name);

/* Called for each argument of the query, in order, with its decoded name and value ("" if it has none).
 * False: enough. */
typedef bool HttpArgumentFn(void *arg, const char *name, const char *value);
void http_request_arguments(const HttpRequest *request, HttpArgumentFn *on_argument, void *arg);

/* The value of a header, by its name in any case; NULL if it is not there. */
const char *http_request_header(const HttpRequest *request, const char *name);

/* The body, followed by a NUL that is not counted; never NULL. */
const char *http_request_body(const HttpRequest *request, size_t *ret_len);

/* Writes the other side's numeric address ("?" if unknown); size at least HTTP_PEER_LEN. Returns ret_text. */
const char *http_request_peer(const HttpRequest *request, char *ret_text, size_t size);

/* It came from this machine: both ends of the connection have the same address. */
bool http_request_is_local(const HttpRequest *request);

/*
 * Puts the answer off beyond the handler's return. Returns a token, never 0, that http_request_held turns
 * back into the request while it waits; after the server's held_timeout_ms it is answered with held_status.
 * 0: too many wait, or the server has its own thread; answer at once (503).
 */
uint32_t http_request_hold(HttpRequest *request);

/* The request of a token, or NULL if it was answered, ran out, or never was. Loop's thread. */
HttpRequest *http_request_held(HttpServer *server, uint32_t token);

/*
 * Answers; the request is gone for the caller with that. content_type NULL: none. body may be NULL with len 0
 * and is copied, so are the headers (NULL: none). In the handler, or for a held one from the loop's thread.
 */
void http_respond(HttpRequest *request, int status, const char *content_type, const char *body, size_t len,
                  const HttpHeader *headers);

#endif
