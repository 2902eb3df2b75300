/*
 * version.h: what PostgreSQL calls otherwise, or has elsewhere, from one of its versions to the next, 13
 * to 18. Nowhere else in src/ext and src/keeper does code depend on the version.
 */
#ifndef PGVIGIL_EXT_VERSION_H
#define PGVIGIL_EXT_VERSION_H

#include <postgres.h>

/* 14 took the sessions' states and the names of waits out of pgstat.h, 15 recovery out of xlog.h, 16 what a
 * text is made of out of postgres.h. */
#include <access/xlog.h>
#include <pgstat.h>
#include <replication/walsender_private.h>
#if PG_VERSION_NUM >= 140000
#include <utils/backend_status.h>
#include <utils/wait_event.h>
#endif
#if PG_VERSION_NUM >= 150000
#include <access/xlogrecovery.h>
#endif
#if PG_VERSION_NUM >= 160000
#include <varatt.h>
#endif

/* clang-format off */

/* The hook on statements, and what it hands on: 14 added read_only. */
#if PG_VERSION_NUM >= 140000
#define VERSION_UTILITY_PARAMETERS PlannedStmt *plan, const char *text, bool read_only, \
        ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, \
        QueryCompletion *completion
#define VERSION_UTILITY_ARGUMENTS plan, text, read_only, context, params, environment, dest, completion
#else
#define VERSION_UTILITY_PARAMETERS PlannedStmt *plan, const char *text, ProcessUtilityContext context, \
        ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion
#define VERSION_UTILITY_ARGUMENTS plan, text, context, params, environment, dest, completion
#endif

/* The oldest transaction that a process looks at: before 14 it stood beside its PGPROC. */
#if PG_VERSION_NUM >= 140000
#define version_xmin(proc) ((proc)->xmin)
#else
#define version_xmin(proc) (ProcGlobal->allPgXact[(proc)->pgprocno].xmin)
#endif

/* The transaction by which a process has written something. */
#if PG_VERSION_NUM >= 140000
#define version_xid(proc) ((proc)->xid)
#else
#define version_xid(proc) (ProcGlobal->allPgXact[(proc)->pgprocno].xid)
#endif

/* The transaction that a process is in, with or without a snapshot. */
#if PG_VERSION_NUM >= 170000
#define version_transaction(proc) ((proc)->vxid.lxid)
#else
#define version_transaction(proc) ((proc)->lxid)
#endif

/* Where a primary's WAL is on disk, and its timeline: before 15 a variable, which RecoveryInProgress() sets. */
#if PG_VERSION_NUM >= 150000
#define version_flushed()            GetFlushRecPtr(NULL)
#define version_insertion_timeline() GetWALInsertionTimeLine()
#else
#define version_flushed()            GetFlushRecPtr()
#define version_insertion_timeline() ThisTimeLineID
#endif

/* A setting with this prefix that nobody defines: an error, and before 15 a warning. */
#if PG_VERSION_NUM >= 150000
#define version_reserve_prefix(prefix) MarkGUCPrefixReserved(prefix)
#else
#define version_reserve_prefix(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* How many processes can have a PGPROC with a session: before 15 it is not counted yet when memory is asked for. */
#if PG_VERSION_NUM >= 150000
#define version_backends() MaxBackends
#else
#define version_backends() (MaxConnections + autovacuum_max_workers + 1 + max_worker_processes + max_wal_senders)
#endif

/* Has request() called when shared memory may be asked for, with the hook before it in next: before 15 at once. */
#if PG_VERSION_NUM >= 150000
#define version_ask_memory(next, request) ((next) = shmem_request_hook, shmem_request_hook = (request))
#else
typedef void (*shmem_request_hook_type)(void);
#define version_ask_memory(next, request) ((next) = NULL, (request)())
#endif

/* A row of the sessions' states, from 1 on: 16 numbers them otherwise under the old name. */
#if PG_VERSION_NUM >= 160000
#define version_status(row) (&pgstat_get_local_beentry_by_index(row)->backendStatus)
#else
#define version_status(row) (&pgstat_fetch_stat_local_beentry(row)->backendStatus)
#endif

#if PG_VERSION_NUM >= 170000
#define version_is_autovacuum() AmAutoVacuumWorkerProcess()
#else
#define version_is_autovacuum() IsAutoVacuumWorkerProcess()
#endif

/* A set of things to wait for that is kept until it is freed: 17 asks for a resource owner, and NULL is none. */
#if PG_VERSION_NUM >= 170000
#define version_make_wait_set(count) CreateWaitEventSet(NULL, count)
#else
#define version_make_wait_set(count) CreateWaitEventSet(TopMemoryContext, count)
#endif

/* What pg_stat_activity calls a wait: before 17 that of any extension is "Extension". wait.c alone asks. */
#if PG_VERSION_NUM >= 170000
#define version_wait_event(name) WaitEventExtensionNew(name)
#else
#define version_wait_event(name) ((void) (name), PG_WAIT_EXTENSION)
#endif

/* Whether commits wait, as the checkpointer has noted it: a flag of its own, before a minor version made it a bit. */
#ifdef SYNC_STANDBY_DEFINED
#define version_names_defined(control) (((control)->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0)
#else
#define version_names_defined(control) ((control)->sync_standbys_defined)
#endif

/* clang-format on */

#endif
