/*
 * test_datadir.c: what is read from a data directory's files: postmaster.pid, kinds, signals, the control
 * file's head.
 */
#include "unit.h"

#include "pg/datadir.h"
#include "sys/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];

static void put(const char *name, const void *data, size_t len)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_true(file_write_atomic(path, data, len, 0600, NULL));
}

static int setup(void **state)
{
    (void) state;
    snprintf(directory, sizeof directory, "/tmp/pgvigil-datadir-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int teardown(void **state)
{
    (void) state;
    return !file_remove_tree(directory, NULL);
}

static void test_pidfile(void **state)
{
    PidFile f;

    (void) state;
    assert_true(datadir_parse_pidfile(
        "4711\n/data\n1700000000\n5433\n/run/pg\n*\n  5432001         7\nready   \n", &f));
    assert_int_equal(f.pid, 4711);
    assert_int_equal(f.port, 5433);
    assert_string_equal(f.socket_directory, "/run/pg");
    assert_string_equal(f.listen_address, "127.0.0.1");
    assert_int_equal(f.shm_key, 5432001);
    assert_int_equal(f.shm_id, 7);
    assert_string_equal(f.status, "ready");
    /* written line by line: what is there counts */
    assert_true(datadir_parse_pidfile("4711\n/data\n1700000000\n5433\n", &f));
    assert_int_equal(f.shm_id, -1);
    assert_string_equal(f.socket_directory, "");
    assert_true(datadir_parse_pidfile("4711\n/data\n1\n5433\n\n\n", &f));
    assert_string_equal(f.listen_address, "");
    assert_false(datadir_parse_pidfile("", &f));
    assert_false(datadir_parse_pidfile("no number\n", &f));
    assert_false(datadir_parse_pidfile("-5\n", &f)); /* a single-user server */
}

static void test_kind(void **state)
{
    char path[128];
    DatadirKind kind;

    (void) state;
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_EMPTY);
    snprintf(path, sizeof path, "%s/lost+found", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_EMPTY);
    /* A base backup that was broken off, at first in a tablespace. */
    put("pg_wal", "", 0);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_PARTIAL);
    put("something", "x", 1);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_FOREIGN);
    put("backup_label", "x", 1);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_PARTIAL);
    snprintf(path, sizeof path, "%s/pg_wal", directory);
    assert_int_equal(unlink(path), 0);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_FOREIGN);
    put("PG_VERSION", "15\n", 3);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_PARTIAL);
    snprintf(path, sizeof path, "%s/global", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    put("global/pg_control", "", 0);
    assert_true(datadir_kind(directory, &kind, NULL));
    assert_int_equal(kind, DATADIR_CLUSTER);
    snprintf(path, sizeof path, "%s/nowhere", directory);
    assert_true(datadir_kind(path, &kind, NULL));
    assert_int_equal(kind, DATADIR_EMPTY);
}

static void test_version(void **state)
{
    uint32_t major;
    Err err = {0};

    (void) state;
    put("PG_VERSION", "9.6\n", 4);
    assert_true(datadir_version(directory, &major, NULL));
    assert_int_equal(major, 9);
    put("PG_VERSION", "\n", 1);
    assert_false(datadir_version(directory, &major, &err));
    assert_true(err.text[0] != '\0');
}

static void test_control(void **state)
{
    unsigned char head[24] = {0};
    uint64_t identifier = 7710371129583559888u, read_identifier;
    uint32_t version = 1300, production = 6, read_version;
    ControlState control;
    char path[128];

    (void) state;
    snprintf(path, sizeof path, "%s/global", directory);
    mkdir(path, 0700);
    memcpy(head, &identifier, 8);
    memcpy(head + 8, &version, 4);
    memcpy(head + 16, &production, 4);
    put("global/pg_control", head, sizeof head);
    assert_true(datadir_read_control(directory, &control, &read_identifier, &read_version, NULL));
    assert_int_equal(control, CONTROL_IN_PRODUCTION);
    assert_int_equal(read_identifier, identifier);
    assert_int_equal(read_version, 1300);
    head[16] = 200;
    put("global/pg_control", head, sizeof head);
    assert_true(datadir_read_control(directory, &control, &read_identifier, &read_version, NULL));
    assert_int_equal(control, CONTROL_UNKNOWN);
    put("global/pg_control", head, 10);
    assert_false(datadir_read_control(directory, &control, &read_identifier, &read_version, NULL));
}

static void test_signals(void **state)
{
    char path[128], standby[128];

    (void) state;
    snprintf(path, sizeof path, "%s/recovery.signal", directory);
    snprintf(standby, sizeof standby, "%s/standby.signal", directory);
    put("recovery.signal", "", 0);
    assert_true(datadir_set_standby(directory, true, NULL));
    assert_true(file_exists(standby));
    assert_false(file_exists(path));
    assert_true(datadir_set_standby(directory, true, NULL));
    assert_true(datadir_set_standby(directory, false, NULL));
    assert_false(file_exists(standby));
    assert_true(datadir_set_standby(directory, false, NULL));
}

static void test_running(void **state)
{
    char text[128];
    PidFile f;
    bool running;

    (void) state;
    assert_true(datadir_read_pidfile(directory, &f, &running, NULL));
    assert_int_equal(f.pid, 0);
    assert_false(running);
    /* a live process that is no postgres: its number was used again */
    snprintf(text, sizeof text, "%d\n%s\n1\n5432\n", (int) getpid(), directory);
    put("postmaster.pid", text, strlen(text));
    assert_true(datadir_read_pidfile(directory, &f, &running, NULL));
    assert_int_equal(f.pid, getpid());
    assert_false(running);
}

static void test_owner(void **state)
{
    Err err = {0};

    (void) state;
    assert_true(datadir_check_owner(directory, NULL));
    if (geteuid() == 0) {
        assert_int_equal(chown(directory, 12345, 12345), 0);
        assert_false(datadir_check_owner(directory, &err));
        assert_non_null(strstr(err.text, "12345"));
        assert_int_equal(chown(directory, 0, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pidfile),
        cmocka_unit_test_setup_teardown(test_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_control, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
