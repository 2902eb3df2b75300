/*
 * notify.c: the sinks of a configuration, opened, renewed on reload, and what goes to all of them.
 */
#include "notify/internal.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <stdlib.h>
#include <string.h>

static const SinkKind *const kinds[] = {&sink_mail,     &sink_alert_file, &sink_statsd, &sink_syslog,
                                        &sink_journald, &sink_webhook,    &sink_hook};

static const SinkKind *find_kind(NotifyWay way)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i]->way == way)
            return kinds[i];
    return NULL;
}

SinkView *sink_view(Sink *sink)
{
    return &sink->view;
}

static void sink_free(Sink *sink, bool is_open)
{
    if (is_open)
        sink->kind->close(sink);
    outbox_done(sink);
    arena_done(&sink->arena);
    free(sink->signature);
    free(sink);
}

/* The signature is taken over. NULL: it cannot be opened. */
static Sink *open_sink(Notify *notify, const NotifySpec *spec, char *signature, Err *err)
{
    Sink *sink = calloc(1, sizeof *sink);

    if (sink == NULL)
        abort();
    sink->notify = notify;
    sink->kind = find_kind(spec->way);
    sink->signature = signature;
    sink->view.loop = notify->loop;
    sink->view.port = notify->port;
    str_copy(sink->view.cluster, sizeof sink->view.cluster, notify->cluster);
    str_copy(sink->view.reporter, sizeof sink->view.reporter, notify->reporter);
    str_copy(sink->view.data_directory, sizeof sink->view.data_directory, notify->data_directory);
    outbox_init(sink);
    bool ok = sink->kind != NULL && spec_copy(spec, &sink->arena, &sink->view.spec);
    if (!ok)
        err_set(err, ERR_MEMORY, "no memory for its settings");
    else if (spec->broken != NULL)
        ok = err_set(err, ERR_CONFIG, "%s", spec->broken);
    if (ok && sink->kind->open(sink, err))
        return sink;
    sink_free(sink, false);
    return NULL;
}

static char *signature_of(const NotifySpec *spec)
{
    char *signature = spec_signature(spec);

    if (signature == NULL)
        abort();
    return signature;
}

static bool add_sink(Notify *notify, const NotifySpec *spec, char *signature)
{
    Err err = {0};
    Sink *sink = open_sink(notify, spec, signature, &err);
    char quoted[2 * sizeof err.text];

    if (sink != NULL)
        notify->sink[notify->sink_count++] = sink;
    else
        log_line(LOG_LEVEL_ERROR, "notify_not_open", "sink=%s it tells nothing reason=%s", spec->name,
                 log_quote(err.text, quoted, sizeof quoted));
    return sink != NULL;
}

static void take_options(Notify *notify, const NotifyOptions *options)
{
    notify->port = options->port;
    str_copy(notify->cluster, sizeof notify->cluster, options->cluster);
    str_copy(notify->reporter, sizeof notify->reporter, options->reporter);
    str_copy(notify->data_directory, sizeof notify->data_directory,
             options->data_directory != NULL ? options->data_directory : "");
}

/* The old sink of that signature, taken out of the list; or NULL. */
static Sink *take_old(Sink **old, int count, const char *signature)
{
    for (int i = 0; i < count; i++)
        if (old[i] != NULL && strcmp(old[i]->signature, signature) == 0) {
            Sink *sink = old[i];
            old[i] = NULL;
            return sink;
        }
    return NULL;
}

static void take(Notify *notify, const NotifyOptions *options, bool is_reload)
{
    Sink *old[NOTIFY_SINKS];
    int old_count = notify->sink_count;

    memcpy(old, notify->sink, sizeof old);
    notify->sink_count = 0;
    take_options(notify, options);
    for (int i = 0; i < options->spec_count && i < NOTIFY_SINKS; i++) {
        char *signature = signature_of(&options->specs[i]);
        Sink *sink = take_old(old, old_count, signature);
        if (sink != NULL) {
            notify->sink[notify->sink_count++] = sink;
            free(signature);
        } else if (add_sink(notify, &options->specs[i], signature) && is_reload) {
            log_line(LOG_LEVEL_INFO, "notify_open", "sink=%s it tells, by its section as it is now",
                     options->specs[i].name);
        }
    }
    for (int i = 0; i < old_count; i++)
        if (old[i] != NULL)
            sink_free(old[i], true);
}

