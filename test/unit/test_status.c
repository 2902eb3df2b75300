/*
 * test_status.c: what the status table says of an answer, and when a cluster counts as healthy.
 */
#include "unit.h"

#include "cli/sides.h"
#include "cli/status.h"

#include <string.h>

static const char healthy_text[] =
    "{\"cluster\":\"shop\",\"member\":\"pg1\",\"term\":7,\"epoch\":3,\"primary\":\"pg1\",\"leader\":\"pg1\",\"quorum\":true,"
    "\"paused\":false,\"lease\":{\"held\":true,\"remaining_ms\":812,\"ms\":1000},\"alarms\":[],\"operation\":null,\"members\":["
    "{\"name\":\"pg1\",\"role\":\"data\",\"kind\":\"primary\",\"state\":\"primary\",\"self\":true,\"leader\":true,"
    "\"reachable\":true,\"last_seen_ms\":0,\"timeline\":2,\"lsn\":\"0/3000060\",\"version\":150018},"
    "{\"name\":\"pg2\",\"role\":\"data\",\"kind\":\"standby\",\"state\":\"standby\",\"streaming\":true,\"reachable\":true,"
    "\"last_seen_ms\":120,\"lag_bytes\":96,\"lag_ms\":5,\"action\":null,\"progress\":null},"
    "{\"name\":\"w1\",\"role\":\"witness\",\"kind\":\"witness\",\"state\":\"none\",\"reachable\":true,\"last_seen_ms\":90}]}";

static json_t *healthy(void)
{
    json_t *cluster = json_loads(healthy_text, 0, NULL);
    assert_non_null(cluster);
    return cluster;
}

static json_t *member(json_t *cluster, size_t i)
{
    return json_array_get(json_object_get(cluster, "members"), i);
}

static void is_healthy_when_all_is_well(void **state)
{
    json_t *cluster = healthy();
    (void) state;

    assert_true(status_is_healthy(cluster));
    /* only the leader knows the lease */
    json_object_set_new(cluster, "lease", json_pack("{s:b}", "held", 0));
    assert_false(status_is_healthy(cluster));
    json_object_set_new(cluster, "member", json_string("pg2"));
    assert_true(status_is_healthy(cluster));
    json_decref(cluster);
}

static void is_ill_for_each_cause(void **state)
{
    (void) state;
    for (int cause = 0; cause < 7; cause++) {
        json_t *cluster = healthy();
        switch (cause) {
        case 0: json_object_set_new(cluster, "quorum", json_false()); break;
        case 1: json_object_set_new(cluster, "primary", json_null()); break;
        case 2: json_array_append_new(json_object_get(cluster, "alarms"), json_string("x")); break;
        case 3: json_object_set_new(member(cluster, 1), "streaming", json_false()); break;
        case 4: json_object_set_new(member(cluster, 2), "reachable", json_false()); break;
        case 5: json_object_set_new(member(cluster, 1), "state", json_string("crashed")); break;
        default: json_object_set_new(member(cluster, 2), "disk_failed", json_true()); break;
        }
        if (status_is_healthy(cluster))
            fail_msg("cause %d goes unnoticed", cause);
        json_decref(cluster);
    }
    json_t *nothing = json_object();
    assert_false(status_is_healthy(nothing));
    json_decref(nothing);
}

/* What the document names is no primary without a majority or a lease. */
static void names_no_primary_without_a_lease(void **state)
{
    static const ShowStyle plain;
    json_t *cluster = healthy();
    char reason[STATUS_REASON_LEN];
    Buf out = {0};
    (void) state;

    assert_string_equal(status_primary(cluster), "pg1");
    json_object_set_new(cluster, "lease", json_pack("{s:b}", "held", 0));
    assert_null(status_primary(cluster));
    status_no_primary(cluster, reason);
    assert_string_equal(reason, "pg1 was, but no majority confirms its lease");
    json_object_set_new(cluster, "quorum", json_false());
    status_render(cluster, &plain, &out);
    assert_non_null(strstr(out.data, "shop: no primary now (pg1 was), no quorum, no lease, term 7,"));
    buf_done(&out);
    /* another member does not know the lease: the majority counts */
    json_object_set_new(cluster, "member", json_string("pg2"));
    assert_null(status_primary(cluster));
    json_object_set_new(cluster, "quorum", json_true());
    assert_string_equal(status_primary(cluster), "pg1");
    json_object_set_new(cluster, "primary", json_null());
    json_object_set_new(cluster, "leader", json_null());
    status_no_primary(cluster, reason);
    assert_string_equal(reason, "pg2 knows no leader: a majority is missing, or an election is under way");
    json_decref(cluster);
}

