/*
 * tell.h: the agent's side of notifications: what of its history, alarms and numbers is told, and the hooks
 * around its actions; private to src/agent.
 */
#ifndef PGVIGIL_AGENT_TELL_H
#define PGVIGIL_AGENT_TELL_H

#include "action/action.h"
#include "base/str.h"
#include "config/config.h"
#include "core/core.h"
#include "notify/notify.h"

struct Agent;

/* What is kept of it in Agent. */
typedef struct Tell {
    Notify *notify;
    PgState state; /* of the own server, as it was told last */
    bool is_state_known;
    int64_t primary_us; /* boot clock: when there was a primary last, or this process began */
    bool was_primary;   /* the own server, until its demotion was told */
    PgState role_told;  /* by on_role_change: PG_PRIMARY, PG_STANDBY; PG_UNKNOWN: none yet */
    bool follows;       /* the action that was begun last names whom to follow */
    bool restarts;      /* it was stopped to be started again */
    bool is_held;       /* an action waits for its before_ hooks */
    Action held;
    char refusal[ACTION_TEXT_LEN]; /* what a hook said that refused last */
    int64_t refused_us;            /* boot clock */
} Tell;

void tell_start(struct Agent *agent);
void tell_reload(struct Agent *agent);
void tell_done(struct Agent *agent);

/* A row of the history was written here. */
void tell_history(struct Agent *agent, const History *history, const char *reason);

/* Alarms and state as they are now. After the effects, and at least each PUBLISH_EVERY_US. */
void tell_look(struct Agent *agent);

/* There has been no primary for longer than alarms.no_primary. */
bool tell_lacks_primary(const struct Agent *agent);

void tell_metrics(const struct Agent *agent, Buf *out);

/*
 * hold.c: an action is about to begin. True: hooks run before it, and effects_act or effects_fail follows; a
 * newer action, by hold_drop, makes it void. Whatever takes writes away is told to its hooks and never held.
 */
bool hold_action(struct Agent *agent, const Action *action);
void hold_drop(struct Agent *agent);
/* What a hook said that refused within the last minute; "". */
const char *hold_refusal(const struct Agent *agent);
/* It has ended. */
void hold_ended(struct Agent *agent, const ActionOutcome *outcome);
/* The server's state has been looked at. */
void hold_look(struct Agent *agent);

/* The event with all that is the same for each. */
void tell_fill(const struct Agent *agent, NotifyEvent *ret_event);

#endif
