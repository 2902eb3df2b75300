/*
 * sink_journald.c: an event as an entry of the journal, by its native protocol: one datagram of fields.
 *
 * Not by libsystemd, whose sd_journal_send knows one socket only and may block on it. The protocol:
 * systemd.io/JOURNAL_NATIVE_PROTOCOL.
 */
#include "notify/datagram.h"
#include "notify/sink.h"

#include <stdio.h>
#include <string.h>

#define SOCKET     "/run/systemd/journal/socket"
#define MESSAGE_ID "5e1a4c0f2b9d4f7ea8c36d1b7f20914a" /* of all entries of pgvigil's notifications */

static bool open_journald(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);

    view->state = datagram_new(view->loop, view->spec.address != NULL ? view->spec.address : SOCKET, 0, err);
    return view->state != NULL;
}

static void close_journald(Sink *sink)
{
    datagram_free(sink_view(sink)->state);
}

/* A value with a line break goes with its length, little-endian, instead of behind '='. */
static void add_field(Buf *out, const char *name, const char *value)
{
    size_t len = strlen(value);
    char size[8];

    if (len == 0)
        return;
    buf_puts(out, name);
    if (strchr(value, '\n') == NULL) {
        buf_puts(out, "=");
    } else {
        for (int i = 0; i < 8; i++)
            size[i] = (char) ((uint64_t) len >> (8 * i) & 0xFFu);
        buf_puts(out, "\n");
        buf_add(out, size, sizeof size);
    }
    buf_add(out, value, len);
    buf_puts(out, "\n");
}

static void add_number(Buf *out, const char *name, uint64_t number)
{
    if (number != 0)
        buf_printf(out, "%s=%llu\n", name, (unsigned long long) number);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    const SinkView *view = sink_view(sink);
    static const int priorities[] = {6, 4, 2};
    char lsn[LSN_TEXT_LEN] = "", id[96];
    Buf line = {0}, out = {0};
    bool ok = false;

    event_line(event, view->cluster, &line);
    event_id(event, view->reporter, id, sizeof id);
    if (event->lsn != LSN_NONE)
        lsn_format(event->lsn, lsn);
    add_field(&out, "MESSAGE", line.data != NULL ? line.data : "");
    add_field(&out, "MESSAGE_ID", MESSAGE_ID);
    buf_printf(&out, "PRIORITY=%d\n", event->state == NOTIFY_ENDED ? 5 : priorities[event->severity]);
    add_field(&out, "SYSLOG_IDENTIFIER", "pgvigil");
    add_field(&out, "PGVIGIL_CLUSTER", view->cluster);
    add_field(&out, "PGVIGIL_EVENT", notify_event_name(event->kind));
    add_field(&out, "PGVIGIL_STATE", event_state_name(event->state));
    add_field(&out, "PGVIGIL_SEVERITY", notify_severity_name(event->severity));
    add_field(&out, "PGVIGIL_MEMBER", event->member);
    add_field(&out, "PGVIGIL_SUBJECT", event->subject);
    add_field(&out, "PGVIGIL_REPORTER", view->reporter);
    add_field(&out, "PGVIGIL_PRIMARY", event->primary);
    add_field(&out, "PGVIGIL_LSN", lsn);
    add_field(&out, "PGVIGIL_ID", id);
    add_number(&out, "PGVIGIL_EPOCH", event->epoch);
    add_number(&out, "PGVIGIL_TIMELINE", event->timeline);
    if (out.failed || line.failed)
        err_set(err, ERR_MEMORY, "out of memory for the journal");
    else
        ok = datagram_send(view->state, out.data, out.len, err);
    buf_done(&line);
    buf_done(&out);
    return ok ? SINK_SENT : SINK_FAILED;
}

const SinkKind sink_journald = {
    .way = NOTIFY_JOURNALD,
    .open = open_journald,
    .close = close_journald,
    .send = send_event,
};
