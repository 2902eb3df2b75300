/*
 * test_keeper_view.c: which node's view of a pg_keeper cluster is taken, and what the others' words add to
 * it.
 */
#include "unit.h"

#include "cli/field.h"
#include "cli/keeper_view.h"
#include "cli/status.h"

#include <string.h>

/* A view of two nodes; who: whose; primary: whom he takes for it. */
static json_t *view_of(const char *who, const char *primary, int epoch, bool lease, bool hears_other)
{
    json_t *members = json_array();
    static const char *const names[] = {"pg1", "pg2"};

    for (int i = 0; i < 2; i++) {
        bool self = strcmp(names[i], who) == 0, leads = strcmp(names[i], primary) == 0;
        json_array_append_new(members,
                              json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b}", "name", names[i],
                                        "role", "data", "kind", leads ? "primary" : "standby", "state",
                                        self || hears_other ? leads ? "primary" : "standby" : "unknown",
                                        "streaming", !leads, "self", self, "leader", leads, "reachable",
                                        self || hears_other, "voter", true));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:{s:b}, s:[], s:o}", "cluster", "pg_keeper",
                     "member", who, "system_identifier", "7", "primary", primary, "leader", primary, "epoch",
                     epoch, "term", epoch, "quorum", true, "lease", "held", lease, "alarms", "members",
                     members);
}

static void done(KeeperAnswer *answers, int count, json_t *made)
{
    for (int i = 0; i < count; i++)
        json_decref(answers[i].view);
    json_decref(made);
}

static const char *alarm_of(const json_t *view, size_t i)
{
    const char *text = json_string_value(json_array_get(json_object_get(view, "alarms"), i));
    return text != NULL ? text : "";
}

static void takes_the_view_with_a_lease(void **state)
{
    KeeperAnswer answers[3] = {{.name = ""},
                               {.view = view_of("pg2", "pg1", 3, false, true)},
                               {.view = view_of("pg1", "pg1", 3, true, true)}};
    (void) state;

    assert_int_equal(keeper_view_choose(answers, 3), 2);
    assert_int_equal(keeper_view_choose(answers, 2), 1);
    assert_int_equal(keeper_view_choose(answers, 1), -1);
    /* without any lease: a majority first, then the newest */
    json_object_set_new(answers[2].view, "lease", json_pack("{s:b}", "held", 0));
    json_object_set_new(answers[2].view, "quorum", json_false());
    assert_int_equal(keeper_view_choose(answers, 3), 1);
    json_object_set_new(answers[1].view, "quorum", json_false());
    json_object_set_new(answers[2].view, "epoch", json_integer(4));
    assert_int_equal(keeper_view_choose(answers, 3), 2);
    /* of the same age: who leads hears all others */
    json_object_set_new(answers[2].view, "epoch", json_integer(3));
    assert_int_equal(keeper_view_choose(answers, 3), 2);
    json_object_set_new(answers[2].view, "leader", json_string("pg2"));
    assert_int_equal(keeper_view_choose(answers, 3), 1);
    done(answers, 3, NULL);
}

/* Of a primary that says so itself, whatever the standbys believe. */
static void is_not_healthy_without_a_lease(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg2", "pg1", 3, false, true)},
                               {.view = view_of("pg1", "pg1", 3, false, true)}};
    (void) state;

    json_object_set_new(answers[1].view, "quorum", json_false());
    json_object_set_new(json_array_get(json_object_get(answers[1].view, "members"), 0), "state",
                        json_string("closed"));
    json_t *made = keeper_view_make(answers, 2, keeper_view_choose(answers, 2));
    assert_non_null(strstr(alarm_of(made, 0), "pg1 has no lease"));
    assert_string_equal(alarm_of(made, 1), "");
    assert_string_equal(field_text(field_member(made, "pg1"), "state", ""), "closed");
    assert_false(field_true(made, "quorum"));
    assert_false(status_is_healthy(made));
    done(answers, 2, made);
}

