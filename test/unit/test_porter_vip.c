/*
 * test_porter_vip.c: when an address is put on, renewed, announced and taken away; the kernel is the test's
 * own.
 */
#include "agent/porter_vip.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define MS US_PER_MS
#define S  US_PER_SEC

static PorterVip held;
static int added, removed, announced;
static bool add_fails, remove_fails, was_there;
static uint32_t lifetime;

void log_line(LogLevel level, const char *event, const char *format, ...)
{
    (void) level, (void) event, (void) format;
}

void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    (void) limit, (void) level, (void) event, (void) format;
}

bool porter_set_state(PorterState *state, const char *what, bool on, bool trouble, const char *reason)
{
    bool changed = state->on != on || state->trouble != trouble;

    assert_string_equal(what, "vip");
    state->on = on;
    state->trouble = trouble;
    snprintf(state->reason, sizeof state->reason, "%s", reason);
    return changed;
}

bool vip_add(const Vip *vip, uint32_t lifetime_s, Err *err)
{
    (void) vip;
    added++;
    lifetime = lifetime_s;
    return !add_fails || err_set(err, ERR_IO, "no such device");
}

bool vip_remove(const Vip *vip, bool *ret_removed, Err *err)
{
    (void) vip;
    removed++;
    *ret_removed = was_there && !remove_fails;
    return !remove_fails || err_set(err, ERR_IO, "not permitted");
}

bool vip_announce(const Vip *vip, Err *err)
{
    (void) vip, (void) err;
    announced++;
    return true;
}

static int setup(void **state)
{
    (void) state;
    held = (PorterVip){0};
    added = removed = announced = 0;
    add_fails = remove_fails = was_there = false;
    return 0;
}

static bool look(int64_t us, bool wanted)
{
    static const Vip vip;
    Clock now = {.boot_us = 1000 * S + us};

    return porter_vip_look(&held, &vip, 3, wanted, "no lease", &now);
}

/* Each second once, or the kernel would take it away; five announcements, and no more. */
static void is_held(void **state)
{
    (void) state;

    assert_true(look(0, true));
    assert_true(held.state.on);
    assert_int_equal(added, 1);
    assert_int_equal(lifetime, 3);
    assert_int_equal(announced, 1);
    assert_false(look(50 * MS, true));
    assert_int_equal(announced, 1);
    assert_int_equal(added, 1);
    for (int64_t us = 100 * MS; us <= 10 * S; us += 50 * MS)
        assert_false(look(us, true));
    assert_int_equal(added, 11);
    assert_int_equal(announced, 5);
    assert_int_equal(removed, 0);
}

/* At once when it is not wanted any more, and announced anew when it comes back. */
static void is_taken_away(void **state)
{
    (void) state;

    look(0, true);
    was_there = true;
    assert_true(look(20 * MS, false));
    assert_int_equal(removed, 1);
    assert_false(held.state.on);
    assert_string_equal(held.state.reason, "no lease");
    assert_true(look(40 * MS, true));
    assert_int_equal(added, 2);
    assert_int_equal(announced, 2);
}

/* Whoever was killed may have left it: without the lease nobody keeps it, and looks again each second. */
static void is_removed_where_it_was_left(void **state)
{
    (void) state;

    was_there = true;
    look(0, false);
    assert_int_equal(removed, 1);
    look(500 * MS, false);
    assert_int_equal(removed, 1);
    look(1000 * MS, false);
    assert_int_equal(removed, 2);
    assert_int_equal(added, 0);
}

/* One that has to go and does not is tried again each 50 ms; it is trouble, and said so. */
static void is_removed_again(void **state)
{
    (void) state;

    look(0, true);
    remove_fails = was_there = true;
    look(10 * MS, false);
    assert_true(held.state.trouble);
    assert_has(held.state.reason, "not permitted");
    look(30 * MS, false);
    assert_int_equal(removed, 1);
    look(60 * MS, false);
    assert_int_equal(removed, 2);
    remove_fails = false;
    look(110 * MS, false);
    assert_int_equal(removed, 3);
    assert_false(held.state.trouble);
    assert_false(held.may_be_there);
}

/* One that cannot be put on is tried again each second. After a failure nobody knows whether it is there. */
static void cannot_be_put_on(void **state)
{
    (void) state;

    add_fails = true;
    assert_true(look(0, true));
    assert_true(held.state.trouble && !held.state.on && held.may_be_there);
    look(900 * MS, true);
    assert_int_equal(added, 1);
    add_fails = false;
    assert_true(look(1000 * MS, true));
    assert_true(held.state.on);
    add_fails = true; /* the renewal of one that is held */
    assert_true(look(2000 * MS, true));
    assert_false(held.state.on);
    look(2010 * MS, false);
    assert_int_equal(removed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_held, setup),
        cmocka_unit_test_setup(is_taken_away, setup),
        cmocka_unit_test_setup(is_removed_where_it_was_left, setup),
        cmocka_unit_test_setup(is_removed_again, setup),
        cmocka_unit_test_setup(cannot_be_put_on, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
