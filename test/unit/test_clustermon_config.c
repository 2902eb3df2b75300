/*
 * test_clustermon_config.c: pgClusterMonitor's config.ini: its dialect, every key, what is wrong, and the
 * configuration that it is converted to.
 */
#include "front/clustermon_config.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define CLUSTER                                                                                              \
    "[cluster]\np1 = host=localhost port=1111 user=postgres\nP2 = host=p2 port=2222 user=postgres\n"
#define MAIN                                                                                                 \
    "[main]\nlocal_node_host_name = p1\npg_data_path = /data\ncmd_get_db_status_string = status\n"           \
    "cmd_promote_standby_to_master = promote\ncmd_start_db = start\ncmd_stop_db = stop\n"

static ClustermonConfig *parse(const char *text, Err *err)
{
    Buf warnings = {0};

    *err = (Err){0};
    ClustermonConfig *config = clustermon_config_parse(text, strlen(text), &warnings, err);
    buf_done(&warnings);
    return config;
}

static void fails(const char *text, const char *part)
{
    Err err;

    assert_null(parse(text, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    if (strstr(err.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, err.text);
}

static void test_defaults(void **state)
{
    Err err;
    ClustermonConfig *config = parse(CLUSTER MAIN, &err);

    (void) state;
    assert_non_null(config);
    assert_int_equal(config->servers, 2);
    assert_int_equal(config->own, 0);
    assert_string_equal(config->server[1].name, "p2"); /* as configparser: keys are in small letters */
    assert_true(config->scan_us == 10 * US_PER_SEC && config->failover_us == 15 * US_PER_SEC);
    assert_true(config->downgrade_us == 35 * US_PER_SEC && config->check_us == 15 * US_PER_SEC);
    assert_string_equal(config->db_success, "is running");
    assert_string_equal(config->network_success, "up");
    assert_string_equal(config->address, "localhost");
    assert_int_equal(config->port, 9889);
    assert_false(config->discard_unsaved);
    clustermon_config_free(config);
}

/* What configparser took. */
static void test_dialect(void **state)
{
    Err err;
    Buf line = {0};
    ClustermonConfig *config = parse(
        "\xEF\xBB\xBF# a comment\r\n; another\r\n" CLUSTER MAIN "CMD_PG_REWIND_COMMAND: rewind -D "
        "%%pg_data_path%%\n    -s \"%master_connstr%\" 100%%\n\n  # not this\n  --end\nreplication_slot_name=s\n",
        &err);

    (void) state;
    assert_non_null(config);
    assert_true(clustermon_config_line(config, CLUSTERMON_CMD_REWIND, "host=p2", &line));
    assert_string_equal(line.data, "rewind -D /data\n-s \"host=p2\" 100%\n--end");
    assert_string_equal(config->slot, "s");
    buf_done(&line);
    clustermon_config_free(config);
}

static void test_long_lines(void **state)
{
    static char text[20000];
    Err err;
    Buf line = {0};

    (void) state;
    snprintf(text, sizeof text, "%scmd_pg_basebackup_command = %0*d %%%%slot_name%%%%\n", CLUSTER MAIN, 9000,
             7);
    ClustermonConfig *config = parse(text, &err);
    assert_non_null(config);
    assert_true(clustermon_config_line(config, CLUSTERMON_CMD_CLONE, "", &line));
    assert_int_equal(line.len, 9001);
    buf_done(&line);
    clustermon_config_free(config);
}

static void test_wrong(void **state)
{
    (void) state;
    fails(MAIN, "p1 is not in [cluster]");
    fails("[cluster]\np1 = host=p1\n" MAIN, "only the local node");
    fails(CLUSTER "p1 = host=p3\n" MAIN, "line 4: [cluster] p1 is there twice");
    fails("[cluster]\np1 = host=p1\np2 = host=a,b\n" MAIN, "line 3: [cluster] p2: it has to name one host");
    fails(CLUSTER "[main]\nlocal_node_host_name = p1\n", "[main] pg_data_path is missing");
    fails(CLUSTER MAIN "cmd_stop_db = again\n", "line 11: [main] cmd_stop_db is there twice");
    fails(CLUSTER MAIN "cluster_scan_period_sec = 0\n",
          "line 11: [main] cluster_scan_period_sec: \"0\" is no whole number from 1 to 3600");
    fails(CLUSTER MAIN "timeout_to_failover_sec = 15s\n", "\"15s\" is no whole number");
    fails(CLUSTER MAIN "webserver_port = 99999\n", "webserver_port");
    fails(CLUSTER MAIN "cmd_success_db_status_string =\n", "cmd_success_db_status_string");
    fails(CLUSTER MAIN "cmd_start\n", "line 11: neither a [section]");
    fails("p1 = x\n" CLUSTER MAIN, "line 1: a key before the first [section]");
    fails("[cluster\n", "line 1: the section's ] is missing");
    fails(CLUSTER MAIN "replication_slot_name = %(x)s\n", "%(name)s is not filled in");
    fails(CLUSTER MAIN "[pgvigil]\nlog_level = loud\n", "\"loud\" is none of");
    fails(CLUSTER MAIN "[pgvigil]\ndiscard_unsaved = perhaps\n", "neither yes nor no");
    fails(CLUSTER MAIN "[pgvigil]\ncluster = A b\n", "[pgvigil] cluster");
    fails(CLUSTER MAIN "[pgvigil]\nstate_directory = here\n", "state_directory: give its whole path");
}

/* A password that the shell would read otherwise is told, and not printed. */
static void test_shell(void **state)
{
    Err err;

    (void) state;
    fails("[cluster]\np1 = host=p1\np2 = host=p2 password=a$b\n" MAIN
          "cmd_pg_rewind_command = r %master_connstr%\n",
          "put the password into a passfile");
    fails("[cluster]\np1 = host=p1\np2 = host=p2 password='a b'\n" MAIN
          "cmd_pg_rewind_command = echo \"x = '%%master_connstr%%'\"\n",
          "put the password into a passfile");
    ClustermonConfig *config =
        parse("[cluster]\np1 = host=p1 password=a$b\np2 = host=p2 password='a b'\n" MAIN
              "cmd_pg_rewind_command = r \"%master_connstr%\"\n",
              &err);
    assert_non_null(config);
    clustermon_config_free(config);
}

static void test_warnings(void **state)
{
    static const char text[] = CLUSTER MAIN "cmd_start_bd = x\n[other]\nkey = 1\n";
    Buf warnings = {0};
    Err err = {0};
    ClustermonConfig *config = clustermon_config_parse(text, sizeof text - 1, &warnings, &err);

    (void) state;
    assert_non_null(config);
    assert_non_null(
        strstr(warnings.data, "line 11: unknown key [main] cmd_start_bd: is cmd_start_db meant?"));
    assert_non_null(
        strstr(warnings.data, "[other] is none of [cluster], [main] and [pgvigil]: key does nothing"));
    assert_non_null(strstr(warnings.data, "cmd_get_network_status_string is not set"));
    buf_done(&warnings);
    clustermon_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_dialect), cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_wrong),    cmocka_unit_test(test_shell),   cmocka_unit_test(test_warnings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
