/*
 * act.c: what the core has done to its own server, step by step, without ever waiting in place.
 *
 * A server cannot stop itself and start again as a standby. So a primary that has lost its place is closed:
 * its fence stays shut until somebody, or rejoin_command, has made a standby of it.
 */
#include "keeper/body.h"

#include <access/xlog.h>
#include <miscadmin.h>
#include <postmaster/bgwriter.h>
#include <replication/walreceiver.h>
#include <storage/fd.h>
#include <storage/proc.h>
#include <storage/procarray.h>
#include <storage/spin.h>

#include <signal.h>
#include <unistd.h>

#include "base/str.h"
#include "pg/conninfo.h"
#include "pg/timeline.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#define FREEZE_MS        5000
#define FREEZE_CLEARS_MS 500 /* whoever asks for a vote waits for a lease at most */
#define FOLLOW_MS        10000
#define NAMES_MS         10000
#define PROMOTE_MS       60000
#define CHECKPOINT_MS    600000
#define CLAIMS_MOST      1000u

static struct {
    Action action; /* kind NONE: nothing is under way */
    Clock began;
    bool begun; /* it waits for nothing any more that others have */
    uint32_t freeze;
    bool cleared; /* sessions that could hold up replay were ended */
    bool asked;   /* the server was told to promote */
    Lsn ordered;  /* the WAL's end when a checkpoint was: one that begins here or later is the one */
    uint32_t timeline;
    char conninfo[CONNINFO_LEN];
    bool failed;
    char why[ACTION_TEXT_LEN];
} now;

bool act_stops(void)
{
    return now.action.kind == ACTION_STOP_FAST;
}

bool act_runs(void)
{
    return now.action.kind != ACTION_NONE;
}

const char *act_closed(void)
{
    return board_closed()[0] != '\0' ? board_closed() : give_closed();
}

static void fail(const char *why)
{
    now.failed = true;
    str_copy(now.why, sizeof now.why, why);
}

static void reload(void)
{
    (void) kill(PostmasterPid, SIGHUP);
}

/*
 * Names as the core has them, for postgresql.auto.conf. What is taken away becomes empty: the user's own
 * names in postgresql.conf say that standbys are to be waited for, but nobody bears them.
 */
static UpstreamNames names_of(const Core *core, const Action *action, char *text, size_t size)
{
    bool away = action->names.kind == NAMES_UNKNOWN;

    syncset_names_write(&action->names, &core->persist.doc, text, size);
    return (UpstreamNames){
        .names = away && action->kind != ACTION_SET_NAMES ? NULL : text,
        .generation = action->names.generation,
    };
}

/* ---- Whom to follow ---- */

static void end_walreceiver(void)
{
    SpinLockAcquire(&WalRcv->mutex);
    pid_t pid = WalRcv->pid;
    SpinLockRelease(&WalRcv->mutex);
    if (pid > 0)
        (void) kill(pid, SIGTERM);
}

/* Sooner than by way of the postmaster. */
static void tell_startup(void)
{
    int pid = look_startup_pid();

    if (pid != 0)
        (void) kill(pid, SIGHUP);
}

/*
 * By its snapshot, or by the locks that a transaction keeps to its end: for max_standby_streaming_delay. Not
 * those that wait for a vote.
 */
static bool can_hold_up(const PGPROC *proc)
{
    bool holds =
        TransactionIdIsValid(version_xmin(proc)) || LocalTransactionIdIsValid(version_transaction(proc));

    return holds && proc->databaseId != InvalidOid && !board_serves(&proc->procLatch);
}

static void end_snapshots(void)
{
    if (GetWalRcvFlushRecPtr(NULL, NULL) <= GetXLogReplayRecPtr(NULL))
        return;
    int ended = sessions_end(can_hold_up);
    if (ended > 0)
        log_line(LOG_LEVEL_INFO, "replay_clears", "sessions=%d they could have held up replay", ended);
}

static void begin_freeze(void)
{
    Err err = {0};

    /* One that no process can have read before, not in a former life of the server either. */
    if (!pg_strong_random(&now.freeze, sizeof now.freeze))
        fail("there are no random numbers");
    now.freeze = (now.freeze & INT32_MAX) | 1u;
    if (!RecoveryInProgress())
        fail("it is no standby");
    else if (!upstream_write_nobody(now.freeze, &err))
        fail(err.text);
    else {
        tell_startup();
        end_walreceiver();
        reload();
    }
}

/*
 * The startup process may just have been about to ask for another walreceiver with its old settings: only
 * when it has read the new ones, one that is gone stays gone. A query that holds replay up keeps it from
 * that.
 */
static bool startup_has_read(void)
{
    Clock at = clock_now();

    if (board_freeze() == now.freeze)
        return true;
    if (!now.cleared && clock_elapsed_most(&now.began, &at) / US_PER_MS > FREEZE_CLEARS_MS) {
        now.cleared = true;
        end_snapshots();
    }
    return false;
}