/* A server that does not run is known by the major version of its data directory. */
static void tells_the_version_that_is_known(void **state)
{
    static const ShowStyle plain;
    json_t *cluster = healthy();
    Buf out = {0};
    (void) state;

    json_object_set_new(member(cluster, 0), "version", json_integer(150000));
    status_render(cluster, &plain, &out);
    assert_non_null(strstr(out.data, ", PostgreSQL 15, seen by"));
    buf_done(&out);
    json_decref(cluster);
}

static void renders(void **state)
{
    static const ShowStyle plain;
    json_t *cluster = healthy();
    Buf out = {0};
    (void) state;

    json_object_set_new(cluster, "paused", json_true());
    json_object_set_new(cluster, "pause_reason", json_string("upgrade"));
    json_object_set_new(member(cluster, 1), "action", json_string("clone"));
    json_object_set_new(member(cluster, 1), "progress", json_integer(40));
    json_array_append_new(json_object_get(cluster, "alarms"), json_string("disk of pg2"));
    status_render(cluster, &plain, &out);
    assert_non_null(strstr(
        out.data, "shop: primary pg1, quorum, lease 812 of 1000 ms, term 7, epoch 3, PostgreSQL 15.18, "
                  "seen by pg1\n"));
    assert_non_null(strstr(
        out.data,
        "pg2     standby  streaming   -          -  96 B   5 ms       -  yes    120 ms ago  clone 40 %\n"));
    assert_non_null(strstr(out.data, "Paused: upgrade; nothing is done automatically\n"));
    assert_non_null(strstr(out.data, "Alarm: disk of pg2\n"));
    buf_done(&out);
    json_decref(cluster);
}

/* What the limits of [lag] are for is what the columns say, with a mark above them; it fits in 100 columns.
 */
static void marks_a_lag_above_the_limits(void **state)
{
    static const struct {
        const char *level; /* NULL: null */
        const char *columns;
    } cases[] = {
        {"ok", "  3.0 MB   12 s       -  yes"},         {"catching_up", "  3.0 MB   12 s       -  yes"},
        {"warning", "  3.0 MB !  12 s !       -  yes"}, {"critical", "  3.0 MB !!  12 s !!       -  yes"},
        {NULL, "  96 B   5 ms       -  yes"}, /* an older member: what it has received */
    };
    static const ShowStyle plain;
    (void) state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *cluster = healthy();
        Buf out = {0};
        json_t *row = member(cluster, 1);
        if (cases[i].level != NULL) {
            json_object_set_new(row, "lag", json_string(cases[i].level));
            json_object_set_new(row, "replay_lag_bytes", json_integer(3 << 20));
            json_object_set_new(row, "behind_ms", json_integer(12000));
        } else {
            json_object_set_new(row, "lag", json_null());
        }
        /* the primary itself, and one of which nothing is known, have a dash */
        json_object_set_new(member(cluster, 0), "replay_lag_bytes", json_integer(7));
        json_object_set_new(row, "lsn", json_string("12/3000060"));
        status_render(cluster, &plain, &out);
        for (const char *line = strchr(out.data, '\n') + 1; *line != '\0'; line = strchr(line, '\n') + 1)
            assert_true(strcspn(line, "\n") <= 100);
        assert_non_null(strstr(out.data, cases[i].columns));
        assert_null(strstr(out.data, " 7 "));
        buf_done(&out);
        json_decref(cluster);
    }
}

/* A member keeps its last operation for good: it is shown while it runs and for some minutes after its end.
 */
static void shows_an_operation_while_it_is_news(void **state)
{
    static const struct {
        const char *state;
        int64_t ended_ms; /* -1: not said */
        const char *line; /* NULL: none */
    } cases[] = {
        {"running", -1, "Operation 7, clone, running for 12 s: copying\n"},
        {"done", 90000, "Operation 7, clone, done after 12 s, 90 s ago; at its end: copying\n"},
        {"failed", 500, "Operation 7, clone, failed after 12 s, 500 ms ago; at its end: copying\n"},
        {"done", 3600000, NULL},
        {"failed", -1, NULL},
    };
    static const ShowStyle plain;
    (void) state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *cluster = healthy();
        Buf out = {0};
        json_t *operation = json_pack("{s:i, s:s, s:s, s:s, s:i}", "id", 7, "verb", "clone", "state",
                                      cases[i].state, "step", "copying", "duration_ms", 12000);
        if (cases[i].ended_ms >= 0)
            json_object_set_new(operation, "ended_ms", json_integer(cases[i].ended_ms));
        json_object_set_new(cluster, "operation", operation);
        status_render(cluster, &plain, &out);
        if (cases[i].line != NULL)
            assert_non_null(strstr(out.data, cases[i].line));
        else
            assert_null(strstr(out.data, "Operation"));
        buf_done(&out);
        json_decref(cluster);
    }
}

