/*
 * test_lookout.c: pglookout's policy: a situation for each row of its table, and what it counts.
 */
#include "core/lookout.h"
#include "unit.h"

#include <string.h>

#define S   US_PER_SEC
#define NOW (10000 * S)

/* pg1 was the primary and is silent for 200 s; pg2 is ours, pg3 the other standby; both end at the same
 * place. */
typedef struct Case {
    LookoutServer server[4];
    LookoutFacts facts;
} Case;

static void usual(Case *c)
{
    LookoutServer standby = {.connected = true,
                             .known = true,
                             .in_recovery = true,
                             .polled_us = NOW - S,
                             .contact_us = NOW - S,
                             .moved_us = NOW - 200 * S,
                             .receive = 1000,
                             .replay = 900,
                             .lag_us = 200 * S,
                             .min_lag_us = 0,
                             .replicates_us = NOW - 5000 * S};

    *c = (Case){0};
    c->server[0] = (LookoutServer){.name = "pg1",
                                   .known = true,
                                   .polled_us = NOW - S,
                                   .contact_us = NOW - 200 * S,
                                   .lag_us = -1,
                                   .min_lag_us = -1};
    c->server[1] = c->server[2] = standby;
    c->server[1].name = "pg2";
    c->server[2].name = "pg3";
    c->facts = (LookoutFacts){.now_us = NOW,
                              .started_us = 1,
                              .changed_us = 1,
                              .server = c->server,
                              .server_count = 3,
                              .own = 2,
                              .had_primary = true,
                              .has_command = true,
                              .failover_on_disconnect = true,
                              .warning_us = 30 * S,
                              .failover_us = 120 * S,
                              .missing_us = 15 * S,
                              .catchup_us = 300 * S,
                              .quiet_us = 15 * S};
}

static LookoutVerdict expect(const Case *c, const char *rule)
{
    LookoutVerdict verdict;

    lookout_decide(&c->facts, &verdict);
    assert_string_equal(verdict.rule, rule);
    return verdict;
}

static void failover_after_a_second_look(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    LookoutVerdict verdict = expect(&c, "look_again");
    assert_int_equal(verdict.move, LOOKOUT_LOOK_AGAIN);
    assert_int_equal(verdict.known, 2);
    assert_int_equal(verdict.total, 3);
    assert_int_equal(verdict.primary, 0);
    assert_true(verdict.is_warning);
    c.facts.confirmed = true;
    assert_int_equal(expect(&c, "failover").move, LOOKOUT_FAILOVER);
    c.facts.has_command = false;
    expect(&c, "no_command");
}

static void who_does_not_act(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.facts.own = -1;
    expect(&c, "observer");
    usual(&c);
    c.server[0].polled_us = 0;
    expect(&c, "starting");
    usual(&c);
    c.facts.own = 0;
    c.server[0].connected = true;
    expect(&c, "own_primary");
    usual(&c);
    c.server[2].connected = false;
    expect(&c, "own_silent");
    usual(&c);
    c.facts.busy = true;
    expect(&c, "under_way");
    usual(&c);
    c.facts.maintenance = true;
    expect(&c, "maintenance");
    usual(&c);
    c.facts.own = 1;
    expect(&c, "not_furthest");
    usual(&c);
    c.server[2].never_promote = true;
    assert_int_equal(expect(&c, "never_promote").furthest, 1);
}

static void signs_of_life(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.server[0].connected = true;
    expect(&c, "primary_connected");
    c.server[1].in_recovery = false;
    assert_int_equal(expect(&c, "two_primaries").primaries, 2);
    usual(&c);
    c.facts.seen_by = "o1";
    expect(&c, "primary_seen");
    usual(&c);
    c.server[1].moved_us = NOW - 5 * S;
    expect(&c, "standby_streams");
    usual(&c);
    c.server[0].contact_us = NOW - 119 * S;
    expect(&c, "contact_recent");
    c.server[0].contact_us = NOW - 120 * S;
    expect(&c, "look_again");
    usual(&c);
    c.server[1].lag_us = 119 * S;
    expect(&c, "lag_is_small");
    c.server[1].lag_us = 120 * S;
    expect(&c, "look_again");
}

static void own_lag(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.server[0].connected = true;
    c.server[2].lag_us = 30 * S - 1;
    assert_false(expect(&c, "primary_connected").is_warning);
    c.server[2].lag_us = 30 * S;
    assert_true(expect(&c, "primary_connected").is_warning);
    c.server[2].lag_us = -1;
    assert_false(expect(&c, "primary_connected").is_warning);

    /* Unknown: what was never replayed has no age. */
    usual(&c);
    c.server[2].lag_us = -1;
    expect(&c, "look_again");
    c.facts.failover_on_disconnect = false;
    expect(&c, "lag_is_not_the_limit");
    c.server[2].lag_us = 120 * S;
    expect(&c, "look_again");
}

