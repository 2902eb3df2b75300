/*
 * server.c: stopping the server, reload, checkpoint.
 *
 * It has ended only when no process works in its data directory and nobody is attached to its shared memory:
 * orphans of a dead postmaster go on acknowledging commits.
 */
#include "action/server.h"
#include "action/command.h"
#include "action/role.h"
#include "action/verify.h"
#include "pg/autoconf.h"
#include "pg/wal.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KILL_AFTER_MS   100 /* SIGQUIT first, so that shared memory and the like are tidied up */
#define KILL_STEP_MS    2
#define STOP_LOOK_MS    50
#define START_SHADOW_MS 500 /* after a start was broken off a postmaster may yet appear */

ServerData *server_data(Run *run)
{
    if (run->server != NULL)
        return run->server;
    run->server = calloc(1, sizeof *run->server);
    if (run->server == NULL)
        abort();
    run->server->shm_id = -1;
    return run->server;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

bool server_has_leftovers(const Run *run)
{
    pid_t pid;

    return proc_list_in(run->settings.data_directory, &pid, 1) > 0 ||
           proc_signal_at(&run->server->place, 0) > 0 ||
           proc_memory_in_use(run->server->shm_id, run->server->shm_key);
}

/* ---- Ending every process ---- */

/* By its directory, and by where it was seen to work: that may be moved or removed by now. */
static size_t signal_all(const Run *run, int signal_number)
{
    return proc_signal_in(run->settings.data_directory, signal_number) +
           proc_signal_at(&run->server->place, signal_number);
}

/*
 * Blocks until nothing of the server is left: SIGQUIT to all at once, SIGKILL after KILL_AFTER_MS (which ends
 * stopped ones and orphans too), and again for what appears meanwhile.
 */
bool server_end_all(Run *run, Err *err)
{
    ServerData *data = run->server;
    const char *directory = run->settings.data_directory;
    Clock begun = clock_now();

    proc_signal(data->postmaster, directory, SIGQUIT); /* first: the list takes a while */
    if (signal_all(run, SIGQUIT) > 0)
        run_log_destructive(run, "what=processes directory=%s", directory);
    for (int64_t age_ms = 0, next_kill_ms = KILL_AFTER_MS; age_ms < ACT_KILL_TIMEOUT_MS;) {
        if (!server_has_leftovers(run) && (!data->shadow || age_ms >= START_SHADOW_MS))
            return true;
        sleep_ms(KILL_STEP_MS);
        Clock now = clock_now();
        age_ms = clock_elapsed_least(&begun, &now) / US_PER_MS;
        if (age_ms >= next_kill_ms) {
            signal_all(run, SIGKILL);
            next_kill_ms = age_ms + 20;
        }
    }
    return err_set(err, ERR_TIMEOUT,
                   "processes still work in %s, or are attached to its memory, %d ms after SIGKILL",
                   directory, ACT_KILL_TIMEOUT_MS);
}

/* Notes which server it is, while postmaster.pid is there to tell. */
bool server_note(Run *run, Err *err)
{
    ServerData *data = run->server;
    PidFile file;
    bool running;

    if (!datadir_read_pidfile(run->settings.data_directory, &file, &running, err))
        return false;
    if (file.shm_id >= 0) {
        data->shm_id = file.shm_id;
        data->shm_key = file.shm_key;
    }
    if (running)
        data->postmaster = file.pid;
    return true;
}

static bool note_and_end_all(Run *run, Err *err)
{
    server_note(run, NULL);
    return server_end_all(run, err);
}

static bool is_down(const Run *run, const PgStatus *status)
{
    (void) run;
    return status->postmaster == 0 && !status->processes_left;
}

/* The poller's pidfd knows its postmaster whatever became of the directory. */
static void on_all_seen_gone(Run *run)
{
    pid_t postmaster = run_status(run)->postmaster;

    if (postmaster != 0 && postmaster == run->server->postmaster && proc_is_alive(postmaster))
        run_end_failed(run, "process %ld, which is the server's, still runs", (long) postmaster);
    else
        run_end_ok(run, "%s", "");
}

static void on_all_ended(Run *run)
{
    if (!run->ok)
        run_end_error(run, "cannot end the server");
    else
        run_settle(run, is_down, 300, on_all_seen_gone);
}

/* What the poller knows: the files that tell may be gone. */
static void take_known(Run *run)
{
    ServerData *data = server_data(run);
    const PgStatus *status = run_status(run);

    data->postmaster = status->postmaster;
    data->place = status->place;
    data->shm_id = status->shm_id;
    data->shm_key = status->shm_key;
}

void server_stop_immediate(Run *run)
{
    ServerData *data = server_data(run);

    take_known(run);
    data->shadow = run->actions->start_ended_ms != 0 &&
                   clock_now().raw_us / US_PER_MS - run->actions->start_ended_ms < START_SHADOW_MS;
    run->actions->start_ended_ms = 0;
    run_work(run, note_and_end_all, on_all_ended);
}

/* ---- Stopping in order ---- */

static void on_stop_seen(Run *run)
{
    run_end_ok(run, "%s", control_state_name(run->control.state));
}

static void on_waldump_line(Run *run, const char *line)
{
    ServerData *data = run->server;
    const char *len = strstr(line, "len (rec/tot):");
    unsigned record, total;

    if (len != NULL && sscanf(len, "len (rec/tot): %u/ %u", &record, &total) == 2)
        data->checkpoint_len = total;
}

static void on_checkpoint_dumped(Run *run)
{
    const ServerData *data = run->server;
    Err err = run->err;

    if (data->checkpoint_len > 0) {
        run->outcome.lsn =
            wal_record_end(run->control.checkpoint, data->checkpoint_len, run->control.wal_segment_size);
    } else {
        if (run->result != NULL)
            exec_error(run->result, "pg_waldump", &err);
        log_line(LOG_LEVEL_WARN, "checkpoint_not_found", "id=%u reason=\"%s\"", (unsigned) run->request.id,
                 err.text);
    }
    run_settle(run, is_down, 300, on_stop_seen);
}

static void on_stop_control(Run *run)
{
    char program[DATADIR_PATH_LEN + 32], wal[DATADIR_PATH_LEN + 32], start[LSN_TEXT_LEN], timeline[16];

    if (!run->ok) {
        run_end_error(run, "stopped, but its control file cannot be read");
        return;
    }
    run->outcome.timeline = run->control.timeline;
    if (run->control.state != CONTROL_SHUT_DOWN) {
        run_settle(run, is_down, 300, on_stop_seen);
        return;
    }
    /* Where the shutdown checkpoint ends: that is what a successor must have. */
    snprintf(program, sizeof program, "%s/pg_waldump", run->bin);
    snprintf(wal, sizeof wal, "%s/pg_wal", run->settings.data_directory);
    snprintf(timeline, sizeof timeline, "%u", (unsigned) run->control.timeline);
    lsn_format(run->control.checkpoint, start);
    const char *argv[] = {program, "-p", wal, "-t", timeline, "-s", start, "-n", "1", NULL};
    run_exec(run, argv, NULL, ACT_PROGRAM_MS, false, on_waldump_line, on_checkpoint_dumped);
}

/* All processes are gone, in order or not. */
static void on_stopped(Run *run)
{
    ServerData *data = run->server;

    if (!run->ok)
        run_end_error(run, "cannot end the server");
    else if (data->then != NULL)
        data->then(run);
    else
        run_control(run, on_stop_control);
}

static void on_postmaster_gone(Run *run)
{
    if (!run->gone)
        log_line(LOG_LEVEL_WARN, "stop_escalates",
                 "id=%u text=\"no end within %lld ms, stopping it immediately\"", (unsigned) run->request.id,
                 (long long) run->settings.stop_timeout_ms);
    run_work(run, server_end_all, on_stopped);
}

/* ---- By the user's command ---- */

static int64_t left_ms(const Run *run)
{
    int64_t left_us = run->server->until_us - clock_now().raw_us;

    return left_us > 0 ? left_us / US_PER_MS : 0;
}

/* Whether it said so or not, it is the processes that count. */
static void on_stop_command(Run *run)
{
    ServerData *data = run->server;
    bool hangs = run->result != NULL && run->result->timed_out;

    if (!run->ok && !hangs && proc_signal(data->postmaster, run->settings.data_directory, SIGINT))
        log_line(LOG_LEVEL_WARN, "stop_command_failed", "id=%u text=\"the server is told to stop by SIGINT\"",
                 (unsigned) run->request.id);
    run_wait_exit(run, data->postmaster, left_ms(run), on_postmaster_gone);
}

/* A command that does not end when the server has would take all of stop_timeout. */
static void watch_stop(Run *run)
{
    ServerData *data = run->server;
    int64_t now_us = clock_now().raw_us;

    if (data->done_us == 0 && !proc_is_alive(data->postmaster))
        data->done_us = now_us;
    if (data->done_us != 0 && now_us - data->done_us > COMMAND_GRACE_MS * US_PER_MS)
        exec_kill(run->exec);
}

static void stop_by_command(Run *run)
{
    ServerData *data = run->server;

    data->until_us = clock_now().raw_us + run->settings.stop_timeout_ms * US_PER_MS;
    data->done_us = 0;
    command_run(run, RUNS_STOP, &(CommandValues){0}, NULL, NULL, run->settings.stop_timeout_ms, false, NULL,
                on_stop_command);
    if (run->exec != NULL)
        run_tick(run, STOP_LOOK_MS, watch_stop);
}

static void on_noted(Run *run)
{
    ServerData *data = run->server;

    if (command_is_set(run, RUNS_STOP) && proc_serves(data->postmaster, run->settings.data_directory)) {
        stop_by_command(run);
        return;
    }
    if (!proc_signal(data->postmaster, run->settings.data_directory, SIGINT)) {
        run_work(run, server_end_all, on_stopped); /* nothing runs, but something may be left of it */
        return;
    }
    run_wait_exit(run, data->postmaster, run->settings.stop_timeout_ms, on_postmaster_gone);
}

void server_stop(Run *run)
{
    take_known(run);
    run_set_deadline(run,
                     run->settings.stop_timeout_ms + ACT_KILL_TIMEOUT_MS + run->settings.start_timeout_ms);
    run_work(run, server_note, on_noted);
}

void server_stop_fast(Run *run)
{
    if (run->request.asked)
        verify_start(run, server_stop);
    else
        server_stop(run);
}

/* ---- Reload, checkpoint ---- */

static bool write_own(Run *run, Err *err)
{
    RoleSettings role;

    role_settings(run, false, &role);
    role_keep_upstream(&role);
    return autoconf_write(run->settings.data_directory, role.setting, role.count, NULL, err);
}

static void on_files_read(Run *run)
{
    const ServerData *data = run->server;

    if (data->complaint[0] != '\0')
        run_end_failed(run, "the server keeps what it had: %s", data->complaint);
    else
        run_end_ok(run, "%s", "");
}

static void on_reload_command(Run *run)
{
    if (!run->ok)
        run_end_error(run, "not reloaded");
    else if (run->request.asked)
        verify_files(run, on_files_read);
    else
        run_end_ok(run, "%s", "");
}

static void on_own_written(Run *run)
{
    if (!run->ok)
        run_end_error(run, "cannot write the server's settings");
    else if (command_is_set(run, RUNS_RELOAD))
        command_run(run, RUNS_RELOAD, &(CommandValues){0}, NULL, NULL, ACT_PROGRAM_MS, false, NULL,
                    on_reload_command);
    else if (!run_signal(run_status(run)->postmaster, SIGHUP))
        run_end_failed(run, "the server does not run");
    else if (run->request.asked)
        verify_files(run, on_files_read);
    else
        run_end_ok(run, "%s", "");
}

void server_reload(Run *run)
{
    run_set_deadline(run, 2 * ACT_PROGRAM_MS);
    run_work(run, write_own, on_own_written);
}

static void on_checkpointed(Run *run)
{
    if (run->ok)
        run_end_ok(run, "%s", "");
    else
        run_end_error(run, "checkpoint");
}

static void on_connected_for_checkpoint(Run *run)
{
    if (run->ok)
        run_query(run, "CHECKPOINT", run->settings.checkpoint_timeout_ms, on_checkpointed);
    else
        run_end_error(run, "checkpoint");
}

ConnTarget server_target(const Run *run)
{
    const PgStatus *status = run_status(run);
    const ActionSettings *s = &run->settings;

    return (ConnTarget){.host = status->socket_directory[0] != '\0' ? status->socket_directory : "127.0.0.1",
                        .port = status->port,
                        .user = s->user,
                        .database = s->database,
                        .passfile = s->passfile};
}

void server_checkpoint(Run *run)
{
    const ActionSettings *s = &run->settings;
    ConnTarget target = server_target(run);

    run_set_deadline(run, s->checkpoint_timeout_ms + ACT_QUERY_MS);
    if (run_status(run)->postmaster == 0)
        run_end_failed(run, "the server does not run");
    else
        run_connect(run, &target, ACT_QUERY_MS, on_connected_for_checkpoint);
}
