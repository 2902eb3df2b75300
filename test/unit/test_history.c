/*
 * test_history.c: merging the histories of several members.
 */
#include "unit.h"

#include "cli/history.h"

static json_t *answer(const char *entries)
{
    char text[2000];
    snprintf(text, sizeof(text), "{\"member\":\"x\",\"entries\":[%s]}", entries);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static json_t *merge(const char *one, const char *two)
{
    json_t *merged = json_array(), *first = answer(one), *second = answer(two);

    history_merge(merged, first);
    history_merge(merged, second);
    json_decref(first);
    json_decref(second);
    return merged;
}

#define FAILOVER(time, member)                                                                               \
    "{\"time\":\"" time "\",\"kind\":\"failover\",\"member\":\"" member "\",\"epoch\":3,\"lsn\":\"0/30\"}"

static void counts(const char *one, const char *two, size_t expected)
{
    json_t *merged = merge(one, two);
    assert_int_equal(json_array_size(merged), expected);
    json_decref(merged);
}

static void leaves_out_what_two_members_tell(void **state)
{
    (void) state;
    counts(FAILOVER("2026-11-20T21:40:00.000Z", "pg2"), FAILOVER("2026-11-20T21:40:01.500Z", "pg2"), 1);
    counts(FAILOVER("2026-11-20T21:40:00.000Z", "pg2"), FAILOVER("2026-11-20T21:40:01.500Z", "pg3"), 2);
    counts(FAILOVER("2026-11-20T21:40:00.000Z", "pg2"), FAILOVER("2026-11-20T21:42:01.500Z", "pg2"), 2);
    /* one member telling the same twice means that it happened twice */
    counts("", FAILOVER("2026-11-20T21:40:00.000Z", "pg2") "," FAILOVER("2026-11-20T21:40:01.000Z", "pg2"),
           2);
    counts("1, null", "[]", 0);
}

static void sorts_and_limits(void **state)
{
    json_t *merged =
        merge(FAILOVER("2026-11-20T21:45:00.000Z", "b") "," FAILOVER("2026-11-20T21:40:00.000Z", "a"),
              FAILOVER("2026-11-20T21:42:00.000Z", "c"));
    json_t *all = history_sorted(merged, 0), *newest = history_sorted(merged, 1);
    (void) state;

    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "member")), "a");
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 1), "member")), "c");
    assert_int_equal(json_array_size(newest), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(newest, 0), "member")), "b");
    json_decref(all);
    json_decref(newest);
    json_decref(merged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_out_what_two_members_tell),
        cmocka_unit_test(sorts_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
