/*
 * rewind.c: pg_rewind, and everything around it that makes its result a standby of this member.
 *
 * Four traps: right after its promotion a source without a checkpoint looks as if nothing had to be rewound;
 * a server that was not shut down in order has to recover first, alone and without standby.signal; the
 * source's configuration comes along; and WAL of a timeline above the source's stays.
 */
#include "action/command.h"
#include "action/keep.h"
#include "action/restore.h"
#include "action/role.h"
#include "action/server.h"
#include "action/upstream.h"
#include "pg/timeline.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REWIND_CONNECT_MS 10000
#define SETTLE_MS         3000

typedef struct RewindData {
    char source[DATADIR_PATH_LEN * 3];
    bool restore_command, restore_hangs;
    uint32_t major;
    uint32_t source_timeline;
    bool same_timeline; /* pg_rewind said so */
    bool not_needed;
    bool wal_missing;
    bool failed;
    char message[300];
} RewindData;

/* ---- Afterwards ---- */

static bool make_own_again(Run *run, Err *err)
{
    const char *directory = run->settings.data_directory;
    const RewindData *data = run->data;
    RoleSettings role;
    bool any;

    /* Its own WAL was of a later timeline, by number: that would be taken for what this server has. */
    if (!data->failed && !data->not_needed &&
        !timeline_trim_later(directory, run->control.wal_segment_size, data->source_timeline, err))
        return false;
    if (!keep_restore(run, directory, &any, err))
        return false;
    role_settings(run, true, &role);
    if (!any)
        role_add_port(run, &role);
    return autoconf_write(directory, role.setting, role.count, NULL, err) &&
           datadir_set_standby(directory, true, err) && keep_discard(run, err);
}

/* The control file is read anew, and no WAL of a later timeline is taken for what the server has. */
static bool is_seen(const Run *run, const PgStatus *status)
{
    const RewindData *data = run->data;

    return status->postmaster == 0 && status->checkpoint_timeline <= data->source_timeline &&
           status->timeline <= data->source_timeline;
}

static void end_settled(Run *run)
{
    run_end_ok(run, "%s", "");
}

static void on_own_again(Run *run)
{
    const RewindData *data = run->data;

    run->outcome.wal_missing = data->wal_missing;
    if (data->failed)
        run_end_failed(run, "%s", data->message);
    else if (!run->ok)
        run_end_error(run, "rewound, but its own settings could not be written");
    else if (data->not_needed || data->source_timeline == 0)
        run_end_ok(run, "%s", data->not_needed ? "no rewind was required" : "");
    else
        run_settle(run, is_seen, SETTLE_MS, end_settled);
}

/* Also after a failure: whatever starts this server must find a standby. */
static void finish(Run *run)
{
    run->cleanup = NULL;
    run->cleaning = true;
    run_work(run, make_own_again, on_own_again);
}

static void finish_failed(Run *run, const char *message)
{
    RewindData *data = run->data;

    data->failed = true;
    str_copy(data->message, sizeof data->message, message);
    finish(run);
}

static void on_stopped(Run *run)
{
    finish_failed(run, "not done within its time");
}

/* ---- pg_rewind ---- */

static void on_rewind_line(Run *run, const char *line)
{
    RewindData *data = run->data;
    const char *percent = strchr(line, '(');
    unsigned value;

    if (percent != NULL && sscanf(percent, "(%u%%)", &value) == 1 && value <= 100)
        run->progress = (uint8_t) value;
    data->same_timeline = data->same_timeline || strstr(line, "are on the same timeline") != NULL;
    data->not_needed = data->not_needed || strstr(line, "no rewind required") != NULL;
    data->wal_missing = data->wal_missing || strstr(line, "could not find previous WAL record") != NULL ||
                        strstr(line, "could not read WAL record") != NULL ||
                        (strstr(line, "could not open file") != NULL && strstr(line, "pg_wal/") != NULL);
}

