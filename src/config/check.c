/*
 * check.c: what one row of the option table cannot say: what must be there, and how options bound each other.
 */
#include "config/load.h"
#include "config/tags.h"
#include "config/value.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define LAG_HEARTBEAT_LEAST_MS 100

/* Paths of the table, checked alike. */
static const OptionId path_options[] = {
    OPTION_node_state_directory,
    OPTION_node_run_directory,
    OPTION_postgresql_data_directory,
    OPTION_postgresql_config_directory,
    OPTION_postgresql_bin_directory,
    OPTION_postgresql_passfile,
    OPTION_postgresql_server_log,
    OPTION_http_tls_certificate,
    OPTION_http_tls_key,
    OPTION_http_tls_client_ca,
    OPTION_http_tls_ca,
    OPTION_observer_clusters,
};

static void option_error(Load *load, OptionId id, const char *text)
{
    const Option *option = options_at(id);

    load_error(load, load_line(load, id), option->section, option->name, "%s", text);
}

static void check_required(Load *load)
{
    const Config *config = load->config;
    bool run = load->use == CONFIG_USE_RUN;

    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        bool on_data =
            (option->flags & OPTION_DATA) != 0 && run && config->self >= 0 && !config_is_witness(config);
        bool always = (option->flags & OPTION_REQUIRED) != 0 && (run || (option->flags & OPTION_SECRET) == 0);
        if (config->origin[i].from == CONFIG_FROM_DEFAULT && (always || on_data))
            load_error(load, 0, option->section, option->name,
                       "is missing%s; see pgvigil config explain %s.%s",
                       on_data ? " (every data member needs it)" : "", option->section, option->name);
    }
}

static void check_paths(Load *load)
{
    for (size_t i = 0; i < sizeof path_options / sizeof path_options[0]; i++) {
        char text[8];
        options_format(options_at(path_options[i]), load->config, text, sizeof text);
        if (text[0] != '\0' && text[0] != '/')
            option_error(load, path_options[i], "has to be an absolute path, beginning with /");
    }
}

