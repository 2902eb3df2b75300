/*
 * rules.c: the decision about the own server: facts, and one ordered table of which the first row that
 * matches wins.
 *
 * A row matches when all facts of `must` hold and none of `must_not`. Rows are read from top to bottom:
 * safety first, then what is under way, then the leader's duties, then the follower's. Adding a row is adding
 * a line.
 */
#include "core/internal.h"

#include <string.h>

#define F(id) FACT_BIT(id)

/* A walreceiver that was told to follow streams within tenths of a second. */
#define STREAM_LATE_MS 1000
/* Then PostgreSQL's own wal_retrieve_retry_interval is as good, unless somebody has set it high. */
#define STREAM_HURRY_MS 6000
#define STREAM_AGAIN_MS 30000

/* clang-format off */
const Rule RULES[] = {
    {"witness", 0, F(DATA), MOVE_NONE, ACTION_NONE,
     "a witness has no server"},
    {"brownout", F(MANAGED) | F(PG_PRIMARY) | F(FENCED) | F(IS_PRIMARY_IN_DOC) | F(BROWNOUT), F(LEASE) | F(GRACE), MOVE_NONE, ACTION_NONE,
     "the lease is gone and the fence is closed: commits wait in the server, which is left running for a while"},
    {"lease_gone", F(MANAGED) | F(PG_PRIMARY), F(LEASE) | F(GRACE), MOVE_ACT, ACTION_STOP_IMMEDIATE,
     "a server that can write without a lease is ended at once"},
    {"end_overdue", F(LEASE) | F(END_OVERDUE) | F(SUCCESSOR), F(PAUSED), MOVE_STEP_DOWN, ACTION_NONE,
     "processes of the server cannot be ended, as on a frozen disk: the lease runs out, and who takes over needs no word from here"},
    {"leftovers", F(PG_LEFTOVERS), F(BUSY) | F(STALE), MOVE_ACT, ACTION_STOP_IMMEDIATE,
     "processes of a dead postmaster may still acknowledge: they are ended first"},
    {"primary_hung", F(LEASE) | F(PG_HUNG) | F(SUCCESSOR), F(PAUSED) | F(SWITCHOVER), MOVE_ACT, ACTION_STOP_IMMEDIATE,
     "the primary answers nothing, or its disk takes no writes, and another member can take over"},
    {"start_overdue", F(LEASE) | F(PG_STARTING) | F(START_OVERDUE) | F(SUCCESSOR), F(PAUSED) | F(SWITCHOVER), MOVE_ACT, ACTION_STOP_IMMEDIATE,
     "the primary starts for too long and another member can take over"},
    {"busy", F(BUSY), 0, MOVE_NONE, ACTION_NONE,
     "one action at a time"},
    {"stale", F(STALE), 0, MOVE_NONE, ACTION_NONE,
     "what the last action made of the server is not known yet"},
    {"backoff", F(BACKOFF), 0, MOVE_NONE, ACTION_NONE,
     "the last action failed; it is tried again after a while"},
    {"switchover", F(SWITCHOVER), 0, MOVE_NONE, ACTION_NONE,
     "the steps of the switchover decide"},
    {"outside", F(OUTSIDE), F(LEASE) | F(GRACE), MOVE_NONE, ACTION_NONE,
     "the cluster's document does not name this member: its server is left as it is; pgvigil member add lets it in"},

    {"hand_over", F(LEASE) | F(PG_DOWN) | F(SUCCESSOR), F(PAUSED) | F(RESTART_IN_PLACE), MOVE_RELEASE, ACTION_NONE,
     "the primary's server is down and another member can take over"},
    {"hand_over_broken", F(LEASE) | F(PG_DOWN) | F(BROKEN) | F(SUCCESSOR), F(PAUSED), MOVE_RELEASE, ACTION_NONE,
     "the primary's data directory cannot be started and another member can take over"},
    {"hand_over_empty", F(LEASE) | F(PG_EMPTY) | F(SUCCESSOR), F(PAUSED), MOVE_RELEASE, ACTION_NONE,
     "the primary's data directory is gone and another member can take over"},
    {"hand_over_unreadable", F(LEASE) | F(PG_UNREADABLE) | F(SUCCESSOR), F(PAUSED), MOVE_STEP_DOWN, ACTION_NONE,
     "the primary's data directory cannot be read any more: the lease runs out, and who takes over needs no word from here"},
    {"promotion_fails", F(LEASE) | F(PG_STANDBY) | F(FAILING) | F(SUCCESSOR), F(PAUSED), MOVE_ACT, ACTION_STOP_IMMEDIATE,
     "the promotion failed again and again and another member can take over: it could still succeed, so the server ends first"},
    {"create", F(LEASE) | F(PG_EMPTY) | F(INITDB), 0, MOVE_ACT, ACTION_INITDB,
     "a new cluster is created"},
    {"start_again", F(LEASE) | F(PG_DOWN) | F(PROMOTED) | F(PAUSED) | F(RESTART_IN_PLACE), F(BROKEN), MOVE_ACT, ACTION_START_PRIMARY,
     "a primary that pgvigil itself stopped is started again, even while paused"},
    {"start_primary", F(LEASE) | F(PG_DOWN) | F(PROMOTED), F(BROKEN) | F(PAUSED), MOVE_ACT, ACTION_START_PRIMARY,
     "the primary is started where it is"},
    {"start_to_promote", F(LEASE) | F(PG_DOWN), F(BROKEN) | F(PAUSED) | F(PROMOTED), MOVE_ACT, ACTION_START_STANDBY,
     "the server went down before it was promoted: without that it would write to its former timeline"},
    {"not_a_standby", F(LEASE) | F(PG_STANDBY) | F(PROMOTED), F(PAUSED), MOVE_ACT, ACTION_STOP_FAST,
     "somebody started the primary as a standby: promoted again it would leave the timeline that the epoch is known by"},
    {"promote", F(LEASE) | F(PG_STANDBY), F(PROMOTED), MOVE_ACT, ACTION_PROMOTE,
     "this member was elected"},
    {"leader_starting", F(LEASE) | F(PG_STARTING), 0, MOVE_NONE, ACTION_NONE,
     "the primary is starting"},
    {"restart_primary", F(LEASE) | F(PG_PRIMARY) | F(WANT_RESTART), 0, MOVE_ACT, ACTION_STOP_FAST,
     "an operator asked for a restart"},
    {"reload_primary", F(LEASE) | F(PG_PRIMARY) | F(WANT_RELOAD), 0, MOVE_ACT, ACTION_RELOAD,
     "an operator asked for a reload"},
    {"adopt_primary", F(LEASE) | F(PG_PRIMARY) | F(SETTINGS_DUE), F(PAUSED), MOVE_ACT, ACTION_RELOAD,
     "a server that restarts by itself after a crash would go on behind the agent's back: the setting is turned off"},
    {"set_names", F(LEASE) | F(PG_PRIMARY) | F(NAMES_DUE), 0, MOVE_ACT, ACTION_SET_NAMES,
     "others are to be waited for than the server has been told"},
    {"checkpoint", F(LEASE) | F(PG_PRIMARY) | F(SETTLED), F(CHECKPOINTED), MOVE_ACT, ACTION_CHECKPOINT,
     "before the first checkpoint on a timeline pg_rewind finds nothing to do"},
    {"steady_primary", F(LEASE) | F(PG_PRIMARY), 0, MOVE_NONE, ACTION_NONE,
     "the primary, with its lease"},
    {"leader_waits", F(LEASE), 0, MOVE_NONE, ACTION_NONE,
     "this member leads, and nothing can be done for its server now"},

    {"grace", F(PG_PRIMARY) | F(GRACE), 0, MOVE_NONE, ACTION_NONE,
     "the agent was restarted and its lease of before has not run out"},
    {"unmanaged", F(PG_PRIMARY), F(MANAGED), MOVE_NONE, ACTION_NONE,
     "a primary of a cluster that has no document yet"},
    {"clone_stops", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(WANT_CLONE) | F(PG_STANDBY), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_STOP_FAST,
     "an operator asked for a clone: the server is stopped first"},
    {"clone_inspects", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(WANT_CLONE) | F(PG_DOWN), F(INSPECTED) | F(BROKEN) | F(FAILING) | F(WAL_SAVED) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_INSPECT,
     "an operator asked for a clone: has this server anything that the cluster does not have"},
    {"clone_saves", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(WANT_CLONE) | F(PG_DOWN) | F(INSPECTED) | F(DIVERGED), F(WAL_SAVED) | F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_SAVE_WAL,
     "an operator asked for a clone: what the cluster does not have is saved first"},
    {"clone_saves_all", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(WANT_CLONE) | F(PG_DOWN), F(INSPECTED) | F(WAL_SAVED) | F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_SAVE_WAL,
     "an operator asked for a clone, and it cannot be told what this server has: all of its WAL is saved first"},
    {"clone_wanted", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(WANT_CLONE) | F(PG_DOWN), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_CLONE,
     "an operator asked for a clone"},
    {"restart_standby", F(PG_STANDBY) | F(WANT_RESTART), 0, MOVE_ACT, ACTION_RESTART_STANDBY,
     "an operator asked for a restart"},
    {"reload_standby", F(PG_STANDBY) | F(WANT_RELOAD), 0, MOVE_ACT, ACTION_RELOAD,
     "an operator asked for a reload"},
    {"rejoin_wanted", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(WANT_REJOIN), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_STOP_FAST,
     "an operator asked for a rejoin"},
    {"broken_stops", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(BROKEN) | F(CLONABLE), F(PAUSED) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_STOP_FAST,
     "a rewind or clone did not end, and somebody started the server all the same: it could never take over"},
    {"diverged_stops", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(DIVERGED), F(PAUSED) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_STOP_FAST,
     "this standby has WAL that the cluster does not have"},
    {"follow", F(LEADER_KNOWN) | F(PG_STANDBY) | F(LINEAGE_OK), F(FOLLOWS) | F(DIVERGED) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_FOLLOW,
     "this standby follows another node than the primary, or nobody"},
    {"set_names_standby", F(MANAGED) | F(PG_STANDBY) | F(NAMES_DUE), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_SET_NAMES,
     "a standby is told what its commits wait for before it could be promoted, or that they do not any more"},
    {"wal_gone", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(FOLLOWS) | F(WAL_GONE) | F(CLONABLE), F(STREAMS) | F(PAUSED), MOVE_ACT, ACTION_STOP_FAST,
     "the primary no longer has the WAL that this standby needs"},
    {"stream_overdue", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(FOLLOWS) | F(STREAM_OVERDUE), F(STREAMS) | F(PAUSED), MOVE_ACT, ACTION_STOP_FAST,
     "this standby does not get to stream: it is stopped and looked into"},
    {"stream_retry", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_STANDBY) | F(FOLLOWS) | F(STREAM_LATE), F(STREAMS) | F(PAUSED), MOVE_ACT, ACTION_RELOAD,
     "a reload wakes the startup process, which else waits wal_retrieve_retry_interval before it tries again"},
    {"steady_standby", F(PG_STANDBY) | F(FOLLOWS) | F(STREAMS), 0, MOVE_NONE, ACTION_NONE,
     "a standby that streams from the primary"},
    {"standby_waits", F(PG_STANDBY), 0, MOVE_NONE, ACTION_NONE,
     "a standby that waits for a leader, for the primary to be ready, or for its walreceiver to stream"},
    {"starting", F(PG_STARTING), 0, MOVE_NONE, ACTION_NONE,
     "the server is starting"},
    {"paused", F(PAUSED), 0, MOVE_NONE, ACTION_NONE,
     "no automatic action while paused"},
    {"join", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_EMPTY), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_CLONE,
     "an empty data directory is filled from the primary"},
    {"clone_broken", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN) | F(BROKEN) | F(CLONABLE), F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_CLONE,
     "a rewind or clone did not end: only a new copy is sure to be right"},
    {"clone_wal_gone", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN) | F(WAL_GONE) | F(CLONABLE), F(IS_PRIMARY_IN_DOC) | F(DIVERGED), MOVE_ACT, ACTION_CLONE,
     "the primary no longer has the WAL that this server needs"},
    {"start_standby", F(LEADER_KNOWN) | F(PG_DOWN) | F(LINEAGE_OK), F(BROKEN) | F(DIVERGED) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_START_STANDBY,
     "a stopped standby of the present epoch is started"},
    {"inspect", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN), F(INSPECTED) | F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_INSPECT,
     "where does this server's WAL end, compared with where the cluster's went on"},
    {"save_wal", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN) | F(INSPECTED) | F(DIVERGED), F(WAL_SAVED) | F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_SAVE_WAL,
     "what the cluster does not have is saved before it is discarded"},
    {"asks", F(LEADER_KNOWN) | F(PG_DOWN) | F(DIVERGED) | F(WAL_SAVED) | F(ASKS), F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_NONE, ACTION_NONE,
     "what the cluster does not have was saved, and is not discarded until an operator says which side is kept: pgvigil resolve"},
    {"rewind", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PRIMARY_CHECKPOINTED) | F(PG_DOWN) | F(DIVERGED) | F(WAL_SAVED) | F(REWINDABLE), F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_REWIND,
     "the server goes back to where it left the cluster's history"},
    {"rewind_waits", F(LEADER_KNOWN) | F(PG_DOWN) | F(DIVERGED) | F(WAL_SAVED) | F(REWINDABLE), F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_NONE, ACTION_NONE,
     "the primary has not written a checkpoint on its timeline yet"},
    {"clone_diverged", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN) | F(DIVERGED) | F(WAL_SAVED) | F(CLONABLE), F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_CLONE,
     "the server cannot be rewound: it is copied from the primary"},
    {"rejoin", F(LEADER_KNOWN) | F(PRIMARY_READY) | F(PG_DOWN) | F(INSPECTED), F(DIVERGED) | F(BROKEN) | F(IS_PRIMARY_IN_DOC), MOVE_ACT, ACTION_START_STANDBY,
     "the server's WAL is part of the cluster's history: it starts as a standby"},
    {"start_alone", F(MANAGED) | F(PG_DOWN) | F(LINEAGE_OK), F(LEADER_KNOWN) | F(IS_PRIMARY_IN_DOC) | F(BROKEN), MOVE_ACT, ACTION_START_STANDBY,
     "without a leader a standby is started all the same, so that its position is known; it follows nobody yet"},
    {"start_unpromoted", F(MANAGED) | F(PG_DOWN) | F(IS_PRIMARY_IN_DOC), F(LEADER_KNOWN) | F(PROMOTED) | F(BROKEN), MOVE_ACT, ACTION_START_STANDBY,
     "it was elected and went down before it was promoted: it is a standby still, and may stand again"},
    {"start_leaderless", F(MANAGED) | F(PG_DOWN) | F(LEADERLESS), F(LEADER_KNOWN) | F(IS_PRIMARY_IN_DOC) | F(BROKEN) | F(ASKS), MOVE_ACT, ACTION_START_STANDBY,
     "nobody else leads: even a server of an older epoch is started, since it may be the best there is"},
    {"wait", 0, 0, MOVE_NONE, ACTION_NONE,
     "nothing is to be done, or not enough is known"},
};
/* clang-format on */

