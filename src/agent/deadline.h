/*
 * deadline.h: the mapped fence file, and the guard process that enforces its deadline when the agent cannot.
 *
 * The guard is a process of its own, so that an agent that is killed, stopped or hangs does not leave a
 * primary without a lease: it ends the server by itself.
 */
#ifndef PGVIGIL_AGENT_DEADLINE_H
#define PGVIGIL_AGENT_DEADLINE_H

#include "base/err.h"
#include "base/fence.h"

#include <sys/types.h>

typedef struct Deadline {
    FenceFile *file;        /* mapped; NULL: not open */
    Fence fence;            /* what was written last, or found there */
    bool readable;          /* it was written by this layout's agent */
    uint64_t device, inode; /* of the mapped file */
    char path[FENCE_PATH_LEN];
} Deadline;

/*
 * Maps RUN_DIRECTORY/CLUSTER-MEMBER.fence, making both if need be. ret->fence is what a former agent left
 * (closed if nothing). Blocks; at start-up only.
 */
bool deadline_open(Deadline *ret, const char *run_directory, const char *cluster, const char *member,
                   Err *err);

/*
 * Maps a new one if somebody has removed or replaced the file: nobody who opens it now would see ours.
 * *ret_changed says so. The old mapping stays, since another thread may be reading it; the guard that
 * reads it ends, and is started again. One system call if nothing has happened.
 */
bool deadline_reopen(Deadline *deadline, bool *ret_changed, Err *err);

/* The file of that device and inode is the one that is written. */
bool deadline_is(const Deadline *deadline, uint64_t device, uint64_t inode);

/* Writes what differs from what was written last; cheap otherwise. */
void deadline_set(Deadline *deadline, const Fence *fence);

/* Says that the agent has done a turn. */
void deadline_touch(Deadline *deadline, const Clock *now);

/* Unmaps; the file stays, and so does its deadline. */
void deadline_done(Deadline *deadline);

/* Starts a guard that takes over from any older one. Returns its process id, or -1 with *err. */
pid_t deadline_start_guard(const Deadline *deadline, const char *data_directory, Err *err);

#endif
