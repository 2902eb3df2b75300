/*
 * clustermon_downgrade.c: a primary becomes a standby of another one: stop, save, rewind or copy, start.
 *
 * Two programs that decide at the same moment must not downgrade both primaries: each takes a lock on both
 * servers first, shared on the one that is kept, alone on its own, in the order of the file. Who is kept can
 * take the second of these no more, and so stays. What is discarded was saved, and before anything is removed
 * the primary is asked once more whether it is one.
 */
#include "front/clustermon.h"

#include "pg/datadir.h"
#include "pg/timeline.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_MS (5 * 60 * 1000LL)
#define OWED          "clone_owed"

/* One database for all, since such locks are of a database: everybody's configuration names another one. */
#define LOCK_DATABASE "postgres"
#define LOCK_KEYS     "1885828969, 1818" /* "pgvi", and a number of ours */
#define LOCK_SHARED   "SELECT NOT pg_is_in_recovery() AND pg_try_advisory_lock_shared(" LOCK_KEYS ")"
#define LOCK_ALONE    "SELECT pg_try_advisory_lock(" LOCK_KEYS ")"

typedef struct Files {
    ClustermonDowngrade *downgrade; /* NULL: given up */
    char directory[1024];
    uint32_t timeline, segment_size; /* of the primary; timeline 0: nothing is to be removed */
    Err err;
} Files;

struct ClustermonDowngrade {
    Clustermon *cm;
    ClustermonMove move;
    int primary;
    Conn *there, *here;
    ConnParam params[2][CONN_PARAMS_MAX];
    ClustermonSave *save;
    Files *files; /* a worker is at them */
    bool cloning;
    char owed[PATH_MAX];
};

static void begin_stop(ClustermonDowngrade *downgrade);
static void begin_clone(ClustermonDowngrade *downgrade);

static const char *primary_of(const ClustermonDowngrade *downgrade)
{
    return downgrade->cm->config->server[downgrade->primary].conninfo;
}

static void owed_path(const Clustermon *cm, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s." OWED, cm->config->state_directory, cm->config->cluster);
}

bool clustermon_downgrade_is_owed(const Clustermon *cm)
{
    char path[PATH_MAX];

    owed_path(cm, path, sizeof path);
    return file_exists(path);
}

void clustermon_downgrade_done(Clustermon *cm)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    if (downgrade == NULL)
        return;
    clustermon_save_free(downgrade->save);
    if (downgrade->files != NULL)
        downgrade->files->downgrade = NULL;
    conn_free(downgrade->there);
    conn_free(downgrade->here);
    free(downgrade);
    cm->downgrade = NULL;
}

static void end(ClustermonDowngrade *downgrade, const char *failed)
{
    Clustermon *cm = downgrade->cm;
    char text[300];

    str_copy(text, sizeof text, failed != NULL ? failed : "");
    clustermon_downgrade_done(cm);
    clustermon_act_end(cm, failed != NULL ? text : NULL);
}

static void end_by(ClustermonDowngrade *downgrade, const char *what, const ConnReply *reply)
{
    char text[300], reason[250];

    snprintf(text, sizeof text, "%.40s: %.240s", what,
             mask_text(&downgrade->cm->mask, reply->err.text, reason, sizeof reason));
    end(downgrade, text);
}

/* ---- locks ---- */

static bool got(const ConnReply *reply)
{
    return reply->ok && conn_value(reply->result, 0)[0] == 't';
}

static void on_locked_both(ClustermonDowngrade *downgrade)
{
    if (downgrade->move == CLUSTERMON_CLONE)
        begin_clone(downgrade);
    else
        begin_stop(downgrade);
}

/* Connects with all that the node's string says, but to the database that the locks are in. */
static void lock(ClustermonDowngrade *downgrade, Conn *conn, int node, ConnFn *on_connected)
{
    ConnTarget target = dsn_target(downgrade->cm->peer[node]->dsn, 0);
    ConnParam *params = downgrade->params[conn == downgrade->here];
    size_t count = 0;

    for (size_t i = 0; i < target.param_count; i++)
        if (strcmp(target.params[i].keyword, "dbname") != 0)
            params[count++] = target.params[i];
    target.params = params;
    target.param_count = count;
    target.database = LOCK_DATABASE;
    conn_connect(conn, &target, CLUSTERMON_POLL_MS, on_connected, downgrade);
}

static void lock_here(ClustermonDowngrade *downgrade);
static void lock_there(ClustermonDowngrade *downgrade);

static bool is_first(const ClustermonDowngrade *downgrade)
{
    return downgrade->cm->config->own < downgrade->primary;
}

static void on_here(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "lock on the local server", reply);
    else if (!got(reply))
        end(downgrade, "another node is becoming a standby of the local server");
    else if (is_first(downgrade))
        lock_there(downgrade);
    else
        on_locked_both(downgrade);
}

static void on_here_connected(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (reply->ok)
        conn_query(downgrade->here, LOCK_ALONE, CLUSTERMON_POLL_MS, on_here, downgrade);
    else
        on_here(downgrade, reply);
}

