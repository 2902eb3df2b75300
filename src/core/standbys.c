/*
 * standbys.c: which standbys are in sync, what a server is told about whom its commits wait for, and the
 * leader's changes of the document that follow from it (syncset.c has the order).
 *
 * What is remembered between steps is no more than when a standby was last in sync, and the barrier of the
 * present names: after a restart both are found out again.
 */
#include "core/internal.h"

#include <stdio.h>
#include <string.h>

/* A reload is through within milliseconds: names that are not effective for longer are set once more. */
#define EFFECTIVE_LIMIT_US US_PER_SEC
/* After names could not be set. */
#define NAMES_RETRY_US US_PER_SEC

static MemberSet bit(MemberNo no)
{
    return (MemberSet) (1u << no);
}

static bool is_in(MemberSet set, MemberNo no)
{
    return no >= 0 && (set >> no & 1) != 0;
}

static bool is_waiting_primary(const Core *core)
{
    const Document *doc = &core->persist.doc;

    return core->pg.state == PG_PRIMARY && doc->epoch > 0 && doc->primary == core->self &&
           core->persist.wal_epoch == doc->epoch;
}

/*
 * What the server shows is what this process told it last. Others may be on their way: an action under way,
 * one that failed half way, or a former agent's whose file no process has read yet.
 */
static bool are_effective(const Core *core)
{
    return core->pg.names_effective && core->pg.names.generation == core->names_told.generation;
}

/* Names that are being set may be in force already, whatever the newest look has seen. */
static bool is_unsure(const Core *core)
{
    return core->action.kind == ACTION_SET_NAMES || core->acted_us >= core->looked_us ||
           core->pg.names.kind == NAMES_UNKNOWN;
}

bool standbys_names_hold(const Core *core)
{
    return core->pg.names_effective && !is_unsure(core);
}

/* ---- Who is in sync ---- */

/* Something else speaks under its name, or it is about to leave: what it confirmed is nowhere any more. */
static bool is_lost(const Core *core, MemberNo no)
{
    const DocMember *member = &core->persist.doc.member[no];
    const Peer *peer = &core->peer[no];

    if (no == core->self)
        return false;
    return !member->voter || member->leaving ||
           (peer->heard && !peer->relayed && !uuid_is_zero(&member->uuid) &&
            !uuid_equal(&member->uuid, &peer->uuid));
}

/* A member without a UUID in the document has not been bound yet: nothing that it says could be counted. */
static bool may_be_waited_for(const Core *core, MemberNo no)
{
    const DocMember *member = &core->persist.doc.member[no];

    return no != core->self && member->kind == MEMBER_DATA && document_is_voter(core, no) &&
           !member->leaving && !uuid_is_zero(&member->uuid) && !core->peer[no].report.no_failover &&
           !core->peer[no].report.no_sync;
}

/*
 * In sync: it lives, runs as a standby that would make its own commits wait, and has confirmed what was
 * flushed here a moment ago.
 */
static void watch_member(Core *core, MemberNo no)
{
    Peer *peer = &core->peer[no];
    const Observation *theirs = &peer->report.pg;
    Lsn confirmed = core->pg.confirmed[no];
    /* Whoever has an older document may be about to take its names away, since that is what that says. */
    bool ready = is_in(core->persist.doc.sync_set, no) ||
                 (theirs->names.kind == NAMES_OURS && theirs->names_effective &&
                  document_compare(peer->doc_id, core->persist.doc.id) == 0);
    bool alive = view_is_fresh(core, no) && !peer->relayed && !peer->report.disk_failed &&
                 theirs->state == PG_STANDBY && ready;

    peer->sync_ready = alive;

    if (confirmed == LSN_NONE) {
        peer->sync_mark = LSN_NONE;
        return;
    }
    if (confirmed >= core->pg.lsn && alive)
        peer->sync_at = core->now;
    else if (peer->sync_mark != LSN_NONE && confirmed >= peer->sync_mark && alive)
        peer->sync_at = peer->sync_mark_at;
    if (peer->sync_mark == LSN_NONE || confirmed >= peer->sync_mark) {
        peer->sync_mark = core->pg.lsn;
        peer->sync_mark_at = core->now;
    }
}

