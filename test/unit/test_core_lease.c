/*
 * test_core_lease.c: the arithmetic that everything rests on: the leader stops before any voter is free.
 */
#include "unit.h"

#include "core_fixture.h"

#include "base/rng.h"

/* A clock that runs ppm too fast since true time 0. */
static Clock drifted(int64_t true_us, int64_t ppm)
{
    int64_t us = 1000 * US_PER_SEC + true_us + true_us * ppm / 1000000;
    return (Clock){.raw_us = us, .boot_us = us, .wall_us = us};
}

/* For any lease, margin and drift that may be configured, and clocks that drift as far as that. */
static void ends_before_the_promise(void **state)
{
    uint64_t rng = 42;
    (void) state;

    for (int i = 0; i < 200000; i++) {
        Core leader = {0}, voter = {0};
        uint32_t lease_ms = 300 + (uint32_t) rng_below(&rng, 59701);
        int64_t drift = (int64_t) rng_below(&rng, 5001);
        int64_t sent_us = (int64_t) rng_below(&rng, 1000000), way_us = (int64_t) rng_below(&rng, 100000);
        leader.options.drift_ppm = (uint32_t) drift;
        leader.options.margin_ms = (uint32_t) rng_below(&rng, 100);
        leader.leased = true;
        leader.lease_base = drifted(sent_us, -drift); /* slow leader, fast voter */
        leader.lease_base_ms = lease_ms;
        voter.now = drifted(sent_us + way_us, drift);
        lease_promise(&voter, &(Msg){.from = A, .sender = fixture_uuid(A), .lease_ms = lease_ms});
        /* the moment at which the voter is free, in true time, found by its own clock */
        int64_t free_us = sent_us + way_us + (int64_t) lease_ms * 1000 * 1000000 / (1000000 + drift) - 2;
        voter.now = drifted(free_us, drift);
        if (lease_promise_left_us(&voter) > 5)
            fail_msg("the test's own sum is wrong: %lld left", (long long) lease_promise_left_us(&voter));
        Clock now = drifted(free_us, -drift);
        if (core_lease_holds(&leader, &now))
            fail_msg("lease %u ms, drift %lld, margin %u: still held when the voter is free", lease_ms,
                     (long long) drift, leader.options.margin_ms);
    }
}

static void until_is_what_holds_says(void **state)
{
    Core core = {.leased = true, .lease_base_ms = 1000};
    (void) state;

    core.options.drift_ppm = 1000;
    core.options.margin_ms = 30;
    core.lease_base = fixture_clock(0);
    Clock until = core_lease_until(&core), now = until;
    assert_int_equal(until.boot_us - core.lease_base.boot_us, 968000);
    assert_false(core_lease_holds(&core, &now));
    now.boot_us--;
    assert_false(core_lease_holds(&core, &now)); /* the other clock says it is over */
    now.raw_us--;
    assert_true(core_lease_holds(&core, &now));
    core.leased = false;
    assert_false(core_lease_holds(&core, &now));
    assert_int_equal(core_lease_until(&core).boot_us, 0);
}

static void promises_are_never_shortened(void **state)
{
    uint64_t rng = 7;
    Core voter = {0};
    int64_t ms = 0, free_ms = 0;
    (void) state;

    for (int i = 0; i < 100000; i++) {
        uint32_t lease_ms = 300 + (uint32_t) rng_below(&rng, 5000);
        ms += (int64_t) rng_below(&rng, 400);
        voter.now = fixture_clock(ms);
        lease_promise(&voter, &(Msg){.from = A, .sender = fixture_uuid(A), .lease_ms = lease_ms});
        if (ms + lease_ms > free_ms)
            free_ms = ms + lease_ms;
        assert_true(lease_promise_left_us(&voter) >= (free_ms - ms) * US_PER_MS);
        assert_true(lease_promise_left_us(&voter) <= (free_ms - ms + 1) * US_PER_MS);
        assert_int_equal(lease_promised(&voter, &(Uuid){{0}}), free_ms > ms);
    }
    Uuid leader = fixture_uuid(A);
    assert_false(lease_promised(&voter, &leader));
}

