/*
 * poll.c: when the local server is looked at, and what is known of it.
 *
 * Two modes. With a postmaster (a pidfd watches it) the connections in ask.c tell everything. Without one a
 * worker looks at the data directory each poll_interval, so that a server started by somebody else is found
 * too.
 */
#include "pg/poll.h"

#include "base/str.h"
#include "pg/internal.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HURRY_MS           20 /* while a server starts or its processes end */
#define HURRIES_MAX        500
#define WAL_LOOK_LEAST_MS  5000 /* between two listings of pg_wal for the oldest WAL */
#define WAL_LOOK_MOST_MS   60000
#define WAL_LOOK_MOVED_MS  1000 /* while a standby replays without streaming */
#define CONTROL_TIMEOUT_MS 10000

static void start_look(PgPoll *poll);

static int64_t now_ms(void)
{
    return clock_now().raw_us / US_PER_MS;
}

const PgStatus *poll_status(const PgPoll *poll)
{
    return &poll->status;
}

void poll_emit(PgPoll *poll)
{
    poll->next.responsive = poll->next.postmaster != 0 && poll->answered && poll->fresh_answered;
    poll->next.disk_stuck = poll->probe.stuck;
    poll->next.disk_full = poll->probe.full;
    poll->next.disk_size = poll->probe.disk_size;
    poll->next.disk_free = poll->probe.disk_free;
    poll->status = poll->next;
    poll->status.processes_left = poll->status.processes_left || poll_is_elsewhere(poll);
    if (poll->status.problem[0] == '\0')
        snprintf(poll->status.problem, sizeof poll->status.problem, "%.200s", poll->probe.err.text);
    poll->emitted_ms = now_ms();
    poll->on_status(poll->arg, &poll->status);
}

void poll_hurry(PgPoll *poll)
{
    int64_t after_ms = poll->hurries < HURRIES_MAX ? HURRY_MS : poll->poll_interval_ms;

    if (after_ms > poll->poll_interval_ms)
        after_ms = poll->poll_interval_ms;
    poll->hurries++;
    if (!loop_timer_is_running(&poll->hurry))
        loop_timer_start(&poll->hurry, after_ms * 1000, 0);
}

/* ---- The server that runs ---- */

/* Forgets what only a running server tells; what describes the cluster stays. */
static void forget_running(PgPoll *poll)
{
    PgStatus *s = &poll->next;

    s->connections_full = s->streaming = s->position_known = s->pending_restart = s->replay_paused = false;
    s->problem[0] = '\0';
    s->lsn = s->receive_lsn = s->replay_lsn = LSN_NONE;
    s->replay_lag_ms = -1, s->replayed_us = s->started_us = 0;
    s->standby_count = s->slot_count = 0;
    s->slots_complete = s->names_known = false;
    s->fence = (FenceState){0};
    s->postmaster = 0;
    poll->wal_known = false;
}

static void on_postmaster_exit(void *arg, pid_t pid)
{
    PgPoll *poll = arg;

    (void) pid;
    ask_stop(poll);
    probe_stop(&poll->probe);
    forget_running(poll);
    poll->next.state = SERVER_CRASHED; /* until the control file says otherwise */
    poll->next.processes_left = true;
    poll->control_stamp = 0;
    poll->hurries = 0;
    poll_want_look(poll, LOOK_DIRECTORY);
    poll->look_wanted |= poll->job != NULL ? LOOK_PROCESSES : 0;
}

static void take_pidfile(PgPoll *poll, const PidFile *file)
{
    PgStatus *s = &poll->next;

    poll->pidfile = *file;
    s->port = file->port;
    str_copy(s->socket_directory, sizeof s->socket_directory, file->socket_directory);
    s->shm_id = file->shm_id;
    s->shm_key = file->shm_key;
}

/* postmaster.pid names a live server that was not known. */
static void on_found(PgPoll *poll, const Look *look)
{
    const PidFile *file = &look->pidfile;

    if (!proc_watch_start(&poll->watch, poll->loop, file->pid, on_postmaster_exit, poll, NULL)) {
        poll_hurry(poll); /* gone again */
        return;
    }
    forget_running(poll);
    poll->next.state = SERVER_STARTING;
    poll->next.processes_left = false;
    poll->next.postmaster = file->pid;
    poll->next.place = look->place;
    poll->control_stamp = 0;
    poll->hurries = 0;
    take_pidfile(poll, file);
    ask_start(poll);
    probe_start(&poll->probe, poll->disk_timeout_ms);
}

