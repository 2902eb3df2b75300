/*
 * server.c: actions on the own server: what is told to the body, what is written down before, and what became
 * of it.
 *
 * One at a time. Only FREEZE and STOP_IMMEDIATE may replace one that is under way; its end then no longer
 * concerns us.
 */
#include "core/internal.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_FIRST_US US_PER_SEC
#define BACKOFF_MOST_US  (10 * US_PER_SEC)
#define BACKOFF_COPY_US  (60 * US_PER_SEC) /* what reads much from the primary */
/* A standby whose WAL the primary lacks is believed only after it has tried to stream for so long. */
#define WAL_GONE_AFTER_US (2 * US_PER_SEC)

/* Killed processes are gone within milliseconds, unless the kernel cannot let go of them. */
#define END_OVERDUE_US (5 * US_PER_SEC)

bool server_is_stopping(const Core *core)
{
    return core->action.kind == ACTION_STOP_IMMEDIATE || core->action.kind == ACTION_STOP_FAST;
}

/* What must be on disk before the action begins; 0: nothing. */
static uint32_t note_before(Core *core, Effects *out, const Action *action)
{
    uint32_t wal_epoch = core->persist.wal_epoch;
    bool follows = action->target != MEMBER_NONE &&
                   (action->kind == ACTION_FOLLOW || action->kind == ACTION_START_STANDBY);

    if (follows || action->kind == ACTION_PROMOTE)
        wal_epoch = action->epoch;
    bool replaces = action->kind == ACTION_REWIND || action->kind == ACTION_CLONE;
    /* Nothing else is noted; a stop above all must not wait for a disk that is slow or full. */
    if (!follows && !replaces && action->kind != ACTION_PROMOTE)
        return 0;
    if (wal_epoch == core->persist.wal_epoch && (!replaces || core->persist.rewinding)) {
        /* Noted already, but perhaps not on disk. */
        if (core->disk_failed)
            return core_persist(core, out);
        return core->persisted_seq < core->persist_seq ? core->persist_seq : 0;
    }
    core->persist.wal_epoch = wal_epoch;
    core->persist.rewinding = core->persist.rewinding || replaces;
    return core_persist(core, out);
}

bool server_end_is_overdue(const Core *core)
{
    return core->ending && core_since(core, &core->ending_since) > END_OVERDUE_US;
}

/* For an operator, and not for a plan's sake or the server's own. */
static bool is_asked_for(const Core *core, ActionKind kind)
{
    bool primary = (core->facts & FACT_BIT(PG_PRIMARY)) != 0 && core->plan.step == STEP_NONE;

    return (kind == ACTION_RELOAD && core->want_reload) ||
           (kind == ACTION_RESTART_STANDBY && core->want_restart) ||
           (kind == ACTION_STOP_FAST && core->want_restart && primary);
}

void server_act(Core *core, Effects *out, ActionKind kind)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);
    bool known = core->leader != MEMBER_NONE && doc->primary != core->self;

    if (core->action.kind == kind)
        return;
    Action action = {
        .id = ++core->action_id,
        .kind = kind,
        .target = known ? doc->primary : MEMBER_NONE,
        .epoch = doc->epoch,
        .timeline = last != NULL ? last->timeline : 0,
        .asked = is_asked_for(core, kind),
    };
    if (kind == ACTION_INSPECT || kind == ACTION_SAVE_WAL)
        fork_fill(core, &action);
    if (kind == ACTION_SAVE_WAL) {
        bool told = core->inspected && core->fork != UINT64_MAX;
        action.fork = told ? core->fork : LSN_NONE; /* all of it */
    }
    action.names = standbys_names_for(core, kind);
    if (action.names.kind != NAMES_UNKNOWN || kind == ACTION_SET_NAMES)
        core->names_told = action.names;
    uint32_t after = note_before(core, out, &action);
    if (kind == ACTION_FOLLOW || kind == ACTION_START_STANDBY || kind == ACTION_PROMOTE) {
        core->frozen = false;
        core->stream_at = core->now;
    }
    if ((kind == ACTION_START_STANDBY || kind == ACTION_CLONE || kind == ACTION_REWIND) && known) {
        if (!core->rejoining)
            core->rejoin_at = core->now;
        if (!core->rejoining || kind != ACTION_START_STANDBY)
            core->rejoined_by = kind;
        core->rejoining = true;
    }
    /* A look at the stopped server tells it no more. */
    if (kind == ACTION_STOP_FAST || kind == ACTION_STOP_IMMEDIATE)
        core->diverged = core->diverged || (core->facts & FACT_BIT(DIVERGED)) != 0;
    if (kind == ACTION_RELOAD)
        core->retried_at = core->now;
    if (kind == ACTION_STOP_IMMEDIATE && (core->facts & FACT_BIT(START_OVERDUE)) != 0)
        core->in_place = false; /* it had its time */
    if (kind == ACTION_STOP_IMMEDIATE && !core->ending) {
        core->ending = true;
        core->ending_since = core->now;
    }
    if (kind == ACTION_FREEZE && core->persist.doc.epoch == 0 && core->pg.streaming)
        core->streamed_from = core->pg.upstream;
    if (kind != ACTION_FREEZE) {
        core->freezing = false;
        vote_refuse_pending(core, out);
    }
    core->promoting = core->promoting || kind == ACTION_PROMOTE;
    core->action = action;
    core->progress = UINT8_MAX;
    Effect *effect = core_effect(out, EFFECT_ACTION);
    effect->action = action;
    effect->after_persist = after;
}

