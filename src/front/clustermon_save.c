/*
 * clustermon_save.c: what only the local server has is copied aside by pgvigil's own actions.
 *
 * They live as long as the saving. Where the fork cannot be told, all WAL that is there is saved.
 */
#include "action/action.h"
#include "front/clustermon.h"
#include "pg/wal.h"
#include "sys/file.h"
#include "sys/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 60000 /* of a server that is down: nothing is wanted of it */

struct ClustermonSave {
    Clustermon *cm;
    PgPoll *poll;
    Actions *actions;
    void (*on_end)(Clustermon *cm, const ClustermonSaved *saved);
    int primary;
    ClustermonPlace place;  /* of the primary */
    char written[PATH_MAX]; /* a passfile of ours, "": none */
    bool compare;           /* the primary has to have more WAL */
    bool gone;              /* freed while a worker was under way, who frees it now */
    int working;
    uint32_t timeline;
    Err err;
    ClustermonSaved saved;
    char failed[300];
};

static bool let_go(ClustermonSave *save)
{
    save->working--;
    if (!save->gone)
        return true;
    if (save->working == 0)
        free(save);
    return false;
}

static void on_ended(void *arg)
{
    ClustermonSave *save = arg;

    if (let_go(save))
        save->on_end(save->cm, &save->saved);
}

/* Not from within a callback of the actions, which are freed next. */
static void end(ClustermonSave *save, const char *failed)
{
    str_copy(save->failed, sizeof save->failed, failed != NULL ? failed : "");
    save->saved.failed = failed != NULL ? save->failed : NULL;
    save->working++;
    loop_work(&save->cm->loop, NULL, on_ended, save);
}

/* It will be no other way the next time; [pgvigil] discard_unsaved is people's word that it need not be. */
static void end_unsaved(ClustermonSave *save, const char *because)
{
    char text[300];

    snprintf(
        text, sizeof text,
        "it cannot be shown that all that only the local server has was saved (%.100s): nothing is discarded; "
        "discard it by [pgvigil] discard_unsaved = yes, or bring the server back by hand",
        because);
    save->saved.unsaved = !save->cm->config->discard_unsaved;
    end(save, save->saved.unsaved ? text : NULL);
}

static void on_saved(void *arg, const ActionOutcome *outcome)
{
    ClustermonSave *save = arg;
    char text[2 * ACT_TEXT_LEN], failed[300];

    if (!outcome->ok) {
        snprintf(failed, sizeof failed,
                 "what only the local server has could not be saved, so nothing is discarded: %.200s",
                 outcome->text);
        end(save, failed);
        return;
    }
    bool any = outcome->bytes > 0 || !outcome->complete;
    log_line(any ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "saved",
             "bytes=%llu transactions=%u complete=%s place=%s", (unsigned long long) outcome->bytes,
             (unsigned) outcome->transactions, outcome->complete ? "yes" : "no",
             log_quote(outcome->text, text, sizeof text));
    if (outcome->complete)
        end(save, NULL);
    else
        end_unsaved(save, save->saved.no_rewind ? "both are on one timeline" : "WAL is missing");
}

static void save_from(ClustermonSave *save, Lsn fork)
{
    ActionRequest request = {.id = 2,
                             .kind = ACTION_SAVE_WAL,
                             .timeline = save->timeline,
                             .host = save->place.host,
                             .port = save->place.port,
                             .fork = fork};

    actions_start(save->actions, &request, on_saved, save);
}

/*
 * Two primaries on one timeline by number share no point that could be told: pg_rewind would take them for
 * one.
 */
static void on_inspected(void *arg, const ActionOutcome *outcome)
{
    ClustermonSave *save = arg;
    const ClustermonNode *primary = &save->cm->peer[save->primary]->node;
    char failed[300], ours[LSN_TEXT_LEN], theirs[LSN_TEXT_LEN];
    bool same = outcome->fork_known && outcome->fork == UINT64_MAX;

    save->saved.no_rewind = same || outcome->numbers_lie || primary->timeline == save->timeline;
    if (outcome->ok && save->compare && outcome->lsn > primary->position) {
        lsn_format(outcome->lsn, ours);
        lsn_format(primary->position, theirs);
        snprintf(
            failed, sizeof failed,
            "the other primary has less WAL (%s) than the local server (%s): neither is discarded by itself; start "
            "the local one, or wait until the other has more",
            theirs, ours);
        end(save, failed);
    } else if (!outcome->ok || same) {
        save_from(save, LSN_NONE);
    } else if (outcome->fork_known) {
        save_from(save, outcome->fork);
    } else {
        end(save,
            "the primary could not be asked where the two part (its user has to be a superuser): nothing is "
            "discarded");
    }
}

