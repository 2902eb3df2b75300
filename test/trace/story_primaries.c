/*
 * story_primaries.c: two primaries from before anybody managed them: which is kept, what becomes of the
 * other, and what an operator is asked for.
 */
#include "story.h"

static void start_all(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        cluster_start_agent(c, no);
}

/* Neither writes: with the extension, and without a lease. */
static void keep_still(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].server.fenced = true;
}

static void ask_operators(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        c->node[no].options.resolve_ask = true;
}

/* Since nobody else waits for an order, a loser's WAL has been saved before it was discarded. */
static void expect_kept(Cluster *c, int winner)
{
    EXPECT_WHOLE(c, 20000);
    EXPECT(c, cluster_primary(c) == winner);
}

/* pg2 was promoted by hand, to a later timeline, and has more WAL since: pg1 is ended, saved and rewound. */
static void two_primaries(Cluster *c)
{
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    c->node[1].server.lsn += 5000;
    start_all(c);
    cluster_run(c, 2500);
    EXPECT(c, cluster_primary(c) < 0 && core_primaries(&c->node[2].core) == 3);
    expect_kept(c, 1);
    EXPECT(c, c->node[1].core.persist.doc.epoch == 1 && core_primaries(&c->node[1].core) == 0);
}

/* The one on the older timeline has more WAL: the timeline's number is no merit. */
static void two_primaries_older(Cluster *c)
{
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    c->node[0].server.lsn += 5000;
    start_all(c);
    expect_kept(c, 0);
}

/* The same position: the larger database, then the order of the file. */
static void two_primaries_size(Cluster *c)
{
    cluster_servers(c);
    keep_still(c);
    cluster_second_primary(c, 1, 1);
    c->node[0].server.size = 1000;
    c->node[1].server.size = 2000;
    start_all(c);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) == 1);
    /* How much of pg1's the cluster lacks cannot be told, since both are on timeline 1: it is asked. */
    EXPECT(c, core_report(&c->node[0].core).lost.asks);
    cluster_resolve(c, 1, 1);
    expect_kept(c, 1);
}

static void two_primaries_equal(Cluster *c)
{
    cluster_servers(c);
    keep_still(c);
    cluster_second_primary(c, 1, 2);
    c->node[0].server.lsn = c->node[1].server.lsn;
    start_all(c);
    expect_kept(c, 0);
}

/* Much the larger database, and less WAL: WAL counts first. */
static void two_primaries_bigger(Cluster *c)
{
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    c->node[1].server.lsn += 5000;
    c->node[0].server.size = 900000;
    c->node[1].server.size = 1000;
    start_all(c);
    expect_kept(c, 1);
}

/* Neither checksums nor wal_log_hints: the loser is cloned. */
static void two_primaries_clone(Cluster *c)
{
    c->node[0].server.no_rewind = true;
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    c->node[1].server.lsn += 5000;
    start_all(c);
    expect_kept(c, 1);
}

/* Its agent is started long after the others have a primary. */
static void two_primaries_later(Cluster *c)
{
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    c->node[1].server.lsn += 5000;
    cluster_start_agent(c, 0);
    cluster_start_agent(c, 2);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) == 0);
    cluster_start_agent(c, 1);
    expect_kept(c, 0);
}

/* A member that does not answer may be a third: nobody begins before it has been heard, or an operator says
 * so. */
static void two_primaries_silent(Cluster *c)
{
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    cluster_start_agent(c, 0);
    cluster_start_agent(c, 1);
    cluster_run(c, 15000);
    EXPECT(c, cluster_primary(c) < 0 && c->node[0].core.persist.doc.epoch == 0);
    cluster_resolve(c, 0, 0);
    cluster_run(c, 3000);
    EXPECT(c, cluster_primary(c) == 0);
    cluster_start_agent(c, 2);
    expect_kept(c, 0);
}

