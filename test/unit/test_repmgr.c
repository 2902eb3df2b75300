/*
 * test_repmgr.c: repmgr's output as it was recorded, and repmgrwatch's decision as a table of cases.
 */
#include "unit.h"

#include "base/types.h"
#include "front/decide.h"
#include "front/repmgr.h"
#include "front/status_parts.h"

#include <string.h>

static const char old_form[] = "Role      | Name     | Upstream | Connection String\n"
                               "----------+----------|----------|----------------------------------------\n"
                               "* master  |  dbser2  |          | host=dbser2 dbname=repmgr user=repmgr\n"
                               "  standby |  dbser1  |  dbser2  | host=dbser1 dbname=repmgr user=repmgr\n"
                               "  FAILED  |  dbser3  |  dbser2  | host=dbser3 dbname=repmgr user=repmgr\n";

#define HEAD_5                                                                                                      \
    " ID | Name | Role    | Status               | Upstream | Location | Priority | Timeline | Connection string\n" \
    "----+------+---------+----------------------+----------+----------+----------+----------+------------------\n"
static const char new_form[] =
    "INFO: connecting\n" HEAD_5
    " 1  | a    | primary | - failed             | ?        | default  | 100      |          | host=10.0.0.1 port=5433\n"
    " 2  | b    | standby | ! running as primary |          | default  | 100      | 2        | host=10.0.0.2\n"
    " 3  | c    | standby |   running            | b        | default  | 100      | 2        | host=10.0.0.3\n"
    "\nWARNING: following issues were detected\n  - unable to connect to node \"a\" (ID: 1)\n";

static void old_table(void **state)
{
    RepmgrCluster cluster;
    Err err = {0};
    (void) state;

    assert_true(repmgr_parse_table(old_form, &cluster, &err));
    assert_int_equal(cluster.version, 3);
    assert_int_equal(cluster.count, 3);
    assert_true(cluster.nodes[0].is_primary);
    assert_string_equal(cluster.nodes[0].host, "dbser2");
    assert_true(cluster.nodes[1].is_standby);
    assert_false(cluster.nodes[2].is_standby);
}

static void new_table(void **state)
{
    RepmgrCluster cluster;
    Err err = {0};
    (void) state;

    assert_true(repmgr_parse_table(new_form, &cluster, &err));
    assert_int_equal(cluster.version, 4);
    assert_int_equal(cluster.count, 3);
    assert_int_equal(cluster.nodes[0].port, 5433);
    assert_false(cluster.nodes[0].is_primary);
    assert_true(cluster.nodes[1].is_primary);
    assert_true(cluster.nodes[2].is_standby);
    assert_true(repmgr_parse_csv("1,-1,-1\n2,0,0\nWARNING: x\n3,0,1\n", &cluster, &err));
    assert_false(repmgr_parse_csv("1,0,0\n2,0,0\n3,0,1\n", &cluster, &err));
    assert_has(err.text, "contradict each other about node a");
    assert_false(repmgr_parse_csv("1,-1,-1\n2,0,0\n", &cluster, &err));
    assert_has(err.text, "shows 2 nodes, its table 3");
    assert_false(repmgr_parse_csv("1,-1,-1,7\n", &cluster, &err));
    assert_has(err.text, "not known here");
}

/* A line of another kind between two rows hides no node, and one that is too long is no end. */
static void lines_between_rows(void **state)
{
    static const char between[] = HEAD_5
        " 1  | a    | primary | * running            |          | default  | 100      | 1        | host=10.0.0.1\n"
        "WARNING: node \"b\" not found in \"pg_stat_replication\"\n\n"
        " 2  | b    | standby |   running            | a        | default  | 100      | 1        | host=10.0.0.2\n";
    static char text[sizeof HEAD_5 + 8000];
    RepmgrCluster cluster;
    Err err = {0};
    (void) state;

    assert_true(repmgr_parse_table(between, &cluster, &err));
    assert_int_equal(cluster.count, 2);
    assert_true(cluster.nodes[1].is_standby);
    snprintf(text, sizeof text, "%s 1  | a | primary | * running | | default | 100 | 1 | host=%05000d\n",
             HEAD_5, 0);
    assert_false(repmgr_parse_table(text, &cluster, &err));
    assert_has(err.text, "cannot be read");
}

static void never_seen(void **state)
{
    static const char *const outputs[] = {
        "",
        "ERROR: no configuration file",
        "Node | State\n-----+----\n a | up\n",
        HEAD_5,
        HEAD_5 " 1 | a | leader | * running | | default | 100 | 1 | host=a\n",
        HEAD_5 " 1 | a | primary | * thinking | | default | 100 | 1 | host=a\n",
        HEAD_5 " 1 | a | primary\n",
        HEAD_5 " 1 | a | primary | * running | | default | 100 | 1 | host='a\n",
    };
    RepmgrCluster cluster;
    (void) state;

    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        Err err = {0};
        assert_false(repmgr_parse_table(outputs[i], &cluster, &err));
        assert_int_equal(err.code, ERR_PROTOCOL);
    }
}

