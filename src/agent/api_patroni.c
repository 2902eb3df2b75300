/*
 * api_patroni.c: what Patroni's users ask for, with Patroni's words and members: the status of this server,
 * the cluster's members, the takeovers so far.
 *
 * Members that only pgvigil has are in an object of their own, "pgvigil". What pgvigil has no notion of is
 * left out, as Patroni does.
 */
#include "agent/internal.h"

#include "config/tags.h"
#include "wire/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIME_LEN 48

static const PgStatus *server_of(const Agent *agent)
{
    return agent->poll != NULL ? poll_status(agent->poll) : NULL;
}

/* As Python writes a time with its zone; NULL for 0. */
static const char *time_text(int64_t wall_us, char *ret_text)
{
    time_t seconds = (time_t) (wall_us / US_PER_SEC);
    struct tm tm;
    char day[24];

    if (wall_us == 0 || gmtime_r(&seconds, &tm) == NULL)
        return NULL;
    strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(ret_text, TIME_LEN, "%s.%06d+00:00", day, (int) (wall_us % US_PER_SEC));
    return ret_text;
}

const char *api_patroni_state(const Agent *agent)
{
    const Core *core = &agent->core;

    switch (core->action.kind) {
    case ACTION_CLONE: return "creating replica";
    case ACTION_INITDB: return "initializing new cluster";
    case ACTION_STOP_FAST:
    case ACTION_STOP_IMMEDIATE: return "stopping";
    case ACTION_RESTART_STANDBY: return "restarting";
    default: break;
    }
    switch (core->pg.state) {
    case PG_STANDBY:
    case PG_PRIMARY: return core->pg.responsive ? "running" : "unknown";
    case PG_STARTING: return "starting";
    case PG_CRASHED: return "crashed";
    case PG_STOPPED: return "stopped";
    case PG_EMPTY: return "uninitialized";
    default: return "unknown";
    }
}

const char *api_patroni_role(const Core *core, MemberNo no)
{
    const Document *doc = &core->persist.doc;

    if (no == core->self && core->options.kind == MEMBER_WITNESS)
        return "witness";
    if (no == core->self && core->pg.state == PG_PRIMARY)
        return "primary";
    if (no < 0 || api_sync_of(core, no) == NULL)
        return "replica";
    /* Where each commit waits for all of them, each of them has all. */
    bool all = doc->sync_needed + 1 >= __builtin_popcount(doc->sync_set);
    return all ? "sync_standby" : "quorum_standby";
}

const char *api_patroni_replication_state(const Agent *agent)
{
    const PgStatus *server = server_of(agent);

    if (server == NULL || agent->core.pg.state != PG_STANDBY || !agent->core.pg.responsive)
        return "";
    if (server->streaming)
        return "streaming";
    return server->has_restore_command ? "in archive recovery" : "";
}

int64_t api_patroni_seen(const Core *core)
{
    const Clock *heard = &core->now;

    if (core->leader == MEMBER_NONE || (core->role == ROLE_LEADER && !core_lease_holds(core, &core->now)))
        return 0;
    if (core->leader != core->self)
        heard = &core->peer[core->leader].heard_at;
    return (core->now.wall_us - (core->now.boot_us - heard->boot_us)) / US_PER_SEC;
}

static void add_positions(const PgStatus *server, Buf *out)
{
    char text[TIME_LEN];

    json_add_open(out, "xlog", '{');
    if (server->state == SERVER_PRIMARY) {
        json_add_number(out, "location", (int64_t) server->lsn);
    } else {
        json_add_number(out, "received_location", (int64_t) server->receive_lsn);
        json_add_number(out, "replayed_location", (int64_t) server->replay_lsn);
        json_add_text(out, "replayed_timestamp", time_text(server->replayed_us, text));
        json_add_bool(out, "paused", server->replay_paused);
    }
    json_add_close(out, '}');
}

