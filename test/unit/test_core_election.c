/*
 * test_core_election.c: who may stand, in which order, and every reason for which a vote is refused.
 */
#include "unit.h"

#include "core_fixture.h"

static Refusal prevote(Core core, int from)
{
    Msg msg = fixture_msg(&core, MSG_PREVOTE, from);

    fixture_step(&core, 5000, &msg);
    const Msg *answer = fixture_sent(MSG_PREVOTE_ACK);
    assert_non_null(answer);
    assert_int_equal(answer->granted, answer->refusal == REFUSAL_NONE);
    return answer->refusal;
}

/* What a witness, who needs no freeze, answers to a vote. */
static Refusal vote(Core core, const Msg *msg)
{
    fixture_step(&core, 5000, msg);
    const Msg *answer = fixture_sent(MSG_VOTE_ACK);
    assert_non_null(answer);
    assert_int_equal(answer->granted, answer->refusal == REFUSAL_NONE);
    return answer->refusal;
}

static void refusals(void **state)
{
    Core core = fixture_core(W);
    (void) state;

    assert_int_equal(prevote(core, C), REFUSAL_NONE);
    Msg msg = fixture_msg(&core, MSG_VOTE, C);
    msg.term = 5;
    assert_int_equal(vote(core, &msg), REFUSAL_NONE);

    core.disk_failed = true;
    core.disk_at = core.now;
    assert_int_equal(vote(core, &msg), REFUSAL_DISK);
    core = fixture_core(W);
    core.persist.node_uuid = fixture_uuid(30);
    assert_int_equal(vote(core, &msg), REFUSAL_NOT_VOTER);
    core = fixture_core(W);
    core.started_at = fixture_clock(4500);
    assert_int_equal(prevote(core, C), REFUSAL_SILENT);
    assert_int_equal(vote(core, &msg), REFUSAL_SILENT);
    core = fixture_core(W);
    msg.term = 3;
    assert_int_equal(vote(core, &msg), REFUSAL_TERM);
    core.persist.voted_for = fixture_uuid(B);
    msg.term = 4;
    assert_int_equal(vote(core, &msg), REFUSAL_VOTED);
    core.persist.voted_for = fixture_uuid(C);
    assert_int_equal(vote(core, &msg), REFUSAL_NONE); /* the same again */
    msg.term = 5;
    msg.doc_id.version--;
    assert_int_equal(vote(core, &msg), REFUSAL_DOCUMENT);
}

/* A heartbeat that brings nothing new is answered when the vote that it was won by is on disk, not before. */
static void vote_before_lease(void **state)
{
    Core core = fixture_core(W);
    Msg ask = fixture_msg(&core, MSG_VOTE, C), heartbeat = fixture_msg(&core, MSG_HEARTBEAT, C);
    (void) state;

    ask.term = heartbeat.term = 5;
    fixture_step(&core, 5000, &ask);
    assert_true(fixture_sent(MSG_VOTE_ACK)->granted);
    assert_true(core.persisted_seq < core.persist_seq);
    fixture_step(&core, 5010, &heartbeat);
    assert_true(fixture_sent(MSG_HEARTBEAT_ACK)->granted);
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_SEND)
            assert_int_equal(fixture_out.effect[i].after_persist, core.persist_seq);
}

