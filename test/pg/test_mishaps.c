/*
 * test_mishaps.c: the poller and the actions where somebody else meddles with the server: its files, its
 * sockets, its configuration.
 *
 * One server, made by the first test; each test leaves it running as a primary.
 */
#include "pg/autoconf.h"
#include "server.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OPEN_CATALOG "SET allow_system_table_mods = on; "

static Node a;

static bool is_empty(const Node *n)
{
    return node_status(n)->state == SERVER_EMPTY;
}

static bool is_primary(const Node *n)
{
    const PgStatus *s = node_status(n);

    return s->state == SERVER_PRIMARY && s->responsive && s->problem[0] == '\0';
}

static bool is_down(const Node *n)
{
    return node_status(n)->postmaster == 0 && !node_status(n)->processes_left;
}

static bool has_problem(const Node *n)
{
    return strstr(node_status(n)->problem, "pg_hba.conf") != NULL;
}

/* A path below the data directory, in one of two buffers. */
static const char *in_data(const char *name)
{
    static char path[2][400];
    static int next;
    char *at = path[next++ % 2];

    snprintf(at, sizeof path[0], "%s/%s", a.data, name);
    return at;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void read_text(const char *path, char *ret_text, size_t size)
{
    Buf text = {0};

    assert_true(file_read(path, 1 << 20, &text, NULL));
    assert_true(text.len < size);
    snprintf(ret_text, size, "%s", text.data != NULL ? text.data : "");
    buf_done(&text);
}

static void test_create(void **state)
{
    char text[400];

    (void) state;
    assert_true(node_wait(&a, is_empty, 5000));
    assert_true(node_do(&a, ACTION_INITDB, NULL, 0, 0, 0));
    snprintf(text, sizeof text, "unix_socket_directories = '%s'\nautovacuum = off\n", test_root);
    write_text(in_data("postgresql.conf"), text);
    write_text(in_data("pg_hba.conf"), "local all all trust\n");
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

/* ---- Connections ---- */

/* Nobody is let in over TCP: a socket that was away for a while must be tried again. */
static void test_socket_comes_back(void **state)
{
    char path[200], away[210];

    (void) state;
    snprintf(path, sizeof path, "%s/.s.PGSQL.%u", test_root, (unsigned) a.port);
    snprintf(away, sizeof away, "%s.away", path);
    void *killer = node_send(&a, "SELECT pg_sleep(0.3), count(pg_terminate_backend(pid))"
                                 " FROM pg_stat_activity WHERE application_name = 'pgvigil'");
    assert_int_equal(rename(path, away), 0);
    bool refused = node_wait(&a, has_problem, 10000);
    loop_for(500);
    assert_int_equal(rename(away, path), 0);
    node_hang_up(killer);
    assert_true(refused);
    assert_true(node_wait(&a, is_primary, 10000));
}

static bool is_refused(const Node *n)
{
    return node_status(n)->state == SERVER_STARTING && has_problem(n);
}

/* postmaster.pid is written line by line: the listen address comes before the socket. */
static void test_half_written_pidfile(void **state)
{
    char whole[2000], half[2000] = "";
    const char *rest = whole;
    uint16_t port = a.port;

    (void) state;
    read_text(in_data("postmaster.pid"), whole, sizeof whole);
    for (int line = 1; line <= 6; line++) {
        size_t len = strcspn(rest, "\n") + 1;
        if (line == 5)
            strcat(half, "\n");
        else
            strncat(half, rest, len);
        rest += len;
    }
    node_close(&a);
    write_text(in_data("postmaster.pid"), half);
    node_open(&a, "a", port, NULL);
    bool refused = node_wait(&a, is_refused, 10000);
    write_text(in_data("postmaster.pid"), whole);
    assert_true(refused);
    assert_true(node_wait(&a, is_primary, 10000));
}

/* ---- Its configuration ---- */

/* Puts a file's text in place for a moment: an order is to fail with that text, and the server to live. */
static void order_fails(ActionKind kind, const char *name, const char *text, const char *error)
{
    char whole[65536], changed[70000];
    pid_t postmaster = node_status(&a)->postmaster;

    read_text(in_data(name), whole, sizeof whole);
    snprintf(changed, sizeof changed, "%s%s", whole, text);
    write_text(in_data(name), changed);
    a.asked = true;
    bool done = node_do(&a, kind, NULL, 1, 0, 0);
    write_text(in_data(name), whole);
    assert_false(done);
    assert_non_null(strstr(a.outcome.text, error));
    assert_non_null(strstr(a.outcome.text, name));
    assert_int_equal(node_status(&a)->postmaster, postmaster);
    assert_true(proc_is_alive(postmaster));
    a.asked = false;
}

static void order_succeeds(ActionKind kind)
{
    a.asked = true;
    assert_true(node_do(&a, kind, NULL, 1, 0, 0));
    a.asked = false;
}

static void test_reload_with_errors(void **state)
{
    static const char restarts[] = "max_connections = 77\nport = 1\n";
    char whole[65536], changed[70000];

    (void) state;
    order_fails(ACTION_RELOAD, "postgresql.conf", "\nwrok_mem = 4MB\n", "wrok_mem");
    order_fails(ACTION_RELOAD, "postgresql.conf", "\nwork_mem = 4XB\n", "work_mem = 4XB");
    order_fails(ACTION_RELOAD, "postgresql.conf", "\nwork_mem == 4\n", "line ");
    order_fails(ACTION_RELOAD, "pg_hba.conf", "\nlocal all all trsut\n", "trsut");
    /* what has to wait for a restart is no error, and neither what nobody asked for */
    read_text(in_data("postgresql.conf"), whole, sizeof whole);
    snprintf(changed, sizeof changed, "%s\n%s", whole, restarts);
    write_text(in_data("postgresql.conf"), changed);
    order_succeeds(ACTION_RELOAD);
    order_succeeds(ACTION_RELOAD);
    write_text(in_data("postgresql.conf"), whole);
    order_succeeds(ACTION_RELOAD);
    snprintf(changed, sizeof changed, "%s\nwrok_mem = 4MB\n", whole);
    write_text(in_data("postgresql.conf"), changed);
    assert_true(node_do(&a, ACTION_RELOAD, NULL, 1, 0, 0));
    write_text(in_data("postgresql.conf"), whole);
    order_succeeds(ACTION_RELOAD);
}

/* A server that runs is worth more than one that cannot start. */
static void test_restart_refused(void **state)
{
    (void) state;
    order_fails(ACTION_STOP_FAST, "postgresql.conf", "\nshared_buffers = lots\n", "shared_buffers");
    order_fails(ACTION_STOP_FAST, "pg_hba.conf", "\nlocal all all trsut\n", "trsut");
    order_fails(ACTION_RESTART_STANDBY, "postgresql.conf", "\nshared_buffers = lots\n", "shared_buffers");
    /* what may not be asked tells nothing: the program does */
    assert_non_null(node_sql(&a, OPEN_CATALOG "ALTER VIEW pg_file_settings RENAME TO pg_away"));
    order_fails(ACTION_STOP_FAST, "postgresql.conf", "\nwrok_mem = 4MB\n", "wrok_mem");
    assert_non_null(node_sql(&a, OPEN_CATALOG "ALTER VIEW pg_away RENAME TO pg_file_settings"));
    order_succeeds(ACTION_STOP_FAST);
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

/* What it says goes to files of its own by then. */
static void test_start_fails_with_collector(void **state)
{
    char whole[65536], changed[70000], hba[2000];

    (void) state;
    read_text(in_data("postgresql.conf"), whole, sizeof whole);
    read_text(in_data("pg_hba.conf"), hba, sizeof hba);
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 1, 0, 0));
    write_text(in_data("pg_hba.conf"), "local all all trsut\n");
    for (int csv = 0; csv < 2; csv++) {
        snprintf(changed, sizeof changed, "%s\nlogging_collector = on\nlog_destination = %s\n", whole,
                 csv ? "csvlog" : "stderr");
        write_text(in_data("postgresql.conf"), changed);
        assert_false(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
        assert_non_null(strstr(a.outcome.text, "pg_hba.conf"));
        assert_non_null(strstr(a.outcome.text, "FATAL"));
    }
    write_text(in_data("postgresql.conf"), whole);
    write_text(in_data("pg_hba.conf"), hba);
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

/* Replaces the process id that a lock file begins with. */
static void change_pid(const char *path, pid_t pid)
{
    char whole[2000], changed[2100];

    read_text(path, whole, sizeof whole);
    const char *rest = strchr(whole, '\n');
    assert_non_null(rest);
    snprintf(changed, sizeof changed, "%ld%s", (long) pid, rest);
    write_text(path, changed);
}

/* A killed server whose parent does not wait for it: its number can still be signalled. */
static void test_zombie(void **state)
{
    char lock[200];

    (void) state;
    pid_t zombie = fork();
    if (zombie == 0)
        _exit(0);
    for (int i = 0; i < 500 && proc_is_alive(zombie); i++)
        usleep(10000);
    assert_false(proc_is_alive(zombie));
    assert_int_equal(kill(zombie, 0), 0);
    kill(node_status(&a)->postmaster, SIGKILL);
    assert_true(node_wait(&a, is_down, 10000));
    snprintf(lock, sizeof lock, "%s/.s.PGSQL.%u.lock", test_root, (unsigned) a.port);
    change_pid(lock, zombie);
    change_pid(in_data("postmaster.pid"), zombie);
    bool started = node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0);
    waitpid(zombie, NULL, 0);
    assert_true(started);
    assert_true(node_wait(&a, is_primary, 10000));
}

static bool is_standby(const Node *n)
{
    return node_status(n)->state == SERVER_STANDBY && node_status(n)->responsive;
}

static bool follows_nobody(const Node *n)
{
    return node_status(n)->state == SERVER_STANDBY && node_status(n)->upstream.host[0] == '\0';
}

/* How an operator wants the connection made stays, over a time without an upstream too. */
static void test_conninfo_kept(void **state)
{
    static const Setting theirs = {
        "primary_conninfo", "host=10.0.0.9 user=x sslmode=prefer keepalives_idle=7 sslrootcert='/my ca.pem'"};
    Node upstream = {.port = 1};
    char value[AUTOCONF_VALUE_LEN];
    bool found;

    (void) state;
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 1, 0, 0));
    assert_true(autoconf_write(a.data, &theirs, 1, NULL, NULL));
    assert_true(node_do(&a, ACTION_START_STANDBY, NULL, 1, 0, 0)); /* which follows nobody */
    assert_true(node_wait(&a, follows_nobody, 10000));
    assert_true(node_do(&a, ACTION_FOLLOW, &upstream, 2, 0, 0));
    assert_true(autoconf_read(a.data, "primary_conninfo", value, sizeof value, &found, NULL));
    assert_non_null(strstr(value, "sslmode=prefer keepalives_idle=7 sslrootcert='/my ca.pem'"));
    assert_non_null(strstr(value, "host=127.0.0.1 port=1 "));
    assert_null(strstr(value, "10.0.0.9"));
    assert_int_equal(node_status(&a)->upstream.port, 1);
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 1, 0, 0));
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

