/*
 * test_actions.c: the poller and the actions against real servers, as one story of three nodes.
 *
 * The tests build on each other in order: a is made, b and c are cloned, b takes over, a diverges and comes
 * back. Without PostgreSQL's programs it fails: it must never look as if it had passed.
 */
#include "action/slots.h"
#include "pg/autoconf.h"
#include "pg/timeline.h"
#include "story.h"
#include "sys/file.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

Node a, b, c;

bool is_streaming(const Node *n)
{
    return node_status(n)->state == SERVER_STANDBY && node_status(n)->streaming;
}

bool is_primary(const Node *n)
{
    return node_status(n)->state == SERVER_PRIMARY;
}

bool is_empty(const Node *n)
{
    return node_status(n)->state == SERVER_EMPTY;
}

bool is_crashed(const Node *n)
{
    return node_status(n)->state == SERVER_CRASHED;
}

bool is_clear(const Node *n)
{
    return node_status(n)->postmaster == 0 && !node_status(n)->processes_left;
}

bool is_known_standby(const Node *n)
{
    return node_status(n)->state == SERVER_STANDBY && node_status(n)->position_known;
}

Lsn lsn_of(const char *text)
{
    Lsn lsn = LSN_NONE;

    assert_non_null(text);
    assert_true(lsn_parse(text, &lsn));
    return lsn;
}

void wait_caught_up(Node *standby, Node *primary)
{
    Lsn target = lsn_of(node_sql(primary, "SELECT pg_current_wal_flush_lsn()"));

    for (int i = 0; i < 500; i++) {
        if (node_status(standby)->replay_lsn >= target)
            return;
        loop_for(20);
    }
    fail_msg("%s did not catch up", standby->name);
}

void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "a");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_create(void **state)
{
    char path[300], text[300];

    (void) state;
    assert_true(node_wait(&a, is_empty, 5000));
    assert_true(node_do(&a, ACTION_INITDB, NULL, 0, 0, 0));
    snprintf(path, sizeof path, "%s/postgresql.conf", a.data);
    snprintf(text, sizeof text,
             "unix_socket_directories = '%s'\nmax_standby_streaming_delay = 30s\nautovacuum = off\n",
             test_root);
    write_file(path, text);
    assert_true(node_do(&a, ACTION_START_PRIMARY, NULL, 1, 0, 0));
    const PgStatus *s = node_status(&a);
    assert_int_equal(s->state, SERVER_PRIMARY);
    assert_true(s->responsive);
    assert_true(s->can_rewind);
    assert_int_equal(s->timeline, 1);
    assert_int_equal(s->port, a.port);
    assert_false(s->restart_after_crash);
    assert_true(s->lsn > 0);
    assert_true(s->oldest_lsn > 0 && s->oldest_lsn <= s->lsn);
    assert_true(s->system_identifier != 0);
    assert_string_equal(node_sql(&a, "SHOW wal_log_hints"), "on");
    assert_non_null(
        node_sql(&a, "CREATE TABLE t (i int PRIMARY KEY, x text); INSERT INTO t SELECT g, repeat('x', 500) "
                     "FROM generate_series(1, 100000) g"));
}

static void test_busy(void **state)
{
    (void) state;
    node_begin(&a, ACTION_CHECKPOINT, NULL, 1, 0, 0);
    ActionRequest second = {.id = 99, .kind = ACTION_RELOAD};
    Node other = a;
    other.done = false;
    (void) second;
    node_begin(&other, ACTION_RELOAD, NULL, 1, 0, 0); /* the same actions, another place for the outcome */
    assert_false(other.done);
    assert_false(node_end(&other, 5000));
    assert_non_null(strstr(other.outcome.text, "another action"));
    assert_true(node_end(&a, 20000));
}

/* As the agent does: again and again, for a call that finds the server busy or away does nothing. */
static void keep_slots_until(Node *n, const SlotsMember *members, size_t count, const char *sql,
                             const char *expected)
{
    for (int i = 0; i < 100; i++) {
        slots_maintain(n->actions, members, count);
        loop_for(100);
        const char *there = node_sql(n, sql);
        if (there != NULL && strcmp(there, expected) == 0)
            return;
    }
    fail_msg("the slots of %s are not as they should be: %s is not %s", n->name, sql, expected);
}

static void keep_slots(Node *n, const SlotsMember *members, size_t count, const char *expected)
{
    keep_slots_until(n, members, count,
                     "SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL", expected);
}