static void lock_here(ClustermonDowngrade *downgrade)
{
    lock(downgrade, downgrade->here, downgrade->cm->config->own, on_here_connected);
}

static void on_there(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "lock on the primary", reply);
    else if (!got(reply))
        end(downgrade, "the other server is becoming a standby itself, or is no primary any more");
    else if (downgrade->move == CLUSTERMON_DOWNGRADE && !is_first(downgrade))
        lock_here(downgrade);
    else
        on_locked_both(downgrade);
}

static void on_there_connected(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (reply->ok)
        conn_query(downgrade->there, LOCK_SHARED, CLUSTERMON_POLL_MS, on_there, downgrade);
    else
        on_there(downgrade, reply);
}

static void lock_there(ClustermonDowngrade *downgrade)
{
    lock(downgrade, downgrade->there, downgrade->primary, on_there_connected);
}

/* ---- stop, and what may be discarded then ---- */

static void on_saved(Clustermon *cm, const char *failed);

static void begin_save(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;

    if (cm->look.visible)
        downgrade->save = clustermon_save_begin(cm, downgrade->primary, on_saved);
    else
        on_saved(cm, NULL); /* discard_unsaved, or there would have been no downgrade */
}

/* The command's word is not enough: what still runs would go on writing into what is rewound. */
static void on_down_known(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;
    PidFile pidfile;
    bool runs = false;
    Err err = {0};

    (void) ok;
    (void) text;
    if (result == NULL || result->status < 0 || strstr(result->output, cm->config->db_success) != NULL)
        end(downgrade, "after cmd_stop_db the status command does not say that the server is down");
    else if (cm->look.visible &&
             (!datadir_read_pidfile(cm->config->data_path, &pidfile, &runs, &err) || runs))
        end(downgrade, "after cmd_stop_db a process of the server still runs");
    else if (downgrade->cloning)
        begin_clone(downgrade);
    else
        begin_save(downgrade);
}

static void on_stopped(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) ok; /* of a server that is down already it may fail: what counts is whether it runs */
    (void) text;
    (void) result;
    clustermon_command_run(cm, CLUSTERMON_CMD_STATUS, NULL, CLUSTERMON_ASK_MS, on_down_known);
}

static void begin_stop(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;

    if (downgrade->move == CLUSTERMON_REJOIN && !downgrade->cloning)
        begin_save(downgrade);
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_STOP, NULL, CLUSTERMON_STOP_MS, on_stopped);
}

/* ---- start, and whether it streams ---- */

/*
 * It belongs to the server's user, as all there does. And WAL of a later number than the primary's timeline,
 * which a rewind leaves, would be taken for what is to be followed.
 */
static void write_files(void *arg)
{
    Files *files = arg;
    char path[sizeof files->directory + 32];
    struct stat st;

    if (files->timeline != 0 &&
        !timeline_trim_later(files->directory, files->segment_size, files->timeline, &files->err))
        return;
    snprintf(path, sizeof path, "%s/standby.signal", files->directory);
    if (file_exists(path) || !datadir_set_standby(files->directory, true, &files->err))
        return;
    if (stat(files->directory, &st) == 0 && geteuid() == 0 && lchown(path, st.st_uid, st.st_gid) != 0)
        err_set(&files->err, ERR_IO, "cannot give %s to the server's user", path);
}

static bool streams(const Clustermon *cm)
{
    const ClustermonPeer *own = cm->peer[cm->config->own];

    return own->node.connected && own->node.in_recovery && strcmp(own->receiver, "streaming") == 0;
}

static void on_streams(Clustermon *cm, bool there)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    if (there) {
        end(downgrade, NULL);
    } else if (downgrade->cloning) {
        end(downgrade, "it was copied and started, and does not stream yet");
    } else {
        log_line(LOG_LEVEL_ERROR, "no_stream", "after the rewind it does not stream: the primary is copied");
        downgrade->cloning = true;
        begin_stop(downgrade);
    }
}

static void on_started(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) ok; /* whether it streams is looked at, whatever the command says */
    (void) text;
    (void) result;
    cm->peer[cm->config->own]->node.connected = false; /* what it said before it was stopped */
    clustermon_act_wait(cm, cm->config->check_us, streams, on_streams);
}

static void on_files(void *arg)
{
    Files *files = arg;
    ClustermonDowngrade *downgrade = files->downgrade;

    if (downgrade != NULL) {
        downgrade->files = NULL;
        if (files->err.code != ERR_NONE)
            end(downgrade, files->err.text);
        else
            clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS,
                                   on_started);
    }
    free(files);
}

static void start_standby(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;
    const ClustermonPeer *primary = cm->peer[downgrade->primary];

    if (!cm->look.visible) {
        clustermon_command_run(cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS, on_started);
        return;
    }
    Files *files = calloc(1, sizeof *files);
    if (files == NULL)
        abort();
    *files = (Files){.downgrade = downgrade,
                     .timeline = downgrade->cloning ? 0 : primary->node.timeline,
                     .segment_size = primary->segment_size};
    str_copy(files->directory, sizeof files->directory, cm->config->data_path);
    downgrade->files = files;
    loop_work(&cm->loop, write_files, on_files, files);
}

