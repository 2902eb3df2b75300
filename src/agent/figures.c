/*
 * figures.c: one query each facts_interval, sooner again if it failed.
 */
#include "agent/figures.h"

#include "agent/internal.h"
#include "pg/conn.h"
#include "pg/sizes.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mask.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_US     (US_PER_SEC)
#define AGAIN_US     (10 * US_PER_SEC) /* no server to be asked, or no answer */
#define WANTED_US    (60 * US_PER_SEC)
#define CONNECT_MS   5000
#define CONNINFO_MAX 1024

struct Figures {
    Agent *agent;
    Conn *conn;
    LoopTimer timer;
    int64_t answered_us; /* the newest answer to a poll, wall clock; 0: none yet */
    int64_t looked_us;   /* these are of then, wall clock; 0: nothing is known */
    int64_t wanted_us;   /* asked for out of turn, boot clock; 0: never */
    Sizes sizes;         /* without primary_conninfo */
    char conninfo[CONNINFO_MAX];
};

static void plan_next(Figures *figures, int64_t at_most_us)
{
    int64_t every_us = (int64_t) figures->agent->config->node.facts_interval_ms * US_PER_MS;

    conn_close(figures->conn);
    if (every_us > 0)
        loop_timer_start(&figures->timer, at_most_us > 0 && at_most_us < every_us ? at_most_us : every_us, 0);
}

static void fail(Figures *figures, const Err *err)
{
    static LogLimit limit;
    char quoted[sizeof err->text * 2];

    log_limited(&limit, LOG_LEVEL_WARN, "facts_unknown", "reason=%s",
                log_quote(err->text, quoted, sizeof quoted));
    plan_next(figures, AGAIN_US);
}

static void on_figures(void *arg, const ConnReply *reply)
{
    Figures *figures = arg;

    if (!reply->ok) {
        fail(figures, &reply->err);
        return;
    }
    figures->looked_us = clock_now().wall_us;
    figures->sizes = sizes_read(reply->result);
    mask_text(NULL, figures->sizes.primary_conninfo, figures->conninfo, sizeof figures->conninfo);
    figures->sizes.primary_conninfo = NULL;
    plan_next(figures, 0);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    Figures *figures = arg;

    if (reply->ok)
        conn_query(figures->conn, SIZES_QUERY, SIZES_STATEMENT_MS + CONNECT_MS, on_figures, figures);
    else
        fail(figures, &reply->err);
}

/* Not while something is done to it: a connection would hold up what waits for all to be gone. */
static void look(void *arg)
{
    Figures *figures = arg;
    const Agent *agent = figures->agent;
    const PgStatus *status = poll_status(agent->poll);
    bool runs = status->state == SERVER_PRIMARY || status->state == SERVER_STANDBY;

    if (!runs || !status->responsive || status->connections_full || agent->core.action.kind != ACTION_NONE) {
        plan_next(figures, AGAIN_US);
        return;
    }
    ConnTarget target = observe_server(agent);
    conn_connect(figures->conn, &target, CONNECT_MS, on_connected, figures);
}

void figures_reload(Figures *figures)
{
    if (figures == NULL)
        return;
    loop_timer_stop(&figures->timer);
    if (figures->agent->config->node.facts_interval_ms == 0)
        figures->looked_us = 0;
    plan_next(figures, FIRST_US);
}

Figures *figures_new(struct Agent *agent)
{
    Figures *figures = calloc(1, sizeof *figures);

    if (figures == NULL)
        abort();
    figures->agent = agent;
    figures->conn = conn_new(&agent->loop);
    loop_timer_init(&figures->timer, &agent->loop, look, figures);
    plan_next(figures, FIRST_US);
    return figures;
}

void figures_answered(Figures *figures)
{
    if (figures != NULL)
        figures->answered_us = clock_now().wall_us;
}

uint64_t figures_database_bytes(Figures *figures)
{
    if (figures == NULL)
        return 0;
    int64_t now_us = clock_now().boot_us, every_us = figures->looked_us != 0 ? WANTED_US : AGAIN_US;
    if (!conn_is_busy(figures->conn) &&
        (figures->wanted_us == 0 || now_us - figures->wanted_us >= every_us)) {
        figures->wanted_us = now_us;
        loop_timer_start(&figures->timer, 0, 0);
    }
    return figures->looked_us != 0 ? (uint64_t) figures->sizes.database_bytes : 0;
}

void figures_add(const Figures *figures, Buf *out)
{
    if (figures == NULL || (figures->looked_us == 0 && figures->answered_us == 0)) {
        json_add_null(out, "facts");
        return;
    }
    json_add_open(out, "facts", '{');
    json_add_time(out, "last_connection", figures->answered_us);
    json_add_time(out, "as_of", figures->looked_us);
    if (figures->looked_us != 0) {
        json_add_time(out, "db_time", figures->sizes.server_us);
        json_add_number(out, "db_bytes", figures->sizes.database_bytes);
        json_add_number(out, "wal_bytes", figures->sizes.wal_bytes);
        json_add_number(out, "wal_files", figures->sizes.wal_files);
        json_add_number(out, "slots", figures->sizes.slots);
        json_add_text(out, "primary_conninfo", figures->conninfo[0] != '\0' ? figures->conninfo : NULL);
        json_add_text(out, "primary_slot_name", poll_status(figures->agent->poll)->slot);
    }
    json_add_close(out, '}');
}

static void gauge(const Figures *figures, Buf *out, const char *name, const char *help, int64_t value)
{
    api_metrics_head(out, name, "gauge", help);
    buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\"} %" PRId64 "\n", name,
               figures->agent->config->cluster.name, figures->agent->core.options.name, value);
}

void figures_metrics(const Figures *figures, Buf *out)
{
    if (figures == NULL)
        return;
    if (figures->answered_us != 0)
        gauge(figures, out, "server_answered_timestamp_seconds",
              "When the server answered last, in seconds since 1970.", figures->answered_us / US_PER_SEC);
    if (figures->looked_us == 0)
        return;
    gauge(figures, out, "facts_timestamp_seconds",
          "When the next ones were found out, in seconds since 1970.", figures->looked_us / US_PER_SEC);
    gauge(figures, out, "server_databases_bytes", "Size of all databases.", figures->sizes.database_bytes);
    gauge(figures, out, "server_wal_bytes", "Size of pg_wal.", figures->sizes.wal_bytes);
    gauge(figures, out, "server_wal_files", "Files in pg_wal.", figures->sizes.wal_files);
    gauge(figures, out, "server_slots", "Replication slots, of all kinds.", figures->sizes.slots);
}

void figures_free(Figures *figures)
{
    if (figures == NULL)
        return;
    conn_free(figures->conn);
    loop_timer_done(&figures->timer);
    free(figures);
}
