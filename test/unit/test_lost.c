/*
 * test_lost.c: transactions out of pg_waldump's lines, as PostgreSQL 15 writes them.
 */
#include "unit.h"

#include "action/lost.h"

#include <stdio.h>
#include <string.h>

#define RECORD(rmgr, bytes, xid, lsn, desc)                                                                  \
    "rmgr: " rmgr " len (rec/tot):     54/    " bytes ", tx:        " xid ", lsn: " lsn                      \
    ", prev 0/01000000, desc: " desc

static LostReport *report;

static int setup(void **state)
{
    (void) state;
    report = lost_new();
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    lost_free(report);
    return 0;
}

static void assert_text(const char *expected)
{
    const Buf *text = lost_text(report);

    assert_string_equal(text->data != NULL ? text->data : "", expected);
}

/* Sizes and relations are gathered from the transaction's records, the commit's own among them. */
static void a_transaction(void **state)
{
    (void) state;
    lost_line(report, RECORD("Heap       ", "100", "735", "0/01000028",
                             "INSERT off 2 flags 0x00, blkref #0: rel 1663/5/16384 blk 0"));
    lost_line(report, RECORD("Btree      ", "64", "735", "0/01000090",
                             "INSERT_LEAF off 1, blkref #0: rel 1663/5/16390 blk 1"));
    lost_line(report, RECORD("Heap       ", "60", "735", "0/010000D0",
                             "INSERT off 3, blkref #0: rel 1663/5/16384 blk 0"));
    lost_line(report, RECORD("Transaction", "34", "735", "0/01000110",
                             "COMMIT 2026-11-20 21:05:11.123456 UTC; inval msgs: catcache 80"));
    assert_text("time=\"2026-11-20 21:05:11.123456 UTC\" xid=735 lsn=0/01000110 bytes=258 "
                "relations=1663/5/16384,1663/5/16390\n");
    assert_int_equal(lost_totals(report).commits, 1);
    assert_true(lost_totals(report).last_us == INT64_C(1795208711123456));
}

/* An abort loses nothing; what a savepoint did counts with its commit; other lines are passed over. */
static void ends(void **state)
{
    (void) state;
    lost_line(report,
              RECORD("Heap       ", "100", "740", "0/1", "INSERT off 2, blkref #0: rel 1663/5/1 blk 0"));
    lost_line(report, RECORD("Transaction", "34", "740", "0/2", "ABORT 2026-11-20 21:05:12.000000 UTC"));
    lost_line(report,
              RECORD("Heap       ", "200", "742", "0/3", "INSERT off 2, blkref #0: rel 1663/5/2 blk 0"));
    lost_line(report, RECORD("Transaction", "50", "741", "0/4",
                             "COMMIT 2026-11-20 21:05:13.000000 UTC; subxacts: 742"));
    lost_line(report, RECORD("XLOG       ", "114", "0", "0/5", "CHECKPOINT_ONLINE redo 0/5"));
    lost_line(report, "pg_waldump: error: error in WAL record at 0/6");
    lost_line(report, "");
    assert_text("time=\"2026-11-20 21:05:13.000000 UTC\" xid=741 lsn=0/4 bytes=250 relations=1663/5/2\n");
    assert_int_equal(lost_totals(report).commits, 1);
}

/* The record that ends a prepared transaction is another's; the number in it counts. */
static void prepared(void **state)
{
    (void) state;
    lost_line(report,
              RECORD("Heap       ", "100", "750", "0/1", "INSERT off 2, blkref #0: rel 1663/5/7 blk 0"));
    lost_line(report,
              RECORD("Transaction", "20", "750", "0/2", "PREPARE gid a: 2026-11-20 21:05:11.000000 UTC"));
    lost_line(report,
              RECORD("Transaction", "34", "0", "0/3", "COMMIT_PREPARED 750: 2026-11-20 21:06:00.000000 UTC"));
    assert_text("time=\"2026-11-20 21:06:00.000000 UTC\" xid=750 lsn=0/3 bytes=120 relations=1663/5/7\n");
}

/* However many there are: all are counted, and the text ends somewhere and says so. */
static void bounds(void **state)
{
    char line[512];
    (void) state;

    for (unsigned xid = 3; xid < 20003; xid++) { /* more than are followed at once */
        snprintf(line, sizeof line,
                 "rmgr: Heap len (rec/tot): 54/ 100, tx: %u, lsn: 0/1, prev 0/0, desc: INSERT", xid);
        lost_line(report, line);
    }
    for (unsigned xid = 3; xid < 100003; xid++) {
        snprintf(
            line, sizeof line,
            "rmgr: Transaction len (rec/tot): 34/ 34, tx: %u, lsn: 0/1, prev 0/0, desc: COMMIT 2026-11-20 "
            "21:05:11.000000 UTC",
            xid);
        lost_line(report, line);
    }
    assert_int_equal(lost_totals(report).commits, 100000);
    const Buf *text = lost_text(report);
    assert_true(text->len < (size_t) 5 << 20);
    assert_string_equal(text->data + text->len - strlen("... and more\n"), "... and more\n");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(line, sizeof line,
                 "rmgr: Heap len (rec/tot): 54/ 1, tx: 9, lsn: 0/1, prev 0/0, desc: rel 1/1/%u blk", i);
        lost_line(report, line);
    }
}

static void times(void **state)
{
    (void) state;
    assert_true(lost_parse_time("1970-01-01 00:00:01.500000 UTC") == 1500000);
    assert_true(lost_parse_time("1970-01-01T00:00:01.500Z") > 1000000);
    assert_true(lost_parse_time("-") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(ends, setup, teardown),
        cmocka_unit_test_setup_teardown(prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds, setup, teardown),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
