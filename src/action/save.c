/*
 * save.c: the WAL that the cluster does not have is copied aside, with a report of the transactions in it.
 *
 * A copy is made under another name and renamed when it is complete and on disk: a directory of the final
 * name is always whole. Older copies are removed beyond lost_keep or lost_keep_size, the newest never; the
 * same WAL is not copied twice.
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

#define SAVE_MS    3600000
#define HEADER_MAX 4096
#define UNFINISHED ".unfinished"
#define SAVED_MAX  256

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
        if (i == 0 || (i < run->settings.lost_keep && bytes <= run->settings.lost_keep_bytes))
            continue;
        snprintf(path, sizeof path, "%.1000s/%.79s", parent, saved[i].name);
        run_log_destructive(run, "what=saved_wal path=%s reason=\"more than %u copies or %llu MB\"", path,
                            (unsigned) run->settings.lost_keep,
                            (unsigned long long) (run->settings.lost_keep_bytes >> 20));
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

/* Segments from the fork on, of the timelines that the WAL runs along, and of later ones. */
static bool is_wanted(const Run *run, uint32_t timeline, uint64_t segment)
{
    const InspectData *data = run->data;
    uint32_t size = run->control.wal_segment_size;

    if (segment < run->request.fork / size)
        return false;
    if (timeline >= run->request.timeline)
        return timeline > run->request.timeline || segment <= data->range.last;
    for (int i = 0; i < data->legs; i++)
        if (data->leg[i].timeline == timeline && segment <= data->leg[i].to / size)
            return true;
    return false;
}

/* The first leg's first segment is there: nothing of it is gone. */
static bool find_legs(Run *run, Err *err)
{
    InspectData *data = run->data;
    const ActionSettings *s = &run->settings;
    uint32_t size = run->control.wal_segment_size;
    WalRange range;
    bool whole;

    if (run->request.fork == LSN_NONE)
        return true;
    if (!legs_find(s->data_directory, run->request.timeline, run->request.fork, data->leg, &data->legs,
                   &whole, err) ||
        !wal_range(s->data_directory, size, data->leg[0].timeline, &range, err))
        return false;
    uint64_t first = data->leg[0].from / size;
    data->complete = whole && range.count > 0 && range.first <= first && first <= range.last;
    return true;
}

/* Everything that may hold a part of it, and histories. */
static bool copy_wal(Run *run, Err *err)
{
    InspectData *data = run->data;
    char wal[DATADIR_PATH_LEN + 32];
    uint32_t size = run->control.wal_segment_size, timeline;
    uint64_t segment;
    bool ok = true;

    if (!find_legs(run, err) || !dir_make(data->unfinished, 0700, err))
        return false;
    snprintf(wal, sizeof wal, "%s/pg_wal", run->settings.data_directory);
    DIR *dir = opendir(wal);
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", wal);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        const char *name = entry->d_name;
        bool history = strlen(name) == 16 && strcmp(name + 8, ".history") == 0;
        bool wanted = wal_parse_name(name, size, &timeline, &segment) && is_wanted(run, timeline, segment);
        if (history || wanted)
            ok = copy_file(run, name, err);
    }
    closedir(dir);
    return ok;
}

/* ---- The report ---- */

static void on_record(Run *run, const char *line)
{
    InspectData *data = run->data;

    lost_line(data->report, line);
}

/* The lines that say what the copy is; "same" is all that tells it from another. */
static void write_header(const Run *run, const char *same, Buf *text)
{
    const InspectData *data = run->data;
    char commits[32] = "not counted", now[CLOCK_TEXT_LEN], last[CLOCK_TEXT_LEN] = "-", fork[LSN_TEXT_LEN];

    if (!data->uncounted)
        snprintf(commits, sizeof commits, "%u", (unsigned) run->outcome.transactions);
    if (run->outcome.last_commit_us != 0)
        clock_format_utc(run->outcome.last_commit_us, last, sizeof last);
    lsn_format(run->request.fork, fork);
    clock_format_utc(clock_now().wall_us, now, sizeof now);
    buf_printf(text,
               "WAL that the cluster does not have, saved before it was discarded\n"
               "saved=%s member=%s epoch=%u timeline=%u system_identifier=%llu\n"
               "%s bytes=%llu commits=%s last=%s complete=%s files=%u\n"
               "Look into it with: pg_waldump -p . -t %u -s %s\n\n",
               now, run->settings.name, (unsigned) run->request.epoch, (unsigned) run->request.timeline,
               (unsigned long long) run->control.system_identifier, same,
               (unsigned long long) run->outcome.bytes, commits, last, run->outcome.complete ? "yes" : "no",
               (unsigned) data->copied, (unsigned) run->request.timeline, fork);
}

static void format_same(const Run *run, char *ret_text, size_t size)
{
    const InspectData *data = run->data;
    char fork[LSN_TEXT_LEN], end[LSN_TEXT_LEN];

    lsn_format(run->request.fork, fork);
    lsn_format(data->end, end);
    snprintf(ret_text, size, "fork=%s end=%s", fork, end);
}

