/*
 * signalctl_majority.c: asks each standby whom it follows.
 *
 * A standby tells its upstream as its primary_conninfo names it. Whether that is this server is found out by
 * the addresses of this machine's interfaces, so that a virtual address counts too.
 */
#include "front/signalctl_majority.h"

#include "base/str.h"
#include "base/types.h"
#include "net/local_address.h"
#include "sys/loop.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not: base backups, receivers of WAL, and logical subscribers (those have a database). */
const char signalctl_majority_sql[] =
    "select pg_is_in_recovery(), current_setting('port'), coalesce(host(r.client_addr), ''), r.application_name, "
    "r.state is not null from pg_stat_replication r join pg_stat_activity a on a.pid = r.pid where a.datid is null "
    "and r.application_name not in ('pg_basebackup', 'pg_receivewal', 'pg_recvlogical')";

static const char upstream_sql[] =
    "select pg_is_in_recovery(), (select coalesce(sender_host, '') from pg_stat_wal_receiver), "
    "(select sender_port from pg_stat_wal_receiver), (select status from pg_stat_wal_receiver)";

typedef struct Standby {
    Majority *majority;
    Conn *conn;
    uv_getaddrinfo_t *resolve;
    char host[SIGNALCTL_NAME_LEN], name[SIGNALCTL_NAME_LEN], sender[CONN_HOST_LEN];
    bool waiting;
    StandbyAnswer answer;
    char reason[SIGNALCTL_REASON_LEN - 80]; /* finish() has words to put before it */
} Standby;

struct Majority {
    uv_loop_t *loop;
    ConnTarget target;
    int64_t timeout_ms;
    MajorityFn *on_done;
    void *arg;
    LoopTimer end; /* verdicts that are there at once, and the deadline of names */
    long port;     /* of the server here */
    int count, listed;
    bool asking;
    Standby standby[SIGNALCTL_STANDBYS_MAX];
};

MajorityRule signalctl_majority_rule(const StandbyAnswer *answers, int count, int listed)
{
    int agree = 0;

    for (int i = 0; i < count; i++) {
        if (answers[i] == STANDBY_DIFFERS)
            return MAJORITY_DIFFERS;
        agree += answers[i] == STANDBY_AGREES;
    }
    if (listed <= 0)
        return MAJORITY_EMPTY;
    return agree > listed / 2 ? MAJORITY_AGREES : MAJORITY_TOO_FEW;
}

bool signalctl_majority_is_here(const char *sender_host, bool standby_is_here, bool resolved_is_here)
{
    struct in_addr v4;
    struct in6_addr v6;
    bool loopback =
        sender_host[0] == '\0' || sender_host[0] == '/' || strcasecmp(sender_host, "localhost") == 0;

    if (inet_pton(AF_INET, sender_host, &v4) == 1)
        loopback = ntohl(v4.s_addr) >> 24 == 127;
    else if (inet_pton(AF_INET6, sender_host, &v6) == 1)
        loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    return loopback ? standby_is_here : resolved_is_here;
}

static bool is_here(const char *numeric)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *addresses = NULL;

    if (numeric[0] == '\0')
        return true; /* over a socket */
    if (getaddrinfo(numeric, NULL, &hints, &addresses) != 0)
        return false;
    bool here = local_address_any(addresses, true);
    freeaddrinfo(addresses);
    return here;
}

static void finish(Majority *majority)
{
    StandbyAnswer answers[SIGNALCTL_STANDBYS_MAX];
    const char *first_silent = "", *first_differs = "";
    int agree = 0;
    char reason[SIGNALCTL_REASON_LEN];

    for (int i = 0; i < majority->count; i++) {
        Standby *standby = &majority->standby[i];
        answers[i] = standby->answer;
        agree += standby->answer == STANDBY_AGREES;
        if (standby->answer == STANDBY_SILENT && first_silent[0] == '\0')
            first_silent = standby->reason;
        if (standby->answer == STANDBY_DIFFERS && first_differs[0] == '\0')
            first_differs = standby->reason;
    }
    MajorityRule rule = signalctl_majority_rule(answers, majority->count, majority->listed);
    signalctl_majority_drop(majority);
    switch (rule) {
    case MAJORITY_AGREES:
        snprintf(reason, sizeof reason, "primary, and most of its standbys follow it");
        break;
    case MAJORITY_EMPTY: snprintf(reason, sizeof reason, "no standby is connected to this server"); break;
    case MAJORITY_DIFFERS: snprintf(reason, sizeof reason, "%s", first_differs); break;
    case MAJORITY_TOO_FEW:
        snprintf(reason, sizeof reason, "%d of %d standbys agree, more than half have to: %s", agree,
                 majority->listed, first_silent[0] != '\0' ? first_silent : "the others were not asked");
        break;
    }
    majority->on_done(majority->arg, rule == MAJORITY_AGREES, reason);
}

