/*
 * story_members.c: members that come back: with a higher term, without their state, with a fork, with a
 * broken disk.
 */
#include "story.h"

static uint32_t epoch_of(const Cluster *c, int no)
{
    return c->node[no].core.persist.doc.epoch;
}

/* Its term is higher than the leader's: the leader stands again as incumbent, nothing else happens. */
static void higher_term(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_agent(c, 2);
    cluster_run(c, 500);
    c->node[2].disk.term += 7;
    cluster_trace(c, 2, "-- its term is now %llu", (unsigned long long) c->node[2].disk.term);
    cluster_start_agent(c, 2);
    for (int ms = 0; ms < 3000; ms++) {
        cluster_run(c, 1);
        EXPECT(c, c->node[0].server.state == PG_PRIMARY && c->node[1].server.streaming);
    }
    EXPECT(c, cluster_lacks(c) == NULL && cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
    EXPECT(c, c->node[0].core.persist.term > 7);
}

/* A standby that was cut off stood in vain all the time: it disturbs nobody when it is back. */
static void standby_cut(Cluster *c)
{
    cluster_settled(c);
    uint64_t term = c->node[0].core.persist.term;
    cluster_cut(c, 2, true);
    cluster_run(c, 10000);
    EXPECT(c, cluster_primary(c) == 0);
    cluster_cut(c, 2, false);
    EXPECT_WHOLE(c, 4000);
    EXPECT(c, cluster_primary(c) == 0 && c->node[0].core.persist.term == term);
}

/* A voter that cannot write does not vote; with it alone there is no majority. */
static void disk_failure(Cluster *c)
{
    cluster_settled(c);
    cluster_disk(c, 2, true);
    cluster_run(c, 500);
    cluster_kill_host(c, 0);
    cluster_run(c, 4000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_disk(c, 2, false);
    cluster_run(c, 4000);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 5000);
}

/*
 * A leader whose disk fails goes on as long as it has nothing to write. A change of the document cannot be
 * sent before it is on disk, so that its lease runs out, and somebody who can write takes over.
 */
static void disk_failure_leader(Cluster *c)
{
    cluster_settled(c);
    cluster_disk(c, 0, true);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) == 0);
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) > 0 && c->node[0].core.disk_failed && c->node[0].core.failures == 0);
    cluster_disk(c, 0, false);
    EXPECT_WHOLE(c, 6000);
    EXPECT(c, !c->node[0].core.disk_failed && epoch_of(c, 0) == 2);
}

/* One whose disk is only slow keeps its lease while the change is being written, and then it is in force. */
static void disk_slow_leader(Cluster *c)
{
    cluster_settled(c);
    uint64_t term = c->node[0].core.persist.term;
    c->node[0].disk_us = 2500 * US_PER_MS;
    cluster_command(c, 0, COMMAND_PAUSE, MEMBER_NONE);
    for (int ms = 0; ms < 4000; ms++) {
        cluster_run(c, 1);
        EXPECT(c, cluster_primary(c) == 0);
    }
    EXPECT(c, c->node[0].core.persist.term == term && c->node[2].core.persist.doc.paused);
    EXPECT(c, c->node[0].core.doc_in_force && c->node[0].core.op.state == OP_DONE);
    c->node[0].disk_us = 20000 * US_PER_MS; /* as good as none: it leads no more */
    cluster_command(c, 0, COMMAND_RESUME, MEMBER_NONE);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) != 0);
}

/* A follower's disk fails just when it has to note whom it follows. */
static void disk_failure_follower(Cluster *c)
{
    cluster_settled(c);
    cluster_crash_server(c, 0, 0);
    for (int ms = 0; ms < 2000 && epoch_of(c, 2) == 1; ms++)
        cluster_run(c, 1);
    cluster_disk(c, 2, true);
    cluster_run(c, 3000);
    cluster_disk(c, 2, false);
    EXPECT_WHOLE(c, 20000);
}

