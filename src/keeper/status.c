/*
 * status.c: what status() tells: the cluster as this worker sees it, in the form of the agents' /v1/cluster,
 * so that pgvigil status shows both alike.
 *
 * The lease is left out: whoever calls status() reads it from the fence, which is true even when the worker
 * does not move.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include "wire/json.h"

static const char *name_of(const Core *core, MemberNo no)
{
    return no >= 0 ? nodes_name(body_known(), core->persist.doc.member[no].name) : NULL;
}

static Report report_of(const Core *core, MemberNo no)
{
    return no == core->self ? core_report(core) : core->peer[no].report;
}

static bool is_reached(const Core *core, MemberNo no)
{
    return no == core->self || view_hears(core, no);
}

static void add_number_or_null(Buf *out, const char *key, bool known, int64_t value)
{
    if (known)
        json_add_number(out, key, value);
    else
        json_add_null(out, key);
}

/* ---- Standbys that are waited for ---- */

static bool is_in_set(const Core *core, MemberNo no)
{
    const Document *doc = &core->persist.doc;

    return doc->synchronous && no != doc->primary && (doc->sync_set >> no & 1) != 0;
}

/* Only the leader knows who has everything at this moment. */
static bool is_in_sync(const Core *core, MemberNo no)
{
    return is_in_set(core, no) && (core->role != ROLE_LEADER ||
                                   ((core->sync_good >> no & 1) != 0 && core->pg.confirmed[no] != LSN_NONE));
}

static void add_sync(const Core *core, Buf *out)
{
    const Document *doc = &core->persist.doc;
    int in_sync = 0;

    json_add_open(out, "sync", '{');
    json_add_bool(out, "synchronous", doc->synchronous);
    json_add_number(out, "wanted", core->options.sync_mode != SYNC_OFF ? core->options.sync_k : 0);
    json_add_number(out, "needed", doc->sync_needed);
    json_add_open(out, "members", '[');
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        in_sync += is_in_sync(core, no);
        if (is_in_set(core, no))
            json_add_text(out, NULL, name_of(core, no));
    }
    json_add_close(out, ']');
    json_add_number(out, "in_sync", in_sync);
    json_add_close(out, '}');
}

/* ---- Nodes ---- */

static Lsn primary_lsn(const Core *core)
{
    MemberNo no = core->persist.doc.primary;

    if (no == MEMBER_NONE || core->leader == MEMBER_NONE || !is_reached(core, no))
        return LSN_NONE;
    Report report = report_of(core, no);
    return report.pg.state == PG_PRIMARY ? report.pg.lsn : LSN_NONE;
}

static bool is_closed(const Core *core, MemberNo no, const Report *report)
{
    return no == core->self ? act_closed() != NULL || core->refused
                            : report->pg.state == PG_PRIMARY &&
                                  (core->persist.doc.primary != no || explain_lacks_lease(report));
}

/* Another node that shall be the primary and does not lead may have a lease or none. */
static bool is_in_doubt(const Core *core, MemberNo no, PgState state)
{
    return no != core->self && no != core->leader && no == core->persist.doc.primary && state == PG_PRIMARY;
}

static void add_server(const Core *core, MemberNo no, Buf *out)
{
    Report report = report_of(core, no);
    bool reached = is_reached(core, no);
    Lsn primary = primary_lsn(core);

    if (!reached)
        report.pg.state = PG_UNKNOWN, report.pg.streaming = false;
    const Observation *pg = &report.pg;
    bool closed = is_closed(core, no, &report), acts = report.action != ACTION_NONE && !closed;
    bool standby = pg->state == PG_STANDBY, lag_known = reached && primary != LSN_NONE && pg->lsn != LSN_NONE;
    json_add_text(out, "kind", standby ? "standby" : pg->state == PG_PRIMARY ? "primary" : "none");
    json_add_text(out, "state",
                  closed ? "closed"
                         : pg_state_name(is_in_doubt(core, no, pg->state) ? PG_UNKNOWN : pg->state));
    json_add_bool(out, "reachable", reached);
    int64_t seen_ms = (core->now.boot_us - core->peer[no].heard_at.boot_us) / US_PER_MS;
    add_number_or_null(out, "last_seen_ms", no == core->self || core->peer[no].heard,
                       no == core->self ? 0 : seen_ms);
    add_number_or_null(out, "timeline", pg->timeline != 0, pg->timeline);
    json_add_lsn_or_null(out, "lsn", pg->lsn);
    add_number_or_null(out, "lag_bytes", lag_known, primary > pg->lsn ? (int64_t) (primary - pg->lsn) : 0);
    add_number_or_null(out, "replay_lag_bytes", lag_known && standby,
                       primary > pg->replay_lsn ? (int64_t) (primary - pg->replay_lsn) : 0);
    json_add_bool(out, "streaming", pg->streaming);
    json_add_text(out, "upstream", standby ? name_of(core, pg->upstream) : NULL);
    json_add_number(out, "epoch", report.wal_epoch);
    json_add_text(out, "action", acts ? action_kind_name(report.action) : NULL);
    json_add_bool(out, "fenced", pg->fenced);
    json_add_number(out, "version", pg->server_version);
    json_add_bool(out, "eligible", report.eligible);
    json_add_bool(out, "disk_failed", report.disk_failed);
    json_add_text(out, "sync", !is_in_set(core, no) ? NULL : is_in_sync(core, no) ? "sync" : "late");
}

/*
 * Of a node that the document does not name only the own server is known, and the row of the table. Whether
 * it takes commits is the fence's word: statusfunc.c.
 */
