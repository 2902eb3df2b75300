/*
 * test_core_explain.c: what the core says when orders and elections do not get on: who is missing, who was
 * removed, what failed, and when an order is over.
 */
#include "core_fixture.h"
#include "unit.h"

/* The answer to an order, or NULL. */
static const Effect *give(Core *core, CommandKind kind, MemberNo target)
{
    Command command = {.token = 3, .kind = kind, .target = target};
    Event event = {.kind = EVENT_COMMAND, .now = core->now, .command = &command};

    core_step(core, &event, &fixture_out);
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_ANSWER)
            return &fixture_out.effect[i];
    return NULL;
}

static void votes_are_counted_by_name(void **state)
{
    Core core = fixture_core(B);
    char text[CORE_TEXT_LEN], few[12];

    (void) state;
    assert_true(explain_votes(&core, text, sizeof text));
    assert_string_equal(text, "4 of 4 votes are there, 3 are needed");
    core.peer[A].heard_at = fixture_clock(0);
    assert_true(explain_votes(&core, text, sizeof text));
    assert_string_equal(text, "3 of 4 votes are there, 3 are needed; a does not answer");
    core.peer[C].relayed = true; /* by hearsay it votes for nobody */
    core.peer[W].heard = false;
    assert_false(explain_votes(&core, text, sizeof text));
    assert_string_equal(text, "1 of 4 votes is there, 3 are needed; a, c, w do not answer");
    core.persist.doc.member[W].voter = false;
    assert_false(explain_votes(&core, text, sizeof text));
    assert_string_equal(text, "1 of 3 votes is there, 2 are needed; a, c do not answer");
    assert_false(explain_votes(&core, few, sizeof few)); /* cut off, not overrun */
    assert_string_equal(few, "1 of 3 vote");
    explain_election(&core, text, sizeof text);
    assert_has(text, "stands for election: 1 of 3 votes is there");
}

/* Who lost its state answers, and has no vote: waiting does not bring it back. */
static void lost_votes_are_told_apart(void **state)
{
    Core core = fixture_core(B);
    char text[CORE_TEXT_LEN];

    (void) state;
    core.peer[A].uuid = fixture_uuid(20);
    assert_true(explain_votes(&core, text, sizeof text));
    assert_string_equal(text, "3 of 4 votes are there, 3 are needed; a answers with a new identity");
    core.peer[C].uuid = fixture_uuid(21);
    core.peer[W].heard = false;
    assert_false(explain_votes(&core, text, sizeof text));
    assert_string_equal(
        text, "1 of 4 votes is there, 3 are needed; w does not answer; a, c answer with new identities");
    assert_true(explain_votes_lost(&core)); /* w alone would not do */
    core.peer[C].uuid = fixture_uuid(C);
    assert_false(explain_votes_lost(&core));
    core.persist.node_uuid = fixture_uuid(22);
    assert_false(explain_votes(&core, text, sizeof text));
    assert_has(text, "; a, b answer with new identities");
    assert_true(document_is_other(&core, A) && document_is_other(&core, B));
    assert_false(document_is_other(&core, C));
    core.peer[A].relayed = true; /* who tells of it does not say which identity it has */
    assert_false(document_is_other(&core, A));
}

static void a_report_tells_of_no_lease_by_its_rule(void **state)
{
    static const char *const without[] = {"brownout", "lease_gone"};
    size_t found = 0;

    (void) state;
    for (uint8_t no = 0; no < explain_rule_count(); no++) {
        const char *name = explain_rule(0, no).name;
        Report report = {.rule = no};
        bool expected = strcmp(name, without[0]) == 0 || strcmp(name, without[1]) == 0;
        assert_int_equal(explain_lacks_lease(&report), expected);
        found += expected;
    }
    assert_int_equal(found, 2);
    Report unknown = {.rule = UINT8_MAX};
    assert_false(explain_lacks_lease(&unknown));
}

/* Names that do not fit are left out, and it is seen that there are more. */
static void long_names_are_cut_off(void **state)
{
    Core core = fixture_core(B);
    char text[CORE_TEXT_LEN];

    (void) state;
    for (int no = 0; no < MEMBER_MAX; no++) {
        DocMember *member = &core.persist.doc.member[no];
        if (no == B)
            continue;
        *member = (DocMember){.kind = MEMBER_WITNESS, .voter = true, .uuid = fixture_uuid(no)};
        memset(member->name, 'x', sizeof member->name - 1);
        core.peer[no].heard = false;
    }
    assert_false(explain_votes(&core, text, sizeof text));
    assert_has(text, "xxx, ... do not answer");
}

static void an_ordered_failover_tells_who_is_missing(void **state)
{
    Core core = fixture_core(B);

    (void) state;
    for (int no = 0; no < MEMBERS; no++)
        core.peer[no].heard_at = fixture_clock(0);
    const Effect *answer = give(&core, COMMAND_FAILOVER, B);
    assert_non_null(answer);
    assert_int_equal(answer->answer, ANSWER_STARTED);
    fixture_step(&core, 5100, NULL);
    assert_string_equal(core.op.text,
                        "standing for election: 1 of 4 votes is there, 3 are needed; a, c, w do not answer");
    for (int ms = 5200; ms < 25000; ms += 100)
        fixture_step(&core, ms, NULL);
    assert_int_equal(core.op.state, OP_FAILED);
    assert_has(core.op.text,
               "no majority voted: 1 of 4 votes is there, 3 are needed; a, c, w do not answer.");
    assert_has(core.op.text, "start pgvigil on the others");
}

