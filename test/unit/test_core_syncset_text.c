/*
 * test_core_syncset_text.c: what synchronous_standby_names asks for, whoever wrote it.
 */
#include "core/core.h"
#include "unit.h"

/* The rows without a number are lists, or what PostgreSQL refuses: then it keeps the value of before. */
static void reads_how_many_are_waited_for(void **state)
{
    static const struct {
        const char *text;
        int needed;
    } rows[] = {
        {"a", 1},
        {"a, b", 1},
        {"*", 1},
        {"2 (a, b)", 2},
        {"2(a,b)", 2},
        {" \t\r\n2 \f ( a , b ) ", 2},
        {"2 (*)", 2},
        {"2 (a)", 2},
        {"ANY 2 (a, b, c)", 2},
        {"ANY 2 (a)", 2},
        {"any 3(a)", 3},
        {"aNy\n2\n(a)", 2},
        {"FIRST 2 (a,b)", 2},
        {"first 2 (\"a\", b)", 2},
        {"First 02 (a)", 2},
        {"ANY 8 (*)", 8},
        {"ANY 9 (*)", 8},
        {"ANY 10 (*)", 8},
        {"2147483648 (a)", 8},
        {"ANY 4294967297 (a)", 8},
        {"FIRST 99999999999999999999999999999999 (a)", 8},
        /* a number, keyword or bracket in a name is none */
        {"2", 1},
        {"2, 3", 1},
        {"\"2 (a)\"", 1},
        {"\"ANY 2 (a)\"", 1},
        {"\"any\", 2", 1},
        {"any2, b", 1},
        {"first_2, b", 1},
        {"a, 2", 1},
        /* refused */
        {"", 1},
        {"   ", 1},
        {"0 (a)", 1},
        {"ANY 0 (a)", 1},
        {"ANY -2 (a)", 1},
        {"+2 (a)", 1},
        {"ANY2 (a)", 1},
        {"ANY (a)", 1},
        {"ANY 2", 1},
        {"ANY 2 a", 1},
        {"ANY 2.5 (a)", 1},
        {"SOME 2 (a)", 1},
        {"ANY FIRST 2 (a)", 1},
        {"\"ANY\" 2 (a)", 1},
        {"2a (b)", 1},
        {"(2 (a))", 1},
        {"\xc3\xa4 2 (a)", 1},
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (syncset_needed_in(rows[i].text) != rows[i].needed)
            fail_msg("\"%s\" is %d, not %d", rows[i].text, syncset_needed_in(rows[i].text), rows[i].needed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_how_many_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
