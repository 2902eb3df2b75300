/*
 * test_core_prefer.c: of two members the standby votes alone: when votes move, and when they must not.
 */
#include "core_fixture.h"
#include "unit.h"

/* a leads, b is its standby, and nobody else belongs; commits wait for b, and the lease is b's word too. */
static Core pair(void)
{
    Core core = fixture_core(A);
    Document *doc = &core.persist.doc;

    doc->member[C] = doc->member[W] = (DocMember){0};
    doc->synchronous = true;
    doc->sync_set = 1u << A | 1u << B;
    doc->sync_needed = 1;
    core.options.standby_votes = true;
    core.role = ROLE_LEADER;
    core.leader = core.self;
    core.led_term = core.persist.term;
    core.leased = core.doc_in_force = true;
    core.lease_base = core.doc_at = core.now;
    core.lease_base_ms = 1000;
    core.seq = core.peer[B].acked_seq = 10;
    core.epoch_in_force = 2;
    return core;
}

/* What the next step makes of the document. */
static Document next(const Core *core, bool *ret_changes)
{
    Document doc = core->persist.doc;

    *ret_changes = membership_step(core, &doc);
    return doc;
}

static void expect_votes(const Core *core, bool a, bool b)
{
    bool changes;
    Document doc = next(core, &changes);

    assert_int_equal(doc.member[A].voter, a);
    assert_int_equal(doc.member[B].voter, b);
    assert_int_equal(changes,
                     a != core->persist.doc.member[A].voter || b != core->persist.doc.member[B].voter);
}

static void the_primary_gives_its_vote_up_when_all_is_there(void **state)
{
    Core core = pair();

    (void) state;
    expect_votes(&core, false, true);
    core.options.standby_votes = false;
    expect_votes(&core, true, true);
    core.options.standby_votes = true;
    core.persist.doc.sync_set = 1u << A;
    core.persist.doc.sync_needed = 0;
    expect_votes(&core, true, true);
    core = pair();
    core.persist.doc.synchronous = false;
    expect_votes(&core, true, true);
    core = pair();
    core.persist.doc.sync_needed = 0;
    expect_votes(&core, true, true);
}

/* Alone the primary keeps its vote; and whoever leads before it is the primary moves none. */
static void whose_vote_is_not_in_question(void **state)
{
    Core core = pair();

    (void) state;
    core.persist.doc.member[B] = (DocMember){0};
    core.persist.doc.sync_set = 1u << A;
    assert_true(prefer_votes(&core, &core.persist.doc, A));
    core = pair();
    core.persist.doc.primary = B;
    expect_votes(&core, true, true);
}

/* Rounds that were granted before b had its vote are no promise of b's. */
static void the_lease_is_the_standbys_word_first(void **state)
{
    Core core = pair();

    (void) state;
    core.doc_at.boot_us++;
    expect_votes(&core, true, true);
    core = pair();
    core.now = fixture_clock(5000 + 1001); /* it has run out */
    core.peer[B].heard_at = core.now;
    expect_votes(&core, true, true);
}

/* Nobody is elected against its vote; without one it waits, whatever becomes of the other. */
static void the_primary_goes_on_alone_only_with_a_vote(void **state)
{
    Core core = pair();

    (void) state;
    core.now = fixture_clock(7000);
    expect_votes(&core, true, false);
    core.peer[B].heard_at = core.now;
    expect_votes(&core, true, true);
    core.persist.doc.member[A].voter = false;
    core.peer[B].heard_at = fixture_clock(5000);
    expect_votes(&core, false, true);
    assert_true(prefer_votes(&core, &core.persist.doc, B)); /* whoever else might agree to that */
}

/* With another identity what the standby had is gone; without it nobody can take its vote away either. */
static void a_standby_that_lost_its_state(void **state)
{
    Core core = pair();

    (void) state;
    core.persist.doc.member[A].voter = false;
    core.peer[B].uuid = fixture_uuid(7);
    expect_votes(&core, false, true);
}

static void a_third_member_brings_the_vote_back(void **state)
{
    Core core = pair(), three = fixture_core(A);

    (void) state;
    core.persist.doc.member[A].voter = false;
    core.persist.doc.member[C] = three.persist.doc.member[C];
    core.persist.doc.member[C].voter = false;
    core.peer[C].acked_seq = core.seq;
    core.peer[C].report.pg.streaming = false; /* not ready for its own */
    expect_votes(&core, false, true);
    core.peer[C].report.pg.streaming = true;
    expect_votes(&core, true, true);
    assert_false(prefer_admits(&core, &core.persist.doc, C)); /* wherever its slot is */
    core.persist.doc.member[A].voter = true;
    bool changes;
    Document doc = next(&core, &changes);
    assert_true(changes && doc.member[A].voter && doc.member[B].voter && doc.member[C].voter);
}

/* Whoever leaves still votes, and is not waited for any more. */
static void a_third_member_leaves_first(void **state)
{
    Core core = pair(), three = fixture_core(A);

    (void) state;
    core.persist.doc.member[C] = three.persist.doc.member[C];
    core.persist.doc.member[C].leaving = true;
    bool changes;
    Document doc = next(&core, &changes);
    assert_true(changes && doc.member[A].voter && !doc.member[C].voter);
    core.persist.doc.sync_set |= 1u << C; /* as long as commits may wait for it both others vote */
    expect_votes(&core, true, true);
}

/* It may have what the standby lacks, as long as commits wait for either of them. */
static void a_third_member_without_a_vote_is_waited_for(void **state)
{
    Core core = pair(), three = fixture_core(A);

    (void) state;
    core.persist.doc.member[C] = three.persist.doc.member[C];
    core.persist.doc.member[C].voter = false;
    core.peer[C].report.pg.streaming = false;
    core.persist.doc.sync_set |= 1u << C;
    expect_votes(&core, true, true);
    core.persist.doc.sync_set = 1u << A | 1u << B;
    expect_votes(&core, false, true);
}

