/*
 * operator.h: asking and ordering from a program that may wait: the command line.
 *
 * Each call opens a connection, blocks until its deadline at the latest, and closes it.
 */
#ifndef PGVIGIL_NET_OPERATOR_H
#define PGVIGIL_NET_OPERATOR_H

#include "base/err.h"
#include "base/str.h"
#include "net/peer.h"

#include <stdint.h>

#define OPERATOR_BODY_MAX ((size_t) 4 * 1024 * 1024)

/*
 * For an order: a second more than a member lets it wait, so that it is the member that says that it cannot
 * tell yet, and not our own deadline that leaves open whether the order arrived.
 */
#define OPERATOR_ORDER_TIMEOUT_MS (PEER_ANSWER_MS + 1000)

/* Paths of PEM files; each may be NULL. */
typedef struct OperatorTls {
    const char *ca;          /* who vouches for the member's certificate; NULL: the system's authorities */
    const char *certificate; /* shown if the member asks for one */
    const char *key;
} OperatorTls;

typedef struct OperatorTarget {
    const char *cluster;         /* the cluster's name; operator_post only */
    const char *member;          /* the member's name; operator_post only */
    const char *host;            /* name or numeric address */
    uint16_t port;               /* operator_get: public port, operator_post: agent port */
    const unsigned char *secret; /* operator_post only */
    size_t secret_len;
    const OperatorTls *tls; /* operator_get and operator_post_open only; NULL: without TLS */
    int timeout_ms;         /* for everything */
} OperatorTarget;

/*
 * GET of path. True if an answer came: its status and (appended) body. ERR_NET: it could not be reached or
 * did not answer in time; the text names host and port.
 */
bool operator_get(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body, Err *err);

/* POST of path with no body and no signature, for what needs none; tls as operator_get, errors as
 * operator_post. */
bool operator_post_open(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body,
                        Err *err);

/*
 * Signed POST of path, the challenge included. As operator_get, and: ERR_TIMEOUT, it was sent but not
 * answered in time, and may have been obeyed; ERR_REFUSED, the member refused the signature (another secret,
 * cluster or name); ERR_PROTOCOL, the answer is not authentic.
 */
bool operator_post(const OperatorTarget *target, const char *path, const char *body, size_t len,
                   int *ret_status, Buf *ret_body, Err *err);

#endif
