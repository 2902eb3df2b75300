/*
 * world.c: making a cluster, telling what happens in it, and asking how it is.
 */
#include "sim/cluster.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Telling ---- */

void cluster_trace(Cluster *c, int no, const char *format, ...)
{
    va_list args;

    if (c->trace == NULL)
        return;
    fprintf(c->trace, "t=%6lldms %-3s ", (long long) (c->now_us / US_PER_MS),
            no >= 0 ? c->node[no].options.name : "--");
    va_start(args, format);
    vfprintf(c->trace, format, args);
    va_end(args);
    fputc('\n', c->trace);
}

/* Everything that helps to see why, after the trace. */
static void dump(const Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        const Node *node = &c->node[no];
        const Core *core = &node->core;
        const Document *doc = &core->persist.doc;
        fprintf(
            c->trace,
            "%s: up=%d role=%s leader=%d term=%llu doc=%llu.%llu epoch=%u primary=%d in_force=%d wal_epoch=%u "
            "rewinding=%d disk=%u/%u/%u\n  server %s branch=%d lsn=%llx upstream=%d,%u broken=%d facts:",
            node->options.name, node->up, role_name(core->role), core->leader,
            (unsigned long long) core->persist.term, (unsigned long long) doc->id.term,
            (unsigned long long) doc->id.version, doc->epoch, doc->primary, core->doc_in_force,
            core->persist.wal_epoch, core->persist.rewinding, core->persist_seq, core->persisted_seq,
            core->doc_persist, pg_state_name(node->server.state), node->server.branch,
            (unsigned long long) node->server.lsn, node->server.upstream, node->server.upstream_epoch,
            node->server.broken);
        const Names *names = &node->server.names;
        fprintf(c->trace,
                " names=%d/%x/%d epoch=%u generation=%u effective=%d R=%x k=%d synchronous=%d good=%x",
                (int) names->kind, (unsigned) names->set, names->needed, names->epoch, names->generation,
                sync_is_effective(c, no), (unsigned) doc->sync_set, doc->sync_needed, doc->synchronous,
                (unsigned) core->sync_good);
        for (int fact = 0; fact < FACTS; fact++)
            if (core->facts & (FactSet) 1 << fact)
                fprintf(c->trace, " %s", facts_name((Fact) fact));
        for (int i = 0; i < doc->history_len; i++)
            fprintf(c->trace, "\n  epoch %u parent %u timeline %u start %llx settled %d",
                    doc->history[i].epoch, doc->history[i].parent, doc->history[i].timeline,
                    (unsigned long long) doc->history[i].start, doc->history[i].settled);
        fputc('\n', c->trace);
    }
    fflush(c->trace);
}

