/*
 * test_value.c: durations, sizes, shares, words and yes/no, with what their errors say.
 */
#include "config/value.h"
#include "unit.h"

#include <string.h>

static void durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"200ms", 200},   {"1s", 1000}, {"1.5s", 1500}, {"5min", 300000}, {"2h", 7200000},
                {"1d", 86400000}, {"0", 0},     {"0.001s", 1},  {"10 s", 10000},  {"1S", 1000}};
    static const char *const bad[] = {"",
                                      "s",
                                      "1",
                                      "-1s",
                                      "1x",
                                      "1 s s",
                                      "1.s",
                                      ".5s",
                                      "1..5s",
                                      "0.0005s",
                                      "99999999999999999999s",
                                      "9223372036854775807d",
                                      "1m",
                                      "1s2",
                                      "0x1s"};
    int64_t ms;
    Err err;

    (void) state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(value_parse_duration(good[i].text, 0, INT64_MAX, &ms, &err));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 77;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (value_parse_duration(bad[i], 0, INT64_MAX, &ms, &err))
            fail_msg("\"%s\" was taken for %lld ms", bad[i], (long long) ms);
    assert_int_equal(ms, 77);
}

static void a_duration_says_what_is_allowed(void **state)
{
    int64_t ms;
    Err err;

    (void) state;
    assert_false(value_parse_duration("299ms", 300, 60000, &ms, &err));
    assert_string_equal(err.text, "\"299ms\" is out of range, allowed is 300ms to 1min");
    assert_int_equal(err.code, ERR_CONFIG);
    assert_false(value_parse_duration("60001ms", 300, 60000, &ms, &err));
    assert_true(value_parse_duration("300ms", 300, 60000, &ms, &err));
    assert_true(value_parse_duration("60s", 300, 60000, &ms, &err));
    assert_false(value_parse_duration("5", 300, 60000, &ms, &err));
    assert_string_equal(err.text, "\"5\" has no unit, write it with ms, s, min, h or d");
    assert_false(value_parse_duration("5m", 300, 60000, &ms, &err));
    assert_has(err.text, "unknown unit \"m\"");
}

static void sizes_and_shares(void **state)
{
    int64_t value;
    Err err;

    (void) state;
    assert_true(value_parse_size("16MB", 0, INT64_MAX, &value, &err));
    assert_int_equal(value, 16777216);
    assert_true(value_parse_size("1.5kB", 0, INT64_MAX, &value, &err));
    assert_int_equal(value, 1536);
    assert_true(value_parse_size("1TB", 0, INT64_MAX, &value, &err));
    assert_int_equal(value, (int64_t) 1 << 40);
    assert_false(value_parse_size("1.3B", 0, INT64_MAX, &value, &err));
    assert_false(value_parse_size("16", 0, INT64_MAX, &value, &err));
    assert_false(value_parse_size("9999999TB", 0, 100, &value, &err));
    assert_true(value_parse_ppm("1000ppm", 0, 50000, &value, &err));
    assert_int_equal(value, 1000);
    assert_true(value_parse_ppm("0.1%", 0, 50000, &value, &err));
    assert_int_equal(value, 1000);
    assert_false(value_parse_ppm("6%", 0, 50000, &value, &err));
    assert_string_equal(err.text, "\"6%\" is out of range, allowed is 0ppm to 50000ppm");
}

static void numbers(void **state)
{
    static const char *const bad[] = {"", "x", "1.0", "0", "65536", "+1", " 1", "1 ", "99999999999999999999"};
    int64_t value;
    Err err;

    (void) state;
    assert_true(value_parse_number("65535", 1, 65535, &value, &err));
    assert_int_equal(value, 65535);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(value_parse_number(bad[i], 1, 65535, &value, &err));
}

static void words(void **state)
{
    bool flag = false;
    int index = -1;
    char text[64];
    Err err;

    (void) state;
    assert_true(value_parse_bool("Yes", &flag, &err) && flag);
    assert_true(value_parse_bool("off", &flag, &err) && !flag);
    assert_false(value_parse_bool("maybe", &flag, &err));
    assert_true(value_parse_choice("warn", "debug|info|warn|error", &index, &err));
    assert_int_equal(index, 2);
    assert_true(value_parse_choice("ERROR", "debug|info|warn|error", &index, &err));
    assert_int_equal(index, 3);
    assert_false(value_parse_choice("warning", "debug|info|warn|error", &index, &err));
    assert_string_equal(err.text, "\"warning\" is not debug, info, warn or error");
    assert_false(value_parse_choice("", "a|b", &index, &err));
    assert_false(value_parse_choice("a|b", "a|b", &index, &err));
    value_format_choice("a|bc|d", 1, text, sizeof text);
    assert_string_equal(text, "bc");
    value_format_choice("a|bc|d", 3, text, sizeof text);
    assert_string_equal(text, "?");
    value_format_choices("a|b", text, sizeof text);
    assert_string_equal(text, "a or b");
}

static void there_and_back(void **state)
{
    static const int64_t values[] = {0, 1, 999, 1000, 1500, 60000, 90000, 3600000, 86400000, 86400001};
    char text[32];
    int64_t back;

    (void) state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        value_format_duration(values[i], text, sizeof text);
        assert_true(value_parse_duration(text, 0, INT64_MAX, &back, NULL));
        assert_int_equal(back, values[i]);
        value_format_size(values[i], text, sizeof text);
        assert_true(value_parse_size(text, 0, INT64_MAX, &back, NULL));
        assert_int_equal(back, values[i]);
    }
    value_format_duration(90000, text, sizeof text);
    assert_string_equal(text, "90s");
    value_format_size(1073741824, text, sizeof text);
    assert_string_equal(text, "1GB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(a_duration_says_what_is_allowed),
        cmocka_unit_test(sizes_and_shares),
        cmocka_unit_test(numbers),
        cmocka_unit_test(words),
        cmocka_unit_test(there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