static bool has_two_standbys(const Node *n)
{
    return node_status(n)->standby_count == 2;
}

static void test_clone(void **state)
{
    SlotsMember members[] = {{"a", true, 0}, {"b", false, 0}, {"c", false, 0}};
    int percentages = 0;

    (void) state;
    keep_slots(&a, members, 3, "2");
    assert_true(node_do(&b, ACTION_CLONE, &a, 1, 0, 0));
    for (int i = 0; i <= 100; i++)
        percentages += b.progress_seen[i];
    assert_true(percentages >= 2); /* 0 and some later one */
    assert_true(node_do(&b, ACTION_START_STANDBY, &a, 1, 0, 0));
    assert_true(node_wait(&b, is_streaming, 10000));
    assert_true(node_do(&c, ACTION_CLONE, &a, 1, 0, 0));
    assert_true(node_do(&c, ACTION_START_STANDBY, &a, 1, 0, 0));
    assert_true(node_wait(&c, is_streaming, 10000));
    const PgStatus *s = node_status(&b);
    assert_string_equal(s->upstream.application_name, "b_e1");
    assert_string_equal(s->upstream.host, "127.0.0.1");
    assert_int_equal(s->upstream.port, a.port);
    assert_string_equal(s->slot, "pgvigil_b");
    assert_true(s->position_known);
    assert_int_equal(s->port, b.port);
    assert_true(node_wait(&a, has_two_standbys, 10000));
}

