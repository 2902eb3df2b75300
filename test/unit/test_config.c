/*
 * test_config.c: whole configurations: what is right, and every error by file, line and key.
 */
#include "config/config.h"
#include "folder.h"
#include "unit.h"

#include <unistd.h>

#define SECRET "0123456789abcdef"

/* A right configuration in parts, so that a test can put something wrong among them. */
#define CLUSTER "[cluster]\nname = shop\nsecret = " SECRET "\n"
#define MEMBERS "[members]\npg1 = host=10.99.0.1\npg2 = host=10.99.0.2\nw1 = host=10.99.0.9 role=witness\n"
#define SERVER  "[postgresql]\ndata_directory = /var/lib/postgresql/15/main\n"

static Config *config;
static Buf errors, warnings;

static int teardown(void **state)
{
    config_free(config);
    config = NULL;
    buf_done(&errors);
    buf_done(&warnings);
    return folder_teardown(state);
}

static const char *load_as(const char *text, const char *node, ConfigUse use)
{
    config_free(config);
    buf_done(&errors);
    buf_done(&warnings);
    config = config_load_all(folder_write("c", text), node, use, &errors, &warnings);
    assert_true((config == NULL) == (errors.len > 0));
    return errors.data != NULL ? errors.data : "";
}

static const char *load(const char *text)
{
    return load_as(text, "pg1", CONFIG_USE_RUN);
}

/* The only error is the one given, at that line: "LINE: text", behind the file's path. */
static void assert_error(const char *text, const char *expected)
{
    char line[1024];

    snprintf(line, sizeof line, "%s:%s\n", folder_path("c"), expected);
    assert_string_equal(load(text), line);
}