static void catching_up(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.server[2].min_lag_us = 30 * S; /* never was close */
    c.server[2].replicates_us = NOW - 299 * S;
    LookoutVerdict verdict = expect(&c, "catching_up");
    assert_true(verdict.is_catching_up);
    assert_false(verdict.is_warning);
    c.server[2].replicates_us = NOW - 301 * S;
    expect(&c, "look_again");
    c.server[2].replicates_us = NOW - 299 * S;
    c.server[2].min_lag_us = 30 * S - 1;
    expect(&c, "look_again");
    c.server[2].receive = LSN_NONE; /* nothing came yet */
    expect(&c, "catching_up");
}

static void no_primary(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.server[0].known = false; /* it never answered */
    c.facts.had_primary = false;
    c.facts.started_us = NOW - 119 * S;
    expect(&c, "undecided");
    c.facts.started_us = NOW - 120 * S;
    expect(&c, "look_again");

    usual(&c); /* a cluster of standbys: whom they follow is somewhere else */
    c.facts.had_primary = false;
    c.server[0] = c.server[1];
    c.server[0].name = "pg1";
    expect(&c, "never_seen");
}

static void gone_from_the_configuration(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.facts.server = c.server + 1;
    c.facts.server_count = 2;
    c.facts.own = 1;
    c.server[1].lag_us = c.server[2].lag_us = 3 * S; /* it does not matter then */
    c.facts.changed_us = NOW - 14 * S;
    expect(&c, "missing");
    c.facts.changed_us = NOW - 15 * S;
    LookoutVerdict verdict = expect(&c, "look_again");
    assert_int_equal(verdict.total, 3); /* the primary counts all the same */
    c.facts.changed_us = NOW;
    c.facts.primary_known_gone = true;
    expect(&c, "look_again");
    c.server[2].moved_us = NOW - S;
    expect(&c, "standby_streams");
}

static void known_gone(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.server[0].contact_us = NOW - 2 * S;
    c.server[1].lag_us = c.server[2].lag_us = 3 * S;
    expect(&c, "contact_recent");
    c.server[0].known_gone = true;
    expect(&c, "look_again");
    c.facts.seen_by = "o1";
    expect(&c, "primary_seen");
    c.facts.seen_by = NULL;
    c.facts.started_us = NOW - S;
    c.server[1].known = c.server[1].connected = false; /* it may have been promoted */
    expect(&c, "known_gone_undecided");
    c.server[0].connected = true;
    expect(&c, "primary_connected");
}

static void majority(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    c.facts.observers = 1; /* 2 of 4: exactly half */
    LookoutVerdict verdict = expect(&c, "no_majority");
    assert_int_equal(verdict.known, 2);
    assert_int_equal(verdict.total, 4);
    c.facts.connected = 1;
    expect(&c, "look_again");
    usual(&c);
    c.server[1].connected = false; /* 1 of 3 */
    expect(&c, "no_majority");
    usual(&c);
    c.server[1].polled_us = NOW - LOOKOUT_POSITION_US; /* too old to count */
    expect(&c, "no_majority");
    usual(&c);
    c.facts.server_count = 2; /* pg1 and pg2 only: 1 of 2 */
    c.facts.own = 1;
    expect(&c, "no_majority");
    usual(&c);
    c.server[1].never_promote = true; /* it is no candidate, but what it sees counts */
    expect(&c, "look_again");
}

static void furthest(void **state)
{
    Case c;
    (void) state;

    usual(&c);
    assert_int_equal(expect(&c, "look_again").furthest, 2); /* of equals the highest name */
    c.server[1].receive = 1001;
    assert_int_equal(expect(&c, "not_furthest").furthest, 1);
    c.server[1].receive = LSN_NONE; /* then what was replayed counts */
    c.server[1].replay = 1002;
    assert_int_equal(expect(&c, "not_furthest").furthest, 1);
    usual(&c);
    c.server[1].priority = 1;
    assert_int_equal(expect(&c, "not_furthest").furthest, 1);
    c.server[2].receive = 1001; /* a position goes before a priority */
    assert_int_equal(expect(&c, "look_again").furthest, 2);
    c.server[1].never_promote = c.server[2].never_promote = true;
    assert_int_equal(expect(&c, "no_position").furthest, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failover_after_a_second_look),
        cmocka_unit_test(who_does_not_act),
        cmocka_unit_test(signs_of_life),
        cmocka_unit_test(own_lag),
        cmocka_unit_test(catching_up),
        cmocka_unit_test(no_primary),
        cmocka_unit_test(gone_from_the_configuration),
        cmocka_unit_test(known_gone),
        cmocka_unit_test(majority),
        cmocka_unit_test(furthest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