/* Whether pg_wal must be listed before this row can be shown, or (*ret_soon) may be listed after it. */
static bool needs_wal(const PgPoll *poll, const QueryExtra *extra, bool *ret_soon)
{
    const PgStatus *s = &poll->next;
    uint32_t timeline = s->state == SERVER_PRIMARY ? s->timeline : extra->stream_timeline;
    int64_t age_ms = now_ms() - poll->wal_looked_ms;

    *ret_soon = (s->checkpoint_lsn != poll->wal_checkpoint && age_ms > WAL_LOOK_LEAST_MS) ||
                age_ms > WAL_LOOK_MOST_MS;
    if (!poll->wal_known)
        return true;
    if (timeline != 0)
        return timeline != poll->wal_timeline;
    return poll->wal_streaming || (s->lsn != poll->wal_lsn && age_ms > WAL_LOOK_MOVED_MS);
}

void poll_on_row(PgPoll *poll, const QueryExtra *extra)
{
    PgStatus *s = &poll->next;
    bool soon;

    poll->hurries = 0;
    if (s->state == SERVER_PRIMARY || extra->at_end || s->streaming)
        s->position_known = true;
    bool now = needs_wal(poll, extra, &soon);
    if (!now && extra->stream_timeline != 0)
        s->timeline = extra->stream_timeline;
    if (now || soon) {
        if (now)
            s->timeline_start = LSN_NONE; /* until it is read: it belongs to a timeline */
        poll->wal_timeline = s->state == SERVER_PRIMARY ? s->timeline : extra->stream_timeline;
        poll->wal_streaming = s->streaming;
        poll->wal_lsn = s->lsn;
        poll->wal_checkpoint = s->checkpoint_lsn;
        poll->wal_looked_ms = now_ms();
        poll_want_look(poll, LOOK_WAL);
    }
    poll->emit_after_look = poll->emit_after_look || now;
    if (!poll->emit_after_look)
        poll_emit(poll);
}

/* ---- The directory ---- */

static void on_control(void *arg, const ControlData *data, const Err *err)
{
    ControlJob *job = arg;
    PgPoll *poll = job->poll;

    free(job);
    if (poll == NULL)
        return;
    poll->control_job = NULL;
    if (poll->next.postmaster != 0)
        return;
    PgStatus *s = &poll->next;
    if (data == NULL) {
        snprintf(s->problem, sizeof s->problem, "%.200s", err->text);
        poll->control_stamp = 0; /* try again */
        poll_emit(poll);
        return;
    }
    poll->facts_known = true;
    s->system_identifier = data->system_identifier;
    s->control_state = data->state;
    s->checkpoint_lsn = data->checkpoint;
    s->checkpoint_timeline = data->timeline;
    s->data_checksums = data->checksums;
    s->wal_log_hints = data->wal_log_hints;
    s->can_rewind = data->checksums || data->wal_log_hints;
    s->wal_segment_size = data->wal_segment_size;
    poll->emit_after_look = true;
    poll_want_look(poll, LOOK_WAL);
}

/* What the directory says while nothing runs. Returns false if there is more to be known before it is shown.
 */
static bool fill_down(PgPoll *poll, const Look *look)
{
    PgStatus *s = &poll->next;

    str_copy(s->problem, sizeof s->problem, look->problem);
    if (!look->readable || look->kind == DATADIR_FOREIGN) {
        s->state = SERVER_UNKNOWN;
    } else if (look->kind == DATADIR_EMPTY) {
        s->state = SERVER_EMPTY;
    } else if (look->kind == DATADIR_PARTIAL) {
        s->state = SERVER_CRASHED;
    } else {
        s->state = control_is_clean(look->control_state) ? SERVER_STOPPED : SERVER_CRASHED;
        s->control_state = look->control_state;
        s->system_identifier = look->system_identifier;
        s->server_version = look->major * 10000u;
    }
    if (look->kind != DATADIR_CLUSTER || look->bin[0] == '\0' || look->problem[0] != '\0')
        return true;
    str_copy(poll->bin, sizeof poll->bin, look->bin);
    if (look->control_stamp == poll->control_stamp || poll->control_job != NULL)
        return poll->control_job == NULL || poll->facts_known;
    ControlJob *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    job->poll = poll;
    Err err = {0};
    if (!control_read(poll->loop, poll->bin, poll->data_directory, CONTROL_TIMEOUT_MS, on_control, job,
                      &err)) {
        free(job);
        snprintf(s->problem, sizeof s->problem, "%.200s", err.text);
        return true;
    }
    poll->control_job = job;
    poll->control_stamp = look->control_stamp;
    return poll->facts_known;
}

