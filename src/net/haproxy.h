/*
 * haproxy.h: one request to HAProxy's runtime socket, and the tables that it answers with.
 *
 * A connection for each request; HAProxy closes it behind the answer.
 */
#ifndef PGVIGIL_NET_HAPROXY_H
#define PGVIGIL_NET_HAPROXY_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <uv.h>

#define HAPROXY_NAME_LEN   64
#define HAPROXY_ANSWER_MAX 65536

typedef struct HaproxyRequest HaproxyRequest;

/* answer: what came, terminated; NULL with err if nothing did. Valid during the call only. */
typedef void HaproxyDoneFn(void *arg, const char *answer, const Err *err);

/*
 * Sends the commands (separated by ';', without a newline; copied) to the socket of that path. on_done is
 * called once, from the loop, after timeout_ms at the latest. NULL with *err: it could not even begin, and
 * on_done is not called.
 */
HaproxyRequest *haproxy_ask(uv_loop_t *loop, const char *path, const char *commands, int timeout_ms,
                            HaproxyDoneFn *on_done, void *arg, Err *err);

/* on_done is not called any more. NULL: nothing. */
void haproxy_cancel(HaproxyRequest *request);

/* A line of "show servers state". */
typedef struct HaproxyServer {
    char name[HAPROXY_NAME_LEN];
    char address[HAPROXY_NAME_LEN];
    uint16_t port;
    bool up; /* takes connections, as far as its checks go */
} HaproxyServer;

/*
 * Reads the answer to "show servers state BACKEND". Columns are found by their names in its heading, since
 * versions add some. Returns how many there are, at most max; -1 with *err if it is no such table.
 */
int haproxy_servers(const char *answer, HaproxyServer *ret_servers, int max, Err *err);

#endif
