/*
 * test_core_rules.c: the decision table: every row can be reached, and what no fact set may ever lead to.
 */
#include "unit.h"

#include "core_fixture.h"

#include "base/rng.h"

#define F(id) FACT_BIT(id)

/* A server is in one state. */
static bool is_possible(FactSet facts)
{
    FactSet states = facts & (F(PG_EMPTY) | F(PG_DOWN) | F(PG_STARTING) | F(PG_STANDBY));
    return (states & (states - 1)) == 0;
}

/* Adds what earlier rows exclude until the row itself is the first that matches. */
static bool reach(size_t row, FactSet facts, int depth)
{
    size_t first = rules_match(facts);

    if (!is_possible(facts) || depth > 12)
        return false;
    if (first == row)
        return true;
    for (int fact = 0; fact < FACTS; fact++) {
        FactSet bit = (FactSet) 1 << fact;
        if ((RULES[first].must_not & bit & ~RULES[row].must_not & ~facts) != 0 &&
            reach(row, facts | bit, depth + 1))
            return true;
    }
    return false;
}

static void every_row_is_reached(void **state)
{
    (void) state;
    assert_true(FACTS <= 64);
    assert_true(RULE_COUNT < UINT8_MAX);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (RULES[i].must & RULES[i].must_not)
            fail_msg("%s needs what it excludes", RULES[i].name);
        if (!reach(i, RULES[i].must, 0))
            fail_msg("no possible set of facts selects %s", RULES[i].name);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(RULES[i].name, RULES[j].name);
    }
    assert_int_equal(RULES[RULE_COUNT - 1].must | RULES[RULE_COUNT - 1].must_not, 0);
}

static void one(FactSet facts, bool wrong, const char *what)
{
    if (!wrong)
        return;
    fprintf(stderr, "facts:");
    for (int fact = 0; fact < FACTS; fact++)
        if (facts & (FactSet) 1 << fact)
            fprintf(stderr, " %s", facts_name((Fact) fact));
    fail_msg("\n%s: %s", RULES[rules_match(facts)].name, what);
}

/* What must hold for any facts whatsoever. */
static void what_never_happens(void **state)
{
    uint64_t rng = 99;
    (void) state;

    for (int i = 0; i < 2000000; i++) {
        FactSet facts = rng_next(&rng) & (rng_next(&rng) | rng_next(&rng)) & (((FactSet) 1 << FACTS) - 1);
        facts |= F(DATA);
        const Rule *rule = &RULES[rules_match(facts)];
        bool acts = rule->move == MOVE_ACT;
        ActionKind kind = rule->action;
        bool lease = facts & F(LEASE), named = facts & F(IS_PRIMARY_IN_DOC);
        bool kept = named && (facts & F(FENCED)) && (facts & F(BROWNOUT));
        one(facts,
            (facts & F(MANAGED)) && (facts & F(PG_PRIMARY)) && !lease && !(facts & F(GRACE)) && !kept &&
                kind != ACTION_STOP_IMMEDIATE,
            "a server that can write without a lease goes on");
        one(facts,
            acts && !lease &&
                (kind == ACTION_PROMOTE || kind == ACTION_START_PRIMARY || kind == ACTION_INITDB),
            "a primary is made without a lease");
        one(facts, rule->move == MOVE_RELEASE && (!lease || (facts & F(PG_LEFTOVERS))),
            "released without a lease, or while processes may write");
        one(facts, rule->move == MOVE_RELEASE && !(facts & F(SUCCESSOR)), "released to nobody");
        one(facts, acts && kind == ACTION_START_PRIMARY && !(facts & F(PROMOTED)),
            "a server that was never promoted starts as a primary");
        one(facts, acts && kind == ACTION_PROMOTE && (facts & F(PROMOTED)), "promoted twice in one epoch");
        one(facts, acts && named && (kind == ACTION_CLONE || kind == ACTION_REWIND),
            "the primary's data is replaced");
        one(facts, acts && kind == ACTION_REWIND && !(facts & F(WAL_SAVED)), "WAL is discarded unsaved");
        one(facts, acts && kind == ACTION_CLONE && !(facts & F(PRIMARY_READY)), "a clone of nobody");
        one(facts, acts && (facts & F(BUSY)) && kind != ACTION_STOP_IMMEDIATE, "two actions at once");
        one(facts,
            acts && (facts & F(PAUSED)) && !lease && !(facts & F(WANT_CLONE)) &&
                (kind == ACTION_CLONE || kind == ACTION_REWIND),
            "data is replaced while paused");
        one(facts, (facts & F(PAUSED)) && rule->move == MOVE_RELEASE, "a failover while paused");
    }
}

