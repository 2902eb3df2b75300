/*
 * resync.c: the second half of the story: a crashes with orphans, diverges and comes back; stops, starts and
 * clones.
 */
#include "pg/autoconf.h"
#include "story.h"
#include "sys/file.h"
#include "sys/proc.h"
#include "sys/programs.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* a, still running, acknowledges what the cluster will never have. */
void test_stop_orphans(void **state)
{
    pid_t pid;

    (void) state;
    assert_non_null(node_sql(&a, "INSERT INTO t VALUES (2000001, 'lost'); "));
    assert_non_null(node_sql(&a, "INSERT INTO t VALUES (2000002, 'lost')"));
    assert_non_null(node_sql(&a, "SELECT pg_switch_wal()"));
    assert_non_null(node_sql(&a, "INSERT INTO t VALUES (2000003, 'lost')"));
    void *session = node_send(&a, "SELECT pg_sleep(30)");
    loop_for(200);
    /* orphans that cannot notice: stopped */
    pid_t pids[64];
    size_t n = proc_list_in(a.data, pids, 64);
    pid_t postmaster = node_status(&a)->postmaster;
    for (size_t i = 0; i < n && i < 64; i++)
        if (pids[i] != postmaster)
            kill(pids[i], SIGSTOP);
    double killed = now_ms();
    kill(postmaster, SIGKILL);
    assert_true(node_wait(&a, is_crashed, 1000));
    printf("    crash seen after %.1f ms\n", now_ms() - killed);
    assert_true(now_ms() - killed < 100);
    assert_true(node_status(&a)->processes_left);
    loop_for(300);
    assert_true(node_status(&a)->processes_left);
    assert_true(node_do(&a, ACTION_STOP_IMMEDIATE, NULL, 3, 0, 0));
    assert_int_equal(proc_list_in(a.data, &pid, 1), 0);
    assert_true(node_wait(&a, is_clear, 1000));
    node_hang_up(session);
}

/* Opens a with programs of its own kind; NULL: the usual ones. */
static void reopen_a(const char *bin_directory, const char *config_directory)
{
    char usual[1024];
    uint16_t port = a.port;
    const char *given = getenv("PG_BIN");

    snprintf(usual, sizeof usual, "%s", given != NULL ? given : "");
    if (bin_directory != NULL)
        setenv("PG_BIN", bin_directory, 1);
    node_close(&a);
    node_open(&a, "a", port, config_directory);
    if (usual[0] != '\0')
        setenv("PG_BIN", usual, 1);
    else
        unsetenv("PG_BIN");
    assert_true(node_wait(&a, is_crashed, 5000));
}

