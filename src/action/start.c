/*
 * start.c: starting the server, as a standby or a primary, and restarting it.
 *
 * pg_ctl starts it, so that it outlives the agent. What it will be must be on disk before that: an old
 * primary always comes up as a standby (standby.signal first) unless it is told otherwise.
 */
#include "action/archive.h"
#include "action/command.h"
#include "action/complaint.h"
#include "action/restore.h"
#include "action/role.h"
#include "action/server.h"
#include "action/standbys.h"
#include "action/verify.h"
#include "pg/query.h"
#include "pg/timeline.h"
#include "pg/wal.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_LOOK_MS   10
#define START_APPEAR_MS 10000 /* after a start command ended well a postmaster has to be there */

static void on_prepared(Run *run);

/*
 * The socket's lock file that a killed server left behind. PostgreSQL takes it for a live one's as long as
 * its number can be signalled: when it is a zombie that nobody waits for, or somebody else's by now.
 */
static void drop_socket_lock(const Run *run)
{
    const char *directory = run->settings.data_directory;
    char path[DATADIR_PATH_LEN], line[DATADIR_PATH_LEN], theirs[PATH_MAX], ours[PATH_MAX];
    PidFile file;
    bool running;
    long pid = 0;

    if (!datadir_read_pidfile(directory, &file, &running, NULL) || running || file.pid <= 0 ||
        file.socket_directory[0] == '\0')
        return;
    snprintf(path, sizeof path, "%s/.s.PGSQL.%u.lock", file.socket_directory, (unsigned) file.port);
    FILE *lock = fopen(path, "re");
    if (lock == NULL)
        return;
    bool read = fgets(line, sizeof line, lock) != NULL && (pid = strtol(line, NULL, 10)) > 0 &&
                fgets(line, sizeof line, lock) != NULL;
    (void) fclose(lock);
    if (!read || pid != file.pid)
        return;
    line[strcspn(line, "\n")] = '\0';
    if (realpath(line, theirs) == NULL || realpath(directory, ours) == NULL || strcmp(theirs, ours) != 0)
        return;
    run_log_destructive(run, "what=lock_file path=%s process=%ld", path, pid);
    (void) unlink(path);
}

#define RAISED_SETTINGS 5

typedef char RaisedText[RAISED_SETTINGS][16];

/* The start command takes no options. */
static bool raises_by_files(const Run *run)
{
    return command_is_set(run, RUNS_START) && !command_has(run, RUNS_START, "options");
}

static void add_raised_settings(const ControlData *wal, RaisedText *text, RoleSettings *role)
{
    const struct {
        const char *name;
        unsigned value;
    } setting[RAISED_SETTINGS] = {
        {"max_connections", wal->max_connections},
        {"max_worker_processes", wal->max_worker_processes},
        {"max_wal_senders", wal->max_wal_senders},
        {"max_prepared_transactions", wal->max_prepared_transactions},
        {"max_locks_per_transaction", wal->max_locks_per_transaction},
    };

    for (size_t i = 0; i < RAISED_SETTINGS; i++) {
        snprintf((*text)[i], sizeof(*text)[i], "%u", setting[i].value);
        role_add(role, setting[i].name, (*text)[i]);
    }
}

