/*
 * probe.c: writes to the disk that the server writes to (block.c), time and again, and has a deadline for it.
 */
#include "pg/probe.h"

#include "base/str.h"
#include "pg/block.h"
#include "pg/datadir.h"
#include "sys/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define PARTS 4 /* writes in a timeout */

struct ProbeJob {
    Probe *probe; /* NULL: it is gone */
    char data_directory[DATADIR_PATH_LEN];
    int failure; /* errno, or 0 */
    Err err;
    uint64_t disk_size, disk_free;
};

/* ---- The worker ---- */

static void write_all(void *arg)
{
    ProbeJob *job = arg;
    struct statvfs fs;

    if (statvfs(job->data_directory, &fs) == 0) {
        job->disk_size = (uint64_t) fs.f_blocks * fs.f_frsize;
        job->disk_free = (uint64_t) fs.f_bavail * fs.f_frsize;
    }
    job->failure = block_write(job->data_directory, &job->err);
}

/* ---- The loop ---- */

static void set(Probe *probe, bool stuck, bool full, const Err *err)
{
    bool changed = probe->stuck != stuck || probe->full != full;

    probe->stuck = stuck;
    probe->full = full;
    probe->err = *err;
    if (changed)
        probe->on_change(probe->arg);
}

static void on_ended(void *arg)
{
    ProbeJob *job = arg;
    Probe *probe = job->probe;

    if (probe != NULL) {
        bool full = job->failure == ENOSPC || job->failure == EDQUOT;
        probe->job = NULL;
        probe->disk_size = job->disk_size;
        probe->disk_free = job->disk_free;
        if (loop_timer_is_running(&probe->timer))
            set(probe, job->failure != 0 && !full, full, &job->err);
    }
    free(job);
}

/* Never a second one while one is under way, also if that was begun before a stop. */
static void begin(Probe *probe)
{
    ProbeJob *job = calloc(1, sizeof *job);

    if (job == NULL)
        abort();
    job->probe = probe;
    str_copy(job->data_directory, sizeof job->data_directory, probe->data_directory);
    probe->job = job;
    probe->since = clock_now();
    loop_work(probe->loop, write_all, on_ended, job);
}

static void on_time(void *arg)
{
    Probe *probe = arg;
    Clock now = clock_now();
    Err err = {0};

    if (probe->job == NULL) {
        begin(probe);
        return;
    }
    int64_t ms = clock_elapsed_least(&probe->since, &now) / US_PER_MS;
    if (ms < probe->timeout_ms)
        return;
    err_set(&err, ERR_TIMEOUT, "a block written below %s is not on the disk after %lld ms",
            probe->data_directory, (long long) ms);
    set(probe, true, false, &err);
}

void probe_init(Probe *probe, uv_loop_t *loop, const char *data_directory, ProbeFn *on_change, void *arg)
{
    *probe = (Probe){.loop = loop, .data_directory = data_directory, .on_change = on_change, .arg = arg};
    loop_timer_init(&probe->timer, loop, on_time, probe);
}

void probe_start(Probe *probe, int64_t timeout_ms)
{
    probe->timeout_ms = timeout_ms;
    loop_timer_start(&probe->timer, timeout_ms * US_PER_MS / PARTS, timeout_ms * US_PER_MS / PARTS);
}

void probe_stop(Probe *probe)
{
    loop_timer_stop(&probe->timer);
    probe->stuck = probe->full = false;
    probe->err = (Err){0};
}

bool probe_is_running(const Probe *probe)
{
    return loop_timer_is_running(&probe->timer);
}

void probe_done(Probe *probe)
{
    probe_stop(probe);
    loop_timer_done(&probe->timer);
    if (probe->job != NULL)
        probe->job->probe = NULL;
    probe->job = NULL;
}
