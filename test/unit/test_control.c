/*
 * test_control.c: reading pg_controldata's output.
 */
#include "unit.h"

#include "pg/control.h"

#include <stdio.h>
#include <string.h>

static const char sample[] = "pg_control version number:            1300\n"
                             "Catalog version number:               202209061\n"
                             "Database system identifier:           7710371129583559888\n"
                             "Database cluster state:               shut down in recovery\n"
                             "pg_control last modified:             Fri Nov 20 21:05:11 2026\n"
                             "Latest checkpoint location:           0/3000060\n"
                             "Latest checkpoint's REDO location:    0/3000028\n"
                             "Latest checkpoint's REDO WAL file:    000000010000000000000003\n"
                             "Latest checkpoint's TimeLineID:       2\n"
                             "Latest checkpoint's PrevTimeLineID:   1\n"
                             "Latest checkpoint's full_page_writes: on\n"
                             "Minimum recovery ending location:     1/3000148\n"
                             "Min recovery ending loc's timeline:   2\n"
                             "wal_level setting:                    replica\n"
                             "wal_log_hints setting:                off\n"
                             "max_connections setting:              100\n"
                             "max_worker_processes setting:         8\n"
                             "max_wal_senders setting:              10\n"
                             "max_prepared_xacts setting:           0\n"
                             "max_locks_per_xact setting:           64\n"
                             "WAL block size:                       8192\n"
                             "Bytes per WAL segment:                16777216\n"
                             "Data page checksum version:           1\n";

static void test_parse(void **state)
{
    ControlData d;
    Err err = {0};

    (void) state;
    assert_true(control_parse(sample, &d, &err));
    assert_int_equal(d.state, CONTROL_SHUT_DOWN_IN_RECOVERY);
    assert_true(control_is_clean(d.state));
    assert_int_equal(d.system_identifier, 7710371129583559888u);
    assert_int_equal(d.checkpoint, 0x3000060);
    assert_int_equal(d.timeline, 2);
    assert_int_equal(d.min_recovery, 0x103000148);
    assert_int_equal(d.min_recovery_timeline, 2);
    assert_true(d.checksums);
    assert_false(d.wal_log_hints);
    assert_int_equal(d.wal_segment_size, 16777216);
    assert_int_equal(d.max_connections, 100);
    assert_int_equal(d.max_worker_processes, 8);
    assert_int_equal(d.max_wal_senders, 10);
    assert_int_equal(d.max_prepared_transactions, 0);
    assert_int_equal(d.max_locks_per_transaction, 64);
}

/* Cut anywhere it must be refused: a half-read control file decides about rewinding. */
static void test_cut(void **state)
{
    char text[sizeof sample];
    ControlData d;
    Err err;

    (void) state;
    for (size_t len = 0; len + 2 < sizeof sample - 1; len++) {
        memcpy(text, sample, len);
        text[len] = '\0';
        assert_false(control_parse(text, &d, &err));
    }
}

static void test_nonsense(void **state)
{
    static const char *const wrong[][2] = {{"0/3000060", "0-3000060"},
                                           {"16777216", "16777215"},
                                           {"shut down in recovery", "heruntergefahren"},
                                           {"              2\n", "      4294967296\n"}};
    char text[sizeof sample + 64];
    ControlData d;
    Err err = {0};

    (void) state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *at = strstr(sample, wrong[i][0]);
        if (at == NULL)
            continue;
        snprintf(text, sizeof text, "%.*s%s%s", (int) (at - sample), sample, wrong[i][1],
                 at + strlen(wrong[i][0]));
        assert_false(control_parse(text, &d, &err));
        assert_non_null(strstr(err.text, "pg_controldata"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