static void defaults_and_values(void **state)
{
    (void) state;
    assert_string_equal(load(CLUSTER "lease = 600ms\nheartbeat = 100ms\nmaximum_lag = 1MB\n" MEMBERS SERVER
                                     "initdb_options = --a=b  -c\n[log]\nlevel = debug\n"),
                        "");
    assert_string_equal(config->cluster.name, "shop");
    assert_int_equal(config->cluster.lease_ms, 600);
    assert_int_equal(config->cluster.heartbeat_ms, 100);
    assert_int_equal(config->cluster.drift_ppm, 1000);
    assert_int_equal(config->cluster.margin_ms, 30);
    assert_int_equal(config->cluster.maximum_lag_bytes, 1048576);
    assert_string_equal(config->node.name, "pg1");
    assert_string_equal(config->node.state_directory, "/var/lib/pgvigil");
    assert_false(config->node.no_failover);
    assert_string_equal(config->postgresql.config_directory, "/var/lib/postgresql/15/main");
    assert_string_equal(config->postgresql.replication_user, "postgres");
    assert_string_equal(config->postgresql.server_log, "/var/lib/pgvigil/postgresql.log");
    assert_null(config->postgresql.passfile);
    assert_true(config->postgresql.rewind && config->postgresql.use_slots);
    assert_int_equal(config->postgresql.on_crash, ON_CRASH_FAILOVER);
    assert_int_equal(config->postgresql.initdb_options.count, 2);
    assert_string_equal(config->postgresql.initdb_options.item[1], "-c");
    assert_null(config->postgresql.initdb_options.item[2]);
    assert_int_equal(config->postgresql.clone_options.count, 0);
    assert_null(config->postgresql.clone_options.item[0]);
    assert_int_equal(config->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(config->http.connections, 256);
    assert_int_equal(config->secret_len, 16);
    assert_memory_equal(config->secret, SECRET, 16);
    assert_int_equal(config->origin[OPTION_cluster_lease].from, CONFIG_FROM_FILE);
    assert_int_equal(config->origin[OPTION_cluster_lease].line, 4);
    assert_int_equal(config->origin[OPTION_cluster_drift].from, CONFIG_FROM_DEFAULT);
    assert_has(config->warnings, "c:3: [cluster] secret: the secret stands in the configuration itself");
}

static void members_in_order(void **state)
{
    (void) state;
    load(CLUSTER
         "[members]\nb = host=h1 port=5433 agent_port=1 http_port=2 role=data\na = role=witness host=h2\n"
         "c = host=h3\n" SERVER);
    config_free(config);
    config = config_load_all(folder_path("c"), "b", CONFIG_USE_RUN, &errors, &warnings);
    assert_non_null(config);
    assert_int_equal(config->member_count, 3);
    assert_string_equal(config->member[0].name, "b");
    assert_string_equal(config->member[0].host, "h1");
    assert_int_equal(config->member[0].port, 5433);
    assert_int_equal(config->member[0].agent_port, 1);
    assert_int_equal(config->member[0].http_port, 2);
    assert_int_equal(config->member[1].role, MEMBER_ROLE_WITNESS);
    assert_int_equal(config->member[1].agent_port, 8009);
    assert_int_equal(config_find_member(config, "c"), 2);
    assert_int_equal(config_find_member(config, "d"), -1);
    assert_string_equal(config_self(config)->name, "b");
    assert_false(config_is_witness(config));
}

static void wrong_lines(void **state)
{
    (void) state;
    assert_error(CLUSTER "leese = 1s\n" MEMBERS SERVER,
                 "4: [cluster] leese: unknown option, did you mean lease?");
    assert_error(CLUSTER MEMBERS SERVER "level = info\n",
                 "10: [postgresql] level: unknown option, it belongs into [log]");
    assert_error(CLUSTER MEMBERS SERVER "qqq = 1\n",
                 "10: [postgresql] qqq: unknown option; all of them: pgvigil help config");
    assert_error(CLUSTER MEMBERS SERVER "[logs]\nlevel = info\n",
                 "11: [logs] level: unknown section, did you mean [log]?");
    assert_error("stray = 1\n" CLUSTER MEMBERS SERVER, "1: stray: stands before the first [section]");
    assert_error(CLUSTER MEMBERS SERVER "nonsense\n",
                 "10: \"nonsense\" is neither [section] nor key = value");
    assert_error(CLUSTER "lease = 1s\nlease = 2s\n" MEMBERS SERVER,
                 "5: [cluster] lease: is given twice, first on line 4");
    assert_error(CLUSTER "lease = 10ms\nheartbeat = 20ms\nmargin = 0\n" MEMBERS SERVER,
                 "4: [cluster] lease: \"10ms\" is out of range, allowed is 300ms to 1min");
    assert_error(CLUSTER MEMBERS SERVER "on_crash = retry\n",
                 "10: [postgresql] on_crash: \"retry\" is not failover or restart");
    assert_error(CLUSTER MEMBERS SERVER "rewind = maybe\n",
                 "10: [postgresql] rewind: \"maybe\" is neither yes nor no");
    assert_error(CLUSTER MEMBERS SERVER "user =\n",
                 "10: [postgresql] user: the value is empty, write one or leave the line out");
}

static void wrong_members(void **state)
{
    (void) state;
    assert_error(CLUSTER MEMBERS "pg3 = hots=10.99.0.3 host=x\n" SERVER,
                 "8: [members] pg3: unknown \"hots\", did you mean host=?");
    assert_error(CLUSTER MEMBERS "pg3 = port=5433\n" SERVER,
                 "8: [members] pg3: host= is missing, write pg3 = host=ADDRESS");
    assert_error(CLUSTER MEMBERS "pg3 = host=x host=y\n" SERVER, "8: [members] pg3: host= is given twice");
    assert_error(CLUSTER MEMBERS "pg3 = host=x port=0\n" SERVER,
                 "8: [members] pg3: port=: \"0\" is out of range, allowed is 1 to 65535");
    assert_error(CLUSTER MEMBERS "pg3 = host=x role=arbiter\n" SERVER,
                 "8: [members] pg3: role=: \"arbiter\" is not data or witness");
    assert_error(CLUSTER MEMBERS "pg3 = host=x data\n" SERVER,
                 "8: [members] pg3: \"data\" is not key=value, without blanks");
    assert_error(CLUSTER MEMBERS "PG3 = host=x\n" SERVER,
                 "8: [members] PG3: is no name for a member, allowed are 1 to 31 of a-z, 0-9, - and _");
    assert_error(CLUSTER MEMBERS "pg1 = host=x\n" SERVER,
                 "8: [members] pg1: is given twice, first on line 5");
    assert_error(
        CLUSTER MEMBERS "pg3 = host=10.99.0.1\n" SERVER,
        "8: [members] pg3: has the same host and agent_port and http_port as pg1 (line 5); give it a host, or "
        "ports, of its own");
    assert_error(
        CLUSTER MEMBERS "pg3 = host=10.99.0.1 port=1 agent_port=2\n" SERVER,
        "8: [members] pg3: has the same host and http_port as pg1 (line 5); give it a host, or ports, "
        "of its own");
    /* An observer's servers may have no agents. */
    assert_string_equal(load_as("[cluster]\nname = shop\n[members]\npg1 = host=x\npg2 = host=x port=8009\n",
                                NULL, CONFIG_USE_WATCH),
                        "");
    assert_error(CLUSTER MEMBERS "pg3 = host=10.99.0.1 agent_port=1 http_port=2\n" SERVER,
                 "8: [members] pg3: its PostgreSQL is on the same host and port as that of pg1");
    assert_error(CLUSTER MEMBERS "pg3 = host=x agent_port=7 http_port=7\n" SERVER,
                 "8: [members] pg3: agent_port and http_port are both 7");
    assert_error(CLUSTER MEMBERS "pg3 = host=x port=8009\n" SERVER,
                 "8: [members] pg3: port 8009 is PostgreSQL's and pgvigil's at once");
    assert_error(
        CLUSTER MEMBERS "pg3 = host=0.0.0.0\n" SERVER,
        "8: [members] pg3: host=0.0.0.0 is no address that others can reach; write the machine's own");
    assert_error(CLUSTER MEMBERS "a = host=a\nb = host=b\nc = host=c\nd = host=d\ne = host=e\n" SERVER,
                 "12: [members] e: there are more than 7 members");
}

static void member_names_have_a_length(void **state)
{
    (void) state;
    assert_string_equal(load(CLUSTER MEMBERS "abcdefghijabcdefghijabcdefghija = host=x\n" SERVER), "");
    assert_has(load(CLUSTER MEMBERS "abcdefghijabcdefghijabcdefghijab = host=x\n" SERVER),
               "is no name for a member");
    assert_has(load(CLUSTER MEMBERS "-x = host=x\n" SERVER), "is no name for a member");
}

static void options_bound_each_other(void **state)
{
    (void) state;
    assert_error(
        CLUSTER "heartbeat = 334ms\n" MEMBERS SERVER,
        "4: [cluster] heartbeat: 334ms is out of range, allowed is at most 333ms (a third of the lease)");
    assert_error(CLUSTER "lease = 300ms\nmargin = 31ms\nheartbeat = 100ms\n" MEMBERS SERVER,
                 "5: [cluster] margin: 31ms is out of range, allowed is at most 30ms (a tenth of the lease)");
    assert_error(
        CLUSTER "synchronous = strict\nstandbys_per_commit = 3\n" MEMBERS SERVER,
        "5: [cluster] standbys_per_commit: is 3, but with 2 data members at most 1 can be waited for: lower it, add data members, or set synchronous = off");
    assert_error(
        CLUSTER MEMBERS SERVER "[http]\nfreshness = 399ms\n",
        "11: [http] freshness: 399ms is out of range, allowed is at least 400ms (twice the heartbeat)");
    assert_error(CLUSTER MEMBERS SERVER "[lag]\nheartbeat = 99ms\n",
                 "11: [lag] heartbeat: 99ms is out of range, allowed is at least 100ms (or 0, for none)");
    assert_error(
        CLUSTER MEMBERS SERVER "poll_interval = 3s\n",
        " [postgresql] unresponsive: 5s is out of range, allowed is at least 6s (twice poll_interval)");
    assert_error(CLUSTER MEMBERS "[postgresql]\ndata_directory = main\n",
                 "9: [postgresql] data_directory: has to be an absolute path, beginning with /");
    assert_error(CLUSTER MEMBERS SERVER "[node]\nstate_directory = /var/lib/postgresql/15/main/vigil\n",
                 "11: [node] state_directory: must not be inside data_directory, which a clone empties");
    assert_string_equal(
        load(CLUSTER MEMBERS SERVER "[node]\nstate_directory = /var/lib/postgresql/15/main2\n"), "");
    assert_error(CLUSTER MEMBERS SERVER "[node]\nlisten = localhost\n",
                 "11: [node] listen: is no address; write one of this machine's, 0.0.0.0 or ::");
    assert_string_equal(load(CLUSTER MEMBERS SERVER "[node]\nlisten = ::\n"), "");
    assert_error("[cluster]\nname = Shop 1\nsecret = " SECRET "\n" MEMBERS SERVER,
                 "2: [cluster] name: is no name for a cluster, allowed are 1 to 31 of a-z, 0-9, - and _");
}

static void what_has_to_be_there(void **state)
{
    (void) state;
    assert_has(load("[cluster]\nsecret = " SECRET "\n" MEMBERS SERVER), "[cluster] name: is missing");
    assert_has(load("[cluster]\nname = shop\n" MEMBERS SERVER), "[cluster] secret: is missing");
    assert_has(load(CLUSTER MEMBERS), "[postgresql] data_directory: is missing (every data member needs it)");
    assert_string_equal(load_as(CLUSTER MEMBERS, "w1", CONFIG_USE_RUN), "");
    assert_true(config_is_witness(config));
    assert_has(load(CLUSTER SERVER), "[members] there is no member");
    assert_has(load_as(CLUSTER "[members]\nw1 = host=x role=witness\n", "w1", CONFIG_USE_RUN),
               "only witnesses");
    assert_string_equal(load(CLUSTER "[members]\npg1 = host=x\npg2 = host=y\n" SERVER), "");
    assert_has(warnings.data, "add a witness");
    assert_string_equal(load(CLUSTER "[members]\npg1 = host=x\n" SERVER), "");
}

static void all_errors_at_once(void **state)
{
    Err err = {0};
    char many[3000] = "[cluster]\n";

    (void) state;
    const char *text = load("[cluster]\nlease = 1\nheartbeat = x\n[members]\npg1 = port=1\n");
    assert_has(text, "c:2: [cluster] lease:");
    assert_has(text, "c:3: [cluster] heartbeat:");
    assert_has(text, "c:5: [members] pg1: host=");
    assert_has(text, "[cluster] name: is missing");
    assert_null(config_load(folder_path("c"), "pg1", &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_has(err.text, "c:2: [cluster] lease: \"1\" has no unit");
    assert_has(err.text, "more; pgvigil config check lists them");
    for (int i = 0; i < 100; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "zzz%d = 1\n", i);
    text = load(many);
    int lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    assert_int_equal(lines, CONFIG_PROBLEM_MAX + 1);
    assert_has(text, " more errors\n");
}

/* They are found by what they are about, and told by where they are. */
static void errors_are_in_the_order_of_the_file(void **state)
{
    const char *wanted[] = {"c:3: [members]", "c:5: [cluster] heartbeat", "c:7: [log] levell",
                            "c: [cluster] secret"};

    (void) state;
    const char *text =
        load("[members]\npg1 = host=10.99.0.1\npg2 = host=0.0.0.0\n[cluster]\nheartbeat = 900ms\n"
             "[log]\nlevell = x\n[cluster]\nname = shop\n");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const char *at = strstr(text, wanted[i]);
        if (at == NULL)
            fail_msg("%s is missing in: %s", wanted[i], text);
        text = at;
    }
}

static void no_file(void **state)
{
    Err err = {0};

    (void) state;
    assert_null(config_load(folder_path("none"), NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_has(
        err.text,
        "cannot be opened: No such file or directory; name another file with --config or PGVIGIL_CONFIG");
    setenv(CONFIG_PATH_ENV, folder_path("other"), 1);
    assert_string_equal(config_default_path(), folder_path("other"));
    assert_null(config_load(NULL, NULL, &err));
    assert_has(err.text, folder_path("other"));
    unsetenv(CONFIG_PATH_ENV);
    assert_string_equal(config_default_path(), "/etc/pgvigil/pgvigil.conf");
}

static const char *load_secret_line(const char *value)
{
    char text[1024];

    snprintf(text, sizeof text, "[cluster]\nname = shop\nsecret = %s\n" MEMBERS SERVER, value);
    return load(text);
}

static void secrets_from_files(void **state)
{
    char value[300];

    (void) state;
    snprintf(value, sizeof value, "file:%s", folder_path("secret"));
    assert_has(load_secret_line(value), "c:3: [cluster] secret: the secret's file");
    folder_write("secret", SECRET "-file\n");
    chmod(folder_path("secret"), 0644);
    assert_has(load_secret_line(value), "is open to everybody; chmod 600 /");
    chmod(folder_path("secret"), 0640);
    assert_string_equal(load_secret_line(value), "");
    assert_int_equal(config->secret_len, 21);
    assert_memory_equal(config->secret, SECRET "-file", 21);
    assert_string_equal(config->warnings, "");
    assert_string_equal(load_secret_line("file:secret"), ""); /* beside the configuration */
    folder_write("secret", "0123456789abcde\n");
    assert_has(load_secret_line(value), "the secret has 15 bytes, allowed are 16 to 4096");
    folder_write("secret", "0123456789abcdef\r\n");
    assert_string_equal(load_secret_line(value), "");
    assert_int_equal(config->secret_len, 16);
    unlink(folder_path("secret"));
    mkdir(folder_path("secret"), 0700);
    assert_has(load_secret_line(value), "not a regular file");
    rmdir(folder_path("secret"));
}

static void secrets_from_elsewhere(void **state)
{
    (void) state;
    unsetenv("PGVIGIL_TEST_SECRET");
    assert_has(load_secret_line("env:PGVIGIL_TEST_SECRET"),
               "the environment variable PGVIGIL_TEST_SECRET is not set");
    setenv("PGVIGIL_TEST_SECRET", SECRET "env", 1);
    assert_string_equal(load_secret_line("env:PGVIGIL_TEST_SECRET"), "");
    assert_int_equal(config->secret_len, 19);
    assert_has(load_secret_line("tooshort"), "the secret has 8 bytes");
    assert_null(strstr(errors.data, "tooshort"));
}

static void asking_needs_less(void **state)
{
    Err err = {0};

    (void) state;
    assert_string_equal(
        load_as("[cluster]\nname = shop\nsecret = file:/no/such/file\n" MEMBERS, NULL, CONFIG_USE_CLIENT),
        "");
    assert_int_equal(config->self, -1);
    assert_null(config->secret);
    assert_false(config_load_secret(config, &err));
    assert_has(err.text, "c:3: [cluster] secret: the secret's file /no/such/file is not there");
    assert_has(err.text, "openssl rand -hex 32 > /no/such/file");
    assert_string_equal(load_as(CLUSTER MEMBERS, NULL, CONFIG_USE_CLIENT), "");
    assert_true(config_load_secret(config, &err));
    assert_int_equal(config->secret_len, 16);
    assert_string_equal(load_as("[cluster]\nname = shop\n" MEMBERS, NULL, CONFIG_USE_CLIENT), "");
    assert_false(config_load_secret(config, &err));
    assert_has(err.text, "[cluster] secret: is missing");
}

static void which_member_is_this(void **state)
{
    char text[1000], host[65] = "";

    (void) state;
    assert_has(load_as(CLUSTER MEMBERS SERVER, "pg9", CONFIG_USE_RUN),
               "--node: there is no member \"pg9\" in [members], did you mean pg1?");
    assert_has(load_as(CLUSTER MEMBERS SERVER "[node]\nname = pg4\n", NULL, CONFIG_USE_RUN),
               "c:11: [node] name: there is no member \"pg4\"");
    load_as(CLUSTER MEMBERS SERVER "[node]\nname = pg2\n", NULL, CONFIG_USE_RUN);
    assert_string_equal(config_self(config)->name, "pg2");
    assert_string_equal(config->self_found, "[node] name");
    load_as(CLUSTER MEMBERS SERVER "[node]\nname = pg2\n", "pg1", CONFIG_USE_RUN);
    assert_string_equal(config_self(config)->name, "pg1"); /* --node is stronger */
    assert_int_equal(config->origin[OPTION_node_name].from, CONFIG_FROM_ARGUMENT);
    assert_has(load_as(CLUSTER MEMBERS SERVER, NULL, CONFIG_USE_RUN),
               "[members] no member has an address of this machine, or its host name");
    load_as(CLUSTER MEMBERS "me = host=127.0.0.1\n" SERVER, NULL, CONFIG_USE_RUN);
    assert_string_equal(config_self(config)->name, "me");
    assert_string_equal(config->self_found, "its address");
    assert_has(load_as(CLUSTER MEMBERS
                       "a = host=127.0.0.1\nb = host=127.0.0.1 port=1 agent_port=2 http_port=3\n" SERVER,
                       NULL, CONFIG_USE_RUN),
               "[members] a, b could be this machine by its address; say which with [node] name or --node");
    load_as(CLUSTER MEMBERS "a = host=127.0.0.1\nb = host=127.0.0.1 port=1 agent_port=2 http_port=3\n" SERVER,
            NULL, CONFIG_USE_CLIENT);
    assert_int_equal(config->self, -1);
    assert_true(config->self_unclear);
    gethostname(host, sizeof host - 1);
    snprintf(text, sizeof text, CLUSTER MEMBERS "me = host=%s\n" SERVER, host);
    load_as(text, NULL, CONFIG_USE_RUN);
    assert_string_equal(config_self(config)->name, "me");
    assert_string_equal(config->self_found, "its host name");
}

static uint64_t hash_of(const char *text)
{
    if (strlen(load(text)) > 0)
        fail_msg("%s", errors.data);
    return config_hash(config);
}

static void what_members_must_agree_on(void **state)
{
    uint64_t hash = hash_of(CLUSTER MEMBERS SERVER);

    (void) state;
    assert_true(hash != 0);
    assert_true(hash == hash_of("# other lines\n" MEMBERS CLUSTER "maximum_lag = 1MB\n" SERVER
                                "[log]\nlevel=debug\n"));
    /* These are the document's, or each leader's own: a change of them is rolled out one by one. */
    assert_true(
        hash ==
        hash_of(CLUSTER "lease = 2s\nheartbeat = 100ms\ndrift = 200ppm\nmargin = 20ms\n" MEMBERS SERVER));
    assert_true(hash != hash_of(CLUSTER MEMBERS "pg4 = host=x\n" SERVER));
    assert_true(hash != hash_of("[cluster]\nname = shop2\nsecret = " SECRET "\n" MEMBERS SERVER));
    assert_true(hash_of(CLUSTER "[members]\npg1 = host=a\npg2 = host=b\n" SERVER) !=
                hash_of(CLUSTER "[members]\npg2 = host=b\npg1 = host=a\n" SERVER));
    assert_true(hash_of(CLUSTER "[members]\npg1 = host=a\n" SERVER) !=
                hash_of(CLUSTER "[members]\npg1 = host=a agent_port=1\n" SERVER));
    assert_true(hash_of(CLUSTER "[members]\npg1 = host=a\n" SERVER) ==
                hash_of(CLUSTER "[members]\npg1 = host=a http_port=1\n" SERVER));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(defaults_and_values),
        IN_FOLDER(members_in_order),
        IN_FOLDER(wrong_lines),
        IN_FOLDER(wrong_members),
        IN_FOLDER(member_names_have_a_length),
        IN_FOLDER(options_bound_each_other),
        IN_FOLDER(what_has_to_be_there),
        IN_FOLDER(all_errors_at_once),
        IN_FOLDER(errors_are_in_the_order_of_the_file),
        IN_FOLDER(no_file),
        IN_FOLDER(secrets_from_files),
        IN_FOLDER(secrets_from_elsewhere),
        IN_FOLDER(asking_needs_less),
        IN_FOLDER(which_member_is_this),
        IN_FOLDER(what_members_must_agree_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