/* Only a majority of voters makes a lease, and it counts from the sending. */
static void majority_counts_from_the_sending(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    core.role = ROLE_LEADER;
    core.leader = core.self;
    core.now = fixture_clock(6000);
    fixture_out.count = 0;
    lease_heartbeat(&core, &fixture_out);
    uint64_t seq = core.seq;
    core.now = fixture_clock(6100);
    core.peer[C].acked_seq = seq;
    lease_update(&core);
    assert_false(core.leased); /* two of four */
    core.peer[B].acked_seq = seq;
    core.peer[B].uuid = fixture_uuid(30); /* B was wiped: its word does not count */
    lease_update(&core);
    assert_false(core.leased);
    core.peer[W].acked_seq = seq;
    lease_update(&core);
    assert_true(core.leased);
    assert_int_equal(core.lease_base.boot_us, fixture_clock(6000).boot_us);
    core.lease_floor = seq;
    core.leased = false;
    lease_update(&core);
    assert_false(core.leased); /* rounds of before a clock's jump prove nothing */
}

/* The wall clock runs ahead: a hypervisor may have stopped the others. */
static void wall_clock_jump(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    core.role = ROLE_LEADER;
    core.leader = core.self;
    core.leased = true;
    core.lease_base = core.now;
    core.lease_base_ms = 1000;
    core.now = fixture_clock(5100);
    core.now.wall_us += 40 * US_PER_MS;
    fixture_out.count = 0;
    lease_check_clocks(&core, &fixture_out);
    assert_int_equal(fixture_out.count, 0);
    core.now.wall_us += 400 * US_PER_MS;
    lease_check_clocks(&core, &fixture_out);
    assert_true(core_since(&core, &core.heartbeat_at) > 1000 * US_PER_MS); /* a new round is due */
    assert_true(core_lease_until(&core).boot_us <= core.now.boot_us + CLOCK_JUMP_US);
}

/* A release with the right words frees the voter, another one does not. */
static void releases(void **state)
{
    Core core = fixture_core(B);
    Msg heartbeat = fixture_msg(&core, MSG_HEARTBEAT, A);
    (void) state;

    fixture_step(&core, 5000, &heartbeat);
    assert_true(fixture_sent(MSG_HEARTBEAT_ACK)->granted);
    assert_int_equal(core.leader, A);
    Msg release = fixture_msg(&core, MSG_RELEASE, A);
    release.release = (Release){
        .leader = fixture_uuid(A), .term = 4, .inc = heartbeat.inc + 1, .seq = 1, .to = C, .lsn = 5000};
    fixture_step(&core, 5001, &release);
    assert_true(lease_promise_left_us(&core) > 0); /* of another process */
    release.release.inc = heartbeat.inc;
    fixture_step(&core, 5002, &release);
    assert_int_equal(lease_promise_left_us(&core), 0);
    assert_int_equal(core.leader, MEMBER_NONE);
    /* a heartbeat that was under way then is void */
    fixture_step(&core, 5003, &heartbeat);
    assert_false(fixture_sent(MSG_HEARTBEAT_ACK)->granted);
    assert_int_equal(lease_promise_left_us(&core), 0);
    assert_int_equal(core.leader, MEMBER_NONE);
}

/* What the fence asks of commits is less only when a majority has the document that allows it. */
static void the_fence_relaxes_with_the_document(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    core.role = ROLE_LEADER;
    core.leased = true;
    core.lease_base = core.now;
    core.lease_base_ms = 1000;
    core.epoch_in_force = 2;
    core.doc_in_force = true;
    core.persist.doc.synchronous = true;
    core.persist.doc.sync_needed = 1;
    fixture_out.count = 0;
    lease_fence(&core, &fixture_out);
    assert_true(fixture_out.effect[0].fence_synchronous);
    core.persist.doc.synchronous = false;
    core.doc_in_force = false;
    core.lease_base = core.now = fixture_clock(5100); /* a renewed deadline is told all the same */
    fixture_out.count = 0;
    lease_fence(&core, &fixture_out);
    assert_int_equal(fixture_out.count, 1);
    assert_true(fixture_out.effect[0].fence_synchronous);
    core.doc_in_force = true;
    fixture_out.count = 0;
    lease_fence(&core, &fixture_out);
    assert_int_equal(fixture_out.count, 1);
    assert_false(fixture_out.effect[0].fence_synchronous);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_before_the_promise),
        cmocka_unit_test(until_is_what_holds_says),
        cmocka_unit_test(promises_are_never_shortened),
        cmocka_unit_test(majority_counts_from_the_sending),
        cmocka_unit_test(wall_clock_jump),
        cmocka_unit_test(releases),
        cmocka_unit_test(the_fence_relaxes_with_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
