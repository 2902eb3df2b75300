/*
 * conn.c: libpq's asynchronous calls driven by uv_poll.
 *
 * libpq may close its socket and open another within PQconnectPoll: the uv_poll is let go of before each such
 * call and made anew afterwards. SQLSTATEs of refused connections are not offered by libpq; with verbose
 * errors they stand in the message, whatever its language.
 */
#include "pg/conn.h"

#include "base/str.h"
#include "pg/conn_error.h"
#include "sys/loop.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 4 /* of a name; more are not tried */

typedef enum ConnState { CONN_CLOSED = 0, CONN_RESOLVING, CONN_CONNECTING, CONN_IDLE, CONN_QUERY } ConnState;

/* A name being resolved; outlives the connection that asked if need be. */
typedef struct Resolve {
    uv_getaddrinfo_t request;
    Conn *conn; /* NULL: nobody waits any more */
} Resolve;

struct Conn {
    uv_loop_t *loop;
    ConnState state;
    PGconn *pg;
    PGresult *result; /* of the query under way */
    uv_poll_t *poll;
    int events; /* that poll waits for */
    LoopTimer timer;
    Resolve *resolve;
    ConnFn *on_done;
    void *arg;
    ConnLostFn *on_lost; /* of conn_watch */
    void *lost_arg;
    int64_t timeout_ms;
    char host[CONN_HOST_LEN], user[128], database[128], passfile[1024], password[256];
    uint16_t port;
    bool replication;
    const ConnParam *params; /* of the target; the caller's */
    size_t param_count;
};

static void on_socket(uv_poll_t *handle, int status, int events);

static void stop_polling(Conn *conn)
{
    if (conn->poll == NULL)
        return;
    uv_poll_stop(conn->poll);
    conn->poll->data = NULL;
    loop_close_free((uv_handle_t *) conn->poll);
    conn->poll = NULL;
    conn->events = 0;
}

/* Watches the socket that libpq has now. libuv would take it out of epoll and put it in again at each call.
 */
static bool start_polling(Conn *conn, int events)
{
    if (conn->poll == NULL) {
        int fd = PQsocket(conn->pg);
        if (fd < 0)
            return false;
        conn->poll = calloc(1, sizeof *conn->poll);
        if (conn->poll == NULL)
            abort();
        if (uv_poll_init(conn->loop, conn->poll, fd) != 0) {
            free(conn->poll);
            conn->poll = NULL;
            return false;
        }
        conn->poll->data = conn;
    }
    if (events == conn->events)
        return true;
    conn->events = events;
    return uv_poll_start(conn->poll, events, on_socket) == 0;
}

void conn_close(Conn *conn)
{
    loop_timer_stop(&conn->timer);
    stop_polling(conn);
    if (conn->resolve != NULL) {
        conn->resolve->conn = NULL;
        uv_cancel((uv_req_t *) &conn->resolve->request);
        conn->resolve = NULL;
    }
    PQclear(conn->result);
    conn->result = NULL;
    if (conn->pg != NULL)
        PQfinish(conn->pg);
    conn->pg = NULL;
    conn->state = CONN_CLOSED;
    conn->on_done = NULL;
}

/* Calls back, once. conn may be gone afterwards. */
static void answer(Conn *conn, ConnReply *reply)
{
    ConnFn *on_done = conn->on_done;
    void *arg = conn->arg;

    loop_timer_stop(&conn->timer);
    conn->on_done = NULL;
    reply->connected = conn->state == CONN_IDLE;
    if (on_done != NULL)
        on_done(arg, reply);
}

