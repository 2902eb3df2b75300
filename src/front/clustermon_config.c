/*
 * clustermon_config.c: one table of keys; each row has its kind, its place in the struct, its default and its
 * range.
 */
#include "front/clustermon_config.h"

#include "config/suggest.h"
#include "config/value.h"
#include "front/clustermon_ini.h"
#include "pg/conninfo.h"
#include "pg/dsn.h"
#include "sys/file.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define AT(field)     offsetof(ClustermonConfig, field)
#define CMD(index)    (AT(command) + (index) * sizeof(const char *))
#define CONNSTR       "%master_connstr%"
#define SHELL_SPECIAL "\"$`\\\n"
#define DAY           86400

typedef enum Kind { TEXT, NEEDED, SECONDS, NUMBER, FLAG, LEVEL } Kind;

typedef struct Key {
    const char *section, *name;
    Kind kind;
    size_t at;
    const char *fallback; /* NEEDED has none */
    int64_t least, most;
} Key;

/* In the order of pgClusterMonitor's document, then pgvigil's own. */
static const Key keys[] = {
    {"main", "local_node_host_name", NEEDED, AT(own_name), NULL, 0, 0},
    {"main", "pg_data_path", NEEDED, AT(data_path), NULL, 0, 0},
    {"main", "cmd_create_db_directories", TEXT, CMD(CLUSTERMON_CMD_CREATE), "", 0, 0},
    {"main", "cmd_remove_db_directories", TEXT, CMD(CLUSTERMON_CMD_REMOVE), "", 0, 0},
    {"main", "replication_slot_name", TEXT, AT(slot), "", 0, 0},
    {"main", "cluster_scan_period_sec", SECONDS, AT(scan_us), "10", 1, 3600},
    {"main", "timeout_to_failover_sec", SECONDS, AT(failover_us), "15", 1, DAY},
    {"main", "timeout_to_downgrade_master_sec", SECONDS, AT(downgrade_us), "35", 1, DAY},
    {"main", "timeout_to_check_replication_status_after_start_sec", SECONDS, AT(check_us), "15", 1, DAY},
    {"main", "cmd_get_network_status_string", TEXT, CMD(CLUSTERMON_CMD_NETWORK), "", 0, 0},
    {"main", "cmd_success_network_status_string", TEXT, AT(network_success), "up", 0, 0},
    {"main", "cmd_get_db_status_string", NEEDED, CMD(CLUSTERMON_CMD_STATUS), NULL, 0, 0},
    {"main", "cmd_success_db_status_string", TEXT, AT(db_success), "is running", 0, 0},
    {"main", "cmd_promote_standby_to_master", NEEDED, CMD(CLUSTERMON_CMD_PROMOTE), NULL, 0, 0},
    {"main", "cmd_pg_rewind_command", TEXT, CMD(CLUSTERMON_CMD_REWIND), "", 0, 0},
    {"main", "cmd_pg_basebackup_command", TEXT, CMD(CLUSTERMON_CMD_CLONE), "", 0, 0},
    {"main", "cmd_start_db", NEEDED, CMD(CLUSTERMON_CMD_START), NULL, 0, 0},
    {"main", "cmd_stop_db", NEEDED, CMD(CLUSTERMON_CMD_STOP), NULL, 0, 0},
    {"main", "webserver_address", TEXT, AT(address), "localhost", 0, 0},
    {"main", "webserver_port", NUMBER, AT(port), "9889", 1, 65535},
    {"pgvigil", "cluster", TEXT, AT(cluster), "pg_cluster_monitor", 0, 0},
    {"pgvigil", "state_directory", TEXT, AT(state_directory), "/var/lib/pg_cluster_monitor", 0, 0},
    {"pgvigil", "discard_unsaved", FLAG, AT(discard_unsaved), "no", 0, 0},
    {"pgvigil", "log_level", LEVEL, AT(log_level), "info", 0, 0},
};

#define KEYS (sizeof keys / sizeof keys[0])

typedef enum Placeholder {
    PLACEHOLDER_DATA,
    PLACEHOLDER_PRIMARY,
    PLACEHOLDER_SLOT,
    PLACEHOLDERS
} Placeholder;

static const char *const placeholders[PLACEHOLDERS] = {"%pg_data_path%", CONNSTR, "%slot_name%"};

/* Which one begins there; PLACEHOLDERS: none. */
static Placeholder placeholder_at(const char *text)
{
    Placeholder i = PLACEHOLDER_DATA;

    while (i < PLACEHOLDERS && strncmp(text, placeholders[i], strlen(placeholders[i])) != 0)
        i++;
    return i;
}

typedef struct Reading {
    ClustermonConfig *config;
    bool seen[KEYS];
    Buf *warnings;
} Reading;

