/*
 * heartbeat.c: writes a small transaction on the primary when nobody else has written since the last look.
 *
 * Nothing here depends on it, and our own lag is found from positions (lag_time.c). It is for those who read
 * pg_last_xact_replay_timestamp(). Only a leader whose lease holds writes, so never where the fence is shut.
 */
#include "agent/heartbeat.h"

#include "agent/internal.h"
#include "pg/heartbeat.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdlib.h>
#include <string.h>

#define OFF_AGAIN_US (60 * US_PER_SEC) /* a reload comes before that */
#define STEP_MS      2000

/* The commit waits neither for standbys nor for the disk. */
#define SETTINGS                                                                                             \
    "SET search_path = pg_catalog; SET synchronous_commit = off; SET statement_timeout = 2000; "             \
    "SET lock_timeout = 1000"
/*
 * The insert position, because the commit that was not waited for may not be flushed yet; nothing where
 * default_transaction_read_only says that this primary takes no writes.
 */
#define LOOK                                                                                                 \
    "SELECT CASE WHEN NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"          \
    " THEN pg_current_wal_insert_lsn() END"

struct Heartbeat {
    struct Agent *agent;
    LoopTimer timer;
    Conn *conn;
    Lsn seen; /* where the WAL ended at the last look; LSN_NONE: there was none */
    bool wrote;
};

static void plan_next(Heartbeat *heartbeat)
{
    int64_t interval_us = (int64_t) heartbeat->agent->config->lag.heartbeat_ms * US_PER_MS;

    loop_timer_start(&heartbeat->timer, interval_us > 0 ? interval_us : OFF_AGAIN_US, 0);
}

/* Asked before each step: the lease may have ended while the one before was under way. */
static bool may_write(const Heartbeat *heartbeat)
{
    const Agent *agent = heartbeat->agent;
    const PgStatus *status = poll_status(agent->poll);
    Clock now = clock_now();

    return agent->config->lag.heartbeat_ms > 0 && !agent->stopping && status->state == SERVER_PRIMARY &&
           status->responsive && !status->connections_full && !status->disk_stuck && !status->disk_full &&
           agent->core.action.kind == ACTION_NONE && core_lease_holds(&agent->core, &now);
}

/* A connection that stayed would hold up a stop, and whoever waits for all to be gone. */
static void rest(Heartbeat *heartbeat)
{
    conn_close(heartbeat->conn);
    heartbeat->seen = LSN_NONE;
}

static void fail(Heartbeat *heartbeat, const Err *err)
{
    static LogLimit limit;

    log_limited(&limit, LOG_LEVEL_WARN, "heartbeat_failed", "reason=\"%s\"", err->text);
    rest(heartbeat);
}

static void on_looked(void *arg, const ConnReply *reply);

static void look(Heartbeat *heartbeat)
{
    conn_query(heartbeat->conn, LOOK, STEP_MS, on_looked, heartbeat);
}

static void on_wrote(void *arg, const ConnReply *reply)
{
    Heartbeat *heartbeat = arg;

    if (!reply->ok) {
        fail(heartbeat, &reply->err);
        return;
    }
    heartbeat->wrote = true; /* the next look starts behind it */
    look(heartbeat);
}

static void on_looked(void *arg, const ConnReply *reply)
{
    Heartbeat *heartbeat = arg;
    Lsn at = LSN_NONE;

    if (!reply->ok) {
        fail(heartbeat, &reply->err);
        return;
    }
    lsn_parse(conn_value(reply->result, 0), &at);
    bool silent = at != LSN_NONE && at == heartbeat->seen && !heartbeat->wrote;
    heartbeat->seen = at;
    heartbeat->wrote = false;
    if (silent && may_write(heartbeat))
        conn_query(heartbeat->conn, "SELECT " HEARTBEAT_CALL, STEP_MS, on_wrote, heartbeat);
}

static void on_set(void *arg, const ConnReply *reply)
{
    Heartbeat *heartbeat = arg;

    if (reply->ok)
        look(heartbeat);
    else
        fail(heartbeat, &reply->err);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    Heartbeat *heartbeat = arg;

    if (reply->ok)
        conn_query(heartbeat->conn, SETTINGS, STEP_MS, on_set, heartbeat);
    else
        fail(heartbeat, &reply->err);
}

static void on_time(void *arg)
{
    Heartbeat *heartbeat = arg;

    plan_next(heartbeat);
    if (!may_write(heartbeat)) {
        rest(heartbeat);
        return;
    }
    if (conn_is_busy(heartbeat->conn))
        return;
    if (conn_is_connected(heartbeat->conn)) {
        look(heartbeat);
        return;
    }
    heartbeat->wrote = false;
    heartbeat->seen = LSN_NONE;
    ConnTarget target = observe_server(heartbeat->agent);
    conn_connect(heartbeat->conn, &target, STEP_MS, on_connected, heartbeat);
}

void heartbeat_reload(Heartbeat *heartbeat)
{
    if (heartbeat == NULL)
        return;
    if (heartbeat->agent->config->lag.heartbeat_ms == 0)
        rest(heartbeat);
    plan_next(heartbeat);
}

Heartbeat *heartbeat_new(struct Agent *agent)
{
    Heartbeat *heartbeat = calloc(1, sizeof *heartbeat);

    if (heartbeat == NULL)
        abort();
    heartbeat->agent = agent;
    heartbeat->conn = conn_new(&agent->loop);
    loop_timer_init(&heartbeat->timer, &agent->loop, on_time, heartbeat);
    plan_next(heartbeat);
    return heartbeat;
}

void heartbeat_free(Heartbeat *heartbeat)
{
    if (heartbeat == NULL)
        return;
    loop_timer_done(&heartbeat->timer);
    conn_free(heartbeat->conn);
    free(heartbeat);
}
