/*
 * check.c: the invariants, looked at after every step (docs/design/simulator.md).
 *
 * They are about true time and true WAL, which only the model knows; no core is asked what it believes,
 * except for what a lease claims.
 */
#include "sim/cluster.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *name, *text;
} invariants[] = {
#define INVARIANT_ROW(id, name, text) {name, text},
    INVARIANT_LIST(INVARIANT_ROW)
#undef INVARIANT_ROW
};

const char *check_name(Invariant which)
{
    return invariants[which].name;
}

const char *check_text(Invariant which)
{
    return invariants[which].text;
}

void check_failed(Cluster *c, Invariant which, const char *format, ...)
{
    char text[400];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cluster_fail(c, "%s: %s", invariants[which].name, text);
}

static void looked_at(Cluster *c, Invariant which)
{
    c->tally.check[which]++;
}

static const char *name_of(const Cluster *c, int no)
{
    return c->node[no].options.name;
}

/* A timer is late by so much. */
#define GUARD_WAKES_US US_PER_MS

/* ---- At any time ---- */

/* A hypervisor's pause stops every clock of a guest: what it does until it has noticed is known to be open.
 */
static bool is_excused(const Cluster *c, int no)
{
    return c->now_us < c->node[no].excused_us;
}

/* At most one server at a time acknowledges, whatever the agents believe. */
static void check_writers(Cluster *c)
{
    int writer = -1;

    for (int no = 0; no < c->count; no++) {
        if (c->node[no].server.state < PG_CRASHED || !wal_writes(c, no) || is_excused(c, no) ||
            c->node[no].server.unled)
            continue;
        looked_at(c, INVARIANT_ONE_WRITER);
        if (writer >= 0)
            check_failed(c, INVARIANT_ONE_WRITER, "%s and %s both acknowledge", name_of(c, writer),
                         name_of(c, no));
        writer = no;
    }
}

static void check_leases(Cluster *c)
{
    int holder = -1;

    for (int no = 0; no < c->count; no++) {
        const Node *node = &c->node[no];
        if (!node->up || !node->core.leased || is_excused(c, no))
            continue;
        /* While a host's clocks stand still nobody there can use what they say. */
        if (node->frozen && node->pause != PAUSE_CLOCKS_RUN)
            continue;
        Clock now = cluster_clock(c, no);
        if (!core_lease_holds(&node->core, &now))
            continue;
        looked_at(c, INVARIANT_ONE_LEASE);
        if (holder >= 0)
            check_failed(c, INVARIANT_ONE_LEASE, "%s and %s both hold one", name_of(c, holder),
                         name_of(c, no));
        holder = no;
    }
}

void check_now(Cluster *c)
{
    if (!c->silent_checks)
        check_writers(c);
    check_leases(c);
}

/* The guard has ended what the fence does not stop. */
void check_ack(Cluster *c, int no)
{
    const Node *node = &c->node[no];
    const Document *doc = &node->core.persist.doc;

    if (!node->guarded || is_excused(c, no) || c->silent_checks)
        return;
    looked_at(c, INVARIANT_NO_ACK_PAST_DEADLINE);
    if (doc->paused)
        looked_at(c, INVARIANT_PAUSE_HONOURS_LEASE);
    Clock now = cluster_clock(c, no);
    if (cluster_fence_open(c, no) || !wal_writes(c, no) || now.boot_us < node->fence.boot_us + GUARD_WAKES_US)
        return;
    check_failed(c, doc->paused ? INVARIANT_PAUSE_HONOURS_LEASE : INVARIANT_NO_ACK_PAST_DEADLINE,
                 "%s acknowledges past the fence's deadline", name_of(c, no));
}

/* By the newest document in force, and by the last that was in force there; and no other that takes it back
 * is under way. */
bool check_is_promised(const Cluster *c, int no)
{
    return c->seen.synchronous && c->seen.promises[no] && c->node[no].core.persist.doc.synchronous;
}

