/*
 * clustermon_save.c: what only the local server has is copied aside by pgvigil's own actions.
 *
 * They live as long as the saving. Where the fork cannot be told, all WAL that is there is saved.
 */
#include "action/action.h"
#include "front/clustermon.h"
#include "pg/conninfo.h"
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
    void (*on_end)(Clustermon *cm, const char *failed);
    uint32_t segment_size;
    char host[256], user[128], passfile[PATH_MAX],
        written[PATH_MAX]; /* written: the passfile that is ours, "" */
    char password[512];
    uint16_t port;
    uint32_t timeline;
    bool gone; /* freed while a worker was under way, who frees it now */
    int working;
    Err err;
    char failed[300];
};

static void nothing(void *arg)
{
    (void) arg;
}

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
        save->on_end(save->cm, save->failed[0] != '\0' ? save->failed : NULL);
}

/* Not from within a callback of the actions, which are freed next. */
static void end(ClustermonSave *save, const char *failed)
{
    str_copy(save->failed, sizeof save->failed, failed != NULL ? failed : "");
    save->working++;
    loop_work(&save->cm->loop, nothing, on_ended, save);
}

static void on_saved(void *arg, const ActionOutcome *outcome)
{
    ClustermonSave *save = arg;
    char text[2 * ACT_TEXT_LEN], failed[300];

    if (outcome->ok) {
        log_line(LOG_LEVEL_WARN, "saved", "bytes=%llu transactions=%u complete=%s place=%s",
                 (unsigned long long) outcome->bytes, (unsigned) outcome->transactions,
                 outcome->complete ? "yes" : "no", log_quote(outcome->text, text, sizeof text));
        end(save, NULL);
        return;
    }
    snprintf(failed, sizeof failed,
             "what only the local server has could not be saved, so nothing is discarded: %.200s",
             outcome->text);
    end(save, failed);
}

static void on_inspected(void *arg, const ActionOutcome *outcome)
{
    ClustermonSave *save = arg;
    bool told = outcome->ok && outcome->fork_known;
    ActionRequest request = {.id = 2,
                             .kind = ACTION_SAVE_WAL,
                             .timeline = save->timeline,
                             .host = save->host,
                             .port = save->port,
                             .fork = told ? outcome->fork : LSN_NONE};

    if (told && outcome->fork == UINT64_MAX) {
        log_line(LOG_LEVEL_INFO, "saved", "nothing: the primary has all that the local server has");
        end(save, NULL);
        return;
    }
    actions_start(save->actions, &request, on_saved, save);
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
    explicit_bzero(save->password, sizeof save->password);
    if (save->err.code != ERR_NONE) {
        end(save, save->err.text);
        return;
    }
    PollOptions poll = {.data_directory = config->data_path,
                        .user = save->user,
                        .database = "postgres",
                        .passfile = save->passfile,
                        .poll_interval_ms = POLL_MS,
                        .poll_timeout_ms = POLL_MS,
                        .fresh_interval_ms = POLL_MS,
                        .disk_timeout_ms = POLL_MS};
    ActionsOptions options = {.name = config->own_name,
                              .cluster = config->cluster,
                              .data_directory = config->data_path,
                              .state_directory = config->state_directory,
                              .user = save->user,
                              .database = "postgres",
                              .passfile = save->passfile};
    ActionRequest request = {.id = 1,
                             .kind = ACTION_INSPECT,
                             .timeline = save->timeline,
                             .host = save->host,
                             .port = save->port,
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
    const char *fields[] = {save->user, save->password};

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
    str_copy(save->passfile, sizeof save->passfile, save->written);
    return ok;
}

static void prepare(void *arg)
{
    ClustermonSave *save = arg;
    WalList wal;

    if (!dir_make(save->cm->config->state_directory, 0700, &save->err) ||
        !wal_list(save->cm->config->data_path, save->segment_size, LSN_NONE, &wal, &save->err))
        return;
    save->timeline = wal.newest_timeline;
    if (save->passfile[0] == '\0' && save->password[0] != '\0')
        write_passfile(save, &save->err);
    else
        save->written[0] = '\0';
}

static void take_keyword(void *arg, const char *keyword, const char *value)
{
    ClustermonSave *save = arg;

    if (strcmp(keyword, "host") == 0 || (strcmp(keyword, "hostaddr") == 0 && save->host[0] == '\0'))
        str_copy(save->host, sizeof save->host, value);
    else if (strcmp(keyword, "port") == 0)
        save->port = (uint16_t) strtoul(value, NULL, 10);
    else if (strcmp(keyword, "user") == 0)
        str_copy(save->user, sizeof save->user, value);
    else if (strcmp(keyword, "password") == 0)
        str_copy(save->password, sizeof save->password, value);
    else if (strcmp(keyword, "passfile") == 0)
        str_copy(save->passfile, sizeof save->passfile, value);
}

ClustermonSave *clustermon_save_begin(Clustermon *cm, int primary,
                                      void (*on_end)(Clustermon *cm, const char *failed))
{
    ClustermonSave *save = calloc(1, sizeof *save);

    if (save == NULL)
        abort();
    *save = (ClustermonSave){
        .cm = cm, .on_end = on_end, .port = 5432, .segment_size = cm->peer[primary]->segment_size};
    conninfo_each(cm->config->server[primary].conninfo, take_keyword, save);
    snprintf(save->written, sizeof save->written, "%s/%s.pgpass", cm->config->state_directory,
             cm->config->cluster);
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
    explicit_bzero(save->password, sizeof save->password);
    save->gone = true;
    if (save->working == 0)
        free(save);
}
