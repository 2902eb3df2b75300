/*
 * test_core_resolve.c: several primaries and no document: which one is kept, by whom and when.
 */
#include "unit.h"

#include "core_fixture.h"

/* A core without a document, b's, that has just heard of everybody: a and b are primaries. */
static Core two_primaries(void)
{
    Core core = fixture_core(B);

    core.options.resolve_after_ms = 1000;
    core.persist.wal_epoch = 0;
    core.leader = MEMBER_NONE;
    document_bootstrap(&core.persist.doc, &core.options);
    core.pg.state = PG_PRIMARY;
    core.pg.lsn = 5000;
    for (int no = 0; no < MEMBERS; no++) {
        core.peer[no].heard = no != B;
        core.peer[no].relayed = false;
        core.peer[no].heard_at = core.now;
    }
    core.peer[A].report.pg.lsn = 5000;
    core.peer[A].report.pg.system_identifier = core.pg.system_identifier = 7;
    core.twice_since = core.now;
    core.twice_since.boot_us -= 2000 * US_PER_MS;
    return core;
}

static MemberNo choice(const Core *core)
{
    const char *why;

    return resolve_choice(core, &why);
}

static void more_wal_then_size_then_order(void **state)
{
    Core core = two_primaries();
    (void) state;

    assert_int_equal(choice(&core), A);
    core.pg.size = 10;
    assert_int_equal(choice(&core), A); /* the other's is not known */
    core.peer[A].report.pg.size = 9;
    assert_int_equal(choice(&core), B);
    assert_null(resolve_obstacle(&core));
    core.peer[A].report.pg.lsn = 5001;
    assert_int_equal(choice(&core), A);
    assert_non_null(resolve_obstacle(&core));
    core.pg.timeline = 9; /* no merit */
    assert_int_equal(choice(&core), A);
}

static void not_before_all_is_known(void **state)
{
    Core core = two_primaries();
    (void) state;

    core.peer[C].heard = false;
    assert_int_equal(choice(&core), MEMBER_NONE);
    core.peer[C].heard = true;
    core.peer[C].report.pg.state = PG_STARTING;
    assert_int_equal(choice(&core), MEMBER_NONE);
    core.peer[C].report.pg.state = PG_STANDBY;
    core.peer[W].heard = false; /* has no server */
    assert_int_equal(choice(&core), A);
    core.twice_since = core.now;
    assert_int_equal(choice(&core), MEMBER_NONE);
    core = two_primaries();
    core.options.resolve_ask = true;
    assert_int_equal(choice(&core), MEMBER_NONE);
    core = two_primaries();
    core.peer[A].report.pg.system_identifier = 8;
    assert_int_equal(choice(&core), MEMBER_NONE);
}

/* A primary that fell silent counts as one; and an order passes over all of that. */
static void silent_and_ordered(void **state)
{
    Core core = two_primaries();
    Msg msg = fixture_msg(&core, MSG_PREVOTE, A);
    (void) state;

    core.peer[A].heard_at.boot_us -= 60 * US_PER_SEC;
    assert_non_null(resolve_obstacle(&core));
    assert_true(resolve_refuses(&core, &msg));
    msg.kept = true;
    assert_false(resolve_refuses(&core, &msg));
    core.keep = true;
    assert_null(resolve_obstacle(&core));
}

static void voters_agree(void **state)
{
    Core core = two_primaries();
    Msg msg = fixture_msg(&core, MSG_PREVOTE, A);
    (void) state;

    assert_false(resolve_refuses(&core, &msg));
    core.pg.lsn = 6000;
    assert_true(resolve_refuses(&core, &msg));
    assert_true(resolve_needs_all(&core));
}

/* Nothing goes that was not saved whole, where somebody's first document discards it; and nothing at all with
 * ask. */
static void what_is_asked(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    core.wal_saved = core.diverged = true;
    core.lost = (Lost){.fork = 4000, .end = 6000, .transactions = 3, .complete = true};
    assert_false(resolve_asks(&core));
    core.options.resolve_ask = true;
    assert_true(resolve_asks(&core));
    core.persist.doc.discard = 1 << B;
    assert_false(resolve_asks(&core));
    core.persist.doc.discard = 0;
    core.lost.transactions = 0; /* nothing that anybody would miss */
    assert_false(resolve_asks(&core));
    core.lost.complete = false;
    assert_true(resolve_asks(&core));
    core.options.resolve_ask = false;
    assert_false(resolve_asks(&core));
    core.persist.doc.history_len = 0;
    fixture_epoch(&core.persist.doc, 1, 0, 2, LSN_NONE);
    core.persist.wal_epoch = 0;
    core.persist.stray_timeline = 1;
    assert_true(resolve_asks(&core));
}

/* Up to which timeline numbers mean the same here and at the primary. */
static void shared_timelines(void **state)
{
    Core core = fixture_core(B);
    Document *doc = &core.persist.doc;
    (void) state;

    doc->history_len = 0;
    fixture_epoch(doc, 1, 0, 1, LSN_NONE);
    fixture_epoch(doc, 2, 1, 2, 3000);
    core.persist.wal_epoch = 1;
    core.pg.timeline = 2; /* promoted by somebody, at another place or the same */
    assert_int_equal(fork_shared_timeline(&core), 1);
    core.persist.wal_epoch = 0;
    core.pg.timeline = 1;
    core.persist.stray_timeline = 2;
    assert_int_equal(fork_shared_timeline(&core), 1);
    core.persist.stray_timeline = 0;
    core.pg.timeline = 9; /* no number of the document's: as the histories say */
    assert_true(fork_shared_timeline(&core) == UINT32_MAX);
    fixture_epoch(doc, 3, 0, 10, 4000);
    doc->history[2].kept_from = 2;
    assert_int_equal(fork_shared_timeline(&core), 1);
    core.persist.wal_epoch = 7; /* too long ago */
    assert_int_equal(fork_shared_timeline(&core), 0);
}

/* While paused no stopped server is started: the primary must not be stopped for one. */
static void not_while_paused(void **state)
{
    Core core = fixture_core(B);
    Command command = {.token = 1, .kind = COMMAND_RESOLVE, .target = C};
    (void) state;

    core.leader = MEMBER_NONE;
    core.role = ROLE_FOLLOWER;
    core.persist.doc.paused = true;
    fixture_out.count = 0;
    resolve_on_command(&core, &fixture_out, &command);
    assert_int_equal(fixture_out.count, 1);
    assert_int_equal(fixture_out.effect[0].answer, ANSWER_REFUSED);
    assert_non_null(strstr(fixture_out.effect[0].text, "paused"));
}

/* What this member began and no majority accepted is none of the cluster's when another has begun it. */
static void a_claim_that_came_to_nothing(void **state)
{
    Core core = fixture_core(B);
    Document theirs;
    (void) state;

    core.persist.doc.history_len = 0;
    fixture_epoch(&core.persist.doc, 1, 0, 1, LSN_NONE);
    theirs = core.persist.doc;
    theirs.id.term++;
    core.persist.doc.history[0].primary = core.persist.doc.primary = B;
    core.persist.wal_epoch = 1;
    document_adopt(&core, &theirs);
    assert_int_equal(core.persist.wal_epoch, 0);
    assert_int_equal(core.persist.stray_timeline, 1);
    assert_int_equal(document_own_epoch(&core, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_wal_then_size_then_order),
        cmocka_unit_test(not_before_all_is_known),
        cmocka_unit_test(silent_and_ordered),
        cmocka_unit_test(voters_agree),
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(shared_timelines),
        cmocka_unit_test(a_claim_that_came_to_nothing),
        cmocka_unit_test(not_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
