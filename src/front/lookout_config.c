/*
 * lookout_config.c: one table of keys; each row has its kind, its place in the struct, its default and its
 * range.
 */
#include "front/lookout_config.h"

#include "config/suggest.h"
#include "core/lookout.h"
#include "front/lookout_native.h"
#include "front/lookout_values.h"
#include "pg/dsn.h"
#include "sys/file.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_STATE_FILE "/tmp/pglookout_state.json"
#define AT(field)          offsetof(LookoutConfig, field)

typedef enum Kind { FLAG, SECONDS, NUMBER, TEXT, COMMAND, NAMES, SPECIAL } Kind;

typedef struct Key {
    const char *name;
    Kind kind;
    size_t at;
    const char *fallback; /* of a text */
    double least, most, number;
} Key;

#define DAY 86400.0

/* In the order of pglookout's document, then what later versions added, then pgvigil's own. */
static const Key keys[] = {
    {"autofollow", FLAG, AT(autofollow), NULL, 0, 0, 0},
    {"db_poll_interval", SECONDS, AT(db_poll_us), NULL, 0.05, 3600, 5},
    {"remote_conns", SPECIAL, 0, NULL, 0, 0, 0},
    {"primary_conninfo_template", SPECIAL, 0, NULL, 0, 0, 0},
    {"observers", SPECIAL, 0, NULL, 0, 0, 0},
    {"http_address", TEXT, AT(http_address), "", 0, 0, 0},
    {"http_port", NUMBER, AT(http_port), NULL, 1, 65535, 15000},
    {"replication_state_check_interval", SECONDS, AT(check_us), NULL, 0.05, 3600, 10},
    {"failover_sleep_time", SECONDS, AT(failover_sleep_us), NULL, 0, DAY, 0},
    {"maintenance_mode_file", TEXT, AT(maintenance_mode_file), "/tmp/pglookout_maintenance_mode_file", 0, 0,
     0},
    {"missing_master_from_config_timeout", SECONDS, AT(missing_us), NULL, 0, 7 * DAY, 15},
    {"alert_file_dir", TEXT, AT(alert_file_dir), NULL, 0, 0, 0},
    {"json_state_file_path", TEXT, AT(state_file), DEFAULT_STATE_FILE, 0, 0, 0},
    {"max_failover_replication_time_lag", SECONDS, AT(failover_us), NULL, 0.1, 365 * DAY, 120},
    {"warning_replication_time_lag", SECONDS, AT(warning_us), NULL, 0.1, 365 * DAY, 30},
    {"failover_command", COMMAND, AT(failover_command), NULL, 0, 0, 0},
    {"never_promote_these_nodes", NAMES, AT(never_promote), NULL, 0, 0, 0},
    {"over_warning_limit_command", COMMAND, AT(over_warning_limit_command), NULL, 0, 0, 0},
    {"own_db", TEXT, AT(own_db), "", 0, 0, 0},
    {"log_level", SPECIAL, 0, NULL, 0, 0, 0},
    {"pg_data_directory", TEXT, AT(pg_data_directory), "/var/lib/pgsql/data", 0, 0, 0},
    {"pg_start_command", COMMAND, AT(pg_start_command), NULL, 0, 0, 0},
    {"pg_stop_command", COMMAND, AT(pg_stop_command), NULL, 0, 0, 0},
    {"syslog", FLAG, AT(syslog), NULL, 0, 0, 0},
    {"syslog_address", TEXT, AT(syslog_address), "/dev/log", 0, 0, 0},
    {"syslog_facility", TEXT, AT(syslog_facility), "local2", 0, 0, 0},
    {"statsd", SPECIAL, 0, NULL, 0, 0, 0},
    {"known_gone_nodes", NAMES, AT(known_gone), NULL, 0, 0, 0},
    {"replication_catchup_timeout", SECONDS, AT(catchup_us), NULL, 0, 365 * DAY, 300},
    {"poll_observers_on_warning_only", FLAG, AT(poll_observers_on_warning_only), NULL, 0, 0, 0},
    {"cluster_monitor_health_timeout_seconds", SECONDS, AT(health_us), NULL, 0, DAY, 0},
    {"failover_on_disconnect", FLAG, AT(failover_on_disconnect), NULL, 0, 0, 1},
    {"failover_priorities", SPECIAL, 0, NULL, 0, 0, 0},
    {"pgvigil_secret", TEXT, AT(lease.secret), NULL, 0, 0, 0},
    {"pgvigil_secret_file", TEXT, AT(lease.secret_file), NULL, 0, 0, 0},
    {"pgvigil_witness", TEXT, AT(lease.witness), "", 0, 0, 0},
    {"pgvigil_cluster", TEXT, AT(lease.cluster), "pglookout", 0, 0, 0},
    {"pgvigil_port", NUMBER, AT(lease.port), NULL, 1, 65535, 8009},
    {"pgvigil_http_port", NUMBER, AT(lease.http_port), NULL, 1, 65535, 8008},
    {"pgvigil_directory", TEXT, AT(lease.directory), "/var/lib/pglookout/pgvigil", 0, 0, 0},
    {"pgvigil_options", SPECIAL, 0, NULL, 0, 0, 0},
};

