/*
 * action.c: one action at a time, which ones may push in, and where each begins.
 */
#include "action/action.h"

#include "action/restore.h"
#include "action/run.h"
#include "action/slots.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSFILE_MAX 65536

static RunStep *const begins[ACTION_KINDS] = {
    [ACTION_FREEZE] = role_freeze,          [ACTION_FOLLOW] = role_follow,
    [ACTION_START_STANDBY] = start_standby, [ACTION_START_PRIMARY] = start_primary,
    [ACTION_STOP_FAST] = server_stop_fast,  [ACTION_STOP_IMMEDIATE] = server_stop_immediate,
    [ACTION_PROMOTE] = promote_begin,       [ACTION_CHECKPOINT] = server_checkpoint,
    [ACTION_INSPECT] = inspect_begin,       [ACTION_SAVE_WAL] = save_begin,
    [ACTION_REWIND] = rewind_begin,         [ACTION_CLONE] = clone_begin,
    [ACTION_INITDB] = initdb_begin,         [ACTION_RESTART_STANDBY] = start_restart_standby,
    [ACTION_RELOAD] = server_reload,        [ACTION_SET_NAMES] = standbys_set_names,
};

static bool pushes_in(ActionKind kind)
{
    return kind == ACTION_FREEZE || kind == ACTION_STOP_IMMEDIATE;
}

static void log_start(const Run *run)
{
    char fork[LSN_TEXT_LEN];

    lsn_format(run->request.fork, fork);
    log_line(LOG_LEVEL_INFO, "action_start", "id=%u kind=%s target=%s:%u epoch=%u timeline=%u fork=%s",
             (unsigned) run->request.id, action_kind_name(run->request.kind),
             run->host[0] != '\0' ? run->host : "-", (unsigned) run->request.port,
             (unsigned) run->request.epoch, (unsigned) run->request.timeline, fork);
}

static bool works_offline(ActionKind kind);

/* Nothing may come beside a server that cannot be seen, whatever asked for it. */
static bool needs_it_gone(ActionKind kind)
{
    return works_offline(kind) || kind == ACTION_START_STANDBY || kind == ACTION_START_PRIMARY;
}

static void begin(Run *run)
{
    log_start(run);
    if (poll_is_elsewhere(run->actions->poll) && needs_it_gone(run->request.kind)) {
        run_end_failed(run, "[commands] status does not say that the server is down");
        return;
    }
    begins[run->request.kind](run);
}

static void refuse(Run *run)
{
    run_end_failed(run, "refused: another action is under way");
}

static void refuse_freeze(Run *run)
{
    run_end_failed(run, "nothing to freeze: the server does not run while its data directory is worked on");
}

/* These work on a data directory without a server: a vote must not cost a clone of hours. */
static bool works_offline(ActionKind kind)
{
    return kind == ACTION_INSPECT || kind == ACTION_SAVE_WAL || kind == ACTION_REWIND ||
           kind == ACTION_CLONE || kind == ACTION_INITDB;
}

static void never(Run *run)
{
    run_end_failed(run, "cancelled");
}

void actions_next(Actions *actions)
{
    Run *run = actions->waiting;

    if (run == NULL || actions->current != NULL)
        return;
    actions->waiting = NULL;
    actions->current = run;
    run_sleep(run, 0, begin);
}

void actions_start(Actions *actions, const ActionRequest *request, ActionFn *on_done, void *arg)
{
    Run *run = run_new(actions, request, on_done, arg);

    if (request->kind <= ACTION_NONE || request->kind >= ACTION_KINDS) {
        run_sleep(run, 0, refuse);
    } else if (actions->current == NULL && actions->waiting == NULL) {
        actions->current = run;
        run_sleep(run, 0, begin);
    } else if (request->kind == ACTION_FREEZE && actions->current != NULL &&
               works_offline(actions->current->request.kind)) {
        run_sleep(run, 0, refuse_freeze);
    } else if (pushes_in(request->kind)) {
        if (actions->waiting != NULL) {
            run_sleep(actions->waiting, 0, never);
            run_stop(actions->waiting, true);
        }
        actions->waiting = run;
        if (actions->current != NULL)
            run_stop(actions->current, true);
    } else {
        run_sleep(run, 0, refuse);
    }
}

uint32_t actions_names_done(const Actions *actions)
{
    return actions->names_done;
}

uint8_t actions_progress(const Actions *actions)
{
    return actions->current != NULL ? actions->current->progress : ACT_PROGRESS_NONE;
}

static void copy(char *dest, size_t size, const char *source, const char *otherwise)
{
    str_copy(dest, size, source != NULL && source[0] != '\0' ? source : otherwise);
}

static int64_t time_or(int64_t given_ms, int64_t otherwise_ms)
{
    return given_ms > 0 ? given_ms : otherwise_ms;
}

