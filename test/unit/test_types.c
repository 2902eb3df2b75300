/*
 * test_types.c: identifiers and positions as text, elapsed time on clocks that disagree.
 */
#include "base/types.h"
#include "unit.h"

#include <string.h>

static void uuid_round_trip(void **state)
{
    static const char text[] = "0123abcd-4567-89ef-fedc-ba9876543210";
    char out[UUID_TEXT_LEN];
    Uuid uuid, same;

    (void) state;
    assert_true(uuid_parse(text, &uuid));
    uuid_format(&uuid, out);
    assert_string_equal(out, text);
    assert_true(uuid_parse("0123ABCD-4567-89EF-FEDC-BA9876543210", &same));
    assert_true(uuid_equal(&uuid, &same));
    assert_false(uuid_is_zero(&uuid));
    memset(&uuid, 0, sizeof uuid);
    assert_true(uuid_is_zero(&uuid));
}

static void uuid_refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "0123abcd",
        "0123abcd-4567-89ef-fedc-ba987654321",
        "0123abcd-4567-89ef-fedc-ba98765432100",
        "0123abcd-4567-89ef-fedcba-9876543210",
        "0123abcg-4567-89ef-fedc-ba9876543210",
        " 123abcd-4567-89ef-fedc-ba9876543210",
    };
    Uuid uuid = {{7}}, before = uuid;

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(uuid_parse(wrong[i], &uuid));
    assert_true(uuid_equal(&uuid, &before));
}

static void lsn_round_trip(void **state)
{
    static const char *const texts[] = {"0/0", "0/3000060", "16/B374D848", "FFFFFFFF/FFFFFFFF"};
    char out[LSN_TEXT_LEN];
    Lsn lsn;

    (void) state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_true(lsn_parse(texts[i], &lsn));
        lsn_format(lsn, out);
        assert_string_equal(out, texts[i]);
    }
    assert_true(lsn_parse("16/b374d848", &lsn));
    assert_int_equal(lsn, 0x16B374D848);
}

static void lsn_refuses(void **state)
{
    static const char *const wrong[] = {"",     "/",    "0/", "/0", "0", "123456789/0", "0/123456789",
                                        "0/0 ", "-1/0", "x/0"};
    Lsn lsn = 5;

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(lsn_parse(wrong[i], &lsn));
    assert_int_equal(lsn, 5);
}

static void elapsed_by_both_clocks(void **state)
{
    Clock then = {.raw_us = 100, .boot_us = 1000};
    Clock now = {.raw_us = 150, .boot_us = 1900}; /* suspended: raw stood still */

    (void) state;
    assert_int_equal(clock_elapsed_most(&then, &now), 900);
    assert_int_equal(clock_elapsed_least(&then, &now), 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuid_round_trip),        cmocka_unit_test(uuid_refuses),
        cmocka_unit_test(lsn_round_trip),         cmocka_unit_test(lsn_refuses),
        cmocka_unit_test(elapsed_by_both_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
