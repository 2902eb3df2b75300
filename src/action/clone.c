/*
 * clone.c: a fresh copy of the source, by pg_basebackup.
 *
 * Where it can be, the copy is made beside the data directory and put in its place by one rename when it is
 * complete: until then the old one is untouched. Otherwise (see choose_place) the old content goes first,
 * after the source was proved to answer. The member's own configuration files are kept.
 */
#include "action/command.h"
#include "action/keep.h"
#include "action/outside.h"
#include "action/role.h"
#include "action/upstream.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLONE_QUERY_MS 60000 /* sizes of databases take a while */
#define ORPHAN_MS      5000
#define CLONE_SPARE    ((uint64_t) 1 << 30) /* beside the databases: WAL and the like */

typedef struct CloneData {
    char source[DATADIR_PATH_LEN * 3];
    char directory[PATH_MAX];   /* the data directory, links resolved */
    char beside[PATH_MAX + 32]; /* the copy while it is made, then the old one */
    char old[PATH_MAX + 32];    /* the old one, where the two cannot be exchanged at once */
    char tablespaces[4096];     /* of the source, one in a line */
    bool same_machine;          /* as the source's */
    uint32_t major;
    Outside ours, plan; /* what the old one has outside of it, and where the copy will have it */
    char words[ACT_WORDS_LEN];
    uint64_t system_identifier, bytes;
    bool in_place, had_one;
    const char *why_in_place;
    char message[300];
} CloneData;

/* ---- Before the copy ---- */

/* Nothing may be replaced that is not this cluster's. */
static bool check_directory(Run *run, Err *err)
{
    CloneData *data = run->data;
    DatadirKind kind;
    ControlState state;
    uint64_t system_identifier;
    uint32_t version;
    pid_t pid;

    if (!datadir_check_owner(data->directory, err) || !datadir_kind(data->directory, &kind, err))
        return false;
    if (proc_list_in(data->directory, &pid, 1) > 0)
        return err_set(err, ERR_REFUSED, "the server runs");
    if (kind == DATADIR_FOREIGN)
        return err_set(err, ERR_REFUSED, "%.200s holds something that is no data directory: move it away",
                       data->directory);
    if (kind == DATADIR_CLUSTER &&
        datadir_read_control(data->directory, &state, &system_identifier, &version, NULL) &&
        system_identifier != data->system_identifier)
        return err_set(
            err, ERR_REFUSED,
            "%.150s belongs to another cluster (system identifier %llu, the source's is %llu): move it away",
            data->directory, (unsigned long long) system_identifier,
            (unsigned long long) data->system_identifier);
    data->had_one = kind != DATADIR_EMPTY;
    return true;
}

/* Beside the old one if that can be: same file system, room enough, a directory above that can be written. */
static void choose_place(const Run *run, CloneData *data)
{
    char parent[PATH_MAX];
    struct stat here, above;
    struct statvfs space;

    str_copy(parent, sizeof parent, data->directory);
    char *slash = strrchr(parent, '/');
    if (slash != NULL)
        slash[slash == parent ? 1 : 0] = '\0';
    if (!data->had_one)
        data->why_in_place = "it is empty";
    else if (command_is_set(run, RUNS_CLONE) && !command_has(run, RUNS_CLONE, "data_directory"))
        data->why_in_place = "the clone command names its directory itself";
    else if (data->ours.wal[0] != '\0' || data->plan.wal[0] != '\0')
        data->why_in_place = "pg_wal is a link";
    else if (data->ours.count > 0 || data->plan.count > 0)
        data->why_in_place = "there are tablespaces";
    else if (stat(data->directory, &here) != 0 || stat(parent, &above) != 0 || here.st_dev != above.st_dev)
        data->why_in_place = "it is a file system of its own";
    else if (access(parent, W_OK) != 0)
        data->why_in_place = "the directory above cannot be written";
    else if (statvfs(parent, &space) != 0 ||
             (uint64_t) space.f_bavail * space.f_frsize < data->bytes + data->bytes / 20 + CLONE_SPARE)
        data->why_in_place = "there is no room for two copies";
    data->in_place = data->why_in_place != NULL;
}

