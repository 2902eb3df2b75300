/*
 * test_lookout_native.c: pglookout's configuration in pgvigil's own terms, for the agent behind it and for
 * moving over. What is made has to be what pgvigil itself reads.
 */
#include "config/config.h"
#include "folder.h"
#include "front/lookout.h"
#include "front/lookout_native.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Every key, each with another value than its default. */
static const char WHOLE[] =
    "{\"own_db\": \"pg1\", \"remote_conns\": {\"pg1\": \"host=10.0.0.1 user=m password=GEHEIM\", \"pg2\": {\"host\": "
    "\"10.0.0.2\", \"port\": 5433}}, \"observers\": {\"o1\": \"http://10.0.0.9:15000\", \"o2\": "
    "\"http://10.0.0.8:15001/sub\"}, \"autofollow\": true, \"primary_conninfo_template\": \"user=repl password=GEHEIM\", "
    "\"db_poll_interval\": 4, \"replication_state_check_interval\": 9, \"http_address\": \"10.0.0.1\", \"http_port\": "
    "15001, \"failover_sleep_time\": 1, \"maintenance_mode_file\": \"/tmp/m\", \"missing_master_from_config_timeout\": 14, "
    "\"alert_file_dir\": \"/var/alerts\", \"json_state_file_path\": \"/tmp/s.json\", \"max_failover_replication_time_lag\": "
    "90, \"warning_replication_time_lag\": 25, \"failover_command\": [\"/my promote\", \"it's 100%\", \"a\\\"b\\\\c\", "
    "\"\"], \"never_promote_these_nodes\": [\"pg1\"], \"over_warning_limit_command\": \"/bin/over x\", \"log_level\": "
    "\"WARNING\", \"pg_data_directory\": \"/data/15\", \"pg_start_command\": \"sudo start pg\", \"pg_stop_command\": "
    "\"sudo stop pg\", \"syslog\": true, \"syslog_address\": \"10.0.0.7:514\", \"syslog_facility\": \"local3\", \"statsd\": "
    "{\"host\": \"10.0.0.6\", \"port\": 8126, \"tags\": {\"a\": \"b\", \"c\": \"d\"}}, \"known_gone_nodes\": [\"pg9\"], "
    "\"replication_catchup_timeout\": 200, \"poll_observers_on_warning_only\": true, "
    "\"cluster_monitor_health_timeout_seconds\": 19, \"failover_on_disconnect\": false, \"failover_priorities\": "
    "{\"pg1\": 1}, \"pgvigil_secret\": \"GEHEIM-0123456789\", \"pgvigil_witness\": \"o1\", \"pgvigil_cluster\": \"shop\", "
    "\"pgvigil_port\": 8109, \"pgvigil_http_port\": 8108, \"pgvigil_directory\": \"/var/lib/x\", \"pgvigil_options\": "
    "{\"cluster.lease\": \"3s\", \"postgresql.rewind\": true, \"node.facts_interval\": 0}}";

static char *convert(const char *text, Err *err)
{
    char *argv[] = {"pglookout", (char *) folder_path("pglookout.json"), NULL};
    Buf out = {0};

    folder_write("pglookout.json", text);
    if (!lookout_convert(2, argv, &out, err)) {
        buf_done(&out);
        return NULL;
    }
    return out.data;
}

static Config *load(const char *text, const char *node)
{
    Err err = {0};

    folder_write("secret", "0123456789abcdef0123456789abcdef\n");
    chmod(folder_path("secret"), 0600);
    folder_write("pgvigil.conf", text);
    Config *config = config_load(folder_path("pgvigil.conf"), node, &err);
    if (config == NULL)
        fail_msg("%s\n%s", err.text, text);
    return config;
}

/* Each key has an option with its name in a comment, or a line that says why it has none. */
static void every_key(void **state)
{
    const char *key;
    Err err = {0};
    char *out = convert(WHOLE, &err);
    (void) state;

    if (out == NULL)
        fail_msg("%s", err.text);
    assert_null(strstr(out, "GEHEIM"));
    for (size_t i = 0; (key = lookout_config_key(i)) != NULL; i++) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "\"%s\"", key);
        if (strstr(WHOLE, quoted) == NULL && strcmp(key, "pgvigil_secret_file") != 0)
            fail_msg("%s is a new key: this test wants it as well", key);
        if (strstr(out, key) == NULL && strcmp(key, "pgvigil_secret_file") != 0 &&
            strcmp(key, "pgvigil_options") != 0)
            fail_msg("nothing is said of %s", key);
    }
    assert_has(out, "# o2 = host=10.0.0.8 role=witness");
    assert_has(out, "# known_gone_nodes: ");
    free(out);
}

