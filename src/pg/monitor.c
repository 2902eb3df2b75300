/*
 * monitor.c: when each server is asked, and who may connect when.
 *
 * Polls are due on a grid, forty places an interval, so that the loop wakes once for several of them: waking
 * is dearer than asking. A poll on a connection that turns out to be lost is made again on a new one before
 * anything is said.
 */
#include "pg/monitor.h"

#include "base/rng.h"
#include "pg/monitor_internal.h"
#include "pg/monitor_query.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define GRID_PLACES    40
#define GRID_LEAST_US  (10 * US_PER_MS)
#define CONNECTING_MAX 32
#define STAGGER_US     US_PER_MS
#define INTERVAL_LEAST 10
#define INTERVAL_MOST  (3600 * 1000)
#define INSUFFICIENT   "42501" /* SQLSTATE insufficient_privilege */
#define CLASS_AUTH     "28"
#define SLOTS_GROW     64

/* ---- The end of a poll ---- */

/* When the next one is due: at its own places in time, later after failures. */
static void plan_next(Server *server, int64_t now_us, bool first)
{
    int64_t interval_us = server->interval_us, grid_us = interval_us / GRID_PLACES;

    if (grid_us < GRID_LEAST_US)
        grid_us = GRID_LEAST_US;
    if (server->failures > 1) {
        unsigned times =
            server->failures < MONITOR_BACKOFF_MOST ? server->failures - 1 : MONITOR_BACKOFF_MOST - 1;
        int64_t jitter_us = (int64_t) rng_below(&server->monitor->rng, (uint64_t) interval_us);
        server->due_us = now_us + interval_us * times + jitter_us;
    } else if (server->due_us <= now_us) {
        int64_t places = (now_us - server->due_us) / interval_us + 1;
        if (!first && server->failures == 0)
            server->monitor->stats.missed += (uint64_t) places - 1;
        server->due_us += places * interval_us;
    }
    if (interval_us % grid_us == 0)
        server->due_us += (grid_us - server->due_us % grid_us) % grid_us;
    loop_timer_start(&server->timer, server->due_us - now_us, 0);
}

/* Tells the owner; the server, or the monitor, may be gone afterwards. */
static void finish(Server *server, bool ok)
{
    Monitor *monitor = server->monitor;
    MonitorSample *sample = &server->sample;
    Clock now = clock_now();

    monitor_line_leave(server);
    server->step = STEP_IDLE;
    server->fresh = false;
    if (sample->ok != ok || sample->since_us == 0)
        sample->since_us = now.boot_us;
    sample->ok = ok;
    monitor->stats.polls++;
    bool first = sample->answered_us == 0;
    if (ok) {
        server->failures = 0;
        sample->answered_us = now.boot_us;
        sample->answered_wall_us = now.wall_us;
        sample->trouble = MONITOR_FINE;
        sample->problem[0] = sample->sqlstate[0] = '\0';
    } else {
        server->failures++;
        monitor->stats.failed++;
    }
    monitor_replication_update(&server->replication, sample, now.boot_us);
    plan_next(server, now.boot_us, first);
    monitor_line_run(monitor);
    monitor->on_sample(monitor->arg, server->id, server->tag, sample);
}

static MonitorTrouble trouble_of(const ConnReply *reply)
{
    if (reply->err.code == ERR_TIMEOUT)
        return MONITOR_TIMEOUT;
    if (reply->needs_password || strncmp(reply->sqlstate, CLASS_AUTH, strlen(CLASS_AUTH)) == 0)
        return MONITOR_AUTHENTICATION;
    return reply->sqlstate[0] == '\0' && reply->err.code == ERR_NET ? MONITOR_UNREACHABLE : MONITOR_OTHER;
}

static void set_trouble(Server *server, MonitorTrouble trouble, const char *sqlstate, const char *text)
{
    char host[CONN_HOST_LEN + 8];

    server->sample.trouble = trouble;
    snprintf(server->sample.sqlstate, sizeof server->sample.sqlstate, "%s", sqlstate);
    dsn_host_name(server->dsn, server->host, host, sizeof host);
    snprintf(server->sample.problem, sizeof server->sample.problem, "%.60s: %.130s", host, text);
}

static void fail(Server *server, const ConnReply *reply)
{
    set_trouble(server, trouble_of(reply), reply->sqlstate, reply->err.text);
    finish(server, false);
}

/* ---- A poll ---- */

static void on_polled(void *arg, const ConnReply *reply)
{
    Server *server = arg;
    Err err = {0};

    if (reply->ok && monitor_query_parse(reply->result, &server->sample, &err)) {
        finish(server, true);
    } else if (reply->ok) {
        conn_close(server->conn);
        set_trouble(server, MONITOR_OTHER, "", err.text);
        finish(server, false);
    } else if (!reply->connected && reply->err.code == ERR_NET && !server->fresh) {
        /* An old connection can end without the server's being gone: a new one tells. */
        monitor_line_add(server);
    } else {
        fail(server, reply);
    }
}

