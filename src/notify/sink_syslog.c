/*
 * sink_syslog.c: an event as a line of syslog, with fields where the form has them.
 */
#include "notify/sink.h"
#include "notify/syslog.h"

#include <stdio.h>

static bool open_syslog(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);
    static const SyslogFormat formats[] = {SYSLOG_AUTO, SYSLOG_RFC3164, SYSLOG_RFC5424};
    SyslogSpec spec = {
        .address = view->spec.address != NULL ? view->spec.address : SYSLOG_ADDRESS,
        .facility = view->spec.facility,
        .app = "pgvigil",
        .format = formats[view->spec.format],
    };

    view->state = syslog_new(view->loop, &spec, err);
    return view->state != NULL;
}

static void close_syslog(Sink *sink)
{
    syslog_free(sink_view(sink)->state);
}

static SyslogSeverity severity_of(const NotifyEvent *event)
{
    static const SyslogSeverity severities[] = {SYSLOG_INFO, SYSLOG_WARNING, SYSLOG_CRITICAL};
    return event->state == NOTIFY_ENDED ? SYSLOG_NOTICE : severities[event->severity];
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    const SinkView *view = sink_view(sink);
    char epoch[16], id[96];
    SyslogField field[] = {
        {"cluster", view->cluster},
        {"event", notify_event_name(event->kind)},
        {"state", event_state_name(event->state)},
        {"severity", notify_severity_name(event->severity)},
        {"member", event->member},
        {"reporter", view->reporter},
        {"primary", event->primary},
        {"epoch", epoch},
        {"id", id},
    };
    Buf line = {0};

    snprintf(epoch, sizeof epoch, "%u", (unsigned) event->epoch);
    event_id(event, view->reporter, id, sizeof id);
    event_line(event, view->cluster, &line);
    bool ok = line.data != NULL && !line.failed
                  ? syslog_send(view->state, severity_of(event), notify_event_name(event->kind), field,
                                (int) (sizeof field / sizeof *field), line.data, err)
                  : err_set(err, ERR_MEMORY, "out of memory for syslog");
    buf_done(&line);
    return ok ? SINK_SENT : SINK_FAILED;
}

const SinkKind sink_syslog = {
    .way = NOTIFY_SYSLOG,
    .open = open_syslog,
    .close = close_syslog,
    .send = send_event,
};
