/*
 * test_lookout_config.c: pglookout's file, state and connection strings: what is read, refused and never
 * shown.
 */
#include "folder.h"
#include "front/lookout_config.h"
#include "front/lookout_follow.h"
#include "front/lookout_standby.h"
#include "front/lookout_state.h"
#include "pg/autoconf.h"
#include "unit.h"

#include <string.h>

static LookoutConfig *read_good(const char *text, Buf *warnings)
{
    Err err = {0};
    LookoutConfig *config = lookout_config_parse(text, strlen(text), warnings, &err);

    if (config == NULL)
        fail_msg("%s", err.text);
    return config;
}

static void defaults(void **state)
{
    Buf warnings = {0};
    LookoutConfig *config = read_good("{}", &warnings);
    (void) state;

    assert_int_equal(config->db_poll_us, 5 * US_PER_SEC);
    assert_int_equal(config->check_us, 10 * US_PER_SEC);
    assert_int_equal(config->health_us, 20 * US_PER_SEC);
    assert_int_equal(config->failover_us, 120 * US_PER_SEC);
    assert_int_equal(config->warning_us, 30 * US_PER_SEC);
    assert_int_equal(config->missing_us, 15 * US_PER_SEC);
    assert_int_equal(config->catchup_us, 300 * US_PER_SEC);
    assert_int_equal(config->failover_sleep_us, 0);
    assert_int_equal(config->http_port, 15000);
    assert_true(config->failover_on_disconnect);
    assert_false(config->autofollow || config->syslog || config->poll_observers_on_warning_only);
    assert_string_equal(config->state_file, "/tmp/pglookout_state.json");
    assert_string_equal(config->maintenance_mode_file, "/tmp/pglookout_maintenance_mode_file");
    assert_string_equal(config->pg_data_directory, "/var/lib/pgsql/data");
    assert_string_equal(config->syslog_facility, "local2");
    assert_true(config->alert_file_dir[0] == '/');
    assert_int_equal(config->own, -1);
    assert_null(warnings.data);
    lookout_config_free(config);
}

static void whole_file(void **state)
{
    Buf warnings = {0};
    LookoutConfig *config = read_good(
        "{\"own_db\": \"b\", \"remote_conns\": {\"a\": \"host=x user=u\", \"b\": {\"host\": \"y\", \"port\": 5433, "
        "\"password\": \"it's\", \"database\": \"d\"}}, \"observers\": {\"o\": \"http://[::1]:15001/\", \"p\": \"http://h\"}, "
        "\"failover_command\": \" run  this now \", \"over_warning_limit_command\": [\"a b\", \"c\"], "
        "\"statsd\": {\"host\": \"h\", \"port\": \"8126\", \"tags\": {\"t\": \"v\"}}, \"log_level\": \"WARNING\", "
        "\"never_promote_these_nodes\": [\"a\"], \"db_poll_interval\": 0.5, \"alert_file_dir\": \"sub\", "
        "\"db_pol_interval\": 1}",
        &warnings);
    (void) state;

    assert_int_equal(config->own, 1);
    assert_string_equal(config->conn[1].value, "host=y port=5433 password='it\\'s' dbname=d");
    assert_string_equal(config->observer[0].host, "::1");
    assert_int_equal(config->observer[0].port, 15001);
    assert_string_equal(config->observer[0].path, "/state.json");
    assert_int_equal(config->observer[1].port, 80);
    assert_string_equal(config->failover_command.argv[2], "now");
    assert_null(config->failover_command.argv[3]);
    assert_string_equal(config->over_warning_limit_command.argv[0], "a b");
    assert_int_equal(config->statsd_port, 8126);
    assert_string_equal(config->statsd_tag[0].value, "v");
    assert_int_equal(config->log_level, LOG_LEVEL_WARN);
    assert_true(lookout_config_has(&config->never_promote, "a"));
    assert_false(lookout_config_has(&config->never_promote, "b"));
    assert_int_equal(config->db_poll_us, US_PER_SEC / 2);
    assert_has(config->alert_file_dir, "/sub");
    assert_has(warnings.data, "\"db_pol_interval\": is \"db_poll_interval\" meant?");
    lookout_config_free(config);
    buf_done(&warnings);
}

