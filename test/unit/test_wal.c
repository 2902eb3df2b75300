/*
 * test_wal.c: names and ranges of WAL segments, where records end, history files and claims on timelines.
 */
#include "unit.h"

#include "pg/timeline.h"
#include "pg/wal.h"
#include "sys/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MB16 ((uint32_t) 16 << 20)

static char directory[64];

static void path_of(const char *name, char *ret_path)
{
    snprintf(ret_path, 128, "%s/pg_wal/%s", directory, name);
}

static void put_history(uint32_t timeline, const char *text)
{
    char name[32], path[128];

    snprintf(name, sizeof name, "%08X.history", (unsigned) timeline);
    path_of(name, path);
    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

/* A segment whose first page says that it is segment number `content`. */
static void put_segment(uint32_t timeline, uint64_t number, uint64_t content)
{
    char name[WAL_NAME_LEN], path[128];
    unsigned char page[64] = {0x10, 0xd1};
    uint64_t address = content * MB16;

    memcpy(page + 4, &timeline, 4);
    memcpy(page + 8, &address, 8);
    wal_name(timeline, number, MB16, name);
    path_of(name, path);
    assert_true(file_write_atomic(path, page, sizeof page, 0600, NULL));
}

static int setup(void **state)
{
    char path[128];

    (void) state;
    snprintf(directory, sizeof directory, "/tmp/pgvigil-wal-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return 1;
    path_of("", path);
    return mkdir(path, 0700);
}

static int teardown(void **state)
{
    (void) state;
    return !file_remove_tree(directory, NULL);
}

static void test_names(void **state)
{
    char name[WAL_NAME_LEN];
    uint32_t timeline;
    uint64_t segment;

    (void) state;
    wal_name(2, 0x1ff, MB16, name);
    assert_string_equal(name, "0000000200000001000000FF");
    assert_true(wal_parse_name(name, MB16, &timeline, &segment));
    assert_int_equal(timeline, 2);
    assert_int_equal(segment, 0x1ff);
    assert_false(
        wal_parse_name("00000002000000010000FFFF", MB16, &timeline, &segment)); /* no such number at 16 MB */
    assert_false(wal_parse_name("0000000200000001000000FF.partial", MB16, &timeline, &segment));
    assert_false(wal_parse_name("00000002.history", MB16, &timeline, &segment));
    assert_false(wal_parse_name("0000000200000001000000fg", MB16, &timeline, &segment));
}

static void test_record_end(void **state)
{
    (void) state;
    assert_int_equal(wal_record_end(0x1000028, 114, MB16), 0x10000a0); /* rounded up to 8 */
    assert_int_equal(wal_record_end(0x1001fe0, 32, MB16), 0x1002000);  /* ends with its page */
    assert_int_equal(wal_record_end(0x1001fe0, 33, MB16), 0x1002020);  /* 24 bytes of header, then 8 */
    assert_int_equal(wal_record_end(0x1ffffe0, 40, MB16),
                     0x2000030); /* a long header on a segment's first page */
    assert_int_equal(wal_record_end(0x1001fe0, 32 + 8168 + 8, MB16), 0x1004020);
}

static void test_list(void **state)
{
    WalList list;

    (void) state;
    put_segment(1, 3, 3);
    put_segment(1, 5, 5);
    put_segment(1, 6, 6);
    put_segment(2, 6, 6);
    put_segment(1, 7, 4); /* recycled, ahead */
    assert_true(wal_list(directory, MB16, 6u * MB16 + 100, &list, NULL));
    assert_int_equal(list.newest_timeline, 2);
    assert_int_equal(list.oldest, 5u * MB16);                       /* 4 is missing */
    assert_true(wal_list(directory, MB16, 6u * MB16, &list, NULL)); /* the byte before is in 5 */
    assert_int_equal(list.newest_timeline, 1);
    assert_true(wal_list(directory, MB16, 9u * MB16, &list, NULL));
    assert_int_equal(list.newest_timeline, 0);
    assert_true(wal_list(directory, MB16, LSN_NONE, &list, NULL));
    assert_int_equal(list.newest_timeline, 2);
}

static void test_range(void **state)
{
    WalRange range;

    (void) state;
    put_segment(1, 2, 2);
    put_segment(1, 4, 4);
    put_segment(1, 5, 5);
    put_segment(1, 6, 1); /* recycled */
    put_segment(1, 7, 2);
    put_segment(3, 9, 5); /* a recycled one of a later timeline says nothing */
    assert_true(wal_range(directory, MB16, 1, &range, NULL));
    assert_int_equal(range.count, 2);
    assert_int_equal(range.first, 4);
    assert_int_equal(range.last, 5);
    assert_int_equal(range.highest_timeline, 1);
    put_segment(3, 5, 5);
    assert_true(wal_range(directory, MB16, 2, &range, NULL));
    assert_int_equal(range.count, 0);
    assert_int_equal(range.highest_timeline, 3);
}

static void test_history(void **state)
{
    TimelineEntry e[4];

    (void) state;
    assert_int_equal(timeline_parse("1\t0/3000000\tno recovery target specified\n\n2\t0/5000060\tx\n", e, 4),
                     2);
    assert_int_equal(e[0].timeline, 1);
    assert_int_equal(e[1].timeline, 2);
    assert_int_equal(e[1].end, 0x5000060);
    assert_int_equal(timeline_parse("# c\n1 1/2 x", e, 4), 1);
    assert_int_equal(e[0].end, 0x100000002);
    assert_int_equal(timeline_parse("", e, 4), 0);
    assert_int_equal(timeline_parse("2\t0/1\tx\n1\t0/2\tx\n", e, 4), -1); /* must rise */
    assert_int_equal(timeline_parse("rubbish\n", e, 4), -1);
    assert_int_equal(timeline_parse("1\t0/1\n2\t0/2\n3\t0/3\n4\t0/4\n5\t0/5\n", e, 4),
                     4); /* the newest are kept */
    assert_int_equal(e[0].timeline, 2);
    assert_int_equal(e[3].timeline, 5);
}

static void test_start(void **state)
{
    Lsn start;

    (void) state;
    put_history(3, "1\t0/3000000\tx\n2\t0/5000060\tx\n");
    assert_true(timeline_start(directory, 3, &start, NULL));
    assert_int_equal(start, 0x5000060);
    assert_true(timeline_start(directory, 1, &start, NULL));
    assert_int_equal(start, LSN_NONE);
    assert_true(timeline_start(directory, 4, &start, NULL));
    assert_int_equal(start, LSN_NONE);
    put_history(4, "rubbish");
    assert_false(timeline_start(directory, 4, &start, NULL));
}

static bool has_history(uint32_t timeline)
{
    char name[32], path[128];

    snprintf(name, sizeof name, "%08X.history", (unsigned) timeline);
    path_of(name, path);
    return file_exists(path);
}

static void test_claims(void **state)
{
    bool made;

    (void) state;
    put_segment(1, 1, 1);
    put_history(3, "1\t0/1000100\tno recovery target specified\n");
    assert_true(timeline_claim(directory, 2, 1, &made, NULL));
    assert_true(made);
    assert_true(timeline_claim(directory, 3, 1, &made, NULL));
    assert_false(made); /* somebody's own */
    assert_true(timeline_claim(directory, 4, 1, &made, NULL));
    assert_true(timeline_trim_claims(directory, MB16, NULL));
    assert_true(has_history(2)); /* before a true one: followers ask for it */
    assert_true(has_history(3));
    assert_false(has_history(4));
    put_segment(5, 1, 1); /* promoted to 5 */
    assert_true(timeline_claim(directory, 4, 1, &made, NULL));
    assert_true(timeline_trim_claims(directory, MB16, NULL));
    assert_true(has_history(4));
}

static void test_fill(void **state)
{
    TimelineEntry e[8];
    int count;

    (void) state;
    /* a clone on 6 that has no other history: 1 -> 3 -> 6 */
    put_history(6, "1\t0/3000000\tx\n3\t0/5000060\tx\n");
    assert_true(timeline_fill(directory, 6, NULL));
    for (uint32_t n = 2; n < 6; n++)
        assert_true(has_history(n));
    assert_true(timeline_read(directory, 3, e, 8, &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(e[0].timeline, 1);
    assert_int_equal(e[0].end, 0x3000000);
    assert_true(timeline_read(directory, 4, e, 8, &count, NULL));
    assert_int_equal(e[0].end, 1); /* a claim */
    assert_true(timeline_fill(directory, 1, NULL));
}

/* Where two histories part, as pg_rewind finds it; and no further than numbers can be relied upon. */
static void common_ancestors(void **state)
{
    const TimelineEntry root[] = {{1, UINT64_MAX}};
    const TimelineEntry left[] = {{1, 100}, {2, UINT64_MAX}};
    const TimelineEntry right[] = {{1, 200}, {3, UINT64_MAX}};
    const TimelineEntry later[] = {{1, 100}, {2, 300}, {4, UINT64_MAX}};
    const TimelineEntry twin[] = {{1, 200}, {2, UINT64_MAX}};
    (void) state;

    assert_int_equal(timeline_common(root, 1, left, 2, UINT32_MAX), 0);
    assert_int_equal(timeline_common(left, 2, right, 2, UINT32_MAX), 0);
    assert_int_equal(timeline_common(left, 2, later, 3, UINT32_MAX), 1);
    assert_int_equal(timeline_common(left, 2, later, 3, 1), 0);
    assert_int_equal(timeline_common(left, 2, later, 3, 0), -1);
    assert_int_equal(timeline_common(left, 2, twin, 2, UINT32_MAX), 0); /* one number, two beginnings */
    assert_int_equal(timeline_common(left, 2, left, 2, UINT32_MAX), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(common_ancestors),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_record_end),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_range, setup, teardown),
        cmocka_unit_test(test_history),
        cmocka_unit_test_setup_teardown(test_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fill, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
