/*
 * fault_network.c: what befalls messages and connections.
 */
#include "sim/fault.h"

#define DELAY_SPREAD_US (US_PER_MS / 5)

static bool loss(Sim *s, int no)
{
    (void) no;
    s->c->loss_ppm = (uint32_t) (10000 + fault_draw(s, 300000));
    return true;
}

static void loss_end(Sim *s, int no)
{
    (void) no;
    s->c->loss_ppm = 0;
}

static bool duplication(Sim *s, int no)
{
    (void) no;
    s->c->duplicate_ppm = (uint32_t) (10000 + fault_draw(s, 500000));
    return true;
}

static void duplication_end(Sim *s, int no)
{
    (void) no;
    s->c->duplicate_ppm = 0;
}

static bool reordering(Sim *s, int no)
{
    (void) no;
    s->c->delay_spread_us = (1 + fault_draw(s, 200)) * US_PER_MS;
    return true;
}

static bool slow_network(Sim *s, int no)
{
    (void) no;
    s->c->delay_spread_us = (1 + fault_draw(s, 3 * (int64_t) s->c->node[0].options.lease_ms)) * US_PER_MS;
    return true;
}

static void delay_end(Sim *s, int no)
{
    (void) no;
    s->c->delay_spread_us = DELAY_SPREAD_US;
}

static bool cut_off(Sim *s, int no)
{
    cluster_cut(s->c, no, true);
    return true;
}

static void cut_off_end(Sim *s, int no)
{
    cluster_cut(s->c, no, false);
}

static bool draw_other(Sim *s, FaultId id, int no)
{
    int other = (int) fault_draw(s, s->c->count);

    s->other[id][no] = (int8_t) other;
    return other != no;
}

static bool one_way_cut(Sim *s, int no)
{
    if (!draw_other(s, FAULT_ONE_WAY_CUT, no))
        return false;
    cluster_cut_link(s->c, no, s->other[FAULT_ONE_WAY_CUT][no], true);
    return true;
}

static void one_way_cut_end(Sim *s, int no)
{
    cluster_cut_link(s->c, no, s->other[FAULT_ONE_WAY_CUT][no], false);
}

static void cut_both(Sim *s, int no, bool cut)
{
    int other = s->other[FAULT_PARTIAL_CUT][no];

    cluster_cut_link(s->c, no, other, cut);
    cluster_cut_link(s->c, other, no, cut);
}

static bool partial_cut(Sim *s, int no)
{
    if (!draw_other(s, FAULT_PARTIAL_CUT, no))
        return false;
    cut_both(s, no, true);
    return true;
}

static void partial_cut_end(Sim *s, int no)
{
    cut_both(s, no, false);
}

static void cut_path(Cluster *c, bool (*path)[NODE_MAX], int no, const char *of, bool cut)
{
    cluster_trace(c, no, cut ? "-- connections of %s cut" : "-- connections of %s work again", of);
    for (int i = 0; i < c->count; i++)
        path[no][i] = path[i][no] = cut && i != no;
}

static bool replication_cut(Sim *s, int no)
{
    cut_path(s->c, s->c->cut_replication, no, "its server", true);
    return true;
}

static void replication_cut_end(Sim *s, int no)
{
    cut_path(s->c, s->c->cut_replication, no, "its server", false);
}

static bool agent_cut(Sim *s, int no)
{
    cut_path(s->c, s->c->cut_agents, no, "its agent", true);
    return true;
}

static void agent_cut_end(Sim *s, int no)
{
    cut_path(s->c, s->c->cut_agents, no, "its agent", false);
}

const FaultDoes fault_network_does[] = {
    {FAULT_LOSS, loss, loss_end},
    {FAULT_DUPLICATION, duplication, duplication_end},
    {FAULT_REORDERING, reordering, delay_end},
    {FAULT_SLOW_NETWORK, slow_network, delay_end},
    {FAULT_CUT_OFF, cut_off, cut_off_end},
    {FAULT_ONE_WAY_CUT, one_way_cut, one_way_cut_end},
    {FAULT_PARTIAL_CUT, partial_cut, partial_cut_end},
    {FAULT_REPLICATION_CUT, replication_cut, replication_cut_end},
    {FAULT_AGENT_CUT, agent_cut, agent_cut_end},
    {FAULTS, NULL, NULL},
};
