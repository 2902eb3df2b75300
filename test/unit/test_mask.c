/*
 * test_mask.c: secrets taken out of texts.
 */
#include "sys/mask.h"
#include "unit.h"

#include <string.h>

static const char *masked(const char *text)
{
    static char out[256];
    Mask mask = {0};

    mask_add(&mask, "geheim");
    mask_add(&mask, "geheim-und-mehr");
    mask_add(&mask, "abc"); /* too short to be looked for */
    mask_add(&mask, NULL);
    return mask_text(&mask, text, out, sizeof out);
}

static void known(void **state)
{
    (void) state;
    assert_string_equal(masked("a geheim b"), "a *** b");
    assert_string_equal(masked("xgeheim-und-mehrx"), "x***x");
    assert_string_equal(masked("abc"), "abc");
    assert_string_equal(masked(""), "");
}

static void by_keyword(void **state)
{
    (void) state;
    assert_string_equal(masked("host=a password=b user=c"), "host=a password=*** user=c");
    assert_string_equal(masked("password='b \\' c' user=c"), "password=*** user=c");
    assert_string_equal(masked("Password = b"), "Password = ***");
    assert_string_equal(masked("PGPASSWORD=b\nx"), "PGPASSWORD=***\nx");
    assert_string_equal(masked("--password=b --x"), "--password=*** --x");
    assert_string_equal(masked("sslpassword=b&x=y"), "sslpassword=***&x=y");
    assert_string_equal(masked("'host=a password=b'"), "'host=a password=***'");
    assert_string_equal(masked("password authentication failed"), "password authentication failed");
    assert_string_equal(masked("password="), "password=");
    assert_string_equal(masked("password='b"), "password=***");
}

static void in_uris(void **state)
{
    (void) state;
    assert_string_equal(masked("postgresql://u:p@h:5432/d"), "postgresql://u:***@h:5432/d");
    assert_string_equal(masked("a postgres://u:p@q@h b"), "a postgres://u:***@h b");
    assert_string_equal(masked("http://h:80/a@b"), "http://h:80/a@b");
    assert_string_equal(masked("postgresql://u@h:5432/d"), "postgresql://u@h:5432/d");
    assert_string_equal(masked("postgresql://h/d?password=p&a=b"), "postgresql://h/d?password=***&a=b");
}

/* What is cut off shows nothing of what stands behind. */
static void small(void **state)
{
    char out[8];

    (void) state;
    assert_string_equal(mask_text(NULL, "0123456789", out, sizeof out), "0123456");
    assert_string_equal(mask_text(NULL, "password=x", out, sizeof out), "passwor");
    assert_string_equal(mask_text(NULL, "a", out, 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known),
        cmocka_unit_test(by_keyword),
        cmocka_unit_test(in_uris),
        cmocka_unit_test(small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