static void add_replication(const PgStatus *server, Buf *out)
{
    if (server->standby_count == 0)
        return;
    json_add_open(out, "replication", '[');
    for (uint32_t i = 0; i < server->standby_count; i++) {
        const PgStandby *row = &server->standby[i];
        json_add_open(out, NULL, '{');
        json_add_text(out, "usename", row->user);
        json_add_text(out, "application_name", row->application_name);
        json_add_text(out, "client_addr", row->client[0] != '\0' ? row->client : NULL);
        json_add_text(out, "state", row->state);
        json_add_text(out, "sync_state", row->sync_state);
        json_add_number(out, "sync_priority", row->sync_priority);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
}

/* What only a server that answers can tell. */
static void add_server(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;
    const PgStatus *server = server_of(agent);
    const char *replication_state = api_patroni_replication_state(agent);
    const char *role = api_patroni_role(core, core->self);
    char text[TIME_LEN];

    json_add_text(out, "postmaster_start_time", time_text(server->started_us, text));
    json_add_text(out, "role", server->state == SERVER_PRIMARY ? "primary" : "replica");
    json_add_number(out, "server_version", server->server_version);
    add_positions(server, out);
    if (strcmp(role, "sync_standby") == 0)
        json_add_bool(out, "sync_standby", true);
    if (strcmp(role, "quorum_standby") == 0)
        json_add_bool(out, "quorum_standby", true);
    json_add_number(out, "timeline", server->timeline);
    if (replication_state[0] != '\0')
        json_add_text(out, "replication_state", replication_state);
    add_replication(server, out);
}

static void add_tags(const Tag *tags, size_t count, Buf *out)
{
    if (count == 0)
        return;
    json_add_open(out, "tags", '{');
    for (size_t i = 0; i < count; i++) {
        if (tags[i].is_bool)
            json_add_bool(out, tags[i].key, strcmp(tags[i].value, "true") == 0);
        else
            json_add_text(out, tags[i].key, tags[i].value);
    }
    json_add_close(out, '}');
}

static void add_own(const Agent *agent, Buf *out)
{
    const Core *core = &agent->core;

    json_add_open(out, "pgvigil", '{');
    json_add_text(out, "cluster", agent->config->cluster.name);
    json_add_text(out, "member", core->options.name);
    json_add_text(out, "state", pg_state_name(core->pg.state));
    json_add_text(out, "primary", api_name(agent, core_primary(core)));
    json_add_number(out, "epoch", core->persist.doc.epoch);
    json_add_bool(out, "fenced", core->pg.fenced);
    json_add_close(out, '}');
}

static void make_status(const Agent *agent, const Snapshot *snapshot, Buf *out)
{
    const Core *core = &agent->core;
    bool answers = core->pg.responsive && (core->pg.state == PG_PRIMARY || core->pg.state == PG_STANDBY);
    int64_t seen = api_patroni_seen(core);
    char text[24];

    json_add_open(out, NULL, '{');
    json_add_text(out, "state", api_patroni_state(agent));
    if (answers && server_of(agent) != NULL)
        add_server(agent, out);
    else
        json_add_text(out, "role", api_patroni_role(core, core->self));
    if (core->persist.doc.paused)
        json_add_bool(out, "pause", true);
    if (seen == 0)
        json_add_bool(out, "cluster_unlocked", true);
    else
        json_add_number(out, "dcs_last_seen", seen);
    add_tags(snapshot->tag, snapshot->tag_count, out);
    if (core->persist.doc.system_identifier != 0) {
        snprintf(text, sizeof text, "%llu", (unsigned long long) core->persist.doc.system_identifier);
        json_add_text(out, "database_system_identifier", text);
    }
    if (core->pg.pending_restart)
        json_add_bool(out, "pending_restart", true);
    json_add_open(out, "patroni", '{');
    json_add_text(out, "version", PGVIGIL_VERSION);
    json_add_text(out, "scope", agent->config->cluster.name);
    json_add_text(out, "name", core->options.name);
    json_add_close(out, '}');
    add_own(agent, out);
    json_add_close(out, '}');
    buf_puts(out, "\n");
}

static const char *member_state(const Core *core, MemberNo no, const Report *report)
{
    if (!api_is_reachable(core, no))
        return "unknown";
    switch (report->pg.state) {
    case PG_PRIMARY: return "running";
    case PG_STANDBY: return report->pg.streaming ? "streaming" : "running";
    case PG_STARTING: return "starting";
    case PG_CRASHED: return "crashed";
    case PG_STOPPED: return "stopped";
    case PG_EMPTY: return report->action == ACTION_CLONE ? "creating replica" : "uninitialized";
    default: return "unknown";
    }
}

/* Bytes behind what the primary reported last; "unknown" where either position is. */
static void add_lag(const Core *core, const Report *report, Buf *out)
{
    Lsn primary = api_primary_lsn(core);
    Lsn replayed = report->pg.replay_lsn != LSN_NONE ? report->pg.replay_lsn : report->pg.lsn;

    if (primary == LSN_NONE || replayed == LSN_NONE)
        json_add_text(out, "lag", "unknown");
    else
        json_add_number(out, "lag", primary > replayed ? (int64_t) (primary - replayed) : 0);
}

/* Of other members only those tags are known here that somebody acts upon. */
static void add_tags_of(const Report *report, Buf *out)
{
    Tag tag[3];
    size_t count = 0;

    if (report->no_failover)
        tag[count++] = (Tag){.key = "nofailover", .value = "true", .is_bool = true};
    if (report->no_load_balance)
        tag[count++] = (Tag){.key = "noloadbalance", .value = "true", .is_bool = true};
    if (report->no_sync)
        tag[count++] = (Tag){.key = "nosync", .value = "true", .is_bool = true};
    add_tags(tag, count, out);
}

static void add_member(const Agent *agent, MemberNo no, const Snapshot *snapshot, Buf *out)
{
    const Core *core = &agent->core;
    const DocMember *member = &core->persist.doc.member[no];
    Report report = api_report(core, no);
    int index = agent_member_index(agent, no);
    const ConfigMember *place = index >= 0 ? &agent->config->member[index] : NULL;
    bool leads = no == core_primary(core) && report.pg.state == PG_PRIMARY;
    char url[300];

    json_add_open(out, NULL, '{');
    json_add_text(out, "name", member->name);
    json_add_text(out, "role", leads ? "leader" : api_patroni_role(core, no));
    json_add_text(out, "state", member_state(core, no, &report));
    if (place != NULL) {
        bool v6 = strchr(place->host, ':') != NULL;
        snprintf(url, sizeof url, v6 ? "%s://[%s]:%u/patroni" : "%s://%s:%u/patroni",
                 agent->config->http.tls_certificate != NULL ? "https" : "http", place->host,
                 place->http_port);
        json_add_text(out, "api_url", url);
        json_add_text(out, "host", place->host);
        json_add_number(out, "port", place->port);
    }
    if (report.pg.timeline != 0)
        json_add_number(out, "timeline", report.pg.timeline);
    if (no == core->self)
        add_tags(snapshot->tag, snapshot->tag_count, out);
    else
        add_tags_of(&report, out);
    if (report.pg.pending_restart)
        json_add_bool(out, "pending_restart", true);
    if (!leads)
        add_lag(core, &report, out);
    json_add_close(out, '}');
}

/* Without the witnesses: whoever reads this looks for servers. */
static void make_topology(const Agent *agent, const Snapshot *snapshot, Buf *out)
{
    const Document *doc = &agent->core.persist.doc;

    json_add_open(out, NULL, '{');
    json_add_open(out, "members", '[');
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind == MEMBER_DATA)
            add_member(agent, no, snapshot, out);
    json_add_close(out, ']');
    if (doc->paused)
        json_add_bool(out, "pause", true);
    json_add_text(out, "scope", agent->config->cluster.name);
    json_add_close(out, '}');
    buf_puts(out, "\n");
}