static void ask(Server *server)
{
    server->step = STEP_POLLING;
    server->sample.asked_us = clock_now().boot_us;
    conn_query(server->conn, monitor_query_poll(), server->timeout_ms, on_polled, server);
}

static void prepare(Server *server);

static void on_prepared(void *arg, const ConnReply *reply)
{
    Server *server = arg;

    if (!reply->ok && reply->connected && !server->plain && strcmp(reply->sqlstate, INSUFFICIENT) == 0) {
        server->plain = true;
        prepare(server);
    } else if (!reply->ok) {
        conn_close(server->conn);
        fail(server, reply);
    } else {
        server->sample.system_identifier = strtoull(conn_value(reply->result, 0), NULL, 10);
        ask(server);
    }
}

static void prepare(Server *server)
{
    Buf sql = {0};

    server->step = STEP_PREPARING;
    monitor_query_prepare(server->sample.server_version, server->heartbeat, server->plain, server->timeout_ms,
                          &sql);
    if (sql.failed)
        abort();
    conn_query(server->conn, sql.data, server->timeout_ms, on_prepared, server);
    buf_done(&sql);
}

void monitor_on_connected(void *arg, const ConnReply *reply)
{
    Server *server = arg;

    if (!reply->ok && server->host + 1 < dsn_hosts(server->dsn)) {
        monitor_line_connect(server, server->host + 1);
        return;
    }
    if (!reply->ok) {
        fail(server, reply);
        return;
    }
    monitor_line_leave(server);
    monitor_line_run(server->monitor);
    server->fresh = true;
    server->plain = false;
    server->sample.server_version = conn_server_version(server->conn);
    if (server->sample.server_version < MONITOR_VERSION_LEAST) {
        char text[120];
        snprintf(text, sizeof text, "its version %u is too old: PostgreSQL 9.6 or later can be observed",
                 (unsigned) server->sample.server_version);
        conn_close(server->conn);
        set_trouble(server, MONITOR_OTHER, "", text);
        finish(server, false);
        return;
    }
    prepare(server);
}

static void begin_poll(Server *server)
{
    if (server->renew)
        conn_close(server->conn);
    server->renew = false;
    if (conn_is_connected(server->conn)) {
        ask(server);
        return;
    }
    monitor_line_add(server);
}

static void on_timer(void *arg)
{
    Server *server = arg;

    if (server->step == STEP_CONNECTING)
        monitor_line_aside(server);
    else if (server->step == STEP_IDLE)
        begin_poll(server);
}

/* The server ended, most likely: that is news, but only once an interval, or a pooler could keep us busy. */
static void on_lost(void *arg, const char *reason)
{
    Server *server = arg;
    int64_t now_us = clock_now().boot_us;

    (void) reason;
    if (server->step != STEP_IDLE || now_us < server->hurry_least_us)
        return;
    server->hurry_least_us = now_us + server->interval_us;
    server->due_us = now_us;
    loop_timer_start(&server->timer, 0, 0);
}

/* ---- Servers ---- */

static Server *find(const Monitor *monitor, int id)
{
    unsigned slot = id >= 0 ? (unsigned) id % MONITOR_SERVERS_MAX : UINT32_MAX;

    if (slot >= monitor->slots || monitor->slot[slot] == NULL || monitor->slot[slot]->id != id)
        return NULL;
    return monitor->slot[slot];
}

static void server_free(Server *server)
{
    Monitor *monitor = server->monitor;

    monitor_line_leave(server);
    monitor->slot[(unsigned) server->id % MONITOR_SERVERS_MAX] = NULL;
    monitor->servers--;
    loop_timer_done(&server->timer);
    conn_free(server->conn);
    dsn_free(server->dsn);
    free(server);
}

/* The index of a free slot; there is one. */
static unsigned take_slot(Monitor *monitor)
{
    for (unsigned i = 0; i < monitor->slots; i++)
        if (monitor->slot[i] == NULL)
            return i;
    unsigned slots = monitor->slots + SLOTS_GROW;
    Server **grown = realloc(monitor->slot, slots * sizeof *grown);
    if (grown == NULL)
        abort();
    memset(grown + monitor->slots, 0, SLOTS_GROW * sizeof *grown);
    monitor->slot = grown;
    monitor->slots = slots;
    return slots - SLOTS_GROW;
}

