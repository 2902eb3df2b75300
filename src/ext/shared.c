/*
 * shared.c: counters, and which configuration each process has in force.
 *
 * Every walsender releases waiting commits by the configuration that it has read itself, and the checkpointer
 * decides whether there is a wait at all. So each process notes the generation that it has read.
 */
#include "ext/ext.h"

#include <access/xlog.h>
#include <catalog/pg_control.h>
#include <common/controldata_utils.h>
#include <miscadmin.h>
#include <port/atomics.h>
#include <postmaster/autovacuum.h>
#include <postmaster/bgworker.h>
#include <replication/syncrep.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/ipc.h>
#include <storage/lwlock.h>
#include <storage/proc.h>
#include <storage/shmem.h>
#include <storage/spin.h>
#include <utils/guc.h>

#include <unistd.h>

/* What a process says of itself. */
typedef struct Process {
    pg_atomic_uint64 stamp;   /* process << 32 | generation */
    pg_atomic_uint32 waiting; /* the process, while it waits at the fence */
} Process;

typedef struct Shared {
    pg_atomic_uint64 counts[COUNTS];
    pg_atomic_uint64 end_lsn;
    pg_atomic_uint32 unconfirmed;
    pg_atomic_uint32 checkpointer; /* its generation */
    int processes;
    Process process[FLEXIBLE_ARRAY_MEMBER]; /* by PGPROC */
} Shared;

static Shared *shared;
static shmem_startup_hook_type next_startup;
static ClientAuthentication_hook_type next_authentication;
static shmem_request_hook_type next_request;

static Size size_of_shared(void)
{
    return add_size(offsetof(Shared, process), mul_size((Size) version_backends(), sizeof(Process)));
}

/* A primary that was not shut down in order. A standby is promoted with nothing in it that only it has. */
static bool recovers_from_crash(void)
{
    bool crc_ok;
    ControlFileData *control = get_controlfile(DataDir, &crc_ok);
    bool crashed = !crc_ok || control->state != DB_SHUTDOWNED;

    pfree(control);
    return crashed && access("standby.signal", F_OK) != 0 && access("recovery.signal", F_OK) != 0;
}

static void on_startup(void)
{
    bool found;

    if (next_startup != NULL)
        next_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    shared = ShmemInitStruct("pgvigil", size_of_shared(), &found);
    if (!found) {
        for (int i = 0; i < COUNTS; i++)
            pg_atomic_init_u64(&shared->counts[i], 0);
        pg_atomic_init_u64(&shared->end_lsn, 0);
        pg_atomic_init_u32(&shared->unconfirmed, recovers_from_crash());
        pg_atomic_init_u32(&shared->checkpointer, (uint32) gucs_generation);
        shared->processes = version_backends();
        for (int i = 0; i < shared->processes; i++) {
            pg_atomic_init_u64(&shared->process[i].stamp, 0);
            pg_atomic_init_u32(&shared->process[i].waiting, 0);
        }
    }
    LWLockRelease(AddinShmemInitLock);
    wait_startup();
}

static void on_request(void)
{
    if (next_request != NULL)
        next_request();
    RequestAddinShmemSpace(size_of_shared());
}

/* A new backend has inherited what the postmaster had read. */
static void on_authentication(struct Port *port, int status)
{
    if (next_authentication != NULL)
        next_authentication(port, status);
    shared_stamp(gucs_generation);
}

void shared_init(void)
{
    version_ask_memory(next_request, on_request);
    next_startup = shmem_startup_hook;
    shmem_startup_hook = on_startup;
    next_authentication = ClientAuthentication_hook;
    ClientAuthentication_hook = on_authentication;
}

void shared_add(Count count)
{
    pg_atomic_fetch_add_u64(&shared->counts[count], 1);
}

uint64 shared_count(Count count)
{
    return shared != NULL ? pg_atomic_read_u64(&shared->counts[count]) : 0;
}

/* NULL: it is none that has transactions. */
static Process *process_of(const PGPROC *proc)
{
    int place = (int) (proc - &ProcGlobal->allProcs[0]);

    return place < shared->processes ? &shared->process[place] : NULL;
}

void shared_stamp(int generation)
{
    if (shared == NULL || MyProc == NULL)
        return;
    if (AmCheckpointerProcess()) {
        pg_atomic_write_u32(&shared->checkpointer, (uint32) generation);
        return;
    }
    Process *own = process_of(MyProc);
    if (own != NULL)
        pg_atomic_write_u64(&own->stamp, (uint64) MyProcPid << 32 | (uint32) generation);
}

void shared_set_waiting(bool waiting)
{
    Process *own = process_of(MyProc);

    if (own != NULL)
        pg_atomic_write_u32(&own->waiting, waiting ? (uint32) MyProcPid : 0);
}

/* Of one that ended while it waited the number is left, and its place may be another's by now. */
bool shared_is_waiting(const PGPROC *proc)
{
    Process *process = process_of(proc);

    return process != NULL && pg_atomic_read_u32(&process->waiting) == (uint32) proc->pid;
}

static uint32 generation_of(pid_t pid)
{
    for (int i = 0; i < shared->processes; i++) {
        uint64 stamp = pg_atomic_read_u64(&shared->process[i].stamp);
        if ((pid_t) (stamp >> 32) == pid)
            return (uint32) stamp;
    }
    return 0;
}

uint32 shared_generation(void)
{
    if (shared == NULL || WalSndCtl == NULL)
        return 0;
    uint32 lowest = pg_atomic_read_u32(&shared->checkpointer);
    for (int i = 0; i < max_wal_senders; i++) {
        WalSnd *sender = &WalSndCtl->walsnds[i];
        SpinLockAcquire(&sender->mutex);
        pid_t pid = sender->pid;
        bool releases = sender->state != WALSNDSTATE_STARTUP && sender->state != WALSNDSTATE_BACKUP;
        SpinLockRelease(&sender->mutex);
        if (pid == 0 || !releases)
            continue; /* before it streams it reads the configuration with its next command */
        uint32 generation = generation_of(pid);
        if (generation < lowest)
            lowest = generation;
    }
    return lowest;
}

bool shared_names_defined(void)
{
    if (WalSndCtl == NULL)
        return false;
    return version_names_defined((volatile WalSndCtlData *) WalSndCtl);
}

XLogRecPtr shared_confirmed(void)
{
    LWLockAcquire(SyncRepLock, LW_SHARED);
    XLogRecPtr lsn = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
    LWLockRelease(SyncRepLock);
    return lsn;
}

bool shared_is_unconfirmed(void)
{
    return shared != NULL && pg_atomic_read_u32(&shared->unconfirmed) != 0;
}

XLogRecPtr shared_note_end(XLogRecPtr lsn)
{
    uint64 noted = 0;

    if (pg_atomic_compare_exchange_u64(&shared->end_lsn, &noted, lsn))
        return lsn;
    return noted;
}

void shared_set_confirmed(void)
{
    pg_atomic_write_u32(&shared->unconfirmed, 0);
}