static void promised_to_another(void **state)
{
    Core core = fixture_core(W);
    Msg heartbeat = fixture_msg(&core, MSG_HEARTBEAT, A);
    (void) state;

    fixture_step(&core, 4500, &heartbeat);
    assert_true(fixture_sent(MSG_HEARTBEAT_ACK)->granted);
    assert_int_equal(prevote(core, C), REFUSAL_PROMISED);
    Msg msg = fixture_msg(&core, MSG_VOTE, C);
    msg.term = 9;
    assert_int_equal(vote(core, &msg), REFUSAL_PROMISED);
    Core after = core;
    fixture_step(&after, 5000, &msg);
    assert_int_equal(after.persist.term, 4); /* nor is its term adopted */
    /* the leader himself may stand again */
    Msg again = fixture_msg(&core, MSG_VOTE, A);
    again.term = 9;
    assert_int_equal(vote(core, &again), REFUSAL_NONE);
    /* and whom its release names */
    msg.release = (Release){.leader = fixture_uuid(A), .term = 4, .inc = heartbeat.inc, .seq = 1, .to = C};
    assert_int_equal(vote(core, &msg), REFUSAL_NONE);
    msg.release.to = B;
    assert_int_equal(vote(core, &msg), REFUSAL_PROMISED);
    msg.release.to = C;
    msg.release.seq = 0;
    assert_int_equal(vote(core, &msg), REFUSAL_PROMISED);
}

/* A former primary whose server may still write votes for nobody. */
static void writers_do_not_vote(void **state)
{
    (void) state;
    for (int i = 0; i < 4; i++) {
        Core core = fixture_core(A);
        core.pg.state = (PgState[]){PG_PRIMARY, PG_STARTING, PG_UNKNOWN, PG_CRASHED}[i];
        core.pg.processes_left = i == 3;
        core.persist.doc.paused = true; /* so that no rule acts in between */
        assert_int_equal(prevote(core, C), REFUSAL_PROMISED);
    }
    Core core = fixture_core(A);
    core.pg.state = PG_CRASHED;
    assert_int_equal(prevote(core, C), REFUSAL_NONE);
}

/* A standby freezes first, and a second candidate has to wait meanwhile. */
/* Its server cannot acknowledge while the fence is closed, and the vote keeps it closed. */
static void a_fenced_primary_votes(void **state)
{
    Core core = fixture_core(A);
    Msg msg = fixture_msg(&core, MSG_PREVOTE, B);

    (void) state;
    core.pg.fenced = true;
    fixture_step(&core, 5000, &msg);
    assert_true(fixture_sent(MSG_PREVOTE_ACK)->granted);
    core.grace_until = fixture_clock(6000); /* what a former agent had allowed */
    fixture_step(&core, 5001, &msg);
    assert_false(fixture_sent(MSG_PREVOTE_ACK)->granted);
}

static void standby_freezes_before_it_votes(void **state)
{
    Core core = fixture_core(B);
    Msg msg = fixture_msg(&core, MSG_VOTE, C);
    (void) state;

    msg.term = 5;
    fixture_step(&core, 5000, &msg);
    assert_null(fixture_sent(MSG_VOTE_ACK));
    assert_int_equal(core.action.kind, ACTION_FREEZE);
    Msg other = fixture_msg(&core, MSG_VOTE, A);
    other.term = 5;
    other.report.pg.state = PG_STANDBY;
    fixture_step(&core, 5001, &other);
    assert_int_equal(fixture_sent(MSG_VOTE_ACK)->refusal, REFUSAL_BUSY);
    ActionResult done = {.id = core.action.id, .ok = true, .lsn = 5100, .timeline = 2};
    core_step(&core, &(Event){.kind = EVENT_ACTION_DONE, .now = fixture_clock(5005), .done = &done},
              &fixture_out);
    const Msg *answer = fixture_sent(MSG_VOTE_ACK);
    assert_true(answer->granted && answer->frozen);
    assert_int_equal(answer->position.lsn, 5100);
    assert_int_equal(core.persist.term, 5);
    assert_true(uuid_equal(&core.persist.voted_for, &msg.sender));
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_SEND && fixture_out.effect[i].msg.kind == MSG_VOTE_ACK)
            assert_int_equal(fixture_out.effect[i].after_persist, core.persist_seq);
}