static void on_rewound(Run *run)
{
    const RewindData *data = run->data;
    Err err = run->err;

    if (data->restore_hangs)
        finish_failed(run, "restore_command does not end");
    else if (!run->ok)
        finish_failed(run, err.text);
    else if (data->not_needed && data->same_timeline)
        finish_failed(run, "pg_rewind sees the same timeline number on both sides and nothing to rewind");
    else
        finish(run);
}

/* A clone needs no archive. */
static void watch_restore(Run *run)
{
    RewindData *data = run->data;

    if (!restore_hangs(run, exec_pid(run->exec), run->settings.restore_start_ms))
        return;
    data->restore_hangs = true;
    exec_kill(run->exec); /* and the command, which is of its session */
}

static void rewind_now(Run *run)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    const ActionSettings *s = &run->settings;
    RewindData *data = run->data;
    char program[DATADIR_PATH_LEN + 32], config[DATADIR_PATH_LEN + 64];
    const char *argv[ACT_ARGS_MAX] = {program,           "--target-pgdata", s->data_directory,
                                      "--source-server", data->source,      "--progress"};
    size_t count = 6;

    snprintf(program, sizeof program, "%s/pg_rewind", run->bin);
    bool elsewhere = strcmp(s->config_directory, s->data_directory) != 0;
    /* 12 has neither option; before 15 it looks for postgresql.conf in the data directory only, and fails. */
    if (data->restore_command && data->major >= (elsewhere ? 15 : 13)) {
        argv[count++] = "--restore-target-wal";
        snprintf(config, sizeof config, "--config-file=%s/postgresql.conf", s->config_directory);
        if (elsewhere)
            argv[count++] = config;
    }
    argv[count] = NULL;
    run_log_destructive(run, "what=wal_past_the_fork directory=%s source=%s:%u", s->data_directory, run->host,
                        (unsigned) run->request.port);
    command_run(run, RUNS_REWIND, &(CommandValues){.user = s->user, .conninfo = data->source}, argv, env,
                s->rewind_timeout_ms, false, on_rewind_line, on_rewound);
    /* A script's child is pg_rewind itself, as a rule: it must not be taken for the archive's command. */
    if (run->exec != NULL && !command_is_set(run, RUNS_REWIND))
        run_tick(run, RESTORE_LOOK_MS, watch_restore);
}

/* ---- Before it ---- */

static void on_recovered(Run *run)
{
    Err err = {0};

    if (run->result != NULL && run->result->status == 0) {
        rewind_now(run);
        return;
    }
    if (run->result != NULL)
        exec_error(run->result, "recovery before the rewind", &err);
    finish_failed(run, run->result != NULL ? err.text : run->err.text);
}

/* The value is printed last, as a line; before it there may be messages. */
static bool has_value(const ExecResult *result)
{
    return result != NULL && result->status == 0 && result->output_len >= 2 &&
           result->output[result->output_len - 2] != '\n';
}

static void on_command_known(Run *run)
{
    const ActionSettings *s = &run->settings;
    RewindData *data = run->data;
    char program[DATADIR_PATH_LEN + 32], config[DATADIR_PATH_LEN + 64];

    data->restore_command = has_value(run->result);
    if (control_is_clean(run->control.state)) {
        rewind_now(run);
        return;
    }
    snprintf(program, sizeof program, "%s/postgres", run->bin);
    snprintf(config, sizeof config, "config_file=%s/postgresql.conf", s->config_directory);
    const char *argv[] = {program,
                          "--single",
                          "-F",
                          "-D",
                          s->data_directory,
                          "-c",
                          config,
                          "-c",
                          "synchronous_standby_names=",
                          "template1",
                          NULL};
    log_line(LOG_LEVEL_INFO, "rewind_recovers",
             "id=%u text=\"it was not shut down in order: recovery first\"", (unsigned) run->request.id);
    run_exec(run, argv, NULL, s->start_timeout_ms, false, NULL, on_recovered);
}

