/*
 * conn.h: one asynchronous libpq connection on the loop.
 *
 * One thing at a time: connect, then one query after the other, each with a deadline of its own. Nothing here
 * blocks: names are resolved by libuv, libpq only ever gets a numeric address or a socket directory. After a
 * failed connect, a lost connection or a passed deadline the connection is closed and may be connected anew.
 */
#ifndef PGVIGIL_PG_CONN_H
#define PGVIGIL_PG_CONN_H

#include "base/err.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <uv.h>

#define CONN_HOST_LEN 256
#define SQLSTATE_LEN  6

/* SQLSTATEs that somebody here decides by. */
#define SQLSTATE_CANNOT_CONNECT_NOW   "57P03"
#define SQLSTATE_TOO_MANY_CONNECTIONS "53300"

#define CONN_PARAMS_MAX 48

typedef struct ConnParam {
    const char *keyword, *value; /* as in a connection string; an empty value is passed over */
} ConnParam;

/* NULL or "" anywhere: libpq's default. */
typedef struct ConnTarget {
    const char *host; /* a socket directory (begins with '/'), a numeric address, or a name to be resolved */
    const char *hostaddr; /* numeric; host is then only the name for certificates and the passfile */
    uint16_t port;        /* 0: libpq's default */
    const char *user;
    const char *database;
    const char *passfile; /* NULL or "": libpq's default */
    const char *password; /* NULL or "": libpq looks into PGPASSWORD, then into the passfile */
    bool replication;     /* a walsender's connection */
    /* Further ones, which win over those above; not copied: they have to stay until the connect is over. */
    const ConnParam *params;
    size_t param_count; /* at most CONN_PARAMS_MAX */
} ConnTarget;

typedef struct ConnReply {
    bool ok;
    const PGresult
        *result; /* of a query; valid in the callback only. NULL after a connect and after an error */
    char sqlstate[SQLSTATE_LEN]; /* "" if the server did not say one */
    bool needs_password;         /* the server asked for one, and there was none */
    bool connected;              /* the connection is still of use */
    Err err;                     /* ERR_NET, ERR_TIMEOUT or ERR_PG when not ok */
} ConnReply;

typedef void ConnFn(void *arg, const ConnReply *reply);

/* reason: one line. */
typedef void ConnLostFn(void *arg, const char *reason);

typedef struct Conn Conn;

/* An unconnected one. Never NULL. */
Conn *conn_new(uv_loop_t *loop);

/*
 * Begins to connect; on_done is called exactly once, from the loop, unless conn_close or conn_free comes
 * before it. The strings of target may go away, but for params. Whatever was connected or under way is closed
 * first, without its callback.
 */
void conn_connect(Conn *conn, const ConnTarget *target, int64_t timeout_ms, ConnFn *on_done, void *arg);

/*
 * Sends one query (several statements are possible; the last result counts, an error ends it). Only while
 * connected and not busy. on_done as above. When the deadline passes the connection is closed; a cancel
 * request is not sent, the server notices the closed socket when the query ends.
 */
void conn_query(Conn *conn, const char *sql, int64_t timeout_ms, ConnFn *on_done, void *arg);

/* on_lost is called when the connection is lost while nothing is under way: at once when the server closes
 * it, however long it was idle. NULL: nobody is told. */
void conn_watch(Conn *conn, ConnLostFn *on_lost, void *arg);

bool conn_is_connected(const Conn *conn); /* and nothing known of its being lost */
bool conn_is_busy(const Conn *conn);      /* connecting, or a query is under way */

/* PQserverVersion, such as 150018; 0 while not connected. */
uint32_t conn_server_version(const Conn *conn);

/* Drops the connection, and what is under way without its callback. May be called from within a callback. */
void conn_close(Conn *conn);

/* conn_close and free; NULL: nothing. May be called from within a callback. */
void conn_free(Conn *conn);

/* A column of the first row; "" if it is NULL or not there. */
const char *conn_value(const PGresult *result, int column);

#endif