static void doubtful(void **state)
{
    Buf warnings = {0};
    (void) state;

    LookoutConfig *config = read_good(
        "{\"remote_conns\": {\"a\": \"host=x\"}, \"own_db\": \"a\", \"http_port\": 1,\n\"http_port\": 2, "
        "\"failover_command\": \"/nix/promote now\", \"pg_start_command\": \"no-such-program\", "
        "\"pg_stop_command\": \"true\", \"over_warning_limit_command\": \"/tmp\", "
        "\"never_promote_these_nodes\": [\"A\", \"a\"], \"failover_priorities\": {\"b\": 1}, "
        "\"known_gone_nodes\": [\"z\"], \"syslog\": true, \"syslog_address\": \"/nix/log\"}",
        &warnings);
    assert_int_equal(config->http_port, 2);
    assert_has(warnings.data, "line 2: duplicate object key near '\"http_port\"': the last one counts");
    lookout_config_warn(config, &warnings);
    assert_has(warnings.data, "failover_command: there is no program /nix/promote that");
    assert_has(warnings.data, "over_warning_limit_command: there is no program /tmp that");
    assert_has(warnings.data, "pg_start_command: there is no program no-such-program that");
    assert_null(strstr(warnings.data, "pg_stop_command"));
    assert_has(warnings.data, "never_promote_these_nodes: \"A\" is not in remote_conns");
    assert_null(strstr(warnings.data, "\"a\" is not"));
    assert_has(warnings.data, "failover_priorities: \"b\" is not in remote_conns");
    assert_null(strstr(warnings.data, "\"z\""));
    assert_has(warnings.data, "syslog_address: there is no /nix/log");
    lookout_config_free(config);
    buf_done(&warnings);
}