int monitor_add(Monitor *monitor, const MonitorTarget *target, void *tag, Err *err)
{
    if (target->interval_ms < INTERVAL_LEAST || target->interval_ms > INTERVAL_MOST ||
        target->timeout_ms < 1) {
        err_set(err, ERR_CONFIG, "an interval of %lld ms cannot be kept: %d ms to an hour",
                (long long) target->interval_ms, INTERVAL_LEAST);
        return -1;
    }
    if (monitor->servers >= MONITOR_SERVERS_MAX) {
        err_set(err, ERR_CONFIG, "more than %d servers cannot be watched by one process: start a second one",
                MONITOR_SERVERS_MAX);
        return -1;
    }
    Dsn *dsn = dsn_parse(target->conninfo, err);
    if (dsn == NULL)
        return -1;
    Server *server = calloc(1, sizeof *server);
    if (server == NULL)
        abort();
    unsigned slot = take_slot(monitor), round = monitor->serial++ % (INT32_MAX / MONITOR_SERVERS_MAX);
    server->id = (int) (round * MONITOR_SERVERS_MAX + slot);
    server->monitor = monitor;
    server->tag = tag;
    server->dsn = dsn;
    server->interval_us = target->interval_ms * US_PER_MS;
    server->timeout_ms = target->timeout_ms;
    server->heartbeat = target->heartbeat;
    server->replication = (MonitorReplication){.lag_us = -1, .min_lag_us = -1};
    server->conn = conn_new(monitor->loop);
    conn_watch(server->conn, on_lost, server);
    loop_timer_init(&server->timer, monitor->loop, on_timer, server);
    monitor->slot[slot] = server;
    monitor->servers++;
    /* Each has its own place in the interval. */
    server->due_us = clock_now().boot_us - (int64_t) rng_below(&monitor->rng, (uint64_t) server->interval_us);
    loop_timer_start(&server->timer, 0, 0);
    return server->id;
}

void monitor_remove(Monitor *monitor, int id)
{
    Server *server = find(monitor, id);

    if (server == NULL)
        return;
    server_free(server);
    monitor_line_run(monitor);
}

static void poll_now(Server *server)
{
    if (server->step == STEP_IDLE)
        loop_timer_start(&server->timer, 0, 0);
}

void monitor_set(Monitor *monitor, int id, int64_t interval_ms, int64_t timeout_ms, bool heartbeat)
{
    Server *server = find(monitor, id);

    if (server == NULL || interval_ms < INTERVAL_LEAST || interval_ms > INTERVAL_MOST || timeout_ms < 1)
        return;
    /* The prepared statement and the server's own timeout are the connection's. */
    server->renew = server->renew || server->timeout_ms != timeout_ms || server->heartbeat != heartbeat;
    server->interval_us = interval_ms * US_PER_MS;
    server->timeout_ms = timeout_ms;
    server->heartbeat = heartbeat;
    poll_now(server);
}

void monitor_now(Monitor *monitor, int id)
{
    Server *server = find(monitor, id);

    if (server != NULL)
        poll_now(server);
    for (unsigned i = 0; id == -1 && i < monitor->slots; i++)
        if (monitor->slot[i] != NULL)
            poll_now(monitor->slot[i]);
}

const MonitorSample *monitor_sample(const Monitor *monitor, int id)
{
    const Server *server = find(monitor, id);

    return server != NULL ? &server->sample : NULL;
}

void monitor_replication_update(MonitorReplication *replication, const MonitorSample *sample, int64_t now_us)
{
    if (!sample->ok)
        return;
    replication->lag_us = -1;
    if (!sample->in_recovery) {
        *replication = (MonitorReplication){.lag_us = -1, .min_lag_us = -1};
        return;
    }
    if (replication->since_us == 0) {
        replication->since_us = now_us;
        replication->min_lag_us = -1;
    }
    if (sample->replayed_us == 0)
        return;
    replication->lag_us = llabs(sample->db_time_us - sample->replayed_us);
    if (replication->min_lag_us < 0 || replication->lag_us < replication->min_lag_us)
        replication->min_lag_us = replication->lag_us;
}

const MonitorReplication *monitor_replication(const Monitor *monitor, int id)
{
    const Server *server = find(monitor, id);

    return server != NULL ? &server->replication : NULL;
}

MonitorStats monitor_stats(const Monitor *monitor)
{
    MonitorStats stats = monitor->stats;

    stats.servers = monitor->servers;
    stats.connecting = monitor->connecting + monitor->aside;
    stats.waiting = monitor->waiting;
    return stats;
}

const char *monitor_trouble_name(MonitorTrouble trouble)
{
    static const char *const names[MONITOR_TROUBLES] = {"", "unreachable", "timeout", "authentication",
                                                        "other"};

    return names[trouble];
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

Monitor *monitor_new(uv_loop_t *loop, const MonitorOptions *options, MonitorFn *on_sample, void *arg)
{
    Monitor *monitor = calloc(1, sizeof *monitor);

    if (monitor == NULL)
        abort();
    raise_file_limit();
    monitor->loop = loop;
    if (options != NULL)
        monitor->options = *options;
    if (monitor->options.connecting_max == 0)
        monitor->options.connecting_max = CONNECTING_MAX;
    if (monitor->options.stagger_us == 0)
        monitor->options.stagger_us = STAGGER_US;
    monitor->on_sample = on_sample;
    monitor->arg = arg;
    monitor->rng = (uint64_t) clock_now().boot_us;
    loop_timer_init(&monitor->gate, loop, monitor_line_run, monitor);
    return monitor;
}

void monitor_free(Monitor *monitor)
{
    if (monitor == NULL)
        return;
    for (unsigned i = 0; i < monitor->slots; i++)
        if (monitor->slot[i] != NULL)
            server_free(monitor->slot[i]);
    loop_timer_done(&monitor->gate);
    free(monitor->slot);
    free(monitor);
}
