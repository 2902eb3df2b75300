/*
 * api_metrics.c: the numbers for Prometheus, in its text format, version 0.0.4.
 */
#include "agent/internal.h"

#include <inttypes.h>
#include <stdio.h>

void api_metrics_head(Buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP pgvigil_%s %s\n# TYPE pgvigil_%s %s\n", name, help, name, type);
}

static void one(const Agent *agent, Buf *out, const char *name, const char *type, const char *help,
                int64_t value)
{
    api_metrics_head(out, name, type, help);
    buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\"} %" PRId64 "\n", name,
               agent->config->cluster.name, agent->core.options.name, value);
}

/* Milliseconds as Prometheus wants them. */
static void one_in_seconds(const Agent *agent, Buf *out, const char *name, const char *help, int64_t ms)
{
    api_metrics_head(out, name, "gauge", help);
    buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\"} %" PRId64 ".%03d\n", name,
               agent->config->cluster.name, agent->core.options.name, ms / 1000, (int) (ms % 1000));
}

static void add_refusals(const Agent *agent, Buf *out, const PeerCounters *counters)
{
    api_metrics_head(out, "peer_refused_total", "counter", "Messages and commands refused, by reason.");
    for (int reason = 1; reason < AUTH_REASONS; reason++)
        buf_printf(out,
                   "pgvigil_peer_refused_total{cluster=\"%s\",member=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                   agent->config->cluster.name, agent->core.options.name,
                   auth_reason_name((AuthReason) reason), counters->refused[reason]);
}

static void add_peers(const Agent *agent, Buf *out)
{
    const PeerCounters *counters = peer_net_counters(agent->peers);

    one(agent, out, "peer_received_total", "counter", "Authentic messages and commands received.",
        (int64_t) counters->received);
    one(agent, out, "peer_sent_total", "counter", "Messages sent.", (int64_t) counters->sent);
    one(agent, out, "peer_failed_total", "counter", "Messages sent and not answered in time.",
        (int64_t) counters->failed);
    add_refusals(agent, out, counters);
}

/* Counted by the extension since the server's start. */
static void add_fence(const Agent *agent, Buf *out)
{
    const FenceState *fence = agent->poll != NULL ? &poll_status(agent->poll)->fence : NULL;

    if (fence == NULL || !fence->loaded)
        return;
    one(agent, out, "fence_waits_total", "counter", "Commits that had to wait for the fence.",
        (int64_t) fence->waits);
    one(agent, out, "fence_refusals_total", "counter", "Commits that were refused.",
        (int64_t) fence->refusals);
    one(agent, out, "fence_cut_total", "counter",
        "Clients cut off since the lease ended between commit and answer.", (int64_t) fence->cut);
}

static void add_server(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    Lsn primary = api_primary_lsn(core);

    one(agent, out, "server_up", "gauge", "1 if PostgreSQL answers.", core->pg.responsive);
    one(agent, out, "server_primary", "gauge", "1 if PostgreSQL runs and can write.",
        core->pg.state == PG_PRIMARY);
    one(agent, out, "server_streaming", "gauge", "1 if this standby streams.", core->pg.streaming);
    one(agent, out, "server_timeline", "gauge", "Timeline of the newest WAL.", core->pg.timeline);
    one(agent, out, "server_lsn_bytes", "gauge",
        "WAL position: flushed, or the larger of received and replayed.", (int64_t) core->pg.lsn);
    if (primary != LSN_NONE && core->pg.lsn != LSN_NONE)
        one(agent, out, "server_lag_bytes", "gauge",
            "WAL that the primary has and this server has not; not there while no primary is heard of.",
            (int64_t) (primary > core->pg.lsn ? primary - core->pg.lsn : 0));
    one(agent, out, "server_replayed_bytes", "gauge", "Position up to which this standby has replayed.",
        (int64_t) core->pg.replay_lsn);
    one_in_seconds(
        agent, out, "server_replay_lag_seconds",
        "Age of the newest transaction that this standby replayed; 0 if it has replayed all it has.",
        core->pg.state == PG_STANDBY && core->pg.replay_lag_ms > 0 ? core->pg.replay_lag_ms : 0);
    one(agent, out, "server_pending_restart", "gauge",
        "1 if a changed setting waits for a restart of PostgreSQL.", core->pg.pending_restart);
    one(agent, out, "server_eligible", "gauge", "1 if this member could become primary now.",
        core_is_eligible(core));
    one(agent, out, "server_disk_stuck", "gauge", "1 if the disk under the server takes no writes.",
        core->pg.disk_stuck);
    one(agent, out, "server_disk_full", "gauge", "1 if the disk under the server is full.",
        core->pg.disk_full);
    const PgStatus *server = agent->poll != NULL ? poll_status(agent->poll) : NULL;
    if (server != NULL && server->disk_size > 0) {
        one(agent, out, "server_disk_size_bytes", "gauge", "Size of the file system with the data directory.",
            (int64_t) server->disk_size);
        one(agent, out, "server_disk_free_bytes", "gauge", "What of it is free for users other than root.",
            (int64_t) server->disk_free);
    }
    one(agent, out, "server_fenced", "gauge", "1 if the server itself keeps its commits to the fence.",
        core->pg.fenced);
    add_fence(agent, out);
    if (netcheck_is_on(agent->netcheck))
        one(agent, out, "network_ok", "gauge", "0 while this machine's own network check has failed.",
            !netcheck_cut_off(agent->netcheck));
    figures_metrics(agent->figures, out);
    one(agent, out, "server_standbys", "gauge", "Members that stream from this primary.", core->pg.standbys);
    one(agent, out, "sync_standbys", "gauge", "Standbys that each commit waits for.",
        core->persist.doc.sync_needed);
    one(agent, out, "sync_wanted", "gauge", "Standbys that each commit should wait for.",
        core->options.sync_mode != SYNC_OFF ? core->options.sync_k : 0);
    one(agent, out, "action_failures", "gauge", "Actions on the server that failed in a row.",
        core->failures);
}

