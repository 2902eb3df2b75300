/*
 * worker.c: the background worker: one loop that waits for everything at once, and blocks on nothing.
 */
#include "keeper/body.h"

#include <access/xlog.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/interrupt.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/proc.h>
#include <utils/guc.h>
#include <utils/memutils.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>

#include "sys/clock.h"
#include "sys/log.h"

#define NODES_EVERY_US US_PER_SEC
#define WAIT_MOST_MS   1000L
#define SOCKETS        (MEMBER_MAX + 1) /* one to each other node, and one to this server */

extern PGDLLEXPORT void pg_keeper_main(Datum arg);

static volatile sig_atomic_t reread;

/* As pg_keeper's processes told each other that the table has changed. */
static void on_usr2(int number)
{
    int kept = errno;

    (void) number;
    reread = 1;
    SetLatch(MyLatch);
    errno = kept;
}

static void leave(int code, Datum arg)
{
    (void) code;
    (void) arg;
    board_detach();
}

static WaitEventSet *make_set(void)
{
    WaitEventSet *set = version_make_wait_set(SOCKETS + 2);

    AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
    AddWaitEventToSet(set, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL, NULL);
    for (int i = 0; i < SOCKETS; i++) {
        uint32 events;
        int socket = i < MEMBER_MAX ? link_socket(i, &events) : ping_socket(&events);
        if (socket >= 0)
            AddWaitEventToSet(set, events, socket, NULL, NULL);
    }
    return set;
}

static void rest(long ms)
{
    WaitEvent happened[SOCKETS + 2];
    WaitEventSet *set = make_set();
    int count = WaitEventSetWait(set, ms, happened, SOCKETS + 2, wait_event(WAIT_MAIN));

    FreeWaitEventSet(set);
    for (int i = 0; i < count; i++)
        if (happened[i].events & WL_POSTMASTER_DEATH) {
            body_close(); /* orphaned sessions go on, and must not acknowledge */
            proc_exit(1);
        }
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}

static bool leads(void)
{
    const Core *core = body_core();
    Clock now = clock_now();

    return core != NULL && core_lease_holds(core, &now);
}

static void read_nodes(void)
{
    static LogLimit limit;
    static KeeperNodes nodes;
    Err err = {0};

    if (nodes_load(&nodes, &err)) {
        body_nodes(&nodes);
        if (body_core() != NULL && !nodes.there && !pair_is_set())
            alarms_tell_dropped();
        if (leads())
            pair_make_extension(&nodes);
    } else {
        log_limited(&limit, LOG_LEVEL_WARN, "nodes_unknown", "reason=\"%s\"", err.text);
    }
}

static void run(void)
{
    int64 read_at_us = 0;

    while (!ShutdownRequestPending) {
        int64 now_us = clock_now().boot_us;
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            nodes_look_pending();
            body_reload();
        }
        if (board_take_reread() || reread || now_us - read_at_us >= NODES_EVERY_US) {
            reread = 0;
            read_at_us = now_us;
            read_nodes();
        }
        board_collect(talk_message);
        link_turn();
        body_turn();
        link_turn(); /* what that has to say */
        if (!ShutdownRequestPending && !ConfigReloadPending)
            rest(link_wait_ms(Min(body_wait_ms(), WAIT_MOST_MS)));
    }
}

void pg_keeper_main(Datum arg)
{
    Err err = {0};

    (void) arg;
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGINT, nodes_cancel);
    pqsignal(SIGUSR2, on_usr2);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(gucs_database, NULL, 0);
    /* A lock on the table must not cost the lease. */
    SetConfigOption("lock_timeout", "100ms", PGC_SUSET, PGC_S_OVERRIDE);
    /* Nor what little it writes itself: no wait for a standby, or for the lease. */
    SetConfigOption("synchronous_commit", "local", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("pg_keeper.commit_wait", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("application_name", "pg_keeper", PGC_USERSET, PGC_S_OVERRIDE);
    before_shmem_exit(leave, 0);
    board_attach();
    if (!body_start(&err)) {
        body_close(); /* the worker before this one may have left it open */
        ereport(ERROR, (errcode(ERRCODE_IO_ERROR), errmsg("pg_keeper: %s", tell_words(err.text)),
                        errdetail("The fence is closed until the worker can work.")));
    }
    run();
    link_close_all();
    /* With 0 the postmaster would start no other, if it was not the server that is being stopped. What the
     * fence allows it still allows: another worker goes on within the lease. */
    proc_exit(1);
}

/* Where this very library was loaded from. */
static void find_library(char *ret_name, size_t size)
{
    Dl_info place;
    bool known = dladdr((void *) (uintptr_t) worker_register, &place) != 0 && place.dli_fname[0] == '/' &&
                 strlen(place.dli_fname) < size;

    snprintf(ret_name, size, "%s", known ? place.dli_fname : "pg_keeper");
}

void worker_declare(BackgroundWorker *worker, const char *name, const char *function)
{
    snprintf(worker->bgw_name, sizeof worker->bgw_name, "%s", name);
    snprintf(worker->bgw_type, sizeof worker->bgw_type, "%s", name);
    find_library(worker->bgw_library_name, sizeof worker->bgw_library_name);
    snprintf(worker->bgw_function_name, sizeof worker->bgw_function_name, "%s", function);
    RegisterBackgroundWorker(worker);
}

void worker_register(void)
{
    BackgroundWorker worker = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
        .bgw_start_time = BgWorkerStart_ConsistentState,
        .bgw_restart_time = 1,
    };

    worker_declare(&worker, "pg_keeper", "pg_keeper_main");
}
