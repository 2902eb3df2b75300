/*
 * inspect.c: does a stopped server have WAL that the cluster does not have?
 *
 * The rule: its WAL ends behind the fork, that is, some valid record starts at or behind it. Records are
 * checked by pg_waldump (CRC and all); recycled segments are told apart by the address in their first page.
 */
#include "action/inspect.h"

#include "action/fork.h"

#include "sys/file.h"

#include <stdio.h>
#include <string.h>

#define WALDUMP_MS   600000
#define EXIT_NOT_RUN 126 /* as shells and exec.h have it, and 127 */
#define BACK_MAX     3   /* segments that the search for the end goes back: one record may span some */

/* ---- Reading pg_waldump ---- */

/* "rmgr: Heap  len (rec/tot):  59/  59, tx:  735, lsn: 0/0155F2A8, prev 0/..., desc: ..." */
static void on_record(Run *run, const char *line)
{
    InspectData *data = run->data;
    unsigned record, total, high, low;
    const char *len = strstr(line, "len (rec/tot):"), *lsn = strstr(line, ", lsn: ");

    if (strncmp(line, "rmgr:", 5) != 0 || len == NULL || lsn == NULL ||
        sscanf(len, "len (rec/tot): %u/ %u", &record, &total) != 2 ||
        sscanf(lsn, ", lsn: %X/%X", &high, &low) != 2)
        return;
    data->record = (Lsn) high << 32 | low;
    data->record_len = total;
    data->record_switches = strncmp(line, "rmgr: XLOG ", 11) == 0 && strstr(line, "desc: SWITCH") != NULL;
}

static void dump(Run *run, Lsn from, const char *count, RunStep *then)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    char program[DATADIR_PATH_LEN + 32], wal[DATADIR_PATH_LEN + 32], start[LSN_TEXT_LEN], end[LSN_TEXT_LEN],
        timeline[16];
    InspectData *data = run->data;

    data->record = LSN_NONE;
    snprintf(program, sizeof program, "%s/pg_waldump", run->bin);
    snprintf(wal, sizeof wal, "%s/pg_wal", run->settings.data_directory);
    snprintf(timeline, sizeof timeline, "%u", (unsigned) run->request.timeline);
    lsn_format(from, start);
    /* Without an end pg_waldump waits five seconds for a segment that never comes. */
    lsn_format((data->range.last + 1) * run->control.wal_segment_size, end);
    const char *argv[] = {
        program, "-p", wal, "-t", timeline, "-s", start, "-e", end, count != NULL ? "-n" : NULL, count, NULL};
    run_exec(run, argv, env, WALDUMP_MS, false, on_record, then);
}

bool inspect_ran(const Run *run)
{
    return run->result != NULL && run->result->signal == 0 && !run->result->timed_out &&
           run->result->status < EXIT_NOT_RUN;
}

static bool dumped(Run *run)
{
    Err err = run->err;

    if (inspect_ran(run))
        return true; /* else it ends the run */
    if (run->result != NULL)
        exec_error(run->result, "pg_waldump", &err);
    run_end_failed(run, "it cannot be told where the WAL ends: %s", err.text);
    return false;
}

/* ---- The end of WAL ---- */

static void seek_end(Run *run);

static void on_end_dumped(Run *run)
{
    InspectData *data = run->data;
    uint32_t size = run->control.wal_segment_size;

    if (!dumped(run))
        return;
    if (data->record == LSN_NONE) {
        if (data->segment > data->range.first && data->range.last - data->segment < BACK_MAX) {
            data->segment--;
            seek_end(run);
            return;
        }
        run_end_failed(run, "it cannot be told where the WAL ends: pg_waldump finds no valid record in it");
        return;
    }
    data->end = wal_record_end(data->record, data->record_len, size);
    if (data->record_switches)
        data->end = (data->record / size + 1) * size;
    data->then(run);
}

/* Dumps the newest segments: their last valid record is the end. */
static void seek_end(Run *run)
{
    const InspectData *data = run->data;

    dump(run, data->segment * run->control.wal_segment_size, NULL, on_end_dumped);
}

static void on_fork_dumped(Run *run)
{
    InspectData *data = run->data;

    if (!dumped(run))
        return;
    data->past_fork = data->record != LSN_NONE && data->record >= run->request.fork;
    data->segment = data->range.last;
    seek_end(run);
}

static bool read_range(Run *run, Err *err)
{
    InspectData *data = run->data;
    uint32_t size = run->control.wal_segment_size;
    pid_t pid;

    if (proc_list_in(run->settings.data_directory, &pid, 1) > 0)
        return err_set(err, ERR_REFUSED, "the server runs");
    if (!wal_range(run->settings.data_directory, size, run->request.timeline, &data->range, err))
        return false;
    uint64_t fork = run->request.fork / size;
    data->has_fork = data->range.count > 0 && data->range.first <= fork && fork <= data->range.last;
    return true;
}