const size_t RULE_COUNT = sizeof RULES / sizeof RULES[0];

static void put(FactSet *facts, bool holds, Fact fact)
{
    if (holds)
        *facts |= (FactSet) 1 << fact;
}

static bool older_than(const Core *core, const Clock *then, uint32_t ms)
{
    return core_since(core, then) > (int64_t) ms * US_PER_MS;
}

/* A restart after a crash has a limit of its own, counted from the crash. */
static bool start_is_overdue(const Core *core)
{
    if (core->options.restart_on_crash && core->crashed)
        return older_than(core, &core->down_at, core->options.crash_restart_limit_ms);
    return older_than(core, &core->pg_changed, core->options.start_limit_ms);
}

static FactSet server_facts(const Core *core)
{
    const Observation *pg = &core->pg;
    const Document *doc = &core->persist.doc;
    bool down = pg->state == PG_STOPPED || pg->state == PG_CRASHED;
    bool running = pg->state == PG_STANDBY || pg->state == PG_PRIMARY;
    bool becomes = core->promoting || core->action.kind == ACTION_START_PRIMARY;
    /* What it was started as nobody can see; as a primary, if its WAL is of an epoch of its own. */
    const DocEpoch *mine = document_epoch(doc, core->persist.wal_epoch);
    bool own = core->persist.wal_epoch == doc->epoch || core->action.kind != ACTION_START_STANDBY;
    bool starts = pg->state == PG_STARTING && mine != NULL && mine->primary == core->self && own;
    FactSet facts = 0;

    put(&facts, pg->state == PG_EMPTY, FACT_PG_EMPTY);
    put(&facts, down, FACT_PG_DOWN);
    put(&facts,
        pg->state == PG_UNKNOWN && core->looked_us != 0 &&
            older_than(core, &core->pg_changed, core->options.unresponsive_ms),
        FACT_PG_UNREADABLE);
    put(&facts, (down || pg->state == PG_EMPTY) && pg->processes_left, FACT_PG_LEFTOVERS);
    put(&facts, pg->state == PG_STARTING, FACT_PG_STARTING);
    put(&facts, pg->state == PG_STANDBY, FACT_PG_STANDBY);
    put(&facts, pg->state == PG_PRIMARY || becomes || starts, FACT_PG_PRIMARY);
    bool silent = older_than(core, &core->pg_answered, core->options.unresponsive_ms);
    put(&facts, running && (silent || pg->disk_stuck), FACT_PG_HUNG);
    put(&facts, server_end_is_overdue(core), FACT_END_OVERDUE);
    put(&facts, pg->state == PG_STARTING && start_is_overdue(core), FACT_START_OVERDUE);
    put(&facts, running && pg->self_restarts && !core->settings_written, FACT_SETTINGS_DUE);
    put(&facts, standbys_names_are_due(core), FACT_NAMES_DUE);
    bool fenced = running && pg->fenced;
    int64_t brownout_us = (int64_t) core->options.brownout_ms * US_PER_MS;
    put(&facts, fenced, FACT_FENCED);
    put(&facts, fenced && core_since(core, &core->writable_at) < brownout_us, FACT_BROWNOUT);
    put(&facts, pg->streaming, FACT_STREAMS);
    bool hurry = !older_than(core, &core->stream_at, STREAM_HURRY_MS) ||
                 !older_than(core, &core->ready_at, STREAM_HURRY_MS);
    put(&facts,
        !pg->streaming && older_than(core, &core->stream_at, STREAM_LATE_MS) &&
            older_than(core, &core->retried_at, hurry ? STREAM_LATE_MS : STREAM_AGAIN_MS),
        FACT_STREAM_LATE);
    put(&facts,
        !pg->streaming && older_than(core, &core->stream_at, core->options.stream_timeout_ms) &&
            older_than(core, &core->ready_at, core->options.stream_timeout_ms),
        FACT_STREAM_OVERDUE);
    return facts;
}

