/*
 * command.h: the user's command where one is set ([commands]), else the program that stands here.
 *
 * A command takes the place of the innermost program only: what goes before it and after it, its deadline,
 * and looking whether it did what it should are the action's own. It has the placeholders as environment
 * variables, too (PGVIGIL_HOST, ...). What it prints, its last 64 KiB, goes into the log, and its last line
 * into the outcome's text, secrets masked in both.
 */
#ifndef PGVIGIL_ACTION_COMMAND_H
#define PGVIGIL_ACTION_COMMAND_H

#include "action/run.h"

#define COMMAND_GRACE_MS 5000 /* for a command to end whose work is seen to be done */

/* What placeholders mean that the run alone does not tell. */
typedef struct CommandValues {
    const char *directory; /* NULL: the data directory */
    const char *user;      /* NULL: the role that standbys stream as */
    const char *conninfo;  /* NULL: that of a standby's own connection to the request's host */
    const char *options;   /* NULL: none */
} CommandValues;

bool command_is_set(const Run *run, CommandName name);

/* Whether the command that is set has that placeholder; false without a command. */
bool command_has(const Run *run, CommandName name, const char *placeholder);

/*
 * Runs the command; where none is set the program with those arguments and additions to the environment
 * (argv NULL: only with command_is_set). The rest as in run_exec. then sees run->ok (it ended with 0) and
 * run->err (how it ended, with its last line), run->result as with run_exec.
 */
void command_run(Run *run, CommandName name, const CommandValues *values, const char *const *argv,
                 const char *const *env, int64_t timeout_ms, bool outlives_us,
                 void (*on_line)(Run *run, const char *line), RunStep *then);

/* ---- Without a run: status and network, which are asked at an interval and change nothing ---- */

typedef struct CommandAnswer {
    bool yes;     /* it ended with 0, and said what it had to */
    bool unknown; /* it did not end in time, could not be run, or was ended: neither yes nor no */
    char text[ACT_TEXT_LEN];
} CommandAnswer;

bool command_can_ask(const Actions *actions, CommandName name);

/* Starts it; as exec_start. on_exit's result is for command_read. */
Exec *command_ask(Actions *actions, CommandName name, int64_t timeout_ms,
                  void (*on_exit)(void *arg, const ExecResult *result), void *arg, Err *err);

/* success: text that the output must have in it; NULL or "": none. */
CommandAnswer command_read(const Actions *actions, CommandName name, const ExecResult *result,
                           const char *success);

#endif