/* Who could not be waited for gets no vote that it would have to have alone. */
static void a_standby_that_must_not_take_over(void **state)
{
    Core core = pair();

    (void) state;
    core.persist.doc.member[B].voter = false;
    core.persist.doc.sync_set = 1u << A;
    core.persist.doc.sync_needed = 0;
    expect_votes(&core, true, true);
    core.peer[B].report.no_failover = true;
    expect_votes(&core, true, false);
    core.peer[B].report.no_failover = false;
    core.peer[B].report.no_sync = true;
    expect_votes(&core, true, false);
    core.peer[B].report.no_sync = false;
    core.peer[B].uuid = fixture_uuid(7); /* it lost its state, and what it had with that */
    core.peer[B].report.pg.streaming = false;
    expect_votes(&core, true, false);
    core.peer[B].report.pg.streaming = true;
    expect_votes(&core, true, true);
}

/* The one who leaves has its vote until the primary has one. */
static void a_standby_that_leaves(void **state)
{
    Core core = pair();

    (void) state;
    core.persist.doc.member[A].voter = false;
    core.persist.doc.member[B].leaving = true;
    expect_votes(&core, true, true);
}

/* Whoever else gets a vote next: it is not the one who leaves that has the only one until then. */
static void a_standby_that_leaves_while_another_is_ready(void **state)
{
    Core core = pair(), three = fixture_core(A);

    (void) state;
    core.persist.doc.member[B].leaving = true;
    core.persist.doc.member[C] = three.persist.doc.member[C];
    core.persist.doc.member[C].voter = false;
    core.peer[C].acked_seq = 0; /* not heard since the lease began */
    expect_votes(&core, true, true);
    core.persist.doc.member[A].voter = false;
    expect_votes(&core, true, true);
}

static void commits_wait_as_strictly_as_votes_need(void **state)
{
    Core core = pair();
    SyncMode mode;
    uint8_t k;

    (void) state;
    core.options.sync_mode = SYNC_OFF;
    prefer_sync(&core, &mode, &k);
    assert_int_equal(mode, SYNC_ON);
    core.persist.doc.member[A].voter = false;
    core.options.sync_k = 2;
    prefer_sync(&core, &mode, &k);
    assert_true(mode == SYNC_STRICT && k == 1);
    core.options.standby_votes = false; /* until it has its vote back */
    prefer_sync(&core, &mode, &k);
    assert_true(mode == SYNC_STRICT && k == 1);
    core.persist.doc.member[A].voter = true;
    prefer_sync(&core, &mode, &k);
    assert_int_equal(mode, SYNC_OFF);
}

/* It may have to take over before the primary has its vote: so long commits count on it. */
static void whoever_votes_alone_stays_waited_for(void **state)
{
    Core core = pair();

    (void) state;
    core.persist.doc.member[A].voter = false;
    core.persist.doc.member[B].leaving = true;
    core.looked_us = 1;
    core.pg.names = (Names){.kind = NAMES_OURS, .set = 1u << B, .needed = 1, .epoch = 2};
    fixture_out.count = 0;
    assert_false(standbys_tick(&core, &fixture_out));
    core.persist.doc.member[A].voter = true;
    assert_true(standbys_tick(&core, &fixture_out));
    assert_int_equal(core.persist.doc.sync_set, 1u << A);
}

/* Without a vote of its own the incumbent stands, and nobody else does. */
static void who_stands_without_a_vote(void **state)
{
    Core a = pair(), b = fixture_core(B);

    (void) state;
    a.persist.doc.member[A].voter = false;
    assert_null(candidate_obstacle(&a));
    a.persist.node_uuid = fixture_uuid(7);
    assert_non_null(candidate_obstacle(&a));
    assert_null(candidate_obstacle(&b));
    b.persist.doc.member[B].voter = false;
    assert_non_null(candidate_obstacle(&b));
}

/* The standby leaves the place to it, as to anybody who has more; not to somebody who bears its name. */
static void who_is_ahead_without_a_vote(void **state)
{
    Core core = fixture_core(B);
    Peer *a = &core.peer[A];

    (void) state;
    core.persist.doc.member[A].voter = false;
    a->prevote_seen = a->report.eligible = true;
    assert_int_equal(candidate_ahead(&core), A);
    a->uuid = fixture_uuid(7);
    assert_int_equal(candidate_ahead(&core), MEMBER_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_gives_its_vote_up_when_all_is_there),
        cmocka_unit_test(whose_vote_is_not_in_question),
        cmocka_unit_test(the_lease_is_the_standbys_word_first),
        cmocka_unit_test(the_primary_goes_on_alone_only_with_a_vote),
        cmocka_unit_test(a_standby_that_lost_its_state),
        cmocka_unit_test(a_third_member_brings_the_vote_back),
        cmocka_unit_test(a_third_member_leaves_first),
        cmocka_unit_test(a_third_member_without_a_vote_is_waited_for),
        cmocka_unit_test(a_standby_that_must_not_take_over),
        cmocka_unit_test(a_standby_that_leaves),
        cmocka_unit_test(a_standby_that_leaves_while_another_is_ready),
        cmocka_unit_test(commits_wait_as_strictly_as_votes_need),
        cmocka_unit_test(whoever_votes_alone_stays_waited_for),
        cmocka_unit_test(who_stands_without_a_vote),
        cmocka_unit_test(who_is_ahead_without_a_vote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
