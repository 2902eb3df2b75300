/*
 * hook.c: a command with what it is about in its arguments and environment; as a sink, and around actions.
 *
 * It gets ACTION ROLE CLUSTER behind its own arguments, as Patroni's callbacks do, so that scripts written
 * for those can be used.
 */
#include "base/arena.h"
#include "notify/sink.h"
#include "sys/exec.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGUMENTS   (NOTIFY_WORDS + 4)
#define VARIABLES   24
#define LINES_TOLD  200 /* of its output, the last */
#define LINE_LENGTH 1000
/* Of EXEC_MAX, which the server's own programs need too; before an action there is a little more room. */
#define RUNNING_MAX        4
#define RUNNING_BEFORE_MAX 8

struct HookRun {
    HookRun *next;
    Exec *exec;
    char name[64], action[32];
    HookDoneFn *done;
    void *arg;
};

/* All that run, also those that nobody waits for any more. */
static HookRun *running;

static void tell_output(const HookRun *run, const ExecResult *result)
{
    const char *at = result->output, *end = result->output + result->output_len;
    const char *from = end;
    int lines = 0;

    while (from > at && lines < LINES_TOLD) {
        from--;
        while (from > at && from[-1] != '\n')
            from--;
        lines++;
    }
    if (from > at || result->output_cut)
        log_line(LOG_LEVEL_INFO, "hook_output", "hook=%s the beginning is left out", run->name);
    while (from < end) {
        size_t len = strcspn(from, "\n");
        if (len > 0) {
            char line[LINE_LENGTH + 1], quoted[2 * sizeof line];
            snprintf(line, sizeof line, "%.*s", (int) len, from);
            log_line(LOG_LEVEL_INFO, "hook_output", "hook=%s text=%s", run->name,
                     log_quote(line, quoted, sizeof quoted));
        }
        from += len + 1;
    }
}

static void on_exit_of(void *arg, const ExecResult *result)
{
    HookRun *run = arg;
    bool ok = result->status == 0 && result->signal == 0 && !result->timed_out;
    char how[128], last[256];
    Err err = {0};

    exec_describe(result, how, sizeof how);
    log_line(ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "hook_ended", "hook=%s action=%s ok=%s ms=%lld how=\"%s\"",
             run->name, run->action, ok ? "yes" : "no", (long long) result->duration_ms, how);
    tell_output(run, result);
    if (!ok) {
        exec_last_line(result, last, sizeof last);
        err_set(&err, ERR_REFUSED, "hook %s at %s: %s%s%s", run->name, run->action, how,
                last[0] != '\0' ? ": " : "", last);
    }
    for (HookRun **at = &running; *at != NULL; at = &(*at)->next)
        if (*at == run) {
            *at = run->next;
            break;
        }
    if (run->done != NULL)
        run->done(run->arg, ok, &err);
    free(run);
}

typedef struct Environment {
    Arena *arena;
    const char *entry[VARIABLES + 1];
    int count;
} Environment;

static void add(Environment *environment, const char *name, const char *value)
{
    if (environment->count < VARIABLES)
        environment->entry[environment->count++] =
            arena_printf(environment->arena, "PGVIGIL_%s=%s", name, value != NULL ? value : "");
}

static void add_number(Environment *environment, const char *name, uint64_t number)
{
    char text[24] = "";

    if (number != 0)
        snprintf(text, sizeof text, "%llu", (unsigned long long) number);
    add(environment, name, text);
}

