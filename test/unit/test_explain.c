/*
 * test_explain.c: what explain prints of an answer: the decision and what holds, and all rules when asked
 * for.
 */
#include "unit.h"

#include "cli/explain.h"

#include <string.h>

static const char answer[] =
    "{\"member\":\"pg2\",\"election\":\"pg1 leads term 7, so nobody else stands\",\"facts\":[\"data_node\",\"streams\","
    "\"of_tomorrow\"],\"rules\":["
    "{\"name\":\"witness\",\"text\":\"a witness has no server\",\"action\":\"none\",\"matched\":false,"
    "\"decisive\":false,\"missing\":null,\"forbidden\":\"data_node\"},"
    "{\"name\":\"steady_standby\",\"text\":\"a standby that streams from the primary\",\"action\":\"none\","
    "\"matched\":true,\"decisive\":true,\"missing\":null,\"forbidden\":null}]}";

static char *render(const char *text, int width, bool all)
{
    ShowStyle style = {.width = width};
    json_t *explain = json_loads(text, 0, NULL);
    Buf out = {0};

    assert_non_null(explain);
    explain_render(explain, &style, all, &out);
    json_decref(explain);
    return out.data;
}

static void tells_the_decision_and_what_holds(void **state)
{
    char *text = render(answer, 0, false);
    (void) state;

    assert_string_equal(text, "pg2: pg1 leads term 7, so nobody else stands\n"
                              "\nThe rule that decides:\n"
                              "    steady_standby (no action): a standby that streams from the primary\n"
                              "\nWhat holds:\n"
                              "    data_node: this member runs PostgreSQL\n"
                              "    streams: the walreceiver streams\n"
                              "    of_tomorrow\n");
    free(text);
}

static void tells_what_goes_wrong(void **state)
{
    char *text = render("{\"member\":\"pg2\",\"election\":\"x\",\"facts\":[],\"rules\":[],"
                        "\"problems\":[\"clone: no password supplied\",7]}",
                        0, false);
    (void) state;

    assert_string_equal(text, "pg2: x\n"
                              "\nWhat goes wrong:\n"
                              "    clone: no password supplied\n"
                              "\nWhat holds: nothing\n");
    free(text);
}

static void tells_all_rules_when_asked(void **state)
{
    char *text = render(answer, 0, true);
    (void) state;

    assert_non_null(strstr(text, "All rules in their order:\n"));
    assert_non_null(strstr(text, "not with data_node"));
    free(text);
}

static void keeps_to_the_width(void **state)
{
    char *text = render(answer, 40, false);
    (void) state;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 40);
    free(text);
}

static void survives_an_answer_of_another_kind(void **state)
{
    char *text = render("{\"facts\":[1,{}],\"rules\":[3],\"member\":[]}", 0, true);
    (void) state;

    assert_non_null(strstr(text, "?: says nothing of an election"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_decision_and_what_holds),  cmocka_unit_test(tells_what_goes_wrong),
        cmocka_unit_test(tells_all_rules_when_asked),         cmocka_unit_test(keeps_to_the_width),
        cmocka_unit_test(survives_an_answer_of_another_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