static void explains(void **state)
{
    FactSet steady = F(DATA) | F(MANAGED) | F(LEASE) | F(PG_PRIMARY) | F(IS_PRIMARY_IN_DOC);
    bool decided = false;
    (void) state;

    for (size_t i = 0; i < explain_rule_count(); i++) {
        ExplainRow row = explain_rule(steady, i);
        assert_non_null(row.name);
        assert_non_null(row.text);
        assert_non_null(row.action);
        assert_int_equal(row.matched, row.missing == NULL && row.forbidden == NULL);
        if (row.decisive) {
            assert_true(row.matched);
            assert_string_equal(row.name, "steady_primary");
            decided = true;
        }
        if (strcmp(row.name, "lease_gone") == 0) {
            assert_null(row.missing);
            assert_string_equal(row.forbidden, "lease");
        }
        if (strcmp(row.name, "restart_primary") == 0)
            assert_string_equal(row.missing, "restart_wanted");
        if (strcmp(row.name, "hand_over") == 0)
            assert_string_equal(row.action, "release");
        if (strcmp(row.name, "wait") == 0)
            assert_true(row.matched && !row.decisive);
    }
    assert_true(decided);
}

static void facts_have_names(void **state)
{
    (void) state;
    for (int a = 0; a < FACTS; a++) {
        assert_true(strlen(facts_text((Fact) a)) > 5);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(facts_name((Fact) a), facts_name((Fact) b));
    }
    assert_string_equal(facts_name(FACTS), "?");
}

static const char *rule_of(const Core *core)
{
    return RULES[rules_match(rules_facts(core))].name;
}

/* From what a core knows to the row, once for the usual states. */
static void from_state_to_row(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    core.looked_us = 1;
    assert_string_equal(rule_of(&core), "steady_standby");
    core.pg.streaming = false;
    assert_string_equal(rule_of(&core), "standby_waits");
    core.leader = A;
    core.pg.upstream = C;
    assert_string_equal(rule_of(&core), "follow");
    core.pg.replay_lsn = 5000;
    core.pg.timeline = 1; /* left at 3000 */
    core.persist.wal_epoch = 1;
    assert_string_equal(rule_of(&core), "diverged_stops");
    core.pg.state = PG_STOPPED;
    assert_string_equal(rule_of(&core), "inspect");
    core.inspected = core.diverged = true;
    core.inspected_epoch = 2;
    assert_string_equal(rule_of(&core), "save_wal");
    core.wal_saved = core.pg.can_rewind = true;
    assert_string_equal(rule_of(&core), "rewind_waits");
    core.peer[A].report.pg.checkpoint_timeline = 2;
    assert_string_equal(rule_of(&core), "rewind");
    core.rewind_failed = true;
    assert_string_equal(rule_of(&core), "clone_diverged");
    core.persist.doc.paused = true;
    assert_string_equal(rule_of(&core), "paused");
    core.want_clone = true; /* nothing is replaced that was not saved, and if it can only be saved whole */
    assert_string_equal(rule_of(&core), "clone_wanted");
    core.wal_saved = false;
    assert_string_equal(rule_of(&core), "clone_saves");
    core.inspected = false;
    assert_string_equal(rule_of(&core), "clone_inspects");
    core.failures = 3;
    assert_string_equal(rule_of(&core), "clone_saves_all");
    core.wal_saved = true;
    assert_string_equal(rule_of(&core), "clone_wanted");
    core = fixture_core(W);
    assert_string_equal(rule_of(&core), "witness");
    core = fixture_core(A);
    core.looked_us = 1;
    assert_string_equal(rule_of(&core), "lease_gone");
    core.pg.state = PG_UNKNOWN; /* at first nothing is known; after a while that says something */
    core.pg_changed = core.now;
    assert_int_equal(rules_facts(&core) & F(PG_UNREADABLE), 0);
    core.now = fixture_clock(11000);
    assert_true((rules_facts(&core) & F(PG_UNREADABLE)) != 0);
    FactSet facts = F(DATA) | F(MANAGED) | F(LEASE) | F(PG_UNREADABLE) | F(SUCCESSOR);
    assert_string_equal(RULES[rules_match(facts)].name, "hand_over_unreadable");
    assert_string_not_equal(RULES[rules_match(facts | F(PAUSED))].name, "hand_over_unreadable");
}

