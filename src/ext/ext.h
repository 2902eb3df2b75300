/*
 * ext.h: the extension pgvigil, which lives inside of PostgreSQL: no commit is acknowledged without a lease.
 *
 * What the agent allows stands in the fence file (base/fence.h). Everything here only reads it; whatever
 * cannot be read is closed. docs/design/fence.md says why each path through the server is as it is.
 */
#ifndef PGVIGIL_EXT_EXT_H
#define PGVIGIL_EXT_EXT_H

#include <postgres.h>

#include <access/xlogdefs.h>
#include <fmgr.h>
#include <nodes/parsenodes.h>

#include "base/fence.h"
#include "ext/version.h"

/* As libpq/auth.h has it, which wants Kerberos's headers too. */
typedef void (*ClientAuthentication_hook_type)(struct Port *port, int status);
extern PGDLLIMPORT ClientAuthentication_hook_type ClientAuthentication_hook;

/* Why a commit must wait, or may not be acknowledged. */
typedef enum Closed {
    CLOSED_NOT = 0,
    CLOSED_FILE,        /* there is no fence file, or it is of another version */
    CLOSED_LEASE,       /* the lease has run out, or there has been none since the machine was started */
    CLOSED_HOLD,        /* a switchover is under way */
    CLOSED_NAMES,       /* synchronous_standby_names is not in force as the agent has set it */
    CLOSED_WEAK,        /* synchronous mode, and this transaction does not wait for a standby's disk */
    CLOSED_UNCONFIRMED, /* at the end: no standby has confirmed the commit */
    CLOSED_EPOCH,       /* at the end: another takeover than at the beginning */
} Closed;

/* ---- gucs.c: settings, from config/options.def ---- */

extern char *gucs_fence_file;
extern int gucs_wait_ms;
extern int gucs_stop_after_ms;
extern int gucs_generation;
/* What shows which server is the primary, for hints. */
extern const char gucs_teller[];
/* What to do when the names are not in force as they were set (CLOSED_NAMES), for a hint. */
extern const char gucs_names_cure[];

void gucs_define(void);

/* ---- map.c: the mapped fence file ---- */

/* In the postmaster, so that its children inherit the mapping. */
void map_init(void);

/*
 * A copy of what the file says; false: closed. again: looks whether the path names another file by now, which
 * costs two system calls; for whoever has found it closed.
 */
bool map_read(Fence *ret_fence, bool again);

/* Device and inode of what is mapped; false: nothing. */
bool map_identity(uint64 *ret_device, uint64 *ret_inode);

/* Microseconds since the agent's last turn; -1: nothing is mapped, or it has done none since the machine's
 * start. */
int64 map_untouched_us(const Clock *now);

/* ---- check.c: the checks around each commit ---- */

void check_init(void);

/* What the fence says now, before a commit; *ret_fence is a copy of it. */
Closed check_fence(Fence *ret_fence, bool again);

/* Waits for the fence to open, then ERROR. For what cannot be taken back although its commit may be. */
void check_open(void);

/* Around a commit that is no transaction's own (COMMIT PREPARED): waits for the fence to open, then ERROR;
 * and holds back SIGINT and SIGTERM until the end. */
void check_begin(void);

/* The commit is done, its WAL ends at lsn (0: not known): is it still ours to acknowledge? If not the client
 * is cut off. */
void check_end(XLogRecPtr lsn);

/* A word for the state, and a sentence for people. Never NULL. */
const char *check_word(Closed closed);
const char *check_text(Closed closed);

/* ---- confirm.c: after a crash, nobody reads what no standby has ---- */

/* Functions that read nothing of the database, and NULL, kept by the caller: a statement that only calls one
 * of them does not wait. */
void confirm_spare(const PGFunction *functions);

struct PlannedStmt;
/* Before that statement: waits, then ERROR, while what this server recovered is not confirmed. */
void confirm_wait(const struct PlannedStmt *plan);

/* ---- hooks.c: the hooks on statements ---- */

/* One module of a server has the fence: ERROR if another one took it before. module is a constant. */
void hooks_claim(const char *module);

void hooks_init(void);

/* ---- wait.c: what waits are called in pg_stat_activity ---- */

typedef enum Wait {
    WAIT_MAIN,    /* a worker: for its next turn */
    WAIT_LEASE,   /* a session: for the fence to open */
    WAIT_CONFIRM, /* a session after a crash: for a standby to confirm what it would read */
    /* Of pg_keeper alone: */
    WAIT_EXCHANGE,   /* a session: for the worker's answer to another node's message */
    WAIT_SWITCHOVER, /* a session: for the end of the switchover that it has ordered */
    WAIT_POLLING,    /* a session: for the server that it polls, and for that one's address */
    WAIT_NAMES,      /* the worker of names: for names to look up, and their addresses */
    WAITS
} Wait;

/* As the module calls them (module.c); NULL: it has no such wait. */
extern const char *const wait_names[WAITS];

/* In the postmaster, when shared memory is there. */
void wait_startup(void);
/* What WaitLatch() wants to be told. */
uint32 wait_event(Wait wait);

/* ---- shared.c: what the processes of the server share ---- */

typedef enum Count { COUNT_WAITS, COUNT_REFUSALS, COUNT_CUTS, COUNTS } Count;

void shared_init(void);
void shared_add(Count count);
uint64 shared_count(Count count);
/* This process has read its configuration, with that generation last. */
void shared_stamp(int generation);
struct PGPROC;
/*
 * This process waits at the fence, and writes nothing meanwhile; and whether that one (of a running process)
 * does. A name in pg_stat_activity would not tell: between two looks there is none, and before PostgreSQL 17
 * that of every extension's wait is the same.
 */
void shared_set_waiting(bool waiting);
bool shared_is_waiting(const struct PGPROC *proc);
/* The lowest generation in force among the checkpointer and the walsenders that can release a waiting commit.
 */
uint32 shared_generation(void);
/* The flag that makes commits wait: synchronous_standby_names is not empty, as the checkpointer has seen it.
 */
bool shared_names_defined(void);
/* How far the synchronous standbys have confirmed; 0: not at all. */
XLogRecPtr shared_confirmed(void);
/* The server has recovered from a crash; end_lsn: up to where, 0: not noted yet. */
bool shared_is_unconfirmed(void);
XLogRecPtr shared_note_end(XLogRecPtr lsn);
void shared_set_confirmed(void);

/* ---- state.c: the setting pgvigil.state, which the agent reads with each poll ---- */

/* clang-format off */
/*
 * One line of KEY=VALUE, parted by blanks. Keys may be added; their order means nothing.
 *   layout      version of the fence file that this extension reads (FENCE_VERSION)
 *   file        DEVICE:INODE of the fence file as mapped, "-": none
 *   open        1: a commit would be allowed now
 *   closed      why not: "-", "file", "lease", "hold", "names"
 *   epoch       of the fence
 *   left_ms     until its deadline, 0: past
 *   waits       commits that had to wait, since the server's start
 *   refusals    of these, refused
 *   cut         clients cut off because the lease ended between commit and answer
 *   generation  the lowest pgvigil.generation in force among the checkpointer and all walsenders that stream or
 *               catch up: what synchronous_standby_names was set with before it is effective
 *   defined     1: commits wait for a standby, by the flag that the checkpointer keeps
 *   unconfirmed 1: recovered from a crash, and no synchronous standby has confirmed it yet
 */
/* clang-format on */
const char *state_show(void);

/* ---- worker.c: ends the primary when the agent has been gone for too long ---- */

void worker_init(void);

#endif