/* A freeze that could not be done: the vote counts for the majority, and says so. */
static void unfrozen_vote(void **state)
{
    Core core = fixture_core(B);
    Msg msg = fixture_msg(&core, MSG_VOTE, C);
    (void) state;

    msg.term = 5;
    fixture_step(&core, 5000, &msg);
    ActionResult done = {.id = core.action.id};
    core_step(&core, &(Event){.kind = EVENT_ACTION_DONE, .now = fixture_clock(5005), .done = &done},
              &fixture_out);
    assert_true(fixture_sent(MSG_VOTE_ACK)->granted);
    assert_false(fixture_sent(MSG_VOTE_ACK)->frozen);
}

/* Voting for the incumbent leaves the promise to it, which the voter's own candidacy honours. */
static void own_vote_honours_the_promise(void **state)
{
    Core core = fixture_core(B);
    Msg heartbeat = fixture_msg(&core, MSG_HEARTBEAT, A);
    (void) state;

    fixture_step(&core, 5000, &heartbeat);
    Msg msg = fixture_msg(&core, MSG_VOTE, A);
    msg.term = 5;
    fixture_step(&core, 5010, &msg);
    assert_true(fixture_sent(MSG_VOTE_ACK)->granted);
    assert_int_equal(core.leader, MEMBER_NONE);
    for (int64_t ms = 5010; ms < 6000; ms += 10) {
        fixture_step(&core, ms, NULL);
        assert_null(fixture_sent(MSG_PREVOTE));
    }
    core.persisted_seq = core.persist_seq;
    for (int64_t ms = 6000; core.phase == CANDIDATE_NONE; ms += 10) {
        assert_true(ms < 6500);
        fixture_step(&core, ms, NULL);
    }
}

/* On a slow disk: who has voted does not stand before the winner can know of the vote. */
static void stands_back_until_vote_is_written(void **state)
{
    Core core = fixture_core(B);
    Msg msg = fixture_msg(&core, MSG_VOTE, C);
    (void) state;

    core.frozen = true;
    msg.term = 5;
    fixture_step(&core, 5000, &msg);
    assert_true(fixture_sent(MSG_VOTE_ACK)->granted);
    for (int64_t ms = 5010; ms < 9000; ms += 10) {
        fixture_step(&core, ms, NULL);
        assert_null(fixture_sent(MSG_PREVOTE));
    }
    core.persisted_seq = core.persist_seq;
    for (int64_t ms = 9000; ms < 9450; ms += 10) {
        fixture_step(&core, ms, NULL);
        assert_null(fixture_sent(MSG_PREVOTE));
    }
    for (int64_t ms = 9450; core.phase == CANDIDATE_NONE; ms += 10) {
        assert_true(ms < 9900);
        fixture_step(&core, ms, NULL);
    }
}

static void obstacle(Core core, const char *part)
{
    const char *text = candidate_obstacle(&core);

    if (part == NULL) {
        if (text != NULL)
            fail_msg("%s", text);
        return;
    }
    assert_non_null(text);
    assert_has(text, part);
}

/* What was heard of the primary: of the present epoch, or of as many before it. */
static void primary_at(Core *core, int epochs, Lsn lsn)
{
    uint32_t epoch = (uint32_t) ((int) core->persist.doc.epoch + epochs);

    core->persist.primary_at = (Position){.known = true, .epoch = epoch, .lsn = lsn};
}

static void obstacles(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    obstacle(core, NULL);
#define WITH(change, part)                                                                                   \
    do {                                                                                                     \
        core = fixture_core(B);                                                                              \
        change;                                                                                              \
        obstacle(core, part);                                                                                \
    } while (0)
    WITH(core.options.no_failover = true, "no_failover");
    WITH(core.disk_failed = true, "cannot write");
    WITH(core.persist.rewinding = true, "interrupted");
    WITH(core.persist.node_uuid = fixture_uuid(30), "not a voter");
    WITH(core.persist.doc.system_identifier = 8, "another cluster");
    WITH(core.pg.state = PG_STOPPED, "does not run");
    WITH(core.pg.responsive = false, "does not answer");
    WITH(core.pg.lsn = LSN_NONE, "not known");
    WITH(core.pg.timeline = 9, "not known");
    WITH((core.pg.timeline = 1, core.persist.wal_epoch = 1), "left the cluster's history");
    WITH((core.pg.timeline = 1, core.persist.wal_epoch = 1, core.pg.replay_lsn = 3000), NULL);
    WITH(core.diverged = true, "diverged");
    WITH(primary_at(&core, 0, 6001), "maximum_lag");
    WITH(primary_at(&core, 0, 6000), NULL);
    WITH((primary_at(&core, 0, 60000), core.forced = true), NULL);
    WITH(primary_at(&core, -1, 60000), NULL); /* what the one before had does not bound this epoch */
#undef WITH
    obstacle(fixture_core(W), "witness");
}