static void converted_values(void **state)
{
    Err err = {0};
    Buf text = {0};
    char *out = convert(WHOLE, &err);
    (void) state;

    char *secret = strstr(out, "file:/etc/pgvigil/secret");
    assert_non_null(secret);
    buf_add(&text, out, (size_t) (secret - out));
    buf_printf(&text, "file:secret%s", secret + strlen("file:/etc/pgvigil/secret"));
    Config *config = load(text.data, "pg2");
    assert_string_equal(config->cluster.name, "shop");
    assert_int_equal(config->cluster.failover, FAILOVER_AUTOMATIC);
    assert_int_equal(config->cluster.lease_ms, 3000);
    assert_int_equal(config->member_count, 3);
    assert_string_equal(config->member[0].name, "pg1"); /* its priority */
    assert_int_equal(config->member[1].port, 5433);
    assert_int_equal(config->member[1].agent_port, 8109);
    assert_int_equal(config->member[1].http_port, 8108);
    assert_int_equal(config->member[2].role, MEMBER_ROLE_WITNESS);
    assert_string_equal(config->node.http_listen, "10.0.0.1");
    assert_true(config->node.no_failover);
    assert_int_equal(config->node.facts_interval_ms, 0);
    assert_string_equal(config->postgresql.data_directory, "/data/15");
    assert_string_equal(config->postgresql.replication_user, "repl");
    assert_true(config->postgresql.rewind);
    assert_false(config->postgresql.clone);
    assert_string_equal(config->commands.start, "sudo start pg");
    assert_string_equal(config->commands.stop, "sudo stop pg");
    assert_string_equal(config->commands.promote, "\"/my promote\" \"it's 100%%\" \"a\\\"b\\\\c\" \"\"");
    assert_int_equal(config->log.level, LOG_LEVEL_WARN);
    assert_int_equal(config->lag.warning_ms, 25000);
    assert_int_equal(config->lag.critical_ms, 90000);
    assert_int_equal(config->lag.grace_ms, 200000);
    assert_int_equal(config->notify_count, 4);
    assert_string_equal(config->notify[0].folder, "/var/alerts");
    assert_string_equal(config->notify[1].address, "10.0.0.7:514");
    assert_string_equal(config->notify[1].facility, "local3");
    assert_int_equal(config->notify[2].port, 8126);
    assert_int_equal(config->notify[2].tags.count, 2);
    assert_int_equal(config->notify[0].severity, NOTIFY_WARNING);
    assert_string_equal(config->notify[3].command.item[0], "/bin/over");
    assert_string_equal(config->notify[3].members.item[0], "self");
    assert_int_equal(config->notify[3].repeat_ms, 0);
    config_free(config);
    buf_done(&text);
    free(out);
}

static void convert_refuses(void **state)
{
    static const char *const wrong[][2] = {
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=localhost\"}}", "remote_conns.a"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=/run/postgresql\"}}", "remote_conns.a"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"dbname=x\"}}", "remote_conns.a"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=x,y\"}}", "remote_conns.a"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=x\"}, \"failover_command\": [\"a ;b\"]}",
         "put it into a script"},
        {"{\"own_db\": \"a\", \"remote_conns\": {\"a\": \"host=x\"}, \"failover_command\": [\"a\\nb\"]}",
         "put it into a script"},
        {"{\"own_db\": \"1\", \"remote_conns\": {\"1\": \"host=1\", \"2\": \"host=2\", \"3\": \"host=3\", \"4\": \"host=4\", \"5\": "
         "\"host=5\", \"6\": \"host=6\", \"7\": \"host=7\", \"8\": \"host=8\"}}",
         "remote_conns has 8 servers"},
        {"{\"remote_conns\": {\"a\": \"host=x\"}}", "Natively its own file has [observer] clusters = FOLDER"},
        {"{\"remote_conns\": {\"a\": \"host=x\"}, \"pgvigil_witness\": \"w\", \"observers\": {\"w\": "
         "\"http://10.0.0.8:8000\"}}",
         "convert a node's"},
        {"{\"http_port\": 0}", "http_port"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Err err = {0};
        assert_null(convert(wrong[i][0], &err));
        assert_has(err.text, wrong[i][1]);
    }
}

/* The agent's file: by order only, nothing that pglookout itself tells, and a file of its own for the secret.
 */
