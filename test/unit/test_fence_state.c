/*
 * test_fence_state.c: the extension's line, as the poller reads it.
 */
#include "pg/fence_state.h"
#include "unit.h"

static void a_line(void **state)
{
    FenceState fence;

    (void) state;
    fence_state_parse(
        "layout=2 file=65024:109527 open=0 closed=lease epoch=4 left_ms=0 waits=7 refusals=3 cut=1 "
        "generation=12 defined=1 unconfirmed=1 later=9",
        &fence);
    assert_true(fence.loaded && fence.defined && fence.unconfirmed);
    assert_false(fence.open);
    assert_int_equal(fence.layout, 2);
    assert_int_equal(fence.device, 65024);
    assert_int_equal(fence.inode, 109527);
    assert_int_equal(fence.generation, 12);
    assert_int_equal(fence.waits, 7);
    assert_int_equal(fence.refusals, 3);
    assert_int_equal(fence.cut, 1);
    assert_string_equal(fence.closed, "lease");
}

static void nothing_and_nonsense(void **state)
{
    FenceState fence;

    (void) state;
    fence_state_parse("", &fence);
    assert_false(fence.loaded);
    fence_state_parse("layout file=- open= =", &fence);
    assert_true(fence.loaded);
    assert_int_equal(fence.inode, 0);
    assert_false(fence.open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_line), cmocka_unit_test(nothing_and_nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
