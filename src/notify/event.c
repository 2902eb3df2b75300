/*
 * event.c: an event as JSON and as a line.
 */
#include "notify/event.h"

#include "wire/json.h"

#include <stdio.h>
#include <string.h>

const char *event_state_name(NotifyState state)
{
    static const char *const names[] = {"happened", "began", "ended"};
    return (int) state >= 0 && state <= NOTIFY_ENDED ? names[state] : "?";
}

void event_id(const NotifyEvent *event, const char *reporter, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%s-%llx", reporter, (unsigned long long) event->id);
}

void event_json(const NotifyEvent *event, const char *cluster, const char *reporter, Buf *out)
{
    char id[MEMBER_NAME_LEN + 24];

    event_id(event, reporter, id, sizeof id);
    json_add_open(out, NULL, '{');
    json_add_number(out, "version", 1);
    json_add_text(out, "id", id);
    json_add_text(out, "cluster", cluster);
    json_add_text(out, "event", notify_event_name(event->kind));
    json_add_text(out, "state", event_state_name(event->state));
    json_add_text(out, "severity", notify_severity_name(event->severity));
    json_add_text(out, "member", event->member[0] != '\0' ? event->member : NULL);
    json_add_text(out, "subject", event->subject[0] != '\0' ? event->subject : NULL);
    json_add_text(out, "reporter", reporter);
    json_add_text(out, "primary", event->primary[0] != '\0' ? event->primary : NULL);
    json_add_time(out, "time", event->wall_us);
    json_add_number(out, "epoch", event->epoch);
    if (event->timeline != 0)
        json_add_number(out, "timeline", event->timeline);
    else
        json_add_null(out, "timeline");
    json_add_lsn_or_null(out, "lsn", event->lsn);
    json_add_number(out, "left_out", event->left_out);
    json_add_text(out, "text", event->text);
    json_add_close(out, '}');
}

void event_line(const NotifyEvent *event, const char *cluster, Buf *out)
{
    static const char *const words[] = {"INFO", "WARNING", "CRITICAL"};
    const char *word = event->state == NOTIFY_ENDED ? "OK" : words[event->severity];

    buf_printf(out, "%s: %s: %s", cluster, word, event->text);
}

bool event_is_same(const NotifyEvent *a, const NotifyEvent *b)
{
    return a->kind == b->kind && strcmp(a->member, b->member) == 0 && strcmp(a->subject, b->subject) == 0;
}
