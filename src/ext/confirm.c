/*
 * confirm.c: a primary that recovered from a crash shows commits that were never acknowledged, and that the
 * next failover may take back. In synchronous mode nobody reads them before a standby has confirmed them.
 *
 * Superusers are let through: the agent is one.
 */
#include "ext/ext.h"

#include <access/xlog.h>
#include <catalog/pg_control.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <replication/walsender.h>
#include <storage/latch.h>

#include "sys/clock.h"

#define LOOK_MS 10

/* No fence yet since the machine's start: it is not known what the cluster expects. */
static bool is_confirmed(void)
{
    Fence fence;

    if (!map_read(&fence, true))
        return false;
    return !fence.synchronous || shared_confirmed() >= shared_note_end(GetXLogInsertRecPtr());
}

void confirm_wait(void)
{
    static bool confirmed;

    if (likely(confirmed))
        return;
    if (!shared_is_unconfirmed()) {
        confirmed = true;
        return;
    }
    if (!IsUnderPostmaster || RecoveryInProgress() || MyProcPort == NULL || am_walsender || superuser())
        return;
    Clock began = clock_now(), now = began;
    while (!is_confirmed()) {
        if (clock_elapsed_most(&began, &now) >= (int64) gucs_wait_ms * US_PER_MS)
            ereport(ERROR,
                    (errcode(ERRCODE_CANNOT_CONNECT_NOW),
                     errmsg("this server has recovered from a crash, and no standby has confirmed what it "
                            "shows yet"),
                     errhint("Try again: a synchronous standby confirms it as soon as it streams.")));
        (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_MS,
                         PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        now = clock_now();
    }
    shared_set_confirmed();
    confirmed = true;
}
