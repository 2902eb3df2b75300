/*
 * confirm.c: a primary that recovered from a crash shows commits that were never acknowledged, and that the
 * next failover may take back. In synchronous mode nobody reads them before a standby has confirmed them.
 *
 * Superusers are let through: the agent is one. So is what the nodes of pg_keeper say to each other, without
 * which there may be no majority, and no standby that ever confirms, and its status(), which says so: neither
 * reads anything of the database.
 */
#include "ext/ext.h"

#include <access/xlog.h>
#include <catalog/pg_control.h>
#include <miscadmin.h>
#include <nodes/plannodes.h>
#include <pgstat.h>
#include <replication/walsender.h>
#include <storage/latch.h>

#include "sys/clock.h"

#define LOOK_MS 10

static const PGFunction none[] = {NULL};
static const PGFunction *spared = none;

void confirm_spare(const PGFunction *functions)
{
    spared = functions;
}

/* A call of such a function and nothing else: neither rows nor another function, not even for its arguments.
 */
static bool is_spared(const PlannedStmt *plan)
{
    const Plan *top = plan->planTree;
    FmgrInfo function;
    ListCell *cell;

    if (spared[0] == NULL || plan->commandType != CMD_SELECT || plan->subplans != NIL || !IsA(top, Result) ||
        top->lefttree != NULL || ((const Result *) top)->resconstantqual != NULL ||
        list_length(top->targetlist) != 1)
        return false;
    const FuncExpr *call = (const FuncExpr *) linitial_node(TargetEntry, top->targetlist)->expr;
    if (!IsA(call, FuncExpr))
        return false;
    foreach (cell, call->args)
        if (!IsA(lfirst(cell), Const) && !IsA(lfirst(cell), Param))
            return false;
    fmgr_info(call->funcid, &function);
    for (const PGFunction *one = spared; *one != NULL; one++)
        if (function.fn_addr == *one)
            return true;
    return false;
}

/* No fence yet since the machine's start: it is not known what the cluster expects. */
static bool is_confirmed(void)
{
    Fence fence;

    if (!map_read(&fence, true))
        return false;
    return !fence.synchronous || shared_confirmed() >= shared_note_end(GetXLogInsertRecPtr());
}

void confirm_wait(const PlannedStmt *plan)
{
    static bool confirmed;

    if (likely(confirmed))
        return;
    if (!shared_is_unconfirmed()) {
        confirmed = true;
        return;
    }
    if (!IsUnderPostmaster || RecoveryInProgress() || MyProcPort == NULL || am_walsender || superuser() ||
        is_spared(plan))
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
                         wait_event(WAIT_CONFIRM));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        now = clock_now();
    }
    shared_set_confirmed();
    confirmed = true;
}