const char *clustermon_config_command_key(ClustermonCommand command)
{
    for (size_t i = 0; i < KEYS; i++)
        if (keys[i].at == CMD((size_t) command))
            return keys[i].name;
    return "";
}

const char *clustermon_config_key(size_t index)
{
    static char text[100];

    if (index >= KEYS)
        return NULL;
    snprintf(text, sizeof text, "%s.%s", keys[index].section, keys[index].name);
    return text;
}

/* ---- values ---- */

static bool to_number(const char *text, int64_t least, int64_t most, int64_t *ret, Err *err)
{
    return value_parse_number(text, least, most, ret, NULL) ||
           err_set(err, ERR_CONFIG, "\"%.40s\" is no whole number from %lld to %lld", text, (long long) least,
                   (long long) most);
}

static bool to_level(const char *text, LogLevel *ret, Err *err)
{
    int level;

    if (!value_parse_choice(text, "debug|info|warn|error", &level, NULL))
        return err_set(err, ERR_CONFIG, "\"%.40s\" is none of debug, info, warn, error", text);
    *ret = (LogLevel) level;
    return true;
}

static bool set_value(const Key *key, const char *text, ClustermonConfig *config, Err *err)
{
    void *at = (char *) config + key->at;
    int64_t *number = at;
    bool ok = true;

    switch (key->kind) {
    case TEXT: *(const char **) at = text; break;
    case NEEDED:
        ok = text[0] != '\0' || err_set(err, ERR_CONFIG, "must not be empty");
        *(const char **) at = text;
        break;
    case SECONDS:
        ok = to_number(text, key->least, key->most, number, err);
        *number *= US_PER_SEC;
        break;
    case NUMBER: ok = to_number(text, key->least, key->most, number, err); break;
    case FLAG: ok = value_parse_bool(text, at, err); break;
    case LEVEL: ok = to_level(text, at, err); break;
    }
    return ok || err_context(err, "[%s] %s", key->section, key->name);
}

/* ---- entries ---- */

static bool add_server(ClustermonConfig *config, const ClustermonIniEntry *entry, Err *err)
{
    for (int i = 0; i < config->servers; i++)
        if (strcmp(config->server[i].name, entry->key) == 0)
            return err_set(err, ERR_CONFIG, "line %d: [cluster] %.60s is there twice", entry->line,
                           entry->key);
    if (config->servers == CLUSTERMON_CONFIG_NODES)
        return err_set(err, ERR_CONFIG, "line %d: [cluster] has more than %d nodes", entry->line,
                       CLUSTERMON_CONFIG_NODES);
    Dsn *dsn = dsn_parse(entry->value, err);
    if (dsn == NULL)
        return err_context(err, "line %d: [cluster] %.60s", entry->line, entry->key);
    int hosts = dsn_hosts(dsn);
    dsn_free(dsn);
    if (hosts != 1)
        return err_set(err, ERR_CONFIG, "line %d: [cluster] %.60s: it has to name one host", entry->line,
                       entry->key);
    config->server[config->servers++] = (ClustermonServer){entry->key, entry->value};
    return true;
}

static void warn_of_key(const Reading *reading, const ClustermonIniEntry *entry)
{
    Suggest suggest = suggest_for(entry->key);

    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(entry->section, keys[i].section) == 0)
            suggest_offer(&suggest, keys[i].name);
    const char *best = suggest_best(&suggest);
    if (strcmp(entry->section, "main") != 0 && strcmp(entry->section, "pgvigil") != 0)
        buf_printf(reading->warnings,
                   "line %d: [%.40s] is none of [cluster], [main] and [pgvigil]: %.100s does nothing\n",
                   entry->line, entry->section, entry->key);
    else if (best != NULL)
        buf_printf(reading->warnings, "line %d: unknown key [%.40s] %.100s: is %s meant?\n", entry->line,
                   entry->section, entry->key, best);
    else
        buf_printf(reading->warnings, "line %d: unknown key [%.40s] %.100s: it does nothing\n", entry->line,
                   entry->section, entry->key);
}

static bool on_entry(void *arg, const ClustermonIniEntry *entry, Err *err)
{
    Reading *reading = arg;

    if (strcmp(entry->section, "cluster") == 0)
        return add_server(reading->config, entry, err);
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(entry->section, keys[i].section) != 0 || strcmp(entry->key, keys[i].name) != 0)
            continue;
        if (reading->seen[i])
            return err_set(err, ERR_CONFIG, "line %d: [%s] %s is there twice", entry->line, entry->section,
                           entry->key);
        reading->seen[i] = true;
        return set_value(&keys[i], entry->value, reading->config, err) ||
               err_context(err, "line %d", entry->line);
    }
    warn_of_key(reading, entry);
    return true;
}

