/*
 * lookout_native.c: members and options of pgvigil's own file, out of pglookout's.
 *
 * An option that pgvigil_options has is left out where it is made, and stands at the end as it is given.
 */
#include "front/lookout_native.h"

#include "config/ini.h"
#include "config/value.h"
#include "core/lookout.h"
#include "net/local_address.h"
#include "pg/conninfo.h"
#include "pg/dsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Native {
    const LookoutConfig *config;
    Buf *out;
    Err *err;
    bool ok, comments;
    char section[64];
} Native;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* ---- members ---- */

static bool comes_before(const LookoutConfig *config, const char *a, const char *b)
{
    int64_t of_a = lookout_config_priority(config, a), of_b = lookout_config_priority(config, b);

    return of_a != of_b ? of_a > of_b : strcmp(a, b) > 0;
}

static bool take_server(const LookoutPair *conn, LookoutVoter *ret_voter, Err *err)
{
    Dsn *dsn = dsn_parse(conn->value, err);

    if (dsn == NULL)
        return err_context(err, "remote_conns.%s", conn->name);
    ConnTarget target = dsn_target(dsn, 0);
    const char *host = target.hostaddr != NULL && target.hostaddr[0] != '\0' ? target.hostaddr : target.host;
    bool ok = dsn_hosts(dsn) == 1 && host != NULL && !local_address_only(host) &&
              str_copy(ret_voter->host, sizeof ret_voter->host, host);
    ret_voter->name = conn->name;
    ret_voter->port = target.port != 0 ? target.port : 5432;
    dsn_free(dsn);
    return ok ||
           err_set(err, ERR_CONFIG,
                   "remote_conns.%.100s: members need one host by which the others reach it, on every node "
                   "the same; it has none, several, or one that is only this machine",
                   conn->name);
}

static bool take_witness(const LookoutConfig *config, LookoutVoters *voters, Err *err)
{
    const char *name = config->lease.witness;

    if (name[0] == '\0')
        return true;
    for (int i = 0; i < config->observer_count; i++) {
        const LookoutObserver *observer = &config->observer[i];
        if (strcmp(observer->name, name) != 0)
            continue;
        LookoutVoter *voter = &voters->voter[voters->count];
        *voter = (LookoutVoter){.name = name, .observer = observer};
        if (!str_copy(voter->host, sizeof voter->host, observer->host) || local_address_only(observer->host))
            return err_set(
                err, ERR_CONFIG,
                "observers.%.100s: as pgvigil_witness it needs a host by which the others reach it", name);
        if (config->own < 0)
            voters->own = voters->count;
        voters->count++;
    }
    return true;
}

bool lookout_native_voters(const LookoutConfig *config, LookoutVoters *ret_voters, Err *err)
{
    int witness = config->lease.witness[0] != '\0';

    *ret_voters = (LookoutVoters){.own = -1};
    if (config->conn_count + witness > LOOKOUT_NATIVE_VOTERS)
        return err_set(err, ERR_CONFIG,
                       "remote_conns has %d servers; a cluster has at most %d members, its witness included",
                       config->conn_count, LOOKOUT_NATIVE_VOTERS);
    for (int i = 0; i < config->conn_count; i++) {
        LookoutVoter voter = {.name = NULL};
        int at = ret_voters->count++;
        if (!take_server(&config->conn[i], &voter, err))
            return false;
        for (; at > 0 && comes_before(config, voter.name, ret_voters->voter[at - 1].name); at--)
            ret_voters->voter[at] = ret_voters->voter[at - 1];
        ret_voters->voter[at] = voter;
    }
    for (int i = 0; i < ret_voters->count; i++)
        if (strcmp(ret_voters->voter[i].name, config->own_db) == 0)
            ret_voters->own = i;
    return take_witness(config, ret_voters, err);
}

/* ---- lines ---- */