/* What an operator ordered is meant then, and for the cluster as it was; not hours later. */
static void orders_do_not_outlive(void **state)
{
    Core core = fixture_core(B);
    Document newer = core.persist.doc;
    Msg msg = fixture_msg(&core, MSG_RELEASE, A);
    Event event = {.kind = EVENT_MESSAGE, .now = fixture_clock(5000), .msg = &msg};
    (void) state;

    msg.release =
        (Release){.leader = fixture_uuid(A), .term = 4, .to = B, .forced = true, .accept_loss = true};
    core_step(&core, &event, &fixture_out);
    assert_true(core.forced && core.accept_loss);
    fixture_step(&core, 19000, NULL);
    assert_true(core.forced && core.accept_loss);
    fixture_step(&core, 20100, NULL);
    assert_false(core.forced || core.accept_loss);

    core_step(&core, &event, &fixture_out);
    newer.id = (DocId){.term = 4, .version = 12};
    document_adopt(&core, &newer);
    assert_true(core.accept_loss); /* of the term that was given up */
    newer.id.term = 5;
    document_adopt(&core, &newer);
    assert_false(core.forced || core.accept_loss);
}

/* The named primary goes on by itself, and whoever was handed the lease; others wait for an order. */
static void failover_by_order_only(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    core.options.failover_by_order = true;
    assert_has(election_obstacle(&core), "failover = ordered");
    core.forced = true;
    assert_null(election_obstacle(&core));
    core.forced = false;
    core.xfer.leader = fixture_uuid(A);
    core.ordered_at = core.now;
    assert_null(election_obstacle(&core));
    core = fixture_core(A);
    core.options.failover_by_order = true;
    assert_null(election_obstacle(&core));
    core = fixture_core(B);
    core.options.failover_by_order = true;
    core.persist.doc.epoch = 0; /* somebody has to begin */
    core.pg.state = PG_PRIMARY;
    core.peer[A].report.pg.state = PG_STANDBY;
    assert_null(election_obstacle(&core));
}

/* Nobody can take a pause out of the document without leading; its end counts all the same. */
static void a_pause_ends_without_a_leader(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    core.persist.doc.paused = true;
    assert_has(election_obstacle(&core), "paused");
    core.persist.doc.pause_until_us = core.now.wall_us + 1;
    assert_has(election_obstacle(&core), "paused");
    core.persist.doc.pause_until_us = core.now.wall_us;
    assert_null(election_obstacle(&core));
    core.persist.doc.pause_until_us = 0;
    assert_has(election_obstacle(&core), "paused");
    core.xfer.leader = fixture_uuid(A); /* the primary handed over to it, which it does only by order */
    assert_has(election_obstacle(&core), "paused"); /* long ago */
    core.ordered_at = core.now;
    assert_null(election_obstacle(&core));
}

static void incumbents(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    assert_true(candidate_incumbent(&core));
    core.pg.state = PG_CRASHED;
    assert_true(candidate_incumbent(&core));
    core.pg.state = PG_STANDBY; /* started as a standby behind our back */
    assert_false(candidate_incumbent(&core));
    core.persist.doc.history[1].settled = false;
    assert_false(candidate_incumbent(&core));
    core.pg.timeline = 1; /* but one that is being promoted is */
    assert_true(candidate_incumbent(&core));
    core.persist.wal_epoch = 1;
    assert_false(candidate_incumbent(&core));
    core = fixture_core(B);
    assert_false(candidate_incumbent(&core));
}

