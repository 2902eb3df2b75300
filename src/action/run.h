/*
 * run.h: how an action is written: a chain of steps, each an asynchronous operation and the function to go on
 * with.
 *
 * One operation is under way at a time. Cancelling or the deadline ends the operation early, and then the
 * action (by way of its clean-up, if it has one): steps never have to look whether they were cancelled.
 */
#ifndef PGVIGIL_ACTION_RUN_H
#define PGVIGIL_ACTION_RUN_H

#include "action/action.h"
#include "base/command_names.h"
#include "base/str.h"
#include "pg/control.h"
#include "pg/datadir.h"
#include "sys/exec.h"
#include "sys/loop.h"
#include "sys/mask.h"
#include "sys/proc.h"
#include "sys/words.h"

#include <stdatomic.h>

#define ACT_HOST_LEN   256
#define ACT_WORDS_LEN  1024
#define ACT_ARGS_MAX   64
#define ACT_QUERY_MS   2000  /* for a short query */
#define ACT_PROGRAM_MS 30000 /* for a short program */

/* ActionsOptions with copies, so that a worker may read them. */
typedef struct ActionSettings {
    char name[MEMBER_NAME_LEN], cluster[MEMBER_NAME_LEN];
    char data_directory[DATADIR_PATH_LEN], config_directory[DATADIR_PATH_LEN],
        bin_directory[DATADIR_PATH_LEN];
    char state_directory[DATADIR_PATH_LEN], server_log[DATADIR_PATH_LEN], passfile[DATADIR_PATH_LEN];
    char fence_file[DATADIR_PATH_LEN];
    char user[128], database[128], replication_user[128];
    char initdb_options[ACT_WORDS_LEN], clone_options[ACT_WORDS_LEN];
    char command[RUNS_COUNT][WORDS_LINE_LEN];
    uint16_t port;
    bool use_slots;
    uint32_t lost_keep;
    uint64_t lost_keep_bytes;
    int64_t start_timeout_ms, stop_timeout_ms, freeze_timeout_ms, promote_timeout_ms, checkpoint_timeout_ms;
    int64_t rewind_timeout_ms, clone_timeout_ms, restore_promote_ms, restore_start_ms;
    char member_host[ACTIONS_MEMBERS_MAX][ACT_HOST_LEN];
} ActionSettings;

typedef struct Run Run;
typedef struct ServerData ServerData;

/* A step: starts an operation with another step to go on, or ends the run. */
typedef void RunStep(Run *run);

/* Blocking work in the thread pool. It may read settings and request, write outcome, bin and data, and
 * nothing else. */
typedef bool RunWork(Run *run, Err *err);

typedef enum RunOperation {
    RUN_IDLE = 0,
    RUN_WORK,
    RUN_EXEC,
    RUN_ASK,
    RUN_CONN,
    RUN_SLEEP,
    RUN_EXIT
} RunOperation;

struct Run {
    Run *next_run; /* in the list of all */
    Actions *actions;
    ActionSettings settings;
    ActionRequest request; /* host and names point to those below */
    char host[ACT_HOST_LEN];
    char names[ACT_NAMES_LEN];
    ActionOutcome outcome;
    ActionFn *on_done;
    void *arg;
    int64_t began_us;
    _Atomic uint8_t progress;
    _Atomic bool stopping; /* cancelled or past the deadline; long work looks at it */
    bool cancelled, cleaning;
    LoopTimer deadline;

    /* the operation */
    RunOperation operation;
    RunStep *then;
    RunStep *cleanup; /* instead of the plain end when stopped; must lead to run_end */
    LoopTimer timer;  /* SLEEP, and ends of operations that were stopped */
    RunWork *work;
    Exec *exec;
    void (*on_line)(Run *run, const char *line);
    RunStep *ended; /* command.c's, at the end of the program, before the next step or the clean-up */
    CommandName command;
    char said[ACT_TEXT_LEN]; /* by the newest command, or how it ended; "": there was none */
    bool spoke;              /* it ended well, and its last line is worth telling */
    ProcWatch watch;
    Conn *conn; /* an own connection, elsewhere or here; NULL until used */

    /* what the operation gave, for the step that follows */
    bool ok;
    Err err;
    const ConnReply *reply;   /* ASK and CONN; valid in the step only */
    const ExecResult *result; /* EXEC; valid in the step only */
    bool gone;                /* EXIT: the process ended (and not the time) */

    /* operations made of several, and the step that goes on after them */
    RunStep *after;
    bool (*is_there)(const Run *run, const PgStatus *status);
    int64_t settle_until_us;

    ControlData control;        /* after run_control */
    char bin[DATADIR_PATH_LEN]; /* after run_find_bin */
    void *data;                 /* the action's own */
    ServerData *server;         /* server.c's */
    RunStep *tick;              /* see run_tick */
    LoopTimer ticker;
};