/* All are there always, so that a script can use set -u. */
static void fill_environment(Environment *environment, const SinkView *view, const char *action,
                             const NotifyEvent *event)
{
    char lsn[LSN_TEXT_LEN] = "";
    Buf json = {0};

    if (event->lsn != LSN_NONE)
        lsn_format(event->lsn, lsn);
    add(environment, "ACTION", action);
    add(environment, "ROLE", event->role);
    add(environment, "CLUSTER", view->cluster);
    add(environment, "REPORTER", view->reporter);
    add(environment, "MEMBER", event->member);
    add(environment, "PRIMARY", event->primary);
    add(environment, "PRIMARY_HOST", event->primary_host);
    add_number(environment, "PRIMARY_PORT", event->primary_port);
    add_number(environment, "EPOCH", event->epoch);
    add_number(environment, "TIMELINE", event->timeline);
    add(environment, "LSN", lsn);
    add(environment, "DATA_DIRECTORY", view->data_directory);
    add_number(environment, "PORT", view->port);
    bool is_event = event->action == NULL && strcmp(action, notify_event_name(event->kind)) == 0;
    if (is_event)
        event_json(event, view->cluster, view->reporter, &json);
    add(environment, "EVENT", is_event ? notify_event_name(event->kind) : "");
    add(environment, "STATE", is_event ? event_state_name(event->state) : "");
    add(environment, "SEVERITY", is_event ? notify_severity_name(event->severity) : "");
    add(environment, "TEXT", is_event ? event->text : "");
    add(environment, "JSON", json.data);
    buf_done(&json);
}

static int count_running(void)
{
    int count = 0;

    for (const HookRun *run = running; run != NULL; run = run->next)
        count++;
    return count;
}

HookRun *hook_run(SinkView *view, const char *action, const NotifyEvent *event, HookDoneFn *done, void *arg,
                  Err *err)
{
    Arena arena = {0};
    Environment environment = {.arena = &arena};
    const char *argv[ARGUMENTS + 1] = {0};
    int count = 0;
    HookRun *run = calloc(1, sizeof *run);

    if (run == NULL)
        abort();
    if (count_running() >= RUNNING_BEFORE_MAX) {
        free(run);
        err_set(err, ERR_IO, "%d hooks run already", RUNNING_BEFORE_MAX);
        return NULL;
    }
    for (const char *const *word = view->spec.command; *word != NULL && count < NOTIFY_WORDS; word++)
        argv[count++] = *word;
    argv[count++] = action;
    argv[count++] = event->role[0] != '\0' ? event->role : "none";
    argv[count++] = view->cluster;
    fill_environment(&environment, view, action, event);
    str_copy(run->name, sizeof run->name, view->spec.name);
    str_copy(run->action, sizeof run->action, action);
    run->done = done;
    run->arg = arg;
    ExecSpec spec = {.argv = argv,
                     .env = environment.entry,
                     .timeout_ms = view->spec.timeout_ms,
                     .new_session = true,
                     .on_exit = on_exit_of,
                     .arg = run};
    if (!arena.failed)
        run->exec = exec_start(view->loop, &spec, err);
    else
        err_set(err, ERR_MEMORY, "out of memory for a hook");
    arena_done(&arena);
    if (run->exec == NULL) {
        free(run);
        return NULL;
    }
    run->next = running;
    running = run;
    return run;
}

void hook_kill_all(void)
{
    for (HookRun *run = running; run != NULL; run = run->next) {
        log_line(LOG_LEVEL_WARN, "hook_killed", "hook=%s action=%s pgvigil ends", run->name, run->action);
        run->done = NULL;
        exec_kill(run->exec);
    }
}

void hook_forget(HookRun *run)
{
    run->done = NULL;
}

/* ---- As a sink: one after the other ---- */

static bool open_hook(Sink *sink, Err *err)
{
    (void) err;
    sink_view(sink)->state = NULL;
    return true;
}

static void close_hook(Sink *sink)
{
    SinkView *view = sink_view(sink);

    if (view->state != NULL)
        hook_forget(view->state);
}

static void on_hook(void *arg, bool ok, const Err *err)
{
    Sink *sink = arg;

    Err final = *err;

    sink_view(sink)->state = NULL;
    if (!ok)
        final.code = ERR_CONFIG; /* it has run: not once more */
    sink_done(sink, ok, &final);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    SinkView *view = sink_view(sink);
    const char *action = event->action != NULL ? event->action : notify_event_name(event->kind);

    if (count_running() >= RUNNING_MAX) {
        err_set(err, ERR_IO, "%d hooks run already", RUNNING_MAX);
        return SINK_FAILED;
    }
    view->state = hook_run(view, action, event, on_hook, sink, err);
    return view->state != NULL ? SINK_BUSY : SINK_FAILED;
}

const SinkKind sink_hook = {
    .way = NOTIFY_HOOK,
    .open = open_hook,
    .close = close_hook,
    .send = send_event,
};
