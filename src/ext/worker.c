/*
 * worker.c: ends a primary whose agent has been gone for longer than pgvigil.stop_after: its reads grow old,
 * and nobody else will stop it.
 *
 * Fast at first; at once if that takes too long, as when a commit waits for a standby that is away.
 */
#include "ext/ext.h"

#include <access/xlog.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/proc.h>
#include <utils/guc.h>

#include <dlfcn.h>
#include <signal.h>

#include "sys/clock.h"

#define LOOK_MS     200
#define ENDING_MS   50
#define FAST_MOST_S 10

extern PGDLLEXPORT void pgvigil_worker_main(Datum arg);

static void rest(long ms)
{
    (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event(WAIT_MAIN));
    ResetLatch(MyLatch);
}

/* Processes that a fast shutdown waits for, but this one. Walsenders end after them. */
static bool others_are_left(void)
{
    for (int i = 0; i < MaxBackends; i++) {
        int pid = ProcGlobal->allProcs[i].pid;
        bool sender = false;
        for (int s = 0; s < max_wal_senders; s++)
            sender = sender || WalSndCtl->walsnds[s].pid == pid;
        /* Who has ended may have left its number there. */
        if (pid != 0 && pid != MyProcPid && !sender && kill(pid, 0) == 0)
            return true;
    }
    return false;
}

static void end_server(int64 gone_us)
{
    ereport(LOG,
            (errmsg("pgvigil: the agent has been gone for %lld ms: the server is shut down",
                    (long long) (gone_us / US_PER_MS)),
             errhint("Start it through pgvigil; pgvigil.stop_after says how long an agent may be away.")));
    kill(PostmasterPid, SIGINT);
    for (int ms = 0; ms < FAST_MOST_S * 1000; ms += ENDING_MS) {
        rest(ENDING_MS);
        if (ShutdownRequestPending && !others_are_left())
            proc_exit(0);
    }
    ereport(LOG, (errmsg("pgvigil: the server has not ended within %d s: it is ended at once", FAST_MOST_S)));
    kill(PostmasterPid, SIGQUIT);
    rest(FAST_MOST_S * 1000L);
}

void pgvigil_worker_main(Datum arg)
{
    (void) arg;
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    Clock began = clock_now();

    while (!ShutdownRequestPending) {
        Clock now = clock_now();
        int64 alive_us = clock_elapsed_most(&began, &now);
        int64 gone_us = map_untouched_us(&now);
        if (gone_us < 0 || gone_us > alive_us)
            gone_us = alive_us; /* it has this long to come up, too */
        if (gucs_stop_after_ms > 0 && gone_us > (int64) gucs_stop_after_ms * US_PER_MS &&
            !RecoveryInProgress())
            end_server(gone_us);
        else
            rest(LOOK_MS);
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
    }
    proc_exit(0);
}

void worker_init(void)
{
    BackgroundWorker worker = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS,
        .bgw_start_time = BgWorkerStart_RecoveryFinished, /* never on a standby */
        .bgw_restart_time = 1,
    };

    snprintf(worker.bgw_name, sizeof worker.bgw_name, "pgvigil");
    snprintf(worker.bgw_type, sizeof worker.bgw_type, "pgvigil");
    /* Where this very library was loaded from, unless the path is too long for the field. */
    Dl_info place;
    bool known = dladdr((void *) (uintptr_t) worker_init, &place) != 0 && place.dli_fname[0] == '/' &&
                 strlen(place.dli_fname) < sizeof worker.bgw_library_name;
    snprintf(worker.bgw_library_name, sizeof worker.bgw_library_name, "%s",
             known ? place.dli_fname : "pgvigil");
    snprintf(worker.bgw_function_name, sizeof worker.bgw_function_name, "pgvigil_worker_main");
    RegisterBackgroundWorker(&worker);
}