struct Actions {
    uv_loop_t *loop;
    PgPoll *poll;
    ActionSettings settings;
    bool (*may_write)(void *arg); /* see actions_set_permit */
    void *may_write_arg;
    Run *runs;              /* all that live, refused ones too */
    Run *current;           /* the one under way */
    Run *waiting;           /* FREEZE or STOP_IMMEDIATE, until current has ended */
    int64_t start_ended_ms; /* by the raw clock, when a start was last stopped half way: a postmaster may yet
                               appear */
    Mask mask;              /* what must not be seen in a command's output; points into secrets */
    char *secrets;
    struct SlotsWork *slots;
    struct SlotsNoted *slots_noted; /* NULL: not read yet */
    struct RestoreWatch *restore;
    uint32_t names_done; /* the generation of names that every process of the server has; 0: not known */
    int64_t
        slots_ended_us; /* boot clock; what was looked at before does not show what was done to the slots */
};

/* ---- Operations. Each is the last thing that a step does. ---- */

/* Whether the server may become writable now. */
bool run_may_write(const Run *run);
#define RUN_NO_LEASE "the lease has run out meanwhile"

/* Runs work in the thread pool; then sees run->ok and run->err. */
void run_work(Run *run, RunWork *work, RunStep *then);

/* A program with its arguments, ended by NULL. on_line may be NULL. then sees run->result; NULL: could not be
 * started. */
void run_exec(Run *run, const char *const *argv, const char *const *env, int64_t timeout_ms, bool outlives_us,
              void (*on_line)(Run *run, const char *line), RunStep *then);

/* A query over the poller's connection; then sees run->ok, run->err, run->reply. */
void run_ask(Run *run, const char *sql, int64_t timeout_ms, RunStep *then);

/* Connects run->conn, or sends a query over it; then as with run_ask. */
void run_connect(Run *run, const ConnTarget *target, int64_t timeout_ms, RunStep *then);
void run_query(Run *run, const char *sql, int64_t timeout_ms, RunStep *then);

void run_sleep(Run *run, int64_t ms, RunStep *then);

/* Waits for a process to end, at most that long; then sees run->gone. */
void run_wait_exit(Run *run, pid_t pid, int64_t timeout_ms, RunStep *then);

/* pg_controldata into run->control; then sees run->ok and run->err. Finds run->bin first. */
void run_control(Run *run, RunStep *then);

/*
 * Asks the poller until is_there(its status), at most limit_ms, so that what follows finds the new state
 * observed. Not getting there is no failure.
 */
void run_settle(Run *run, bool (*is_there)(const Run *run, const PgStatus *status), int64_t limit_ms,
                RunStep *then);

/* ---- Ends ---- */

/* The action's end: logs it and calls back. The run is gone afterwards. */
void run_end_ok(Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
void run_end_failed(Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* run_end_failed with what the last operation said (run->err, or the program's last line). */
void run_end_error(Run *run, const char *what);

/* ---- Help for steps ---- */

/* Starts the deadline anew. */
void run_set_deadline(Run *run, int64_t timeout_ms);

const PgStatus *run_status(const Run *run);

/* For workers: run->bin by settings and directory. */
bool run_find_bin(Run *run, Err *err);

/* Sends a signal to a process that exists; false if it is gone. */
bool run_signal(pid_t pid, int signal_number);

/* One line before something is taken away that was there. */
void run_log_destructive(const Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Calls tick every interval until the operation under way has ended; tick must not start another one. */
void run_tick(Run *run, int64_t interval_ms, RunStep *tick);

/* Zeroed memory for run->data; freed with the run. */
void *run_alloc_data(Run *run, size_t size);

/* Splits words at blanks (no quoting) behind what is in argv; words must live on. Returns the new count. */
size_t run_add_words(const char **argv, size_t count, size_t max, char *words);

/* ---- Between action.c and run.c ---- */

Run *run_new(Actions *actions, const ActionRequest *request, ActionFn *on_done, void *arg);

/* Ends it early: cancelled, or its deadline passed. The callback follows. */
void run_stop(Run *run, bool cancelled);

/* Without callback. */
void run_free(Run *run);

/* Begins what waits, if nothing is under way. */
void actions_next(Actions *actions);

/* ---- Where each action begins (server.c, start.c, role.c, promote.c, inspect.c, ...) ---- */

RunStep server_stop_fast, server_stop_immediate, server_reload, server_checkpoint;
RunStep start_standby, start_primary, start_restart_standby;
RunStep role_freeze, role_follow, promote_begin;
RunStep standbys_set_names;
RunStep inspect_begin, save_begin, rewind_begin, clone_begin, initdb_begin;

/* Stops fast, starts as a standby that follows whom it followed, and goes on. */
void start_restart(Run *run, RunStep *then);

/* The same with restore_command and recovery_end_command turned off until the next start; ends the one that
 * hangs. */
void start_without_archive(Run *run, RunStep *then);

#endif