static void agent(void **state)
{
    Buf warnings = {0}, out = {0};
    LookoutVoters voters;
    Err err = {0};
    LookoutConfig *lookout = lookout_config_parse(WHOLE, strlen(WHOLE), &warnings, &err);
    (void) state;

    assert_non_null(lookout);
    assert_true(lookout_native_voters(lookout, &voters, &err));
    assert_int_equal(voters.count, 3);
    assert_int_equal(voters.own, 0);
    assert_true(lookout_native_agent(lookout, &voters, &out, &err));
    assert_null(strstr(out.data, "GEHEIM"));
    Config *config = load(out.data, NULL);
    assert_string_equal(config_self(config)->name, "pg1");
    assert_int_equal(config->cluster.failover, FAILOVER_ORDERED);
    assert_int_equal(config->cluster.lease_ms, 3000);
    assert_true(config->node.no_failover); /* never_promote_these_nodes */
    assert_string_equal(config->node.state_directory, "/var/lib/x");
    assert_int_equal(config->notify_count, 0);
    assert_string_equal(config->commands.stop, "sudo stop pg");
    assert_true(config->postgresql.rewind);
    assert_false(config->postgresql.clone);
    config_free(config);
    buf_done(&out);
    lookout_config_free(lookout);
    buf_done(&warnings);
}

/* The observer that votes knows by its name in observers who it is, and has no server. */
static void witness(void **state)
{
    static const char text[] =
        "{\"remote_conns\": {\"a\": \"host=10.0.0.1\", \"b\": \"host=10.0.0.2\"}, \"observers\": {\"o\": "
        "\"http://10.0.0.9:15000\"}, \"pgvigil_witness\": \"o\", \"pgvigil_secret_file\": \"/etc/secret\"}";
    Buf warnings = {0}, out = {0};
    LookoutVoters voters;
    Err err = {0};
    LookoutConfig *lookout = lookout_config_parse(text, strlen(text), &warnings, &err);
    (void) state;

    assert_non_null(lookout);
    assert_true(lookout_native_voters(lookout, &voters, &err));
    assert_int_equal(voters.own, 2);
    assert_string_equal(voters.voter[0].name, "b"); /* the highest name first, as pglookout has it */
    assert_true(lookout_native_agent(lookout, &voters, &out, &err));
    assert_has(out.data, "secret = file:/etc/secret\n");
    assert_has(out.data, "o = host=10.0.0.9 agent_port=8009 http_port=8008 role=witness\n");
    assert_has(out.data, "name = o\n");
    assert_null(strstr(out.data, "data_directory"));
    buf_done(&out);
    lookout_config_free(lookout);
    buf_done(&warnings);
}

static void keys_refused(void **state)
{
    static const char *const wrong[][2] = {
        {"{\"pgvigil_secret\": \"a\", \"pgvigil_secret_file\": \"/b\"}", "only one of them"},
        {"{\"pgvigil_secret_file\": \"b\"}", "absolute path"},
        {"{\"pgvigil_directory\": \"b\"}", "absolute path"},
        {"{\"pgvigil_witness\": \"x\"}", "\"x\" is not in observers"},
        {"{\"pgvigil_port\": 0}", "pgvigil_port"},
        {"{\"pgvigil_http_port\": 70000}", "pgvigil_http_port"},
        {"{\"pgvigil_cluster\": 5}", "pgvigil_cluster"},
        {"{\"pgvigil_options\": 5}", "pgvigil_options"},
        {"{\"pgvigil_options\": {\"lease\": 5}}", "pgvigil_options.lease"},
        {"{\"pgvigil_options\": {\"cluster.lease\": 1.5}}", "pgvigil_options.cluster.lease"},
        {"{\"pgvigil_options\": {\"cluster.failover\": \"automatic\"}}", "own keys decide"},
        {"{\"pgvigil_options\": {\"members.a\": \"host=x\"}}", "cannot be set"},
        {"{\"pgvigil_options\": {\"http.tls_key\": \"/x\"}}", "cannot be set"},
    };
    (void) state;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        Buf warnings = {0};
        Err err = {0};
        assert_null(lookout_config_parse(wrong[i][0], strlen(wrong[i][0]), &warnings, &err));
        assert_has(err.text, wrong[i][1]);
        buf_done(&warnings);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_key), IN_FOLDER(converted_values), IN_FOLDER(convert_refuses),
        IN_FOLDER(agent),     IN_FOLDER(witness),          IN_FOLDER(keys_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
