/*
 * save.c: the WAL that the cluster does not have is copied aside, with a report of the transactions in it.
 *
 * A copy is made under another name and renamed when it is complete and on disk: a directory of the final
 * name is always whole. Older copies are removed beyond SAVE_KEEP or SAVE_KEEP_BYTES, the newest never.
 */
#include "action/inspect.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SAVE_KEEP        10
#define SAVE_KEEP_BYTES  ((uint64_t) 1 << 30)
#define SAVE_MS          3600000
#define REPORT_BYTES_MAX ((size_t) 4 << 20)
#define UNFINISHED       ".unfinished"
#define SAVED_MAX        256

/* ---- Old copies ---- */

typedef struct Saved {
    char name[80];
    uint64_t bytes;
} Saved;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Saved *) b)->name,
                  ((const Saved *) a)->name); /* they begin with the time: newest first */
}

static uint64_t directory_bytes(const char *path)
{
    char file[DATADIR_PATH_LEN + 512];
    struct stat st;
    uint64_t bytes = 0;

    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(file, sizeof file, "%.1100s/%.255s", path, entry->d_name);
        if (lstat(file, &st) == 0 && S_ISREG(st.st_mode))
            bytes += (uint64_t) st.st_size;
    }
    closedir(dir);
    return bytes;
}

/* Removes what is too much, and what was broken off; failures only leave more. */
static void remove_old(const Run *run, const char *parent)
{
    char path[DATADIR_PATH_LEN + 400];
    Saved saved[SAVED_MAX];
    size_t count = 0;
    uint64_t bytes = 0;

    DIR *dir = opendir(parent);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < SAVED_MAX;) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof saved[0].name)
            continue;
        snprintf(path, sizeof path, "%.1000s/%.255s", parent, entry->d_name);
        if (strstr(entry->d_name, UNFINISHED) != NULL) {
            file_remove_tree(path, NULL);
            continue;
        }
        str_copy(saved[count].name, sizeof saved[count].name, entry->d_name);
        saved[count++].bytes = directory_bytes(path);
    }
    closedir(dir);
    qsort(saved, count, sizeof saved[0], by_name);
    for (size_t i = 0; i < count; i++) {
        bytes += saved[i].bytes;
        if (i == 0 || (i < SAVE_KEEP && bytes <= SAVE_KEEP_BYTES))
            continue;
        snprintf(path, sizeof path, "%.1000s/%.79s", parent, saved[i].name);
        run_log_destructive(run, "what=saved_wal path=%s reason=\"more than %d copies or %llu MB\"", path,
                            SAVE_KEEP, (unsigned long long) (SAVE_KEEP_BYTES >> 20));
        file_remove_tree(path, NULL);
    }
}

/* ---- Copying ---- */

static bool copy_file(Run *run, const char *name, Err *err)
{
    InspectData *data = run->data;
    char from[DATADIR_PATH_LEN + 300], to[DATADIR_PATH_LEN + 400];

    if (run->stopping)
        return err_set(err, ERR_REFUSED, "cancelled");
    snprintf(from, sizeof from, "%s/pg_wal/%.255s", run->settings.data_directory, name);
    snprintf(to, sizeof to, "%s/%.255s", data->unfinished, name);
    data->copied++;
    return file_copy(from, to, err);
}

/* Everything that may hold a part of it: segments from the fork on, of this timeline and later ones, and
 * histories. */
static bool copy_wal(Run *run, Err *err)
{
    InspectData *data = run->data;
    char wal[DATADIR_PATH_LEN + 32];
    uint32_t size = run->control.wal_segment_size, timeline;
    uint64_t segment, first = run->request.fork / size;
    bool ok = true;

    if (!dir_make(data->unfinished, 0700, err))
        return false;
    snprintf(wal, sizeof wal, "%s/pg_wal", run->settings.data_directory);
    DIR *dir = opendir(wal);
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", wal);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        bool history = strlen(name) == 16 && strcmp(name + 8, ".history") == 0;
        bool wanted = wal_parse_name(name, size, &timeline, &segment) && segment >= first &&
                      (timeline > run->request.timeline ||
                       (timeline == run->request.timeline && segment <= data->range.last));
        if (history || wanted)
            ok = copy_file(run, name, err);
    }
    closedir(dir);
    return ok;
}

/* ---- The report ---- */

/* "rmgr: Transaction len ..., tx: 737, lsn: 0/..., prev 0/..., desc: COMMIT 2026-11-20 21:05:11.123456 UTC;
 * ..." */
static void on_transaction(Run *run, const char *line)
{
    InspectData *data = run->data;
    const char *tx = strstr(line, ", tx:"), *lsn = strstr(line, ", lsn: "),
               *desc = strstr(line, "desc: COMMIT");
    unsigned xid;

    if (tx == NULL || lsn == NULL || desc == NULL || sscanf(tx, ", tx: %u", &xid) != 1)
        return;
    data->commits++;
    if (data->report.len > REPORT_BYTES_MAX)
        return;
    desc += strlen("desc: COMMIT");
    desc += strspn(desc, "_PREPARED ");
    buf_printf(&data->report, "xid=%u lsn=%.*s time=\"%.*s\"\n", xid, (int) strcspn(lsn + 7, ","), lsn + 7,
               (int) strcspn(desc, ";"), desc);
}

