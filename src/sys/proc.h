/*
 * proc.h: what /proc, pidfds and shared memory say of processes that are not our children.
 *
 * Every process of a PostgreSQL server has the data directory as its working directory: that is how all of
 * them are found, orphans of a dead postmaster too. Process ids can be reused: watch with a pidfd, signal
 * with proc_signal.
 */
#ifndef PGVIGIL_SYS_PROC_H
#define PGVIGIL_SYS_PROC_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/*
 * Writes the ids of at most max processes whose working directory is dir (resolved; also one of that path
 * that was removed under them) and whose program is named "postgres" (replaced by an upgrade or not). Returns
 * how many there are, which can be more than max. Zombies do not count. Processes of other users are seen
 * only by root. 0 also if /proc cannot be read.
 */
size_t proc_list_in(const char *dir, pid_t *ret_pids, size_t max);

/* True if that process is one of those that proc_list_in finds. */
bool proc_serves(pid_t pid, const char *dir);

/* A signal to that process if proc_serves says so; false if it was not sent. Never hits a stranger. */
bool proc_signal(pid_t pid, const char *dir, int signal_number);

/* SIGKILL, or another signal, to all that proc_list_in finds; returns how many it was sent to. */
size_t proc_signal_in(const char *dir, int signal_number);

/* A working directory that is known by more than its path: it may be moved or removed. Zero: none. */
typedef struct ProcPlace {
    dev_t device;
    ino_t inode;
} ProcPlace;

/* Where a process works; false, and *ret_place is zero, if it is not there. Blocks if that disk does. */
bool proc_place(pid_t pid, ProcPlace *ret_place);

/* As proc_signal_in, for those that work at that place; signal 0 only counts them. */
size_t proc_signal_at(const ProcPlace *place, int signal_number);

/*
 * A signal to every process of our user and mount namespace whose program has that name and which has that
 * argument, word for word; this process is spared. Returns how many it was sent to.
 */
size_t proc_signal_program(const char *program, const char *argument, int signal_number);

/* Whether a process of anybody's, as far as we see them, runs whose program has that name and which has that
 * text within an argument. */
bool proc_runs_for(const char *program, const char *text);

/* Writes the ids of at most max children (zombies do not count); returns how many there are. */
size_t proc_children(pid_t parent, pid_t *ret_pids, size_t max);

/* Whether the process's title, or its first argument, has that text in it. */
bool proc_title_has(pid_t pid, const char *text);

/* True if the process is there and not a zombie. */
bool proc_is_alive(pid_t pid);

/* Basename of the program ("postgres"), without " (deleted)". False: not there or not to be seen. */
bool proc_program(pid_t pid, char *ret_name, size_t size);

/*
 * Whether anybody is attached to the System V segment of that id and key. Ids are used again after a reboot:
 * the key must fit too. An id below 0: nobody. The key is compared as the kernel has it, in 32 bits.
 */
bool proc_memory_in_use(int shm_id, uint64_t shm_key);

typedef void ProcExitFn(void *arg, pid_t pid);

/* Watches for the end of any process, by a pidfd. Zero-initialised is idle. Loop's thread only. */
typedef struct ProcWatch {
    struct ProcWatchHandle *handle;
} ProcWatch;

/*
 * Calls on_exit once, from the loop and within milliseconds, when the process ends; the watch is then idle
 * again. A process that is not there: ERR_PG, and no callback. A watch that runs is stopped first.
 */
bool proc_watch_start(ProcWatch *watch, uv_loop_t *loop, pid_t pid, ProcExitFn *on_exit, void *arg, Err *err);

/* No callback any more; the struct may be freed at once. Idle: nothing. */
void proc_watch_stop(ProcWatch *watch);

#endif