void cluster_fail(Cluster *c, const char *format, ...)
{
    char text[sizeof c->failure];
    va_list args;

    if (c->failure[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (c->trace != NULL) {
        cluster_trace(c, -1, "** %s", text);
        dump(c);
    }
    if (c->contained) {
        memcpy(c->failure, text, sizeof text);
        return;
    }
    fprintf(stderr, "%s seed=%llu t=%lldms: %s\n", c->story, (unsigned long long) c->seed,
            (long long) (c->now_us / US_PER_MS), text);
    exit(1);
}

/* ---- Questions ---- */

int cluster_node(const Cluster *c, const Document *doc, MemberNo slot)
{
    if (slot < 0 || doc->member[slot].kind == MEMBER_FREE)
        return -1;
    const char *name = doc->member[slot].name;
    if (slot < c->count && strcmp(c->node[slot].options.name, name) == 0)
        return slot;
    for (int no = 0; no < c->count; no++)
        if (strcmp(c->node[no].options.name, name) == 0)
            return no;
    return -1;
}

MemberNo cluster_slot(const Cluster *c, const Document *doc, int no)
{
    if (no < 0)
        return MEMBER_NONE;
    const char *name = c->node[no].options.name;
    if (doc->member[no].kind != MEMBER_FREE && strcmp(doc->member[no].name, name) == 0)
        return (MemberNo) no;
    return document_find(doc, name);
}

int cluster_primary(const Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        Clock now = cluster_clock(c, no);
        const Node *node = &c->node[no];
        if (node->up && node->server.state == PG_PRIMARY && core_lease_holds(&node->core, &now))
            return no;
    }
    return -1;
}

static bool is_settled(const Document *doc)
{
    return doc->history_len > 0 && doc->history[doc->history_len - 1].settled;
}

/* By the primary's document, with the identity that its disk has. */
static bool is_voter(const Cluster *c, const Document *doc, int no)
{
    MemberNo slot = cluster_slot(c, doc, no);
    const DocMember *member = &doc->member[slot >= 0 ? slot : 0];

    return slot >= 0 && member->kind != MEMBER_FREE && member->voter &&
           (uuid_is_zero(&member->uuid) || uuid_equal(&member->uuid, &c->node[no].disk.node_uuid));
}

int cluster_only_voter(const Cluster *c, int leader)
{
    const Core *core = &c->node[leader].core;
    const Document *doc = &core->persist.doc;
    int other = -1, members = 0;

    for (int no = 0; no < c->count; no++) {
        if (cluster_slot(c, doc, no) == MEMBER_NONE)
            continue;
        members++;
        other = no != leader && c->node[no].options.kind == MEMBER_DATA ? no : other;
    }
    return core->options.standby_votes && members == 2 ? other : -1;
}

/* As many as were asked for are waited for, or all that may be; and commits go on. */
static bool is_in_sync(const Cluster *c, int primary)
{
    const Core *core = &c->node[primary].core;
    const Document *doc = &core->persist.doc;
    int could = 0;

    for (int no = 0; no < c->count; no++)
        could += no != primary && c->node[no].options.kind == MEMBER_DATA &&
                 !c->node[no].options.no_failover && cluster_slot(c, doc, no) != MEMBER_NONE;
    bool enough = doc->sync_needed >= (could < core->options.sync_k ? could : core->options.sync_k);
    return doc->synchronous && enough && c->now_us - c->tally.acked_us < US_PER_SEC;
}

const char *cluster_lacks(const Cluster *c)
{
    int primary = cluster_primary(c);

    if (primary < 0)
        return "no primary";
    const Core *core = &c->node[primary].core;
    const Document *doc = &core->persist.doc;
    int only = cluster_only_voter(c, primary);
    if ((core->options.sync_mode != SYNC_OFF || only >= 0) && !is_in_sync(c, primary))
        return "commits do not wait for as many standbys as they could";
    if (!core->doc_in_force || cluster_node(c, doc, doc->primary) != primary || !is_settled(doc))
        return "the primary's document is not in force";
    for (int no = 0; no < c->count; no++) {
        const Node *node = &c->node[no];
        if (cluster_slot(c, doc, no) == MEMBER_NONE)
            continue;
        if (!node->up)
            return "an agent is down";
        if (cluster_node(c, &node->core.persist.doc, node->core.leader) != primary)
            return "somebody has another leader";
        if (is_voter(c, doc, no) != (only < 0 || no == only))
            return only < 0 ? "somebody is no voter" : "the standby does not have the only vote";
        if (no == primary || node->options.kind != MEMBER_DATA)
            continue;
        if (node->server.state != PG_STANDBY || !node->server.streaming || node->server.upstream != primary)
            return "a standby does not stream";
        if (node->core.want_clone || node->core.want_rejoin || node->core.want_restart)
            return "an order waits for its turn on a standby";
        if (node->disk.rewinding)
            return "a standby's copy was interrupted, and it could not take over";
        if (node->server.fooled || node->server.branch != c->node[primary].server.branch)
            return "a standby is on another branch";
        if (node->core.persist.wal_epoch != doc->epoch)
            return "a standby's agent has not seen yet what it streams";
    }
    return NULL;
}

bool cluster_heals(Cluster *c, int64_t limit_ms)
{
    for (int64_t ms = 0; ms < limit_ms; ms += 50) {
        if (cluster_lacks(c) == NULL)
            return true;
        cluster_run(c, 50);
    }
    return cluster_lacks(c) == NULL;
}

/* Who has lost the state has no vote, and nobody knows what its data is worth. */
static bool is_intact(const Cluster *c, int no, const Document *newest)
{
    const Node *node = &c->node[no];
    MemberNo slot = cluster_slot(c, newest, no);

    return slot >= 0 && uuid_equal(&newest->member[slot].uuid, &node->disk.node_uuid) &&
           node->server.branch >= 0 && !node->server.broken && !node->server.fooled && !node->disk.rewinding;
}

bool cluster_has_data(const Cluster *c)
{
    const Document *newest = &c->node[0].core.persist.doc;
    const FactSet diverged = FACT_BIT(DIVERGED);

    for (int no = 1; no < c->count; no++)
        if (document_compare(c->node[no].core.persist.doc.id, newest->id) > 0)
            newest = &c->node[no].core.persist.doc;
    int primary = cluster_node(c, newest, newest->primary), intact = 0;
    if (primary >= 0 && is_intact(c, primary, newest))
        return true;
    for (int no = 0; no < c->count; no++) {
        MemberNo slot = cluster_slot(c, newest, no);
        bool counts = is_voter(c, newest, no) &&
                      (!newest->synchronous || (slot >= 0 && (newest->sync_set >> slot & 1) != 0));
        intact += counts && !c->node[no].options.no_failover && is_intact(c, no, newest) &&
                  (c->node[no].core.facts & diverged) == 0;
    }
    return newest->synchronous ? !syncset_alone(newest) && intact >= syncset_quorum(newest) : intact > 0;
}

bool cluster_can_elect(const Cluster *c, const Document *doc)
{
    int up = 0, members = 0;
    bool data = false;

    for (int no = 0; no < c->count; no++) {
        const Node *node = &c->node[no];
        if (cluster_slot(c, doc, no) == MEMBER_NONE)
            continue;
        members++;
        up += node->up;
        data = data || (node->up && node->options.kind == MEMBER_DATA && !node->options.no_failover);
    }
    return data && up > members / 2;
}

/* ---- Making one ---- */

static void set_options(Cluster *c, int data)
{
    CoreOptions each[NODE_MAX];
    CoreOptions options = {
        .crash_restart_limit_ms = 10000,
        .lease_ms = 1000,
        .heartbeat_ms = 200,
        .drift_ppm = 1000,
        .resolve_after_ms = 2000,
        .margin_ms = 30,
        .unresponsive_ms = 5000,
        .brownout_ms = 10000,
        .start_limit_ms = 30000,
        .stream_timeout_ms = 30000,
        .maximum_lag = 16 << 20,
        .rejoin_rewind = true,
        .rejoin_clone = true,
        .config_hash = 1,
    };

    for (int no = 0; no < c->count; no++) {
        DocMember *member = &options.member[no];
        member->kind = no < data ? MEMBER_DATA : MEMBER_WITNESS;
        member->voter = true;
        snprintf(member->name, sizeof member->name, no < data ? "pg%d" : "w%d",
                 no < data ? no + 1 : no - data + 1);
    }
    for (int no = 0; no < c->count; no++) {
        memcpy(options.name, options.member[no].name, sizeof options.name);
        options.kind = options.member[no].kind;
        each[no] = options;
    }
    cluster_members(c, each, c->count);
}

void cluster_members(Cluster *c, const CoreOptions *options, int count)
{
    for (int no = 0; no < count; no++) {
        Node *node = &c->node[no];
        node->options = options[no];
        model_empty(c, no);
        node->disk_us = US_PER_MS;
        node->guard_done_us = -1;
    }
    c->count = count;
}

Cluster *cluster_new(const char *story, int data, bool witness, uint64_t seed, FILE *trace)
{
    Cluster *c = calloc(1, sizeof *c);

    assert(c != NULL);
    c->story = story;
    c->seed = c->rng = seed;
    c->count = data + witness;
    c->trace = trace;
    c->delay_us = US_PER_MS / 2;
    c->delay_spread_us = US_PER_MS / 5;
    memset(c->seen.primary, MEMBER_NONE, sizeof c->seen.primary);
    set_options(c, data);
    c->wal_us = 10 * US_PER_MS;
    c->poll_us = 200 * US_PER_MS;
    cluster_at(c, c->wal_us, ITEM_WAL, -1);
    return c;
}

void cluster_servers(Cluster *c)
{
    int branch = model_branch(c, -1, LSN_NONE, 1);
    int primary = -1;

    for (int no = 0; no < c->count; no++) {
        if (c->node[no].options.kind != MEMBER_DATA)
            continue;
        if (primary < 0)
            primary = no;
        c->node[no].server = (Server){
            .state = no == primary ? PG_PRIMARY : PG_STANDBY,
            .branch = branch,
            .lsn = 0x3000000,
            .sent = 0x3000000,
            .checkpoint_timeline = 1,
            .self_restarts = no == primary,
            .names.kind = NAMES_FOREIGN,
            .upstream = no == primary ? MEMBER_NONE : (MemberNo) primary,
            .system_identifier = 7,
            .no_rewind = c->node[no].server.no_rewind,
            .fenced = c->node[no].server.fenced,
        };
    }
}

void cluster_second_primary(Cluster *c, int no, uint32_t timeline)
{
    cluster_trace(c, no, "-- is a primary, too, on timeline %u", timeline);
    Server *server = &c->node[no].server;
    if (timeline == 1)
        server->branch = model_branch(c, server->branch, server->lsn, 1);
    if (timeline > 1)
        wal_branch_off(c, no, timeline);
    model_state(c, no, PG_PRIMARY);
    server->upstream = MEMBER_NONE;
    server->self_restarts = true;
    for (int i = 0; i < c->count; i++)
        c->node[i].server.unled = c->node[i].server.state == PG_PRIMARY;
}

void cluster_settled(Cluster *c)
{
    FILE *trace = c->trace;

    c->trace = NULL;
    cluster_servers(c);
    for (int no = 0; no < c->count; no++)
        cluster_start_agent(c, no);
    cluster_run(c, 5000);
    if (cluster_lacks(c) != NULL)
        cluster_fail(c, "it did not settle: %s", cluster_lacks(c));
    c->trace = trace;
    cluster_trace(c, -1, "settled: %s is the primary", c->node[cluster_primary(c)].options.name);
}
