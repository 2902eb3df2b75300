/*
 * test_clustermon.c: pgClusterMonitor's policy: a situation for each row of its table, and what it chooses.
 */
#include "core/clustermon.h"
#include "unit.h"

#include <string.h>

#define S   US_PER_SEC
#define NOW (10000 * S)

/* pg1 is the primary, pg2 is ours, pg3 the other standby; all is well. */
typedef struct Case {
    ClustermonNode node[4];
    ClustermonFacts facts;
} Case;

static void usual(Case *c)
{
    ClustermonNode standby = {.polled = true,
                              .connected = true,
                              .in_recovery = true,
                              .position = 1000,
                              .timeline = 1,
                              .system_identifier = 7,
                              .bytes = 500,
                              .heard_us = S};

    *c = (Case){0};
    for (int i = 0; i < 3; i++)
        c->node[i] = standby;
    c->node[0].in_recovery = false;
    c->node[0].heard_us = -1;
    c->facts = (ClustermonFacts){.now_us = NOW,
                                 .node = c->node,
                                 .nodes = 3,
                                 .own = 1,
                                 .local = CLUSTERMON_RUNS,
                                 .files = CLUSTERMON_FILES_STANDBY,
                                 .network = true,
                                 .had_primary = true,
                                 .follows = true,
                                 .may_discard = true,
                                 .failover_us = 15 * S,
                                 .downgrade_us = 35 * S};
}

/* pg1 is gone for long enough, and nobody hears of it. */
static void lost(Case *c)
{
    usual(c);
    c->node[0].connected = false;
    c->node[1].heard_us = c->node[2].heard_us = -1;
    c->facts.no_primary_us = NOW - 16 * S;
    c->facts.confirmed = true;
}

/* pg1 and ours are primaries for long enough; pg1 has more. */
static void both(Case *c)
{
    usual(c);
    c->node[1].in_recovery = false;
    c->node[0].position = 2000;
    c->facts.several_us = NOW - 36 * S;
    c->facts.confirmed = true;
}

/* Ours is down, and was a primary; pg1 is one by now. */
static void down(Case *c)
{
    usual(c);
    c->node[1].connected = false;
    c->facts.local = CLUSTERMON_DOWN;
    c->facts.files = CLUSTERMON_FILES_PRIMARY;
    c->facts.down_us = NOW - 36 * S;
    c->facts.confirmed = true;
}

static ClustermonVerdict expect(const Case *c, const char *rule, ClustermonMove move)
{
    ClustermonVerdict verdict;

    clustermon_decide(&c->facts, &verdict);
    assert_string_equal(verdict.rule, rule);
    assert_int_equal(verdict.move, move);
    return verdict;
}

static void test_waits(void **state)
{
    Case c;

    (void) state;
    lost(&c);
    c.facts.busy = true;
    expect(&c, "under_way", CLUSTERMON_NONE);
    lost(&c);
    c.node[0].polled = false;
    expect(&c, "starting", CLUSTERMON_NONE);
    lost(&c);
    c.facts.local = CLUSTERMON_UNKNOWN;
    expect(&c, "status_unknown", CLUSTERMON_NONE);
    usual(&c);
    c.node[0].system_identifier = 8;
    expect(&c, "foreign", CLUSTERMON_NONE);
    usual(&c);
    c.node[1].connected = false;
    expect(&c, "own_silent", CLUSTERMON_NONE);
    usual(&c);
    c.facts.local = CLUSTERMON_DOWN;
    expect(&c, "status_wrong", CLUSTERMON_NONE);
}

static void test_down(void **state)
{
    Case c;

    (void) state;
    down(&c);
    assert_int_equal(expect(&c, "rejoin", CLUSTERMON_REJOIN).primary, 0);
    c.facts.confirmed = false;
    expect(&c, "rejoin_look", CLUSTERMON_LOOK_AGAIN);
    c.facts.may_discard = false;
    expect(&c, "rejoin_unsaved", CLUSTERMON_NONE);
    c.facts.down_us = NOW - 34 * S; /* somebody restarts it */
    expect(&c, "rejoin_recent", CLUSTERMON_NONE);
    down(&c);
    c.node[2].in_recovery = false;
    expect(&c, "rejoin_waits", CLUSTERMON_NONE);
    down(&c);
    c.facts.files = CLUSTERMON_FILES_STANDBY;
    expect(&c, "start", CLUSTERMON_START);
    c.facts.files = CLUSTERMON_FILES_UNSEEN; /* in a container: as the old program did */
    expect(&c, "start", CLUSTERMON_START);
    down(&c);
    c.facts.clone_owed = true;
    expect(&c, "clone", CLUSTERMON_CLONE);
    c.node[0].in_recovery = true;
    expect(&c, "clone_waits", CLUSTERMON_NONE);

    /* No other primary answers: those that do not may be one, unless more than half are seen. */
    down(&c);
    c.node[0].connected = false;
    expect(&c, "rejoin_heard", CLUSTERMON_NONE);
    c.node[2].heard_us = -1;
    expect(&c, "start", CLUSTERMON_START);
    c.node[2].connected = false;
    expect(&c, "minority", CLUSTERMON_NONE);
    c.facts.nodes = 2;
    expect(&c, "start", CLUSTERMON_START);
}