#define KEYS (sizeof keys / sizeof keys[0])

static bool read_key(LookoutConfig *config, const json_t *root, const Key *key, Err *err)
{
    LookoutValue value = {key->name, json_object_get(root, key->name), &config->arena};
    void *field = (char *) config + key->at;
    bool is_set = value.json != NULL && !json_is_null(value.json);
    double number = key->number;

    switch (key->kind) {
    case FLAG: *(bool *) field = key->number != 0; return !is_set || lookout_values_flag(&value, field, err);
    case SECONDS:
    case NUMBER:
        if (is_set && !lookout_values_number(&value, key->least, key->most, &number, err))
            return false;
        *(int64_t *) field = (int64_t) (number * (key->kind == SECONDS ? (double) US_PER_SEC : 1.0) + 0.5);
        return true;
    case TEXT:
        *(const char **) field = key->fallback;
        return !is_set || lookout_values_text(&value, field, err);
    case COMMAND: return !is_set || lookout_values_command(&value, field, err);
    case NAMES: return !is_set || lookout_values_names(&value, field, err);
    case SPECIAL: break;
    }
    return true;
}

static bool read_conns(LookoutConfig *config, const json_t *root, Err *err)
{
    json_t *conns = json_object_get(root, "remote_conns");
    const char *name;
    json_t *item;

    if (conns == NULL || json_is_null(conns))
        return true;
    if (!json_is_object(conns) || json_object_size(conns) > LOOKOUT_CONFIG_NODES)
        return err_set(
            err, ERR_CONFIG,
            "remote_conns: it has to be an object of at most %d names with their connection strings",
            LOOKOUT_CONFIG_NODES);
    config->conn = arena_alloc(&config->arena, (json_object_size(conns) + 1) * sizeof *config->conn);
    if (config->conn == NULL)
        abort();
    json_object_foreach(conns, name, item)
    {
        LookoutValue value = {arena_printf(&config->arena, "remote_conns.%s", name), item, &config->arena};
        LookoutPair *conn = &config->conn[config->conn_count];
        if (!lookout_values_conninfo(&value, &conn->value, err))
            return false;
        Dsn *dsn = dsn_parse(conn->value, err);
        if (dsn == NULL)
            return err_context(err, "%s", value.name);
        dsn_free(dsn);
        conn->name = arena_strdup(&config->arena, name);
        config->conn_count++;
    }
    return true;
}

static bool read_observers(LookoutConfig *config, const json_t *root, Err *err)
{
    json_t *observers = json_object_get(root, "observers");
    const char *name;
    json_t *item;

    if (observers == NULL || json_is_null(observers))
        return true;
    if (!json_is_object(observers) || json_object_size(observers) > LOOKOUT_CONFIG_OBSERVERS)
        return err_set(err, ERR_CONFIG,
                       "observers: it has to be an object of at most %d names with their URLs",
                       LOOKOUT_CONFIG_OBSERVERS);
    json_object_foreach(observers, name, item)
    {
        LookoutValue value = {arena_printf(&config->arena, "observers.%s", name), item, &config->arena};
        LookoutObserver *observer = &config->observer[config->observer_count++];
        observer->name = arena_strdup(&config->arena, name);
        if (!lookout_values_url(&value, &observer->host, &observer->port, &observer->path, err))
            return false;
    }
    return true;
}