/* The new identity does not vote until the document says so, in two changes. */
static void wiped(Cluster *c)
{
    cluster_settled(c);
    cluster_wipe(c, 2);
    cluster_run(c, 500);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 8000);
    EXPECT(c, cluster_primary(c) == 0 && epoch_of(c, 0) == 1);
    cluster_kill_host(c, 0);
    cluster_run(c, 1500);
    EXPECT(c, cluster_primary(c) > 0);
}

/* While another is away the wiped one is not let in: the set without it might lose its majority. */
static void wiped_while_one_is_away(Cluster *c)
{
    cluster_settled(c);
    cluster_wipe(c, 2);
    cluster_kill_host(c, 1);
    cluster_start_agent(c, 2);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_start_agent(c, 1);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 0);
}

/* The primary itself loses everything: the best of the others goes on. */
static void wiped_primary(Cluster *c)
{
    cluster_settled(c);
    cluster_wipe(c, 0);
    cluster_run(c, 200);
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) > 0 && epoch_of(c, 0) == 2);
}

/*
 * Somebody promotes a standby by hand while its agent is down; then a failover gives the cluster's timeline
 * the same number. Only a copy is right: pg_rewind would find nothing to do.
 */
static void fork_same_number(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_agent(c, 2);
    cluster_trace(c, 2, "-- promoted by hand");
    c->silent_checks = true;
    Server *server = &c->node[2].server;
    server->branch = model_branch(c, server->branch, server->lsn, 2);
    server->state = PG_PRIMARY;
    server->upstream = MEMBER_NONE;
    server->streaming = false;
    cluster_run(c, 100);
    cluster_crash_server(c, 2, 0);
    c->silent_checks = false;
    cluster_crash_server(c, 0, 0);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 1);
    EXPECT(c, c->branch[c->node[1].server.branch].timeline == 2);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, cluster_primary(c) == 1);
}

/* Down between the election and the promotion: it must not start on its former timeline. */
static void dies_before_promotion(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_host(c, 2);
    cluster_crash_server(c, 0, 0);
    for (int ms = 0; ms < 2000 && !c->node[1].acting; ms++)
        cluster_run(c, 1);
    for (int ms = 0; ms < 2000 && c->node[1].core.action.kind != ACTION_PROMOTE; ms++)
        cluster_run(c, 1);
    EXPECT(c, c->node[1].server.state == PG_STANDBY);
    c->node[1].acting = false;
    cluster_kill_host(c, 1);
    cluster_run(c, 1500);
    cluster_start_agent(c, 1);
    cluster_start_agent(c, 2);
    EXPECT_WHOLE(c, 10000);
    EXPECT(c, c->branch[c->node[0].server.branch].timeline >= 2);
}

/* The data directory is of another cluster. */
static void stranger(Cluster *c)
{
    cluster_settled(c);
    cluster_kill_agent(c, 2);
    c->node[2].server.system_identifier = 99;
    cluster_start_agent(c, 2);
    cluster_run(c, 1000);
    EXPECT(c, !c->node[2].up && cluster_primary(c) == 0);
}

const Story stories_members[] = {
    {"higher_term", 3, false, higher_term},
    {"standby_cut", 3, false, standby_cut},
    {"disk_failure", 3, false, disk_failure},
    {"disk_slow_leader", 3, false, disk_slow_leader},
    {"disk_failure_leader", 3, false, disk_failure_leader},
    {"disk_failure_follower", 3, false, disk_failure_follower},
    {"wiped", 3, false, wiped},
    {"wiped_while_one_is_away", 3, false, wiped_while_one_is_away},
    {"wiped_primary", 3, false, wiped_primary},
    {"fork_same_number", 3, false, fork_same_number},
    {"dies_before_promotion", 3, false, dies_before_promotion},
    {"stranger", 3, false, stranger},
    {NULL, 0, false, NULL},
};