/*
 * The member that a switchover is for has not begun, and the others are well: it is not asked again and again
 * while there is no primary.
 */
static bool ends_switchover(const Core *core, const ActionResult *done)
{
    return done->refused && core->action.kind == ACTION_PROMOTE && !uuid_is_zero(&core->xfer.leader) &&
           core->xfer.lsn != LSN_NONE;
}

static void after_failure(Core *core, Effects *out, const ActionResult *done)
{
    bool copy = core->action.kind == ACTION_CLONE || core->action.kind == ACTION_REWIND;
    int64_t wait_us = BACKOFF_FIRST_US << (core->failures < 6 ? core->failures : 6);
    int64_t most_us = copy ? BACKOFF_COPY_US : BACKOFF_MOST_US;

    core_log(core, out, LOG_LEVEL_WARN, "action_failed action=%s reason=\"%.150s\"",
             action_kind_name(core->action.kind), done->text);
    if (core->action.kind == ACTION_SET_NAMES) {
        standbys_names_failed(core); /* nothing else has to wait for that */
        return;
    }
    if (ends_switchover(core, done) && core->failures < CORE_FAILING)
        core->failures = CORE_FAILING;
    else if (core->failures < UINT8_MAX)
        core->failures++;
    snprintf(core->failure, sizeof core->failure, "%s: %.170s", action_kind_name(core->action.kind),
             done->text);
    core->backoff_until_us = core->now.boot_us + (wait_us < most_us ? wait_us : most_us);
    if (core->action.kind == ACTION_REWIND)
        core->rewind_failed = true;
    if (done->wal_missing)
        core->wal_gone = true;
}

/* What an operator asked for is not tried again: the operator is told. */
static void after_refusal(Core *core, Effects *out, const ActionResult *done)
{
    bool reload = core->action.kind == ACTION_RELOAD;

    core_log(core, out, LOG_LEVEL_WARN, "action_failed action=%s reason=\"%.150s\"",
             action_kind_name(core->action.kind), done->text);
    if (reload)
        core->want_reload = false;
    else
        core->want_restart = false;
    if (core->op.state == OP_RUNNING && core->op.kind == (reload ? COMMAND_RELOAD : COMMAND_RESTART))
        plan_finish(core, OP_FAILED, "%.180s", done->text);
}

/* The data directory is a standby's of that epoch, made anew. */
static void after_resync(Core *core, Effects *out)
{
    core->persist.rewinding = false;
    core->persist.wal_epoch = core->action.epoch;
    core->persist.stray_timeline = 0;
    core->inspected = core->diverged = core->wal_saved = core->rewind_failed = core->wal_gone = false;
    core->fork_known = false;
    core->lost = (Lost){0};
    core->ancestor.timeline = 0;
    core->want_clone = core->want_rejoin = core->frozen = false;
    core_persist(core, out);
}

static void after_save(Core *core, Effects *out, const ActionResult *done)
{
    History history = {
        .kind = HISTORY_LOST,
        .member = core->self,
        .from = MEMBER_NONE,
        .epoch = core->persist.wal_epoch,
        .timeline = core->action.timeline,
        .lsn = core->fork,
        .duration_ms = -1,
        .bytes = done->bytes,
        .transactions = done->transactions,
    };

    core->wal_saved = true;
    core->lost = (Lost){
        .fork = core->fork,
        .end = done->lsn,
        .transactions = done->transactions,
        .last_us = done->last_commit_us,
        .complete = done->complete,
    };
    if (!done->saved_before)
        core_history(core, out, &history, "%.200s", done->text);
}