/* Nobody begins until an operator has chosen. */
static void ask_first(Cluster *c)
{
    ask_operators(c);
    cluster_servers(c);
    cluster_second_primary(c, 1, 2);
    start_all(c);
    cluster_run(c, 15000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_resolve(c, 1, 1);
    expect_kept(c, 1);
}

/* pg1 comes back with WAL that only it has: it waits, as long as nobody says what is to become of it. */
static void wait_with_loss(Cluster *c)
{
    ask_operators(c);
    cluster_settled(c);
    cluster_cut(c, 0, true);
    cluster_run(c, 3000);
    cluster_cut(c, 0, false);
    cluster_run(c, 10000);
    EXPECT(c, cluster_primary(c) > 0);
    EXPECT(c, c->node[0].server.state == PG_CRASHED && core_report(&c->node[0].core).lost.asks);
    EXPECT(c, core_report(&c->node[0].core).lost.transactions > 0);
}

static void ask_keep_primary(Cluster *c)
{
    wait_with_loss(c);
    int primary = cluster_primary(c);
    cluster_resolve(c, primary, (MemberNo) primary);
    expect_kept(c, primary);
    cluster_run(c, 2000);
    EXPECT(c, c->node[primary].core.persist.doc.discard == 0);
}

/* The other side: the primary stops, pg1 begins an epoch that continues none, and everybody else is rewound.
 */
static void ask_keep_other(Cluster *c)
{
    wait_with_loss(c);
    int primary = cluster_primary(c);
    cluster_resolve(c, primary, 0);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0);
    expect_kept(c, 0);
    const DocEpoch *last = document_last(&c->node[0].core.persist.doc);
    EXPECT(c, last->epoch == 3 && last->parent == 0 && last->settled);
    EXPECT(c, c->node[primary].core.op.state == OP_DONE);
    cluster_run(c, 2000);
    EXPECT(c, c->node[0].core.persist.doc.discard == 0);
}

/* The one that was chosen dies before it leads: somebody of the others goes on, and it is asked for again. */
static void ask_keep_other_dies(Cluster *c)
{
    wait_with_loss(c);
    int primary = cluster_primary(c);
    cluster_resolve(c, primary, 0);
    for (int ms = 0; ms < 1000 && c->node[primary].core.plan.step != STEP_RELEASE; ms++)
        cluster_run(c, 1);
    cluster_kill_host(c, 0);
    cluster_run(c, 8000);
    EXPECT(c, cluster_primary(c) > 0);
    cluster_start_agent(c, 0);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) > 0 && core_report(&c->node[0].core).lost.asks);
}

/* It dies when everybody knows that it was chosen, and before it was promoted: it goes on when it is back. */
static void ask_keep_other_later(Cluster *c)
{
    wait_with_loss(c);
    int primary = cluster_primary(c);
    cluster_resolve(c, primary, 0);
    for (int ms = 0; ms < 2000 && !c->node[0].core.doc_in_force; ms++)
        cluster_run(c, 1);
    cluster_kill_host(c, 0);
    cluster_run(c, 5000);
    EXPECT(c, cluster_primary(c) < 0);
    cluster_start_agent(c, 0);
    expect_kept(c, 0);
}

/* Who has nothing that the cluster lacks is not chosen, and who does not lead is not asked. */
static void ask_refused(Cluster *c)
{
    ask_operators(c);
    cluster_settled(c);
    cluster_resolve(c, 0, 1);
    cluster_resolve(c, 1, 1);
    cluster_resolve(c, 0, 0);
    cluster_run(c, 1000);
    EXPECT(c, cluster_primary(c) == 0 && c->node[0].core.persist.doc.epoch == 1);
}

const Story stories_primaries[] = {
    {"two_primaries", 3, false, two_primaries},
    {"two_primaries_older", 3, false, two_primaries_older},
    {"two_primaries_size", 2, true, two_primaries_size},
    {"two_primaries_equal", 3, false, two_primaries_equal},
    {"two_primaries_bigger", 3, false, two_primaries_bigger},
    {"two_primaries_clone", 2, true, two_primaries_clone},
    {"two_primaries_later", 3, false, two_primaries_later},
    {"two_primaries_silent", 3, false, two_primaries_silent},
    {"ask_first", 3, false, ask_first},
    {"ask_keep_primary", 3, false, ask_keep_primary},
    {"ask_keep_other", 3, false, ask_keep_other},
    {"ask_keep_other_dies", 3, false, ask_keep_other_dies},
    {"ask_keep_other_later", 3, false, ask_keep_other_later},
    {"ask_refused", 3, false, ask_refused},
    {NULL, 0, false, NULL},
};