static void is_healthy_when_all_agree(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg1", "pg1", 3, true, true)},
                               {.view = view_of("pg2", "pg1", 3, false, true)}};
    (void) state;

    for (int chosen = 0; chosen < 2; chosen++) {
        json_t *made = keeper_view_make(answers, 2, chosen);
        assert_string_equal(alarm_of(made, 0), "");
        assert_true(status_is_healthy(made));
        json_decref(made);
    }
    done(answers, 2, NULL);
}

static void tells_who_is_of_another_mind(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg1", "pg1", 3, true, false)},
                               {.view = view_of("pg2", "pg2", 4, true, false)}};
    (void) state;

    assert_int_equal(keeper_view_choose(answers, 2), 1);
    json_t *made = keeper_view_make(answers, 2, 1);
    assert_string_equal(alarm_of(made, 0), "pg1 takes itself for the primary with a lease, by epoch 3");
    assert_false(status_is_healthy(made));
    /* it is not heard, and shown by its own words; that its vote is missing stays */
    const json_t *row = field_member(made, "pg1");
    assert_string_equal(field_text(row, "state", ""), "primary");
    assert_false(field_true(row, "reachable"));
    assert_false(field_true(row, "self"));
    done(answers, 2, made);
}

static void takes_a_node_without_a_vote_by_its_own_word(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg1", "pg1", 3, true, false)},
                               {.view = view_of("pg2", "pg1", 3, false, true)}};
    json_t *row = json_array_get(json_object_get(answers[0].view, "members"), 1);
    (void) state;

    json_object_set_new(row, "voter", json_false());
    json_object_set_new(row, "state", json_string("registered"));
    json_t *made = keeper_view_make(answers, 2, 0);
    assert_string_equal(field_text(field_member(made, "pg2"), "state", ""), "standby");
    assert_true(field_true(field_member(made, "pg2"), "reachable"));
    assert_true(status_is_healthy(made));
    done(answers, 2, made);
}

/* What a standby says of the primary's lease is of a moment ago. */
static void does_not_believe_a_standby(void **state)
{
    static const ShowStyle plain;
    KeeperAnswer answers[3] = {{.view = view_of("pg2", "pg1", 3, false, true)},
                               {.name = "pg1", .place = "h1:5432"},
                               {.place = "h9:1"}};
    Buf out = {0};
    (void) state;

    err_set(&answers[1].err, ERR_NET, "Connection refused");
    err_set(&answers[2].err, ERR_NET, "no answer");
    json_t *made = keeper_view_make(answers, 3, 0);
    assert_string_equal(alarm_of(made, 0),
                        "pg1 was not asked: whether it has the lease is not known; h1:5432: "
                        "Connection refused");
    assert_string_equal(field_text(field_member(made, "pg1"), "state", ""), "unknown");
    assert_false(status_is_healthy(made));
    keeper_view_render_rest(made, &plain, &out);
    assert_string_equal(out.data, "Not asked from here: h9:1: no answer\n"); /* of pg1 the alarm tells */
    buf_done(&out);
    json_decref(made);
    made = keeper_view_make(answers, 1, 0);
    assert_string_equal(alarm_of(made, 0),
                        "pg1 was not asked: whether it has the lease is not known; it is not "
                        "known where it is");
    done(answers, 1, made);
}

/* It has lost its state: it answers, and knows nothing of a lease. */
static void believes_a_primary_that_knows_of_none(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg2", "pg1", 3, false, true)},
                               {.name = "pg1", .view = view_of("pg1", "pg1", 0, false, false)}};
    (void) state;

    json_object_set_new(answers[1].view, "primary", json_null());
    json_t *made = keeper_view_make(answers, 2, 0);
    assert_string_equal(alarm_of(made, 0), "pg1 has no lease");
    assert_string_equal(alarm_of(made, 1), "");
    assert_false(field_true(made, "quorum"));
    json_decref(made);
    json_object_set_new(answers[1].view, "members", json_array());
    made = keeper_view_make(answers, 2, 0);
    assert_string_equal(field_text(field_member(made, "pg1"), "state", ""), "unknown");
    assert_false(status_is_healthy(made));
    done(answers, 2, made);
}