/*
 * pg_basebackup of an agent that was killed: it dies with its agent, but not the process that it has receive
 * WAL. That one would go on writing into what is made next.
 */
static bool end_orphans(const CloneData *data, Err *err)
{
    const char *into[] = {data->directory, data->beside};

    for (size_t i = 0; i < 2; i++)
        for (int waited_ms = 0; proc_signal_program("pg_basebackup", into[i], SIGKILL) > 0; waited_ms += 10) {
            if (waited_ms >= ORPHAN_MS)
                return err_set(err, ERR_TIMEOUT, "an old pg_basebackup into %.200s does not end", into[i]);
            usleep(10000);
        }
    return true;
}

/* What a broken-off clone left behind. */
static bool tidy_up(Run *run, Err *err)
{
    CloneData *data = run->data;

    if (file_exists(data->old) && !file_exists(data->directory) && rename(data->old, data->directory) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot rename %.200s back", data->old);
    const char *left[] = {data->beside, data->old};
    for (size_t i = 0; i < 2; i++) {
        if (!file_exists(left[i]))
            continue;
        run_log_destructive(run, "what=leftover_of_a_clone path=%s", left[i]);
        if (!file_remove_tree(left[i], err))
            return false;
    }
    return true;
}

static bool empty_in_place(Run *run, Err *err)
{
    CloneData *data = run->data;

    /* Before its links are gone. What a broken-off clone left there goes too. */
    if (!outside_empty(run, &data->ours, data->major, err))
        return false;
    if (!data->had_one)
        return true;
    run_log_destructive(run, "what=data_directory path=%s source=%s:%u in_place=\"%s\"", data->directory,
                        run->host, (unsigned) run->request.port, data->why_in_place);
    return file_empty_dir(data->directory, err);
}

/* Where what is outside goes; noted before anything is removed or made there. */
static bool plan_outside(Run *run, Err *err)
{
    CloneData *data = run->data;

    return outside_read(run, data->directory, &data->ours, err) &&
           outside_plan(run, data->tablespaces, data->same_machine, &data->ours, &data->plan, err) &&
           outside_check(&data->plan, &data->ours, data->major, err);
}

static bool prepare(Run *run, Err *err)
{
    CloneData *data = run->data;

    if (realpath(run->settings.data_directory, data->directory) == NULL)
        str_copy(data->directory, sizeof data->directory, run->settings.data_directory);
    snprintf(data->beside, sizeof data->beside, "%s.pgvigil-new", data->directory);
    snprintf(data->old, sizeof data->old, "%s.pgvigil-old", data->directory);
    if (!end_orphans(data, err) || !tidy_up(run, err) || !check_directory(run, err) ||
        !plan_outside(run, err) ||
        !programs_find(run->settings.bin_directory, data->directory, run->bin, sizeof run->bin, err))
        return false;
    if (data->plan.wal[0] != '\0' && command_is_set(run, RUNS_CLONE) &&
        !command_has(run, RUNS_CLONE, "options"))
        return err_set(
            err, ERR_REFUSED,
            "pg_wal is kept at %.150s, and [commands] clone does not have %%options%%, which says so to "
            "pg_basebackup",
            data->plan.wal);
    choose_place(run, data);
    upstream_add(run, data->source, sizeof data->source);
    if (!dir_make(run->settings.state_directory, 0700, err) || (data->had_one && !keep_save(run, err)) ||
        !outside_note(run, &data->plan, err))
        return false;
    return !data->in_place || empty_in_place(run, err);
}

/* ---- After the copy ---- */

/* The new one takes the old one's place in one step, or in two where the file system cannot exchange. */
static bool swap(CloneData *data, Err *err)
{
    if (renameat2(AT_FDCWD, data->beside, AT_FDCWD, data->directory, RENAME_EXCHANGE) == 0)
        return true;
    if (rename(data->directory, data->old) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot rename %.200s", data->directory);
    if (rename(data->beside, data->directory) != 0) {
        int cause = errno;
        if (rename(data->old, data->directory) != 0)
            return err_set_errno(err, ERR_IO, errno,
                                 "the data directory is now %.200s, and cannot be renamed back", data->old);
        return err_set_errno(err, ERR_IO, cause, "cannot rename %.200s", data->beside);
    }
    return rename(data->old, data->beside) == 0 ||
           err_set_errno(err, ERR_IO, errno, "cannot rename %.200s", data->old);
}

/* pg_basebackup would have said so; a command of somebody's may have copied to elsewhere, or nothing. */
static bool check_copy(const CloneData *data, const char *copy, Err *err)
{
    DatadirKind kind;
    ControlState state;
    uint64_t system_identifier;
    uint32_t version;

    if (!datadir_kind(copy, &kind, err))
        return false;
    if (kind != DATADIR_CLUSTER)
        return err_set(err, ERR_REFUSED, "the clone command ended with 0, but %.200s is no data directory",
                       copy);
    if (!datadir_read_control(copy, &state, &system_identifier, &version, err))
        return false;
    return system_identifier == data->system_identifier ||
           err_set(err, ERR_REFUSED,
                   "the clone command copied another cluster (system identifier %llu, not %llu)",
                   (unsigned long long) system_identifier, (unsigned long long) data->system_identifier);
}

static bool finish_copy(Run *run, Err *err)
{
    CloneData *data = run->data;
    const char *copy = data->in_place ? data->directory : data->beside;
    char parent[PATH_MAX];
    RoleSettings role;
    bool any;

    if (command_is_set(run, RUNS_CLONE) && !check_copy(data, copy, err))
        return false;
    if (!keep_restore(run, copy, &any, err))
        return false;
    role_settings(run, true, &role);
    if (!any)
        role_add_port(run, &role);
    if (!autoconf_write(copy, role.setting, role.count, NULL, err) || !datadir_set_standby(copy, true, err))
        return false;
    if (!data->in_place) {
        run_log_destructive(run, "what=data_directory path=%s source=%s:%u in_place=no", data->directory,
                            run->host, (unsigned) run->request.port);
        if (!swap(data, err))
            return false;
        str_copy(parent, sizeof parent, data->directory);
        char *slash = strrchr(parent, '/');
        if (slash != NULL && slash != parent)
            *slash = '\0';
        if (!file_sync(parent, err))
            return false;
    }
    return keep_discard(run, err) && outside_forget(run, err);
}

static bool remove_beside(Run *run, Err *err)
{
    CloneData *data = run->data;

    return data->in_place || file_remove_tree(data->beside, err);
}

static void on_old_removed(Run *run)
{
    if (run->ok)
        run_end_ok(run, "%s", "");
    else
        run_end_ok(run, "cloned, but the old data directory could not be removed: %.100s", run->err.text);
}

static void on_finished(Run *run)
{
    if (!run->ok) {
        run_end_error(run, "cannot finish the clone");
        return;
    }
    run->cleanup = NULL;
    run->cleaning = true; /* it is a standby now: what is left is to tidy up */
    run_work(run, remove_beside, on_old_removed);
}

/* ---- The copy ---- */

static void on_progress(Run *run, const char *line)
{
    const char *percent = strchr(line, '(');
    unsigned value;

    if (percent != NULL && sscanf(percent, "(%u%%)", &value) == 1)
        run->progress = (uint8_t) (value < 100 ? value : 100);
}

static void on_failed_removed(Run *run)
{
    const CloneData *data = run->data;

    run_end_failed(run, "%s", data->message[0] != '\0' ? data->message : "not done within its time");
}

static void fail(Run *run)
{
    run->cleanup = NULL;
    run->cleaning = true;
    run_work(run, remove_beside, on_failed_removed);
}

static void on_copied(Run *run)
{
    CloneData *data = run->data;
    Err err = run->err;

    if (run->ok) {
        run_work(run, finish_copy, on_finished);
        return;
    }
    str_copy(data->message, sizeof data->message, err.text);
    fail(run);
}

static void on_prepared(Run *run)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    CloneData *data = run->data;
    char program[DATADIR_PATH_LEN + 32], wal[PATH_MAX + 16];
    const char *argv[ACT_ARGS_MAX] = {program, "-D",        data->in_place ? data->directory : data->beside,
                                      "-X",    "stream",    "--progress",
                                      "-c",    "fast",      "-w",
                                      "-d",    data->source};
    size_t count = 11;

    if (!run->ok) {
        run_end_error(run, "cannot clone");
        return;
    }
    snprintf(program, sizeof program, "%s/pg_basebackup", run->bin);
    if (data->plan.wal[0] != '\0') {
        snprintf(wal, sizeof wal, "--waldir=%s", data->plan.wal);
        argv[count++] = wal;
    }
    str_copy(data->words, sizeof data->words, run->settings.clone_options);
    run_add_words(argv, count, ACT_ARGS_MAX, data->words);
    run->progress = 0;
    run->cleanup = fail;
    log_line(LOG_LEVEL_INFO, "clone_copies", "id=%u source=%s:%u into=%s megabytes=%llu",
             (unsigned) run->request.id, run->host, (unsigned) run->request.port,
             data->in_place ? data->directory : data->beside, (unsigned long long) (data->bytes >> 20));
    command_run(run, RUNS_CLONE,
                &(CommandValues){.directory = argv[2],
                                 .conninfo = data->source,
                                 .options = data->plan.wal[0] != '\0' ? wal : NULL},
                argv, env, run->settings.clone_timeout_ms, false, on_progress, on_copied);
}

/* ---- The source ---- */

#define SOURCE_QUERY                                                                                           \
    "SELECT system_identifier, (SELECT coalesce(sum(pg_database_size(oid)), 0) FROM pg_database),"             \
    " (SELECT string_agg(pg_tablespace_location(oid), chr(10)) FROM pg_tablespace"                             \
    "   WHERE pg_tablespace_location(oid) <> ''), inet_server_addr() IS NOT DISTINCT FROM inet_client_addr()," \
    " current_setting('server_version_num')::int / 10000 FROM pg_control_system()"

static void on_source(Run *run)
{
    CloneData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "cannot ask the source");
        return;
    }
    const PGresult *result = run->reply->result;
    data->system_identifier = strtoull(conn_value(result, 0), NULL, 10);
    data->bytes = strtoull(conn_value(result, 1), NULL, 10);
    data->same_machine = conn_value(result, 3)[0] == 't';
    data->major = (uint32_t) strtoul(conn_value(result, 4), NULL, 10);
    if (!str_copy(data->tablespaces, sizeof data->tablespaces, conn_value(result, 2))) {
        run_end_failed(run, "the source has too many tablespaces: clone it by hand");
        return;
    }
    conn_close(run->conn);
    run_work(run, prepare, on_prepared);
}

static void on_connected(Run *run)
{
    if (run->ok)
        run_query(run, SOURCE_QUERY, CLONE_QUERY_MS, on_source);
    else
        run_end_error(run, "cannot reach the source");
}

void clone_begin(Run *run)
{
    const ActionSettings *s = &run->settings;
    CloneData *data = run_alloc_data(run, sizeof *data);
    ConnTarget target = {.host = run->host,
                         .port = run->request.port,
                         .user = s->user,
                         .database = s->database,
                         .passfile = s->passfile};

    role_conninfo(run, s->replication_user, NULL, "pgvigil_clone", data->source, sizeof data->source);
    run_set_deadline(run, s->clone_timeout_ms);
    if (run_status(run)->postmaster != 0)
        run_end_failed(run, "the server runs");
    else if (run->host[0] == '\0')
        run_end_failed(run, "no source was named");
    else
        run_connect(run, &target, ACT_QUERY_MS * 5, on_connected);
}