/* ---- rewind ---- */

/* Both on one timeline by number: pg_rewind compares nothing further, and leaves two histories as they are.
 */
static bool found_nothing(const ExecResult *result)
{
    return result != NULL && strstr(result->output, "no rewind required") != NULL &&
           strstr(result->output, "are on the same timeline") != NULL;
}

static void on_rewound(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    if (ok && !found_nothing(result)) {
        start_standby(downgrade);
        return;
    }
    log_line(LOG_LEVEL_WARN, "rewind_failed", "the primary is copied");
    (void) text;
    begin_clone(downgrade);
}

static void on_checkpointed(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "checkpoint on the primary", reply);
    else
        clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_REWIND, primary_of(downgrade),
                               CLUSTERMON_REWIND_MS, on_rewound);
}

/* Without a checkpoint since its promotion the primary would seem to be on its old timeline. */
static void on_saved(Clustermon *cm, const char *failed)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    clustermon_save_free(downgrade->save);
    downgrade->save = NULL;
    if (failed != NULL)
        end(downgrade, failed);
    else if (cm->config->command[CLUSTERMON_CMD_REWIND][0] == '\0')
        begin_clone(downgrade);
    else
        conn_query(downgrade->there, "CHECKPOINT", CHECKPOINT_MS, on_checkpointed, downgrade);
}

/* ---- copy ---- */

static void on_cloned(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;
    DatadirKind kind;
    Err err = {0};

    (void) result;
    if (!ok) {
        end(downgrade, text);
    } else if (cm->look.visible &&
               (!datadir_kind(cm->config->data_path, &kind, &err) || kind != DATADIR_CLUSTER)) {
        end(downgrade, "cmd_pg_basebackup_command ended well, and pg_data_path is no data directory");
    } else {
        unlink(downgrade->owed);
        cm->clone_owed = false;
        start_standby(downgrade);
    }
}

static void on_created(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    (void) result;
    if (ok)
        clustermon_command_run(cm, CLUSTERMON_CMD_CLONE, primary_of(downgrade), CLUSTERMON_CLONE_MS,
                               on_cloned);
    else
        end(downgrade, text);
}

static void on_removed(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    if (!ok)
        end(downgrade, text);
    else if (cm->config->command[CLUSTERMON_CMD_CREATE][0] == '\0')
        on_created(cm, true, "", result);
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_CREATE, NULL, CLUSTERMON_FOLDERS_MS, on_created);
}

/* From here on there is nothing to start until the copy is whole, also for a program that is started anew. */
static void on_still_primary(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;
    Clustermon *cm = downgrade->cm;
    Err err = {0};

    if (!reply->ok) {
        end_by(downgrade, "the primary", reply);
    } else if (!got(reply)) {
        end(downgrade, "the server that was to be copied is no primary any more: nothing was removed");
    } else if (!file_write_atomic(downgrade->owed, "", 0, 0600, &err)) {
        end(downgrade, err.text);
    } else {
        cm->clone_owed = true;
        if (cm->config->command[CLUSTERMON_CMD_REMOVE][0] == '\0')
            on_removed(cm, true, "", NULL);
        else
            clustermon_command_run(cm, CLUSTERMON_CMD_REMOVE, NULL, CLUSTERMON_FOLDERS_MS, on_removed);
    }
}

static void begin_clone(ClustermonDowngrade *downgrade)
{
    downgrade->cloning = true;
    if (downgrade->cm->config->command[CLUSTERMON_CMD_CLONE][0] == '\0')
        end(downgrade, "cmd_pg_basebackup_command is not set: the server stays down");
    else
        conn_query(downgrade->there, "SELECT NOT pg_is_in_recovery()", CLUSTERMON_POLL_MS, on_still_primary,
                   downgrade);
}

/* ---- begin ---- */

void clustermon_downgrade_begin(Clustermon *cm, ClustermonMove move, int primary)
{
    ClustermonDowngrade *downgrade = calloc(1, sizeof *downgrade);

    if (downgrade == NULL)
        abort();
    *downgrade = (ClustermonDowngrade){.cm = cm,
                                       .move = move,
                                       .primary = primary,
                                       .there = conn_new(&cm->loop),
                                       .here = conn_new(&cm->loop)};
    owed_path(cm, downgrade->owed, sizeof downgrade->owed);
    cm->downgrade = downgrade;
    clustermon_act_begin(cm, move == CLUSTERMON_CLONE    ? "copy the primary"
                             : move == CLUSTERMON_REJOIN ? "come back as a standby"
                                                         : "downgrade to a standby");
    if (move == CLUSTERMON_DOWNGRADE && is_first(downgrade))
        lock_here(downgrade);
    else
        lock_there(downgrade);
}
