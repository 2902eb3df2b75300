/*
 * fence.h: the layout of the fence file: until when a primary may acknowledge commits, and on which terms.
 *
 * The agent maps and writes it, the guard process and the extension map and read it. It lives on a tmpfs and
 * outlives the postmaster. Absent, all zero, of another version or past: closed. One writer; readers take the
 * sequence number before and after, and read again while it is odd or differs.
 */
#ifndef PGVIGIL_BASE_FENCE_H
#define PGVIGIL_BASE_FENCE_H

#include "base/types.h"

#include <stdatomic.h>

#define FENCE_MAGIC     0x70677666u /* "pgvf" */
#define FENCE_VERSION   2u
#define FENCE_NAMES_LEN 512 /* with the terminating NUL */
#define FENCE_PATH_LEN  512

typedef struct FenceFile {
    uint32_t magic;
    uint32_t version;
    _Atomic uint32_t sequence; /* odd while it is written */
    uint32_t epoch;
    int64_t until_raw_us;  /* CLOCK_MONOTONIC_RAW; 0: closed */
    int64_t until_boot_us; /* CLOCK_BOOTTIME; 0: closed */
    uint32_t guarded;      /* 1: whoever holds the deadline must end the server when it passes */
    int32_t guard_pid;     /* the process that enforces it, 0: none */
    int32_t agent_pid;
    uint32_t hold;        /* 1: commits wait, as if closed */
    uint32_t synchronous; /* 1: a commit waits for standbys at least as synchronous_commit = on does */
    uint32_t generation;  /* of names; rises whenever the agent sets others */
    _Atomic int64_t touched_boot_us; /* when the agent last did a turn; outside of the sequence */
    char names[FENCE_NAMES_LEN];
} FenceFile;

/* A copy that belongs together. */
typedef struct Fence {
    uint32_t epoch;
    Clock until; /* raw and boot; zero: closed */
    bool guarded;
    /*
     * Commits wait: a switchover is under way.
     */
    bool hold;
    /*
     * What is acknowledged must be on a standby's disk: a transaction with synchronous_commit below on (off,
     * local, remote_write) is refused.
     */
    bool synchronous;
    /*
     * The effective synchronous_standby_names that the agent expects, and how often it has set others. A
     * backend in which they are not these is closed. names empty and not synchronous: not looked at.
     */
    uint32_t generation;
    char names[FENCE_NAMES_LEN];
} Fence;

/* RUN_DIRECTORY/CLUSTER-MEMBER.fence; ret_path has room for FENCE_PATH_LEN. */
void fence_path(const char *run_directory, const char *cluster, const char *member, char *ret_path);

/* Writes all of *fence; for the single writer. */
void fence_write(FenceFile *file, const Fence *fence);

/* Reads a consistent copy. False if the file is of another kind or version, or a writer died half way:
 * closed. */
bool fence_read(FenceFile *file, Fence *ret_fence);

bool fence_equal(const Fence *a, const Fence *b);

/* True while neither clock has reached the deadline. */
bool fence_is_open(const Fence *fence, const Clock *now);

/* The agent has done a turn. */
void fence_touch(FenceFile *file, const Clock *now);

/* How long the agent has done none, by the boot clock. */
int64_t fence_untouched_us(FenceFile *file, const Clock *now);

#endif