static bool finish_copy(Run *run, Err *err)
{
    InspectData *data = run->data;
    char path[DATADIR_PATH_LEN + 128], parent[DATADIR_PATH_LEN + 64], same[2 * LSN_TEXT_LEN + 16];
    const Buf *report = data->report != NULL ? lost_text(data->report) : NULL;
    Buf text = {0};

    format_same(run, same, sizeof same);
    write_header(run, same, &text);
    if (report != NULL && report->data != NULL)
        buf_add(&text, report->data, report->len);
    if (data->relations.text.data != NULL)
        buf_printf(&text, "\n%s", data->relations.text.data);
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

    lost_free(data->report);
    data->report = NULL;
    buf_done(&data->relations.text);
    if (!run->ok)
        run_end_error(run, "cannot save the WAL");
    else
        run_end_ok(run, "%.150s%s", data->directory, data->uncounted ? " (commits not counted)" : "");
}

static void dump_next(Run *run);

static void on_named(Run *run)
{
    run_work(run, finish_copy, on_finished);
}

static void on_dumped(Run *run)
{
    InspectData *data = run->data;

    /* What is saved is saved, and must not be told to hold nothing. */
    data->uncounted = data->uncounted || !inspect_ran(run);
    data->at++;
    dump_next(run);
}

/* One leg after the other, then the report is written. */
static void dump_next(Run *run)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", "TZ=UTC", NULL};
    InspectData *data = run->data;
    char program[DATADIR_PATH_LEN + 32], start[LSN_TEXT_LEN], end[LSN_TEXT_LEN], timeline[16];
    uint32_t size = run->control.wal_segment_size;

    if (data->at == data->legs) {
        LostTotals totals = lost_totals(data->report);
        run->outcome.transactions = totals.commits;
        run->outcome.last_commit_us = totals.last_us;
        run->outcome.complete = data->complete && !data->uncounted;
        relations_name(run, &data->relations, data->report, on_named);
        return;
    }
    const Leg *leg = &data->leg[data->at];
    bool last = data->at == data->legs - 1;
    snprintf(program, sizeof program, "%s/pg_waldump", run->bin);
    snprintf(timeline, sizeof timeline, "%u", (unsigned) leg->timeline);
    lsn_format(leg->from, start);
    lsn_format(last ? (data->range.last + 1) * size : leg->to, end);
    const char *argv[] = {program, "-p", data->unfinished, "-t", timeline, "-s", start, "-e", end, NULL};
    run_exec(run, argv, env, SAVE_MS, false, on_record, on_dumped);
}

static void on_copied(Run *run)
{
    InspectData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "cannot save the WAL");
    } else if (run->request.fork == LSN_NONE) {
        data->uncounted = true;
        run_work(run, finish_copy, on_finished);
    } else {
        data->report = lost_new();
        dump_next(run);
    }
}

/* ---- The same WAL, saved before ---- */

/* What the header of that copy says, if it is of this WAL. */
static bool read_header(Run *run, const char *path, const char *same)
{
    char text[HEADER_MAX], *line, *last;
    FILE *file = fopen(path, "r");
    unsigned commits;

    if (file == NULL)
        return false;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    line = strstr(text, same);
    if (line == NULL || line == text || line[-1] != '\n' || line[strlen(same)] != ' ')
        return false;
    line[strcspn(line, "\n")] = '\0';
    char *number = strstr(line, " commits=");
    /* One that could not be counted then is tried again. */
    if (number == NULL || sscanf(number, " commits=%u", &commits) != 1)
        return false;
    last = strstr(line, " last=");
    run->outcome.transactions = commits;
    run->outcome.last_commit_us = last != NULL ? lost_parse_time(last + strlen(" last=")) : 0;
    run->outcome.complete = strstr(line, " complete=yes") != NULL;
    return true;
}

/* An agent that is started again inspects again: no reason for another copy, which might push out an older
 * one. */
static bool look_for_same(Run *run, Err *err)
{
    InspectData *data = run->data;
    char parent[DATADIR_PATH_LEN + 64], path[DATADIR_PATH_LEN + 400], same[2 * LSN_TEXT_LEN + 16], suffix[40];

    (void) err;
    format_same(run, same, sizeof same);
    snprintf(suffix, sizeof suffix, "Z_e%u_t%u", (unsigned) run->request.epoch,
             (unsigned) run->request.timeline);
    snprintf(parent, sizeof parent, "%s/diverged/%s", run->settings.state_directory, run->settings.cluster);
    DIR *dir = opendir(parent);
    if (dir == NULL)
        return true;
    for (struct dirent *entry; !data->saved_before && (entry = readdir(dir)) != NULL;) {
        const char *end = strstr(entry->d_name, suffix);
        if (end == NULL || end[strlen(suffix)] != '\0')
            continue;
        snprintf(path, sizeof path, "%.1100s/%.255s/report.txt", parent, entry->d_name);
        data->saved_before = read_header(run, path, same);
        if (data->saved_before)
            snprintf(data->directory, sizeof data->directory, "%.1000s/%.60s", parent, entry->d_name);
    }
    closedir(dir);
    return true;
}

static void begin_copy(Run *run);

static void on_looked(Run *run)
{
    const InspectData *data = run->data;

    run->outcome.saved_before = data->saved_before;
    if (data->saved_before)
        run_end_ok(run, "%.150s (saved before)", data->directory);
    else
        begin_copy(run);
}

/* ---- The action ---- */

static void on_stopped(Run *run)
{
    InspectData *data = run->data;

    lost_free(data->report);
    data->report = NULL;
    buf_done(&data->relations.text);
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
        run->outcome.complete = true;
        run_end_ok(run, "nothing to save");
        return;
    }
    run_work(run, look_for_same, on_looked);
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
