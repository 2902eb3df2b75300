/*
 * clustermon_downgrade.c: a primary becomes a standby of another one: stop, save, rewind or copy, start.
 *
 * Behind the locks of clustermon_lock.c. What is discarded was saved, and before anything is removed the
 * primary is asked once more whether it is one.
 */
#include "front/clustermon.h"

#include "pg/datadir.h"
#include "pg/timeline.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_MS (5 * 60 * 1000LL)
#define OWED          "clone_owed"

/* What is done to files, by a worker, and what comes after it. */
typedef struct Files {
    ClustermonDowngrade *downgrade; /* NULL: given up */
    bool (*work)(struct Files *files, Err *err);
    void (*next)(ClustermonDowngrade *downgrade);
    char directory[1024], owed[PATH_MAX];
    bool visible, rewound;
    uint32_t timeline, segment_size; /* of the primary */
    Err err;
} Files;

struct ClustermonDowngrade {
    Clustermon *cm;
    ClustermonMove move;
    int primary;
    ClustermonLock *lock;
    ClustermonSave *save;
    Files *files; /* a worker is at them */
    bool visible; /* the data directory can be read from here */
    bool cloning;
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
    clustermon_lock_free(downgrade->lock);
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

static void on_locked(Clustermon *cm, const char *failed)
{
    if (failed != NULL)
        end(cm->downgrade, failed);
    else if (cm->downgrade->move == CLUSTERMON_CLONE)
        begin_clone(cm->downgrade);
    else
        begin_stop(cm->downgrade);
}

/* ---- files ---- */

static void work_at_files(void *arg)
{
    Files *files = arg;
    Err err = {0}; /* a file that is not there can leave a text in it and is no failure */

    if (!files->work(files, &err))
        files->err = err;
}

static void on_files(void *arg)
{
    Files *files = arg;
    ClustermonDowngrade *downgrade = files->downgrade;

    if (downgrade != NULL) {
        downgrade->files = NULL;
        downgrade->visible = files->visible;
        if (files->err.code != ERR_NONE)
            end(downgrade, files->err.text);
        else
            files->next(downgrade);
    }
    free(files);
}

static void run_files(ClustermonDowngrade *downgrade, bool (*work)(Files *files, Err *err),
                      void (*next)(ClustermonDowngrade *downgrade))
{
    Clustermon *cm = downgrade->cm;
    const ClustermonPeer *primary = cm->peer[downgrade->primary];
    Files *files = calloc(1, sizeof *files);

    if (files == NULL)
        abort();
    *files = (Files){.downgrade = downgrade,
                     .work = work,
                     .next = next,
                     .visible = downgrade->visible,
                     .rewound = !downgrade->cloning,
                     .timeline = primary->node.timeline,
                     .segment_size = primary->segment_size};
    str_copy(files->directory, sizeof files->directory, cm->config->data_path);
    owed_path(cm, files->owed, sizeof files->owed);
    downgrade->files = files;
    loop_work(&cm->loop, work_at_files, on_files, files);
}

/* ---- stop, and what may be discarded then ---- */

static void on_saved(Clustermon *cm, const char *failed);

static void begin_save(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;

    if (downgrade->visible)
        downgrade->save = clustermon_save_begin(cm, downgrade->primary, on_saved);
    else
        on_saved(cm, NULL); /* discard_unsaved, or there would have been no downgrade */
}

static void on_no_process(ClustermonDowngrade *downgrade)
{
    if (downgrade->cloning)
        begin_clone(downgrade);
    else
        begin_save(downgrade);
}

static bool is_no_process_left(Files *files, Err *err)
{
    PidFile pidfile;
    bool runs = false;

    if (!files->visible)
        return true;
    return datadir_read_pidfile(files->directory, &pidfile, &runs, err) &&
           (!runs ||
            err_set(err, ERR_PG, "after cmd_stop_db the server still runs (process %d)", (int) pidfile.pid));
}

/* The command's word is not enough: what still runs would go on writing into what is rewound. */
static void on_down_known(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) ok;
    (void) text;
    if (result == NULL || result->status < 0 || strstr(result->output, cm->config->db_success) != NULL)
        end(cm->downgrade, "after cmd_stop_db the status command does not say that the server is down");
    else
        run_files(cm->downgrade, is_no_process_left, on_no_process);
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
    if (downgrade->move == CLUSTERMON_REJOIN && !downgrade->cloning)
        begin_save(downgrade);
    else
        clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_STOP, NULL, CLUSTERMON_STOP_MS, on_stopped);
}

/* ---- start, and whether it streams ---- */

/*
 * Ready to be started. standby.signal belongs to the server's user, as all there does. WAL of a later number
 * than the primary's timeline, which a rewind leaves, would be taken for what is to be followed.
 */