static void settle(Standby *standby, StandbyAnswer answer, const char *reason)
{
    Majority *majority = standby->majority;

    standby->waiting = false;
    standby->answer = answer;
    snprintf(standby->reason, sizeof standby->reason, "standby %s (%s) %s", standby->name,
             standby->host[0] != '\0' ? standby->host : "local", reason);
    for (int i = 0; i < majority->count; i++)
        if (majority->standby[i].waiting)
            return;
    finish(majority);
}

static void judge_sender(Standby *standby, bool resolved_is_here)
{
    char reason[CONN_HOST_LEN + 40];

    if (signalctl_majority_is_here(standby->sender, is_here(standby->host), resolved_is_here)) {
        settle(standby, STANDBY_AGREES, "follows this server");
        return;
    }
    snprintf(reason, sizeof reason, "follows another server: %s", standby->sender);
    settle(standby, STANDBY_DIFFERS, reason);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    Standby *standby = request->data; /* NULL: nobody waits any more */

    if (standby != NULL) {
        standby->resolve = NULL;
        if (status == 0)
            judge_sender(standby, local_address_any(addresses, true));
        else
            settle(standby, STANDBY_SILENT, "follows a server whose name is not known here");
    }
    uv_freeaddrinfo(addresses);
    free(request);
}

/* In the pool, whether it is a name or an address; the round's deadline holds for it. */
static void resolve_sender(Standby *standby)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t *request = calloc(1, sizeof *request);

    if (request == NULL)
        abort();
    request->data = standby;
    standby->resolve = request;
    if (uv_getaddrinfo(standby->majority->loop, request, on_resolved, standby->sender, NULL, &hints) != 0) {
        standby->resolve = NULL;
        free(request);
        settle(standby, STANDBY_SILENT, "follows a server whose name cannot be looked up");
    }
}

static void on_upstream(void *arg, const ConnReply *reply)
{
    Standby *standby = arg;
    const PGresult *result = reply->result;

    if (!reply->ok) {
        settle(standby, STANDBY_SILENT, reply->err.text);
        return;
    }
    if (strcmp(conn_value(result, 0), "t") != 0) {
        settle(standby, STANDBY_DIFFERS, "is no standby: it is writable");
        return;
    }
    if (conn_value(result, 3)[0] == '\0') {
        settle(standby, STANDBY_SILENT,
               "does not say whom it follows: its receiver does not run, or the role lacks pg_monitor");
        return;
    }
    str_copy(standby->sender, sizeof standby->sender, conn_value(result, 1));
    if (strtol(conn_value(result, 2), NULL, 10) != standby->majority->port) {
        settle(standby, STANDBY_DIFFERS, "follows a server on another port");
        return;
    }
    if (standby->sender[0] == '\0' || standby->sender[0] == '/')
        judge_sender(standby, false);
    else
        resolve_sender(standby);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    Standby *standby = arg;

    if (!reply->ok)
        settle(standby, STANDBY_SILENT, reply->err.text);
    else
        conn_query(standby->conn, upstream_sql, standby->majority->timeout_ms, on_upstream, standby);
}

static void ask(Standby *standby)
{
    Majority *majority = standby->majority;
    ConnTarget target = majority->target;

    if (standby->conn == NULL)
        standby->conn = conn_new(majority->loop);
    if (conn_is_connected(standby->conn) && !conn_is_busy(standby->conn)) {
        conn_query(standby->conn, upstream_sql, majority->timeout_ms, on_upstream, standby);
        return;
    }
    if (standby->host[0] != '\0')
        target.host = standby->host;
    conn_connect(standby->conn, &target, majority->timeout_ms, on_connected, standby);
}