static bool finish_copy(Run *run, Err *err)
{
    InspectData *data = run->data;
    char path[DATADIR_PATH_LEN + 128], parent[DATADIR_PATH_LEN + 64], fork[LSN_TEXT_LEN], end[LSN_TEXT_LEN];
    char now[CLOCK_TEXT_LEN];
    Buf text = {0};

    char commits[32] = "not counted";

    if (!data->uncounted)
        snprintf(commits, sizeof commits, "%u", (unsigned) data->commits);
    lsn_format(run->request.fork, fork);
    lsn_format(data->end, end);
    clock_format_utc(clock_now().wall_us, now, sizeof now);
    buf_printf(&text,
               "WAL that the cluster does not have, saved before it was discarded\n"
               "saved=%s member=%s epoch=%u timeline=%u system_identifier=%llu\n"
               "fork=%s end=%s bytes=%llu commits=%s files=%u\n"
               "Look into it with: pg_waldump -p . -t %u -s %s\n\n",
               now, run->settings.name, (unsigned) run->request.epoch, (unsigned) run->request.timeline,
               (unsigned long long) run->control.system_identifier, fork, end,
               (unsigned long long) run->outcome.bytes, commits, (unsigned) data->copied,
               (unsigned) run->request.timeline, fork);
    if (data->report.data != NULL)
        buf_add(&text, data->report.data, data->report.len);
    if (data->report.len > REPORT_BYTES_MAX)
        buf_puts(&text, "... and more\n");
    snprintf(path, sizeof path, "%s/report.txt", data->unfinished);
    snprintf(parent, sizeof parent, "%s/diverged/%s", run->settings.state_directory, run->settings.cluster);
    bool ok = file_write_atomic(path, text.data != NULL ? text.data : "", text.len, 0600, err);
    buf_done(&text);
    if (ok && rename(data->unfinished, data->directory) != 0)
        ok = err_set_errno(err, ERR_IO, errno, "cannot rename %s", data->unfinished);
    ok = ok && file_sync(parent, err);
    if (ok)
        remove_old(run, parent);
    return ok;
}

static void on_finished(Run *run)
{
    InspectData *data = run->data;

    buf_done(&data->report);
    if (!run->ok)
        run_end_error(run, "cannot save the WAL");
    else
        run_end_ok(run, "%.150s%s", data->directory, data->uncounted ? " (commits not counted)" : "");
}

static void on_dumped(Run *run)
{
    InspectData *data = run->data;

    /* What is saved is saved, and must not be told to hold nothing. */
    data->uncounted = !inspect_ran(run);
    run->outcome.transactions = data->commits;
    run_work(run, finish_copy, on_finished);
}

static void on_copied(Run *run)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", "TZ=UTC", NULL};
    InspectData *data = run->data;
    char program[DATADIR_PATH_LEN + 32], start[LSN_TEXT_LEN], end[LSN_TEXT_LEN], timeline[16];

    if (!run->ok) {
        run_end_error(run, "cannot save the WAL");
        return;
    }
    if (run->request.fork == LSN_NONE) {
        data->uncounted = true;
        run_work(run, finish_copy, on_finished);
        return;
    }
    snprintf(program, sizeof program, "%s/pg_waldump", run->bin);
    snprintf(timeline, sizeof timeline, "%u", (unsigned) run->request.timeline);
    lsn_format(run->request.fork, start);
    lsn_format((data->range.last + 1) * run->control.wal_segment_size, end);
    const char *argv[] = {program, "-p", data->unfinished, "-t", timeline, "-s", start, "-e",
                          end,     "-r", "Transaction",    NULL};
    run_exec(run, argv, env, SAVE_MS, false, on_transaction, on_dumped);
}

static void on_stopped(Run *run)
{
    InspectData *data = run->data;

    buf_done(&data->report);
    run_end_failed(run, "not done within its time");
}

static void begin_copy(Run *run)
{
    InspectData *data = run->data;
    char now[CLOCK_TEXT_LEN];
    const char *t = now;

    clock_format_utc(clock_now().wall_us, now, sizeof now); /* 2026-11-20T20:59:31.123Z */
    snprintf(data->directory, sizeof data->directory, "%s/diverged/%s/%.4s%.2s%.5s%.2s%.2sZ_e%u_t%u",
             run->settings.state_directory, run->settings.cluster, t, t + 5, t + 8, t + 14, t + 17,
             (unsigned) run->request.epoch, (unsigned) run->request.timeline);
    snprintf(data->unfinished, sizeof data->unfinished, "%s" UNFINISHED, data->directory);
    run->cleanup = on_stopped;
    run_work(run, copy_wal, on_copied);
}

/* Where the WAL ends is known: run->data is filled. */
static void on_inspected(Run *run)
{
    InspectData *data = run->data;

    if (data->end > run->request.fork)
        run->outcome.bytes = data->end - run->request.fork;
    run->outcome.lsn = data->end;
    if (!data->has_fork && run->outcome.bytes > 0)
        run->outcome.wal_missing = true;
    if (run->outcome.bytes == 0 && data->range.highest_timeline <= run->request.timeline) {
        run_end_ok(run, "nothing to save");
        return;
    }
    begin_copy(run);
}

static void on_control(Run *run)
{
    InspectData *data = run->data;
    pid_t pid;

    if (!run->ok) {
        run_end_error(run, "cannot read the control file");
    } else if (proc_list_in(run->settings.data_directory, &pid, 1) > 0) {
        run_end_failed(run, "the server runs");
    } else {
        data->range.last = UINT64_MAX; /* recycled segments too: which those are cannot be told */
        begin_copy(run);
    }
}

void save_begin(Run *run)
{
    run_set_deadline(run, SAVE_MS);
    if (run->request.fork != LSN_NONE) {
        inspect_wal(run, on_inspected);
    } else if (run_status(run)->postmaster != 0) {
        run_end_failed(run, "the server runs");
    } else {
        run_alloc_data(run, sizeof(InspectData));
        run_control(run, on_control);
    }
}