/*
 * A member without its state cannot say which epochs its WAL is of. What it streams from the named primary
 * tells; and WAL that it wrote as a primary itself, on another's timeline, is a fork whatever its positions
 * say.
 */
static void lineage_without_a_state(void **state)
{
    Core core = fixture_core(B);
    Event event = {.kind = EVENT_OBSERVED, .now = fixture_clock(5000), .looked_us = 1};
    Observation seen = core.pg;
    (void) state;

    core.persist.wal_epoch = 0;
    core.leader = A;
    core.promise = (Promise){.active = true, .uuid = fixture_uuid(A), .lease_ms = 1000, .since = core.now};
    event.pg = &seen;
    core_step(&core, &event, &fixture_out); /* what it knows of the primary counts from the next look on */
    assert_int_equal(core.persist.wal_epoch, 0);
    seen.streaming = false;
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.persist.wal_epoch, 0);
    seen.streaming = true;
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.persist.wal_epoch, 2);

    for (int was = 0; was <= 1; was++) {
        ActionResult result = {.id = 9, .ok = true, .lsn = 4000, .was_primary = was};
        core = fixture_core(B);
        core.persist.wal_epoch = 0;
        core.leader = A;
        core.pg.state = PG_CRASHED;
        core.pg.timeline_start = 3000;
        core.action =
            (Action){.id = 9, .kind = ACTION_INSPECT, .epoch = 2, .timeline = 2, .fork = UINT64_MAX};
        server_on_done(&core, &fixture_out, &result);
        assert_int_equal(core.diverged, was);
        assert_int_equal(core.rewind_failed, was);
        assert_true(core.fork == (was ? 3000 : UINT64_MAX));
    }
}

/*
 * Promoted behind our back where a later epoch was to begin: the numbers of both timelines are the same, and
 * only what was seen then tells them apart, also when somebody has made it a standby since.
 */
static void stray_is_remembered(void **state)
{
    Core core = fixture_core(B);
    Event event = {.kind = EVENT_OBSERVED, .now = fixture_clock(5000), .looked_us = 1};
    Observation seen = core.pg;
    (void) state;

    core.persist.wal_epoch = 0;
    seen.state = PG_PRIMARY;
    seen.timeline = 3;
    seen.timeline_start = 5000;
    event.pg = &seen;
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.persist.stray_timeline, 3);
    fixture_epoch(&core.persist.doc, 3, 2, 3, 5000);
    seen.state = PG_STANDBY;
    seen.streaming = false;
    core_step(&core, &event, &fixture_out);
    assert_false(view_position(&core).known);
    assert_non_null(candidate_obstacle(&core));
    ActionResult result = {.id = 9, .ok = true, .lsn = 5100};
    core.action = (Action){.id = 9, .kind = ACTION_INSPECT, .epoch = 3, .timeline = 3, .fork = UINT64_MAX};
    server_on_done(&core, &fixture_out, &result);
    assert_true(core.diverged && core.rewind_failed && core.fork == 5000);
    result = (ActionResult){.id = 10, .ok = true};
    core.action = (Action){.id = 10, .kind = ACTION_CLONE, .epoch = 3};
    server_on_done(&core, &fixture_out, &result);
    assert_int_equal(core.persist.stray_timeline, 0);
    assert_true(view_position(&core).known);
}

/* The named primary, and one that was it in an epoch before, write on timelines of their own. */
static void own_timelines_are_not_stray(void **state)
{
    (void) state;
    for (uint32_t timeline = 1; timeline <= 2; timeline++) {
        Core core = fixture_core(A);
        Event event = {.kind = EVENT_OBSERVED, .now = fixture_clock(5000), .looked_us = 1};
        Observation seen = core.pg;
        seen.timeline = timeline;
        core.persist.doc.primary = timeline == 1 ? C : A;
        event.pg = &seen;
        core_step(&core, &event, &fixture_out);
        assert_int_equal(core.persist.stray_timeline, 0);
    }
}

