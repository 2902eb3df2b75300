/*
 * clustermon_downgrade.c: a primary becomes a standby of another one: stop, save, rewind or copy, start.
 *
 * Behind the locks of clustermon_lock.c. What is discarded was saved, and before anything is removed the
 * primary is asked once more whether it is one.
 */
#include "front/clustermon.h"

#include "pg/datadir.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_IN_RECOVERY "SELECT NOT pg_is_in_recovery()"

/* What is done to files, by a worker, and what comes after it. */
typedef struct Files {
    ClustermonDowngrade *downgrade; /* NULL: given up */
    bool (*work)(struct Files *files, Err *err);
    void (*next)(ClustermonDowngrade *downgrade);
    char directory[1024];
    const char *folder; /* of the mark */
    bool visible, rewound;
    uint64_t stamp;
    uint32_t timeline, segment_size; /* of the primary */
    Err err;
} Files;

struct ClustermonDowngrade {
    Clustermon *cm;
    ClustermonMove move;
    int primary;
    ClustermonLock *lock;
    ClustermonSave *save;
    Files *files;   /* a worker is at them */
    bool visible;   /* the data directory can be read from here */
    uint64_t stamp; /* of pg_control when it was looked at for saving; 0: nothing has to be as it was */
    bool cloning;
};

static void begin_stop(ClustermonDowngrade *downgrade);
static void begin_clone(ClustermonDowngrade *downgrade);
static bool may_remove(Files *files, Err *err);
static void on_may_remove(ClustermonDowngrade *downgrade);

static const char *primary_of(const ClustermonDowngrade *downgrade)
{
    return downgrade->cm->config->server[downgrade->primary].conninfo;
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

/* ---- the primary ---- */

/* The last primary must not be made a standby of one that is none any more. */
static void ask_primary(ClustermonDowngrade *downgrade, ConnFn *on_answer)
{
    conn_query(clustermon_lock_conn(downgrade->lock), NOT_IN_RECOVERY, CLUSTERMON_POLL_MS, on_answer,
               downgrade);
}

/* False: the downgrade has ended, and is gone. */
static bool is_still_primary(ClustermonDowngrade *downgrade, const ConnReply *reply)
{
    if (!reply->ok) {
        end_by(downgrade, "the primary", reply);
        return false;
    }
    if (conn_value(reply->result, 0)[0] != 't') {
        end(downgrade, "the other server is no primary any more: nothing was discarded");
        return false;
    }
    return true;
}

/* Before anything is stopped: who may not order it would find that out too late. */
static void on_first_checkpoint(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (reply->ok)
        begin_stop(downgrade);
    else
        end_by(downgrade, "checkpoint on the primary", reply);
}

static void on_locked(Clustermon *cm, const char *failed)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    if (failed != NULL)
        end(downgrade, failed);
    else if (downgrade->move == CLUSTERMON_CLONE)
        begin_clone(downgrade);
    else
        conn_query(clustermon_lock_conn(downgrade->lock), "CHECKPOINT", CLUSTERMON_CHECKPOINT_MS,
                   on_first_checkpoint, downgrade);
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
        downgrade->stamp = files->stamp;
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
                     .folder = cm->config->state_directory,
                     .visible = downgrade->visible,
                     .rewound = !downgrade->cloning,
                     .stamp = downgrade->stamp,
                     .timeline = primary->node.timeline,
                     .segment_size = primary->segment_size};
    str_copy(files->directory, sizeof files->directory, cm->config->data_path);
    downgrade->files = files;
    loop_work(&cm->loop, work_at_files, on_files, files);
}

/* ---- stop, and what may be discarded then ---- */

static void on_saved(Clustermon *cm, const ClustermonSaved *saved);

static void begin_save(ClustermonDowngrade *downgrade)
{
    static const ClustermonSaved nothing = {0};
    Clustermon *cm = downgrade->cm;

    if (downgrade->visible)
        downgrade->save =
            clustermon_save_begin(cm, downgrade->primary, downgrade->move == CLUSTERMON_REJOIN, on_saved);
    else
        on_saved(cm, &nothing); /* discard_unsaved, or there would have been no downgrade */
}

static bool is_ready_to_save(Files *files, Err *err)
{
    return !files->visible || (clustermon_files_is_quiet(files->directory, err) &&
                               clustermon_files_stamp(files->directory, &files->stamp, err));
}

/* The command's word is not enough: what still runs would go on writing into what is rewound. */
static void on_down_known(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    ClustermonDowngrade *downgrade = cm->downgrade;

    (void) ok;
    (void) text;
    if (clustermon_command_local(cm, result) != CLUSTERMON_DOWN)
        end(downgrade, "cmd_get_db_status_string does not say that the local server is down");
    else if (downgrade->cloning)
        run_files(downgrade, may_remove, on_may_remove);
    else
        run_files(downgrade, is_ready_to_save, begin_save);
}

static void ask_status(Clustermon *cm)
{
    clustermon_command_run(cm, CLUSTERMON_CMD_STATUS, NULL, CLUSTERMON_ASK_MS, on_down_known);
}

static void on_stopped(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) ok; /* of a server that is down already it may fail: what counts is whether it runs */
    (void) text;
    (void) result;
    ask_status(cm);
}

static void begin_stop(ClustermonDowngrade *downgrade)
{
    if (downgrade->move == CLUSTERMON_REJOIN && !downgrade->cloning)
        ask_status(downgrade->cm);
    else
        clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_STOP, NULL, CLUSTERMON_STOP_MS, on_stopped);
}

/* ---- start, and whether it streams ---- */