static void ranking(void **state)
{
    Core core = fixture_core(C);
    (void) state;

    for (int no = 0; no < MEMBERS; no++)
        core.peer[no].prevote_seen = true;
    assert_int_equal(candidate_rank(&core), 1); /* b is earlier in the document */
    assert_int_equal(candidate_ahead(&core), MEMBER_NONE);
    core.pg.lsn = 5001;
    assert_int_equal(candidate_rank(&core), 0);
    core.peer[B].position.lsn = 5002;
    assert_int_equal(candidate_rank(&core), 1);
    assert_int_equal(candidate_ahead(&core), B);
    core.peer[B].report.eligible = false;
    assert_int_equal(candidate_ahead(&core), MEMBER_NONE);
    core.peer[B].report.eligible = true;
    core.peer[B].position.epoch = 1; /* far ahead, in an older epoch */
    core.peer[B].position.lsn = 900000;
    assert_int_equal(candidate_ahead(&core), MEMBER_NONE);
    core.peer[A].report.eligible = true; /* the incumbent has everything */
    core.peer[A].position.lsn = 1;
    assert_int_equal(candidate_ahead(&core), A);
    core.peer[A].report.pg.state = PG_STANDBY;
    assert_int_equal(candidate_ahead(&core), MEMBER_NONE);
}

static void unfit(Core core, const char *part)
{
    const char *text = candidate_unfit(&core, C);

    assert_non_null(text);
    assert_has(text, part);
}

static void successors(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    assert_null(candidate_unfit(&core, C));
    assert_has(candidate_unfit(&core, A), "already");
    assert_has(candidate_unfit(&core, W), "witness");
    assert_has(candidate_unfit(&core, 7), "no such");
    assert_has(candidate_unfit(&core, MEMBER_NONE), "no such");
    core.peer[C].position.lsn = 5001;
    assert_int_equal(candidate_successor(&core), C);
    core.peer[C].relayed = true;
    assert_int_equal(candidate_successor(&core), B);
    core.peer[B].position.epoch = 1;
    assert_int_equal(candidate_successor(&core), MEMBER_NONE);
#define WITH(change, part)                                                                                   \
    do {                                                                                                     \
        core = fixture_core(A);                                                                              \
        change;                                                                                              \
        unfit(core, part);                                                                                   \
    } while (0)
    WITH(core.peer[C].heard_at = fixture_clock(4000), "does not answer");
    WITH(core.peer[C].report.no_failover = true, "no_failover");
    WITH(core.peer[C].report.disk_failed = true, "cannot write");
    WITH(core.peer[C].report.cut_off = true, "network check");
    WITH(core.peer[C].report.pg.state = PG_STOPPED, "does not run");
    WITH(core.peer[C].report.pg.streaming = false, "not streaming");
    WITH(core.peer[C].position.epoch = 1, "timeline");
    WITH(core.peer[C].uuid = fixture_uuid(30), "not a voter");
    WITH(core.pg.lsn = 6001, "maximum_lag");
#undef WITH
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(vote_before_lease),
        cmocka_unit_test(promised_to_another),
        cmocka_unit_test(writers_do_not_vote),
        cmocka_unit_test(a_fenced_primary_votes),
        cmocka_unit_test(standby_freezes_before_it_votes),
        cmocka_unit_test(unfrozen_vote),
        cmocka_unit_test(own_vote_honours_the_promise),
        cmocka_unit_test(stands_back_until_vote_is_written),
        cmocka_unit_test(obstacles),
        cmocka_unit_test(orders_do_not_outlive),
        cmocka_unit_test(failover_by_order_only),
        cmocka_unit_test(a_pause_ends_without_a_leader),
        cmocka_unit_test(incumbents),
        cmocka_unit_test(ranking),
        cmocka_unit_test(successors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