static void test_several_primaries(void **state)
{
    Case c;

    (void) state;
    both(&c);
    assert_int_equal(expect(&c, "downgrade", CLUSTERMON_DOWNGRADE).primary, 0);
    c.facts.confirmed = false;
    expect(&c, "downgrade_look", CLUSTERMON_LOOK_AGAIN);
    c.facts.may_discard = false;
    expect(&c, "cannot_save", CLUSTERMON_NONE);
    both(&c);
    c.facts.several_us = NOW - 34 * S;
    expect(&c, "several_recent", CLUSTERMON_NONE);

    /* WAL first, whatever the timeline and the size are; then size; then the order of the file. */
    both(&c);
    c.node[1].position = 2001;
    c.node[0].timeline = 9;
    c.node[0].bytes = 100000;
    expect(&c, "kept", CLUSTERMON_NONE);
    c.node[1].position = 2000;
    expect(&c, "downgrade", CLUSTERMON_DOWNGRADE);
    c.node[1].bytes = 100001;
    expect(&c, "kept", CLUSTERMON_NONE);
    c.node[1].bytes = 100000; /* the old rule resolved nothing here */
    expect(&c, "downgrade", CLUSTERMON_DOWNGRADE);
    c.node[0].bytes = -1;
    expect(&c, "downgrade", CLUSTERMON_DOWNGRADE);
    c.facts.own = 0;
    expect(&c, "kept", CLUSTERMON_NONE);

    /* A standby waits until there is one. */
    both(&c);
    c.facts.own = 2;
    expect(&c, "several", CLUSTERMON_NONE);
}

static void test_primary_and_names(void **state)
{
    Case c;

    (void) state;
    usual(&c);
    c.facts.own = 0;
    assert_int_equal(expect(&c, "primary", CLUSTERMON_NONE).names, CLUSTERMON_NAMES_NONE);
    c.facts.streaming = 1;
    assert_int_equal(expect(&c, "primary", CLUSTERMON_NONE).names, CLUSTERMON_NAMES_ALL);
    c.node[1].connected = c.node[2].connected = false; /* what streams is no node of the file */
    assert_int_equal(expect(&c, "primary", CLUSTERMON_NONE).names, CLUSTERMON_NAMES_NONE);
    usual(&c);
    assert_int_equal(expect(&c, "standby", CLUSTERMON_NONE).names, CLUSTERMON_NAMES_KEEP);
    c.facts.follows = false;
    assert_int_equal(expect(&c, "follow", CLUSTERMON_FOLLOW).primary, 0);
    c.facts.network = false;
    expect(&c, "network", CLUSTERMON_NONE);
    c.facts.own = 0; /* of the primary it is not asked, as ever */
    expect(&c, "primary", CLUSTERMON_NONE);
}

static void test_failover(void **state)
{
    Case c;

    (void) state;
    lost(&c);
    expect(&c, "failover", CLUSTERMON_PROMOTE);
    c.facts.confirmed = false;
    expect(&c, "failover_look", CLUSTERMON_LOOK_AGAIN);
    c.facts.own = 2; /* equal positions: the first in the file */
    assert_int_equal(expect(&c, "not_furthest", CLUSTERMON_NONE).furthest, 1);
    c.node[2].position = 1001;
    expect(&c, "failover_look", CLUSTERMON_LOOK_AGAIN);
    c.node[1].timeline = 2; /* a later timeline is further, wherever it ends */
    expect(&c, "not_furthest", CLUSTERMON_NONE);
    c.node[1].strayed = true; /* but not the primary's */
    expect(&c, "failover_look", CLUSTERMON_LOOK_AGAIN);
    c.node[2].strayed = true;
    expect(&c, "no_position", CLUSTERMON_NONE);

    lost(&c);
    c.facts.network = false;
    expect(&c, "network", CLUSTERMON_NONE);
    lost(&c);
    c.facts.had_primary = false;
    expect(&c, "never_seen", CLUSTERMON_NONE);
    lost(&c);
    c.facts.no_primary_us = NOW - 14 * S;
    expect(&c, "primary_recent", CLUSTERMON_NONE);
    lost(&c);
    c.node[2].heard_us = 34 * S; /* an idle primary is heard of each 30 s */
    expect(&c, "standby_streams", CLUSTERMON_NONE);
    c.node[2].heard_us = 35 * S;
    expect(&c, "failover", CLUSTERMON_PROMOTE);
    c.facts.failover_us = 16 * S;
    c.node[0].refuses = true; /* too many connections, pg_hba.conf, another password */
    expect(&c, "primary_refuses", CLUSTERMON_NONE);
    lost(&c);
    c.node[1].position = c.node[2].position = LSN_NONE;
    expect(&c, "no_position", CLUSTERMON_NONE);

    /* Of three more than half; of two one is enough, as ever. */
    lost(&c);
    c.node[2].connected = false;
    expect(&c, "no_majority", CLUSTERMON_NONE);
    c.facts.nodes = 2;
    expect(&c, "failover", CLUSTERMON_PROMOTE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_several_primaries),
        cmocka_unit_test(test_primary_and_names),
        cmocka_unit_test(test_failover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