static bool make_ready(Files *files, Err *err)
{
    if (files->visible &&
        !clustermon_files_make_standby(files->directory, files->rewound ? files->timeline : 0,
                                       files->segment_size, err))
        return false;
    files->stamp = 0; /* from here on it is the primary's, and changes */
    return clustermon_owed_remove(files->folder, err);
}

static bool streams(const Clustermon *cm)
{
    const ClustermonPeer *own = cm->peer[cm->config->own];

    return clustermon_poll_is_standby(own) && clustermon_poll_streams(own);
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
    clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS, on_started);
}

/* ---- rewind ---- */

static void on_rewound(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) text;
    (void) result;
    if (ok) {
        run_files(cm->downgrade, make_ready, on_ready);
        return;
    }
    log_line(LOG_LEVEL_WARN, "rewind_failed", "the primary is copied");
    begin_clone(cm->downgrade);
}

/* From here on the data directory is not whole until something has come to its end. */
static bool mark_rewind(Files *files, Err *err)
{
    return clustermon_owed_write(files->folder, files->directory, CLUSTERMON_OWED_REWIND, err);
}

static void on_marked_to_rewind(ClustermonDowngrade *downgrade)
{
    clustermon_command_run(downgrade->cm, CLUSTERMON_CMD_REWIND, primary_of(downgrade), CLUSTERMON_REWIND_MS,
                           on_rewound);
}

static void on_checkpointed(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (!reply->ok)
        end_by(downgrade, "checkpoint on the primary", reply);
    else
        run_files(downgrade, mark_rewind, on_marked_to_rewind);
}

/* Without a checkpoint since its promotion the primary would seem to be on its old timeline. */
static void on_primary_to_rewind(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (is_still_primary(downgrade, reply))
        conn_query(clustermon_lock_conn(downgrade->lock), "CHECKPOINT", CLUSTERMON_CHECKPOINT_MS,
                   on_checkpointed, downgrade);
}

static void on_saved(Clustermon *cm, const ClustermonSaved *saved)
{
    ClustermonDowngrade *downgrade = cm->downgrade;
    const ClustermonNode *own = &cm->peer[cm->config->own]->node;
    const ClustermonNode *primary = &cm->peer[downgrade->primary]->node;
    char failed[300];

    cm->unsaved = saved->unsaved;
    bool no_rewind = saved->no_rewind || own->timeline == primary->timeline;
    str_copy(failed, sizeof failed, saved->failed != NULL ? saved->failed : "");
    clustermon_save_free(downgrade->save);
    downgrade->save = NULL;
    if (failed[0] != '\0')
        end(downgrade, failed);
    else if (no_rewind || cm->config->command[CLUSTERMON_CMD_REWIND][0] == '\0')
        begin_clone(downgrade);
    else
        ask_primary(downgrade, on_primary_to_rewind);
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
    (void) result;
    if (ok)
        clustermon_command_run(cm, CLUSTERMON_CMD_CLONE, primary_of(cm->downgrade), CLUSTERMON_CLONE_MS,
                               on_cloned);
    else
        end(cm->downgrade, text);
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

static bool mark_copy(Files *files, Err *err)
{
    return clustermon_owed_write(files->folder, files->directory, CLUSTERMON_OWED_COPY, err);
}

static void on_marked_to_copy(ClustermonDowngrade *downgrade)
{
    Clustermon *cm = downgrade->cm;

    cm->costly = true;
    if (cm->config->command[CLUSTERMON_CMD_REMOVE][0] == '\0')
        on_removed(cm, true, "", NULL);
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_REMOVE, NULL, CLUSTERMON_FOLDERS_MS, on_removed);
}

static void on_slot(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;

    if (reply->ok)
        run_files(downgrade, mark_copy, on_marked_to_copy);
    else
        end_by(downgrade, "slot on the primary", reply);
}

/* One that was promoted by hand has no slot, and the copy would fail when the old data is gone. */
static void on_primary_to_copy(void *arg, const ConnReply *reply)
{
    ClustermonDowngrade *downgrade = arg;
    Buf sql = {0};

    if (!is_still_primary(downgrade, reply))
        return;
    if (downgrade->cm->config->slot[0] == '\0') {
        run_files(downgrade, mark_copy, on_marked_to_copy);
        return;
    }
    clustermon_sql_slot(&sql, downgrade->cm->config->slot);
    if (sql.failed)
        abort();
    conn_query(clustermon_lock_conn(downgrade->lock), sql.data, CLUSTERMON_POLL_MS, on_slot, downgrade);
    buf_done(&sql);
}

static void on_may_remove(ClustermonDowngrade *downgrade)
{
    ask_primary(downgrade, on_primary_to_copy);
}

/*
 * What was saved must still be all that there is. If a server ran here since, it may have more: then nothing
 * is owed, and all begins anew.
 */
static bool may_remove(Files *files, Err *err)
{
    uint64_t stamp;

    if (!clustermon_files_is_quiet(files->directory, err))
        return false;
    if (!files->visible || files->stamp == 0)
        return true;
    if (!clustermon_files_stamp(files->directory, &stamp, err))
        return false;
    return stamp == files->stamp ||
           (clustermon_owed_remove(files->folder, err) &&
            err_set(err, ERR_REFUSED, "the local server ran since its WAL was saved: nothing is removed"));
}

static void begin_clone(ClustermonDowngrade *downgrade)
{
    downgrade->cloning = true;
    if (downgrade->cm->config->command[CLUSTERMON_CMD_CLONE][0] == '\0')
        end(downgrade, "cmd_pg_basebackup_command is not set: the server stays down");
    else
        ask_status(downgrade->cm);
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