static bool is_primary_ready(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);
    bool known = core->leader != MEMBER_NONE && core->leader != core->self && doc->epoch > 0 &&
                 doc->primary == core->leader;
    const Report *primary = known ? &core->peer[doc->primary].report : NULL;

    return known && last != NULL && last->settled && primary->pg.state == PG_PRIMARY &&
           view_is_fresh(core, doc->primary) && primary->wal_epoch == doc->epoch;
}

/* Whether the WAL of the own data directory is known to be part of the cluster's, or known not to be. */
static FactSet lineage_facts(const Core *core)
{
    const Document *doc = &core->persist.doc;
    Position mine = view_position(core);
    bool down = core->pg.state == PG_STOPPED || core->pg.state == PG_CRASHED;
    uint32_t known = document_own_epoch(core, core->pg.timeline);
    bool inspected = core->inspected && core->inspected_epoch == doc->epoch;
    bool diverged = core->diverged;
    bool lineage = false;
    const DocEpoch *last = document_last(doc);
    Lsn fork;

    /* The end of what was received may be part of a record that the new primary does not have: replayed WAL
     * tells. */
    bool ancestor = core->pg.timeline != 0 && core->ancestor.timeline == core->pg.timeline &&
                    core->ancestor.epoch == doc->epoch;
    if (ancestor && core->pg.state == PG_STANDBY) {
        lineage = core->pg.replay_lsn <= core->ancestor.fork;
        diverged = diverged || !lineage;
    } else if (mine.known && document_fork(doc, mine.epoch, &fork)) {
        Lsn reached = core->pg.state == PG_STANDBY ? core->pg.replay_lsn : mine.lsn;
        lineage = reached <= fork;
        diverged = diverged || reached > fork;
    } else if (core->pg.state == PG_STANDBY && core->persist.wal_epoch == 0 && core->pg.streaming &&
               core->pg.upstream == doc->primary) {
        lineage = true; /* since before there was a document */
    } else if (core->pg.state == PG_STANDBY && core->pg.timeline != 0 && (known == 0 || mine.known)) {
        /* A timeline that no epoch has: somebody promoted this server behind our back; or its epoch is none
         * of the present one's ancestors. */
        diverged = diverged || (last != NULL && last->settled);
    } else if (down) {
        lineage = core->persist.wal_epoch == doc->epoch && doc->epoch > 0 && known != 0 &&
                  !(core->want_rejoin && is_primary_ready(core));
    }
    FactSet facts = 0;
    put(&facts, lineage, FACT_LINEAGE_OK);
    put(&facts, inspected, FACT_INSPECTED);
    put(&facts, diverged, FACT_DIVERGED);
    put(&facts, core->wal_saved, FACT_WAL_SAVED);
    put(&facts, resolve_asks(core), FACT_ASKS);
    put(&facts,
        core->options.rejoin_rewind && core->pg.can_rewind && !core->rewind_failed &&
            (known != 0 || core->fork_known),
        FACT_REWINDABLE);
    put(&facts, core->options.rejoin_clone, FACT_CLONABLE);
    put(&facts, core->persist.rewinding, FACT_BROKEN);
    put(&facts, core->wal_gone, FACT_WAL_GONE);
    return facts;
}