static bool freeze_is_done(ActionResult *result)
{
    if (!RecoveryInProgress()) {
        fail("it is no standby any more");
        return true;
    }
    if (!startup_has_read())
        return false;
    pg_read_barrier();
    if (WalRcvRunning()) {
        end_walreceiver();
        return false;
    }
    if (PrimaryConnInfo[0] != '\0' || !look_position_is_known())
        return false;
    result->lsn = look_position(&result->timeline);
    return true;
}

static void begin_follow(const Core *core, const KeeperNodes *nodes)
{
    const DocMember *target = &core->persist.doc.member[now.action.target];
    int index = now.action.target != MEMBER_NONE ? nodes_find(nodes, target->name) : -1;
    char text[SYNCSET_TEXT_LEN];
    UpstreamNames names = names_of(core, &now.action, text, sizeof text);
    Err err = {0};

    if (index < 0)
        fail("the node to follow is not registered here yet");
    else if (!upstream_write(&nodes->node[index], now.action.epoch, &names, now.conninfo, sizeof now.conninfo,
                             &err))
        fail(err.text);
    else {
        tell_startup();
        end_walreceiver();
        reload();
    }
}

/* ---- Promotion ---- */

static bool claim(uint32_t timeline, uint32_t wanted, Err *err)
{
    bool made;

    if (wanted > timeline + CLAIMS_MOST)
        return err_set(err, ERR_PG, "timeline %u is too far from %u", (unsigned) wanted, (unsigned) timeline);
    if (!timeline_fill(DataDir, timeline, err))
        return false;
    for (uint32_t n = timeline + 1; n < wanted; n++)
        if (!timeline_claim(DataDir, n, timeline, &made, err))
            return false;
    return true;
}

static void begin_promote(const Core *core)
{
    char text[SYNCSET_TEXT_LEN];
    UpstreamNames names = names_of(core, &now.action, text, sizeof text);
    Err err = {0};

    if (!RecoveryInProgress()) {
        fail("it is no standby");
        return;
    }
    (void) look_position(&now.timeline);
    if (!upstream_write_names(&names, &err) || !claim(now.timeline, now.action.timeline, &err))
        fail(err.text);
    else
        reload();
}

/* The way of pg_promote(). */
static void ask_promotion(const Core *core)
{
    Clock at = clock_now();
    FILE *file;

    if (!core_lease_holds(core, &at)) {
        fail("the lease is gone");
        return;
    }
    end_snapshots();
    file = AllocateFile(PROMOTE_SIGNAL_FILE, "w");
    if (file == NULL || FreeFile(file) != 0) {
        fail("the signal file for the promotion cannot be written");
        return;
    }
    now.asked = true;
    (void) kill(PostmasterPid, SIGUSR1);
}

static bool promote_is_done(const Core *core, ActionResult *result)
{
    if (!now.asked)
        ask_promotion(core);
    if (now.failed || RecoveryInProgress())
        return now.failed;
    Observation pg = look_server(core, body_known());
    result->timeline = pg.timeline;
    result->lsn = pg.timeline_start;
    return true;
}

/* ---- A checkpoint ---- */

static void begin_checkpoint(void)
{
    now.ordered = GetXLogInsertRecPtr();
    RequestCheckpoint(CHECKPOINT_IMMEDIATE | CHECKPOINT_FORCE);
}

/*
 * After a promotion any on the new timeline will do. A switchover's is to leave little behind it, which one
 * that was there or under way does not.
 */
static bool checkpoint_is_done(const Core *core)
{
    Observation pg = look_server(core, body_known());
    bool any = core->plan.step != STEP_CHECKPOINT;

    return pg.checkpoint_timeline == pg.timeline && (any || look_checkpoint() >= now.ordered);
}

/* ---- Losing its place ---- */

void act_close(const char *primary, const char *why)
{
    char *closed = board_closed();

    if (closed[0] != '\0')
        return;
    give_end();
    snprintf(closed, BOARD_STATE_LEN, "%s %s", primary, why);
    ereport(
        LOG,
        (errmsg("pg_keeper: this server %s: it is closed", RecoveryInProgress()
                                                               ? "has WAL that the cluster does not have"
                                                               : "is not the primary of its cluster"),
         errdetail("%s. Commits are refused here; reads may be old.", closed),
         errhint(
             "Stop it, pg_rewind it from the primary or make a new copy, and start it as a standby; pg_keeper.rejoin_command "
             "does that after a failover or switchover.")));
}

static void close_for_good(const Core *core)
{
    const Document *doc = &core->persist.doc;
    char why[64];

    snprintf(why, sizeof why, "is the primary, since epoch %u", (unsigned) doc->epoch);
    act_close(doc->primary != MEMBER_NONE ? nodes_name(body_known(), doc->member[doc->primary].name)
                                          : "another node",
              why);
}

