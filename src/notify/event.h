/*
 * event.h: one thing to tell: what, of whom, how bad, since when; as JSON for programs and text for people.
 *
 * docs/notifications.md describes the JSON; programs of others read it, so it is added to and never renamed.
 */
#ifndef PGVIGIL_NOTIFY_EVENT_H
#define PGVIGIL_NOTIFY_EVENT_H

#include "base/notify_kind.h"
#include "base/str.h"
#include "base/types.h"

#define NOTIFY_TEXT_LEN    512
#define NOTIFY_SUBJECT_LEN 64
#define NOTIFY_HOST_LEN    256

typedef enum NotifyState {
    NOTIFY_HAPPENED, /* once */
    NOTIFY_BEGAN,    /* a condition holds */
    NOTIFY_ENDED,    /* and does not any more */
} NotifyState;

typedef struct NotifyEvent {
    NotifyEventKind kind;
    NotifyState state;
    NotifySeverity severity;
    char member[NOTIFY_SUBJECT_LEN];  /* of whom it is told; "": of the cluster */
    char subject[NOTIFY_SUBJECT_LEN]; /* a gate or an address, where one member has several; "" */
    char primary[MEMBER_NAME_LEN];    /* the primary now, "": none is known */
    char primary_host[NOTIFY_HOST_LEN];
    uint16_t primary_port; /* 0: not known */
    char role[16];         /* of the one who tells: primary, replica, witness or none */
    int64_t wall_us;       /* when it happened, or when the condition began or ended */
    uint32_t epoch, timeline;
    Lsn lsn;                    /* of the takeover or of the primary; LSN_NONE: not known */
    char text[NOTIFY_TEXT_LEN]; /* of a condition that ended it begins with "over: " */
    uint32_t left_out;          /* so often it began without being told since the last time */
    uint64_t id;                /* given by the queue; the same for each try */
    const char *action;         /* a hook's, by notify_action_name; NULL: this is an event */
} NotifyEvent;

/* The object, without a newline. */
void event_json(const NotifyEvent *event, const char *cluster, const char *reporter, Buf *out);

/* What tells two messages apart: reporter and id. */
void event_id(const NotifyEvent *event, const char *reporter, char *ret_text, size_t size);

/* One line: "shop: CRITICAL: failover: ..."; of a condition that ended "shop: OK: ...". */
void event_line(const NotifyEvent *event, const char *cluster, Buf *out);

/* "happened", "began", "ended" */
const char *event_state_name(NotifyState state);

/* True if both are of the same condition, or the same happening. */
bool event_is_same(const NotifyEvent *a, const NotifyEvent *b);

#endif