/* The local entry of the takeover that began an epoch, or NULL: another member has it then. */
static const json_t *find_entry(const json_t *entries, uint32_t epoch)
{
    size_t i;
    const json_t *entry;

    json_array_foreach(entries, i, entry)
    {
        const char *kind = json_string_value(json_object_get(entry, "kind"));
        bool takes_over = kind != NULL && (strcmp(kind, history_name(HISTORY_FAILOVER)) == 0 ||
                                           strcmp(kind, history_name(HISTORY_SWITCHOVER)) == 0);
        if (takes_over && json_integer_value(json_object_get(entry, "epoch")) == epoch)
            return entry;
    }
    return NULL;
}

/* The timeline that ended, where, why, when, and who went on. Why and when only who took over himself
 * remembers. */
static void add_takeover(const Agent *agent, const DocEpoch *row, const json_t *entries, Buf *out)
{
    const DocEpoch *parent = document_epoch(&agent->core.persist.doc, row->parent);
    const json_t *entry = find_entry(entries, row->epoch);
    const char *reason = json_string_value(json_object_get(entry, "reason"));

    if (row->parent == 0 || !row->settled)
        return;
    json_add_open(out, NULL, '[');
    json_add_number(out, NULL, parent != NULL ? parent->timeline : row->timeline - 1);
    json_add_number(out, NULL, (int64_t) row->start);
    json_add_text(out, NULL, reason != NULL ? reason : "no recovery target specified");
    json_add_text(out, NULL, json_string_value(json_object_get(entry, "time")));
    json_add_text(out, NULL, api_name(agent, row->primary));
    json_add_close(out, ']');
}

