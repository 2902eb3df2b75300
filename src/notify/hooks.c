/*
 * hooks.c: commands around what is done to the server: those that are waited for, and those that are not.
 *
 * Only what may be refused is waited for, and not longer than the hooks' own deadlines: a child that does not
 * end counts as a refusal then.
 */
#include "notify/internal.h"

#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Before Before;

typedef struct One {
    Before *before;
    HookRun *run;
    char name[64];
    bool may_refuse;
} One;

struct Before {
    Notify *notify;
    NotifyAction action;
    NotifyHookFn *on_done;
    void *arg;
    One one[NOTIFY_SINKS];
    int running;
    bool is_refused;
    Err err;
    LoopTimer timer; /* the end, or the deadline */
};

static bool has(const Sink *sink, NotifyAction action)
{
    return sink->view.spec.way == NOTIFY_HOOK && (sink->view.spec.actions >> action & 1u) != 0;
}

bool notify_has_hook(const Notify *notify, NotifyAction action)
{
    for (int i = 0; i < notify->sink_count; i++)
        if (has(notify->sink[i], action))
            return true;
    return false;
}

static void free_before(Before *before)
{
    for (int i = 0; i < NOTIFY_SINKS; i++)
        if (before->one[i].run != NULL)
            hook_forget(before->one[i].run);
    loop_timer_done(&before->timer);
    if (before->notify->before == before)
        before->notify->before = NULL;
    free(before);
}

void notify_forget_before(Notify *notify)
{
    if (notify->before != NULL)
        free_before(notify->before);
}

static void refuse(Before *before, const One *one, const char *text)
{
    if (!one->may_refuse || before->is_refused)
        return;
    before->is_refused = true;
    err_set(&before->err, ERR_REFUSED, "a hook refused: %s", text);
}

static void on_end(void *arg)
{
    Before *before = arg;
    NotifyHookFn *on_done = before->on_done;
    void *on_done_arg = before->arg;

    for (int i = 0; i < NOTIFY_SINKS; i++) {
        char text[160];
        if (before->one[i].run == NULL)
            continue;
        snprintf(text, sizeof text, "hook %s at %s: no end within its time", before->one[i].name,
                 notify_action_name(before->action));
        refuse(before, &before->one[i], text);
    }
    Err err = before->err;
    bool allowed = !before->is_refused;
    free_before(before);
    on_done(on_done_arg, allowed, &err);
}

static void on_hook(void *arg, bool ok, const Err *err)
{
    One *one = arg;
    Before *before = one->before;

    one->run = NULL;
    if (!ok)
        refuse(before, one, err->text);
    if (--before->running == 0)
        loop_timer_start(&before->timer, 0, 0);
}

void notify_before(Notify *notify, NotifyAction action, const NotifyEvent *about, NotifyHookFn *on_done,
                   void *arg)
{
    Before *before = calloc(1, sizeof *before);
    int64_t longest_ms = 0;

    if (before == NULL)
        abort();
    notify_forget_before(notify);
    notify->before = before;
    before->notify = notify;
    before->action = action;
    before->on_done = on_done;
    before->arg = arg;
    loop_timer_init(&before->timer, notify->loop, on_end, before);
    for (int i = 0; i < notify->sink_count; i++) {
        Sink *sink = notify->sink[i];
        One *one = &before->one[i];
        Err err = {0};
        if (!has(sink, action))
            continue;
        one->before = before;
        str_copy(one->name, sizeof one->name, sink->view.spec.name);
        one->may_refuse = sink->view.spec.may_refuse;
        one->run = hook_run(&sink->view, notify_action_name(action), about, on_hook, one, &err);
        if (one->run == NULL) {
            log_line(LOG_LEVEL_ERROR, "hook_not_run", "hook=%s action=%s reason=\"%s\"", sink->view.spec.name,
                     notify_action_name(action), err.text);
            refuse(before, one, err.text);
            continue;
        }
        before->running++;
        if (sink->view.spec.timeout_ms > longest_ms)
            longest_ms = sink->view.spec.timeout_ms;
    }
    loop_timer_start(&before->timer, before->running > 0 ? longest_ms * US_PER_MS : 0, 0);
}

void notify_run_hooks(Notify *notify, NotifyAction action, const NotifyEvent *about)
{
    NotifyEvent event = *about;

    event.action = notify_action_name(action);
    event.severity = NOTIFY_CRITICAL; /* where there is no room, it goes last */
    for (int i = 0; i < notify->sink_count; i++)
        if (has(notify->sink[i], action))
            outbox_add(notify->sink[i], &event);
}