/* ---- the whole ---- */

static bool set_defaults(const Reading *reading, Err *err)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (reading->seen[i])
            continue;
        if (keys[i].kind == NEEDED)
            return err_set(err, ERR_CONFIG, "[%s] %s is missing", keys[i].section, keys[i].name);
        if (!set_value(&keys[i], keys[i].fallback, reading->config, err))
            return false;
    }
    return true;
}

/* The shell would take them for its own: a password with a $ in it would be another one. */
static bool check_texts(const ClustermonConfig *config, Err *err)
{
    for (int c = 0; c < CLUSTERMON_COMMANDS; c++) {
        const char *line = config->command[c], *key = clustermon_config_command_key((ClustermonCommand) c);
        if (strstr(line, placeholders[PLACEHOLDER_DATA]) != NULL &&
            strpbrk(config->data_path, SHELL_SPECIAL) != NULL)
            return err_set(err, ERR_CONFIG, "[main] pg_data_path has a character that the shell of %s reads",
                           key);
        if (strstr(line, placeholders[PLACEHOLDER_SLOT]) != NULL &&
            strpbrk(config->slot, SHELL_SPECIAL) != NULL)
            return err_set(err, ERR_CONFIG,
                           "[main] replication_slot_name has a character that the shell of %s reads", key);
        for (int i = 0; i < config->servers && strstr(line, CONNSTR) != NULL; i++) {
            bool quoted = strstr(line, "'" CONNSTR "'") != NULL;
            if (i != config->own &&
                strpbrk(config->server[i].conninfo, quoted ? SHELL_SPECIAL "'" : SHELL_SPECIAL) != NULL)
                return err_set(
                    err, ERR_CONFIG,
                    "[cluster] %.60s has one of %s, which would mean something else within %s: put "
                    "the password into a passfile (passfile=FILE)",
                    config->server[i].name, quoted ? "\" $ ` \\ '" : "\" $ ` \\", key);
        }
    }
    return true;
}

/* A line that was copied and not changed: its node would be seen twice. */
static bool check_places(const ClustermonConfig *config, Err *err)
{
    ClustermonPlace a, b;
    bool same = false;

    for (int i = 0; i < config->servers && !same; i++)
        for (int j = 0; j < i && !same; j++) {
            same = clustermon_config_place(config->server[i].conninfo, &a) &&
                   clustermon_config_place(config->server[j].conninfo, &b) && a.host[0] != '\0' &&
                   strcmp(a.host, b.host) == 0 && a.port == b.port;
            if (same)
                err_set(err, ERR_CONFIG, "[cluster] %.60s is the same server as %.60s (host and port)",
                        config->server[i].name, config->server[j].name);
        }
    explicit_bzero(&a, sizeof a);
    explicit_bzero(&b, sizeof b);
    return !same;
}