bool lookout_native_may_set(const char *name, Err *err)
{
    static const char *const own[] = {"cluster.name", "cluster.secret",       "cluster.failover",
                                      "node.name",    "node.state_directory", "node.no_failover"};
    const char *dot = strrchr(name, '.');

    if (dot == NULL || dot == name || dot[1] == '\0' || strpbrk(name, "\n[]=") != NULL)
        return err_set(err, ERR_CONFIG, "pgvigil_options.%.100s: an option's name is as in \"cluster.lease\"",
                       name);
    if (strncmp(name, "members.", 8) == 0 || strncmp(name, "http.tls_", 9) == 0)
        return err_set(err, ERR_CONFIG, "pgvigil_options.%.100s: it cannot be set behind this front end",
                       name);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(name, own[i]) == 0)
            return err_set(err, ERR_CONFIG, "pgvigil_options.%.100s: pglookout's own keys decide that", name);
    return true;
}

static bool is_overridden(const Native *native, const char *section, const char *key)
{
    size_t len = strlen(section);

    for (int i = 0; i < native->config->lease.options; i++) {
        const char *name = native->config->lease.option[i].name;
        if (strncmp(name, section, len) == 0 && name[len] == '.' && strcmp(name + len + 1, key) == 0)
            return true;
    }
    return false;
}

/* A blank and a semicolon would begin a comment there, in quotes too. */
static void add_line(Native *native, const char *section, const char *key, const char *value)
{
    bool odd = strpbrk(value, "\n\r") != NULL || strstr(value, " ;") != NULL || strstr(value, "\t;") != NULL;

    if (native->ok && (odd || strlen(key) + strlen(value) + 3 > INI_LINE_MAX))
        native->ok =
            err_set(native->err, ERR_CONFIG,
                    "[%s] %s: \"%.60s...\" does not fit into one line of %d characters, or has a line's "
                    "end or a blank with a semicolon in it; put it into a script",
                    section, key, value, INI_LINE_MAX);
    if (strcmp(native->section, section) != 0)
        buf_printf(native->out, "%s[%s]\n", native->out->len > 0 ? "\n" : "", section);
    str_copy(native->section, sizeof native->section, section);
    buf_printf(native->out, "%s = %s\n", key, value);
}

/* from: the key that it is from, or any comment; NULL: none. */
static void put(Native *native, const char *section, const char *key, const char *value, const char *from)
{
    if (is_overridden(native, section, key))
        return;
    if (native->comments && from != NULL) {
        if (strcmp(native->section, section) != 0)
            buf_printf(native->out, "\n[%s]\n", section);
        str_copy(native->section, sizeof native->section, section);
        buf_printf(native->out, "# %s\n", from);
    }
    add_line(native, section, key, value);
}

static void put_time(Native *native, const char *section, const char *key, int64_t us, const char *from)
{
    char text[32];

    value_format_duration((us + US_PER_MS - 1) / US_PER_MS, text, sizeof text);
    put(native, section, key, text, from);
}

/* Within double quotes a backslash takes away the meaning of \ and "; a per cent sign is doubled everywhere.
 */
static void add_word(Buf *out, const char *word)
{
    bool plain = word[0] != '\0' && strpbrk(word, " \t'\"\\") == NULL;

    buf_puts(out, plain ? "" : "\"");
    for (; *word != '\0'; word++) {
        if (*word == '%')
            buf_puts(out, "%");
        else if (*word == '"' || *word == '\\')
            buf_puts(out, "\\");
        buf_add(out, word, 1);
    }
    buf_puts(out, plain ? "" : "\"");
}

bool lookout_native_command(const LookoutCommand *command, Buf *out, Err *err)
{
    for (int i = 0; command->argv[i] != NULL; i++) {
        buf_puts(out, i > 0 ? " " : "");
        add_word(out, command->argv[i]);
    }
    return !out->failed || err_set(err, ERR_MEMORY, "memory ran out");
}

static void put_command(Native *native, const char *key, const LookoutCommand *command, const char *from)
{
    Buf line = {0};

    if (command->argv[0] != NULL && lookout_native_command(command, &line, native->err))
        put(native, "commands", key, line.data, from);
    buf_done(&line);
}

/* ---- the file ---- */