/* The server is down, and stays so: actions only want to be told so. */
static void on_status(void *arg, const PgStatus *status)
{
    (void) arg;
    (void) status;
}

static void on_prepared(void *arg)
{
    ClustermonSave *save = arg;
    const ClustermonConfig *config = save->cm->config;

    if (!let_go(save))
        return;
    explicit_bzero(save->place.password, sizeof save->place.password);
    if (save->err.code != ERR_NONE) {
        end(save, save->err.text);
        return;
    }
    PollOptions poll = {.data_directory = config->data_path,
                        .user = save->place.user,
                        .database = "postgres",
                        .passfile = save->place.passfile,
                        .poll_interval_ms = POLL_MS,
                        .poll_timeout_ms = POLL_MS,
                        .fresh_interval_ms = POLL_MS,
                        .disk_timeout_ms = POLL_MS};
    ActionsOptions options = {.name = config->own_name,
                              .cluster = config->cluster,
                              .data_directory = config->data_path,
                              .state_directory = config->state_directory,
                              .user = save->place.user,
                              .database = "postgres",
                              .passfile = save->place.passfile};
    ActionRequest request = {.id = 1,
                             .kind = ACTION_INSPECT,
                             .timeline = save->timeline,
                             .host = save->place.host,
                             .port = save->place.port,
                             .ask_fork = true,
                             .shared = UINT32_MAX};
    save->poll = poll_new(&save->cm->loop, &poll, on_status, save);
    save->actions = actions_new(&save->cm->loop, &options, save->poll);
    actions_start(save->actions, &request, on_inspected, save);
}

/* A line of libpq's password file, in which : and \ are escaped. */
static bool write_passfile(ClustermonSave *save, Err *err)
{
    Buf text = {0};
    const char *fields[] = {save->place.user, save->place.password};

    buf_puts(&text, "*:*:*");
    for (int i = 0; i < 2; i++) {
        buf_puts(&text, ":");
        for (const char *at = fields[i]; *at != '\0'; at++) {
            if (*at == ':' || *at == '\\')
                buf_puts(&text, "\\");
            buf_add(&text, at, 1);
        }
    }
    buf_puts(&text, "\n");
    bool ok = !text.failed && file_write_atomic(save->written, text.data, text.len, 0600, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    str_copy(save->place.passfile, sizeof save->place.passfile, save->written);
    return ok;
}

static void prepare(void *arg)
{
    ClustermonSave *save = arg;
    const ClustermonConfig *config = save->cm->config;
    Err err = {0};
    WalList wal;

    bool ok = dir_make(config->state_directory, 0700, &err) &&
              wal_list(config->data_path, save->cm->peer[save->primary]->segment_size, LSN_NONE, &wal, &err);
    save->timeline = ok ? wal.newest_timeline : 0;
    if (ok && save->place.passfile[0] == '\0' && save->place.password[0] != '\0')
        ok = write_passfile(save, &err);
    else
        save->written[0] = '\0';
    if (!ok)
        save->err = err;
}

ClustermonSave *clustermon_save_begin(Clustermon *cm, int primary, bool compare,
                                      void (*on_end)(Clustermon *cm, const ClustermonSaved *saved))
{
    ClustermonSave *save = calloc(1, sizeof *save);

    if (save == NULL)
        abort();
    *save = (ClustermonSave){.cm = cm, .on_end = on_end, .primary = primary, .compare = compare};
    clustermon_config_place(cm->config->server[primary].conninfo, &save->place);
    snprintf(save->written, sizeof save->written, "%s/pgpass", cm->config->state_directory);
    save->working++;
    loop_work(&cm->loop, prepare, on_prepared, save);
    return save;
}

void clustermon_save_free(ClustermonSave *save)
{
    if (save == NULL)
        return;
    actions_free(save->actions);
    poll_free(save->poll);
    save->actions = NULL;
    save->poll = NULL;
    if (save->written[0] != '\0')
        unlink(save->written);
    explicit_bzero(save->place.password, sizeof save->place.password);
    save->gone = true;
    if (save->working == 0)
        free(save);
}
