/*
 * test_call.c: reading command lines by a small table of verbs.
 */
#include "unit.h"

#include "cli/call.h"

#include <string.h>

static int nothing(const Call *call)
{
    (void) call;
    return 0;
}

const Verb verb_table[] = {
    {"status", "", 0, 0, FLAG_BIT(FLAG_JSON), false, false, nothing, "", ""},
    {"switchover", "", 0, 0, FLAG_BIT(FLAG_TO) | FLAG_BIT(FLAG_TIMEOUT) | FLAG_BIT(FLAG_LIMIT), false, false,
     nothing, "", ""},
    {"clone", "NAME", 1, 1, FLAG_BIT(FLAG_YES) | FLAG_BIT(FLAG_OPERATION), false, false, nothing, "", ""},
    {"statut", "", 0, 0, 0, true, false, nothing, "", ""},
    {NULL},
};

static bool parse(const char *verb, char **words, Call *call, Err *err)
{
    int count = 0;

    while (words[count] != NULL)
        count++;
    *err = (Err){0};
    return call_parse(call_find_verb(verb), count, words, call, err);
}

static void takes_options_and_arguments(void **state)
{
    Call call;
    Err err;
    (void) state;

    assert_true(
        parse("switchover", (char *[]){"switchover", "--to", "pg2", "--timeout=3s", NULL}, &call, &err));
    assert_string_equal(call.value[FLAG_TO], "pg2");
    assert_string_equal(call.value[FLAG_TIMEOUT], "3s");
    assert_false(call_has(&call, FLAG_JSON));
    assert_true(parse("clone", (char *[]){"clone", "--yes", "pg3", NULL}, &call, &err));
    assert_true(call_has(&call, FLAG_YES));
    assert_string_equal(call.argument[0], "pg3");
    assert_true(parse("clone", (char *[]){"clone", "--", "--yes", NULL}, &call, &err));
    assert_string_equal(call.argument[0], "--yes");
    assert_true(parse("clone", (char *[]){"clone", "--help", NULL}, &call, &err));
    assert_true(parse("clone", (char *[]){"clone", "--operation", "5", NULL}, &call, &err));
}

static void refuses(const char *verb, char **words, const char *part)
{
    Call call;
    Err err;

    assert_false(parse(verb, words, &call, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void refuses_what_is_wrong(void **state)
{
    (void) state;
    refuses("status", (char *[]){"status", "--jsno", NULL}, "--json");
    refuses("status", (char *[]){"status", "--to", "pg1", NULL}, "no option --to");
    refuses("status", (char *[]){"status", "-x", NULL}, "no option -x");
    refuses("status", (char *[]){"status", "now", NULL}, "one word too many");
    refuses("status", (char *[]){"status", "--json=yes", NULL}, "takes no value");
    refuses("switchover", (char *[]){"switchover", "--to", NULL}, "needs a value");
    refuses("switchover", (char *[]){"switchover", "--to=", NULL}, "is empty");
    refuses("clone", (char *[]){"clone", NULL}, "needs NAME");
}

static void suggests_verbs(void **state)
{
    (void) state;
    assert_string_equal(call_nearest_verb("swichover")->name, "switchover");
    assert_string_equal(call_nearest_verb("statsu")->name, "status");
    assert_null(call_nearest_verb("frobnicate"));
    assert_null(call_nearest_verb("a word that is far longer than any verb there could be"));
    assert_null(call_find_verb("stat"));
    assert_non_null(call_find_verb("statut"));
    /* a hidden verb is never suggested, not even where it is nearest */
    assert_string_equal(call_nearest_verb("statutt")->name, "status");
}

static void reads_times_and_numbers(void **state)
{
    Call call;
    Err err;
    int64_t value = 0;
    (void) state;

    assert_true(parse("switchover", (char *[]){"switchover", "--timeout", "2min", "--limit", "7", NULL},
                      &call, &err));
    assert_true(call_time_ms(&call, FLAG_TIMEOUT, 5, &value, &err));
    assert_int_equal(value, 120000);
    assert_true(call_number(&call, FLAG_LIMIT, 1, 10, 3, &value, &err));
    assert_int_equal(value, 7);
    assert_false(call_number(&call, FLAG_LIMIT, 1, 6, 3, &value, &err));
    assert_true(call_time_ms(&call, FLAG_FOR, 5, &value, &err));
    assert_int_equal(value, 5);
    assert_true(parse("switchover", (char *[]){"switchover", "--timeout", "soon", "--limit", "7x", NULL},
                      &call, &err));
    assert_false(call_time_ms(&call, FLAG_TIMEOUT, 5, &value, &err));
    assert_non_null(strstr(err.text, "--timeout"));
    assert_false(call_number(&call, FLAG_LIMIT, 1, 10, 3, &value, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_options_and_arguments),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(suggests_verbs),
        cmocka_unit_test(reads_times_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