static void put_members(Native *native, const LookoutVoters *voters)
{
    const LookoutLeaseConfig *lease = &native->config->lease;
    char text[LOOKOUT_NATIVE_HOST + 100];

    for (int i = 0; i < voters->count; i++) {
        const LookoutVoter *voter = &voters->voter[i];
        int len = snprintf(text, sizeof text, "host=%s", voter->host);
        if (voter->port != 0 && voter->port != 5432)
            len += snprintf(text + len, sizeof text - (size_t) len, " port=%u", voter->port);
        snprintf(text + len, sizeof text - (size_t) len, " agent_port=%lld http_port=%lld%s",
                 (long long) lease->port, (long long) lease->http_port,
                 voter->observer != NULL ? " role=witness" : "");
        put(native, "members", voter->name, text,
            i > 0
                ? NULL
                : "from remote_conns, pgvigil_witness, pgvigil_port and pgvigil_http_port; the order is that "
                  "of failover_priorities");
    }
}

static void on_keyword(void *arg, const char *keyword, const char *value)
{
    if (strcmp(keyword, "user") == 0)
        put(arg, "postgresql", "replication_user", value, "from primary_conninfo_template");
}

static void put_server(Native *native)
{
    const LookoutConfig *config = native->config;

    put(native, "postgresql", "data_directory", config->pg_data_directory, "from pg_data_directory");
    put(native, "postgresql", "rewind", "no",
        "pglookout neither rewinds nor clones. yes is pgvigil's default, and brings back what has diverged");
    put(native, "postgresql", "clone", "no", NULL);
    if (config->primary_conninfo_template != NULL)
        conninfo_each(config->primary_conninfo_template, on_keyword, native);
    put_command(native, "start", &config->pg_start_command, "from pg_start_command");
    put_command(native, "stop", &config->pg_stop_command, "from pg_stop_command");
    put_command(
        native, "promote", &config->failover_command,
        "from failover_command. It only has to promote: clients are kept from the former primary by the lease");
}

static void put_options(Native *native)
{
    for (int i = 0; i < native->config->lease.options; i++) {
        const LookoutPair *option = &native->config->lease.option[i];
        const char *dot = strrchr(option->name, '.');
        char section[64];
        if (snprintf(section, sizeof section, "%.*s", (int) (dot - option->name), option->name) >=
            (int) sizeof section)
            native->ok = err_set(native->err, ERR_CONFIG, "pgvigil_options.%.100s: unknown", option->name);
        add_line(native, section, dot + 1, option->value);
    }
}

static bool end(const Native *native)
{
    return native->ok && (!native->out->failed || err_set(native->err, ERR_MEMORY, "memory ran out"));
}

bool lookout_native_agent(const LookoutConfig *config, const LookoutVoters *voters, Buf *out, Err *err)
{
    Native native = {.config = config, .out = out, .err = err, .ok = true};
    char secret[4200];

    snprintf(secret, sizeof secret, "file:%s",
             config->lease.secret_file != NULL ? config->lease.secret_file : LOOKOUT_NATIVE_SECRET_FILE);
    buf_puts(out, "# Written by pglookout out of its own file, at each start and reload: change it there.\n");
    put(&native, "cluster", "name", config->lease.cluster, NULL);
    put(&native, "cluster", "secret", secret, NULL);
    put(&native, "cluster", "failover", "ordered", NULL);
    put_members(&native, voters);
    put(&native, "node", "name", voters->voter[voters->own].name, NULL);
    put(&native, "node", "state_directory", config->lease.directory, NULL);
    if (lookout_config_has(&config->never_promote, voters->voter[voters->own].name))
        put(&native, "node", "no_failover", "yes", NULL);
    put(&native, "log", "level", level_names[config->log_level], NULL);
    if (config->own >= 0)
        put_server(&native);
    put_options(&native);
    return end(&native);
}

/* ---- for moving over ---- */

