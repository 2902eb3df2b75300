/*
 * give.c: a planned switchover: what stands for the stop of a primary that cannot outlive its own stop.
 *
 * The server is closed until this node has the lease without a plan, or another node is the primary.
 */
#include "keeper/body.h"

#include <access/xlog.h>
#include <port/atomics.h>
#include <replication/walsender.h>
#include <storage/proc.h>

#include "ext/version.h"
#include "sys/clock.h"

/* Before it is closed new commits wait for so long, and those that are on their way end. */
#define HOLD_US (100 * US_PER_MS)
/* The successor flushes the last of the WAL within milliseconds; without it the plan has its own limit. */
#define FLUSH_US US_PER_SEC

static struct {
    bool began;
    bool is_given;
    Clock began_at;
    Lsn lsn;  /* everything that was acknowledged is before it */
    Lsn sent; /* no standby but the successor has got anything behind it */
    char closed[ACTION_TEXT_LEN];
} given;

void give_begin(void)
{
    memset(&given, 0, sizeof given);
    given.began = true;
    given.began_at = clock_now();
}

void give_end(void)
{
    memset(&given, 0, sizeof given);
}

const char *give_closed(void)
{
    return given.closed[0] != '\0' ? given.closed : NULL;
}

bool give_holds(void)
{
    return given.began && given.closed[0] == '\0' && act_stops();
}

Lsn give_lsn(const Core *core)
{
    return given.is_given && core->persist.doc.primary == core->self ? given.lsn : LSN_NONE;
}

/* Only while the plan asks for it: anywhere else a stopped primary is one to hand over from, or to start. */
bool give_is_stopped(const Core *core)
{
    return core->plan.step == STEP_CONFIRM && give_lsn(core) != LSN_NONE;
}

/*
 * Whoever has written something cannot commit it here any more. What they went on to write behind the restore
 * point would reach a standby that is not the successor, and part it from the cluster. Who waits at the
 * fence, or for a standby, writes nothing, and may go on if the switchover comes to nothing.
 */
static bool writes(const PGPROC *proc)
{
    bool waits = shared_is_waiting(proc) || proc->wait_event_info == WAIT_EVENT_SYNC_REP;

    return TransactionIdIsValid(version_xid(proc)) && !waits;
}

/* But for that process; how many there are yet. */
static int end_walsenders(int but)
{
    int count = 0;

    for (int i = 0; i < max_wal_senders; i++) {
        int pid = look_walsender(i).pid;
        if (pid == 0 || pid == but)
            continue;
        (void) kill(pid, SIGTERM);
        count++;
    }
    return count;
}

/*
 * The fence is closed. Whoever read it as open before that has written its commit record by then, and the
 * restore point that is made here ends behind it: a successor that has flushed this one has everything that
 * was acknowledged. Whoever comes to the check later is cut off unanswered. The server goes on writing a
 * little, as hints on pages that are read: so the others get nothing more, and the successor has to have all
 * that they may have got.
 */
bool give_turn(const Core *core, ActionResult *result)
{
    MemberNo target = core->plan.target;
    Clock at = clock_now();
    int64 since_us = clock_elapsed_most(&given.began_at, &at);
    Fence fence;

    if (!given.began || since_us < HOLD_US)
        return false;
    if (given.closed[0] == '\0')
        snprintf(given.closed, sizeof given.closed, "it hands over to %s",
                 nodes_name(body_known(), core->persist.doc.member[target].name));
    if (!fence_read(board_fence(), &fence) || fence.until.boot_us != 0)
        return false; /* body.c writes it with the next step */
    if (given.lsn == LSN_NONE && sessions_end(writes) > 0 && since_us < HOLD_US + FLUSH_US)
        return false;
    if (given.lsn == LSN_NONE) {
        pg_memory_barrier();
        given.lsn = XLogRestorePoint("pg_keeper switchover");
        XLogFlush(given.lsn);
        board_feed_nobody(true);
    }
    bool late = since_us >= HOLD_US + 2 * FLUSH_US;
    if (given.sent == LSN_NONE && end_walsenders(look_sender_of(core, target)) > 0 && !late)
        return false;
    if (given.sent == LSN_NONE)
        given.sent = version_flushed();
    Observation pg = look_server(core, body_known());
    if (pg.confirmed[target] < given.sent && !late)
        return false;
    given.is_given = true;
    result->lsn = given.lsn;
    result->timeline = pg.timeline;
    return true;
}

void give_look(const Core *core)
{
    Clock at = clock_now();
    bool leads =
        core->role == ROLE_LEADER && core->persist.doc.primary == core->self && core_lease_holds(core, &at);

    if (given.lsn != LSN_NONE)
        (void) sessions_end(writes);
    bool closed = board_closed()[0] != '\0';
    if (closed || (given.is_given && core->role != ROLE_LEADER))
        (void) end_walsenders(0);
    board_feed_nobody(closed || given.lsn != LSN_NONE);
    if (!given.began || !leads || act_stops() || core->plan.step == STEP_CONFIRM)
        return;
    give_end();
    ereport(LOG, (errmsg("pg_keeper: this server goes on as the primary")));
}