static void on_end(void *arg)
{
    Majority *majority = arg;

    for (int i = 0; i < majority->count; i++)
        if (majority->standby[i].waiting)
            snprintf(majority->standby[i].reason, sizeof majority->standby[i].reason,
                     "standby %s (%s) did not answer in time", majority->standby[i].name,
                     majority->standby[i].host);
    finish(majority);
}

void signalctl_majority_ask(Majority *majority, const PGresult *list)
{
    signalctl_majority_drop(majority);
    majority->listed = PQntuples(list);
    majority->count = majority->listed < SIGNALCTL_STANDBYS_MAX ? majority->listed : SIGNALCTL_STANDBYS_MAX;
    majority->port = majority->count > 0 ? strtol(PQgetvalue(list, 0, 1), NULL, 10) : 0;
    majority->asking = true;
    /* Connecting and asking each have their own deadline; this one is for what remains: looking up names. */
    loop_timer_start(&majority->end, majority->count == 0 ? 0 : 3 * majority->timeout_ms * US_PER_MS, 0);
    for (int i = 0; i < majority->count; i++)
        majority->standby[i].waiting = true;
    for (int i = 0; i < majority->count; i++) {
        Standby *standby = &majority->standby[i];
        const char *host = PQgetvalue(list, i, 2);
        standby->answer = STANDBY_SILENT;
        standby->reason[0] = '\0';
        if (strcmp(host, standby->host) != 0 && standby->conn != NULL)
            conn_close(standby->conn);
        str_copy(standby->host, sizeof standby->host, host);
        str_copy(standby->name, sizeof standby->name, PQgetvalue(list, i, 3));
        if (strcmp(PQgetvalue(list, i, 4), "t") == 0) {
            ask(standby);
            continue;
        }
        snprintf(standby->reason, sizeof standby->reason,
                 "standby %s has no address for this role: GRANT pg_monitor TO \"%s\"", standby->name,
                 majority->target.user);
        standby->waiting = false;
    }
    bool waiting = false;
    for (int i = 0; i < majority->count; i++)
        waiting |= majority->standby[i].waiting;
    if (!waiting)
        loop_timer_start(&majority->end, 0, 0);
}

void signalctl_majority_drop(Majority *majority)
{
    if (!majority->asking)
        return;
    majority->asking = false;
    loop_timer_stop(&majority->end);
    for (int i = 0; i < SIGNALCTL_STANDBYS_MAX; i++) {
        Standby *standby = &majority->standby[i];
        standby->waiting = false;
        if (standby->resolve != NULL) {
            standby->resolve->data = NULL;
            uv_cancel((uv_req_t *) standby->resolve);
            standby->resolve = NULL;
        }
        /* Of those that left the list nothing is kept; a question under way would answer the next round's. */
        if (standby->conn != NULL && (i >= majority->count || conn_is_busy(standby->conn)))
            conn_close(standby->conn);
    }
}

void signalctl_majority_close(Majority *majority)
{
    signalctl_majority_drop(majority);
    for (int i = 0; i < SIGNALCTL_STANDBYS_MAX; i++)
        if (majority->standby[i].conn != NULL)
            conn_close(majority->standby[i].conn);
}

Majority *signalctl_majority_new(uv_loop_t *loop, const ConnTarget *target, int64_t timeout_ms,
                                 MajorityFn *on_done, void *arg)
{
    Majority *majority = calloc(1, sizeof *majority);

    if (majority == NULL)
        abort();
    *majority =
        (Majority){.loop = loop, .target = *target, .timeout_ms = timeout_ms, .on_done = on_done, .arg = arg};
    loop_timer_init(&majority->end, loop, on_end, majority);
    for (int i = 0; i < SIGNALCTL_STANDBYS_MAX; i++)
        majority->standby[i].majority = majority;
    return majority;
}

void signalctl_majority_free(Majority *majority)
{
    if (majority == NULL)
        return;
    signalctl_majority_drop(majority);
    for (int i = 0; i < SIGNALCTL_STANDBYS_MAX; i++)
        conn_free(majority->standby[i].conn);
    loop_timer_done(&majority->end);
    free(majority);
}