static void test_slots(void **state)
{
    SlotsMember members[] = {{"a", true, 0}, {"b", false, 0}, {"c", false, 0}};
    char name[PG_NAME_LEN], other[PG_NAME_LEN], sql[200];

    (void) state;
    slots_name("pg-1", name);
    slots_name("pg_1", other);
    assert_string_not_equal(name, other);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
    assert_string_equal(node_sql(&a, "SELECT count(*) FROM pg_replication_slots WHERE active"), "2");
    /* that of a member that is gone, that of this one, and two of an operator's */
    SlotsMember more[] = {{"a", true, 0}, {"b", false, 0}, {"c", false, 0}, {"gone", false, 0}};
    keep_slots(&a, more, 4, "3");
    node_close(&a); /* an agent that comes back knows which it has kept */
    node_open(&a, "a", a.port, NULL);
    assert_true(node_wait(&a, is_primary, 10000));
    node_sql(&a, "SELECT pg_create_physical_replication_slot('pgvigil_a')");
    node_sql(&a, "SELECT pg_create_physical_replication_slot('pgvigil_backup')");
    node_sql(&a, "SELECT pg_create_physical_replication_slot('somebody_elses')");
    keep_slots_until(&a, members, 3,
                     "SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ 'pgvigil_(gone|a)'", "0");
    assert_string_equal(
        node_sql(&a, "SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ 'somebody_elses|_backup'"),
        "2");
    node_sql(&a, "SELECT pg_drop_replication_slot('somebody_elses')");
    node_sql(&a, "SELECT pg_drop_replication_slot('pgvigil_backup')");
    /* a standby keeps one for the others and moves it */
    wait_caught_up(&b, &a);
    SlotsMember from_b[] = {{"a", false, 0}, {"b", true, 0}, {"c", false, node_status(&b)->replay_lsn}};
    keep_slots(&b, from_b, 3, "2");
    SlotsMember from_c[] = {{"a", false, 0}, {"b", false, 0}, {"c", true, 0}};
    keep_slots(&c, from_c, 3, "2");
    node_sql(&a, "UPDATE t SET x = repeat('y', 400)");
    wait_caught_up(&b, &a);
    Lsn before =
        lsn_of(node_sql(&b, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'pgvigil_c'"));
    from_b[2].lsn = node_status(&b)->replay_lsn;
    snprintf(sql, sizeof sql,
             "SELECT restart_lsn > '%X/%X' FROM pg_replication_slots WHERE slot_name = 'pgvigil_c'",
             (unsigned) (before >> 32), (unsigned) before);
    keep_slots_until(&b, from_b, 3, sql, "t");
}

/* A walreceiver does not come back, and the position stands still while the primary writes on. */
static void assert_frozen(Node *n)
{
    char value[AUTOCONF_VALUE_LEN];
    bool found;

    node_sql(&a, "INSERT INTO t SELECT coalesce(max(i), 0) + 1, 'later' FROM t");
    loop_for(400);
    assert_string_equal(
        node_sql(n, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'"), "0");
    assert_int_equal(
        lsn_of(node_sql(n, "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())")),
        n->outcome.lsn);
    assert_true(autoconf_read(n->data, "primary_conninfo", value, sizeof value, &found, NULL));
    assert_true(found);
    assert_string_equal(value, "");
}

static void test_freeze(void **state)
{
    double total = 0;

    (void) state;
    for (int i = 0; i < 5; i++) {
        assert_true(node_do(&b, ACTION_FOLLOW, &a, 1, 0, 0));
        assert_true(node_wait(&b, is_streaming, 5000));
        wait_caught_up(&b, &a);
        Lsn written = lsn_of(node_sql(&a, "SELECT pg_current_wal_flush_lsn()"));
        assert_true(node_do(&b, ACTION_FREEZE, NULL, 1, 0, 0));
        total += (double) b.outcome.duration_us / 1000;
        assert_int_equal(b.outcome.timeline, 1);
        assert_true(b.outcome.lsn >= written);
        assert_frozen(&b);
    }
    printf("    freeze, mean of 5: %.1f ms\n", total / 5);
    /* once more on what is frozen already, and on what is no standby */
    Lsn before = b.outcome.lsn;
    assert_true(node_do(&b, ACTION_FREEZE, NULL, 1, 0, 0));
    assert_int_equal(b.outcome.lsn, before);
    assert_false(node_do(&a, ACTION_FREEZE, NULL, 1, 0, 0));
    assert_true(node_do(&b, ACTION_FOLLOW, &a, 2, 0, 0));
    assert_true(node_wait(&b, is_streaming, 3000)); /* not only when the startup process has slept enough */
    assert_string_equal(node_status(&b)->upstream.application_name, "b_e2");
}

/* Begins a recovery conflict on the standby: a snapshot there, dead rows vacuumed away on the primary. */
static void *begin_conflict(Node *standby)
{
    static int round;
    int held = 0;
    char sql[80];
    void *reader = node_send(
        standby, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t; SELECT pg_sleep(60)");

    loop_for(500);
    snprintf(sql, sizeof sql, "DELETE FROM t WHERE i %% 10 = %d", round++);
    node_sql(&a, sql);
    node_sql(&a, "VACUUM t");
    /* Replay stands still behind what was received. (12 does not name the conflict as what is waited for.) */
    for (int i = 0; i < 250 && held < 10; i++) {
        loop_for(20);
        const char *behind =
            node_sql(standby, "SELECT pg_last_wal_receive_lsn() <> pg_last_wal_replay_lsn()");
        held = behind != NULL && behind[0] == 't' ? held + 1 : 0;
    }
    if (held == 10)
        return reader;
    fail_msg("no recovery conflict came about");
    return reader;
}

static void test_freeze_in_conflict(void **state)
{
    (void) state;
    void *reader = begin_conflict(&b);
    Lsn written = lsn_of(node_sql(&a, "SELECT pg_current_wal_flush_lsn()"));
    loop_for(100);
    assert_true(node_do(&b, ACTION_FREEZE, NULL, 2, 0, 0));
    if (node_status(&b)->server_version >= 130000) { /* 12 is restarted, which ends the reader */
        assert_true(b.outcome.duration_us < 1000000);
        assert_true(node_status(&b)->replay_lsn < b.outcome.lsn);
    }
    assert_true(b.outcome.lsn >= written);
    assert_frozen(&b);
    /* and a walreceiver does not come back when the conflict is over */
    node_hang_up(reader);
    node_sql(
        &b, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'active' AND pid <> "
            "pg_backend_pid()");
    loop_for(500);
    assert_frozen(&b);
    assert_true(node_do(&b, ACTION_FOLLOW, &a, 2, 0, 0));
    assert_true(node_wait(&b, is_streaming, 10000));
}

static void test_restarted_standby(void **state)
{
    (void) state;
    wait_caught_up(&b, &a);
    Lsn lsn = node_status(&b)->lsn;
    assert_true(node_do(&b, ACTION_RESTART_STANDBY, NULL, 2, 0, 0));
    assert_true(node_wait(&b, is_known_standby, 10000));
    assert_true(node_status(&b)->lsn >= lsn);
    assert_string_equal(node_status(&b)->upstream.application_name, "b_e2");
    assert_true(node_wait(&b, is_streaming, 10000));
    /* frozen right after a start without an upstream: the position is still the whole one */
    assert_true(node_do(&b, ACTION_STOP_FAST, NULL, 2, 0, 0));
    assert_true(node_do(&b, ACTION_START_STANDBY, NULL, 2, 0, 0));
    assert_true(node_do(&b, ACTION_FREEZE, NULL, 2, 0, 0));
    assert_true(b.outcome.lsn >= lsn);
    assert_true(node_do(&b, ACTION_FOLLOW, &a, 2, 0, 0));
    assert_true(node_wait(&b, is_streaming, 10000));
}

static void test_too_many_connections(void **state)
{
    void *held[120];
    int n = 0;

    (void) state;
    /* all of a's slots taken, the reserved ones too; the poller's own connection is cut */
    for (; n < 105; n++)
        held[n] = node_send(&a, "SELECT 1");
    loop_for(800);
    assert_int_equal(node_status(&a)->state, SERVER_PRIMARY);
    assert_true(node_status(&a)->responsive);
    for (int i = 0; i < n; i++)
        node_hang_up(held[i]);
    loop_for(800);
    assert_true(node_status(&a)->responsive);
}

static bool is_unresponsive(const Node *n)
{
    return node_status(n)->state == SERVER_PRIMARY && !node_status(n)->responsive;
}

static bool is_responsive(const Node *n)
{
    return node_status(n)->state == SERVER_PRIMARY && node_status(n)->responsive;
}

/* A live old connection must not hide a postmaster that takes no new ones. */
static void test_postmaster_stopped(void **state)
{
    pid_t postmaster = node_status(&a)->postmaster;

    (void) state;
    assert_true(postmaster > 1);
    kill(postmaster, SIGSTOP);
    bool noticed = node_wait(&a, is_unresponsive, 5000);
    kill(postmaster, SIGCONT);
    assert_true(noticed);
    assert_true(node_wait(&a, is_responsive, 5000));
}

static void test_promote(void **state)
{
    char path[300];

    (void) state;
    /* somebody reads on b while it replays, b is ahead of nobody, and 2 to 4 are claimed elsewhere */
    assert_true(node_do(&c, ACTION_FREEZE, NULL, 2, 0, 0));
    void *reader = begin_conflict(&b);
    loop_for(100);
    assert_true(node_do(&b, ACTION_FREEZE, NULL, 3, 0, 0));
    Lsn frozen = b.outcome.lsn;
    assert_true(node_do(&b, ACTION_PROMOTE, NULL, 3, 5, 0));
    printf("    promote in a conflict: %.1f ms\n", (double) b.outcome.duration_us / 1000);
    assert_true(b.outcome.duration_us < 5000000);
    node_hang_up(reader);
    assert_int_equal(b.outcome.timeline, 5);
    /* the frozen position may hold the beginning of a record whose end never came */
    assert_true(b.outcome.lsn <= frozen && frozen - b.outcome.lsn < 16384);
    assert_int_equal(node_status(&b)->state, SERVER_PRIMARY);
    assert_int_equal(node_status(&b)->timeline, 5);
    assert_int_equal(node_status(&b)->timeline_start, b.outcome.lsn);
    for (int n = 2; n < 5; n++) {
        snprintf(path, sizeof path, "%s/pg_wal/%08X.history", b.data, n);
        assert_true(file_exists(path)); /* followers ask for each of them */
    }
    TimelineEntry entries[8];
    int count;
    assert_true(timeline_read(b.data, 5, entries, 8, &count, NULL));
    assert_int_equal(count, 1);
    assert_int_equal(entries[0].timeline, 1);
    assert_non_null(node_sql(&b, "INSERT INTO t VALUES (1000001, 'by b')"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_freeze_in_conflict),
        cmocka_unit_test(test_restarted_standby),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_postmaster_stopped),
        cmocka_unit_test(test_promote),
        cmocka_unit_test(test_stop_orphans),
        cmocka_unit_test(test_inspect_diverged),
        cmocka_unit_test(test_follower_not_diverged),
        cmocka_unit_test(test_archive_hangs_at_start),
        cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_stop_fast),
        cmocka_unit_test(test_stop_running),
        cmocka_unit_test(test_push_in),
        cmocka_unit_test(test_clone_over),
        cmocka_unit_test(test_start_fails),
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    servers_begin();
    node_open(&a, "a", free_port(), NULL);
    node_open(&b, "b", free_port(), NULL);
    node_open(&c, "c", free_port(), NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    node_close(&a);
    node_close(&b);
    node_close(&c);
    servers_end();
    return failed != 0;
}
