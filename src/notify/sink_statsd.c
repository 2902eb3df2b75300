/*
 * sink_statsd.c: each event counts one; the gauges of the members every now and then.
 */
#include "notify/sink.h"
#include "notify/statsd.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAGS      8
#define FIXED_TAG 2 /* cluster and reporter */
#define NAME_LEN  128

static bool open_statsd(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);
    char word[TAGS][NAME_LEN];
    StatsdTag tag[TAGS + FIXED_TAG] = {{"cluster", view->cluster}, {"reporter", view->reporter}};
    int count = FIXED_TAG;

    for (const char *const *at = view->spec.tags; at != NULL && *at != NULL && count < TAGS + FIXED_TAG;
         at++) {
        char *text = word[count - FIXED_TAG];
        str_copy(text, NAME_LEN, *at);
        char *equals = strchr(text, '=');
        if (equals == NULL)
            continue;
        *equals = '\0';
        tag[count++] = (StatsdTag){text, equals + 1};
    }
    view->state = statsd_new(view->loop, view->spec.host, view->spec.port, tag, count, err);
    return view->state != NULL;
}

static void close_statsd(Sink *sink)
{
    statsd_free(sink_view(sink)->state);
}

static void full_name(const SinkView *view, const char *name, char *ret_name, size_t size)
{
    const char *prefix = view->spec.prefix;
    bool has_one = prefix != NULL && prefix[0] != '\0';

    snprintf(ret_name, size, "%s%s%s", has_one ? prefix : "", has_one ? "." : "", name);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    const SinkView *view = sink_view(sink);
    StatsdTag tag[4] = {{"event", notify_event_name(event->kind)},
                        {"state", event_state_name(event->state)},
                        {"severity", notify_severity_name(event->severity)},
                        {"member", event->member}};
    char name[NAME_LEN];

    full_name(view, "events", name, sizeof name);
    return statsd_count(view->state, name, 1, tag, event->member[0] != '\0' ? 4 : 3, err) ? SINK_SENT
                                                                                          : SINK_FAILED;
}

static void send_gauges(Sink *sink, const NotifyGauge *gauges, int count)
{
    static LogLimit limit;
    const SinkView *view = sink_view(sink);
    char name[NAME_LEN];

    for (int i = 0; i < count; i++) {
        StatsdTag tag = {"member", gauges[i].member};
        Err err = {0};
        full_name(view, gauges[i].name, name, sizeof name);
        if (!statsd_gauge(view->state, name, gauges[i].value, &tag, gauges[i].member[0] != '\0', &err))
            log_limited(&limit, LOG_LEVEL_WARN, "statsd_failed", "sink=%s reason=\"%s\"", view->spec.name,
                        err.text);
    }
}

const SinkKind sink_statsd = {
    .way = NOTIFY_STATSD,
    .keeps_state = true,
    .no_retry = true,
    .open = open_statsd,
    .close = close_statsd,
    .send = send_event,
    .gauges = send_gauges,
};