static bool check(ClustermonConfig *config, Err *err)
{
    config->own = -1;
    for (int i = 0; i < config->servers; i++)
        if (strcasecmp(config->server[i].name, config->own_name) == 0)
            config->own = i;
    if (config->own < 0)
        return err_set(err, ERR_CONFIG, "[main] local_node_host_name: %.60s is not in [cluster]",
                       config->own_name);
    if (config->servers < 2)
        return err_set(err, ERR_CONFIG, "[cluster] has only the local node");
    if (config->data_path[0] != '/' || config->state_directory[0] != '/')
        return err_set(err, ERR_CONFIG, "%s: give its whole path",
                       config->data_path[0] != '/' ? "[main] pg_data_path" : "[pgvigil] state_directory");
    if (config->cluster[0] == '\0' || strlen(config->cluster) >= MEMBER_NAME_LEN ||
        strspn(config->cluster, "abcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(config->cluster))
        return err_set(err, ERR_CONFIG, "[pgvigil] cluster: 1 to 31 of a-z, 0-9, - and _");
    if (config->db_success[0] == '\0')
        return err_set(err, ERR_CONFIG,
                       "[main] cmd_success_db_status_string: every output has an empty text in it");
    /* Two nodes may be on one machine, each with a file that says nothing of this. */
    config->state_directory =
        arena_printf(&config->arena, "%s/%s", config->state_directory, config->server[config->own].name);
    return check_texts(config, err) && check_places(config, err) &&
           (config->state_directory != NULL || err_set(err, ERR_MEMORY, "memory ran out"));
}

/* Of words between per cent signs: what else stands there, as the format of a date, is the command's own. */
static void warn_of_placeholders(const char *key, const char *line, Buf *warnings)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

    for (const char *at = strchr(line, '%'); at != NULL; at = strchr(at + 1, '%')) {
        size_t len = strspn(at + 1, letters);
        if (len < 3 || at[len + 1] != '%')
            continue;
        if (placeholder_at(at) == PLACEHOLDERS)
            buf_printf(
                warnings,
                "%s: %.*s is no placeholder: there are %%pg_data_path%%, %%master_connstr%%, %%slot_name%%\n",
                key, (int) len + 2, at);
        at += len + 1;
    }
}

static void warn(const ClustermonConfig *config, Buf *warnings)
{
    for (int c = 0; c < CLUSTERMON_COMMANDS; c++)
        warn_of_placeholders(clustermon_config_command_key((ClustermonCommand) c), config->command[c],
                             warnings);
    if (!file_exists(config->data_path))
        buf_puts(warnings,
                 "pg_data_path is not there: where a container has it elsewhere no WAL can be saved\n");
    if (config->command[CLUSTERMON_CMD_NETWORK][0] == '\0')
        buf_puts(warnings,
                 "cmd_get_network_status_string is not set: a node that is cut off does not notice\n");
    if (config->command[CLUSTERMON_CMD_CLONE][0] == '\0')
        buf_puts(warnings,
                 "cmd_pg_basebackup_command is not set: where a rewind fails the server stays down\n");
}

ClustermonConfig *clustermon_config_parse(const char *text, size_t len, Buf *ret_warnings, Err *err)
{
    ClustermonConfig *config = calloc(1, sizeof *config);
    Reading reading = {.config = config, .warnings = ret_warnings};

    if (config == NULL)
        abort();
    if (clustermon_ini_read(text, len, &config->arena, on_entry, &reading, err) &&
        set_defaults(&reading, err) && check(config, err)) {
        warn(config, ret_warnings);
        return config;
    }
    clustermon_config_free(config);
    return NULL;
}

ClustermonConfig *clustermon_config_load(const char *path, Buf *ret_warnings, Err *err)
{
    Buf text = {0};
    ClustermonConfig *config = NULL;
    struct stat st;

    if (file_read(path, CLUSTERMON_CONFIG_FILE_MAX, &text, err)) {
        config = clustermon_config_parse(text.data != NULL ? text.data : "", text.len, ret_warnings, err);
        if (config == NULL)
            err_context(err, "%.200s", path);
    }
    if (config == NULL && err->code == ERR_IO)
        err->code = ERR_CONFIG;
    if (config != NULL && text.data != NULL && strstr(text.data, "password") != NULL &&
        stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
        buf_puts(ret_warnings, "the file has passwords, and others can read it: chmod o= FILE\n");
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return config;
}

bool clustermon_config_line(const ClustermonConfig *config, ClustermonCommand command, const char *primary,
                            Buf *ret_line)
{
    const char *const values[PLACEHOLDERS] = {[PLACEHOLDER_DATA] = config->data_path,
                                              [PLACEHOLDER_PRIMARY] = primary != NULL ? primary : "",
                                              [PLACEHOLDER_SLOT] = config->slot};

    for (const char *at = config->command[command]; *at != '\0';) {
        Placeholder placeholder = placeholder_at(at);
        if (placeholder < PLACEHOLDERS) {
            buf_puts(ret_line, values[placeholder]);
            at += strlen(placeholders[placeholder]);
        } else {
            buf_add(ret_line, at++, 1);
        }
    }
    return !ret_line->failed;
}

typedef struct Keyword {
    const char *name;
    char *text;
    size_t size;
} Keyword;

static void take_keyword(void *arg, const char *name, const char *value)
{
    ClustermonPlace *place = arg;
    const Keyword keywords[] = {{"host", place->host, sizeof place->host},
                                {"user", place->user, sizeof place->user},
                                {"password", place->password, sizeof place->password},
                                {"passfile", place->passfile, sizeof place->passfile}};

    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(name, keywords[i].name) == 0)
            str_copy(keywords[i].text, keywords[i].size, value);
    if (strcmp(name, "port") == 0)
        place->port = (uint16_t) strtoul(value, NULL, 10);
}

static void take_address(void *arg, const char *name, const char *value)
{
    ClustermonPlace *place = arg;

    if (strcmp(name, "hostaddr") == 0 && place->host[0] == '\0')
        str_copy(place->host, sizeof place->host, value);
}

bool clustermon_config_place(const char *conninfo, ClustermonPlace *ret_place)
{
    *ret_place = (ClustermonPlace){.port = 5432};
    return conninfo_each(conninfo, take_keyword, ret_place) &&
           conninfo_each(conninfo, take_address, ret_place);
}

void clustermon_config_free(ClustermonConfig *config)
{
    if (config == NULL)
        return;
    for (int i = 0; i < config->servers; i++)
        explicit_bzero((char *) config->server[i].conninfo, strlen(config->server[i].conninfo));
    arena_done(&config->arena);
    free(config);
}