/* Everything that has to be on disk before a server is started. */
static bool prepare_start(Run *run, Err *err)
{
    ServerData *data = run->server;
    const ActionSettings *s = &run->settings;
    uint32_t major;
    char path[DATADIR_PATH_LEN + 32];
    bool by_files = raises_by_files(run);
    Archive archive;
    RaisedText raised;
    RoleSettings role;
    struct stat st;

    if (!datadir_check_owner(s->data_directory, err) || !datadir_version(s->data_directory, &major, err) ||
        !query_supports(major * 10000u, err) || !run_find_bin(run, err) || !server_note(run, err))
        return false;
    if (data->postmaster != 0)
        return err_set(err, ERR_REFUSED, "it runs already (process %d)", (int) data->postmaster);
    if (server_has_leftovers(run) && !server_end_all(run, err))
        return false;
    str_copy(path, sizeof path, s->server_log);
    if (strrchr(path, '/') != NULL && strrchr(path, '/') != path) {
        *strrchr(path, '/') = '\0';
        if (!dir_make(path, 0700, err))
            return false;
    }
    data->log_begins = stat(s->server_log, &st) == 0 ? st.st_size : 0;
    drop_socket_lock(run);
    snprintf(path, sizeof path, "%s/postmaster.pid", s->data_directory);
    unlink(path); /* of a server that is gone: its number may belong to somebody else by now */
    if (!timeline_trim_claims(s->data_directory, data->segment_size, err) ||
        !datadir_set_standby(s->data_directory, data->standby, err))
        return false;
    role_settings(run, data->standby && !data->keep_upstream, &role);
    if (data->keep_upstream)
        role_keep_upstream(&role);
    role_add_fence(run, &role);
    if (data->raised && by_files)
        add_raised_settings(&run->control, &raised, &role);
    if (!archive_prepare(run, data->without_archive && by_files, &archive, &role, err) ||
        !autoconf_write(s->data_directory, role.setting, role.count, NULL, err))
        return false;
    archive_done(run, &archive);
    return true;
}

static void end_with_complaint(Run *run)
{
    const ServerData *data = run->server;

    if (command_is_set(run, RUNS_START) && data->complaint[0] == '\0') {
        run_end_failed(run, "the server did not start: %.160s%s", run->said,
                       run->spoke ? " (and no server appeared)" : "");
        return;
    }
    run_end_failed(run, "the server did not start: %s (see %s)",
                   data->complaint[0] != '\0' ? data->complaint : "its log says nothing",
                   data->log[0] != '\0' ? data->log : run->settings.server_log);
}

/*
 * A standby does not start with settings below those of the primary whose WAL it has, and raised on the
 * primary alone they would leave nobody who could take over. What the WAL asks for stands in the control
 * file.
 */
static void on_control_of_failed(Run *run)
{
    if (!run->ok) {
        end_with_complaint(run);
        return;
    }
    log_line(LOG_LEVEL_WARN, "start_raises",
             "id=%u complaint=\"%s\" text=\"once more, with what its WAL asks for\"",
             (unsigned) run->request.id, run->server->complaint);
    run->server->raised = true;
    run->server->postmaster = 0;
    run_work(run, prepare_start, on_prepared);
}

static void on_complaint(Run *run)
{
    const ServerData *data = run->server;
    /* Into the files they go only where it is sure that they are what is missing. */
    bool helps = !raises_by_files(run) || strstr(data->complaint, "insufficient parameter settings") != NULL;

    if (data->standby && !data->raised && helps)
        run_control(run, on_control_of_failed);
    else
        end_with_complaint(run);
}

static bool is_up(const Run *run, const PgStatus *status)
{
    const ServerData *data = run->server;

    return status->state == (data->standby ? SERVER_STANDBY : SERVER_PRIMARY);
}

static void on_up(Run *run)
{
    ServerData *data = run->server;

    if (run->request.names != NULL)
        standbys_note(run); /* written before the start: all of its processes began with them */
    if (data->then != NULL)
        data->then(run);
    else
        run_end_ok(run, "%s", status_state_name(run_status(run)->state));
}

/* pg_ctl 18 ends with 0 for a standby that ended while starting: it may have reached its recovery target. */
static void on_started(Run *run)
{
    const ServerData *data = run->server;

    if (run->ok && data->postmaster == 0)
        run_work(run, complaint_read, on_complaint);
    else
        run_settle(run, is_up, 5000, on_up);
}

static void on_pg_ctl(Run *run)
{
    ServerData *data = run->server;

    run->cleanup = NULL;
    if (data->hangs && !data->without_archive && !is_up(run, run_status(run))) {
        start_without_archive(run, data->then);
    } else if (is_up(run, run_status(run))) {
        on_up(run);
    } else if (run->result != NULL && run->result->status == 0) {
        run_work(run, server_note, on_started);
    } else if (run->result != NULL && run_status(run)->postmaster != 0) {
        run_end_failed(run, "the server is still starting after %lld ms",
                       (long long) run->settings.start_timeout_ms);
    } else {
        run_work(run, complaint_read, on_complaint);
    }
}

