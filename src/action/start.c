/*
 * start.c: starting the server, as a standby or a primary, and restarting it.
 *
 * pg_ctl starts it, so that it outlives the agent. What it will be must be on disk before that: an old
 * primary always comes up as a standby (standby.signal first) unless it is told otherwise.
 */
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

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_LOOK_MS 10

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

/* Everything that has to be on disk before a server is started. */
static bool prepare_start(Run *run, Err *err)
{
    ServerData *data = run->server;
    const ActionSettings *s = &run->settings;
    uint32_t major;
    char path[DATADIR_PATH_LEN + 32];
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
    return autoconf_write(s->data_directory, role.setting, role.count, NULL, err);
}

/* The last line in text that says why the server ended; false, and *ret_line is left alone, if none does. */
static bool find_complaint(char *text, char *ret_line, size_t size)
{
    /* as in a log for people, in CSV, in JSON */
    static const char *const marks[] = {"FATAL:",
                                        "PANIC:",
                                        "ERROR:",
                                        "FATAL,",
                                        "PANIC,",
                                        "\"error_severity\":\"FATAL\"",
                                        "\"error_severity\":\"PANIC\""};
    bool found = false;

    for (char *line = text; line != NULL && *line != '\0';) {
        char *newline = strchr(line, '\n');
        if (newline != NULL)
            *newline = '\0';
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
            const char *mark = strstr(line, marks[i]);
            if (mark != NULL) {
                str_copy(ret_line, size, mark);
                found = true;
            }
        }
        line = newline != NULL ? newline + 1 : NULL;
    }
    return found;
}

/* Looks at the end of a log, from an offset on. */
static bool read_log(ServerData *data, const char *path, off_t from)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < from) /* another file by now */
        from = 0;
    if (end - from > SERVER_LOG_TAIL)
        from = end - SERVER_LOG_TAIL;
    ssize_t len = pread(fd, data->tail, SERVER_LOG_TAIL, from);
    close(fd);
    data->tail[len > 0 ? len : 0] = '\0';
    str_copy(data->log, sizeof data->log, path);
    return find_complaint(data->tail, data->complaint, sizeof data->complaint);
}

/* With logging_collector the server names its logs ("stderr log/name") from the moment that it writes to them
 * instead of to us. */
static void read_collected(Run *run)
{
    ServerData *data = run->server;
    const char *directory = run->settings.data_directory;
    char path[DATADIR_PATH_LEN * 2];
    Buf names = {0};

    snprintf(path, sizeof path, "%s/current_logfiles", directory);
    if (file_read(path, SERVER_LOG_TAIL, &names, NULL) && names.data != NULL) {
        for (char *line = names.data; *line != '\0';) {
            size_t len = strcspn(line, "\n");
            bool last = line[len] == '\0';
            line[len] = '\0';
            const char *name = strchr(line, ' ');
            if (name != NULL) {
                snprintf(path, sizeof path, "%s%s%s", name[1] == '/' ? "" : directory,
                         name[1] == '/' ? "" : "/", name + 1);
                if (read_log(data, path, 0))
                    break;
            }
            line += len + (last ? 0 : 1);
        }
    }
    buf_done(&names);
}

/* The last line in the server's log that says why it ended: first in what this start wrote. */
static bool read_complaint(Run *run, Err *err)
{
    ServerData *data = run->server;

    (void) err;
    data->complaint[0] = '\0';
    if (!read_log(data, run->settings.server_log, data->log_begins))
        read_collected(run);
    return true;
}

static void end_with_complaint(Run *run)
{
    const ServerData *data = run->server;

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

    if (data->standby && !data->raised)
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
        run_work(run, read_complaint, on_complaint);
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
        run_work(run, read_complaint, on_complaint);
    }
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