void notify_reload(Notify *notify, const NotifyOptions *options)
{
    take(notify, options, true);
}

Notify *notify_new(uv_loop_t *loop, const NotifyOptions *options)
{
    Notify *notify = calloc(1, sizeof *notify);

    if (notify == NULL)
        abort();
    notify->loop = loop;
    notify->silent_since = clock_now();
    take(notify, options, false);
    return notify;
}

bool notify_check(uv_loop_t *loop, const NotifyOptions *options, int index, Err *err)
{
    Notify notify = {.loop = loop};

    take_options(&notify, options);
    Sink *sink = open_sink(&notify, &options->specs[index], signature_of(&options->specs[index]), err);
    if (sink != NULL)
        sink_free(sink, true);
    return sink != NULL;
}

void notify_free(Notify *notify)
{
    if (notify == NULL)
        return;
    notify_forget_before(notify);
    hook_kill_all();
    for (int i = 0; i < notify->sink_count; i++)
        sink_free(notify->sink[i], true);
    free(notify);
}

void notify_set_speaker(Notify *notify, bool is_speaker)
{
    if (notify->is_speaker && !is_speaker)
        notify->silent_since = clock_now();
    notify->is_speaker = is_speaker;
}

void notify_post(Notify *notify, const NotifyEvent *event)
{
    for (int i = 0; i < notify->sink_count; i++)
        if (outbox_wants(notify->sink[i], event))
            outbox_add(notify->sink[i], event);
}

void notify_conditions(Notify *notify, const NotifyEvent *events, int count)
{
    for (int i = 0; i < notify->sink_count; i++)
        outbox_conditions(notify->sink[i], events, count);
}

static bool is_due(const Sink *sink)
{
    return sink->kind->gauges != NULL &&
           (sink->gauges_at.boot_us == 0 || clock_ms_since(&sink->gauges_at) >= sink->view.spec.every_ms);
}

bool notify_wants_gauges(const Notify *notify)
{
    for (int i = 0; i < notify->sink_count; i++)
        if (is_due(notify->sink[i]))
            return true;
    return false;
}

void notify_gauges(Notify *notify, const NotifyGauge *gauges, int count)
{
    for (int i = 0; i < notify->sink_count; i++) {
        Sink *sink = notify->sink[i];
        if (!is_due(sink))
            continue;
        sink->gauges_at = clock_now();
        sink->kind->gauges(sink, gauges, count < GAUGES_MAX ? count : GAUGES_MAX);
    }
}

bool notify_counters(const Notify *notify, int index, NotifyCounters *ret_counters)
{
    if (index >= notify->sink_count)
        return false;
    const Sink *sink = notify->sink[index];
    *ret_counters = (NotifyCounters){
        .name = sink->view.spec.name,
        .sent = sink->sent,
        .failed = sink->failed,
        .dropped = sink->dropped,
        .left_out = sink->left_out,
        .waiting = sink->queue_len,
    };
    return true;
}

bool notify_try(Notify *notify, const char *name, const NotifyEvent *event, NotifyHookFn *on_done, void *arg,
                Err *err)
{
    for (int i = 0; i < notify->sink_count; i++) {
        Sink *sink = notify->sink[i];
        if (strcmp(sink->view.spec.name, name) != 0)
            continue;
        sink->on_tried = on_done;
        sink->tried_arg = arg;
        outbox_add(sink, event);
        return true;
    }
    return err_set(err, ERR_CONFIG,
                   "[notify %.40s] could not be opened: the line notify_not_open above says why", name);
}