/* ---- By the user's command, which may return before the server is there ---- */

static void await_server(Run *run)
{
    ServerData *data = run->server;
    int64_t now_us = clock_now().raw_us;
    bool runs = run_status(run)->postmaster != 0;

    data->hangs = data->hangs || (runs && restore_hangs(run, 0, run->settings.restore_start_ms));
    data->appeared = data->appeared || runs;
    if (is_up(run, run_status(run))) {
        run->cleanup = NULL;
        on_up(run);
    } else if (data->hangs && !data->without_archive) {
        run->cleanup = NULL;
        start_without_archive(run, data->then);
    } else if (!runs && (data->appeared || now_us - data->done_us > START_APPEAR_MS * US_PER_MS)) {
        run->cleanup = NULL;
        run_work(run, complaint_read, on_complaint);
    } else if (now_us > data->until_us) {
        run->cleanup = NULL;
        run_end_failed(run, "the server is still starting after %lld ms",
                       (long long) run->settings.start_timeout_ms);
    } else {
        poll_now(run->actions->poll);
        run_sleep(run, START_LOOK_MS, await_server);
    }
}

/* A command that failed may have started it all the same: a service manager that does not wait for so long.
 */
static void on_start_command(Run *run)
{
    ServerData *data = run->server;

    data->done_us = clock_now().raw_us;
    if (!run->ok)
        data->appeared = true; /* it is not waited for: either it is there, or there is none */
    await_server(run);
}

static void watch_start_command(Run *run)
{
    ServerData *data = run->server;
    int64_t now_us = clock_now().raw_us;

    data->hangs = data->hangs || restore_hangs(run, 0, run->settings.restore_start_ms);
    data->appeared = data->appeared || run_status(run)->postmaster != 0;
    if (data->done_us == 0 && is_up(run, run_status(run)))
        data->done_us = now_us;
    if ((data->done_us != 0 && now_us - data->done_us > COMMAND_GRACE_MS * US_PER_MS) ||
        (data->hangs && !data->without_archive))
        exec_kill(run->exec);
    else if (data->done_us == 0)
        poll_now(run->actions->poll);
}

static void start_by_command(Run *run, const char *const *env, const char *options)
{
    ServerData *data = run->server;
    int64_t timeout_ms = run->settings.start_timeout_ms;

    data->until_us = clock_now().raw_us + timeout_ms * US_PER_MS;
    data->done_us = 0;
    data->appeared = false;
    command_run(run, RUNS_START, &(CommandValues){.options = options}, NULL, env, timeout_ms, true, NULL,
                on_start_command);
    if (run->exec != NULL)
        run_tick(run, START_LOOK_MS, watch_start_command);
}

/* While pg_ctl waits in steps of 100 ms, the poller may see the server earlier. */
static void watch_start(Run *run)
{
    ServerData *data = run->server;

    data->hangs = data->hangs || restore_hangs(run, 0, run->settings.restore_start_ms);
    if (is_up(run, run_status(run)) || (data->hangs && !data->without_archive))
        exec_kill(run->exec); /* on_pg_ctl follows */
    else
        poll_now(run->actions->poll);
}

/* A start that is broken off leaves a server that may yet appear. */
static void on_start_stopped(Run *run)
{
    run->actions->start_ended_ms = clock_now().raw_us / US_PER_MS;
    run_end_failed(run, "not started within its time");
}

/* For the shell that pg_ctl uses: in single quotes, those in it escaped. */
static void add_quoted(Buf *buf, const char *text)
{
    buf_puts(buf, "'");
    for (const char *p = text; *p != '\0'; p++)
        if (*p == '\'')
            buf_puts(buf, "'\\''");
        else
            buf_add(buf, p, 1);
    buf_puts(buf, "'");
}

