/*
 * notify_kind.c: the words for what can be told, and for what hooks are run around.
 */
#include "base/notify_kind.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name, *text;
    NotifySeverity severity;
    bool is_condition;
} events[] = {
#define NOTIFY_EVENT_ROW(id, how_bad, condition, what)                                                       \
    {.name = #id, .text = what, .severity = NOTIFY_##how_bad, .is_condition = condition},
    NOTIFY_EVENT_LIST(NOTIFY_EVENT_ROW)
#undef NOTIFY_EVENT_ROW
};

static const char *const actions[] = {
#define NOTIFY_ACTION_ROW(id, name) name,
    NOTIFY_ACTION_LIST(NOTIFY_ACTION_ROW)
#undef NOTIFY_ACTION_ROW
};

static bool is_event(NotifyEventKind kind)
{
    return (int) kind >= 0 && kind < NOTIFY_EVENTS;
}

const char *notify_event_name(NotifyEventKind kind)
{
    return is_event(kind) ? events[kind].name : "?";
}

const char *notify_event_text(NotifyEventKind kind)
{
    return is_event(kind) ? events[kind].text : "?";
}

NotifySeverity notify_event_severity(NotifyEventKind kind)
{
    return is_event(kind) ? events[kind].severity : NOTIFY_INFO;
}

bool notify_event_is_condition(NotifyEventKind kind)
{
    return is_event(kind) && events[kind].is_condition;
}

NotifyEventKind notify_event_find(const char *name)
{
    int kind = 0;

    while (kind < NOTIFY_EVENTS && strcmp(events[kind].name, name) != 0)
        kind++;
    return (NotifyEventKind) kind;
}

const char *notify_severity_name(NotifySeverity severity)
{
    static const char *const names[] = {"info", "warning", "critical"};
    return (int) severity >= 0 && severity <= NOTIFY_CRITICAL ? names[severity] : "?";
}

const char *notify_action_name(NotifyAction action)
{
    return (int) action >= 0 && action < NOTIFY_ACTIONS ? actions[action] : "?";
}

NotifyAction notify_action_find(const char *name)
{
    int action = 0;

    while (action < NOTIFY_ACTIONS && strcmp(actions[action], name) != 0)
        action++;
    return (NotifyAction) action;
}
