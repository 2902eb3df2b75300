/*
 * api.c: the texts of the public listener, made anew when something changed: cluster, explain, operation.
 *
 * Their members are described in docs/manual.md; scripts read them, so they are added to and never renamed.
 */
#include "agent/internal.h"

#include "sys/clock.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *api_name(const Agent *agent, MemberNo no)
{
    return no >= 0 ? agent->core.persist.doc.member[no].name : NULL;
}

/* The report of a member, the own one included. */
Report api_report(const Core *core, MemberNo no)
{
    return no == core->self ? core_report(core) : core->peer[no].report;
}

int64_t api_seen_ms(const Core *core, MemberNo no)
{
    if (no == core->self)
        return 0;
    return core->peer[no].heard ? (core->now.boot_us - core->peer[no].heard_at.boot_us) / US_PER_MS : -1;
}

/* A leader hears from everybody with each heartbeat; the others hear of everybody each second, from it. */
bool api_is_reachable(const Core *core, MemberNo no)
{
    int64_t beats_ms = 3 * (int64_t) core->persist.doc.heartbeat_ms;
    int64_t limit_ms = (beats_ms > 500 ? beats_ms : 500) + (core->role == ROLE_LEADER ? 0 : 1000);
    int64_t ms = api_seen_ms(core, no);

    return ms >= 0 && ms <= limit_ms;
}

Lsn api_primary_lsn(const Core *core)
{
    MemberNo no = core->persist.doc.primary;

    if (no == MEMBER_NONE || core->leader == MEMBER_NONE || !api_is_reachable(core, no))
        return LSN_NONE;
    Report report = api_report(core, no);
    return report.pg.state == PG_PRIMARY ? report.pg.lsn : LSN_NONE;
}

static const char *kind_of(const Core *core, MemberNo no, const Report *report)
{
    if (core->persist.doc.member[no].kind == MEMBER_WITNESS)
        return "witness";
    if (report->pg.state == PG_PRIMARY)
        return "primary";
    return report->pg.state == PG_STANDBY ? "standby" : "none";
}

static void add_number_or_null(Buf *out, const char *key, bool known, int64_t value)
{
    if (known)
        json_add_number(out, key, value);
    else
        json_add_null(out, key);
}

static void add_server(const Agent *agent, Buf *out, MemberNo no, const Report *report)
{
    const Core *core = &agent->core;
    Lsn primary = api_primary_lsn(core);
    bool running = report->pg.state == PG_STANDBY || report->pg.state == PG_PRIMARY;
    bool lag_known = running && primary != LSN_NONE && report->pg.lsn != LSN_NONE;
    Lsn lag = primary > report->pg.lsn ? primary - report->pg.lsn : 0;

    add_number_or_null(out, "timeline", report->pg.timeline != 0, report->pg.timeline);
    json_add_lsn_or_null(out, "lsn", report->pg.lsn);
    add_number_or_null(out, "lag_bytes", lag_known, (int64_t) lag);
    add_number_or_null(out, "lag_ms", report->pg.state == PG_PRIMARY || report->pg.replay_lag_ms >= 0,
                       report->pg.state == PG_PRIMARY ? 0 : report->pg.replay_lag_ms);
    lag_add(agent, out, no);
    json_add_bool(out, "streaming", report->pg.streaming);
    json_add_text(out, "upstream",
                  report->pg.state == PG_STANDBY ? api_name(agent, report->pg.upstream) : NULL);
    json_add_number(out, "epoch", report->wal_epoch);
    json_add_text(out, "action", report->action != ACTION_NONE ? action_kind_name(report->action) : NULL);
    add_number_or_null(out, "progress", report->action != ACTION_NONE && report->progress <= 100,
                       report->progress);
    json_add_bool(out, "fenced", report->pg.fenced);
    json_add_bool(out, "pending_restart", report->pg.pending_restart);
    json_add_number(out, "version", report->pg.server_version);
    api_primaries_add(out, report);
}