static FactSet cluster_facts(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);
    bool settled = last != NULL && last->settled;
    bool named = doc->epoch > 0 && doc->primary == core->self;
    bool known = core->leader != MEMBER_NONE && core->leader != core->self && doc->epoch > 0 &&
                 doc->primary == core->leader;
    const Report *primary = known ? &core->peer[doc->primary].report : NULL;
    bool ours = core->persist.wal_epoch > 0 ||
                (core->pg.system_identifier != 0 && core->pg.system_identifier == doc->system_identifier);
    FactSet facts = 0;

    put(&facts, core->options.kind == MEMBER_DATA, FACT_DATA);
    put(&facts, core->persist.outside, FACT_OUTSIDE);
    /* Who is handed the lease must know that the pause is over. */
    put(&facts, doc->paused || (core->role == ROLE_LEADER && core->resuming), FACT_PAUSED);
    put(&facts, core->forgot || (doc->epoch > 0 && ours && !core->bootstrapping), FACT_MANAGED);
    put(&facts, lease_may_write(core), FACT_LEASE);
    put(&facts, lease_grace(core) && (named || core->forgot), FACT_GRACE);
    put(&facts, known, FACT_LEADER_KNOWN);
    put(&facts, view_observer_sees_primary(core), FACT_OBSERVER_SEES_PRIMARY);
    put(&facts, core->leader == MEMBER_NONE && older_than(core, &core->led_at, 5 * doc->lease_ms),
        FACT_LEADERLESS);
    put(&facts, named, FACT_IS_PRIMARY_IN_DOC);
    put(&facts, is_primary_ready(core), FACT_PRIMARY_READY);
    put(&facts, known && settled && primary->pg.checkpoint_timeline == last->timeline,
        FACT_PRIMARY_CHECKPOINTED);
    put(&facts, settled, FACT_SETTLED);
    /* A claimed number is newer than any that this server's WAL had before. */
    put(&facts, last != NULL && (settled || core->pg.timeline >= last->timeline), FACT_PROMOTED);
    put(&facts, settled && core->pg.checkpoint_timeline == last->timeline, FACT_CHECKPOINTED);
    put(&facts,
        core->pg.upstream == doc->primary && core->pg.upstream_epoch == doc->epoch && doc->epoch > 0 &&
            !core->frozen,
        FACT_FOLLOWS);
    put(&facts,
        core->role == ROLE_LEADER && !core->options.failover_by_order &&
            candidate_successor(core) != MEMBER_NONE,
        FACT_SUCCESSOR);
    put(&facts, core->options.initdb && doc->system_identifier == 0, FACT_INITDB);
    return facts;
}