static void set_last_seen(json_t *view, int at, int ms)
{
    json_object_set_new(json_array_get(json_object_get(view, "members"), (size_t) at), "last_seen_ms",
                        json_integer(ms));
}

/* The leader hears each of them five times in a lease. */
static void who_was_not_asked_has_to_be_heard(void **state)
{
    KeeperAnswer answers[2] = {{.view = view_of("pg1", "pg1", 3, true, true)}, {.name = "pg2"}};
    (void) state;

    json_object_set_new(json_object_get(answers[0].view, "lease"), "ms", json_integer(1000));
    set_last_seen(answers[0].view, 1, 400);
    json_t *made = keeper_view_make(answers, 2, 0);
    assert_true(status_is_healthy(made));
    json_decref(made);
    set_last_seen(answers[0].view, 1, 401);
    made = keeper_view_make(answers, 2, 0);
    const json_t *row = field_member(made, "pg2");
    assert_false(field_true(row, "reachable"));
    assert_string_equal(field_text(row, "state", ""), "unknown");
    assert_false(status_is_healthy(made));
    json_decref(made);
    answers[1].view = view_of("pg2", "pg1", 3, false, true); /* it answers from here */
    made = keeper_view_make(answers, 2, 0);
    assert_true(status_is_healthy(made));
    json_decref(made);
    json_object_set_new(json_array_get(json_object_get(answers[0].view, "members"), 0), "leader",
                        json_false());
    json_decref(answers[1].view);
    answers[1].view =
        NULL; /* not by the leader's view: a second is added, since it tells the others so often */
    set_last_seen(answers[0].view, 1, 1400);
    made = keeper_view_make(answers, 2, 0);
    assert_true(field_true(field_member(made, "pg2"), "reachable"));
    json_decref(made);
    set_last_seen(answers[0].view, 1, 1401);
    made = keeper_view_make(answers, 2, 0);
    assert_false(field_true(field_member(made, "pg2"), "reachable"));
    done(answers, 2, made);
}

/* Whoever is another node, or another cluster's, is not believed. */
static void leaves_out_strangers(void **state)
{
    static const ShowStyle plain;
    KeeperAnswer answers[3] = {
        {.view = view_of("pg1", "pg1", 3, true, true)},
        {.name = "pg2", .place = "pg2:5432", .view = view_of("pg1", "pg2", 9, false, true)},
        {.name = "pg2", .place = "pg2:5432", .view = view_of("pg2", "pg2", 9, false, true)}};
    Buf out = {0};
    (void) state;

    json_object_set_new(answers[2].view, "system_identifier", json_string("8"));
    json_t *made = keeper_view_make(answers, 3, 0);
    assert_string_equal(alarm_of(made, 0), "");
    keeper_view_render_rest(made, &plain, &out);
    assert_string_equal(out.data,
                        "Not asked from here: pg2 (pg2:5432): pg1 answers there\n"
                        "Not asked from here: pg2 (pg2:5432): a node of another cluster answers there\n");
    buf_done(&out);
    done(answers, 3, made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_view_with_a_lease),
        cmocka_unit_test(is_not_healthy_without_a_lease),
        cmocka_unit_test(does_not_believe_a_standby),
        cmocka_unit_test(believes_a_primary_that_knows_of_none),
        cmocka_unit_test(who_was_not_asked_has_to_be_heard),
        cmocka_unit_test(is_healthy_when_all_agree),
        cmocka_unit_test(tells_who_is_of_another_mind),
        cmocka_unit_test(takes_a_node_without_a_vote_by_its_own_word),
        cmocka_unit_test(leaves_out_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
