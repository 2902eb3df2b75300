/*
 * test_args.c: the command lines of the old programs.
 */
#include "unit.h"

#include "front/args.h"
#include "front/front.h"

#include <string.h>

static const ArgsOption options[] = {
    {"port", "NUMBER", false, "where to listen"},
    {"password", "TEXT", true, "the password"},
    {"usemajority", NULL, false, "ask the standbys"},
    {NULL},
};

static bool parse(Args *args, bool take_rest, Err *err, const char *a, const char *b, const char *c)
{
    static char text[4][40];
    char *argv[4] = {"name"};
    const char *given[] = {a, b, c};
    int argc = 1;
    bool help;

    for (int i = 0; i < 3 && given[i] != NULL; i++, argc++) {
        snprintf(text[argc], sizeof text[argc], "%s", given[i]);
        argv[argc] = text[argc];
    }
    return args_parse(options, argc, argv, take_rest, args, &help, err) && !help;
}

static void both_spellings(void **state)
{
    Args args;
    Err err = {0};
    int64_t port;
    (void) state;

    assert_true(parse(&args, false, &err, "--port=8085", "--usemajority", NULL));
    assert_string_equal(args_value(&args, "port"), "8085");
    assert_string_equal(args_value(&args, "usemajority"), "");
    assert_null(args_value(&args, "password"));
    assert_true(parse(&args, false, &err, "--port", "8086", NULL));
    assert_true(args_number(&args, "port", 1, 65535, 0, &port, &err));
    assert_int_equal(port, 8086);
    assert_true(parse(&args, true, &err, "file.json", "--port=1", NULL));
    assert_string_equal(args.rest, "file.json");
}

static void says_what_is_wrong(void **state)
{
    Args args;
    Err err = {0};
    int64_t port;
    (void) state;

    assert_false(parse(&args, false, &err, "--prot=1", NULL, NULL));
    assert_has(err.text, "no option --prot; is --port meant?");
    assert_false(parse(&args, false, &err, "--port=1", "--port", "2"));
    assert_has(err.text, "--port is there twice");
    assert_false(parse(&args, false, &err, "--port", NULL, NULL));
    assert_has(err.text, "--port needs a value: --port=NUMBER");
    assert_false(parse(&args, false, &err, "--usemajority=1", NULL, NULL));
    assert_has(err.text, "takes no value");
    assert_false(parse(&args, false, &err, "port", NULL, NULL));
    assert_has(err.text, "unexpected: port");
    assert_true(parse(&args, false, &err, "--port=x", NULL, NULL));
    assert_false(args_number(&args, "port", 1, 65535, 0, &port, &err));
    assert_has(err.text, "--port: ");
}

/* ps shows the arguments of every process. */
static void blanks_secrets(void **state)
{
    char first[] = "--password=hush", *argv[] = {"name", first};
    Args args;
    Err err = {0};
    bool help;
    (void) state;

    assert_true(args_parse(options, 2, argv, false, &args, &help, &err));
    assert_string_equal(args_value(&args, "password"), "hush");
    assert_string_equal(first, "--password=xxxx");
    args_done(&args);
    args_done(&args);
}

static void knows_nobody_else(void **state)
{
    (void) state;
    assert_null(front_find("/usr/bin/pgvigil"));
    assert_null(front_find(".py"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(blanks_secrets),
        cmocka_unit_test(knows_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