static void add_registered(bool self, Buf *out)
{
    bool recovers = RecoveryInProgress();
    uint32_t timeline = 0;
    Lsn lsn = self && recovers ? look_position(&timeline) : LSN_NONE;

    json_add_text(out, "kind", !self ? "none" : recovers ? "standby" : "primary");
    json_add_text(out, "state", !self ? "registered" : recovers ? "standby" : "primary");
    json_add_bool(out, "reachable", self);
    json_add_bool(out, "streaming", self && recovers && look_is_streaming());
    add_number_or_null(out, "timeline", timeline != 0, timeline);
    json_add_lsn_or_null(out, "lsn", lsn);
}

static void add_node(const Core *core, const KeeperNode *node, bool next, Buf *out)
{
    MemberNo no = core != NULL ? document_find(&core->persist.doc, node->id) : MEMBER_NONE;
    bool self = strcmp(node->id, gucs_node_id) == 0;

    json_add_open(out, NULL, '{');
    json_add_text(out, "name", node->name);
    json_add_text(out, "role", "data");
    json_add_bool(out, "self", self);
    json_add_bool(out, "leader", no != MEMBER_NONE && no == core->leader);
    json_add_text(out, "host", node->host);
    json_add_number(out, "port", atoi(node->port));
    json_add_bool(out, "voter", no != MEMBER_NONE && view_has_vote(core, no));
    json_add_bool(out, "leaving", no != MEMBER_NONE && core->persist.doc.member[no].leaving);
    json_add_bool(out, "next", next);
    if (no != MEMBER_NONE)
        add_server(core, no, out);
    else
        add_registered(self, out);
    json_add_close(out, '}');
}

/* ---- All of it ---- */

static void add_cluster(const Core *core, Buf *out)
{
    const Document *doc = &core->persist.doc;

    json_add_number(out, "term", (int64_t) core->persist.term);
    json_add_number(out, "epoch", doc->epoch);
    json_add_big(out, "system_identifier", doc->system_identifier);
    json_add_text(out, "primary", doc->epoch > 0 ? name_of(core, doc->primary) : NULL);
    json_add_text(out, "leader", name_of(core, core->leader));
    json_add_bool(out, "quorum",
                  core->leader != MEMBER_NONE &&
                      (core->leader == core->self || !explain_lacks_lease(&core->peer[core->leader].report)));
    json_add_number(out, "lease_ms", doc->lease_ms);
    add_sync(core, out);
}

static bool has_others(const Document *doc)
{
    int members = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        members += doc->member[no].kind != MEMBER_FREE;
    return members > 1;
}

/* Where nodes elect, each should have a vote; of two the standby may have the only one. */
static void add_voteless(const Core *core, const KeeperNodes *nodes, Buf *out)
{
    char text[NODE_NAME_LEN + 80];

    for (int i = 0; i < nodes->count && nodes_elect(nodes); i++) {
        const KeeperNode *node = &nodes->node[i];
        MemberNo no = document_find(&core->persist.doc, node->id);
        if (node->gone || (no != MEMBER_NONE && (no == core->persist.doc.primary || view_has_vote(core, no))))
            continue;
        bool lost = no != MEMBER_NONE && document_is_other(core, no);
        snprintf(text, sizeof text, "%s has %s: it gets one when it answers and streams", node->name,
                 lost ? "lost its state, and has no vote" : "no vote yet");
        json_add_text(out, NULL, text);
    }
}

static void add_alarms(const Core *core, const KeeperNodes *nodes, Buf *out)
{
    char text[VOTES_TEXT_LEN];
    const Document *doc = core != NULL ? &core->persist.doc : NULL;
    bool wants = core != NULL && core->role == ROLE_LEADER && core->options.sync_mode != SYNC_OFF &&
                 has_others(doc); /* of two nodes the standby may be no member: nobody can be waited for */

    json_add_open(out, "alarms", '[');
    if (act_closed() != NULL) {
        snprintf(text, sizeof text, "%s is closed: %s", gucs_node_name, act_closed());
        json_add_text(out, NULL, text);
    }
    if (core != NULL && votes_lack(core, text, sizeof text))
        json_add_text(out, NULL, text);
    else if (core != NULL && core->role == ROLE_LEADER && doc->epoch > 0)
        add_voteless(core, nodes, out);
    if (wants && doc->synchronous && doc->sync_needed < core->options.sync_k) {
        snprintf(text, sizeof text, "commits wait for %u of the %u standbys that they should wait for",
                 (unsigned) doc->sync_needed, (unsigned) core->options.sync_k);
        json_add_text(out, NULL, text);
    }
    alarms_add(core, nodes, out);
    json_add_close(out, ']');
}

void status_make(const Core *core, const KeeperNodes *nodes, int next, char *ret_text, size_t size)
{
    Buf out = {0};

    json_add_open(&out, NULL, '{');
    json_add_text(&out, "cluster", "pg_keeper");
    json_add_text(&out, "member", gucs_node_name);
    if (core != NULL)
        add_cluster(core, &out);
    else
        json_add_text(&out, "outside", alarms_outside(nodes));
    json_add_open(&out, "members", '[');
    for (int i = 0; i < nodes->count; i++)
        add_node(core, &nodes->node[i], i == next, &out);
    json_add_close(&out, ']');
    add_alarms(core, nodes, &out);
    json_add_close(&out, '}');
    bool fits = !out.failed && out.data != NULL && str_copy(ret_text, size, out.data);
    if (!fits)
        ret_text[0] = '\0';
    buf_done(&out);
}