static void add_member(const Agent *agent, Buf *out, MemberNo no)
{
    const Core *core = &agent->core;
    const DocMember *member = &core->persist.doc.member[no];
    int index = agent_member_index(agent, no);
    const ConfigMember *address = index >= 0 ? &agent->config->member[index] : NULL;
    Report report = api_report(core, no);
    bool reachable = api_is_reachable(core, no);

    if (!reachable)
        report.pg.state = PG_UNKNOWN, report.pg.streaming = false;
    json_add_open(out, NULL, '{');
    json_add_text(out, "name", member->name);
    json_add_text(out, "role", member->kind == MEMBER_WITNESS ? "witness" : "data");
    json_add_text(out, "kind", kind_of(core, no, &report));
    json_add_bool(out, "self", no == core->self);
    json_add_bool(out, "leader", no == core->leader);
    json_add_text(out, "host", address != NULL ? address->host : NULL);
    json_add_number(out, "port", address != NULL ? address->port : 0);
    json_add_number(out, "http_port", address != NULL ? address->http_port : 0);
    json_add_number(out, "agent_port", address != NULL ? address->agent_port : 0);
    json_add_text(out, "state", member->kind == MEMBER_WITNESS ? "none" : pg_state_name(report.pg.state));
    json_add_bool(out, "reachable", reachable);
    add_number_or_null(out, "last_seen_ms", api_seen_ms(core, no) >= 0, api_seen_ms(core, no));
    if (member->kind == MEMBER_DATA) {
        add_server(agent, out, no, &report);
        api_own_add(agent, out, no == core->self);
    }
    json_add_bool(out, "no_failover", report.no_failover);
    json_add_bool(out, "no_sync", report.no_sync);
    json_add_bool(out, "no_load_balance", report.no_load_balance);
    json_add_bool(out, "eligible", report.eligible);
    json_add_bool(out, "disk_failed", report.disk_failed);
    json_add_text(out, "rule", report.rule < explain_rule_count() ? explain_rule(0, report.rule).name : NULL);
    json_add_bool(out, "voter", member->voter);
    json_add_bool(out, "leaving", member->leaving);
    json_add_text(out, "sync", api_sync_of(core, no));
    json_add_close(out, '}');
}

static void add_alarms(const Agent *agent, Buf *out)
{
    json_add_open(out, "alarms", '[');
    for (int i = 0; i < agent->alarms.count; i++)
        json_add_text(out, NULL, agent->alarms.alarm[i].text);
    json_add_close(out, ']');
}

static void add_operation(const Agent *agent, Buf *out, const char *key)
{
    static const char *const states[] = {"none", "running", "done", "failed"};
    const Core *core = &agent->core;
    const Op *op = &core->op;

    if (op->id == 0) {
        json_add_null(out, key);
        return;
    }
    json_add_open(out, key, '{');
    json_add_number(out, "id", op->id);
    json_add_text(out, "verb", command_name(op->kind));
    json_add_text(out, "state", states[op->state]);
    json_add_text(out, "target", op->name[0] != '\0' ? op->name : api_name(agent, op->target));
    json_add_text(out, "step", op->text);
    int64_t since_ms = (core->now.boot_us - op->begun_at.boot_us) / US_PER_MS;
    json_add_number(out, "duration_ms", op->state == OP_RUNNING ? since_ms : op->duration_ms);
    add_number_or_null(out, "ended_ms", op->state != OP_RUNNING, since_ms - op->duration_ms);
    json_add_close(out, '}');
}

static void add_lease(const Core *core, Buf *out)
{
    bool held = core->role == ROLE_LEADER && core_lease_holds(core, &core->now);
    int64_t left_us = held ? core_lease_until(core).boot_us - core->now.boot_us : 0;

    json_add_open(out, "lease", '{');
    json_add_bool(out, "held", held);
    json_add_number(out, "remaining_ms", left_us / US_PER_MS);
    json_add_number(out, "ms", core->persist.doc.lease_ms);
    json_add_close(out, '}');
}

static void make_cluster(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    const Document *doc = &core->persist.doc;
    bool quorum =
        core->role == ROLE_LEADER ? core_lease_holds(core, &core->now) : core->leader != MEMBER_NONE;

    json_add_open(out, NULL, '{');
    json_add_text(out, "cluster", agent->config->cluster.name);
    json_add_text(out, "member", core->options.name);
    json_add_time(out, "generated", core->now.wall_us);
    json_add_text(out, "version", PGVIGIL_VERSION);
    json_add_number(out, "term", (int64_t) core->persist.term);
    json_add_number(out, "epoch", doc->epoch);
    json_add_big(out, "system_identifier", doc->system_identifier);
    json_add_text(out, "primary", api_name(agent, core_primary(core)));
    json_add_text(out, "leader", api_name(agent, core->leader));
    json_add_bool(out, "quorum", quorum);
    json_add_text(out, "outside", membership_outside(core));
    json_add_bool(out, "paused", doc->paused);
    json_add_text(out, "pause_reason", doc->paused ? doc->pause_reason : NULL);
    json_add_time(out, "pause_until", doc->paused ? doc->pause_until_us : 0);
    add_lease(core, out);
    api_sync_add(agent, out);
    json_add_open(out, "document", '{');
    json_add_number(out, "term", (int64_t) doc->id.term);
    json_add_number(out, "version", (int64_t) doc->id.version);
    json_add_number(out, "lease_ms", doc->lease_ms);
    json_add_number(out, "heartbeat_ms", doc->heartbeat_ms);
    json_add_bool(out, "in_force", core->doc_in_force);
    json_add_close(out, '}');
    json_add_open(out, "members", '[');
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE)
            add_member(agent, out, no);
    json_add_close(out, ']');
    opinions_add(agent, out);
    add_operation(agent, out, "operation");
    gates_add(agent, out);
    add_alarms(agent, out);
    json_add_close(out, '}');
    buf_puts(out, "\n");
}

