/*
 * test_lag.c: how long ago the primary wrote what a standby has not replayed.
 */
#include "agent/lag.h"
#include "unit.h"

#define S US_PER_SEC

static void behind(void **state)
{
    Lag lag = {0};
    (void) state;

    assert_int_equal(lag_behind_us(&lag, 5, 100 * S), 0); /* nothing is known: nobody is accused */
    lag_note(&lag, 100, 10 * S);
    lag_note(&lag, 100, 50 * S); /* an idle primary */
    assert_int_equal(lag_behind_us(&lag, 100, 60 * S), 0);
    lag_note(&lag, 200, 60 * S);
    lag_note(&lag, 300, 70 * S);
    assert_int_equal(lag_behind_us(&lag, 300, 75 * S), 0);
    assert_int_equal(lag_behind_us(&lag, 200, 75 * S), 5 * S);
    assert_int_equal(lag_behind_us(&lag, 150, 75 * S), 15 * S);
    assert_int_equal(lag_behind_us(&lag, 50, 75 * S), 65 * S);
    lag_note(&lag, 120, 80 * S); /* another primary */
    assert_int_equal(lag.count, 1);
    assert_int_equal(lag_behind_us(&lag, 119, 81 * S), 1 * S);
}

/* However long it takes, it fits, and the answer is exact to a tenth or so of itself. */
static void bounded(void **state)
{
    Lag lag = {0};
    (void) state;

    for (int64_t s = 1; s <= 100000; s++)
        lag_note(&lag, (Lsn) s * 10, s * S);
    assert_true(lag.count <= LAG_SAMPLES);
    int64_t us = lag_behind_us(&lag, 500000, 100000 * S);
    assert_true(us <= 50000 * S && us > 42000 * S);
    assert_int_equal(lag_behind_us(&lag, 5, 100000 * S), (100000 - 1) * S);
    assert_int_equal(lag_behind_us(&lag, 1000000, 100000 * S), 0);
    /* Beside one that is stuck for a day another is behind by some seconds, and that is seen. */
    assert_in_range(lag_behind_us(&lag, 1000000 - 50, 100000 * S), 4 * S, 5 * S);
    assert_in_range(lag_behind_us(&lag, 1000000 - 600, 100000 * S), 54 * S, 60 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behind),
        cmocka_unit_test(bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