/* The agent may never have seen this server run: its configuration tells what restore_command is. */
static void on_prepared(Run *run)
{
    const ActionSettings *s = &run->settings;
    char program[DATADIR_PATH_LEN + 32], config[DATADIR_PATH_LEN + 64];

    if (!run->ok) {
        run_end_error(run, "cannot prepare the rewind");
        return;
    }
    snprintf(program, sizeof program, "%s/postgres", run->bin);
    snprintf(config, sizeof config, "config_file=%s/postgresql.conf", s->config_directory);
    const char *argv[] = {program, "-D", s->data_directory, "-c", config, "-C", "restore_command", NULL};
    run_exec(run, argv, NULL, ACT_PROGRAM_MS, false, NULL, on_command_known);
}

static bool prepare(Run *run, Err *err)
{
    RewindData *data = run->data;
    const char *directory = run->settings.data_directory;
    char path[DATADIR_PATH_LEN + 32];
    pid_t pid;

    if (proc_list_in(directory, &pid, 1) > 0)
        return err_set(err, ERR_REFUSED, "the server runs");
    if (!datadir_version(directory, &data->major, err))
        return false;
    snprintf(path, sizeof path, "%s/postmaster.pid", directory);
    unlink(path);
    upstream_add(run, data->source, sizeof data->source);
    return dir_make(run->settings.state_directory, 0700, err) && keep_save(run, err) &&
           timeline_trim_claims(directory, run->control.wal_segment_size, err) &&
           datadir_set_standby(directory, false, err);
}

static void prepare_now(Run *run)
{
    conn_close(run->conn);
    run->cleanup = on_stopped;
    run_work(run, prepare, on_prepared);
}

static void on_checkpointed(Run *run)
{
    if (run->ok)
        prepare_now(run);
    else
        run_end_error(run, "checkpoint on the source");
}

#define SOURCE_QUERY                                                                                         \
    "SELECT pg_is_in_recovery(), system_identifier, timeline_id,"                                            \
    " CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"        \
    " FROM pg_control_system(), pg_control_checkpoint()"

static void on_source(Run *run)
{
    if (!run->ok) {
        run_end_error(run, "cannot ask the source");
        return;
    }
    const PGresult *result = run->reply->result;
    RewindData *data = run->data;
    data->source_timeline = (uint32_t) strtoul(conn_value(result, 3), NULL, 16);
    if (strcmp(conn_value(result, 0), "f") != 0)
        run_end_failed(run, "the source %s:%u is no primary", run->host, (unsigned) run->request.port);
    else if (strtoull(conn_value(result, 1), NULL, 10) != run->control.system_identifier)
        run_end_failed(run, "the source %s:%u belongs to another cluster (system identifier %s, not %llu)",
                       run->host, (unsigned) run->request.port, conn_value(result, 1),
                       (unsigned long long) run->control.system_identifier);
    else if (strtoul(conn_value(result, 2), NULL, 10) != strtoul(conn_value(result, 3), NULL, 16))
        run_query(run, "CHECKPOINT", run->settings.checkpoint_timeout_ms, on_checkpointed);
    else
        prepare_now(run);
}

static void on_connected(Run *run)
{
    if (run->ok)
        run_query(run, SOURCE_QUERY, REWIND_CONNECT_MS, on_source);
    else
        run_end_error(run, "cannot reach the source");
}

static void on_control(Run *run)
{
    const ActionSettings *s = &run->settings;
    ConnTarget target = {.host = run->host,
                         .port = run->request.port,
                         .user = s->user,
                         .database = s->database,
                         .passfile = s->passfile};

    if (!run->ok)
        run_end_error(run, "cannot read the control file");
    else
        run_connect(run, &target, REWIND_CONNECT_MS, on_connected);
}

void rewind_begin(Run *run)
{
    RewindData *data = run_alloc_data(run, sizeof *data);
    const ActionSettings *s = &run->settings;

    role_conninfo(run, s->user, s->database, "pgvigil_rewind", data->source, sizeof data->source);
    run_set_deadline(run, s->rewind_timeout_ms + s->checkpoint_timeout_ms + s->start_timeout_ms);
    if (run_status(run)->postmaster != 0)
        run_end_failed(run, "the server runs");
    else if (run->host[0] == '\0')
        run_end_failed(run, "no source was named");
    else
        run_control(run, on_control);
}
