/*
 * http_client.h: HTTP/1.1 requests on the loop, with a deadline each.
 *
 * Connections are kept and reused. Names are resolved in libuv's pool, one at a time, and kept for a minute;
 * an older address serves on while a new one is looked for. All calls are for the loop's thread.
 */
#ifndef PGVIGIL_NET_HTTP_CLIENT_H
#define PGVIGIL_NET_HTTP_CLIENT_H

#include "base/err.h"
#include "net/http.h"

#include <uv.h>

#define HTTP_CLIENT_HEADERS_MAX 8

typedef struct HttpClient HttpClient;

/* Valid in the callback only. */
typedef struct HttpAnswer {
    bool ok;              /* a whole answer came, whatever its status is */
    int status;           /* 0 unless ok */
    const char *body;     /* terminated; never NULL */
    size_t len;           /* without the NUL */
    const char *error;    /* one line, "" if ok */
    const char *headers_; /* for http_client_header */
} HttpAnswer;

typedef void HttpAnswerFn(void *arg, const HttpAnswer *answer);

/* Paths of PEM files; each may be NULL. Host and certificate are always checked. */
typedef struct HttpCallTls {
    const char *ca;          /* who vouches for the server's certificate; NULL: the system's authorities */
    const char *certificate; /* shown if the server asks for one */
    const char *key;
} HttpCallTls;

typedef struct HttpCall {
    const char *method; /* "GET" or "POST" */
    const char *host;   /* name or numeric address */
    uint16_t port;
    const char *path;          /* encoded, with the query */
    const HttpHeader *headers; /* at most HTTP_CLIENT_HEADERS_MAX, or NULL */
    const HttpCallTls *tls;    /* NULL: without TLS */
    const char *body;          /* of POST; copied */
    size_t len;
    int64_t timeout_ms; /* for everything, at least 1 */
    HttpAnswerFn *on_answer;
    void *arg;
} HttpCall;

/* At most active_max calls at a time. NULL with *err if libcurl cannot be set up. */
HttpClient *http_client_new(uv_loop_t *loop, unsigned active_max, size_t body_max, Err *err);

/* Ends what is under way: each callback is called with ok = false. Not from within a callback. NULL: nothing.
 */
void http_client_free(HttpClient *client);

/*
 * Begins a request; everything is copied. True: on_answer is called exactly once, never from within this
 * call. False with *err: too many under way, or memory.
 */
bool http_client_send(HttpClient *client, const HttpCall *call, Err *err);

/* Copies the value of one of the answer's headers. False if it is not there or does not fit. */
bool http_client_header(const HttpAnswer *answer, const char *name, char *ret_value, size_t size);

#endif
