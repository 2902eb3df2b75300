/*
 * probe.h: writes to the disk that the server writes to, each with a deadline.
 *
 * Commits on a frozen or broken disk wait for ever while every query that only reads is answered: only a
 * write shows it. One block, four times in each timeout, in a worker; never a second while one is under way.
 * A data directory that was emptied under its server counts as a failed write.
 */
#ifndef PGVIGIL_PG_PROBE_H
#define PGVIGIL_PG_PROBE_H

#include "base/err.h"
#include "base/types.h"
#include "sys/loop.h"

/* Called from the loop when stuck or full has changed. */
typedef void ProbeFn(void *arg);

typedef struct ProbeJob ProbeJob;

typedef struct Probe {
    bool stuck;                    /* a write has failed, or has not ended for the timeout */
    bool full;                     /* the newest found no room; that alone is not stuck */
    uint64_t disk_size, disk_free; /* bytes, of the file system below the data directory; size 0: not known */
    Err err;                       /* why; without a code if neither */

    /* the probe's own */
    ProbeJob *job; /* under way */
    Clock since;
    int64_t timeout_ms;
    const char *data_directory;
    LoopTimer timer;
    uv_loop_t *loop;
    ProbeFn *on_change;
    void *arg;
} Probe;

/* Makes a probe that does not run yet. data_directory must live as long as it does. */
void probe_init(Probe *probe, uv_loop_t *loop, const char *data_directory, ProbeFn *on_change, void *arg);

/* Begins, or goes on with another timeout (ms, above 0). */
void probe_start(Probe *probe, int64_t timeout_ms);

/* Writes no more and knows nothing. What is under way is left to end. */
void probe_stop(Probe *probe);

bool probe_is_running(const Probe *probe);

/* Stops for good; the struct may go. */
void probe_done(Probe *probe);

#endif
