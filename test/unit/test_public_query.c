/*
 * test_public_query.c: the parameters of health checks.
 */
#include "agent/public_query.h"
#include "unit.h"

#include <string.h>

static bool take(PublicQuery *query, const char *name, const char *value)
{
    Err err = {0};
    bool ok = public_query_take(query, name, value, &err);

    assert_true(ok || (err.code != ERR_NONE && strstr(err.text, name) != NULL));
    return ok;
}

static bool takes(const char *name, const char *value)
{
    PublicQuery query = {0};

    return take(&query, name, value);
}

static int64_t lag(const char *value)
{
    PublicQuery query = {0};

    assert_true(take(&query, "lag", value) && query.has_lag);
    return query.lag;
}

static void lags(void **state)
{
    (void) state;
    assert_int_equal(lag("0"), 0);
    assert_int_equal(lag("1048576"), 1048576);
    assert_int_equal(lag("16kB"), 16384);
    assert_int_equal(lag("16mb"), 16777216);
    assert_int_equal(lag("1GB"), 1073741824);
    assert_false(takes("lag", ""));
    assert_false(takes("lag", "-1"));
    assert_false(takes("lag", "1 parsec"));
    assert_false(takes("lag", "99999999999999999999"));
    assert_false(takes("lag", "0x10"));
}

static void positions(void **state)
{
    PublicQuery query = {0};

    (void) state;
    assert_true(take(&query, "min_lsn", "16/B374D848") && query.has_min_lsn);
    assert_true(query.min_lsn == 0x16B374D848);
    assert_false(take(&query, "min_lsn", "16/B374D848")); /* twice */
    assert_false(takes("min_lsn", "16"));
    assert_false(takes("min_lsn", "16/XY"));
    assert_false(takes("min_lsn", "16/B374D848 "));
    assert_false(takes("min_lsn", ""));
}

static void words(void **state)
{
    PublicQuery query = {0};
    char text[100];

    (void) state;
    assert_true(take(&query, "mode", "write") && query.by_write);
    assert_true(takes("mode", "apply"));
    assert_false(takes("mode", ""));
    assert_true(take(&query, "replication_state", "in archive recovery"));
    assert_string_equal(query.replication_state, "in archive recovery");
    assert_false(takes("replication_state", ""));
    assert_true(take(&query, "tag_zone", "b") && query.tag_count == 1);
    assert_string_equal(query.tag[0].key, "zone");
    assert_string_equal(query.tag[0].value, "b");
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_false(takes("tag_zone", text));
    assert_false(takes("replication_state", text));
    for (int i = 1; i < TAGS_MAX; i++)
        assert_true(take(&query, "tag_zone", "b"));
    assert_false(take(&query, "tag_zone", "b"));
    assert_false(takes("lga", "1"));
    assert_false(takes("Lag", "1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lags),
        cmocka_unit_test(positions),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
