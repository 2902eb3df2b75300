/*
 * story_operator.c: what operators order, and what becomes of it when somebody dies in the middle.
 */
#include "story.h"

static uint32_t epoch_of(const Cluster *c, int no)
{
    return c->node[no].core.persist.doc.epoch;
}

static void run_to_step(Cluster *c, int no, PlanStep step)
{
    for (int ms = 0; ms < 2000 && c->node[no].core.plan.step != step; ms++)
        cluster_run(c, 1);
    EXPECT(c, c->node[no].core.plan.step == step);
}

static void switchover(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    cluster_run(c, 400);
    EXPECT(c, cluster_primary(c) == 2);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, epoch_of(c, 0) == 2 && c->node[0].core.op.state == OP_DONE);
    /* nobody had anything that another lacks */
    EXPECT(c, !c->node[0].core.wal_saved);
}

static void switchover_refused(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 1, COMMAND_SWITCHOVER, 2);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 0);
    cluster_kill_agent(c, 2);
    cluster_run(c, 1000);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->node[0].core.plan.step == STEP_NONE);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 3000);
}

/* Agents that have just restarted vote for nobody, and do not stand: the primary goes on until they can. */
static void switchover_after_restarts(Cluster *c)
{
    cluster_settled(c);
    for (int no = 1; no < 3; no++) {
        cluster_kill_agent(c, no);
        cluster_start_agent(c, no);
    }
    cluster_run(c, 400);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    run_to_step(c, 0, STEP_VOTERS);
    run_to_step(c, 0, STEP_CHECKPOINT);
    cluster_run(c, 500);
    EXPECT(c, cluster_primary(c) == 2 && c->node[0].core.op.state == OP_DONE);
    EXPECT_WHOLE(c, 3000);
}

/* The target dies when the primary is stopped already: the primary is started again in place. */
static void switchover_target_dies_early(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    run_to_step(c, 0, STEP_STOP);
    cluster_kill_host(c, 2);
    cluster_run(c, 4000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
    EXPECT(c, c->node[0].core.op.state == OP_FAILED);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == 0);
}

/* It dies after the release: another takes over, or the former primary goes on. */
static void switchover_target_dies_late(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    run_to_step(c, 0, STEP_RELEASE);
    cluster_kill_host(c, 2);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) >= 0 && cluster_primary(c) != 2);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, c->node[0].core.op.state != OP_RUNNING);
}

/* The primary's agent dies between the stop and the release. */
static void switchover_primary_dies(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 2);
    run_to_step(c, 0, STEP_STOP);
    cluster_kill_host(c, 0);
    cluster_run(c, 1500);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

static void failover_ordered(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_FAILOVER, 2);
    cluster_run(c, 500);
    EXPECT(c, cluster_primary(c) == 2);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

/* A crash is mended in place and a lost primary waited for; only an order makes another one. */
static void failover_by_order_only(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].options.failover_by_order = true;
    cluster_settled(c);
    cluster_crash_server(c, 0, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 1);
    cluster_run(c, 400);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, cluster_primary(c) == 1 && epoch_of(c, 0) == 2);
    cluster_kill_host(c, 1);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_command(c, 2, COMMAND_FAILOVER, 2);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 2);
    cluster_start_agent(c, 1);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 3);
}

/* Nobody stands by himself while paused; an operator may let one. */
static void failover_without_leader(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 200);
    cluster_kill_host(c, 0);
    cluster_run(c, 4000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_command(c, 1, COMMAND_FAILOVER, 2);
    cluster_command(c, 2, COMMAND_FAILOVER, 2);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 2);
    cluster_command(c, 2, COMMAND_RESUME, MEMBER_NONE);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, epoch_of(c, 0) == 2);
}

/* Paused: a crash leads to nothing until resumed. */
static void pause_crash(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 200);
    EXPECT(c, c->node[0].core.op.state == OP_DONE && c->node[2].core.persist.doc.paused);
    cluster_crash_server(c, 0, 0);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) < 0 && epoch_of(c, 0) == 1 && c->node[0].core.role == ROLE_LEADER);
    cluster_command(c, 0, COMMAND_RESUME, MEMBER_NONE);
    cluster_run(c, 200);
    EXPECT(c, cluster_primary(c) > 0); /* the successor knows that the pause is over */
    EXPECT_WHOLE(c, 5000);
}