static void put_notify(Native *native)
{
    const LookoutConfig *config = native->config;
    const char *const *argv = config->over_warning_limit_command.argv;
    char text[600];
    Buf words = {0};

    put(native, "notify alert_files", "kind", "alert_file",
        "from alert_file_dir; the files have other names");
    put(native, "notify alert_files", "severity", "warning",
        "what happened once, as a failover, leaves a file that stays; of what is no trouble there is none");
    put(native, "notify alert_files", "folder", config->alert_file_dir, NULL);
    if (config->syslog) {
        put(native, "notify syslog", "kind", "syslog", "from syslog, syslog_address and syslog_facility");
        put(native, "notify syslog", "address", config->syslog_address, NULL);
        put(native, "notify syslog", "facility", config->syslog_facility, NULL);
    }
    if (config->statsd_host != NULL) {
        snprintf(text, sizeof text, strchr(config->statsd_host, ':') != NULL ? "[%s]:%u" : "%s:%u",
                 config->statsd_host, config->statsd_port);
        put(native, "notify statsd", "kind", "statsd", "from statsd; the names are others");
        put(native, "notify statsd", "server", text, NULL);
        for (int i = 0; i < config->statsd_tags; i++)
            buf_printf(&words, "%s%s=%s", i > 0 ? " " : "", config->statsd_tag[i].name,
                       config->statsd_tag[i].value);
        if (words.data != NULL)
            put(native, "notify statsd", "tags", words.data, NULL);
        buf_done(&words);
    }
    if (argv[0] == NULL)
        return;
    for (int i = 0; argv[i] != NULL; i++)
        buf_printf(&words, "%s%s", i > 0 ? " " : "", argv[i]);
    put(native, "notify over_warning", "kind", "hook",
        "from over_warning_limit_command; it gets three more arguments, ACTION ROLE CLUSTER, and no quotes. It runs "
        "when the lag is over, too: PGVIGIL_STATE in its environment is began or ended");
    put(native, "notify over_warning", "events", "lag_warning", NULL);
    put(native, "notify over_warning", "members", "self", NULL);
    put(native, "notify over_warning", "repeat", "0", NULL);
    put(native, "notify over_warning", "command", words.data,
        argv[0][0] == '/' ? NULL : "the program's absolute path has to be written here");
    buf_done(&words);
}

bool lookout_native_convert(const LookoutConfig *config, const LookoutVoters *voters, Buf *out, Err *err)
{
    Native native = {.config = config, .out = out, .err = err, .ok = true, .comments = true};
    char secret[4200] = "file:/etc/pgvigil/secret";

    if (config->lease.secret_file != NULL)
        snprintf(secret, sizeof secret, "file:%s", config->lease.secret_file);
    put(&native, "cluster", "name", config->lease.cluster, "from pgvigil_cluster, or its default");
    put(&native, "cluster", "secret", secret,
        config->lease.secret_file != NULL
            ? "from pgvigil_secret_file"
            : "to be made once, and copied to every member: (umask 077; openssl rand -hex 32 > FILE)");
    put_members(&native, voters);
    for (int i = 0; i < config->observer_count; i++)
        if (strcmp(config->observer[i].name, config->lease.witness) != 0)
            buf_printf(
                out,
                "# from observers; as a witness it votes, as an observer (its own file) it tells what it sees\n"
                "# %s = host=%s role=witness\n",
                config->observer[i].name, config->observer[i].host);
    if (config->http_address[0] != '\0')
        put(&native, "node", "http_listen", config->http_address, "from http_address, of this machine");
    if (lookout_config_has(&config->never_promote, config->own_db))
        put(&native, "node", "no_failover", "yes", "from never_promote_these_nodes, of this machine only");
    put_server(&native);
    put(&native, "log", "level", level_names[config->log_level], "from log_level");
    put_time(&native, "lag", "warning", config->warning_us, "from warning_replication_time_lag");
    if (config->failover_us > config->warning_us)
        put_time(&native, "lag", "critical", config->failover_us,
                 "from max_failover_replication_time_lag: an alarm, no condition of a failover any more");
    put_time(&native, "lag", "grace",
             config->catchup_us < 86400 * US_PER_SEC ? config->catchup_us : 86400 * US_PER_SEC,
             "from replication_catchup_timeout");
    put_notify(&native);
    put_options(&native);
    return end(&native);
}
