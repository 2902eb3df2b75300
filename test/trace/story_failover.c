/*
 * story_failover.c: a cluster begins, loses its primary in every way there is, and heals.
 */
#include "story.h"

#include <string.h>

static void start_all(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        cluster_start_agent(c, no);
}

static uint32_t epoch_of(const Cluster *c, int no)
{
    return c->node[no].core.persist.doc.epoch;
}

/* A running primary with two standbys is taken over as it is: nothing is restarted, nobody is promoted. */
static void bootstrap_adopt(Cluster *c)
{
    cluster_servers(c);
    for (int no = 0; no < c->count; no++) {
        cluster_start_agent(c, no);
        cluster_run(c, 300);
        EXPECT(c, c->node[0].server.state == PG_PRIMARY);
    }
    EXPECT_WHOLE(c, 3000);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->branches == 1);
    EXPECT(c, !c->node[0].server.self_restarts);
}

static void bootstrap_initdb(Cluster *c)
{
    c->node[0].options.initdb = true;
    start_all(c);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
}

/* The postmaster dies, its backends live on for half a second: released only when they are gone. */
static void crash(Cluster *c)
{
    cluster_settled(c);
    cluster_crash_server(c, 0, 500);
    cluster_run(c, 300);
    EXPECT(c, cluster_primary(c) > 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2 && !c->node[0].server.broken);
}

static void crash_restart(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].options.restart_on_crash = true;
    cluster_settled(c);
    cluster_crash_server(c, 0, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
}

static void host_killed(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 0);
    cluster_run(c, 1300);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_run(c, 2000);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) > 0 && epoch_of(c, 0) == 2);
}

static void host_cut(Cluster *c)
{
    cluster_settled(c);
    cluster_cut(c, 0, true);
    cluster_run(c, 1000);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    cluster_run(c, 300);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_run(c, 2000);
    cluster_cut(c, 0, false);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

/* Heartbeats go out, nothing comes back: the same as cut off, for the primary. */
static void one_way_cut(Cluster *c)
{
    cluster_settled(c);
    cluster_cut_link(c, 1, 0, true);
    cluster_cut_link(c, 2, 0, true);
    cluster_run(c, 4000);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    cluster_cut_link(c, 1, 0, false);
    cluster_cut_link(c, 2, 0, false);
    EXPECT_WHOLE(c, 6000);
}

/* Back within the lease: the same primary and epoch, and no standby stops streaming for a moment. */
static void agent_restart_in_time(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_agent(c, 0);
    cluster_run(c, 300);
    cluster_start_agent(c, 0);
    for (int ms = 0; ms < 3000; ms++) {
        cluster_run(c, 1);
        EXPECT(c, c->node[0].server.state == PG_PRIMARY);
        EXPECT(c, c->node[1].server.streaming && c->node[2].server.streaming);
    }
    EXPECT(c, cluster_lacks(c) == NULL && cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
}

static void agent_restart_late(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_agent(c, 0);
    cluster_run(c, 1300);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_run(c, 2000);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

/* A leader that stood still for five seconds wakes up in an older term. */
static void frozen_leader_wakes(Cluster *c)
{
    cluster_settled(c);
    cluster_freeze(c, 0, true);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) > 0);
    int primary = cluster_primary(c);
    cluster_freeze(c, 0, false);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == primary && epoch_of(c, 0) == 2);
}

/* The server hangs while its agent is well. */
static void server_hangs(Cluster *c)
{
    cluster_settled(c);
    cluster_trace(c, 0, "-- server hangs");
    c->node[0].server.hung = true;
    cluster_run(c, 8000);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, cluster_primary(c) > 0);
}

/* Processes that wait for a frozen disk cannot be ended: the lease has to run out. */
static void disk_frozen(Cluster *c)
{
    cluster_settled(c);
    cluster_stick(c, 0, true);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_run(c, 20000);
    EXPECT(c, cluster_primary(c) > 0 && epoch_of(c, 1) == 2);
    cluster_stick(c, 0, false);
    EXPECT_WHOLE(c, 80000);
    EXPECT(c, cluster_primary(c) > 0);
}

static void two_of_three_down(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 1);
    cluster_kill_host(c, 2);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) < 0 && c->node[0].server.state != PG_PRIMARY);
    cluster_start_agent(c, 1);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) == 0);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
}

/* The former primary has everything: it goes on, in the same epoch. */
static void all_restarted(Cluster *c)
{
    cluster_settled(c);
    for (int no = 0; no < c->count; no++)
        cluster_kill_host(c, no);
    cluster_run(c, 1000);
    start_all(c);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->branches == 1);
}

/* Two data nodes and a witness: the witness's vote decides, and it takes no part otherwise. */
static void witness(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 0);
    cluster_run(c, 1400);
    EXPECT(c, cluster_primary(c) == 1);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
    cluster_kill_agent(c, 2);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) == 1);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

static void five(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 0);
    cluster_kill_host(c, 3);
    cluster_run(c, 1500);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_start_agent(c, 0);
    cluster_start_agent(c, 3);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

const Story stories_failover[] = {
    {"bootstrap_adopt", 3, false, bootstrap_adopt},
    {"bootstrap_initdb", 3, false, bootstrap_initdb},
    {"crash", 3, false, crash},
    {"crash_restart", 3, false, crash_restart},
    {"host_killed", 3, false, host_killed},
    {"host_cut", 3, false, host_cut},
    {"one_way_cut", 3, false, one_way_cut},
    {"agent_restart_in_time", 3, false, agent_restart_in_time},
    {"agent_restart_late", 3, false, agent_restart_late},
    {"frozen_leader_wakes", 3, false, frozen_leader_wakes},
    {"server_hangs", 3, false, server_hangs},
    {"disk_frozen", 3, false, disk_frozen},
    {"two_of_three_down", 3, false, two_of_three_down},
    {"all_restarted", 3, false, all_restarted},
    {"witness", 2, true, witness},
    {"five", 5, false, five},
    {NULL, 0, false, NULL},
};