/* A standby is hurried at first; one that cannot stream for long is not reloaded each second. */
static void stream_is_tried_again(void **state)
{
    static const struct {
        int late_ms, tried_ms;
        bool due;
    } cases[] = {{900, 60000, false},  {1100, 60000, true},   {3000, 900, false},  {3000, 1100, true},
                 {60000, 2000, false}, {60000, 29000, false}, {60000, 31000, true}};
    (void) state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Core core = fixture_core(B);
        core.now = fixture_clock(100000);
        core.pg.streaming = false;
        core.stream_at = core.ready_at = fixture_clock(100000 - cases[i].late_ms);
        core.retried_at = fixture_clock(100000 - cases[i].tried_ms);
        assert_int_equal((rules_facts(&core) & FACT_BIT(STREAM_LATE)) != 0, cases[i].due);
    }
}

/* The server is left as it is, and the operator is told why; it is not tried for ever. */
static void an_order_that_fails_ends(void **state)
{
    Core core = fixture_core(B);
    Command command = {.kind = COMMAND_RESTART};
    Event event = {.kind = EVENT_COMMAND, .now = fixture_clock(5000), .command = &command};
    (void) state;

    core.looked_us = 1;
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.action.kind, ACTION_RESTART_STANDBY);
    assert_true(core.action.asked);
    ActionResult done = {.id = core.action.id, .text = "line 7: nonsense"};
    event = (Event){.kind = EVENT_ACTION_DONE, .now = fixture_clock(5001), .done = &done};
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.op.state, OP_FAILED);
    assert_string_equal(core.op.text, "line 7: nonsense");
    fixture_step(&core, 20000, NULL);
    assert_int_not_equal(core.action.kind, ACTION_RESTART_STANDBY);
    assert_int_equal(core.failures, 0);
    /* a reload of its own is no order */
    server_act(&core, &fixture_out, ACTION_RELOAD);
    assert_false(core.action.asked);
}

/* Whom a switchover is for, and whose hook refuses, is not asked again and again; anybody else is. */
static void a_refusal_ends_a_switchover(void **state)
{
    (void) state;

    for (int planned = 0; planned < 2; planned++) {
        Core core = fixture_core(B);
        ActionResult done = {.id = 7, .refused = true, .text = "a hook refused: no"};
        Event event = {.kind = EVENT_ACTION_DONE, .now = fixture_clock(5001), .done = &done};
        core.looked_us = 1;
        core.action = (Action){.id = 7, .kind = ACTION_PROMOTE};
        core.xfer = (Release){.leader = {{1}}, .lsn = planned ? 5000 : LSN_NONE};
        core_step(&core, &event, &fixture_out);
        assert_int_equal(core.failures, planned ? 3 : 1);
        assert_string_equal(core.failure, "promote: a hook refused: no");
    }
}

/* Nothing could take it to a server that does not run, and the verb would wait for that member for ever. */
static void reload_without_a_server(void **state)
{
    Core core = fixture_core(B);
    Command command = {.token = 7, .kind = COMMAND_RELOAD};
    Event event = {.kind = EVENT_COMMAND, .now = fixture_clock(5000), .command = &command};
    int answers = 0;
    (void) state;

    core.persist.doc.paused = true;
    core.pg.state = PG_STOPPED;
    core_step(&core, &event, &fixture_out);
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_ANSWER) {
            assert_int_equal(fixture_out.effect[i].answer, ANSWER_DONE);
            answers++;
        }
    assert_int_equal(answers, 1);
    assert_false(core.want_reload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_reached),
        cmocka_unit_test(what_never_happens),
        cmocka_unit_test(explains),
        cmocka_unit_test(facts_have_names),
        cmocka_unit_test(from_state_to_row),
        cmocka_unit_test(lineage_without_a_state),
        cmocka_unit_test(stray_is_remembered),
        cmocka_unit_test(stream_is_tried_again),
        cmocka_unit_test(own_timelines_are_not_stray),
        cmocka_unit_test(an_order_that_fails_ends),
        cmocka_unit_test(a_refusal_ends_a_switchover),
        cmocka_unit_test(reload_without_a_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