static bool read_statsd(LookoutConfig *config, const json_t *root, Err *err)
{
    json_t *statsd = json_object_get(root, "statsd");
    double port = 8125;
    const char *name;
    json_t *item;

    if (statsd == NULL || json_is_null(statsd))
        return true;
    if (!json_is_object(statsd))
        return err_set(err, ERR_CONFIG, "statsd: it has to be an object with host, port and tags");
    LookoutValue host = {"statsd.host", json_object_get(statsd, "host"), &config->arena};
    LookoutValue number = {"statsd.port", json_object_get(statsd, "port"), &config->arena};
    config->statsd_host = "127.0.0.1";
    if ((host.json != NULL && !lookout_values_text(&host, &config->statsd_host, err)) ||
        (number.json != NULL && !lookout_values_number(&number, 1, 65535, &port, err)))
        return false;
    config->statsd_port = (uint16_t) port;
    json_t *tags = json_object_get(statsd, "tags");
    if (tags != NULL && (!json_is_object(tags) || json_object_size(tags) > LOOKOUT_CONFIG_TAGS))
        return err_set(err, ERR_CONFIG, "statsd.tags: it has to be an object of at most %d texts",
                       LOOKOUT_CONFIG_TAGS);
    json_object_foreach(tags, name, item)
    {
        LookoutValue value = {arena_printf(&config->arena, "statsd.tags.%s", name), item, &config->arena};
        LookoutPair *tag = &config->statsd_tag[config->statsd_tags++];
        tag->name = arena_strdup(&config->arena, name);
        if (!lookout_values_text(&value, &tag->value, err))
            return false;
    }
    return true;
}

static bool read_priorities(LookoutConfig *config, const json_t *root, Err *err)
{
    json_t *all = json_object_get(root, "failover_priorities");
    const char *name;
    json_t *item;

    if (all == NULL || json_is_null(all))
        return true;
    if (!json_is_object(all) || json_object_size(all) > LOOKOUT_CONFIG_NAMES)
        return err_set(err, ERR_CONFIG,
                       "failover_priorities: it has to be an object of at most %d names with numbers",
                       LOOKOUT_CONFIG_NAMES);
    json_object_foreach(all, name, item)
    {
        LookoutPriority *row = &config->priority[config->priority_count++];
        if (!json_is_integer(item))
            return err_set(err, ERR_CONFIG, "failover_priorities.%.100s: it has to be a whole number", name);
        *row = (LookoutPriority){arena_strdup(&config->arena, name), json_integer_value(item)};
    }
    return true;
}

static bool read_options(LookoutConfig *config, const json_t *root, Err *err)
{
    json_t *all = json_object_get(root, "pgvigil_options");
    LookoutLeaseConfig *lease = &config->lease;
    const char *name;
    json_t *item;

    if (all == NULL || json_is_null(all))
        return true;
    if (!json_is_object(all) || json_object_size(all) > LOOKOUT_CONFIG_OPTIONS)
        return err_set(
            err, ERR_CONFIG,
            "pgvigil_options: it has to be an object of at most %d options, as \"cluster.lease\": \"3s\"",
            LOOKOUT_CONFIG_OPTIONS);
    json_object_foreach(all, name, item)
    {
        LookoutValue value = {arena_printf(&config->arena, "pgvigil_options.%s", name), item, &config->arena};
        LookoutPair *option = &lease->option[lease->options++];
        if (!lookout_native_may_set(name, err) || !lookout_values_scalar(&value, &option->value, err))
            return false;
        option->name = arena_strdup(&config->arena, name);
    }
    return true;
}

static bool read_log_level(LookoutConfig *config, const json_t *root, Err *err)
{
    static const struct {
        const char *name;
        LogLevel level;
    } levels[] = {{"DEBUG", LOG_LEVEL_DEBUG}, {"INFO", LOG_LEVEL_INFO},   {"WARNING", LOG_LEVEL_WARN},
                  {"WARN", LOG_LEVEL_WARN},   {"ERROR", LOG_LEVEL_ERROR}, {"CRITICAL", LOG_LEVEL_ERROR}};
    json_t *json = json_object_get(root, "log_level");

    config->log_level = LOG_LEVEL_INFO;
    if (json == NULL || json_is_null(json))
        return true;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (json_is_string(json) && strcmp(json_string_value(json), levels[i].name) == 0) {
            config->log_level = levels[i].level;
            return true;
        }
    return err_set(err, ERR_CONFIG, "log_level: it has to be DEBUG, INFO, WARNING, ERROR or CRITICAL");
}

