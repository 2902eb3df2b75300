/*
 * hold.c: hooks around what is done to the server. Before a promotion, a follow and a rejoin they are waited
 * for, and may refuse; whatever takes writes away is told to them and waits for nobody.
 *
 * A held action has not begun: an agent that loses its lease meanwhile is asked again before the promotion
 * (actions_set_permit), and a newer action makes the held one void.
 */
#include "agent/internal.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <string.h>

#define REFUSAL_TOLD_US (60 * US_PER_SEC)

/* The own server is a primary, or was one when it last answered. */
static bool is_primary(const Agent *agent)
{
    return agent->core.pg.state == PG_PRIMARY ||
           (agent->core.pg.state == PG_UNKNOWN && agent->tell.was_primary);
}

static bool is_demotion(const Agent *agent, const Action *action)
{
    bool stops = action->kind == ACTION_STOP_FAST || action->kind == ACTION_STOP_IMMEDIATE ||
                 action->kind == ACTION_START_STANDBY || action->kind == ACTION_RESTART_STANDBY;

    return stops && is_primary(agent) && !agent->core.want_restart;
}

/* What is held, and for which hooks; NOTIFY_ACTIONS: nothing is. */
static NotifyAction hooks_before(const Agent *agent, const Action *action)
{
    if (is_primary(agent))
        return NOTIFY_ACTIONS;
    switch (action->kind) {
    case ACTION_PROMOTE: return NOTIFY_BEFORE_PROMOTE;
    case ACTION_FOLLOW:
    case ACTION_START_STANDBY:
    case ACTION_RESTART_STANDBY: return action->target != MEMBER_NONE ? NOTIFY_BEFORE_FOLLOW : NOTIFY_ACTIONS;
    case ACTION_REWIND:
    case ACTION_CLONE: return NOTIFY_BEFORE_REJOIN;
    default: return NOTIFY_ACTIONS;
    }
}

static void on_hooks(void *arg, bool allowed, const Err *err)
{
    Agent *agent = arg;
    Action action = agent->tell.held;

    if (!agent->tell.is_held)
        return;
    agent->tell.is_held = false;
    if (allowed) {
        effects_act(agent, &action);
    } else {
        str_copy(agent->tell.refusal, sizeof agent->tell.refusal, err->text);
        agent->tell.refused_us = clock_now().boot_us;
        effects_fail(agent, &action, true, err->text);
    }
    agent_turn(agent);
}

const char *hold_refusal(const Agent *agent)
{
    return clock_now().boot_us - agent->tell.refused_us < REFUSAL_TOLD_US ? agent->tell.refusal : "";
}

static void run(Agent *agent, NotifyAction action, const char *role)
{
    NotifyEvent event;

    if (!notify_has_hook(agent->tell.notify, action))
        return;
    tell_fill(agent, &event);
    str_copy(event.member, sizeof event.member, agent->core.options.name);
    if (role != NULL)
        str_copy(event.role, sizeof event.role, role);
    notify_run_hooks(agent->tell.notify, action, &event);
}

bool hold_action(Agent *agent, const Action *action)
{
    NotifyAction before = hooks_before(agent, action);
    NotifyEvent event;

    if (agent->tell.notify == NULL)
        return false;
    agent->tell.follows = action->target != MEMBER_NONE;
    if (is_demotion(agent, action))
        run(agent, NOTIFY_BEFORE_DEMOTE, "primary");
    if (before == NOTIFY_ACTIONS || !notify_has_hook(agent->tell.notify, before))
        return false;
    tell_fill(agent, &event);
    str_copy(event.member, sizeof event.member, agent->core.options.name);
    agent->tell.held = *action;
    agent->tell.is_held = true;
    log_line(LOG_LEVEL_INFO, "action_held", "id=%u kind=%s hooks=%s", (unsigned) action->id,
             action_kind_name(action->kind), notify_action_name(before));
    notify_before(agent->tell.notify, before, &event, on_hooks, agent);
    return true;
}

void hold_drop(Agent *agent)
{
    if (!agent->tell.is_held)
        return;
    log_line(LOG_LEVEL_INFO, "action_void", "id=%u kind=%s another takes its place",
             (unsigned) agent->tell.held.id, action_kind_name(agent->tell.held.kind));
    agent->tell.is_held = false;
    notify_forget_before(agent->tell.notify);
}

/* ---- Afterwards ---- */

static void role_changed(Agent *agent, PgState state)
{
    if (agent->tell.role_told == state)
        return;
    bool first = agent->tell.role_told == PG_UNKNOWN;
    agent->tell.role_told = state;
    if (!first)
        run(agent, NOTIFY_ON_ROLE_CHANGE, state == PG_PRIMARY ? "primary" : "replica");
}

static void demoted(Agent *agent)
{
    agent->tell.was_primary = false;
    run(agent, NOTIFY_AFTER_DEMOTE, "replica");
}

static void started(Agent *agent, ActionKind kind)
{
    bool again = kind == ACTION_RESTART_STANDBY || agent->tell.restarts;

    agent->tell.restarts = false;
    run(agent, again ? NOTIFY_ON_RESTART : NOTIFY_ON_START,
        kind == ACTION_START_PRIMARY ? "primary" : "replica");
}

void hold_ended(Agent *agent, const ActionOutcome *outcome)
{
    if (agent->tell.notify == NULL || !outcome->ok)
        return;
    switch (outcome->kind) {
    case ACTION_PROMOTE:
        agent->tell.was_primary = true;
        run(agent, NOTIFY_AFTER_PROMOTE, "primary");
        role_changed(agent, PG_PRIMARY);
        break;
    case ACTION_STOP_FAST:
    case ACTION_STOP_IMMEDIATE:
        agent->tell.restarts = agent->core.want_restart;
        if (!agent->tell.restarts)
            run(agent, NOTIFY_ON_STOP, NULL);
        if (agent->tell.was_primary && !agent->tell.restarts)
            demoted(agent);
        break;
    case ACTION_START_PRIMARY: started(agent, outcome->kind); break;
    case ACTION_START_STANDBY:
    case ACTION_RESTART_STANDBY:
        started(agent, outcome->kind);
        if (agent->tell.follows)
            run(agent, NOTIFY_AFTER_FOLLOW, "replica");
        break;
    case ACTION_FOLLOW: run(agent, NOTIFY_AFTER_FOLLOW, "replica"); break;
    case ACTION_RELOAD: run(agent, NOTIFY_ON_RELOAD, NULL); break;
    default: break;
    }
}

/* Not all that ends a primary is an action: the guard, the fence, or somebody at the machine may have. */
void hold_look(Agent *agent)
{
    const Core *core = &agent->core;

    if (core->pg.state == PG_PRIMARY) {
        agent->tell.was_primary = true;
        role_changed(agent, PG_PRIMARY);
    } else if (core->pg.state == PG_STANDBY) {
        if (agent->tell.was_primary)
            demoted(agent);
        role_changed(agent, PG_STANDBY);
    } else if (agent->tell.was_primary && (core->pg.state == PG_STOPPED || core->pg.state == PG_CRASHED) &&
               core->role != ROLE_LEADER) {
        demoted(agent);
    }
}