static void after_start_primary(Core *core, Effects *out)
{
    if (core->told_epoch == core->persist.doc.epoch) { /* else it is the first start of a new cluster */
        History history = {
            .kind = HISTORY_RESTART,
            .member = core->self,
            .from = MEMBER_NONE,
            .epoch = core->persist.doc.epoch,
            .timeline = core->pg.timeline,
            .lsn = core->pg.lsn,
            .duration_ms = (int32_t) (core_since(core, &core->down_at) / US_PER_MS),
        };
        core_history(core, out, &history, "the primary was restarted in place");
    }
    core->crashed = core->in_place = core->want_restart = false;
    if (core->op.state == OP_RUNNING && core->op.kind == COMMAND_RESTART)
        plan_finish(core, OP_DONE, "the primary was restarted");
}

static void after_success(Core *core, Effects *out, const ActionResult *done)
{
    core->failures = 0;
    core->backoff_until_us = 0;
    core->stopped = server_is_stopping(core);
    if (core->stopped && !core->crashed)
        core->down_at = core->now;
    switch (core->action.kind) {
    case ACTION_INSPECT: fork_on_inspected(core, out, done); break;
    case ACTION_SAVE_WAL: after_save(core, out, done); break;
    case ACTION_REWIND:
    case ACTION_CLONE: after_resync(core, out); break;
    case ACTION_START_PRIMARY: after_start_primary(core, out); break;
    case ACTION_STOP_FAST:
        if (core->want_restart)
            core->in_place = true;
        core->want_restart = false;
        core->inspected = core->wal_saved = false;
        break;
    case ACTION_STOP_IMMEDIATE: core->ending = core->inspected = core->wal_saved = false; break;
    case ACTION_RESTART_STANDBY:
        core->want_restart = false;
        if (core->op.kind == COMMAND_RESTART)
            plan_finish(core, OP_DONE, "the standby was restarted");
        break;
    case ACTION_RELOAD:
        core->want_reload = false;
        core->settings_written = true;
        if (core->op.kind == COMMAND_RELOAD)
            plan_finish(core, OP_DONE, "PostgreSQL was told to read its configuration again");
        break;
    default: break;
    }
}

void server_on_done(Core *core, Effects *out, const ActionResult *done)
{
    if (done->id != core->action.id || core->action.kind == ACTION_NONE)
        return;
    Action ended = core->action;
    if (ended.kind == ACTION_FREEZE) {
        core->action.kind = ACTION_NONE;
        core->acted_us = core->now.boot_us;
        core_effect(out, EFFECT_OBSERVE);
        if (!done->ok)
            core_log(core, out, LOG_LEVEL_WARN, "freeze_failed reason=\"%.150s\"", done->text);
        election_on_frozen(core, out, done);
        return;
    }
    if (done->ok)
        after_success(core, out, done);
    else if (ended.asked)
        after_refusal(core, out, done);
    else
        after_failure(core, out, done);
    core->action.kind = ACTION_NONE;
    core->acted_us = core->now.boot_us;
    core_effect(out, EFFECT_OBSERVE);
    plan_on_done(core, out, ended.kind, done);
}

/* The server went down although nobody here told it to. */
static void notice_crash(Core *core, Effects *out, const Observation *before)
{
    bool down = core->pg.state == PG_CRASHED || core->pg.state == PG_STOPPED;

    if (!down || (before->state != PG_PRIMARY && before->state != PG_STANDBY && before->state != PG_STARTING))
        return;
    if (core->stopped || server_is_stopping(core) || core->action.kind == ACTION_RESTART_STANDBY ||
        core->action.kind == ACTION_PROMOTE)
        return; /* an action may restart the server by itself */
    core_log(core, out, LOG_LEVEL_WARN, "server_down was=%s now=%s", pg_state_name(before->state),
             pg_state_name(core->pg.state));
    core->crashed = true;
    core->down_at = core->now;
}

/*
 * Whoever has lost its state, or was adopted, has the primary's WAL by its own word only until it has
 * streamed from it. Noted then: a timeline that somebody gives it later by a promotion behind our back, and
 * that bears the number of a later epoch's, is none of the cluster's.
 */
static void note_lineage(Core *core, Effects *out)
{
    const Document *doc = &core->persist.doc;

    if (core->persist.wal_epoch != 0 || core->pg.state != PG_STANDBY || !core->pg.streaming ||
        core->pg.upstream != doc->primary || (core->facts & FACT_BIT(PRIMARY_READY)) == 0)
        return;
    core->persist.wal_epoch = doc->epoch;
    core_persist(core, out);
}