/* Too many connections at first sight: which role it is, the control file tells well enough. */
static void guess_state(PgPoll *poll, const Look *look)
{
    PgStatus *s = &poll->next;

    if (!s->connections_full || (s->state != SERVER_STARTING && s->state != SERVER_UNKNOWN))
        return;
    if (look->control_state == CONTROL_IN_PRODUCTION)
        s->state = SERVER_PRIMARY;
    else if (look->control_state == CONTROL_IN_ARCHIVE_RECOVERY)
        s->state = SERVER_STANDBY;
    s->system_identifier = look->system_identifier;
    s->server_version = look->major * 10000u;
}

/* Returns true if there is something to show. */
static bool on_directory(PgPoll *poll, const Look *look)
{
    if (poll->next.postmaster != 0) {
        if (look->pidfile.pid == poll->next.postmaster) {
            bool other = strcmp(poll->pidfile.socket_directory, look->pidfile.socket_directory) != 0;
            take_pidfile(poll, &look->pidfile);
            if (other && !conn_is_connected(poll->conn))
                poll_hurry(poll);
        }
        guess_state(poll, look);
        return false;
    }
    if (look->running) {
        on_found(poll, look);
        return false;
    }
    return fill_down(poll, look);
}

/* Returns true if there is something to show. A row of another timeline may have come meanwhile: then again.
 */
static bool on_wal(PgPoll *poll, const Look *look)
{
    if (poll->next.postmaster != 0 && look->known_timeline != poll->wal_timeline) {
        poll->look_wanted |= LOOK_WAL;
        return false;
    }
    bool awaited = poll->emit_after_look;
    poll->emit_after_look = false;
    poll->wal_known = look->wal_ok;
    if (!look->wal_ok)
        return awaited;
    poll->next.timeline = look->timeline;
    poll->next.timeline_start = look->timeline_start;
    poll->next.oldest_lsn = look->oldest;
    return awaited;
}

static void on_look(void *arg)
{
    LookJob *job = arg;
    PgPoll *poll = job->poll;
    const Look *look = &job->look;
    bool show = false;

    if (poll == NULL) {
        free(job);
        return;
    }
    poll->job = NULL;
    if ((look->what & LOOK_PROCESSES) != 0 && poll->next.postmaster == 0) {
        show = poll->next.processes_left != look->processes;
        poll->next.processes_left = look->processes;
        if (!look->processes)
            poll->next.place = (ProcPlace){0}; /* the number may become another directory's */
    }
    if ((look->what & LOOK_DIRECTORY) != 0 && poll->next.postmaster == 0)
        poll->next.looked_us = job->asked_us;
    if ((look->what & LOOK_DIRECTORY) != 0)
        show = on_directory(poll, look) || (show && poll->next.postmaster == 0 && poll->facts_known);
    show = ((look->what & LOOK_WAL) != 0 && on_wal(poll, look)) || show;
    if (poll->next.postmaster == 0 && poll->next.processes_left) {
        poll->look_wanted |= (look->what & LOOK_PROCESSES) == 0 ? LOOK_PROCESSES : 0;
        poll_hurry(poll);
    }
    free(job);
    if (poll->look_wanted != 0)
        start_look(poll);
    if (show)
        poll_emit(poll);
}

static void run_look(void *arg)
{
    LookJob *job = arg;

    look_run(&job->look);
}

static void start_look(PgPoll *poll)
{
    LookJob *job = calloc(1, sizeof *job);

    if (job == NULL)
        abort();
    job->poll = poll;
    job->asked_us = clock_now().boot_us;
    job->look = (Look){.what = poll->look_wanted,
                       .known_shm_id = poll->pidfile.pid != 0 ? poll->pidfile.shm_id : -1,
                       .known_shm_key = poll->pidfile.shm_key,
                       .known_place = poll->next.place,
                       .segment_size = poll->next.wal_segment_size,
                       .known_timeline = poll->next.postmaster != 0 ? poll->wal_timeline : 0,
                       .least_timeline = poll->next.checkpoint_timeline,
                       .lsn = poll->next.lsn};
    str_copy(job->look.data_directory, sizeof job->look.data_directory, poll->data_directory);
    str_copy(job->look.configured_bin, sizeof job->look.configured_bin, poll->configured_bin);
    poll->look_wanted = 0;
    poll->job = job;
    loop_work(poll->loop, run_look, on_look, job);
}

void poll_want_look(PgPoll *poll, unsigned what)
{
    poll->look_wanted |= what;
    if (poll->job == NULL)
        start_look(poll);
}

/* ---- Time and the public calls ---- */

static void ask_now(PgPoll *poll)
{
    if (poll->next.postmaster == 0) {
        poll_want_look(poll, LOOK_DIRECTORY | (poll->next.processes_left ? LOOK_PROCESSES : 0));
        return;
    }
    poll->wanted = true;
    ask_pump(poll);
}