/* Ends in failure: the connection is closed, then the callback comes. */
static void fail(Conn *conn, ErrCode code, const char *message)
{
    ConnReply reply = {0};
    ConnFn *on_done = conn->on_done;
    void *arg = conn->arg;
    bool was_idle = conn->state == CONN_IDLE && on_done == NULL;

    reply.needs_password = conn->pg != NULL && PQconnectionNeedsPassword(conn->pg) != 0;
    conn_error_set(&reply, code, message);
    conn_close(conn);
    if (was_idle && conn->on_lost != NULL) {
        conn->on_lost(conn->lost_arg, reply.err.text);
        return;
    }
    conn->on_done = on_done;
    conn->arg = arg;
    answer(conn, &reply);
}

static void on_deadline(void *arg)
{
    Conn *conn = arg;
    char text[400];

    snprintf(text, sizeof text, "no answer from %.200s:%u within %lld ms while %s", conn->host,
             (unsigned) conn->port, (long long) conn->timeout_ms,
             conn->state == CONN_QUERY ? "waiting for a query" : "connecting");
    fail(conn, ERR_TIMEOUT, text);
}

/* One step of connecting; PostgreSQL's documentation, libpq, PQconnectPoll. */
static void connect_step(Conn *conn)
{
    stop_polling(conn);
    PostgresPollingStatusType what = PQconnectPoll(conn->pg);

    if (what == PGRES_POLLING_OK) {
        PQsetnonblocking(conn->pg, 1);
        conn->state = CONN_IDLE;
        if (!start_polling(conn, UV_READABLE)) {
            fail(conn, ERR_NET, "cannot watch the connection's socket");
            return;
        }
        ConnReply reply = {.ok = true};
        answer(conn, &reply);
    } else if (what == PGRES_POLLING_FAILED) {
        fail(conn, ERR_NET, PQerrorMessage(conn->pg));
    } else if (!start_polling(conn, what == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE)) {
        fail(conn, ERR_NET, "cannot watch the connection's socket");
    }
}

/* Keeps what counts: the first error, else the last result. */
static void keep_result(Conn *conn, PGresult *result)
{
    if (conn->result != NULL && PQresultStatus(conn->result) == PGRES_FATAL_ERROR) {
        PQclear(result);
        return;
    }
    PQclear(conn->result);
    conn->result = result;
}

static void finish_query(Conn *conn)
{
    ConnReply reply = {0};
    PGresult *result = conn->result;
    ExecStatusType status = PQresultStatus(result);

    conn->result = NULL;
    conn->state = CONN_IDLE;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        reply.ok = true;
        reply.result = result;
    } else {
        const char *sqlstate = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
        conn_error_set(&reply, ERR_PG,
                       result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(conn->pg));
        str_copy(reply.sqlstate, sizeof reply.sqlstate, sqlstate != NULL ? sqlstate : "");
        if (PQstatus(conn->pg) != CONNECTION_OK) {
            ConnFn *on_done = conn->on_done;
            reply.err.code = ERR_NET;
            conn_close(conn);
            conn->on_done = on_done;
        }
    }
    answer(conn, &reply);
    PQclear(result);
}

/* The server says something, or the connection is lost. */
static void read_some(Conn *conn)
{
    if (!PQconsumeInput(conn->pg)) {
        fail(conn, ERR_NET, PQerrorMessage(conn->pg));
        return;
    }
    if (conn->state != CONN_QUERY)
        return;
    while (!PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);
        if (result == NULL) {
            finish_query(conn);
            return;
        }
        ExecStatusType status = PQresultStatus(result);
        keep_result(conn, result);
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            fail(conn, ERR_PG, "COPY is not possible here");
            return;
        }
    }
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
    Conn *conn = handle->data;

    if (conn == NULL)
        return;
    if (conn->state == CONN_CONNECTING) {
        connect_step(conn);
        return;
    }
    if (status < 0) { /* EBADF is how libuv tells that the socket has an error */
        fail(conn, ERR_NET, status == UV_EBADF ? "the connection was lost" : uv_strerror(status));
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        int flushed = PQflush(conn->pg);
        if (flushed < 0) {
            fail(conn, ERR_NET, PQerrorMessage(conn->pg));
            return;
        }
        start_polling(conn, flushed > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    }
    if ((events & UV_READABLE) != 0)
        read_some(conn);
}

