/*
 * fault_operator.c: what operators ask for, at any time and of anybody.
 */
#include "sim/swarm.h"

static bool can_ask(const Cluster *c, int no)
{
    return c->node[no].up && !c->node[no].frozen && !c->node[no].agent_frozen;
}

static int leader_of(const Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        if (can_ask(c, no) && c->node[no].core.role == ROLE_LEADER)
            return no;
    return -1;
}

/* Mostly of the leader, who does it, and at times of somebody else, who must refuse. */
static bool ask(Sim *s, int no, CommandKind kind)
{
    Cluster *c = s->c;
    int leader = leader_of(c);
    int whom = leader >= 0 && fault_draw(s, 4) ? leader : no;

    if (!can_ask(c, whom))
        return false;
    cluster_command(c, whom, kind, fault_draw(s, 3) ? (MemberNo) fault_draw(s, c->count) : MEMBER_NONE);
    return true;
}

static bool switchover(Sim *s, int no)
{
    return ask(s, no, COMMAND_SWITCHOVER);
}

static bool failover(Sim *s, int no)
{
    bool accept_loss = fault_draw(s, 8) == 0;
    int leader = leader_of(s->c);

    if (leader < 0 && !can_ask(s->c, no))
        return false;
    cluster_failover(s->c, leader >= 0 ? leader : no, (MemberNo) no, accept_loss);
    return true;
}

static bool pause(Sim *s, int no)
{
    (void) no;
    int leader = leader_of(s->c);

    if (leader < 0)
        return false;
    cluster_command(s->c, leader, COMMAND_PAUSE, MEMBER_NONE);
    return true;
}

void fault_resume(Cluster *c)
{
    int leader = leader_of(c);

    if (leader >= 0 && c->node[leader].core.persist.doc.paused)
        cluster_command(c, leader, COMMAND_RESUME, MEMBER_NONE);
}

/* Without a leader it is tried again later. */
static void pause_end(Sim *s, int no)
{
    Cluster *c = s->c;
    int leader = leader_of(c);

    if (leader >= 0) {
        fault_resume(c);
    } else {
        s->until_us[FAULT_PAUSE][no] = c->now_us + US_PER_SEC;
        if (s->next_end_us == 0 || s->until_us[FAULT_PAUSE][no] < s->next_end_us)
            s->next_end_us = s->until_us[FAULT_PAUSE][no];
    }
}

static bool ask_member(Sim *s, int no, CommandKind kind)
{
    if (!can_ask(s->c, no))
        return false;
    cluster_command(s->c, no, kind, (MemberNo) no);
    return true;
}

static bool restart(Sim *s, int no)
{
    return ask_member(s, no, COMMAND_RESTART);
}

static bool reload(Sim *s, int no)
{
    return ask_member(s, no, COMMAND_RELOAD);
}

static bool rejoin(Sim *s, int no)
{
    return ask_member(s, no, COMMAND_REJOIN);
}

static bool clone(Sim *s, int no)
{
    return ask_member(s, no, COMMAND_CLONE);
}

/* What a reload of the configuration may change while the agent runs. */
static bool options(Sim *s, int no)
{
    CoreOptions options = s->c->node[no].options;

    if (!can_ask(s->c, no))
        return false;
    options.restart_on_crash = fault_draw(s, 3) == 0;
    options.crash_restart_limit_ms = (uint32_t) (1000 + fault_draw(s, 20000));
    options.unresponsive_ms = (uint32_t) (1000 + fault_draw(s, 8000));
    options.start_limit_ms = (uint32_t) (5000 + fault_draw(s, 30000));
    options.stream_timeout_ms = (uint32_t) (5000 + fault_draw(s, 30000));
    options.rejoin_rewind = fault_draw(s, 4) != 0;
    if (s->c->pairs)
        options.standby_votes = fault_draw(s, 3) != 0;
    cluster_options(s->c, no, &options);
    return true;
}

/* Who waits for a decision, or -1. */
static int asker_of(const Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        if (c->node[no].up && core_report(&c->node[no].core).lost.asks)
            return no;
    return -1;
}