/*
 * Whoever is in R has its time after a takeover, too; who is to join it must be in sync rather than late, and
 * at this moment one whose own commits would wait.
 */
static MemberSet in_sync(const Core *core)
{
    const Document *doc = &core->persist.doc;
    int64_t limit_us = (int64_t) core->options.sync_timeout_ms * US_PER_MS;
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        bool member = is_in(doc->sync_set, no);
        int64_t late_us = core_since(core, &peer->sync_at);
        int64_t here_us = core_since(core, &core->sync_since);

        if (!may_be_waited_for(core, no))
            continue;
        if (member ? late_us <= limit_us || here_us <= limit_us : peer->sync_ready && late_us <= limit_us / 2)
            set |= bit(no);
    }
    return set;
}

static MemberSet lost(const Core *core)
{
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (core->persist.doc.member[no].kind != MEMBER_FREE && is_lost(core, no))
            set |= bit(no);
    return set;
}

/* ---- The barrier ---- */

/*
 * Everything that was acknowledged by former names was flushed before these became effective. The position
 * comes from a look that began after one that showed them so.
 */
static void watch_barrier(Core *core, Effects *out)
{
    const Names *names = &core->pg.names;

    if (!are_effective(core) || !is_waiting_primary(core)) {
        core->barrier_from_us = 0;
        core->barrier = LSN_NONE;
    } else if (core->barrier_from_us == 0 || core->barrier_generation != names->generation) {
        core->barrier_generation = names->generation;
        core->barrier_from_us = core->now.boot_us;
        core->barrier = LSN_NONE;
        core_effect(out, EFFECT_OBSERVE);
    } else if (core->barrier == LSN_NONE && core->looked_us > core->barrier_from_us) {
        core->barrier = core->pg.lsn;
        core_effect(out, EFFECT_OBSERVE);
    }
}

static int confirmed(const Core *core)
{
    int have = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        have += is_in(core->pg.names.set, no) && core->pg.confirmed[no] >= core->barrier;
    return core->barrier != LSN_NONE ? have : -1;
}

void standbys_on_observed(Core *core, Effects *out, const Observation *before)
{
    if (!is_waiting_primary(core)) {
        core->sync_since = core->now;
    } else {
        for (MemberNo no = 0; no < MEMBER_MAX; no++)
            if (no != core->self && core->persist.doc.member[no].kind == MEMBER_DATA)
                watch_member(core, no);
    }
    watch_barrier(core, out);
    if (core->pg.names.generation != before->names.generation ||
        !syncset_names_equal(&core->pg.names, &before->names) || are_effective(core))
        core->names_changed_at = core->now;
}

/* ---- What a server is told ---- */

/* Nobody bears it. On a standby it keeps commits waiting from the first one after a promotion. */
static Names placeholder(const Core *core)
{
    return (Names){.kind = NAMES_OURS, .needed = 1, .epoch = core->persist.doc.epoch};
}

Names standbys_names_for(const Core *core, ActionKind kind)
{
    const Document *doc = &core->persist.doc;
    Names names = {0};

    if (doc->synchronous && kind == ACTION_START_STANDBY)
        names = placeholder(core);
    else if (doc->synchronous && kind == ACTION_PROMOTE)
        names = syncset_takeover_names(doc, core->options.sync_mode, core->options.sync_k);
    else if (kind == ACTION_SET_NAMES && core->pg.state == PG_PRIMARY)
        names = core->sync_step.names;
    else if (kind == ACTION_SET_NAMES && doc->synchronous)
        names = placeholder(core);
    if (names.kind != NAMES_UNKNOWN || kind == ACTION_SET_NAMES) {
        uint32_t newest = core->pg.names.generation;
        names.generation = (newest > core->names_told.generation ? newest : core->names_told.generation) + 1;
    }
    return names;
}

/* Newer ones than the fence says are a change under way: it is told when that has arrived everywhere. */
Names standbys_fence_names(const Core *core)
{
    const Names *seen = &core->pg.names;

    if (!core->persist.doc.synchronous)
        return (Names){0};
    if (core->pg.names_effective && (seen->kind == NAMES_OURS || seen->kind == NAMES_NONE))
        return *seen;
    return core->fence_names;
}

static bool is_overdue(const Core *core)
{
    return !are_effective(core) && core_since(core, &core->names_changed_at) > EFFECTIVE_LIMIT_US;
}