/* What the facts do not tell: why an action fails, why nothing streams. */
static void add_problems(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;

    json_add_open(out, "problems", '[');
    if (core->failures > 0)
        json_add_text(out, NULL, core->failure);
    else if (hold_refusal(agent)[0] != '\0')
        json_add_text(out, NULL, hold_refusal(agent));
    if (streaming_problem(agent)[0] != '\0')
        json_add_text(out, NULL, streaming_problem(agent));
    for (int i = 0; i < agent->alarms.count; i++) {
        const Alarm *alarm = &agent->alarms.alarm[i];
        if (alarm->kind == NOTIFY_EVENT_secret)
            json_add_text(out, NULL, alarm->text);
    }
    json_add_close(out, ']');
}

static void make_explain(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    char election[256];

    explain_election(core, election, sizeof election);
    json_add_open(out, NULL, '{');
    json_add_text(out, "member", core->options.name);
    json_add_text(out, "election", election);
    json_add_open(out, "facts", '[');
    for (int fact = 0; fact < FACTS; fact++)
        if (core->facts & (FactSet) 1 << fact)
            json_add_text(out, NULL, facts_name((Fact) fact));
    json_add_close(out, ']');
    add_problems(agent, out);
    json_add_open(out, "rules", '[');
    for (size_t row = 0; row < explain_rule_count(); row++) {
        ExplainRow rule = explain_rule(core->facts, row);
        json_add_open(out, NULL, '{');
        json_add_text(out, "name", rule.name);
        json_add_text(out, "text", rule.text);
        json_add_text(out, "action", rule.action);
        json_add_bool(out, "matched", rule.matched);
        json_add_bool(out, "decisive", rule.decisive);
        json_add_text(out, "missing", rule.missing);
        json_add_text(out, "forbidden", rule.forbidden);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
    json_add_close(out, '}');
    buf_puts(out, "\n");
}

static void make_history(const Agent *agent, Buf *out)
{
    json_add_open(out, NULL, '{');
    json_add_text(out, "member", agent->core.options.name);
    json_add_open(out, "entries", '[');
    for (size_t i = 0; i < agent->history_len; i++)
        json_add_raw(out, NULL, agent->history[i], strlen(agent->history[i]));
    json_add_close(out, ']');
    json_add_close(out, '}');
    buf_puts(out, "\n");
}

void api_positions(Agent *agent)
{
    const Core *core = &agent->core;
    const PgStatus *server = agent->poll != NULL ? poll_status(agent->poll) : NULL;
    Publisher *publisher = &agent->publisher;

    atomic_store(&publisher->primary_lsn, api_primary_lsn(core));
    atomic_store(&publisher->received_lsn, server != NULL ? server->lsn : LSN_NONE);
    atomic_store(&publisher->replayed_lsn, server != NULL ? server->replay_lsn : LSN_NONE);
}

void api_publish(Agent *agent)
{
    const Core *core = &agent->core;
    Snapshot *snapshot = calloc(1, sizeof *snapshot);
    bool hears = core->leader != MEMBER_NONE;
    bool witness = core->options.kind == MEMBER_WITNESS;
    bool standby = core->pg.state == PG_STANDBY && core->pg.responsive;

    if (snapshot == NULL)
        return;
    snapshot->made_at = clock_now();
    snapshot->fresh_us = (int64_t) agent->config->http.freshness_ms * US_PER_MS;
    snapshot->standby = standby && core_primary(core) != core->self;
    snapshot->primary = core->pg.state == PG_PRIMARY && core->persist.doc.primary == core->self;
    snapshot->replica = snapshot->standby && core->pg.streaming;
    snapshot->in_sync_set = api_sync_of(core, core->self) != NULL;
    snapshot->healthy = witness ? hears : core->pg.responsive && (standby || core->pg.state == PG_PRIMARY);
    snapshot->ready = witness ? hears : snapshot->replica;
    api_patroni_fill(agent, snapshot);
    lag_look(agent);
    alarms_find(agent, &agent->alarms);
    make_cluster(agent, &snapshot->cluster);
    make_history(agent, &snapshot->history);
    make_explain(agent, &snapshot->explain);
    add_operation(agent, &snapshot->operation, NULL);
    api_metrics(agent, &snapshot->metrics);
    snapshot_publish(&agent->publisher, snapshot);
}
