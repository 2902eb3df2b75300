/*
 * story_late.c: what was begun and forgotten: a promotion that comes late, a lost state, a record that is not
 * written yet, an operator's order that outlives its leader, WAL that is replayed late.
 */
#include "story.h"

static uint32_t epoch_of(const Cluster *c, int no)
{
    return c->node[no].core.persist.doc.epoch;
}

/* Runs until somebody has that role or action; the story fails if nobody comes to it. */
static int wait_for_promotion(Cluster *c)
{
    for (int step = 0; step < 50000; step++) {
        c->now_us += 100;
        cluster_run(c, 0);
        for (int no = 0; no < c->count; no++)
            if (c->node[no].up && c->node[no].core.action.kind == ACTION_PROMOTE)
                return no;
    }
    cluster_fail(c, "nobody promotes");
    return 0;
}

static void cut_outgoing(Cluster *c, int no, bool cut)
{
    cluster_trace(c, no, cut ? "-- what it sends is lost" : "-- is heard again");
    for (int other = 0; other < c->count; other++)
        c->cut[no][other] = cut && other != no;
}

/*
 * PostgreSQL is asked for a promotion that a restore_command holds up, and the action gives up on it. Then
 * the lease is lost: a server that can become writable at any moment is ended, and no vote is given before.
 */
static void promotion_late(Cluster *c)
{
    cluster_settled(c);
    for (int no = 1; no < c->count; no++)
        c->node[no].promotion_us = 1600 * US_PER_MS;
    cluster_kill_host(c, 0);
    int promoted = wait_for_promotion(c);
    cluster_start_agent(c, 0);
    cluster_run(c, 350);
    for (int no = 1; no < c->count; no++)
        c->node[no].promotion_us = 0;
    cut_outgoing(c, promoted, true);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) > 0 && cluster_primary(c) != promoted);
    cut_outgoing(c, promoted, false);
    EXPECT_WHOLE(c, 15000);
}

/* The agent comes back without its state beside a primary that writes: until the lease that was, not longer.
 */
static void state_lost_primary(Cluster *c)
{
    cluster_settled(c);
    cluster_lose_state(c, 0);
    cluster_cut(c, 0, true);
    cluster_run(c, 100);
    cluster_start_agent(c, 0);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) > 0 && c->node[0].server.state != PG_PRIMARY);
    cluster_cut(c, 0, false);
    EXPECT_WHOLE(c, 20000);
}

/* No heartbeat is granted before what an earlier one brought is on disk. */
static void heartbeat_before_disk(Cluster *c)
{
    cluster_settled(c);
    cluster_cut(c, 0, true);
    int leader = wait_for_promotion(c);
    int other = 3 - leader;
    cluster_run(c, 1000);
    c->cut[leader][other] = c->cut[other][leader] = true;
    cluster_trace(c, 0, "-- is the only one that the leader reaches, and its disk takes two seconds");
    c->cut[0][leader] = c->cut[leader][0] = false;
    c->node[0].disk_us = 2 * US_PER_SEC;
    cluster_run(c, 1900);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_kill_agent(c, 0);
    c->node[0].disk_us = US_PER_MS;
    c->node[0].busy = false;
    c->cut[0][leader] = c->cut[leader][0] = true;
    c->cut[0][other] = c->cut[other][0] = false;
    cluster_start_agent(c, 0);
    cluster_run(c, 3000);
    cluster_cut(c, 0, false);
    cluster_cut(c, leader, false);
    EXPECT_WHOLE(c, 30000);
}

/* An ordered failover whose stop takes longer than the leadership: it ends, and releases nothing. */
static void order_outlived(Cluster *c)
{
    cluster_settled(c);
    cluster_stick(c, 0, true);
    cluster_command(c, 0, COMMAND_FAILOVER, 1);
    cluster_run(c, 100);
    cluster_cut(c, 0, true);
    cluster_run(c, 3000);
    int leader = cluster_primary(c);
    uint64_t term = c->node[leader].core.persist.term;
    cluster_cut(c, 0, false);
    cluster_run(c, 5000);
    EXPECT(c, c->node[0].core.plan.step == STEP_NONE && c->node[0].core.op.state == OP_FAILED);
    cluster_stick(c, 0, false);
    EXPECT_WHOLE(c, 60000);
    EXPECT(c, cluster_primary(c) == leader && c->node[leader].core.persist.term == term);
}

/* An operator's word to a leader that cannot carry it out is not carried out by a later leadership. */
static void resume_outlived(Cluster *c)
{
    cluster_settled(c);
    cluster_cut(c, 0, true);
    cluster_run(c, 300);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 3000);
    cluster_cut(c, 0, false);
    EXPECT_WHOLE(c, 20000);
    cluster_run(c, 2000);
    cluster_command(c, cluster_primary(c), COMMAND_SWITCHOVER, 0);
    cluster_run(c, 50);
    EXPECT_WHOLE(c, 20000);
    cluster_run(c, 2000);
    EXPECT(c, cluster_primary(c) == 0 && !c->node[0].core.persist.doc.paused);
    EXPECT(c, c->node[0].core.pending.token == 0);
}

/* A standby has received more than the one that is elected, and replays it only later: rewound, not
 * restarted. */
static void replayed_late(Cluster *c)
{
    cluster_settled(c);
    c->node[1].core.options.no_failover = c->node[1].options.no_failover = true;
    cluster_run(c, 1000);
    c->node[1].server.replay_limit = c->node[1].server.lsn - 1;
    c->cut[0][2] = c->cut[2][0] = true;
    cluster_run(c, 300);
    cluster_kill_host(c, 0);
    c->cut[0][2] = c->cut[2][0] = false;
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) == 2 && c->node[1].server.state == PG_STANDBY);
    cluster_trace(c, 1, "-- replays the rest");
    c->node[1].server.replay_limit = 0;
    cluster_run(c, 2000);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 20000);
    EXPECT(c, cluster_primary(c) == 2 && epoch_of(c, 1) == 2);
}

/*
 * The standby was away while the primary wrote, and the primary is lost: who was restarted since, the witness
 * too, still knows that it lacks more than it may.
 */
static void lag_remembered(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].options.maximum_lag = 0;
    cluster_settled(c);
    cluster_kill_host(c, 1);
    cluster_run(c, 12000);
    cluster_kill_host(c, 0);
    cluster_run(c, 12000);
    cluster_kill_agent(c, 2);
    cluster_start_agent(c, 2);
    cluster_start_agent(c, 1);
    cluster_run(c, 10000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0 && c->node[1].core.persist.doc.epoch == 1);
}

const Story stories_late[] = {
    {"promotion_late", 3, false, promotion_late},
    {"lag_remembered", 2, true, lag_remembered},
    {"state_lost_primary", 3, false, state_lost_primary},
    {"heartbeat_before_disk", 3, false, heartbeat_before_disk},
    {"order_outlived", 3, false, order_outlived},
    {"resume_outlived", 3, false, resume_outlived},
    {"replayed_late", 3, false, replayed_late},
    {NULL, 0, false, NULL},
};