static bool read_special(LookoutConfig *config, const json_t *root, Err *err)
{
    LookoutValue template = {"primary_conninfo_template", json_object_get(root, "primary_conninfo_template"),
                             &config->arena};

    if (template.json != NULL && !json_is_null(template.json) &&
        !lookout_values_conninfo(&template, &config->primary_conninfo_template, err))
        return false;
    return read_conns(config, root, err) && read_observers(config, root, err) &&
           read_statsd(config, root, err) && read_priorities(config, root, err) &&
           read_options(config, root, err) && read_log_level(config, root, err);
}

static bool check_lease(const LookoutConfig *config, Err *err)
{
    const LookoutLeaseConfig *lease = &config->lease;

    if (lease->secret != NULL && lease->secret_file != NULL)
        return err_set(err, ERR_CONFIG,
                       "pgvigil_secret and pgvigil_secret_file: only one of them may be set");
    if (lease->secret_file != NULL && lease->secret_file[0] != '/')
        return err_set(err, ERR_CONFIG, "pgvigil_secret_file: it has to be an absolute path");
    if (lease->directory[0] != '/')
        return err_set(err, ERR_CONFIG, "pgvigil_directory: it has to be an absolute path");
    for (int i = 0; i < config->observer_count; i++)
        if (strcmp(config->observer[i].name, lease->witness) == 0)
            return true;
    return lease->witness[0] == '\0' ||
           err_set(err, ERR_CONFIG, "pgvigil_witness: \"%.100s\" is not in observers", lease->witness);
}

/* What is right by itself has to be right together, too. */
static bool check(LookoutConfig *config, Err *err)
{
    char folder[4096];

    config->own = -1;
    for (int i = 0; i < config->conn_count; i++)
        if (strcmp(config->conn[i].name, config->own_db) == 0)
            config->own = i;
    if (config->own_db[0] != '\0' && config->own < 0)
        return err_set(err, ERR_CONFIG,
                       "own_db: \"%.100s\" is not in remote_conns; an observer has \"\" here",
                       config->own_db);
    if (config->autofollow && config->own >= 0) {
        if (config->primary_conninfo_template == NULL)
            return err_set(err, ERR_CONFIG, "primary_conninfo_template is not set, and autofollow needs it");
        if (config->pg_start_command.argv[0] == NULL || config->pg_stop_command.argv[0] == NULL)
            return err_set(err, ERR_CONFIG, "autofollow needs pg_start_command and pg_stop_command");
        if (config->pg_data_directory[0] != '/')
            return err_set(err, ERR_CONFIG, "pg_data_directory: it has to be an absolute path");
    }
    if (config->alert_file_dir == NULL || config->alert_file_dir[0] != '/') {
        if (getcwd(folder, sizeof folder) == NULL)
            return err_set(err, ERR_CONFIG,
                           "alert_file_dir: the current folder is gone; name an absolute path");
        config->alert_file_dir = config->alert_file_dir == NULL || config->alert_file_dir[0] == '\0'
                                     ? arena_strdup(&config->arena, folder)
                                     : arena_printf(&config->arena, "%s/%s", folder, config->alert_file_dir);
    }
    if (config->health_us == 0)
        config->health_us = 2 * config->check_us;
    return check_lease(config, err);
}

static void warn(const LookoutConfig *config, const json_t *root, Buf *warnings)
{
    const char *name;
    json_t *item;

    json_object_foreach((json_t *) root, name, item)
    {
        Suggest suggest = suggest_for(name);
        bool known = false;
        for (size_t i = 0; i < KEYS; i++) {
            known = known || strcmp(name, keys[i].name) == 0;
            suggest_offer(&suggest, keys[i].name);
        }
        const char *best = suggest_best(&suggest);
        if (!known && best != NULL)
            buf_printf(warnings, "unknown key \"%.100s\": is \"%s\" meant?\n", name, best);
        else if (!known)
            buf_printf(warnings, "unknown key \"%.100s\": it does nothing\n", name);
    }
    if (config->warning_us > config->failover_us)
        buf_puts(warnings,
                 "warning_replication_time_lag is above max_failover_replication_time_lag: a failover comes "
                 "without a warning before it\n");
    if (config->own >= 0 && config->db_poll_us >= LOOKOUT_POSITION_US)
        buf_puts(warnings,
                 "db_poll_interval is 20 s or more: a position that old is none, so nobody is promoted\n");
    if (config->own >= 0 && config->failover_command.argv[0] == NULL)
        buf_puts(warnings, "failover_command is empty: this node will never be promoted\n");
}