/* Who belongs, and who of them is heard of. */
static void add_members(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    const Document *doc = &core->persist.doc;

    api_metrics_head(out, "member_reachable", "gauge",
                     "1 if that member was heard of just now, by this one or by the leader.");
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE)
            buf_printf(out, "pgvigil_member_reachable{cluster=\"%s\",member=\"%s\",peer=\"%s\"} %d\n",
                       agent->config->cluster.name, core->options.name, doc->member[no].name,
                       api_is_reachable(core, no));
}

static void add_http(const Agent *agent, Buf *out)
{
    const HttpServerCounters *counters = http_server_counters(agent->http);

    one(agent, out, "http_requests_total", "counter", "Requests answered by the public listener.",
        (int64_t) atomic_load(&counters->requests));
    one(agent, out, "http_connections", "gauge", "Connections to the public listener.",
        (int64_t) atomic_load(&counters->connected));
    one(agent, out, "http_connections_refused_total", "counter",
        "Connections closed at once, because too many were there.",
        (int64_t) atomic_load(&counters->refused));
    one(agent, out, "http_connections_shut_total", "counter", "Connections closed for being idle or slow.",
        (int64_t) atomic_load(&counters->shut));
    if (agent->certificate_expires != 0)
        one(agent, out, "http_certificate_expiry_timestamp_seconds", "gauge",
            "When the public listener's certificate expires, in seconds since 1970.",
            agent->certificate_expires);
}

void api_metrics(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    bool lease = core->role == ROLE_LEADER && core_lease_holds(core, &core->now);

    api_metrics_head(out, "info", "gauge", "Version of this agent.");
    buf_printf(out, "pgvigil_info{cluster=\"%s\",member=\"%s\",version=\"%s\"} 1\n",
               agent->config->cluster.name, core->options.name, PGVIGIL_VERSION);
    one(agent, out, "term", "gauge", "The election term.", (int64_t) core->persist.term);
    one(agent, out, "epoch", "gauge", "Takeovers so far.", core->persist.doc.epoch);
    one(agent, out, "leader", "gauge", "1 if this member leads.", core->role == ROLE_LEADER);
    one(agent, out, "lease_held", "gauge", "1 if this member holds the lease.", lease);
    int64_t left_us = lease ? core_lease_until(core).boot_us - core->now.boot_us : 0;
    one_in_seconds(agent, out, "lease_remaining_seconds",
                   "How long the lease held here is still good, 0 without one.", left_us / US_PER_MS);
    one(agent, out, "leader_known", "gauge", "1 if this member knows a leader.", core->leader != MEMBER_NONE);
    one(agent, out, "paused", "gauge", "1 while the cluster is paused.", core->persist.doc.paused);
    one(agent, out, "primaries_doubled", "gauge", "1 while more than one server runs as a primary.",
        core_primaries(core) != 0);
    one(agent, out, "resolve_waiting", "gauge",
        "Members whose own WAL is not discarded before pgvigil resolve --keep.", api_primaries_waiting(core));
    one(agent, out, "alarms", "gauge", "What pgvigil status shows as alarms.", agent->alarms.count);
    one(agent, out, "operation_running", "gauge", "1 while an operator's order is being carried out.",
        core->op.id != 0 && core->op.state == OP_RUNNING);
    one(agent, out, "disk_failed", "gauge", "1 while the state cannot be written.", core->disk_failed);
    if (core->options.kind == MEMBER_DATA)
        add_server(agent, out);
    gates_metrics(agent, out);
    add_peers(agent, out);
    add_members(agent, out);
    lag_metrics(agent, out);
    tell_metrics(agent, out);
    add_http(agent, out);
    api_metrics_patroni(agent, out);
}