static bool make_ready(Files *files, Err *err)
{
    char path[sizeof files->directory + 32];
    struct stat st;

    if (!files->visible)
        return unlink(files->owed) == 0 || errno == ENOENT ||
               err_set_errno(err, ERR_IO, errno, "cannot remove %s", files->owed);
    if (files->rewound && !timeline_trim_later(files->directory, files->segment_size, files->timeline, err))
        return false;
    snprintf(path, sizeof path, "%s/standby.signal", files->directory);
    if (!file_exists(path)) {
        if (!datadir_set_standby(files->directory, true, err))
            return false;
        if (stat(files->directory, &st) == 0 && geteuid() == 0 && lchown(path, st.st_uid, st.st_gid) != 0)
            return err_set_errno(err, ERR_IO, errno, "cannot give %s to the server's user", path);
    }
    return unlink(files->owed) == 0 || errno == ENOENT ||
           err_set_errno(err, ERR_IO, errno, "cannot remove %s", files->owed);
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

static void on_ready(ClustermonDowngrade *downgrade)
{
    downgrade->cm->clone_owed = false;
    clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS, on_started);
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
    (void) text;
    if (ok && !found_nothing(result)) {
        run_files(cm->downgrade, make_ready, on_ready);
        return;
    }
    log_line(LOG_LEVEL_WARN, "rewind_failed", "the primary is copied");
    begin_clone(cm->downgrade);
}

/* From here on the data directory is not whole until something has come to its end. */
static bool mark_owed(Files *files, Err *err)
{
    return file_write_atomic(files->owed, "", 0, 0600, err);
}

static void on_marked_to_rewind(ClustermonDowngrade *downgrade)
{
    downgrade->cm->clone_owed = true;
    clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_REWIND, primary_of(downgrade), CLUSTERMON_REWIND_MS,
                           on_rewound);
}

static void on_checkpointed(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "checkpoint on the primary", reply);
    else
        run_files(downgrade, mark_owed, on_marked_to_rewind);
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
        conn_query(clustermon_lock_conn(downgrade->lock), "CHECKPOINT", CHECKPOINT_MS, on_checkpointed,
                   downgrade);
}

/* ---- copy ---- */

static bool is_copied(Files *files, Err *err)
{
    DatadirKind kind;

    if (!datadir_kind(files->directory, &kind, err))
        return false;
    if (files->visible && kind != DATADIR_CLUSTER)
        return err_set(err, ERR_PG,
                       "cmd_pg_basebackup_command ended well, and pg_data_path is no data directory");
    files->visible = kind == DATADIR_CLUSTER; /* it was empty when this began, perhaps */
    return make_ready(files, err);
}

static void on_cloned(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) result;
    if (ok)
        run_files(cm->downgrade, is_copied, on_ready);
    else
        end(cm->downgrade, text);
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
    if (!ok)
        end(cm->downgrade, text);
    else if (cm->config->command[CLUSTERMON_CMD_CREATE][0] == '\0')
        on_created(cm, true, "", result);
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_CREATE, NULL, CLUSTERMON_FOLDERS_MS, on_created);
}

static void on_marked_to_copy(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;

    cm->clone_owed = true;
    if (cm->config->command[CLUSTERMON_CMD_REMOVE][0] == '\0')
        on_removed(cm, true, "", NULL);
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_REMOVE, NULL, CLUSTERMON_FOLDERS_MS, on_removed);
}

static void on_still_primary(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "the primary", reply);
    else if (conn_value(reply->result, 0)[0] != 't')
        end(downgrade, "the server that was to be copied is no primary any more: nothing was removed");
    else
        run_files(downgrade, mark_owed, on_marked_to_copy);
}

static void begin_clone(ClustermonDowngrade *downgrade)
{
    downgrade->cloning = true;
    if (downgrade->cm->config->command[CLUSTERMON_CMD_CLONE][0] == '\0')
        end(downgrade, "cmd_pg_basebackup_command is not set: the server stays down");
    else
        conn_query(clustermon_lock_conn(downgrade->lock), "SELECT NOT pg_is_in_recovery()",
                   CLUSTERMON_POLL_MS, on_still_primary, downgrade);
}

/* ---- begin ---- */

void clustermon_downgrade_begin(Clustermon *cm, ClustermonMove move, int primary)
{
    ClustermonDowngrade *downgrade = calloc(1, sizeof *downgrade);

    if (downgrade == NULL)
        abort();
    *downgrade =
        (ClustermonDowngrade){.cm = cm, .move = move, .primary = primary, .visible = cm->look.visible};
    cm->downgrade = downgrade;
    clustermon_act_begin(cm, move == CLUSTERMON_CLONE    ? "copy the primary"
                             : move == CLUSTERMON_REJOIN ? "come back as a standby"
                                                         : "downgrade to a standby");
    downgrade->lock = clustermon_lock_take(cm, primary, move == CLUSTERMON_DOWNGRADE, on_locked);
}