static void be_silent(void *arg, const PGresult *result)
{
    (void) arg;
    (void) result;
}

/*
 * host is a socket directory, or the names that libpq looks passwords up under, as many as there are
 * addresses; NULL: the addresses themselves. hostaddr: numeric ones, parted by commas; NULL: none.
 */
static void begin(Conn *conn, const char *host, const char *hostaddr)
{
    char port[8] = "";
    const char *keys[CONN_PARAMS_MAX + 12], *values[CONN_PARAMS_MAX + 12];
    size_t n = 0;
    if (conn->port != 0)
        snprintf(port, sizeof port, "%u", (unsigned) conn->port);
    /* libpq passes over what is NULL or empty, and the last of two counts. */
    const ConnParam own[] = {{"host", host},
                             {"hostaddr", hostaddr},
                             {"port", port},
                             {"user", conn->user},
                             {"dbname", conn->database},
                             {"application_name", "pgvigil"},
                             {"gssencmode", "disable"},
                             {"client_encoding", "UTF8"},
                             {"passfile", conn->passfile},
                             {"password", conn->password},
                             {"replication", conn->replication ? "true" : NULL}};

    for (size_t i = 0; i < sizeof own / sizeof own[0] + conn->param_count; i++, n++) {
        const ConnParam *param =
            i < sizeof own / sizeof own[0] ? &own[i] : &conn->params[i - sizeof own / sizeof own[0]];
        keys[n] = param->keyword;
        values[n] = param->value;
    }
    keys[n] = values[n] = NULL;
    conn->state = CONN_CONNECTING;
    conn->pg = PQconnectStartParams(keys, values, 0);
    if (conn->pg == NULL)
        abort();
    PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(conn->pg, be_silent, NULL);
    if (PQstatus(conn->pg) == CONNECTION_BAD || !start_polling(conn, UV_WRITABLE)) {
        /* Not from within conn_connect: the timer calls back on the loop's next round. */
        conn->state = CONN_CONNECTING;
        conn->timeout_ms = 0;
        loop_timer_start(&conn->timer, 0, 0);
    }
}

/* Gives libpq all addresses, which it tries in turn: a server need not listen on the first. */
static bool begin_resolved(Conn *conn, const struct addrinfo *addresses)
{
    char hosts[ADDRESSES_MAX * (CONN_HOST_LEN + 1)] = "", list[ADDRESSES_MAX * (INET6_ADDRSTRLEN + 1)] = "";
    char address[INET6_ADDRSTRLEN];
    int count = 0;

    for (const struct addrinfo *a = addresses; a != NULL && count < ADDRESSES_MAX; a = a->ai_next) {
        size_t hosts_len = strlen(hosts), list_len = strlen(list);
        if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        snprintf(hosts + hosts_len, sizeof hosts - hosts_len, "%s%s", count > 0 ? "," : "", conn->host);
        snprintf(list + list_len, sizeof list - list_len, "%s%s", count > 0 ? "," : "", address);
        count++;
    }
    if (count > 0)
        begin(conn, hosts, list);
    return count > 0;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    Resolve *resolve = (Resolve *) request;
    Conn *conn = resolve->conn;

    if (conn != NULL) {
        conn->resolve = NULL;
        if (status != 0 || !begin_resolved(conn, addresses)) {
            char text[400];
            snprintf(text, sizeof text, "cannot resolve the host name %.200s: %s", conn->host,
                     status != 0 ? uv_strerror(status) : "no address");
            fail(conn, ERR_NET, text);
        }
    }
    uv_freeaddrinfo(addresses);
    free(resolve);
}

