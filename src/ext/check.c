/*
 * check.c: before a commit, the fence has to be open; after it, it must have been open all the time.
 *
 * Between the two nothing may end the wait for a synchronous standby: PostgreSQL answers a cancelled wait
 * with success. SIGINT and SIGTERM are therefore held back, and in synchronous mode the standbys'
 * confirmation is looked at once more. Where the answer can no longer be given, none is: the client is cut
 * off.
 */
#include "ext/ext.h"

#include <access/transam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/autovacuum.h>
#include <postmaster/interrupt.h>
#include <replication/syncrep.h>
#include <replication/walsender.h>
#include <storage/latch.h>
#include <tcop/dest.h>
#include <tcop/tcopprot.h>
#include <utils/guc.h>

#include <signal.h>

#include "sys/clock.h"

#define LOOK_MS 5

/* From the check before a commit to the one after it. */
static struct {
    bool armed;
    bool held; /* SIGINT and SIGTERM are; old_mask was before */
    bool synchronous;
    uint32 epoch;
    sigset_t old_mask;
} pass;

const char *check_word(Closed closed)
{
    static const char *const words[] = {"-",     "file", "lease",       "hold",
                                        "names", "weak", "unconfirmed", "epoch"};
    return words[closed];
}

const char *check_text(Closed closed)
{
    switch (closed) {
    case CLOSED_NOT: return "The fence is open.";
    case CLOSED_FILE: return "The fence file is missing or not of this version.";
    case CLOSED_LEASE: return "This server does not hold the lease of the primary.";
    case CLOSED_HOLD: return "A switchover is under way.";
    case CLOSED_NAMES: return "synchronous_standby_names is not in force as the cluster has set it.";
    case CLOSED_WEAK: return "The cluster replicates synchronously.";
    case CLOSED_UNCONFIRMED: return "No synchronous standby has confirmed it.";
    case CLOSED_EPOCH: return "Another server was the primary meanwhile.";
    }
    return "";
}

/* ---- Before ---- */

/*
 * Which names a backend has read decides nothing itself: walsenders and checkpointer release and make wait.
 * But it tells of a configuration that was changed behind the agent's back. A generation ahead of the fence's
 * is the agent's own change under way, one behind it a reload that has not arrived.
 */
static Closed look_names(const Fence *fence)
{
    if (!fence->synchronous && fence->generation == 0)
        return CLOSED_NOT;
    if ((uint32) gucs_generation < fence->generation)
        return CLOSED_NAMES;
    if ((uint32) gucs_generation == fence->generation && strcmp(SyncRepStandbyNames, fence->names) != 0)
        return CLOSED_NAMES;
    if (fence->synchronous && (max_wal_senders == 0 || !shared_names_defined()))
        return CLOSED_NAMES;
    return CLOSED_NOT;
}

Closed check_fence(Fence *ret_fence, bool again)
{
    if (!map_read(ret_fence, again)) {
        memset(ret_fence, 0, sizeof *ret_fence);
        return CLOSED_FILE;
    }
    Clock now = clock_now();
    if (!fence_is_open(ret_fence, &now))
        return CLOSED_LEASE;
    return ret_fence->hold ? CLOSED_HOLD : look_names(ret_fence);
}

/* A reload that has arrived is done first, as at the beginning of a command, or a long transaction could not
 * tell names that were changed from its own old ones. */
static Closed look(Fence *ret_fence, bool again)
{
    if (ConfigReloadPending) {
        ConfigReloadPending = false;
        ProcessConfigFile(PGC_SIGHUP);
    }
    Closed closed = check_fence(ret_fence, again);
    if (closed == CLOSED_NOT && ret_fence->synchronous &&
        synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
        closed = CLOSED_WEAK;
    return closed;
}

static void refuse(Closed closed, int64 waited_us)
{
    shared_add(COUNT_REFUSALS);
    if (closed == CLOSED_WEAK)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("synchronous_commit = %s is not enough in this cluster",
                               GetConfigOption("synchronous_commit", false, false)),
                        errdetail("%s", check_text(closed)), errhint("SET synchronous_commit = on")));
    ereport(
        ERROR,
        (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("this server may not acknowledge a commit now"),
         errdetail("%s It was waited for %lld ms.", check_text(closed), (long long) (waited_us / US_PER_MS)),
         closed == CLOSED_NAMES
             ? errhint("%s", gucs_names_cure)
             : errhint("The transaction is rolled back. Connect again: another server may be the "
                       "primary; %s shows which.",
                       gucs_teller)));
}