/* True if path is dir or below it. */
static bool is_within(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* A clone empties the data directory: nothing of ours may be in it. */
static void check_within(Load *load)
{
    const Config *config = load->config;
    const char *data = config->postgresql.data_directory;
    const char *log = config->postgresql.server_log;

    if (data == NULL)
        return;
    if (is_within(config->node.state_directory, data))
        option_error(load, OPTION_node_state_directory,
                     "must not be inside data_directory, which a clone empties");
    if (is_within(config->node.run_directory, data))
        option_error(load, OPTION_node_run_directory,
                     "must not be inside data_directory, which a clone empties");
    if (log != NULL && is_within(log, data))
        option_error(load, OPTION_postgresql_server_log,
                     "must not be inside data_directory, which a clone empties");
}

static void duration_error(Load *load, OptionId id, int64_t have_ms, const char *bound, int64_t allowed_ms,
                           const char *why)
{
    const Option *option = options_at(id);
    char have[32], allowed[32];

    value_format_duration(have_ms, have, sizeof have);
    value_format_duration(allowed_ms, allowed, sizeof allowed);
    load_error(load, load_line(load, id), option->section, option->name,
               "%s is out of range, allowed is %s %s (%s)", have, bound, allowed, why);
}

static void check_durations(Load *load)
{
    const Config *config = load->config;
    uint32_t lease = config->cluster.lease_ms, heartbeat = config->cluster.heartbeat_ms;

    if (heartbeat > lease / 3)
        duration_error(load, OPTION_cluster_heartbeat, heartbeat, "at most", lease / 3,
                       "a third of the lease");
    if (config->cluster.margin_ms > lease / 10)
        duration_error(load, OPTION_cluster_margin, config->cluster.margin_ms, "at most", lease / 10,
                       "a tenth of the lease");
    if (config->postgresql.unresponsive_ms < 2 * config->postgresql.poll_interval_ms)
        duration_error(load, OPTION_postgresql_unresponsive, config->postgresql.unresponsive_ms, "at least",
                       2 * (int64_t) config->postgresql.poll_interval_ms, "twice poll_interval");
    if (config->lag.heartbeat_ms > 0 && config->lag.heartbeat_ms < LAG_HEARTBEAT_LEAST_MS)
        duration_error(load, OPTION_lag_heartbeat, config->lag.heartbeat_ms, "at least",
                       LAG_HEARTBEAT_LEAST_MS, "or 0, for none");
    if (config->http.freshness_ms < 2 * heartbeat)
        duration_error(load, OPTION_http_freshness, config->http.freshness_ms, "at least",
                       2 * (int64_t) heartbeat, "twice the heartbeat");
}

/* Waiting for more standbys than there are would be waiting for ever. */
static void check_synchronous(Load *load)
{
    const Config *config = load->config;
    const Option *option = options_at(OPTION_cluster_standbys_per_commit);
    uint32_t data = 0, wanted = config->cluster.standbys_per_commit;

    for (int i = 0; i < config->member_count; i++)
        data += config->member[i].role == MEMBER_ROLE_DATA;
    if (config->cluster.synchronous != SYNCHRONOUS_OFF && wanted + 1 > data)
        load_error(
            load, load_line(load, OPTION_cluster_standbys_per_commit), option->section, option->name,
            "is %u, but with %u data member%s at most %u can be waited for: lower it, add data members, or set "
            "synchronous = off",
            wanted, data, data == 1 ? "" : "s", data > 0 ? data - 1 : 0);
}

static void check_address(Load *load, OptionId id, const char *text)
{
    struct in6_addr buffer;

    if (inet_pton(AF_INET, text, &buffer) != 1 && inet_pton(AF_INET6, text, &buffer) != 1)
        option_error(load, id, "is no address; write one of this machine's, 0.0.0.0 or ::");
}

static void check_tags(Load *load)
{
    const Option *option = options_at(OPTION_node_tags);
    int line = load_line(load, OPTION_node_tags);
    Tag tags[TAGS_MAX];
    size_t count;
    Err err = {0};

    if (!tags_read(&load->config->node.tags, tags, &count, &err)) {
        load_error(load, line, option->section, option->name, "%s", err.text);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (tags_has_no_effect(tags[i].key))
            load_warning(load, line, option->section, option->name,
                         "%s is told to those who ask for tags, and changes nothing else", tags[i].key);
}

static void check_tls(Load *load)
{
    const Config *config = load->config;

    if (config->http.tls_certificate != NULL && config->http.tls_key == NULL)
        option_error(load, OPTION_http_tls_certificate, "needs tls_key, the file with its key");
    if (config->http.tls_certificate == NULL && config->http.tls_key != NULL)
        option_error(load, OPTION_http_tls_key, "needs tls_certificate, the file with its certificate");
    if (config->http.tls_certificate == NULL && config->http.tls_client_ca != NULL)
        option_error(load, OPTION_http_tls_client_ca,
                     "needs tls_certificate and tls_key: without TLS there are no client certificates");
}

void check_options(Load *load)
{
    const Config *config = load->config;

    check_required(load);
    if (config->cluster.name != NULL && !members_is_name(config->cluster.name))
        option_error(load, OPTION_cluster_name,
                     "is no name for a cluster, allowed are 1 to 31 of a-z, 0-9, - and _");
    check_paths(load);
    check_within(load);
    check_durations(load);
    check_synchronous(load);
    check_tags(load);
    check_tls(load);
    commands_check(load);
    check_address(load, OPTION_node_listen, config->node.listen);
    check_address(load, OPTION_node_http_listen, config->node.http_listen);
}

bool check_observer_without_clusters(Load *load)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strcmp(options_at((OptionId) i)->section, "observer") == 0 &&
            load->config->origin[i].from == CONFIG_FROM_FILE) {
            option_error(load, OPTION_observer_clusters,
                         "is missing: an observer needs the folder with a file for each cluster; see pgvigil "
                         "config explain observer.clusters");
            return true;
        }
    return false;
}

void check_observer(Load *load)
{
    const Config *config = load->config;

    if (config->member_count > 0)
        load_error(load, config->member[0].line, "members", NULL,
                   "has no place in an observer's own file: put it into a file of the folder %s",
                   config->observer.clusters);
    if (config->observer.name != NULL && !members_is_name(config->observer.name))
        option_error(load, OPTION_observer_name,
                     "is no name for an observer, allowed are 1 to 31 of a-z, 0-9, - and _");
    for (int i = 0; i < config->notify_count; i++) {
        char section[64];
        snprintf(section, sizeof section, "notify %s", config->notify[i].named.name);
        load_warning(load, config->notify[i].named.line, section, NULL,
                     "does nothing here: an observer notifies nobody, the members do");
    }
    check_paths(load);
    check_tls(load);
    check_address(load, OPTION_observer_listen, config->observer.listen);
}
