/*
 * api_metrics_patroni.c: the metrics that Patroni has, under its names and labels, for dashboards and alerts
 * made for it.
 *
 * Patroni calls its positions counters. Prometheus wants a counter's name to end in _total, so that they are
 * gauges here; queries do not see the difference.
 */
#include "agent/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void one(const Agent *agent, Buf *out, const char *name, const char *help, int64_t value)
{
    buf_printf(out, "# HELP patroni_%s %s\n# TYPE patroni_%s gauge\n", name, help, name);
    buf_printf(out, "patroni_%s{scope=\"%s\",name=\"%s\"} %" PRId64 "\n", name, agent->config->cluster.name,
               agent->core.options.name, value);
}

/* 1.2.3 as 10203. */
static int64_t version_number(const char *text)
{
    int64_t number = 0;

    for (int part = 0; part < 3; part++) {
        char *end = NULL;
        number = number * 100 + strtol(text, &end, 10);
        text = *end == '.' ? end + 1 : end;
    }
    return number;
}

static void add_positions(const Agent *agent, const PgStatus *server, Buf *out)
{
    const Core *core = &agent->core;
    bool primary = core->pg.state == PG_PRIMARY, standby = core->pg.state == PG_STANDBY;

    one(agent, out, "xlog_location", "Position of the primary's WAL in bytes, 0 on another one.",
        primary ? (int64_t) server->lsn : 0);
    one(agent, out, "xlog_received_location", "Position in bytes that a standby received, 0 on a primary.",
        standby ? (int64_t) server->receive_lsn : 0);
    one(agent, out, "xlog_replayed_location", "Position in bytes that a standby replayed, 0 on a primary.",
        standby ? (int64_t) server->replay_lsn : 0);
    one(agent, out, "xlog_replayed_timestamp",
        "When the newest replayed transaction was committed, in seconds since 1970, 0 if there is none.",
        standby ? server->replayed_us / US_PER_SEC : 0);
    one(agent, out, "xlog_paused", "1 while a standby's replay is paused.", standby && server->replay_paused);
}

static void add_server(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    const PgStatus *server = poll_status(agent->poll);
    const char *role = api_patroni_role(core, core->self);
    const char *replication = api_patroni_replication_state(agent);
    bool running = strcmp(api_patroni_state(agent), "running") == 0;

    one(agent, out, "postgres_running", "1 if PostgreSQL runs and answers.", running);
    one(agent, out, "postmaster_start_time", "When PostgreSQL was started, in seconds since 1970.",
        server->started_us / US_PER_SEC);
    one(agent, out, "primary", "1 if PostgreSQL runs here as the primary.", core->pg.state == PG_PRIMARY);
    one(agent, out, "standby_leader", "Always 0: pgvigil has no standby clusters.", 0);
    one(agent, out, "replica", "1 if PostgreSQL runs here as a standby.", core->pg.state == PG_STANDBY);
    one(agent, out, "sync_standby", "1 if each commit waits for this standby.",
        strcmp(role, "sync_standby") == 0);
    one(agent, out, "quorum_standby",
        "1 if each commit waits for some of a set of standbys with this one in it.",
        strcmp(role, "quorum_standby") == 0);
    add_positions(agent, server, out);
    one(agent, out, "postgres_streaming", "1 if this standby streams.",
        strcmp(replication, "streaming") == 0);
    one(agent, out, "postgres_in_archive_recovery", "1 if this standby replays from the archive.",
        strcmp(replication, "in archive recovery") == 0);
    one(agent, out, "postgres_server_version", "PostgreSQL's version, 150002 for 15.2.",
        running ? server->server_version : 0);
    one(agent, out, "postgres_timeline", "PostgreSQL's timeline.", core->pg.timeline);
    one(agent, out, "pending_restart", "1 if a changed setting waits for a restart.",
        core->pg.pending_restart);
}

void api_metrics_patroni(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    int64_t seen = api_patroni_seen(core);

    one(agent, out, "version", "Version of pgvigil, without its full stops.",
        version_number(PGVIGIL_VERSION));
    if (core->options.kind == MEMBER_DATA && agent->poll != NULL)
        add_server(agent, out);
    one(agent, out, "cluster_unlocked", "1 if no leader is known.", seen == 0);
    one(agent, out, "failsafe_mode_is_active", "Always 0: pgvigil has no such mode.", 0);
    one(agent, out, "dcs_last_seen", "When the leader was last heard of, in seconds since 1970.", seen);
    one(agent, out, "is_paused", "1 while the cluster is paused.", core->persist.doc.paused);
}