static FactSet wish_facts(const Core *core)
{
    bool restart = core->options.restart_on_crash && core->crashed && core->failures == 0 &&
                   !older_than(core, &core->down_at, core->options.crash_restart_limit_ms);
    FactSet facts = 0;

    put(&facts, core->action.kind != ACTION_NONE, FACT_BUSY);
    put(&facts, core->acted_us >= core->looked_us, FACT_STALE);
    put(&facts, core->plan.step != STEP_NONE && core->plan.step != STEP_RELEASE, FACT_SWITCHOVER);
    /* A start that fails again and again is no reason to stay, but while paused nobody else may go on. */
    bool in_place = core->in_place && (core->failures < CORE_FAILING || core->persist.doc.paused);
    /* While paused a server that crashed stays down; one that pgvigil ended, nobody meant to. */
    bool ours = core->stopped && !core->crashed && core->persist.doc.paused;
    put(&facts, in_place || restart || ours, FACT_RESTART_IN_PLACE);
    put(&facts, core->want_restart, FACT_WANT_RESTART);
    put(&facts, core->want_clone, FACT_WANT_CLONE);
    put(&facts, core->want_rejoin, FACT_WANT_REJOIN);
    put(&facts, core->want_reload, FACT_WANT_RELOAD);
    put(&facts, core->cut_off, FACT_CUT_OFF);
    put(&facts, core->failures >= CORE_FAILING, FACT_FAILING);
    put(&facts, core->now.boot_us < core->backoff_until_us, FACT_BACKOFF);
    return facts;
}

