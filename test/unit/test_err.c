/*
 * test_err.c: error texts with context, cut off and not overflowing.
 */
#include "base/err.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void text_and_context(void **state)
{
    Err err = {0};

    (void) state;
    assert_false(err_set(&err, ERR_NET, "no answer from %s", "pg2"));
    assert_int_equal(err.code, ERR_NET);
    assert_string_equal(err.text, "no answer from pg2");
    assert_false(err_context(&err, "member %d", 2));
    assert_string_equal(err.text, "member 2: no answer from pg2");
    assert_int_equal(err.code, ERR_NET);
}

static void with_errno(void **state)
{
    Err err = {0};

    (void) state;
    assert_false(err_set_errno(&err, ERR_IO, ENOENT, "cannot open %s", "x"));
    assert_string_equal(err.text, "cannot open x: No such file or directory");
}

static void null_is_allowed(void **state)
{
    (void) state;
    assert_false(err_set(NULL, ERR_IO, "x"));
    assert_false(err_set_errno(NULL, ERR_IO, ENOENT, "x"));
    assert_false(err_context(NULL, "x"));
}

static void long_texts_are_cut(void **state)
{
    char text[2000];
    Err err = {0};

    (void) state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_IO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_context(&err, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_set_errno(&err, ERR_IO, ENOENT, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_context),
        cmocka_unit_test(with_errno),
        cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