static void decisions(void **state)
{
    static const struct {
        DecideFacts facts;
        bool open, trouble;
        const char *reason;
    } cases[] = {
        {{.problem = "exit status 6"}, false, true, "cannot be asked: exit status 6"},
        {{.primaries = 0, .force_open = true}, false, true, "no running primary"},
        {{.primaries = 2, .names = "a, b", .is_self = true, .force_open = true},
         false,
         true,
         "2 primaries at once: a, b"},
        {{.primaries = 1, .names = "b", .force_open = true}, false, false, "the primary is b, not this host"},
        {{.primaries = 1, .is_self = true}, true, false, "there is no pgpool"},
        {{.primaries = 1, .is_self = true, .pgpools = 1, .pgpool = {PGPOOL_OPEN}},
         false,
         false,
         "1 of 1 pgpools"},
        {{.primaries = 1, .is_self = true, .pgpools = 1}, true, false, "no pgpool is alive"},
        {{.primaries = 1, .is_self = true, .pgpools = 2, .pgpool = {PGPOOL_OPEN, PGPOOL_OPEN}},
         false,
         false,
         "2 of 2"},
        {{.primaries = 1, .is_self = true, .pgpools = 2, .pgpool = {PGPOOL_CLOSED, PGPOOL_OPEN}},
         false,
         false,
         "1 of 2"},
        {{.primaries = 1, .is_self = true, .pgpools = 2, .pgpool = {PGPOOL_OPEN, PGPOOL_UNKNOWN}},
         false,
         false,
         "1 of 2"},
        {{.primaries = 1, .is_self = true, .pgpools = 2}, true, false, "no pgpool is alive"},
        {{.primaries = 1, .is_self = true, .pgpools = 2, .pgpool = {PGPOOL_CLOSED, PGPOOL_UNKNOWN}},
         false,
         true,
         "no address"},
        {{.primaries = 1, .is_self = true, .pgpools = 2, .pgpool = {PGPOOL_OPEN}, .force_open = true},
         true,
         false,
         "force_open"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Decision decision;
        decide_open(&cases[i].facts, &decision);
        assert_has(decision.reason, cases[i].reason);
        assert_int_equal(decision.open, cases[i].open);
        assert_int_equal(decision.trouble, cases[i].trouble);
    }
}

/* One on each line: when it is, what it finds, whether there is a mail. */
static void mails(void **state)
{
    static const struct {
        int at_s;
        bool open, trouble;
        const char *reason;
        bool mail;
    } checks[] = {
        {0, true, false, "well", false},   {5, false, true, "a", true},    {10, false, true, "a", false},
        {64, false, true, "b", false},     {65, false, true, "b", true},   {70, false, true, "b", false},
        {664, false, true, "b", false},    {665, false, true, "b", true},  {670, true, false, "well", true},
        {675, true, false, "well", false}, {680, false, false, "c", true}, {685, false, true, "a", true},
    };
    MailRule rule = {.repeat_us = 600 * US_PER_SEC};
    MailState mail = {0};
    (void) state;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        Decision now = {.open = checks[i].open, .trouble = checks[i].trouble};
        snprintf(now.reason, sizeof now.reason, "%s", checks[i].reason);
        if (decide_mail(&mail, &rule, &now, (1000 + checks[i].at_s) * US_PER_SEC) != checks[i].mail)
            fail_msg("at %d s", checks[i].at_s);
    }
    /* The first check of all: trouble is told, success where it is wanted, and each third one after it. */
    Decision well = {.open = true}, broken = {.trouble = true, .reason = "a"};
    mail = (MailState){0};
    assert_true(decide_mail(&mail, &rule, &broken, 0));
    rule.success_period = 3;
    mail = (MailState){0};
    for (int i = 1; i <= 7; i++)
        assert_int_equal(decide_mail(&mail, &rule, &well, i), i == 1 || i % 3 == 0);
}

/* The names before PostgreSQL 10, and repmgr 3's table. */
static void old_sql(void **state)
{
    (void) state;
    for (int primary = 0; primary <= 1; primary++) {
        assert_non_null(strstr(status_sql_position(false, primary), "_xlog_"));
        assert_null(strstr(status_sql_position(false, primary), "_lsn"));
        assert_null(strstr(status_sql_position(true, primary), "_xlog_"));
    }
    assert_non_null(strstr(status_sql_events(3), "from repl_events"));
    assert_non_null(strstr(status_sql_events(5), "from repmgr.events"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails),
        cmocka_unit_test(old_sql),
        cmocka_unit_test(old_table),
        cmocka_unit_test(new_table),
        cmocka_unit_test(lines_between_rows),
        cmocka_unit_test(never_seen),
        cmocka_unit_test(decisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