bool fault_resolve(Cluster *c, bool other)
{
    int leader = leader_of(c), asker = asker_of(c), keep = other ? asker : leader;

    for (int no = 0; no < c->count && leader < 0; no++) {
        bool first = can_ask(c, no) && c->node[no].core.persist.doc.epoch == 0 &&
                     c->node[no].server.state == PG_PRIMARY;
        if (first && (keep < 0 || other))
            keep = no;
    }
    if (keep < 0 || (leader >= 0 && asker < 0) || !can_ask(c, keep))
        return false;
    int whom = leader >= 0 ? leader : keep;
    cluster_resolve(c, whom, cluster_slot(c, &c->node[whom].core.persist.doc, keep));
    return true;
}

static bool resolve(Sim *s, int no)
{
    (void) no;
    return fault_resolve(s->c, fault_draw(s, 2) != 0);
}

/* The same file everywhere, and a reload. */
static void set_sync(Cluster *c, SyncMode mode, uint8_t k)
{
    for (int i = 0; i < c->count; i++) {
        CoreOptions options = c->node[i].options;
        options.sync_mode = mode;
        options.sync_k = k;
        if (can_ask(c, i))
            cluster_options(c, i, &options);
        else
            c->node[i].options = options;
    }
}

void fault_fit_sync(Cluster *c)
{
    const CoreOptions *options = &c->node[0].options;
    int most = swarm_standbys(c);

    if (options->sync_mode == SYNC_STRICT && options->sync_k > most)
        set_sync(c, most > 0 ? SYNC_STRICT : SYNC_ON, (uint8_t) (most > 0 ? most : 1));
}

static bool sync_change(Sim *s, int no)
{
    (void) no;
    if (s->c->node[0].options.sync_mode == SYNC_OFF && fault_draw(s, 2))
        return false;
    set_sync(s->c, (SyncMode) fault_draw(s, 3), (uint8_t) (1 + fault_draw(s, 2)));
    fault_fit_sync(s->c);
    return true;
}

static bool ask_leader(Sim *s, CommandKind kind, int whom)
{
    int leader = leader_of(s->c);

    if (leader < 0)
        return false;
    cluster_command(s->c, leader, kind, (MemberNo) whom);
    return true;
}

/* One that was removed, or was never one. */
static bool member_add(Sim *s, int no)
{
    int leader = leader_of(s->c);

    for (no = 0; leader >= 0 && no < s->c->count; no++)
        if (cluster_slot(s->c, &s->c->node[leader].core.persist.doc, no) == MEMBER_NONE)
            return ask_leader(s, COMMAND_MEMBER_ADD, no);
    return false;
}

/* Of a cluster that is whole, and has enough left. */
static bool member_remove(Sim *s, int no)
{
    Cluster *c = s->c;
    int members = 0;

    if (leader_of(c) < 0 || cluster_lacks(c) != NULL)
        return false;
    for (int i = 0; i < c->count; i++)
        members += cluster_slot(c, &c->node[leader_of(c)].core.persist.doc, i) != MEMBER_NONE;
    no = (int) fault_draw(s, c->count);
    return members > (c->pairs ? 2 : 3) && ask_leader(s, COMMAND_MEMBER_REMOVE, no);
}

const FaultDoes fault_operator_does[] = {
    {FAULT_SYNC_CHANGE, sync_change, NULL},
    {FAULT_MEMBER_ADD, member_add, NULL},
    {FAULT_MEMBER_REMOVE, member_remove, NULL},
    {FAULT_SWITCHOVER, switchover, NULL},
    {FAULT_FAILOVER, failover, NULL},
    {FAULT_PAUSE, pause, pause_end},
    {FAULT_RESTART, restart, NULL},
    {FAULT_RELOAD, reload, NULL},
    {FAULT_REJOIN, rejoin, NULL},
    {FAULT_CLONE, clone, NULL},
    {FAULT_RESOLVE, resolve, NULL},
    {FAULT_OPTIONS, options, NULL},
    {FAULTS, NULL, NULL},
};