FactSet rules_facts(const Core *core)
{
    return server_facts(core) | lineage_facts(core) | cluster_facts(core) | wish_facts(core);
}

RuleId rules_match(FactSet facts)
{
    for (size_t i = 0; i < RULE_COUNT; i++)
        if ((facts & RULES[i].must) == RULES[i].must && (facts & RULES[i].must_not) == 0)
            return (RuleId) i;
    return (RuleId) (RULE_COUNT - 1);
}

const char *rules_move_name(const Rule *rule)
{
    switch (rule->move) {
    case MOVE_RELEASE: return "release";
    case MOVE_STEP_DOWN: return "step_down";
    case MOVE_NONE:
    case MOVE_ACT: break;
    }
    return action_kind_name(rule->action);
}

void rules_decide(Core *core, Effects *out)
{
    core->facts = rules_facts(core);
    core->rule = rules_match(core->facts);
    const Rule *rule = &RULES[core->rule];

    bool passing = rule->move == MOVE_NONE && (core->facts & (F(BUSY) | F(STALE))) != 0;
    if (core->rule != core->rule_told && !passing) {
        core_log(core, out, LOG_LEVEL_INFO, "decision rule=%s action=%s", rule->name, rules_move_name(rule));
        core->rule_told = core->rule;
    }
    if (rule->move == MOVE_RELEASE) {
        MemberNo to = candidate_successor(core);
        if (core->crashed)
            core->takeover_at = core->down_at;
        lease_release(core, out, to, LSN_NONE, false);
    } else if (rule->move == MOVE_STEP_DOWN) {
        lease_step_down(core, out);
    } else if (rule->move == MOVE_ACT) {
        server_act(core, out, rule->action);
    }
}