static void on_tick(void *arg)
{
    PgPoll *poll = arg;

    if (poll->next.postmaster != 0 && poll->polling)
        return;
    if (poll->next.postmaster == 0 && poll->job != NULL)
        return;
    ask_now(poll);
}

static void on_defer(void *arg)
{
    PgPoll *poll = arg;

    if (poll->next.postmaster == 0 || !conn_is_connected(poll->conn))
        ask_fail_queue(poll);
}

static void on_probe(void *arg)
{
    poll_emit(arg);
}

static void on_fresh_time(void *arg)
{
    ask_fresh(arg);
}

void poll_now(PgPoll *poll)
{
    if (poll->next.postmaster == 0)
        poll_want_look(poll, LOOK_DIRECTORY | LOOK_PROCESSES | (poll->facts_known ? LOOK_WAL : 0u));
    else
        ask_now(poll);
}

void poll_set_elsewhere(PgPoll *poll, bool runs)
{
    if (poll->elsewhere == runs)
        return;
    poll->elsewhere = runs;
    poll->status.processes_left = poll->status.processes_left || poll_is_elsewhere(poll);
    poll_now(poll); /* shown with the next look */
}

bool poll_is_elsewhere(const PgPoll *poll)
{
    return poll->elsewhere && poll->status.postmaster == 0;
}

bool poll_is_connected(const PgPoll *poll)
{
    return conn_is_connected(poll->conn) && poll->prepared;
}

void poll_set_options(PgPoll *poll, const PollOptions *options)
{
    str_copy(poll->user, sizeof poll->user, options->user);
    str_copy(poll->database, sizeof poll->database, options->database);
    str_copy(poll->passfile, sizeof poll->passfile, options->passfile != NULL ? options->passfile : "");
    str_copy(poll->configured_bin, sizeof poll->configured_bin,
             options->bin_directory != NULL ? options->bin_directory : "");
    poll->poll_interval_ms = options->poll_interval_ms;
    poll->poll_timeout_ms = options->poll_timeout_ms;
    poll->fresh_interval_ms = options->fresh_interval_ms;
    poll->disk_timeout_ms = options->disk_timeout_ms;
    if (probe_is_running(&poll->probe))
        probe_start(&poll->probe, poll->disk_timeout_ms);
    loop_timer_start(&poll->tick, poll->poll_interval_ms * 1000, poll->poll_interval_ms * 1000);
    if (loop_timer_is_running(&poll->fresh_timer))
        loop_timer_start(&poll->fresh_timer, poll->fresh_interval_ms * 1000, poll->fresh_interval_ms * 1000);
}

PgPoll *poll_new(uv_loop_t *loop, const PollOptions *options, PollFn *on_status, void *arg)
{
    PgPoll *poll = calloc(1, sizeof *poll);

    if (poll == NULL)
        abort();
    poll->loop = loop;
    poll->on_status = on_status;
    poll->arg = arg;
    str_copy(poll->data_directory, sizeof poll->data_directory, options->data_directory);
    poll->conn = conn_new(loop);
    poll->fresh = conn_new(loop);
    loop_timer_init(&poll->tick, loop, on_tick, poll);
    loop_timer_init(&poll->hurry, loop, on_tick, poll);
    loop_timer_init(&poll->defer, loop, on_defer, poll);
    loop_timer_init(&poll->fresh_timer, loop, on_fresh_time, poll);
    probe_init(&poll->probe, loop, poll->data_directory, on_probe, poll);
    poll->next.replay_lag_ms = poll->status.replay_lag_ms = -1;
    poll->next.shm_id = poll->status.shm_id = -1;
    poll->fresh_answered = true;
    poll_set_options(poll, options);
    poll_want_look(poll, LOOK_DIRECTORY | LOOK_PROCESSES);
    return poll;
}

void poll_free(PgPoll *poll)
{
    if (poll == NULL)
        return;
    proc_watch_stop(&poll->watch);
    loop_timer_done(&poll->tick);
    loop_timer_done(&poll->hurry);
    loop_timer_done(&poll->defer);
    loop_timer_done(&poll->fresh_timer);
    probe_done(&poll->probe);
    conn_free(poll->conn);
    conn_free(poll->fresh);
    if (poll->job != NULL)
        poll->job->poll = NULL;
    if (poll->control_job != NULL)
        poll->control_job->poll = NULL;
    free(poll->sent.sql);
    for (size_t i = 0; i < poll->queued; i++)
        free(poll->queue[i].sql);
    free(poll);
}
