/*
 * story_fence.c: servers that keep their commits to the fence themselves: a lost lease is a stall, and nobody
 * but another primary ends them before the brownout is over.
 */
#include "story.h"

static void settled(Cluster *c)
{
    cluster_settled(c);
    for (int no = 0; no < c->count; no++)
        c->node[no].server.fenced = true;
    cluster_run(c, 500);
    EXPECT(c, !c->node[0].guarded && wal_writes(c, 0));
}

static void cut_all(Cluster *c, bool cut)
{
    for (int no = 0; no < c->count; no++)
        cluster_cut(c, no, cut);
}

/* Nobody hears anybody for three seconds: the primary acknowledges nothing, and goes on as if nothing had
 * been. */
static void brownout(Cluster *c)
{
    settled(c);
    cut_all(c, true);
    cluster_run(c, 3000);
    EXPECT(c, c->node[0].server.state == PG_PRIMARY && !wal_writes(c, 0));
    cut_all(c, false);
    EXPECT_WHOLE(c, 3000);
    EXPECT(c, cluster_primary(c) == 0 && c->branches == 1 && c->node[0].core.persist.doc.epoch == 1);
}

/* For longer than the brownout may last: it is ended, and starts again as the primary when there is a
 * majority. */
static void brownout_over(Cluster *c)
{
    settled(c);
    cut_all(c, true);
    cluster_run(c, 12000);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    cut_all(c, false);
    EXPECT_WHOLE(c, 6000);
}

/* Cut off alone: another takes over while the old one still runs, and it ends as soon as it hears of that. */
static void brownout_succeeded(Cluster *c)
{
    settled(c);
    cluster_cut(c, 0, true);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) > 0);
    EXPECT(c, c->node[0].server.state == PG_PRIMARY && !wal_writes(c, 0));
    cluster_cut(c, 0, false);
    cluster_run(c, 600);
    EXPECT(c, c->node[0].server.state != PG_PRIMARY);
    EXPECT_WHOLE(c, 5000);
    EXPECT(c, c->node[0].core.persist.doc.epoch == 2);
}

/* The agent dies: no guard ends the server, which is closed; another takes over. */
static void brownout_agent_dies(Cluster *c)
{
    settled(c);
    cluster_kill_agent(c, 0);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) > 0);
    EXPECT(c, c->node[0].server.state == PG_PRIMARY && !wal_writes(c, 0));
    cluster_start_agent(c, 0);
    EXPECT_WHOLE(c, 6000);
    EXPECT(c, c->node[0].core.persist.doc.epoch == 2);
}

const Story stories_fence[] = {
    {"brownout", 3, false, brownout},
    {"brownout_over", 3, false, brownout_over},
    {"brownout_succeeded", 3, false, brownout_succeeded},
    {"brownout_agent_dies", 3, false, brownout_agent_dies},
    {NULL, 0, false, NULL},
};
