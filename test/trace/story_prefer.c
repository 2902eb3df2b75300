/*
 * story_prefer.c: two data members, of which the standby has the only vote: parted, killed, restarted, and
 * how votes move.
 */
#include "story.h"

static uint32_t epoch_of(const Cluster *c, int no)
{
    return c->node[no].core.persist.doc.epoch;
}

static bool votes(const Cluster *c, int no, int whose)
{
    const Document *doc = &c->node[no].core.persist.doc;
    return doc->member[cluster_slot(c, doc, whose)].voter;
}

static bool acknowledges(Cluster *c, int64_t within_ms)
{
    int64_t before_us = c->now_us;

    cluster_run(c, within_ms);
    return c->tally.acked_us > before_us;
}

static void set(Cluster *c, bool standby_votes)
{
    for (int no = 0; no < c->count; no++) {
        CoreOptions options = c->node[no].options;
        options.standby_votes = standby_votes;
        if (c->node[no].up)
            cluster_options(c, no, &options);
        else
            c->node[no].options = options;
    }
}

static void settle(Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        c->node[no].options.standby_votes = true;
        c->node[no].options.sync_timeout_ms = 1000;
        c->node[no].server.fenced = true;
    }
    cluster_settled(c);
    EXPECT(c, c->count > 2 || (!votes(c, 0, 0) && votes(c, 0, 1)));
}

/* The primary's server goes down with its host: the standby has everything, and its own vote is enough. */
static void prefer_primary_killed(Cluster *c)
{
    settle(c);
    cluster_kill_host(c, 0);
    cluster_run(c, 2500);
    EXPECT(c, cluster_primary(c) == 1 && epoch_of(c, 1) == 2 && acknowledges(c, 500));
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 1 && votes(c, 1, 0) && !votes(c, 1, 1));
    cluster_kill_host(c, 1); /* and back */
    cluster_run(c, 2500);
    EXPECT(c, cluster_primary(c) == 0 && acknowledges(c, 500));
}

/* Nothing passes between the two: the fence ends the commits of the one before the other is promoted. */
static void prefer_parted(Cluster *c)
{
    settle(c);
    cluster_cut(c, 0, true);
    cluster_run(c, 2500);
    EXPECT(c, cluster_primary(c) == 1 && !cluster_fence_open(c, 0));
    EXPECT(c, epoch_of(c, 0) == 1 && acknowledges(c, 500));
    cluster_cut(c, 0, false);
    EXPECT_WHOLE(c, 15000);
    EXPECT(c, cluster_primary(c) == 1);
}

/* The standby is away: the primary has no lease, and goes on as soon as it is back. */
static void prefer_standby_killed(Cluster *c)
{
    settle(c);
    cluster_kill_host(c, 1);
    cluster_run(c, 1500);
    EXPECT(c, cluster_primary(c) < 0 && !acknowledges(c, 5000));
    cluster_start_agent(c, 1);
    cluster_start_server(c, 1);
    EXPECT_WHOLE(c, 8000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && acknowledges(c, 500));
}

/* Replication alone is cut: the standby's word is there, and commits wait all the same, however long. */
static void prefer_not_streaming(Cluster *c)
{
    settle(c);
    c->cut_replication[0][1] = true;
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0 && !acknowledges(c, 20000));
    EXPECT(c, !votes(c, 0, 0) && c->node[0].core.persist.doc.sync_set == 3);
    c->cut_replication[0][1] = false;
    EXPECT_WHOLE(c, 8000);
}

/* Without a vote of its own the incumbent stands for the standby's, while that has promised. */
static void prefer_agent_restart(Cluster *c)
{
    settle(c);
    cluster_kill_agent(c, 0);
    cluster_run(c, 200);
    cluster_start_agent(c, 0);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
    EXPECT_WHOLE(c, 2000);
}

/* Both come back at once: the one before is the primary again. */
static void prefer_both_restarted(Cluster *c)
{
    settle(c);
    cluster_kill_host(c, 0);
    cluster_kill_host(c, 1);
    cluster_run(c, 3000);
    cluster_start_agent(c, 0);
    cluster_start_agent(c, 1);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
}