/* A leader gives its server up because another node can take over; any other stays closed. */
static void begin_stop(const Core *core, bool fast)
{
    Clock at = clock_now();

    if (!core_lease_holds(core, &at)) {
        /* The lease that ended on the way here may come back: nobody else has the place. */
        if (core->self != MEMBER_NONE && core->persist.doc.primary == core->self)
            fail("the lease is gone");
        else
            close_for_good(core);
        return;
    }
    if (fast && core->plan.step == STEP_STOP && !RecoveryInProgress()) {
        give_begin();
        return;
    }
    ereport(
        LOG,
        (errmsg("pg_keeper: this server is stopped, since it cannot be the primary, and another node can")));
    (void) kill(PostmasterPid, fast ? SIGINT : SIGQUIT);
}

/* ---- All of them ---- */

static int64 limit_ms(ActionKind kind)
{
    switch (kind) {
    case ACTION_FREEZE: return FREEZE_MS;
    case ACTION_FOLLOW: return FOLLOW_MS;
    case ACTION_PROMOTE: return PROMOTE_MS;
    case ACTION_CHECKPOINT: return CHECKPOINT_MS;
    case ACTION_STOP_FAST:
    case ACTION_STOP_IMMEDIATE: return INT64_MAX / US_PER_MS; /* until the server ends */
    default: return NAMES_MS;
    }
}

static bool writes_settings(ActionKind kind)
{
    return kind == ACTION_FREEZE || kind == ACTION_FOLLOW || kind == ACTION_PROMOTE ||
           kind == ACTION_SET_NAMES;
}

static void begin(const Core *core, const KeeperNodes *nodes)
{
    char text[SYNCSET_TEXT_LEN];
    UpstreamNames names = names_of(core, &now.action, text, sizeof text);
    Err err = {0};

    switch (now.action.kind) {
    case ACTION_FREEZE: begin_freeze(); break;
    case ACTION_FOLLOW: begin_follow(core, nodes); break;
    case ACTION_PROMOTE: begin_promote(core); break;
    case ACTION_CHECKPOINT: begin_checkpoint(); break;
    case ACTION_SET_NAMES:
        if (!upstream_write_names(&names, &err))
            fail(err.text);
        reload();
        break;
    case ACTION_RELOAD: reload(); break;
    case ACTION_STOP_FAST:
    case ACTION_STOP_IMMEDIATE: begin_stop(core, now.action.kind == ACTION_STOP_FAST); break;
    case ACTION_START_PRIMARY: break; /* it runs, and give_look opens it */
    default: fail("a worker inside the server cannot do that"); break;
    }
}

/* False: somebody else is writing the settings; it is tried again with the next turn. */
static bool try_begin(const Core *core, const KeeperNodes *nodes)
{
    bool locks = writes_settings(now.action.kind);

    if (now.begun || (locks && !upstream_lock()))
        return now.begun;
    now.begun = true;
    begin(core, nodes);
    if (locks)
        upstream_unlock();
    return true;
}

void act_start(const Core *core, const Action *action, const KeeperNodes *nodes)
{
    memset(&now, 0, sizeof now);
    now.action = *action;
    now.began = clock_now();
    (void) try_begin(core, nodes);
}

static bool is_done(const Core *core, ActionResult *result)
{
    if (now.failed)
        return true;
    switch (now.action.kind) {
    case ACTION_FREEZE: return freeze_is_done(result);
    case ACTION_FOLLOW: return strcmp(PrimaryConnInfo, now.conninfo) == 0;
    case ACTION_PROMOTE: return promote_is_done(core, result);
    case ACTION_CHECKPOINT: return checkpoint_is_done(core);
    case ACTION_SET_NAMES:
        return (uint32_t) gucs_generation == now.action.names.generation &&
               shared_generation() == now.action.names.generation;
    case ACTION_RELOAD:
    case ACTION_START_PRIMARY: return true;
    case ACTION_STOP_FAST: return give_turn(core, result);
    default: return false;
    }
}

static void take_back(void)
{
    Err err = {0};

    if (now.action.kind != ACTION_PROMOTE)
        return;
    (void) unlink(PROMOTE_SIGNAL_FILE);
    if (RecoveryInProgress() && !timeline_trim_claims(DataDir, (uint32_t) wal_segment_size, &err))
        log_line(LOG_LEVEL_WARN, "claims_left", "reason=\"%s\"", err.text);
}

bool act_turn(const Core *core, ActionResult *ret_result)
{
    Clock at = clock_now();

    if (!act_runs())
        return false;
    *ret_result = (ActionResult){.id = now.action.id};
    bool ends = try_begin(core, body_known()) && is_done(core, ret_result);
    if (!ends && clock_elapsed_most(&now.began, &at) / US_PER_MS > limit_ms(now.action.kind)) {
        fail(now.begun ? "it was not done in time" : "a session holds postgresql.auto.conf in ALTER SYSTEM");
        ends = true;
    }
    if (!ends)
        return false;
    if (now.failed)
        take_back();
    ret_result->ok = !now.failed;
    str_copy(ret_result->text, sizeof ret_result->text, now.why);
    now.action.kind = ACTION_NONE;
    return true;
}