static void refused(void **state)
{
    static const struct {
        const char *text, *part;
    } wrong[] = {
        {"[]", "one JSON object"},
        {"{\"a\": 1,\n", "line 2"},
        {"{\"own_db\": \"a\", \"own_db\": \"b\"}", "own_db: \"b\" is not in remote_conns"},
        {"{\"own_db\": \"x\"}", "\"x\" is not in remote_conns"},
        {"{\"http_port\": 0}", "http_port: it has to be a number from 1 to 65535"},
        {"{\"db_poll_interval\": \"soon\"}", "db_poll_interval"},
        {"{\"autofollow\": \"yes\"}", "true or false"},
        {"{\"remote_conns\": {\"a\": 5}}", "remote_conns.a"},
        {"{\"remote_conns\": {\"a\": \"host=x bogus=1 password=Geheim\"}}", "remote_conns.a"},
        {"{\"remote_conns\": {\"a\": {\"host\": []}}}", "remote_conns.a"},
        {"{\"observers\": {\"o\": \"https://h\"}}", "observers.o"},
        {"{\"observers\": {\"o\": \"http://u:p@h\"}}", "observers.o"},
        {"{\"observers\": {\"o\": \"http://h:99999\"}}", "observers.o"},
        {"{\"statsd\": {\"port\": 0}}", "statsd.port"},
        {"{\"log_level\": \"LOUD\"}", "log_level"},
        {"{\"never_promote_these_nodes\": \"a\"}", "never_promote_these_nodes"},
        {"{\"failover_command\": 5}", "failover_command"},
        {"{\"failover_priorities\": {\"a\": 1.5}}", "failover_priorities.a"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=x\"}, \"autofollow\": true}",
         "primary_conninfo_template"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=x\"}, \"autofollow\": true, "
         "\"primary_conninfo_template\": \"user=r\"}",
         "pg_start_command"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Buf warnings = {0};
        Err err = {0};
        assert_null(lookout_config_parse(wrong[i].text, strlen(wrong[i].text), &warnings, &err));
        assert_has(err.text, wrong[i].part);
        assert_null(strstr(err.text, "Geheim"));
        buf_done(&warnings);
    }
}

static void times(void **state)
{
    int64_t us;
    (void) state;

    assert_true(lookout_state_parse_time("2014-08-28T14:26:51.067084Z", &us));
    assert_int_equal(us, 1409236011067084);
    assert_true(lookout_state_parse_time("2014-08-28T14:09:57.919301+00:00Z", &us));
    assert_true(lookout_state_parse_time("2014-08-28T14:09:57Z", &us));
    assert_false(lookout_state_parse_time("2014-08-28 14:09:57", &us));
    assert_false(lookout_state_parse_time(NULL, &us));
    assert_true(lookout_state_parse_date("Thu, 28 Aug 2014 14:26:51 GMT", &us));
    assert_int_equal(us, 1409236011000000);
    assert_false(lookout_state_parse_date("yesterday", &us));
}

static void standby_and_primary(void **state)
{
    LookoutSeen seen = {.replication = {.lag_us = -1, .min_lag_us = -1}};
    MonitorSample sample = {.ok = true,
                            .in_recovery = true,
                            .db_time_us = 1409236011067084,
                            .replayed_us = 1409236001067080,
                            .receive_lsn = 0x9000090,
                            .replay_lsn = 0x9000080};
    Clock now = {.boot_us = 77000001, .wall_us = 1409236011067085};
    Buf out = {0};
    (void) state;

    lookout_state_update(&seen, &sample, &now);
    lookout_state_add(&out, NULL, &seen);
    assert_string_equal(
        out.data,
        "{\"connection\":true,\"fetch_time\":\"2014-08-28T14:26:51.067085Z\",\"db_time\":\"2014-08-28T14:26:51.067084Z\","
        "\"pg_is_in_recovery\":true,\"pg_last_xact_replay_timestamp\":\"2014-08-28T14:26:41.067080Z\","
        "\"pg_last_xlog_receive_location\":\"0/9000090\",\"pg_last_xlog_replay_location\":\"0/9000080\","
        "\"replication_time_lag\":10.000004,\"min_replication_time_lag\":10.000004,"
        "\"replication_start_time\":77.000001}");
    buf_done(&out);
    assert_int_equal(seen.moved_us, 0);
    sample.receive_lsn++;
    now.boot_us++;
    lookout_state_update(&seen, &sample, &now);
    assert_int_equal(seen.moved_us, 77000002);
    sample.ok = false; /* what the last answer said stays */
    now.boot_us++;
    lookout_state_update(&seen, &sample, &now);
    assert_true(seen.known && seen.in_recovery && !seen.connected);
    assert_int_equal(seen.contact_us, 77000002);
    assert_int_equal(seen.polled_us, 77000003);
    sample = (MonitorSample){.ok = true, .lsn = 0x9000100};
    lookout_state_update(&seen, &sample, &now);
    assert_int_equal(seen.replay, 0x9000100);
    assert_int_equal(seen.replication.lag_us, -1);
    assert_int_equal(seen.replication.since_us, 0);
}

static bool is_pg1(void *arg, const char *name)
{
    (void) arg;
    return strcmp(name, "pg1") == 0;
}

static const char *seen_in(const char *text, int64_t date_us)
{
    static char name[64];
    Err err = {0};
    json_t *state = lookout_state_parse(text, strlen(text), &err);
    const char *found = lookout_state_primary(state, date_us, is_pg1, NULL);

    if (found != NULL)
        strncpy(name, found, sizeof name - 1);
    json_decref(state);
    return found != NULL ? name : NULL;
}

static void what_an_observer_sees(void **state)
{
#define PG(name, connection, recovery)                                                                       \
    "{\"" name "\": {\"connection\": " connection ", \"pg_is_in_recovery\": " recovery                       \
    ", \"fetch_time\": \"2014-08-28T14:26:51.067084Z\"}}"
    int64_t at = 1409236011067084;
    Err err = {0};
    (void) state;

    assert_string_equal(seen_in(PG("pg1", "true", "false"), at), "pg1");
    assert_string_equal(seen_in(PG("pg1", "true", "false"), at + 19 * US_PER_SEC), "pg1");
    assert_null(seen_in(PG("pg1", "true", "false"), at + 20 * US_PER_SEC));
    assert_null(seen_in(PG("pg1", "false", "false"), at));
    assert_null(seen_in(PG("pg1", "true", "true"), at));
    assert_null(seen_in(PG("other", "true", "false"), at));
    assert_null(
        seen_in("{\"pg1\": {\"connection\": false, \"fetch_time\": \"2014-08-28T14:26:51.067084Z\"}}", at));
    assert_null(seen_in("{\"pg1\": 5, \"connection\": true}", at));
    assert_string_equal(seen_in("{\"pg1\": {\"connection\": true, \"pg_is_in_recovery\": false}}", at),
                        "pg1");
    assert_null(lookout_state_parse("[]", 2, &err));
    assert_null(lookout_state_parse("{\"a\"", 4, &err));
#undef PG
}

static void follow(void **state)
{
    char text[2048];
    Err err = {0};
    (void) state;

    assert_true(lookout_follow_conninfo("user=r password='a b' host=old port=1 dbname=x sslmode=require",
                                        "postgres://m:secret@new:5433/postgres", text, sizeof text, &err));
    assert_string_equal(text, "user=r password='a b' sslmode=require host=new port=5433");
    assert_true(lookout_follow_is_same(text, text));
    assert_true(lookout_follow_is_same(
        "port=5433 host=new sslmode=require gssencmode=prefer password='a b' user=r", text));
    assert_false(lookout_follow_is_same("port=5433 host=old sslmode=require password='a b' user=r", text));
    assert_false(lookout_follow_is_same("host=new sslmode=require password='a b' user=r", text));
    assert_false(lookout_follow_is_same(
        "host=new hostaddr=10.0.0.1 port=5433 sslmode=require password='a b' user=r", text));
    assert_true(lookout_follow_is_same("host=new", "port=5432 host=new"));
    assert_false(lookout_follow_is_same("it is = nothing", text));
    assert_false(lookout_follow_conninfo("user=r", "dbname=postgres", text, sizeof text, &err));
    assert_has(err.text, "no host");
    assert_false(lookout_follow_conninfo("user=r password", "host=x", text, sizeof text, &err));
}

static void assert_file(const char *name, const char *wanted)
{
    Buf text = {0};
    Err err = {0};

    if (!file_read(folder_path(name), 4096, &text, &err))
        fail_msg("%s", err.text);
    assert_string_equal(text.data, wanted);
    buf_done(&text);
}

/* Before PostgreSQL 12 recovery.conf, whose other lines stay; then standby.signal and postgresql.auto.conf.
 */
static void files_of_a_standby(void **state)
{
    LookoutStandby standby = {.conninfo = "host=new user=r", .todo = LOOKOUT_STANDBY_RESTART, .major = 11};
    (void) state;

    str_copy(standby.directory, sizeof standby.directory, folder);
    folder_write("recovery.conf", "restore_command = 'cp x y'\nprimary_conninfo = 'host=old user=r'\n");
    lookout_standby_write(&standby);
    assert_int_equal(standby.err.code, ERR_NONE);
    assert_file("recovery.conf",
                "restore_command = 'cp x y'\nstandby_mode = 'on'\nprimary_conninfo = 'host=new user=r'\n"
                "recovery_target_timeline = 'latest'\n");
    assert_false(file_exists(folder_path("standby.signal")));

    standby.major = 12;
    lookout_standby_write(&standby);
    assert_int_equal(standby.err.code, ERR_NONE);
    assert_true(file_exists(folder_path("standby.signal")));
    assert_file(AUTOCONF_NAME, "primary_conninfo = 'host=new user=r'\nrecovery_target_timeline = 'latest'\n");

    standby.todo = LOOKOUT_STANDBY_RELOAD; /* nobody runs who could */
    lookout_standby_write(&standby);
    assert_int_equal(standby.err.code, ERR_PG);
}

/* What is no data directory is not touched. */
static void foreign_folder(void **state)
{
    LookoutStandby standby = {.conninfo = "host=new", .state = LOOKOUT_OWN_DOWN};
    (void) state;

    str_copy(standby.directory, sizeof standby.directory, folder);
    folder_write("letter.txt", "dear\n");
    lookout_standby_look(&standby);
    assert_int_equal(standby.err.code, ERR_REFUSED);
    assert_has(standby.err.text, "no database cluster");
    assert_int_equal(standby.todo, LOOKOUT_STANDBY_NOTHING);
    assert_false(file_exists(folder_path("standby.signal")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(whole_file),
        cmocka_unit_test(doubtful),
        cmocka_unit_test(refused),
        cmocka_unit_test(times),
        cmocka_unit_test(standby_and_primary),
        cmocka_unit_test(what_an_observer_sees),
        cmocka_unit_test(follow),
        cmocka_unit_test_setup_teardown(files_of_a_standby, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(foreign_folder, folder_setup, folder_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