static void on_timer(void *arg)
{
    Conn *conn = arg;

    if (conn->timeout_ms > 0)
        on_deadline(conn);
    else
        fail(conn, ERR_NET, conn->pg != NULL ? PQerrorMessage(conn->pg) : "cannot resolve the host name");
}

static void copy(char *dest, size_t size, const char *source)
{
    str_copy(dest, size, source != NULL ? source : "");
}

void conn_connect(Conn *conn, const ConnTarget *target, int64_t timeout_ms, ConnFn *on_done, void *arg)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    unsigned char binary[16];

    conn_close(conn);
    copy(conn->host, sizeof conn->host, target->host);
    copy(conn->user, sizeof conn->user, target->user);
    copy(conn->database, sizeof conn->database, target->database);
    copy(conn->passfile, sizeof conn->passfile, target->passfile);
    copy(conn->password, sizeof conn->password, target->password);
    conn->replication = target->replication;
    conn->params = target->params;
    conn->param_count = target->param_count < CONN_PARAMS_MAX ? target->param_count : CONN_PARAMS_MAX;
    conn->port = target->port;
    conn->on_done = on_done;
    conn->arg = arg;
    conn->timeout_ms = timeout_ms;
    loop_timer_start(&conn->timer, timeout_ms * 1000, 0);
    if (conn->host[0] == '/' || conn->host[0] == '@' || conn->host[0] == '\0' || target->hostaddr != NULL) {
        begin(conn, conn->host, target->hostaddr);
        return;
    }
    if (inet_pton(AF_INET, conn->host, binary) == 1 || inet_pton(AF_INET6, conn->host, binary) == 1) {
        begin(conn, NULL, conn->host);
        return;
    }
    conn->state = CONN_RESOLVING;
    Resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL)
        abort();
    resolve->conn = conn;
    conn->resolve = resolve;
    if (uv_getaddrinfo(conn->loop, &resolve->request, on_resolved, conn->host, NULL, &hints) != 0) {
        conn->resolve = NULL;
        free(resolve);
        conn->timeout_ms = 0;
        loop_timer_start(&conn->timer, 0, 0);
    }
}

void conn_query(Conn *conn, const char *sql, int64_t timeout_ms, ConnFn *on_done, void *arg)
{
    conn->on_done = on_done;
    conn->arg = arg;
    conn->timeout_ms = timeout_ms;
    if (conn->state != CONN_IDLE || !PQsendQuery(conn->pg, sql)) {
        conn->timeout_ms = 0;
        loop_timer_start(&conn->timer, 0, 0);
        return;
    }
    conn->state = CONN_QUERY;
    loop_timer_start(&conn->timer, timeout_ms * 1000, 0);
    int flushed = PQflush(conn->pg);
    start_polling(conn, flushed > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

Conn *conn_new(uv_loop_t *loop)
{
    Conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        abort();
    conn->loop = loop;
    loop_timer_init(&conn->timer, loop, on_timer, conn);
    return conn;
}

void conn_free(Conn *conn)
{
    if (conn == NULL)
        return;
    conn_close(conn);
    loop_timer_done(&conn->timer);
    explicit_bzero(conn->password, sizeof conn->password);
    free(conn);
}

void conn_watch(Conn *conn, ConnLostFn *on_lost, void *arg)
{
    conn->on_lost = on_lost;
    conn->lost_arg = arg;
}

bool conn_is_connected(const Conn *conn)
{
    return conn->state == CONN_IDLE || conn->state == CONN_QUERY;
}

bool conn_is_busy(const Conn *conn)
{
    return conn->state != CONN_CLOSED && conn->state != CONN_IDLE;
}

uint32_t conn_server_version(const Conn *conn)
{
    return conn_is_connected(conn) ? (uint32_t) PQserverVersion(conn->pg) : 0;
}

const char *conn_value(const PGresult *result, int column)
{
    if (result == NULL || PQntuples(result) < 1 || column >= PQnfields(result))
        return "";
    return PQgetvalue(result, 0, column);
}