/* Paused: the lease is honoured all the same; afterwards pgvigil starts what it stopped itself. */
static void pause_lease(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 200);
    cluster_cut(c, 0, true);
    cluster_run(c, 1000);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_cut(c, 0, false);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->node[0].core.persist.doc.paused);
}

/* The same, and the order comes when there is no majority any more: it takes effect when there is one again.
 */
static void pause_without_majority(Cluster *c)
{
    cluster_settled(c);
    cluster_cut(c, 0, true);
    cluster_kill_agent(c, 1);
    cluster_kill_agent(c, 2);
    cluster_run(c, 3000);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 1000);
    cluster_cut(c, 0, false);
    cluster_start_agent(c, 1);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 10000);
}

/* Somebody restarts the primary as a standby: it is not promoted once more in the same epoch. */
static void primary_made_standby(Cluster *c)
{
    cluster_settled(c);
    cluster_crash_server(c, 0, 0);
    cluster_start_server(c, 0);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) >= 0);
    EXPECT_WHOLE(c, 5000);
}

static void restart_by_order(Cluster *c)
{
    cluster_settled(c);
    cluster_command(c, 0, COMMAND_RESTART, 0);
    cluster_run(c, 600);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->node[0].core.op.state == OP_DONE);
    cluster_command(c, 1, COMMAND_RESTART, 1);
    cluster_command(c, 2, COMMAND_CLONE, 2);
    cluster_run(c, 2000);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, c->node[1].core.op.state == OP_DONE && c->node[2].core.op.state == OP_DONE);
    cluster_command(c, 2, COMMAND_REJOIN, 2);
    cluster_run(c, 2000);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, c->node[2].core.op.state == OP_DONE);
}

/* The leader has lost its data, and the standbys lag by more than they may: an order overlooks that. */
static void ordered_beyond_lag(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].options.maximum_lag = 0;
    cluster_settled(c);
    c->cut_replication[0][1] = c->cut_replication[0][2] = true;
    cluster_run(c, 1000);
    c->cut_replication[0][1] = c->cut_replication[0][2] = false;
    cluster_trace(c, 0, "-- its data directory is removed");
    c->node[0].server = (Server){.state = PG_EMPTY, .branch = -1, .upstream = MEMBER_NONE};
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_command(c, 0, COMMAND_FAILOVER, 1);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 1);
    EXPECT_WHOLE(c, 5000);
}

/*
 * Commits waited for nobody, so that only the former primary has all of it; somebody starts it as a standby.
 * It is still the one that has everything.
 */
static void sync_primary_made_standby(Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        c->node[no].options.sync_mode = SYNC_ON;
        c->node[no].options.sync_k = 1;
        c->node[no].options.sync_timeout_ms = 3000;
    }
    cluster_settled(c);
    cluster_kill_host(c, 1);
    cluster_run(c, 6000);
    EXPECT(c, c->node[0].core.persist.doc.synchronous && c->node[0].core.persist.doc.sync_needed == 0);
    cluster_kill_host(c, 0);
    cluster_run(c, 2000);
    cluster_start_server(c, 0);
    cluster_start_agent(c, 1);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 20000);
    EXPECT(c, cluster_primary(c) == 0);
}

const Story stories_operator[] = {
    {"switchover", 3, false, switchover},
    {"switchover_refused", 3, false, switchover_refused},
    {"switchover_after_restarts", 3, false, switchover_after_restarts},
    {"switchover_target_dies_early", 3, false, switchover_target_dies_early},
    {"switchover_target_dies_late", 3, false, switchover_target_dies_late},
    {"switchover_primary_dies", 3, false, switchover_primary_dies},
    {"failover_ordered", 3, false, failover_ordered},
    {"failover_by_order_only", 3, false, failover_by_order_only},
    {"ordered_beyond_lag", 3, false, ordered_beyond_lag},
    {"failover_without_leader", 3, false, failover_without_leader},
    {"pause_crash", 3, false, pause_crash},
    {"pause_lease", 3, false, pause_lease},
    {"pause_without_majority", 3, false, pause_without_majority},
    {"primary_made_standby", 3, false, primary_made_standby},
    {"sync_primary_made_standby", 2, true, sync_primary_made_standby},
    {"restart_by_order", 3, false, restart_by_order},
    {NULL, 0, false, NULL},
};
