/*
 * exec.h: children on the loop, each with a deadline, its output, and no shell.
 *
 * A child inherits standard input from /dev/null, its output goes to us, every other descriptor is closed, no
 * signal is blocked or ignored. At most EXEC_MAX run at a time. libuv's own child watching is not used: each
 * child has a pidfd, so that a signal can never hit a stranger.
 */
#ifndef PGVIGIL_SYS_EXEC_H
#define PGVIGIL_SYS_EXEC_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#define EXEC_MAX        16
#define EXEC_OUTPUT_MAX 65536
#define EXEC_LINE_MAX   4096 /* a longer line is given in pieces */
#define EXEC_GRACE_MS   2000 /* between SIGTERM and SIGKILL */

typedef struct ExecResult {
    int status;      /* exit status, or -1 if a signal ended it */
    int signal;      /* the signal that ended it, or 0 */
    bool timed_out;  /* the deadline passed, and it was ended */
    bool cancelled;  /* exec_kill ended it */
    bool output_cut; /* there was more output before this */
    const char
        *output; /* the last EXEC_OUTPUT_MAX bytes of both outputs, terminated; valid in the callback only */
    size_t output_len;
    int64_t duration_ms;
} ExecResult;

typedef struct ExecSpec {
    const char *const *argv; /* ends with NULL; argv[0] without a slash is looked for in PATH */
    const char *program;     /* the file that is run, if argv[0] is another name; or NULL */
    const char *const *env;  /* "NAME=value" added to our environment, ends with NULL; or NULL */
    const char *cwd;         /* or NULL: "/" */
    int64_t timeout_ms;      /* at least 1 */
    bool new_session;        /* setsid; ends are then sent to its whole process group */
    bool die_with_parent;    /* SIGKILL when this process ends; not for what starts a server */
    void (*on_line)(void *arg, const char *line);         /* each line, ended by \n or \r; or NULL */
    void (*on_exit)(void *arg, const ExecResult *result); /* exactly once, from the loop; or NULL */
    void *arg;
} ExecSpec;

typedef struct Exec Exec;

/*
 * Starts a child; spec may go away afterwards. NULL with *err if there are too many, or no process can be
 * made. A program that cannot be run is known only at its end: status 127, the reason in the output. The Exec
 * frees itself after on_exit; do not keep it any longer. A grandchild that holds the output open is not
 * waited for. A child that even SIGKILL does not end (a hung disk) stays until it ends.
 */
Exec *exec_start(uv_loop_t *loop, const ExecSpec *spec, Err *err);

/* The child's process id, while it has not ended. */
pid_t exec_pid(const Exec *exec);

/* SIGKILL now; on_exit follows when it is gone. NULL or asked already: nothing. */
void exec_kill(Exec *exec);

/* Forgets the callbacks, for an owner that goes away; the child goes on until its end or its deadline. */
void exec_detach(Exec *exec);

/* One line for logs and errors: "exit status 1", "killed by signal 9 (Killed)", "no end within 5000 ms". */
void exec_describe(const ExecResult *result, char *ret_text, size_t size);

/*
 * An error of a program that did not do what it should: its name, how it ended, and its last line with an
 * error (as PostgreSQL's programs write it: pg_basebackup goes on to say that it cleans up), else its last
 * line.
 */
void exec_error(const ExecResult *result, const char *program, Err *err);

/* The last line of the output that is not empty: usually the error. Never NULL; "" if there is none. */
const char *exec_last_line(const ExecResult *result, char *ret_text, size_t size);

#endif