bool standbys_names_are_due(const Core *core)
{
    const Names *names = &core->pg.names;
    bool ours = names->kind == NAMES_OURS;

    if (core->now.boot_us < core->names_retry_us || names->kind == NAMES_UNKNOWN)
        return false;
    if (core->pg.state == PG_PRIMARY && is_waiting_primary(core))
        return core->sync_step.kind == SYNC_SET_NAMES ||
               (core->sync_step.kind == SYNC_WAITS && is_overdue(core));
    if (core->pg.state != PG_STANDBY || core->persist.doc.primary == core->self)
        return false;
    return core->persist.doc.synchronous ? !ours || is_overdue(core) : ours || names->kind == NAMES_NONE;
}

void standbys_names_failed(Core *core)
{
    core->names_retry_us = core->now.boot_us + NAMES_RETRY_US;
}

/* ---- The leader's steps ---- */

void standbys_describe(const Document *doc, MemberSet set, int needed, char *ret_text, size_t size)
{
    size_t used = 0;

    if (needed == 0) {
        snprintf(ret_text, size, "no standby");
        return;
    }
    used += (size_t) snprintf(ret_text, size, "%d of ", needed);
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (is_in(set, no) && no != doc->primary && used < size)
            used += (size_t) snprintf(ret_text + used, size - used, "%s%s", used > 5 ? ", " : "",
                                      doc->member[no].name);
}

/* One entry when a change has come to its end; who has just taken over begins with what it found. */
static void tell(Core *core, Effects *out)
{
    const Document *doc = &core->persist.doc;
    bool same = core->sync_told_set == doc->sync_set && core->sync_told_needed == doc->sync_needed &&
                core->sync_told == doc->synchronous;
    bool first = core->sync_told_epoch != doc->epoch;
    char text[CORE_TEXT_LEN];

    core->sync_told = doc->synchronous;
    core->sync_told_set = doc->sync_set;
    core->sync_told_needed = doc->sync_needed;
    core->sync_told_epoch = doc->epoch;
    if (same || (first && !doc->synchronous))
        return;
    History history = {.kind = HISTORY_SYNC,
                       .member = core->self,
                       .from = MEMBER_NONE,
                       .epoch = doc->epoch,
                       .timeline = core->pg.timeline,
                       .lsn = core->pg.lsn,
                       .duration_ms = -1};
    standbys_describe(doc, doc->sync_set, doc->sync_needed, text, sizeof text);
    if (doc->synchronous)
        core_history(core, out, &history, "commits wait for %.200s", text);
    else
        core_history(core, out, &history, "synchronous mode is off");
}

/* True if a change of the document was proposed. */
bool standbys_tick(Core *core, Effects *out)
{
    Document doc = core->persist.doc;
    /* Whoever has the only vote takes over with what it has: it stays, whatever has become of it. */
    bool votes = document_is_voter(core, core->self);
    SyncView view = {
        .good = in_sync(core),
        .lost = votes ? lost(core) : 0,
        .names = core->pg.names,
        .effective = are_effective(core),
        .confirmed = confirmed(core),
    };

    if (!is_waiting_primary(core) || !lease_may_write(core) || core->plan.step != STEP_NONE ||
        is_unsure(core))
        return false;
    prefer_sync(core, &view.mode, &view.k);
    core->sync_good = view.good;
    core->sync_step = syncset_next(&doc, &view);
    core->sync_evaluated = true;
    if (core->sync_step.kind == SYNC_STEADY)
        tell(core, out);
    if (core->sync_step.kind != SYNC_PROPOSE)
        return false;
    doc.synchronous = core->sync_step.synchronous;
    doc.sync_set = core->sync_step.set;
    doc.sync_needed = core->sync_step.needed;
    assert(!syncset_covers(&core->persist.doc, &view.names) || syncset_covers(&doc, &view.names));
    char text[CORE_TEXT_LEN];
    standbys_describe(&doc, doc.sync_set, doc.sync_needed, text, sizeof text);
    core_log(core, out, LOG_LEVEL_INFO, "sync_set synchronous=%s waits_for=\"%.180s\"",
             doc.synchronous ? "yes" : "no", text);
    document_propose(core, out, &doc);
    return true;
}