/* Whoever was removed knows nothing of the cluster that would still be true. */
static void shows_no_cluster_of_one_that_was_removed(void **state)
{
    static const ShowStyle plain;
    json_t *cluster = healthy();
    char reason[STATUS_REASON_LEN];
    Buf out = {0};
    (void) state;

    json_object_set_new(cluster, "member", json_string("pg3"));
    json_object_set_new(cluster, "quorum", json_false());
    json_object_set_new(cluster, "outside", json_string("was removed from the cluster"));
    json_array_append_new(json_object_get(cluster, "alarms"), json_string("pgvigil member add pg3"));
    status_render(cluster, &plain, &out);
    assert_string_equal(out.data, "shop: pg3 was removed from the cluster\nAlarm: pgvigil member add pg3\n");
    status_no_primary(cluster, reason);
    assert_string_equal(reason, "pg3 was removed from the cluster, and knows of none");
    buf_done(&out);
    json_decref(cluster);
}

static void counts_votes_by_name(void **state)
{
    json_t *cluster = healthy();
    Buf out = {0};
    (void) state;

    assert_true(status_votes(cluster, &out));
    assert_string_equal(out.data, "3 of 3 votes are there, 2 are needed");
    buf_done(&out);
    json_object_set_new(member(cluster, 1), "reachable", json_false());
    assert_true(status_votes(cluster, &out));
    assert_string_equal(out.data, "2 of 3 votes are there, 2 are needed; pg2 does not answer");
    buf_done(&out);
    json_object_set_new(member(cluster, 2), "reachable", json_false());
    assert_false(status_votes(cluster, &out));
    assert_string_equal(out.data, "1 of 3 votes is there, 2 are needed; pg2, w1 do not answer");
    buf_done(&out);
    json_object_set_new(member(cluster, 2), "voter", json_false());
    assert_false(status_votes(cluster, &out));
    assert_string_equal(out.data, "1 of 2 votes is there, 2 are needed; pg2 does not answer");
    buf_done(&out);
    json_decref(cluster);
}

/* Both sides with what each has behind the fork, as long as somebody has to decide. */
static void shows_both_sides(void **state)
{
    static const ShowStyle plain = {0};
    json_t *cluster = healthy();
    Buf out = {0};
    (void) state;

    status_render(cluster, &plain, &out);
    assert_null(strstr(out.data, "Behind the fork"));
    buf_done(&out);
    json_object_set_new(member(cluster, 1), "lost",
                        json_pack("{s:b,s:s,s:s,s:i,s:i,s:s,s:b}", "asks", 1, "fork", "0/3000000", "end",
                                  "0/3000200", "bytes", 512, "transactions", 3, "last",
                                  "2026-11-20T20:59:31.123Z", "complete", 1));
    assert_true(sides_is_open(cluster));
    assert_int_equal(sides_behind(cluster, member(cluster, 0)), 0x60);
    status_render(cluster, &plain, &out);
    assert_non_null(strstr(out.data, "stopped, waits"));
    assert_non_null(strstr(out.data, "0/3000000"));
    assert_non_null(strstr(out.data, "2026-11-20T20:59:31.123Z"));
    buf_done(&out);
    json_object_set_new(json_object_get(member(cluster, 1), "lost"), "complete", json_false());
    sides_render(cluster, &plain, &out);
    assert_non_null(strstr(out.data, "unknown"));
    buf_done(&out);
    json_decref(cluster);
}

static void survives_answers_of_another_kind(void **state)
{
    static const ShowStyle plain;
    json_t *odd = json_loads(
        "{\"members\":[1,{\"name\":7},{}],\"alarms\":[{}],\"primary\":3,\"operation\":[]}", 0, NULL);
    Buf out = {0};
    (void) state;

    assert_non_null(odd);
    status_render(odd, &plain, &out);
    assert_non_null(strstr(out.data, "no primary, no quorum"));
    assert_false(status_is_healthy(odd));
    buf_done(&out);
    json_decref(odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_healthy_when_all_is_well),
        cmocka_unit_test(is_ill_for_each_cause),
        cmocka_unit_test(names_no_primary_without_a_lease),
        cmocka_unit_test(tells_the_version_that_is_known),
        cmocka_unit_test(renders),
        cmocka_unit_test(marks_a_lag_above_the_limits),
        cmocka_unit_test(shows_an_operation_while_it_is_news),
        cmocka_unit_test(shows_no_cluster_of_one_that_was_removed),
        cmocka_unit_test(counts_votes_by_name),
        cmocka_unit_test(shows_both_sides),
        cmocka_unit_test(survives_answers_of_another_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