/* Maintenance by hand, with nobody else connected; and what PostgreSQL does by itself and tells nobody of. */
static bool is_exempt(void)
{
    return !IsUnderPostmaster || version_is_autovacuum();
}

static void wait_while_closed(Fence *ret_fence)
{
    Clock began = clock_now(), now = began;
    Closed closed;

    while ((closed = look(ret_fence, true)) != CLOSED_NOT) {
        int64 waited_us = clock_elapsed_most(&began, &now);
        if (closed == CLOSED_WEAK || waited_us >= (int64) gucs_wait_ms * US_PER_MS)
            refuse(closed, waited_us);
        (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
                         wait_event(WAIT_LEASE));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        now = clock_now();
    }
}

static void wait_open(Fence *ret_fence)
{
    if (look(ret_fence, false) == CLOSED_NOT)
        return;
    shared_add(COUNT_WAITS);
    shared_set_waiting(true);
    PG_TRY();
    {
        wait_while_closed(ret_fence);
    }
    PG_FINALLY();
    {
        shared_set_waiting(false);
    }
    PG_END_TRY();
}

void check_open(void)
{
    Fence fence;

    if (!is_exempt())
        wait_open(&fence);
}

static void disarm(void)
{
    if (pass.held)
        sigprocmask(SIG_SETMASK, &pass.old_mask, NULL);
    pass.armed = pass.held = false;
}

void check_begin(void)
{
    Fence fence;
    sigset_t hold;

    if (is_exempt())
        return;
    wait_open(&fence);
    pass.armed = true;
    pass.epoch = fence.epoch;
    pass.synchronous = fence.synchronous;
    if (!SyncRepRequested() || pass.held)
        return;
    sigemptyset(&hold);
    sigaddset(&hold, SIGINT);
    sigaddset(&hold, SIGTERM);
    pass.held = sigprocmask(SIG_BLOCK, &hold, &pass.old_mask) == 0;
    CHECK_FOR_INTERRUPTS(); /* what arrived before is dealt with as ever: nothing has happened yet */
}

/* ---- After ---- */

/* As PostgreSQL itself does when it must neither acknowledge nor report an error: no word any more, and the
 * end as soon as the transaction is cleaned up. */
static void cut_off(Closed closed)
{
    shared_add(COUNT_CUTS);
    whereToSendOutput = DestNone;
    ProcDiePending = true;
    InterruptPending = true;
    ereport(LOG, (errmsg("a commit was not acknowledged, and its client is cut off"),
                  errdetail("%s The transaction may or may not survive.", check_text(closed))));
}

void check_end(XLogRecPtr lsn)
{
    Fence fence;

    if (!pass.armed)
        return;
    Closed closed = check_fence(&fence, false);
    /* What is committed goes with the rest to the successor; and of the names, only what they led to counts.
     */
    if (closed == CLOSED_HOLD || closed == CLOSED_NAMES)
        closed = CLOSED_NOT;
    /* Epoch 0 is open only with pg_keeper, before there is a cluster; who begins it is this very server. */
    bool began = pass.epoch == 0 && fence.epoch == 1;
    if (closed == CLOSED_NOT && fence.epoch != pass.epoch && !began)
        closed = CLOSED_EPOCH;
    if (closed == CLOSED_NOT && pass.synchronous && fence.synchronous && lsn != 0 && shared_confirmed() < lsn)
        closed = CLOSED_UNCONFIRMED;
    if (closed != CLOSED_NOT)
        cut_off(closed);
    disarm();
}

/*
 * A transaction that wrote no WAL has nothing that could be lost: unlogged and temporary tables only, or a
 * number that was asked for. It does not wait for a standby either.
 */
static void on_xact(XactEvent event, void *arg)
{
    static bool wrote;

    (void) arg;
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
        wrote = XactLastRecEnd != 0 && TransactionIdIsValid(GetTopTransactionIdIfAny());
        if (wrote)
            check_begin();
        break;
    case XACT_EVENT_PRE_PREPARE: check_begin(); break;
    case XACT_EVENT_COMMIT: check_end(wrote ? XactLastCommitEnd : 0); break;
    /* Where its record ends is forgotten by now; where it begins has to be passed, too. */
    case XACT_EVENT_PREPARE: check_end(ProcLastRecPtr + 1); break;
    case XACT_EVENT_ABORT: disarm(); break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT: break;
    }
}

void check_init(void)
{
    RegisterXactCallback(on_xact, NULL);
}