/* Of a key that is there twice the last one counts, as with the old program; jansson's text names it. */
static json_t *load(const char *text, size_t len, Buf *warnings, json_error_t *error)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, error);

    if (root != NULL || json_error_code(error) != json_error_duplicate_key)
        return root;
    buf_printf(warnings, "line %d: %s: the last one counts\n", error->line, error->text);
    return json_loadb(text, len, 0, error);
}

LookoutConfig *lookout_config_parse(const char *text, size_t len, Buf *ret_warnings, Err *err)
{
    json_error_t error;
    json_t *root = load(text, len, ret_warnings, &error);
    LookoutConfig *config = calloc(1, sizeof *config);
    bool done = root != NULL && json_is_object(root);

    if (config == NULL)
        abort();
    if (!done && root == NULL)
        err_set(err, ERR_CONFIG, "line %d: it is no JSON: %s", error.line, error.text);
    else if (!done)
        err_set(err, ERR_CONFIG, "it has to be one JSON object, { ... }");
    for (size_t i = 0; i < KEYS && done; i++)
        done = read_key(config, root, &keys[i], err);
    done = done && read_special(config, root, err) && check(config, err);
    if (done)
        warn(config, root, ret_warnings);
    json_decref(root);
    if (done && !config->arena.failed)
        return config;
    if (done)
        err_set(err, ERR_MEMORY, "memory ran out");
    lookout_config_free(config);
    return NULL;
}

LookoutConfig *lookout_config_load(const char *path, Buf *ret_warnings, Err *err)
{
    Buf text = {0};
    LookoutConfig *config = NULL;

    if (file_read(path, LOOKOUT_CONFIG_FILE_MAX, &text, err)) {
        config = lookout_config_parse(text.data != NULL ? text.data : "", text.len, ret_warnings, err);
        if (config == NULL)
            err_context(err, "%.200s", path);
    }
    if (config == NULL && err->code == ERR_IO)
        err->code = ERR_CONFIG;
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return config;
}

bool lookout_config_state_file(const char *path, char *ret_path, size_t size, Err *err)
{
    Buf text = {0};
    json_error_t error;
    bool done = file_read(path, LOOKOUT_CONFIG_FILE_MAX, &text, err);
    json_t *root = done ? json_loadb(text.data != NULL ? text.data : "", text.len, 0, &error) : NULL;
    const char *found = json_string_value(json_object_get(root, "json_state_file_path"));

    if (done && !json_is_object(root))
        done = err_set(err, ERR_CONFIG, "%.200s: it has to be one JSON object", path);
    if (done && !str_copy(ret_path, size, found != NULL ? found : DEFAULT_STATE_FILE))
        done = err_set(err, ERR_CONFIG, "%.200s: json_state_file_path is too long", path);
    json_decref(root);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return done;
}

const char *lookout_config_key(size_t index)
{
    return index < KEYS ? keys[index].name : NULL;
}

int64_t lookout_config_priority(const LookoutConfig *config, const char *name)
{
    for (int i = 0; i < config->priority_count; i++)
        if (strcmp(config->priority[i].name, name) == 0)
            return config->priority[i].priority;
    return 0;
}

bool lookout_config_has(const LookoutNames *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (strcmp(names->name[i], name) == 0)
            return true;
    return false;
}

void lookout_config_free(LookoutConfig *config)
{
    if (config == NULL)
        return;
    for (int i = 0; i < config->conn_count; i++)
        explicit_bzero((char *) config->conn[i].value, strlen(config->conn[i].value));
    if (config->primary_conninfo_template != NULL)
        explicit_bzero((char *) config->primary_conninfo_template, strlen(config->primary_conninfo_template));
    if (config->lease.secret != NULL)
        explicit_bzero((char *) config->lease.secret, strlen(config->lease.secret));
    arena_done(&config->arena);
    free(config);
}