/* Whoever was removed carries no order out, and ends the one that it was about to. */
static void who_is_outside_refuses_orders(void **state)
{
    static const CommandKind kinds[] = {COMMAND_SWITCHOVER, COMMAND_FAILOVER,  COMMAND_PAUSE,
                                        COMMAND_RESUME,     COMMAND_RESTART,   COMMAND_REJOIN,
                                        COMMAND_CLONE,      COMMAND_MEMBER_ADD};
    Core core = fixture_core(B);
    Document doc = core.persist.doc;
    Msg msg = fixture_msg(&core, MSG_HELLO_ACK, A);
    Event event = {.kind = EVENT_MESSAGE, .now = fixture_clock(5001), .msg = &msg, .doc = &doc};

    (void) state;
    assert_null(membership_outside(&core));
    core.pg.state = PG_STARTING; /* so that the order waits */
    assert_int_equal(give(&core, COMMAND_RESTART, B)->answer, ANSWER_STARTED);
    doc.id.version++;
    doc.member[B] = (DocMember){0};
    msg.has_doc = true;
    core_step(&core, &event, &fixture_out);
    assert_string_equal(membership_outside(&core), "was removed from the cluster");
    assert_int_equal(core.op.state, OP_FAILED);
    assert_string_equal(core.op.text, "b was removed from the cluster");
    assert_false(core.want_restart);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const Effect *answer = give(&core, kinds[i], B);
        assert_int_equal(answer->answer, ANSWER_REFUSED);
        assert_has(answer->text, "b was removed from the cluster");
        assert_has(answer->text, "pgvigil member add b");
    }
    assert_int_equal(give(&core, COMMAND_RELOAD, B)->answer, ANSWER_DONE);
    assert_false(core.want_reload);
    core.persist.doc.id = (DocId){0};
    assert_string_equal(membership_outside(&core), "was not added to the cluster yet");
}

/* b is cloned by order and streams: the order ends when the leader sees it, or after a while. */
static Core arrived(void)
{
    Core core = fixture_core(B);

    core.op = (Op){.id = 3, .kind = COMMAND_CLONE, .state = OP_RUNNING, .begun_at = core.now};
    core.leader = A;
    view_await_arrival(&core);
    return core;
}

static void a_clone_is_over_when_the_leader_sees_it(void **state)
{
    Core core = arrived();
    Msg view = fixture_msg(&core, MSG_HEARTBEAT, A);

    (void) state;
    view.has_view = true;
    for (int no = 0; no < MEMBER_MAX; no++)
        view.view_age_ms[no] = -1;
    view.view_age_ms[B] = 10;
    view.view[B] = fixture_report(B);
    view.view[B].pg.state = PG_STARTING;
    fixture_step(&core, 5010, &view);
    assert_int_equal(core.op.state, OP_RUNNING);
    assert_has(core.op.text, "waiting until the leader sees it");
    view.view[B] = fixture_report(B);
    view.seq++;
    fixture_step(&core, 5020, &view);
    assert_int_equal(core.op.state, OP_DONE);
    assert_string_equal(core.op.text, "the standby streams from a");
}

static void a_leader_that_says_nothing_is_not_waited_for(void **state)
{
    Core core = arrived();

    (void) state;
    fixture_step(&core, 9900, NULL);
    assert_int_equal(core.op.state, OP_RUNNING);
    fixture_step(&core, 10100, NULL);
    assert_int_equal(core.op.state, OP_DONE);
    core = arrived();
    core.op.kind = COMMAND_RELOAD; /* another order has taken its place */
    fixture_step(&core, 10100, NULL);
    assert_int_equal(core.op.state, OP_RUNNING);
}

/* Everybody hears that an action fails, and its own member what it said. */
static void a_failure_is_told(void **state)
{
    Core core = fixture_core(B);
    ActionResult done = {.id = 8, .text = "no password supplied"};
    Event event = {.kind = EVENT_ACTION_DONE, .now = core.now, .done = &done};

    (void) state;
    core.action = (Action){.id = 8, .kind = ACTION_CLONE};
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core_report(&core).failures, 1);
    assert_string_equal(core.failure, "clone: no password supplied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes_are_counted_by_name),
        cmocka_unit_test(lost_votes_are_told_apart),
        cmocka_unit_test(a_report_tells_of_no_lease_by_its_rule),
        cmocka_unit_test(long_names_are_cut_off),
        cmocka_unit_test(an_ordered_failover_tells_who_is_missing),
        cmocka_unit_test(who_is_outside_refuses_orders),
        cmocka_unit_test(a_clone_is_over_when_the_leader_sees_it),
        cmocka_unit_test(a_leader_that_says_nothing_is_not_waited_for),
        cmocka_unit_test(a_failure_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