static void notice_streaming(Core *core, Effects *out)
{
    const Document *doc = &core->persist.doc;

    /* Nobody can stream from a primary that is not there. */
    if ((core->facts & FACT_BIT(PRIMARY_READY)) == 0)
        core->ready_at = core->now;
    if (core->pg.streaming || core->pg.state != PG_STANDBY)
        core->stream_at = core->now;
    if (core->pg.streaming)
        core->wal_gone = core->crashed = false;
    note_lineage(core, out);
    if (core->rejoining && core->pg.streaming && core->pg.upstream == doc->primary) {
        History history = {
            .kind = HISTORY_REJOIN,
            .member = core->self,
            .from = doc->primary,
            .epoch = doc->epoch,
            .timeline = core->pg.timeline,
            .lsn = core->pg.lsn,
            .duration_ms = (int32_t) (core_since(core, &core->rejoin_at) / US_PER_MS),
        };
        core->rejoining = false;
        core_history(core, out, &history, "by %s",
                     core->rejoined_by == ACTION_START_STANDBY ? "plain start"
                                                               : action_kind_name(core->rejoined_by));
        view_await_arrival(core);
    }
}

static void notice_wal_gone(Core *core)
{
    const Document *doc = &core->persist.doc;
    const Observation *pg = &core->pg;
    const Report *primary = doc->primary >= 0 ? &core->peer[doc->primary].report : NULL;

    if (primary == NULL || pg->state != PG_STANDBY || pg->streaming || pg->upstream != doc->primary ||
        pg->lsn == LSN_NONE || core_since(core, &core->stream_at) < WAL_GONE_AFTER_US)
        return;
    if (primary->pg.state == PG_PRIMARY && primary->pg.oldest_lsn > pg->lsn)
        core->wal_gone = true;
}

void server_on_observed(Core *core, Effects *out, const Event *event)
{
    const Document *doc = &core->persist.doc;
    Observation before = core->pg;

    core->pg = *event->pg;
    core->looked_us = event->looked_us;
    core->progress = event->progress;
    core->cut_off = event->cut_off;
    if (core->pg.state != before.state) {
        core->pg_changed = core->now;
        core_log(core, out, LOG_LEVEL_INFO, "server state=%s was=%s", pg_state_name(core->pg.state),
                 pg_state_name(before.state));
    }
    bool running = core->pg.state == PG_PRIMARY || core->pg.state == PG_STANDBY;
    bool unsure = core->pg.state == PG_STARTING || core->pg.state == PG_UNKNOWN || core->pg.processes_left;
    bool down = !running && !unsure, primary = core->pg.state == PG_PRIMARY;
    bool since_acted = core->looked_us > core->acted_us;
    /* Nobody ended it, and nobody wants that any more: it could take over again. */
    bool spared = core->pg.state == PG_STANDBY && core->pg.streaming && core->action.kind == ACTION_NONE;
    core->ending = core->ending && !down && !spared;
    /* A promotion may restart the server by itself, and asks again. */
    if (primary || (down && core->action.kind != ACTION_PROMOTE))
        core->promoting = false;
    if (since_acted && (running || core->pg.state == PG_STARTING))
        core->stopped = false;
    if (since_acted && primary && !server_is_stopping(core))
        core->in_place = false; /* it runs: the next crash is another matter */
    if (core->pg.responsive || !running)
        core->pg_answered = core->now;
    if (doc->system_identifier != 0 && core->pg.system_identifier != 0 &&
        doc->system_identifier != core->pg.system_identifier && !core->persist.rewinding) {
        core_refuse(
            core, out,
            "the server here has system identifier %llu, the cluster's is %llu: it belongs to another "
            "cluster; empty its data directory to have it cloned, or correct [members]",
            (unsigned long long) core->pg.system_identifier, (unsigned long long) doc->system_identifier);
        return;
    }
    if (core->pg.state != PG_STANDBY && !core->freezing)
        core->frozen = false;
    notice_crash(core, out, &before);
    notice_streaming(core, out);
    view_own(core);
    notice_wal_gone(core);
    standbys_on_observed(core, out, &before);
    lease_answer_fresh(core, out);
}

void server_notice_stray(Core *core, Effects *out)
{
    const Document *doc = &core->persist.doc;

    if (core->pg.state == PG_EMPTY)
        core->persist.stray_timeline = 0;
    if (core->pg.state != PG_PRIMARY || core->pg.timeline == 0 || doc->epoch == 0 ||
        doc->primary == core->self || core->persist.stray_timeline == core->pg.timeline)
        return;
    const DocEpoch *row =
        document_epoch(doc, document_epoch_of(doc, core->pg.timeline, core->pg.timeline_start, doc->epoch));
    if (row != NULL && row->primary == core->self)
        return;
    core_log(core, out, LOG_LEVEL_WARN,
             "stray timeline=%u: the server writes on a timeline that is not its own", core->pg.timeline);
    core->persist.stray_timeline = core->pg.timeline;
    core_persist(core, out);
}