/* While both vote the standby dies: nobody can be elected against the primary, which goes on alone. */
static void prefer_standby_killed_between(Cluster *c)
{
    settle(c);
    c->cut_replication[0][1] = true;
    set(c, false);
    cluster_run(c, 1000);
    EXPECT(c, votes(c, 0, 0) && votes(c, 0, 1));
    set(c, true);
    cluster_run(c, 1000);
    EXPECT(c, votes(c, 0, 0) && votes(c, 0, 1)); /* it is not in sync any more */
    cluster_kill_host(c, 1);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) == 0 && votes(c, 0, 0) && !votes(c, 0, 1) && acknowledges(c, 500));
    c->cut_replication[0][1] = false;
    cluster_start_agent(c, 1);
    cluster_start_server(c, 1);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0 && !votes(c, 0, 0) && votes(c, 0, 1));
}

/* The options change while it runs: both vote, as of more members, and then the standby again. */
static void prefer_changed(Cluster *c)
{
    settle(c);
    set(c, false);
    cluster_run(c, 2000);
    EXPECT(c, cluster_primary(c) == 0 && votes(c, 0, 0) && votes(c, 0, 1));
    EXPECT(c, !c->node[0].core.persist.doc.synchronous);
    set(c, true);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, !votes(c, 0, 0) && votes(c, 0, 1) && c->node[0].core.persist.doc.synchronous);
}

/* One of three goes, and comes back: all vote as long as there are three. */
static void prefer_third(Cluster *c)
{
    settle(c);
    EXPECT(c, votes(c, 0, 0) && votes(c, 0, 1) && votes(c, 0, 2));
    EXPECT(c, !c->node[0].core.persist.doc.synchronous);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 2);
    cluster_run(c, 5000);
    EXPECT(c, cluster_lacks(c) == NULL && !votes(c, 0, 0) && votes(c, 0, 1));
    cluster_command(c, 0, COMMAND_MEMBER_ADD, 2);
    EXPECT_WHOLE(c, 8000);
    EXPECT(c, votes(c, 0, 0) && votes(c, 0, 1) && votes(c, 0, 2));
    cluster_run(c, 3000);
    EXPECT(c, !c->node[0].core.persist.doc.synchronous);
}

/* Commits wait for all three, and the one that is to go dies of it: the others both vote until it is gone. */
static void prefer_third_dies(Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        c->node[no].options.sync_mode = SYNC_ON;
        c->node[no].options.sync_k = 1;
    }
    settle(c);
    EXPECT(c, c->node[0].core.persist.doc.sync_set == 7);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 2);
    cluster_run(c, 5);
    cluster_kill_host(c, 2);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1 && c->node[0].core.op.state == OP_DONE);
    EXPECT(c, !votes(c, 0, 0) && votes(c, 0, 1) && acknowledges(c, 500));
}

/* By order, to the one that has the only vote; the one before becomes its standby, and has it then. */
static void prefer_switchover(Cluster *c)
{
    settle(c);
    cluster_command(c, 0, COMMAND_SWITCHOVER, 1);
    cluster_run(c, 500);
    EXPECT(c, cluster_primary(c) == 1 && epoch_of(c, 1) == 2 && c->node[0].core.op.state == OP_DONE);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, votes(c, 1, 0) && !votes(c, 1, 1) && !c->node[0].core.wal_saved);
    cluster_command(c, 1, COMMAND_SWITCHOVER, 0);
    cluster_run(c, 500);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 3 && c->node[1].core.op.state == OP_DONE);
    EXPECT_WHOLE(c, 5000);
}

/* The one that has the only vote is to go: the primary gets it back first, with its word. */
static void prefer_removed(Cluster *c)
{
    settle(c);
    cluster_command(c, 0, COMMAND_MEMBER_REMOVE, 1);
    cluster_run(c, 5000);
    const Document *doc = &c->node[0].core.persist.doc;
    EXPECT(c, doc->member[1].kind == MEMBER_FREE && doc->member[0].voter && cluster_primary(c) == 0);
    EXPECT(c, acknowledges(c, 500));
}

const Story stories_prefer[] = {
    {"prefer_primary_killed", 2, false, prefer_primary_killed},
    {"prefer_parted", 2, false, prefer_parted},
    {"prefer_standby_killed", 2, false, prefer_standby_killed},
    {"prefer_not_streaming", 2, false, prefer_not_streaming},
    {"prefer_agent_restart", 2, false, prefer_agent_restart},
    {"prefer_both_restarted", 2, false, prefer_both_restarted},
    {"prefer_standby_killed_between", 2, false, prefer_standby_killed_between},
    {"prefer_changed", 2, false, prefer_changed},
    {"prefer_third", 3, false, prefer_third},
    {"prefer_third_dies", 3, false, prefer_third_dies},
    {"prefer_switchover", 2, false, prefer_switchover},
    {"prefer_removed", 2, false, prefer_removed},
    {NULL, 0, false, NULL},
};