/* Made anew only when there is something new: that is seldom, and the history is read line by line for it. */
static void make_takeovers(Agent *agent)
{
    const Document *doc = &agent->core.persist.doc;
    Buf *out = &agent->takeovers;
    size_t past = agent->history_total + agent->history_len;

    if (out->data != NULL && agent->takeovers_past == past &&
        document_compare(agent->takeovers_of, doc->id) == 0)
        return;
    json_t *entries = json_array();
    for (size_t i = 0; i < agent->history_len; i++)
        json_array_append_new(entries, json_loads(agent->history[i], 0, NULL));
    out->len = 0;
    json_add_open(out, NULL, '[');
    for (uint8_t i = 0; i < doc->history_len; i++)
        add_takeover(agent, &doc->history[i], entries, out);
    json_add_close(out, ']');
    buf_puts(out, "\n");
    json_decref(entries);
    agent->takeovers_past = past;
    agent->takeovers_of = doc->id;
}

static void fill_tags(const Agent *agent, Snapshot *snapshot)
{
    const OptionList *words = &agent->config->node.tags;

    if (!tags_read(words, snapshot->tag, &snapshot->tag_count, NULL))
        snapshot->tag_count = 0; /* cannot be: they were checked when they were loaded */
    snapshot->no_load_balance = tags_is_set(words, "noloadbalance");
    for (size_t i = 0; i < snapshot->tag_count; i++)
        if (strcmp(snapshot->tag[i].key, "nofailover") == 0)
            return;
    if (agent->core.options.no_failover)
        snapshot->tag[snapshot->tag_count++] = (Tag){.key = "nofailover", .value = "true", .is_bool = true};
}

void api_patroni_fill(Agent *agent, Snapshot *snapshot)
{
    str_copy(snapshot->replication_state, sizeof snapshot->replication_state,
             api_patroni_replication_state(agent));
    fill_tags(agent, snapshot);
    make_status(agent, snapshot, &snapshot->status);
    make_topology(agent, snapshot, &snapshot->topology);
    make_takeovers(agent);
    if (!agent->takeovers.failed)
        buf_add(&snapshot->takeovers, agent->takeovers.data, agent->takeovers.len);
}