/* The passwords of a file in libpq's format: what stands behind the fourth colon of a line. */
static void add_passwords(Mask *mask, char *text)
{
    char *rest = NULL;

    for (char *line = strtok_r(text, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        char *password = line;
        for (int colons = 0; *password != '\0' && colons < 4; password++) {
            if (*password == '\\' && password[1] != '\0')
                password++;
            else if (*password == ':')
                colons++;
        }
        if (*line != '#')
            mask_add(mask, password);
    }
}

/* Read when the agent reads its own file, and not while an action is under way. */
static void take_secrets(Actions *actions, const ActionsOptions *o)
{
    Buf text = {0};

    actions->mask = (Mask){0};
    free(actions->secrets);
    buf_puts(&text, o->secret != NULL ? o->secret : "");
    buf_add(&text, "", 1);
    size_t passwords = text.len;
    Buf file = {0};
    if (o->passfile != NULL && o->passfile[0] != '\0' && file_read(o->passfile, PASSFILE_MAX, &file, NULL))
        buf_puts(&text, file.data != NULL ? file.data : "");
    buf_done(&file);
    buf_add(&text, "", 1);
    if (text.failed)
        abort();
    actions->secrets = text.data;
    mask_add(&actions->mask, actions->secrets);
    mask_add(&actions->mask, getenv("PGPASSWORD"));
    add_passwords(&actions->mask, actions->secrets + passwords);
}

void actions_set_options(Actions *actions, const ActionsOptions *o)
{
    ActionSettings *s = &actions->settings;
    char log[DATADIR_PATH_LEN + 32];

    *s = (ActionSettings){.port = o->port, .use_slots = o->use_slots};
    copy(s->name, sizeof s->name, o->name, "");
    copy(s->cluster, sizeof s->cluster, o->cluster, "");
    copy(s->data_directory, sizeof s->data_directory, o->data_directory, "");
    copy(s->config_directory, sizeof s->config_directory, o->config_directory, s->data_directory);
    copy(s->bin_directory, sizeof s->bin_directory, o->bin_directory, "");
    copy(s->state_directory, sizeof s->state_directory, o->state_directory, "/var/lib/pgvigil");
    snprintf(log, sizeof log, "%s/postgresql.log", s->state_directory);
    copy(s->server_log, sizeof s->server_log, o->server_log, log);
    copy(s->fence_file, sizeof s->fence_file, o->fence_file, "");
    copy(s->user, sizeof s->user, o->user, "postgres");
    copy(s->database, sizeof s->database, o->database, "postgres");
    copy(s->passfile, sizeof s->passfile, o->passfile, "");
    copy(s->replication_user, sizeof s->replication_user, o->replication_user, s->user);
    copy(s->initdb_options, sizeof s->initdb_options, o->initdb_options, "");
    copy(s->clone_options, sizeof s->clone_options, o->clone_options, "");
    for (size_t i = 0; i < RUNS_COUNT; i++)
        copy(s->command[i], sizeof s->command[i], o->command[i], "");
    take_secrets(actions, o);
    s->lost_keep = o->lost_keep > 0 ? o->lost_keep : ACT_LOST_KEEP;
    s->lost_keep_bytes = o->lost_keep_bytes > 0 ? o->lost_keep_bytes : ACT_LOST_KEEP_BYTES;
    s->start_timeout_ms = time_or(o->start_timeout_ms, ACT_START_TIMEOUT_MS);
    s->stop_timeout_ms = time_or(o->stop_timeout_ms, ACT_STOP_TIMEOUT_MS);
    s->freeze_timeout_ms = time_or(o->freeze_timeout_ms, ACT_FREEZE_TIMEOUT_MS);
    s->promote_timeout_ms = time_or(o->promote_timeout_ms, ACT_PROMOTE_TIMEOUT_MS);
    s->checkpoint_timeout_ms = time_or(o->checkpoint_timeout_ms, ACT_CHECKPOINT_TIMEOUT_MS);
    s->rewind_timeout_ms = time_or(o->rewind_timeout_ms, ACT_REWIND_TIMEOUT_MS);
    s->clone_timeout_ms = time_or(o->clone_timeout_ms, ACT_CLONE_TIMEOUT_MS);
    s->restore_start_ms = time_or(o->restore_timeout_ms, ACT_RESTORE_START_MS);
    s->restore_promote_ms =
        s->restore_start_ms < ACT_RESTORE_PROMOTE_MS ? s->restore_start_ms : ACT_RESTORE_PROMOTE_MS;
    for (size_t i = 0; i < ACTIONS_MEMBERS_MAX; i++)
        copy(s->member_host[i], sizeof s->member_host[i], o->member_host[i], "");
    for (size_t len = strlen(s->data_directory); len > 1 && s->data_directory[len - 1] == '/'; len--)
        s->data_directory[len - 1] = '\0'; /* names are made by adding to it */
}

Actions *actions_new(uv_loop_t *loop, const ActionsOptions *options, PgPoll *poll)
{
    Actions *actions = calloc(1, sizeof *actions);

    if (actions == NULL)
        abort();
    actions->loop = loop;
    actions->poll = poll;
    actions_set_options(actions, options);
    return actions;
}

void actions_set_permit(Actions *actions, bool (*may_write)(void *arg), void *arg)
{
    actions->may_write = may_write;
    actions->may_write_arg = arg;
}

void actions_free(Actions *actions)
{
    if (actions == NULL)
        return;
    slots_forget(actions);
    restore_forget(actions);
    while (actions->runs != NULL)
        run_free(actions->runs);
    free(actions->secrets);
    free(actions);
}