/* ---- Documents ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 1099511628211u;
}

static uint64_t hash_of(const Document *doc)
{
    uint64_t hash = 14695981039346656037u;

    hash = mix(mix(mix(hash, doc->epoch), (uint64_t) doc->primary), doc->paused);
    hash = mix(mix(mix(mix(hash, doc->sync_set), doc->sync_needed), doc->synchronous), doc->discard);
    for (int i = 0; i < doc->history_len; i++) {
        const DocEpoch *row = &doc->history[i];
        hash = mix(mix(mix(hash, row->epoch), row->parent), row->timeline);
        hash = mix(mix(mix(hash, row->start), row->settled), row->kept_from);
    }
    for (int i = 0; i < MEMBER_MAX; i++) {
        hash = mix(mix(mix(hash, doc->member[i].voter), doc->member[i].kind), doc->member[i].leaving);
        for (size_t b = 0; b < sizeof doc->member[i].uuid.byte; b++)
            hash = mix(hash, doc->member[i].uuid.byte[b]);
    }
    return hash;
}

/* Two documents of one name are one document. */
static void check_document(Cluster *c, const Document *doc)
{
    size_t at = (size_t) (doc->id.term * 31 + doc->id.version) % DOC_LOG;

    if (doc->id.term == 0)
        return;
    looked_at(c, INVARIANT_DOC_LINEAR);
    for (size_t i = 0; i < DOC_LOG; i++, at = (at + 1) % DOC_LOG) {
        DocId id = c->seen.doc[at].id;
        if (id.term == 0) {
            c->seen.doc[at].id = doc->id;
            c->seen.doc[at].hash = hash_of(doc);
            return;
        }
        if (document_compare(id, doc->id) != 0)
            continue;
        if (c->seen.doc[at].hash != hash_of(doc))
            check_failed(c, INVARIANT_DOC_LINEAR, "two documents %llu.%llu", (unsigned long long) id.term,
                         (unsigned long long) id.version);
        return;
    }
}

static void check_epoch(Cluster *c, const Document *doc, int i)
{
    const DocEpoch *row = &doc->history[i];

    if (row->epoch >= TERM_MAX) {
        cluster_fail(c, "more epochs than the check can hold");
        return;
    }
    int primary = cluster_node(c, doc, row->primary); /* -1: removed since */
    if (primary >= 0 && c->seen.primary[row->epoch] != MEMBER_NONE && c->seen.primary[row->epoch] != primary)
        check_failed(c, INVARIANT_DOC_INHERIT, "epoch %u has two primaries", row->epoch);
    if (primary >= 0)
        c->seen.primary[row->epoch] = (MemberNo) primary;
    if (!row->settled)
        return;
    if (c->seen.timeline[row->epoch] != 0 && c->seen.timeline[row->epoch] != row->timeline)
        check_failed(c, INVARIANT_UNIQUE_TIMELINE, "epoch %u has %u and %u", row->epoch,
                     c->seen.timeline[row->epoch], row->timeline);
    c->seen.timeline[row->epoch] = row->timeline;
    looked_at(c, INVARIANT_UNIQUE_TIMELINE);
    for (int j = 0; j < i; j++)
        if (doc->history[j].timeline == row->timeline && doc->history[j].settled)
            check_failed(c, INVARIANT_UNIQUE_TIMELINE, "epochs %u and %u both have %u", row->epoch,
                         doc->history[j].epoch, row->timeline);
}

/* Whoever votes may have to go on alone: a primary that does not must not acknowledge what is not there. */
static void check_votes(Cluster *c, int no, const Document *doc)
{
    if (doc->primary < 0 || doc->member[doc->primary].voter)
        return;
    /* By order it begins alone in R, and then nobody else may take over. */
    if (c->seen.accepted_epoch == doc->epoch)
        c->seen.lossy_epoch = doc->epoch;
    if (c->seen.lossy_epoch == doc->epoch && syncset_alone(doc))
        return;
    looked_at(c, INVARIANT_STANDBY_VOTE);
    for (MemberNo slot = 0; slot < MEMBER_MAX; slot++)
        if (doc->member[slot].voter &&
            (!doc->synchronous || doc->sync_needed == 0 || (doc->sync_set >> slot & 1) == 0))
            check_failed(c, INVARIANT_STANDBY_VOTE, "%s has no vote, %s has, and no commit waits for it",
                         name_of(c, no), doc->member[slot].name);
}

/* What a majority accepted: each is newer than the one before, and an epoch has one primary and one timeline.
 */
static void check_in_force(Cluster *c, int no)
{
    const Core *core = &c->node[no].core;
    const Document *doc = &core->persist.doc;

    if (core->role != ROLE_LEADER || !core->doc_in_force || document_compare(doc->id, c->seen.in_force) == 0)
        return;
    looked_at(c, INVARIANT_DOC_INHERIT);
    c->seen.promises[no] = doc->synchronous;
    /* A leader that has lost its lease may still believe in what it had. */
    if (document_compare(doc->id, c->seen.in_force) > 0) {
        c->seen.in_force = doc->id;
        c->seen.synchronous = doc->synchronous;
        c->seen.epoch = doc->epoch;
        /* From now on a failover may lose it. */
        for (int b = 0; b < c->branches && !doc->synchronous; b++)
            c->branch[b].synced = LSN_NONE;
    } else if (core_lease_holds(core, &core->now) && !is_excused(c, no))
        check_failed(c, INVARIANT_DOC_LINEAR, "%s has %llu.%llu in force after %llu.%llu", core->options.name,
                     (unsigned long long) doc->id.term, (unsigned long long) doc->id.version,
                     (unsigned long long) c->seen.in_force.term,
                     (unsigned long long) c->seen.in_force.version);
    check_votes(c, no, doc);
    for (int i = 0; i < doc->history_len; i++)
        check_epoch(c, doc, i);
}