static void add_raised(Buf *buf, const ControlData *wal)
{
    buf_printf(buf,
               " -c max_connections=%u -c max_worker_processes=%u -c max_wal_senders=%u"
               " -c max_prepared_transactions=%u -c max_locks_per_transaction=%u",
               (unsigned) wal->max_connections, (unsigned) wal->max_worker_processes,
               (unsigned) wal->max_wal_senders, (unsigned) wal->max_prepared_transactions,
               (unsigned) wal->max_locks_per_transaction);
}

static void on_prepared(Run *run)
{
    /* A server that talks to the agent's systemd would take the agent's place there. */
    static const char *const env[] = {"NOTIFY_SOCKET=", NULL};
    const ActionSettings *s = &run->settings;
    char program[DATADIR_PATH_LEN + 32], seconds[24];
    Buf options = {0};

    if (!run->ok) {
        run_end_error(run, "cannot start the server");
        return;
    }
    if (run->request.kind == ACTION_START_PRIMARY && !run_may_write(run)) {
        run_end_failed(run, "not started: %s", RUN_NO_LEASE);
        return;
    }
    snprintf(program, sizeof program, "%s/pg_ctl", run->bin);
    snprintf(seconds, sizeof seconds, "%lld", (long long) (s->start_timeout_ms + 999) / 1000);
    if (strcmp(s->config_directory, s->data_directory) != 0) {
        Buf file = {0};
        buf_printf(&file, "config_file=%s/postgresql.conf", s->config_directory);
        buf_puts(&options, "-c ");
        add_quoted(&options, file.data != NULL ? file.data : "");
        buf_done(&file);
    }
    if (run->server->without_archive)
        buf_puts(&options, " -c restore_command= -c recovery_end_command=");
    if (run->server->raised)
        add_raised(&options, &run->control);
    const char *argv[] = {program,
                          "-D",
                          s->data_directory,
                          "-l",
                          s->server_log,
                          "-s",
                          "-w",
                          "-t",
                          seconds,
                          options.len > 0 ? "-o" : "start",
                          options.len > 0 ? options.data : NULL,
                          "start",
                          NULL};
    run->cleanup = on_start_stopped;
    if (command_is_set(run, RUNS_START)) {
        start_by_command(run, env, options.data);
        buf_done(&options);
        return;
    }
    run_exec(run, argv, env, s->start_timeout_ms + 5000, true, NULL, on_pg_ctl);
    buf_done(&options);
    run_tick(run, START_LOOK_MS, watch_start);
}

static void start_server(Run *run)
{
    ServerData *data = server_data(run);

    const PgStatus *status = run_status(run);

    data->segment_size = status->wal_segment_size != 0 ? status->wal_segment_size : WAL_SEGMENT_SIZE_NORMAL;
    data->postmaster = 0;
    run_set_deadline(run, run->settings.start_timeout_ms + ACT_KILL_TIMEOUT_MS);
    run_work(run, prepare_start, on_prepared);
}

void start_standby(Run *run)
{
    server_data(run)->standby = true;
    start_server(run);
}

void start_primary(Run *run)
{
    start_server(run);
}

static void start_again(Run *run)
{
    ServerData *data = run->server;

    restore_end(run);
    data->then = data->after_restart;
    start_server(run);
}

void start_restart(Run *run, RunStep *then)
{
    ServerData *data = server_data(run);

    data->standby = true;
    data->keep_upstream = true;
    data->after_restart = then;
    data->then = start_again;
    server_stop(run);
}

void start_without_archive(Run *run, RunStep *then)
{
    ServerData *data = server_data(run);

    log_line(LOG_LEVEL_WARN, "restore_hangs",
             "id=%u text=\"restore_command does not end: the server is started again without an archive\"",
             (unsigned) run->request.id);
    if (run->request.kind == ACTION_PROMOTE)
        data->standby = data->keep_upstream = true;
    data->without_archive = true;
    data->after_restart = then;
    data->then = start_again;
    run_work(run, restore_note, server_stop);
}

static void restart_standby(Run *run)
{
    start_restart(run, NULL);
    run->server->keep_upstream = run->host[0] == '\0';
}

void start_restart_standby(Run *run)
{
    verify_start(run, restart_standby);
}
