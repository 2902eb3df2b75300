/*
 * test_base.c: the small parts of src/base: str, arena, rng, fence.
 */
#include "base/arena.h"
#include "base/fence.h"
#include "base/rng.h"
#include "base/str.h"
#include "unit.h"

#include <stdalign.h>
#include <string.h>

static void copies_end(void **state)
{
    char text[4];

    (void) state;
    assert_true(str_copy(text, sizeof text, "abc"));
    assert_false(str_copy(text, sizeof text, "abcd"));
    assert_string_equal(text, "abc");
}

static void a_text_grows(void **state)
{
    Buf buf = {0};

    (void) state;
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%03d,", i);
    buf_puts(&buf, "end");
    assert_int_equal(buf.len, 4003);
    assert_memory_equal(buf.data + 3996, "999,end", 8);
    buf_done(&buf);
    assert_null(buf.data);
}

static void arena_pieces(void **state)
{
    Arena arena = {0};
    char *first = arena_strdup(&arena, "first");

    (void) state;
    for (size_t size = 1; size < 20000; size = size * 3 + 1) {
        unsigned char *piece = arena_alloc(&arena, size);
        assert_non_null(piece);
        assert_int_equal((uintptr_t) piece % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xff, size);
    }
    assert_string_equal(first, "first");
    assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    arena_done(&arena);
    assert_null(arena.block);
}

static void arena_says_no(void **state)
{
    Arena arena = {0};

    (void) state;
    assert_null(arena_alloc(&arena, SIZE_MAX / 4 * 3));
    assert_true(arena.failed);
    assert_null(arena_alloc(&arena, 1));
    arena_done(&arena);
}

static void a_seed_decides(void **state)
{
    uint64_t a = 42, b = 42, c = 43;

    (void) state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_next(&a), rng_next(&b));
    assert_int_not_equal(rng_next(&a), rng_next(&c));
    for (int i = 0; i < 1000; i++)
        assert_in_range(rng_below(&a, 7), 0, 6);
    uint64_t zero = 0; /* the first output for seed 0 is published */
    assert_true(rng_next(&zero) == 0xe220a8397b1dcdafu);
}

static void fence_deadline(void **state)
{
    FenceFile file = {0};
    Fence fence = {.epoch = 3, .until = {.raw_us = 100, .boot_us = 200}, .guarded = true}, read;

    (void) state;
    assert_false(fence_read(&file, &read)); /* all zero is closed */
    fence_write(&file, &fence);
    assert_true(fence_read(&file, &read));
    assert_int_equal(read.epoch, 3);
    assert_true(read.guarded);
    assert_true(fence_is_open(&read, &(Clock){.raw_us = 99, .boot_us = 199}));
    assert_false(fence_is_open(&read, &(Clock){.raw_us = 100, .boot_us = 199}));
    assert_false(fence_is_open(&read, &(Clock){.raw_us = 99, .boot_us = 200}));
    file.version--; /* of another program */
    assert_false(fence_read(&file, &read));
    file.version++;
    file.sequence |= 1; /* a writer died half way */
    assert_false(fence_read(&file, &read));
}

static void fence_terms(void **state)
{
    FenceFile file = {0};
    Fence fence = {.hold = true, .synchronous = true, .generation = 7, .names = "ANY 1 (b_e4)"}, read;

    (void) state;
    fence_write(&file, &fence);
    assert_true(fence_read(&file, &read));
    assert_true(fence_equal(&fence, &read));
    assert_true(read.hold && read.synchronous);
    assert_int_equal(read.generation, 7);
    assert_string_equal(read.names, "ANY 1 (b_e4)");
    strcpy(fence.names, "ANY 1 (c_e4)");
    assert_false(fence_equal(&fence, &read));
    fence_touch(&file, &(Clock){.boot_us = 40});
    assert_int_equal(fence_untouched_us(&file, &(Clock){.boot_us = 100}), 60);
    assert_int_equal(file.sequence & 1u, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_end),    cmocka_unit_test(a_text_grows),   cmocka_unit_test(arena_pieces),
        cmocka_unit_test(arena_says_no), cmocka_unit_test(a_seed_decides), cmocka_unit_test(fence_deadline),
        cmocka_unit_test(fence_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
