/*
 * fault_host.c: what befalls agents, their disks and clocks, and whole hosts.
 */
#include "sim/fault.h"

static int64_t draw_down_us(Sim *s)
{
    int64_t most_ms = fault_draw(s, 2) ? 900 : 8000;
    return (1 + fault_draw(s, most_ms)) * US_PER_MS;
}

static bool agent_crash(Sim *s, int no)
{
    Node *node = &s->c->node[no];

    if (!node->up || node->frozen)
        return false;
    cluster_kill_agent(s->c, no);
    node->up_at_us = s->c->now_us + draw_down_us(s);
    return true;
}

static bool set_trap(Sim *s, int no, Trap trap)
{
    Node *node = &s->c->node[no];

    if (!node->up || node->frozen || node->trap != TRAP_NONE)
        return false;
    node->trap = trap;
    node->trap_down_us = draw_down_us(s);
    return true;
}

static bool crash_at_effect(Sim *s, int no)
{
    static const Trap traps[] = {TRAP_BEFORE_WRITE, TRAP_AFTER_WRITE, TRAP_BEFORE_SEND, TRAP_AFTER_SEND,
                                 TRAP_BEFORE_ACTION};
    return set_trap(s, no, traps[fault_draw(s, sizeof traps / sizeof traps[0])]);
}

static bool torn_write(Sim *s, int no)
{
    return set_trap(s, no, TRAP_TORN_WRITE);
}

static bool copy_interrupted(Sim *s, int no)
{
    return set_trap(s, no, TRAP_IN_COPY);
}

static bool agent_freeze(Sim *s, int no)
{
    if (!s->c->node[no].up)
        return false;
    cluster_freeze_agent(s->c, no, true);
    return true;
}

static void agent_freeze_end(Sim *s, int no)
{
    cluster_freeze_agent(s->c, no, false);
}

static bool failing_sync(Sim *s, int no)
{
    cluster_disk(s->c, no, true);
    return true;
}

static void failing_sync_end(Sim *s, int no)
{
    cluster_disk(s->c, no, false);
}

static bool slow_disk(Sim *s, int no)
{
    s->c->node[no].disk_us = (1 + fault_draw(s, fault_draw(s, 2) ? 2000 : 100)) * US_PER_MS;
    cluster_trace(s->c, no, "-- a record takes %lld ms", (long long) (s->c->node[no].disk_us / US_PER_MS));
    return true;
}

static void slow_disk_end(Sim *s, int no)
{
    s->c->node[no].disk_us = US_PER_MS;
}

static bool host_killed(Sim *s, int no)
{
    Node *node = &s->c->node[no];

    if (!node->up || node->frozen)
        return false;
    cluster_kill_host(s->c, no);
    node->up_at_us = s->c->now_us + draw_down_us(s);
    return true;
}

static bool reboot(Sim *s, int no)
{
    Node *node = &s->c->node[no];

    if (!node->up || node->frozen)
        return false;
    cluster_reboot(s->c, no);
    node->up_at_us = s->c->now_us + draw_down_us(s);
    return true;
}

static bool pause_host(Sim *s, int no, Pause pause)
{
    if (s->c->node[no].frozen)
        return false;
    cluster_pause_host(s->c, no, pause);
    return true;
}

static bool host_freeze(Sim *s, int no)
{
    return pause_host(s, no, PAUSE_CLOCKS_RUN);
}

static bool suspend(Sim *s, int no)
{
    return pause_host(s, no, PAUSE_SUSPEND);
}

static bool hypervisor_pause(Sim *s, int no)
{
    return pause_host(s, no, PAUSE_CLOCKS_STOP);
}

static void thaw(Sim *s, int no)
{
    if (s->c->node[no].frozen)
        cluster_freeze(s->c, no, false);
}

static bool wall_jump(Sim *s, int no)
{
    int64_t by_ms = fault_draw(s, 2) ? fault_draw(s, 400) - 200 : fault_draw(s, 7200000) - 3600000;

    cluster_trace(s->c, no, "-- wall clock set by %lld ms", (long long) by_ms);
    s->c->node[no].wall_ahead_us += by_ms * US_PER_MS;
    return true;
}

/* Only the fence stops a server then. */
static bool guard_sleeps(Sim *s, int no)
{
    if (!s->c->node[no].server.fenced)
        return false;
    s->c->node[no].guard_late_us = (1 + fault_draw(s, 3000)) * US_PER_MS;
    cluster_trace(s->c, no, "-- the guard oversleeps by %lld ms",
                  (long long) (s->c->node[no].guard_late_us / US_PER_MS));
    return true;
}

static void guard_sleeps_end(Sim *s, int no)
{
    s->c->node[no].guard_late_us = 0;
}

/* One member at a time: what two have lost nobody can bring back, nor a vote without which there is no
 * majority. */
static bool may_lose_state(const Cluster *c, int no)
{
    int primary = cluster_primary(c), votes = 0;

    if (cluster_lacks(c) != NULL || primary < 0)
        return false;
    const Document *doc = &c->node[primary].core.persist.doc;
    for (MemberNo slot = 0; slot < MEMBER_MAX; slot++)
        votes += doc->member[slot].voter ? (cluster_node(c, doc, slot) != no ? 1 : -1) : 0;
    return votes > 0;
}

static bool wiped(Sim *s, int no)
{
    if (!may_lose_state(s->c, no))
        return false;
    cluster_wipe(s->c, no);
    s->c->node[no].up_at_us = s->c->now_us + draw_down_us(s);
    return true;
}

static bool state_lost(Sim *s, int no)
{
    if (!may_lose_state(s->c, no))
        return false;
    cluster_lose_state(s->c, no);
    s->c->node[no].up_at_us = s->c->now_us + 1 + fault_draw(s, 900 * US_PER_MS);
    return true;
}

const FaultDoes fault_host_does[] = {
    {FAULT_AGENT_CRASH, agent_crash, NULL},
    {FAULT_CRASH_AT_EFFECT, crash_at_effect, NULL},
    {FAULT_TORN_WRITE, torn_write, NULL},
    {FAULT_AGENT_FREEZE, agent_freeze, agent_freeze_end},
    {FAULT_FAILING_SYNC, failing_sync, failing_sync_end},
    {FAULT_SLOW_DISK, slow_disk, slow_disk_end},
    {FAULT_HOST_KILLED, host_killed, NULL},
    {FAULT_REBOOT, reboot, NULL},
    {FAULT_HOST_FREEZE, host_freeze, thaw},
    {FAULT_SUSPEND, suspend, thaw},
    {FAULT_HYPERVISOR_PAUSE, hypervisor_pause, thaw},
    {FAULT_WALL_JUMP, wall_jump, NULL},
    {FAULT_GUARD_SLEEPS, guard_sleeps, guard_sleeps_end},
    {FAULT_COPY_INTERRUPTED, copy_interrupted, NULL},
    {FAULT_WIPED, wiped, NULL},
    {FAULT_STATE_LOST, state_lost, NULL},
    {FAULTS, NULL, NULL},
};