/* ---- Votes ---- */

/* Whoever begins to lead has the votes of a majority on the disks of members whose identity counts. */
static void check_elected(Cluster *c, int no)
{
    const Core *core = &c->node[no].core;
    const Document *doc = &core->persist.doc;
    uint64_t term = core->led_term;
    int votes = 0, voters = 0;

    if (term >= TERM_MAX) {
        cluster_fail(c, "more terms than the check can hold");
        return;
    }
    looked_at(c, INVARIANT_ONE_LEADER_PER_TERM);
    if (!uuid_is_zero(&c->seen.leader[term]) && !uuid_equal(&c->seen.leader[term], &core->persist.node_uuid))
        check_failed(c, INVARIANT_ONE_LEADER_PER_TERM, "term %llu has two", (unsigned long long) term);
    c->seen.leader[term] = core->persist.node_uuid;
    for (MemberNo slot = 0; slot < MEMBER_MAX; slot++) {
        const DocMember *member = &doc->member[slot];
        int i = cluster_node(c, doc, slot);
        if (member->kind == MEMBER_FREE || !member->voter)
            continue;
        voters++;
        votes += i >= 0 && uuid_equal(&c->seen.vote[i][term].voted_for, &core->persist.node_uuid) &&
                 (uuid_is_zero(&member->uuid) || uuid_equal(&member->uuid, &c->seen.vote[i][term].voter));
    }
    if (votes < voters / 2 + 1)
        check_failed(c, INVARIANT_ONE_LEADER_PER_TERM,
                     "%s leads term %llu with %d votes on disk, of %d voters", name_of(c, no),
                     (unsigned long long) term, votes, voters);
}

/* For so long an order to lose what others hold is meant, and then its promotion may take some time. */
#define ORDER_US (30 * US_PER_SEC)

void check_step(Cluster *c, int no)
{
    const Node *node = &c->node[no];
    const Document *doc = &node->core.persist.doc;
    bool leads = node->up && node->core.role == ROLE_LEADER;

    check_now(c);
    if (!node->up)
        return;
    if (document_compare(doc->id, c->seen.checked[no]) != 0) {
        c->seen.checked[no] = doc->id;
        check_document(c, doc);
    }
    /* The operator's order is the permission, not what the core makes of it. */
    if (leads && node->core.accept_loss && c->now_us - c->seen.order_us < ORDER_US)
        c->seen.accepted_epoch = doc->epoch;
    /* Whoever was chosen to be kept is so until it was promoted, however long that takes. */
    const DocEpoch *last = document_last(doc);
    if (leads && c->seen.resolved && last != NULL && last->epoch > 1 && last->parent == 0 && !last->settled)
        c->seen.accepted_epoch = doc->epoch;
    check_in_force(c, no);
    if (leads)
        sync_check(c, no);
    if (leads && (!c->seen.led[no] ||
                  !uuid_equal(&c->seen.leader[node->core.led_term], &node->core.persist.node_uuid)))
        check_elected(c, no);
    c->seen.led[no] = leads;
}

/* One vote per term and identity. */
static void record_vote(Cluster *c, int no, uint64_t term, const Uuid *voted_for)
{
    const Uuid *voter = &c->node[no].disk.node_uuid;

    if (term >= TERM_MAX) {
        cluster_fail(c, "more terms than the check can hold");
        return;
    }
    looked_at(c, INVARIANT_VOTE_ONCE);
    if (uuid_equal(&c->seen.vote[no][term].voter, voter) &&
        !uuid_equal(&c->seen.vote[no][term].voted_for, voted_for))
        check_failed(c, INVARIANT_VOTE_ONCE, "%s votes twice in term %llu", name_of(c, no),
                     (unsigned long long) term);
    c->seen.vote[no][term].voter = *voter;
    c->seen.vote[no][term].voted_for = *voted_for;
}

void check_asked(Cluster *c, int no)
{
    const Persist *persist = &c->node[no].core.persist;

    if (!uuid_is_zero(&persist->voted_for))
        c->seen.asked[no][persist->term % TERM_MAX] = persist->voted_for;
}

void check_written(Cluster *c, int no)
{
    const Persist *disk = &c->node[no].disk;

    if (!uuid_is_zero(&disk->voted_for))
        record_vote(c, no, disk->term, &disk->voted_for);
}

/* ---- What goes out must be true when it does ---- */