/* Without a pg_waldump that reads this WAL nothing is known: neither "not diverged" nor "nothing to save". */
static void inspect_blindly(Lsn fork)
{
    static const char *const programs[] = {"postgres", "pg_controldata"};
    char usual[1024], directory[200], from[1100], to[300];

    assert_true(programs_find(getenv("PG_BIN"), "/nowhere", usual, sizeof usual, NULL));
    snprintf(directory, sizeof directory, "%s/bin", test_root);
    assert_true(dir_make(directory, 0700, NULL));
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", usual, programs[i]);
        snprintf(to, sizeof to, "%s/%s", directory, programs[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    reopen_a(directory, NULL);
    assert_false(node_do(&a, ACTION_INSPECT, NULL, 3, 1, fork));
    snprintf(to, sizeof to, "%s/pg_waldump", directory);
    assert_int_equal(symlink("/bin/false", to), 0);
    assert_false(node_do(&a, ACTION_INSPECT, NULL, 3, 1, fork));
    assert_false(node_do(&a, ACTION_SAVE_WAL, NULL, 3, 1, fork));
    assert_non_null(strstr(a.outcome.text, "no valid record"));
    reopen_a(NULL, NULL);
}

void test_inspect_diverged(void **state)
{
    char path[400], diverged[300];
    Buf report = {0};

    (void) state;
    Lsn fork = node_status(&b)->timeline_start;
    inspect_blindly(fork);
    assert_true(node_do(&a, ACTION_INSPECT, NULL, 3, 1, fork));
    assert_true(a.outcome.diverged);
    assert_true(a.outcome.lsn > fork);
    Lsn end = a.outcome.lsn;
    assert_true(node_do(&a, ACTION_SAVE_WAL, NULL, 3, 1, fork));
    assert_int_equal(a.outcome.bytes, end - fork);
    assert_true(a.outcome.transactions >= 3);
    snprintf(diverged, sizeof diverged, "%s", a.outcome.text);
    snprintf(path, sizeof path, "%s/report.txt", diverged);
    assert_true(file_read(path, 1 << 20, &report, NULL));
    assert_non_null(strstr(report.data, "xid="));
    assert_non_null(strstr(diverged, "_e3_t1"));
    printf("%.600s\n", report.data);
    buf_done(&report);
    /* against its own end it has not diverged */
    assert_true(node_do(&a, ACTION_INSPECT, NULL, 3, 1, end));
    assert_false(a.outcome.diverged);
    assert_int_equal(a.outcome.lsn, end);
}

void test_follower_not_diverged(void **state)
{
    (void) state;
    Lsn fork = node_status(&b)->timeline_start;
    assert_true(node_do(&c, ACTION_STOP_FAST, NULL, 3, 0, 0));
    assert_true(node_do(&c, ACTION_INSPECT, NULL, 3, 1, fork));
    assert_false(c.outcome.diverged);
    assert_true(c.outcome.lsn <= fork);
    assert_true(node_do(&c, ACTION_START_STANDBY, &b, 3, 0, 0));
    assert_true(node_wait(&c, is_streaming, 10000));
    wait_caught_up(&c, &b);
    assert_int_equal(node_status(&c)->timeline, 5);
    assert_int_equal(node_status(&c)->timeline_start, fork);
    assert_string_equal(node_sql(&c, "SELECT x FROM t WHERE i = 1000001"), "by b");
}

/* As Debian has it: postgresql.conf is not in the data directory; and WAL may be in an archive. */
static void rewind_configured_elsewhere(void)
{
    static const Setting archive = {"restore_command", "false"}, none = {"restore_command", NULL};
    char directory[200], elsewhere[300], usual[300];

    snprintf(directory, sizeof directory, "%s/a-etc", test_root);
    snprintf(elsewhere, sizeof elsewhere, "%s/postgresql.conf", directory);
    snprintf(usual, sizeof usual, "%s/postgresql.conf", a.data);
    assert_true(autoconf_write(a.data, &archive, 1, NULL, NULL));
    assert_true(dir_make(directory, 0700, NULL));
    assert_int_equal(rename(usual, elsewhere), 0);
    reopen_a(NULL, directory);
    assert_true(node_do(&a, ACTION_REWIND, &b, 3, 0, 0));
    assert_int_equal(rename(elsewhere, usual), 0);
    assert_true(autoconf_write(a.data, &none, 1, NULL, NULL));
    reopen_a(NULL, NULL);
}

/* It starts all the same, without an archive, and nothing is left of the command. */
void test_archive_hangs_at_start(void **state)
{
    Setting hang = {"restore_command", "sleep 987"}, none = {"restore_command", NULL};

    (void) state;
    assert_true(node_do(&c, ACTION_STOP_FAST, NULL, 3, 0, 0));
    assert_true(autoconf_write(c.data, &hang, 1, NULL, NULL));
    assert_true(node_do(&c, ACTION_START_STANDBY, &b, 3, 0, 0));
    assert_true(node_wait(&c, is_streaming, 10000));
    assert_int_equal(proc_signal_program("sleep", "987", 0), 0);
    assert_true(autoconf_write(c.data, &none, 1, NULL, NULL));
}

void test_rewind(void **state)
{
    char path[300];

    (void) state;
    snprintf(path, sizeof path, "%s/postgresql.conf", a.data);
    write_file(path, "# a's own line\n");
    rewind_configured_elsewhere();
    Buf text = {0};
    assert_true(file_read(path, 1 << 20, &text, NULL));
    assert_non_null(strstr(text.data, "# a's own line"));
    buf_done(&text);
    snprintf(path, sizeof path, "%s/standby.signal", a.data);
    assert_true(file_exists(path));
    assert_true(node_do(&a, ACTION_START_STANDBY, &b, 3, 0, 0));
    assert_true(node_wait(&a, is_streaming, 10000));
    wait_caught_up(&a, &b);
    assert_int_equal(node_status(&a)->timeline, 5);
    assert_int_equal(node_status(&a)->port, a.port);
    assert_string_equal(node_sql(&a, "SELECT count(*) FROM t WHERE i > 2000000"), "0");
    assert_string_equal(node_sql(&a, "SELECT x FROM t WHERE i = 1000001"), "by b");
}

void test_stop_fast(void **state)
{
    (void) state;
    node_sql(&b, "INSERT INTO t VALUES (1000002, 'before the switchover')");
    assert_true(node_do(&b, ACTION_CHECKPOINT, NULL, 3, 0, 0));
    assert_true(node_do(&b, ACTION_STOP_FAST, NULL, 3, 0, 0));
    Lsn end = b.outcome.lsn;
    assert_true(end != LSN_NONE);
    assert_int_equal(node_status(&b)->state, SERVER_STOPPED);
    loop_for(300);
    /* the standbys have exactly the shutdown checkpoint, and no byte more */
    assert_int_equal(lsn_of(node_sql(&c, "SELECT pg_last_wal_receive_lsn()")), end);
    assert_int_equal(lsn_of(node_sql(&a, "SELECT pg_last_wal_receive_lsn()")), end);
    /* whose end is not past the fork of whoever takes over */
    assert_true(node_do(&c, ACTION_FREEZE, NULL, 4, 0, 0));
    assert_true(node_do(&c, ACTION_PROMOTE, NULL, 4, 6, 0));
    printf("    promote, idle: %.1f ms\n", (double) c.outcome.duration_us / 1000);
    assert_int_equal(c.outcome.lsn, end);
    assert_int_equal(c.outcome.timeline, 6);
    assert_true(node_do(&b, ACTION_INSPECT, NULL, 4, 5, end));
    assert_false(b.outcome.diverged);
    assert_int_equal(b.outcome.lsn, end);
    assert_true(node_do(&b, ACTION_START_STANDBY, &c, 4, 0, 0));
    assert_true(node_wait(&b, is_streaming, 10000));
    assert_true(node_do(&a, ACTION_FOLLOW, &c, 4, 0, 0));
    assert_true(node_wait(&a, is_streaming, 10000));
    wait_caught_up(&a, &c);
    assert_int_equal(node_status(&a)->timeline, 6);
}

void test_stop_running(void **state)
{
    void *sessions[8];
    pid_t pid;

    (void) state;
    for (int i = 0; i < 8; i++)
        sessions[i] = node_send(&c, "SELECT pg_sleep(30)");
    loop_for(300);
    assert_true(node_do(&c, ACTION_STOP_IMMEDIATE, NULL, 4, 0, 0));
    printf("    stop immediate of a running primary: %.1f ms\n", (double) c.outcome.duration_us / 1000);
    assert_int_equal(proc_list_in(c.data, &pid, 1), 0);
    for (int i = 0; i < 8; i++)
        node_hang_up(sessions[i]);
    assert_true(node_do(&c, ACTION_START_PRIMARY, NULL, 4, 0, 0));
    assert_true(node_wait(&c, is_primary, 5000));
    assert_int_equal(node_status(&c)->timeline, 6);
}

/* A start is pushed aside by an immediate stop; nothing is left running. */
void test_push_in(void **state)
{
    pid_t pid;
    Node stop;

    (void) state;
    assert_true(node_do(&a, ACTION_STOP_IMMEDIATE, NULL, 4, 0, 0));
    node_begin(&a, ACTION_START_STANDBY, &c, 4, 0, 0);
    loop_for(5);
    stop = a;
    node_begin(&stop, ACTION_STOP_IMMEDIATE, NULL, 4, 0, 0);
    assert_true(node_end(&stop, 20000));
    assert_true(a.done);
    assert_false(a.outcome.ok);
    assert_true(a.outcome.cancelled);
    loop_for(1000);
    assert_int_equal(proc_list_in(a.data, &pid, 1), 0);
}

/* Over an existing directory: beside it and swapped; own configuration stays; broken-off copies go. */
void test_clone_over(void **state)
{
    char path[300];

    (void) state;
    snprintf(path, sizeof path, "%s.pgvigil-new", a.data);
    assert_true(dir_make(path, 0700, NULL));
    assert_true(node_do(&a, ACTION_CLONE, &c, 4, 0, 0));
    assert_false(file_exists(path));
    snprintf(path, sizeof path, "%s/postgresql.conf", a.data);
    Buf text = {0};
    assert_true(file_read(path, 1 << 20, &text, NULL));
    assert_non_null(strstr(text.data, "# a's own line"));
    buf_done(&text);
    assert_true(node_do(&a, ACTION_START_STANDBY, &c, 4, 0, 0));
    assert_true(node_wait(&a, is_streaming, 10000));
    assert_int_equal(node_status(&a)->port, a.port);
    /* a source that does not answer costs nothing */
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 4, 0, 0));
    Node nobody = {.port = 1};
    assert_false(node_do(&a, ACTION_CLONE, &nobody, 4, 0, 0));
    assert_true(node_do(&a, ACTION_START_STANDBY, &c, 4, 0, 0));
}

/* The server does not start: the outcome says what its log says. */
void test_start_fails(void **state)
{
    static const Setting bad = {"shared_buffers", "nonsense"}, none = {"shared_buffers", NULL};

    (void) state;
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 4, 0, 0));
    assert_true(autoconf_write(a.data, &bad, 1, NULL, NULL));
    assert_false(node_do(&a, ACTION_START_STANDBY, &c, 4, 0, 0));
    assert_non_null(strstr(a.outcome.text, "FATAL"));
    assert_true(autoconf_write(a.data, &none, 1, NULL, NULL));
    assert_true(node_do(&a, ACTION_START_STANDBY, &c, 4, 0, 0));
}
