/*
 * probe.c: writes to the disk that the server writes to: below the data directory, and where pg_wal is if
 * that is another disk. The file has no name: nothing is left behind, and nothing of it gets into a backup.
 * A server goes on with what it has open or in memory when its files are taken away: so one of them is looked
 * for, too.
 */
#include "pg/probe.h"

#include "base/str.h"
#include "pg/datadir.h"
#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BLOCK_LEN 8192
#define PARTS     4 /* writes in a timeout */

struct ProbeJob {
    Probe *probe; /* NULL: it is gone */
    char data_directory[DATADIR_PATH_LEN];
    int failure; /* errno, or 0 */
    Err err;
    uint64_t disk_size, disk_free;
};

/* ---- The worker ---- */

/* A file system that has no files without a name (NFS) gets one with a name, which is taken away at once. */
static int open_unnamed(const char *directory)
{
    char path[DATADIR_PATH_LEN + 32];
    int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    snprintf(path, sizeof path, "%s/pgvigil.probe", directory);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void) unlink(path);
    return fd;
}

/* Returns errno, or 0 when the block is on the disk. */
static int write_block(const char *directory, Err *err)
{
    static const char block[BLOCK_LEN];
    int fd = open_unnamed(directory);
    ssize_t written = fd >= 0 ? write(fd, block, sizeof block) : -1;
    int failure = written < 0 ? errno : written < BLOCK_LEN ? ENOSPC : 0;

    if (failure == 0 && fsync(fd) != 0)
        failure = errno;
    if (fd >= 0)
        (void) close(fd);
    if (failure != 0)
        err_set_errno(err, ERR_IO, failure, "a block cannot be written below %s", directory);
    return failure;
}

static bool is_elsewhere(const char *directory, const char *wal)
{
    struct stat here, there;

    return stat(directory, &here) == 0 && stat(wal, &there) == 0 && here.st_dev != there.st_dev;
}

/* Returns errno, or 0 if the file is there that no server can do without. */
static int look_for_control(const char *directory, Err *err)
{
    char path[DATADIR_PATH_LEN + 32];
    struct stat st;

    snprintf(path, sizeof path, "%s/global/pg_control", directory);
    if (stat(path, &st) == 0)
        return 0;
    int failure = errno;
    err_set_errno(err, ERR_IO, failure, "the server runs, but %s cannot be read", path);
    return failure;
}

static void write_all(void *arg)
{
    ProbeJob *job = arg;
    char wal[DATADIR_PATH_LEN + 32];
    struct statvfs fs;

    if (statvfs(job->data_directory, &fs) == 0) {
        job->disk_size = (uint64_t) fs.f_blocks * fs.f_frsize;
        job->disk_free = (uint64_t) fs.f_bavail * fs.f_frsize;
    }

    snprintf(wal, sizeof wal, "%s/pg_wal", job->data_directory);
    job->failure = look_for_control(job->data_directory, &job->err);
    if (job->failure == 0)
        job->failure = write_block(job->data_directory, &job->err);
    if (job->failure == 0 && is_elsewhere(job->data_directory, wal))
        job->failure = write_block(wal, &job->err);
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