static void check_release(Cluster *c, int no)
{
    looked_at(c, INVARIANT_FENCE_BEFORE_RELEASE);
    if (wal_writes(c, no) || c->node[no].server.state == PG_STARTING)
        check_failed(c, INVARIANT_FENCE_BEFORE_RELEASE, "%s releases while its server is %s", name_of(c, no),
                     pg_state_name(c->node[no].server.state));
}

static void check_grant(Cluster *c, int no, const Msg *msg)
{
    const Node *node = &c->node[no];

    if (node->disk.term < msg->term || document_compare(node->disk.doc.id, msg->doc_id) < 0)
        check_failed(
            c, INVARIANT_VOTE_ONCE,
            "%s grants a lease of term %llu with document %llu.%llu, and its disk has term %llu and %llu.%llu",
            name_of(c, no), (unsigned long long) msg->term, (unsigned long long) msg->doc_id.term,
            (unsigned long long) msg->doc_id.version, (unsigned long long) node->disk.term,
            (unsigned long long) node->disk.doc.id.term, (unsigned long long) node->disk.doc.id.version);
}

/* In true time, with what its clock may go wrong by. */
static void check_silence(Cluster *c, int no)
{
    const Node *node = &c->node[no];
    int64_t wait_us = (int64_t) node->disk.promise_ms * US_PER_MS;

    looked_at(c, INVARIANT_AMNESIAC_SILENT);
    if (c->now_us - node->started_us < wait_us - wait_us / 500)
        check_failed(c, INVARIANT_AMNESIAC_SILENT, "%s votes %lld ms after its start", name_of(c, no),
                     (long long) ((c->now_us - node->started_us) / US_PER_MS));
}

static void check_vote(Cluster *c, int no, const Effect *effect)
{
    const Node *node = &c->node[no];
    const Msg *msg = &effect->msg;
    int candidate = cluster_node(c, &node->core.persist.doc, effect->to);

    if (candidate < 0)
        return;
    if (node->disk.term < msg->term || (node->disk.term == msg->term && uuid_is_zero(&node->disk.voted_for)))
        check_failed(c, INVARIANT_VOTE_ONCE, "%s grants a vote that is not on its disk", name_of(c, no));
    check_silence(c, no);
    /* A record of a later term, which came before this one was written, keeps the vote as well: for whom, was
     * noted when it was asked for. */
    record_vote(c, no, msg->term,
                node->disk.term == msg->term ? &node->disk.voted_for
                                             : &c->seen.asked[no][msg->term % TERM_MAX]);
    if (!msg->frozen)
        return;
    looked_at(c, INVARIANT_FROZEN_VOTE);
    if (node->server.state == PG_STANDBY && node->server.upstream != MEMBER_NONE)
        check_failed(c, INVARIANT_FROZEN_VOTE, "%s says frozen and follows %s", name_of(c, no),
                     name_of(c, node->server.upstream));
}

void check_send(Cluster *c, int no, const Effect *effect)
{
    const Msg *msg = &effect->msg;

    if (msg->kind == MSG_RELEASE)
        check_release(c, no);
    else if (msg->kind == MSG_HEARTBEAT_ACK && msg->granted)
        check_grant(c, no, msg);
    else if (msg->kind == MSG_VOTE_ACK && msg->granted)
        check_vote(c, no, effect);
}

/* ---- Actions ---- */

/* A vote for the primary that it follows, by the same document, needs no freeze. */
static void check_freeze(Cluster *c, int no)
{
    const Core *core = &c->node[no].core;
    const Document *doc = &core->persist.doc;
    int candidate = cluster_node(c, doc, core->ballot.candidate);

    if (core->phase != CANDIDATE_NONE || !core->ballot.pending || candidate < 0)
        return;
    looked_at(c, INVARIANT_INCUMBENT_NO_BOUNCE);
    const Report *said = &core->peer[core->ballot.candidate].report;
    if (core->ballot.candidate == doc->primary && doc->epoch > 0 && said->pg.state == PG_PRIMARY &&
        said->wal_epoch == doc->epoch && document_compare(core->ballot.doc_id, doc->id) == 0)
        check_failed(c, INVARIANT_INCUMBENT_NO_BOUNCE, "%s stops following %s to vote for it", name_of(c, no),
                     name_of(c, candidate));
}

/* Nothing that makes a writer begins without the lease. */
void check_action(Cluster *c, int no, const Action *action)
{
    const Core *core = &c->node[no].core;
    Clock now = cluster_clock(c, no);

    if (action->kind == ACTION_FREEZE)
        check_freeze(c, no);
    if (action->kind != ACTION_PROMOTE && action->kind != ACTION_START_PRIMARY)
        return;
    if (!core_lease_holds(core, &now) || core->persist.doc.primary != core->self)
        check_failed(c, INVARIANT_ONE_LEASE, "%s begins %s without its lease", name_of(c, no),
                     action_kind_name(action->kind));
}