static void on_range(Run *run)
{
    InspectData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "cannot list the WAL");
    } else if (data->has_fork && run->request.fork != LSN_NONE) {
        dump(run, run->request.fork, "1", on_fork_dumped);
    } else if (data->range.count > 0) {
        data->segment = data->range.last;
        seek_end(run);
    } else {
        data->then(run);
    }
}

static void on_control(Run *run)
{
    if (run->ok)
        run_work(run, read_range, on_range);
    else
        run_end_error(run, "cannot read the control file");
}

void inspect_wal(Run *run, RunStep *then)
{
    InspectData *data = run->data != NULL ? run->data : run_alloc_data(run, sizeof *data);

    data->then = then;
    if (run_status(run)->postmaster != 0)
        run_end_failed(run, "the server runs");
    else if (run->request.timeline == 0)
        run_end_failed(run, "no timeline was named");
    else
        run_control(run, on_control);
}

/* ---- The action ---- */

/* Of a base backup that was never started the control file is still its source's. */
static bool was_primary(const Run *run)
{
    char label[DATADIR_PATH_LEN + 32];

    snprintf(label, sizeof label, "%s/backup_label", run->settings.data_directory);
    switch (run->control.state) {
    case CONTROL_SHUT_DOWN:
    case CONTROL_SHUTTING_DOWN:
    case CONTROL_IN_CRASH_RECOVERY:
    case CONTROL_IN_PRODUCTION: return !file_exists(label);
    case CONTROL_UNKNOWN:
    case CONTROL_STARTING_UP:
    case CONTROL_SHUT_DOWN_IN_RECOVERY:
    case CONTROL_IN_ARCHIVE_RECOVERY: break;
    }
    return false;
}

/* What a rewind, or a stream, brought along of the primary's: by epochs this member may have it. */
static bool is_theirs(const Run *run, uint32_t timeline)
{
    const InspectData *data = run->data;

    if (!run->outcome.fork_known || timeline > run->request.shared || run->request.shared == UINT32_MAX)
        return false;
    for (int i = 0; i < data->theirs_count; i++)
        if (data->theirs[i].timeline == timeline)
            return true;
    return false;
}

static void on_inspected(Run *run)
{
    const InspectData *data = run->data;
    const ControlData *control = &run->control;
    ActionOutcome *o = &run->outcome;
    const char *because = "";
    uint32_t size = control->wal_segment_size;
    uint64_t fork = run->request.fork / size;

    o->lsn = data->end;
    o->timeline =
        data->range.highest_timeline > control->timeline ? data->range.highest_timeline : control->timeline;
    o->diverged = data->past_fork;
    o->was_primary = was_primary(run);
    if (o->diverged)
        because = "a record starts behind the fork";
    if (control->timeline == run->request.timeline && control->checkpoint >= run->request.fork) {
        o->diverged = true;
        because = "its checkpoint is behind the fork";
    }
    if (control->min_recovery != LSN_NONE && control->min_recovery_timeline == run->request.timeline &&
        control->min_recovery > run->request.fork) {
        o->diverged = true;
        because = "it has replayed WAL behind the fork";
    }
    if (o->timeline > run->request.timeline && !is_theirs(run, o->timeline)) {
        o->diverged = true;
        because = "it has WAL of a later timeline";
    }
    if (o->fork_known && o->fork_timeline != run->request.timeline) {
        o->diverged = true;
        because = "it has WAL of a timeline that the primary does not have";
    }
    /* Without the fork's segment: all there is ends before it, or what was there is gone. */
    if (!data->has_fork && (data->range.count == 0 || data->range.first > fork))
        o->wal_missing = true;
    if (o->wal_missing && !o->diverged) {
        run_end_failed(run, "it cannot be told whether it diverged: the WAL at the fork is gone");
        return;
    }
    run_end_ok(run, "%s: %s%s%s", control_state_name(control->state),
               o->diverged ? "diverged" : "not diverged", because[0] != '\0' ? ", " : "", because);
}

static void on_fork(Run *run)
{
    inspect_wal(run, on_inspected);
}

void inspect_begin(Run *run)
{
    run_set_deadline(run, WALDUMP_MS);
    run_alloc_data(run, sizeof(InspectData));
    if (run->request.ask_fork && run->host[0] != '\0' && run_status(run)->postmaster == 0)
        fork_ask(run, on_fork);
    else
        on_fork(run);
}
