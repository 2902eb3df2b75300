/*
 * alarms.h: what is not as it should be now, as this member sees it; private to src/agent.
 *
 * /v1/cluster shows the texts; notifications go by kind, member and subject, which stay the same while the
 * text may change.
 */
#ifndef PGVIGIL_AGENT_ALARMS_H
#define PGVIGIL_AGENT_ALARMS_H

#include "base/notify_kind.h"
#include "base/types.h"

#define ALARMS_MAX        64
#define ALARM_TEXT_LEN    512
#define ALARM_SUBJECT_LEN 64

struct Agent;

typedef struct Alarm {
    NotifyEventKind kind;
    MemberNo member;                 /* MEMBER_NONE: the cluster */
    char subject[ALARM_SUBJECT_LEN]; /* where one member can have several of a kind; "" */
    char text[ALARM_TEXT_LEN];
} Alarm;

typedef struct Alarms {
    int count;
    Alarm alarm[ALARMS_MAX];
} Alarms;

/* All that there are now. What goes beyond ALARMS_MAX is left out. */
void alarms_find(const struct Agent *agent, Alarms *ret_alarms);

void alarms_add(Alarms *alarms, NotifyEventKind kind, MemberNo member, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void alarms_add_of(Alarms *alarms, NotifyEventKind kind, MemberNo member, const char *subject,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
