/*
 * test_core_sighting.c: when a second machine under one name is certain, and for how long it is told of.
 */
#include "core/sighting.h"
#include "unit.h"

static Clock at(int64_t ms)
{
    return (Clock){.boot_us = 1000 * US_PER_SEC + ms * US_PER_MS};
}

static bool note(Sighting *sighting, int64_t ms)
{
    Clock now = at(ms);
    return sighting_note(sighting, &now);
}

static bool is_told(const Sighting *sighting, int64_t ms)
{
    Clock now = at(ms);
    return sighting_is_told(sighting, &now);
}

static void once_is_not_enough(void **state)
{
    Sighting sighting = {0};

    (void) state;
    assert_false(is_told(&sighting, 0));
    assert_false(note(&sighting, 0));
    assert_false(is_told(&sighting, 0));
    assert_false(is_told(&sighting, 5000));
    assert_false(note(&sighting, 1999));
    assert_false(is_told(&sighting, 1999));
}

static void for_two_seconds_is(void **state)
{
    Sighting sighting = {0};

    (void) state;
    assert_false(note(&sighting, 0));
    assert_true(note(&sighting, 2000));
    assert_false(note(&sighting, 2500)); /* it is no news any more */
    assert_true(is_told(&sighting, 2500));
    assert_true(is_told(&sighting, 12499));
    assert_false(is_told(&sighting, 12500));
}

static void after_a_pause_it_counts_anew(void **state)
{
    Sighting sighting = {0};

    (void) state;
    assert_false(note(&sighting, 0));
    assert_false(note(&sighting, 10000));
    assert_false(note(&sighting, 11999));
    assert_true(note(&sighting, 12000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_is_not_enough),
        cmocka_unit_test(for_two_seconds_is),
        cmocka_unit_test(after_a_pause_it_counts_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