/* The server's answer is no, and it is handed on: nobody waits for what was not begun. */
static void test_promotion_refused(void **state)
{
    (void) state;
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 1, 0, 0));
    assert_true(node_do(&a, ACTION_START_STANDBY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_standby, 10000));
    assert_int_equal(chmod(a.data, 0500), 0);
    assert_false(node_do(&a, ACTION_PROMOTE, NULL, 1, 0, 0));
    assert_int_equal(chmod(a.data, 0700), 0);
    assert_non_null(strstr(a.outcome.text, "Permission denied"));
    assert_true(a.outcome.duration_us < 20000000);
    assert_true(node_do(&a, ACTION_PROMOTE, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

static bool says_no(void *arg)
{
    ++*(int *) arg;
    return false;
}

/* The agent was frozen in the middle, and thaws when its lease is gone. */
static void test_no_lease_any_more(void **state)
{
    static int asked;

    (void) state;
    actions_set_permit(a.actions, says_no, &asked);
    assert_true(node_do(&a, ACTION_STOP_FAST, NULL, 1, 0, 0));
    assert_false(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_non_null(strstr(a.outcome.text, "lease"));
    assert_true(node_wait(&a, is_down, 5000));
    assert_true(node_do(&a, ACTION_START_STANDBY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_standby, 10000));
    assert_false(node_do(&a, ACTION_PROMOTE, NULL, 1, 0, 0));
    assert_non_null(strstr(a.outcome.text, "lease"));
    assert_string_equal(node_sql(&a, "SELECT pg_is_in_recovery()"), "t");
    assert_int_equal(asked, 2);
    actions_set_permit(a.actions, NULL, NULL);
    assert_true(node_do(&a, ACTION_PROMOTE, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

/* ---- The directory ---- */

static bool has_orphans(const Node *n)
{
    return node_status(n)->postmaster == 0 && node_status(n)->processes_left;
}

/* What says that it has ended the server has done so, though nothing is where it was. */
static void test_moved_directory(void **state)
{
    char moved[300];
    pid_t postmaster = node_status(&a)->postmaster, pid;

    (void) state;
    snprintf(moved, sizeof moved, "%s.moved", a.data);
    assert_int_equal(rename(a.data, moved), 0);
    bool stopped = node_do(&a, ACTION_STOP_IMMEDIATE, NULL, 1, 0, 0);
    bool alive = proc_is_alive(postmaster) || proc_list_in(moved, &pid, 1) > 0;
    proc_signal_in(moved, SIGKILL);
    assert_int_equal(rename(moved, a.data), 0);
    assert_true(stopped);
    assert_false(alive);
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_primary, 10000));
}

static bool is_stuck(const Node *n)
{
    return node_status(n)->disk_stuck && strstr(node_status(n)->problem, "pg_control") != NULL;
}

/* A server whose files were taken away goes on answering: that must not look healthy. */
static void test_emptied_directory(void **state)
{
    char away[300];

    (void) state;
    snprintf(away, sizeof away, "%s.control", a.data);
    assert_int_equal(rename(in_data("global/pg_control"), away), 0);
    bool noticed = node_wait(&a, is_stuck, 10000);
    assert_int_equal(rename(away, in_data("global/pg_control")), 0);
    assert_true(noticed);
    assert_true(node_wait(&a, is_primary, 10000));
    assert_false(node_status(&a)->disk_stuck);
}

/* The last test: nothing is left of it. Orphans too are found. */
static void test_removed_directory(void **state)
{
    pid_t postmaster = node_status(&a)->postmaster, pids[64];

    (void) state;
    size_t count = proc_list_in(a.data, pids, 64);
    assert_true(count > 2 && count <= 64);
    for (size_t i = 0; i < count; i++)
        if (pids[i] != postmaster)
            kill(pids[i], SIGSTOP);
    assert_true(file_remove_tree(a.data, NULL));
    kill(postmaster, SIGKILL);
    assert_true(node_wait(&a, has_orphans, 5000));
    loop_for(300);
    assert_true(has_orphans(&a));
    assert_true(node_do(&a, ACTION_STOP_IMMEDIATE, NULL, 1, 0, 0));
    assert_true(node_wait(&a, is_down, 5000));
    for (size_t i = 0, tries = 0; i < count && tries < 500; tries++)
        if (proc_is_alive(pids[i]))
            usleep(10000); /* it ends: it no longer has a program, but is no zombie yet */
        else
            i++;
    for (size_t i = 0; i < count; i++)
        assert_false(proc_is_alive(pids[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_socket_comes_back),
        cmocka_unit_test(test_half_written_pidfile),
        cmocka_unit_test(test_reload_with_errors),
        cmocka_unit_test(test_restart_refused),
        cmocka_unit_test(test_start_fails_with_collector),
        cmocka_unit_test(test_zombie),
        cmocka_unit_test(test_conninfo_kept),
        cmocka_unit_test(test_promotion_refused),
        cmocka_unit_test(test_no_lease_any_more),
        cmocka_unit_test(test_moved_directory),
        cmocka_unit_test(test_emptied_directory),
        cmocka_unit_test(test_removed_directory),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    servers_begin();
    node_open(&a, "a", free_port(), NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    node_close(&a);
    servers_end();
    return failed != 0;
}
