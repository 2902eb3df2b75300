/*
 * config.c: loading: defaults, the file's lines by the option table, checks, the own member, the secret.
 */
#include "config/config.h"

#include "config/ini.h"
#include "config/load.h"
#include "config/suggest.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *config_default_path(void)
{
    const char *path = getenv(CONFIG_PATH_ENV);

    return path != NULL && *path != '\0' ? path : CONFIG_PATH;
}

static void unknown_section(Load *load, const IniEntry *entry)
{
    Suggest suggest = suggest_for(entry->section);
    const char *name;

    suggest_offer(&suggest, "members");
    for (size_t i = 0; options_kind(i) != NULL; i++)
        suggest_offer(&suggest, options_kind(i)->name);
    for (size_t i = 0; (name = options_section(i, NULL)) != NULL; i++)
        suggest_offer(&suggest, name);
    const char *best = suggest_best(&suggest);
    load_error(
        load, entry->line, entry->section, entry->key, "unknown section%s%s%s",
        best != NULL
            ? ", did you mean ["
            : ", known are cluster, members, node, postgresql, log, http, observer, vip, haproxy, gate NAME",
        best != NULL ? best : "", best != NULL ? "]?" : "");
}

static void unknown_key(Load *load, const IniEntry *entry)
{
    Suggest here = suggest_for(entry->key);

    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        if (strcmp(option->section, entry->section) == 0)
            suggest_offer(&here, option->name);
        else if (strcmp(option->name, entry->key) == 0) {
            load_error(load, entry->line, entry->section, entry->key, "unknown option, it belongs into [%s]",
                       option->section);
            return;
        }
    }
    const char *best = suggest_best(&here);
    load_error(load, entry->line, entry->section, entry->key, "unknown option%s%s%s",
               best != NULL ? ", did you mean " : "; all of them: pgvigil help config",
               best != NULL ? best : "", best != NULL ? "?" : "");
}

static bool is_section(const char *section)
{
    const char *name;

    for (size_t i = 0; (name = options_section(i, NULL)) != NULL; i++)
        if (strcmp(name, section) == 0)
            return true;
    return false;
}

static void on_entry(void *arg, const IniEntry *entry)
{
    Load *load = arg;
    Config *config = load->config;
    OptionId id = OPTION_COUNT;
    Err err = {0};

    if (*entry->section == '\0') {
        load_error(load, entry->line, NULL, entry->key, "stands before the first [section]");
        return;
    }
    if (strcmp(entry->section, "members") == 0) {
        members_add(load, entry->key, entry->value, entry->line);
        return;
    }
    if (named_take(load, entry))
        return;
    const Option *option = options_find(entry->section, entry->key, &id);
    if (option == NULL && is_section(entry->section)) {
        unknown_key(load, entry);
        return;
    }
    if (option == NULL) {
        unknown_section(load, entry);
        return;
    }
    if (config->origin[id].from == CONFIG_FROM_FILE) {
        load_error(load, entry->line, entry->section, entry->key, "is given twice, first on line %d",
                   config->origin[id].line);
        return;
    }
    config->origin[id].from = CONFIG_FROM_FILE;
    config->origin[id].line = entry->line;
    if (!options_parse(option, entry->value, config, &config->arena, &err))
        load_error(load, entry->line, entry->section, entry->key, "%s", err.text);
}

static void on_problem(void *arg, int line, const char *text)
{
    load_error(arg, line, NULL, NULL, "%s", text);
}

static Config *config_new(const char *path)
{
    Config *config = calloc(1, sizeof *config);
    char resolved[PATH_MAX];

    if (config == NULL)
        return NULL;
    if (path == NULL)
        path = config_default_path();
    config->self = -1;
    config->self_found = "";
    config->warnings = "";
    config->path = arena_strdup(&config->arena, realpath(path, resolved) != NULL ? resolved : path);
    for (int i = 0; i < OPTION_COUNT; i++)
        options_set_default(options_at((OptionId) i), config, &config->arena);
    return config;
}

/* The defaults that depend on other options. */
static void derive(Config *config)
{
    if (config->postgresql.config_directory == NULL)
        config->postgresql.config_directory = config->postgresql.data_directory;
    if (config->postgresql.replication_user == NULL)
        config->postgresql.replication_user = config->postgresql.user;
    if (config->postgresql.server_log == NULL)
        config->postgresql.server_log =
            arena_printf(&config->arena, "%s/postgresql.log", config->node.state_directory);
}

static void load_secret(Load *load)
{
    Config *config = load->config;
    const char *text = config->cluster.secret;
    int line = load_line(load, OPTION_cluster_secret);
    Err err = {0};

    if (text == NULL)
        return;
    if (strncmp(text, "file:", 5) != 0 && strncmp(text, "env:", 4) != 0)
        load_warning(
            load, line, "cluster", "secret",
            "the secret stands in the configuration itself; put it into a file of its own (file:PATH)");
    if (load->use == CONFIG_USE_RUN && !secret_load(config, &err))
        load_error(load, line, "cluster", "secret", "%s", err.text);
}

/* A folder is an observer's: that of its clusters' files. */
static bool is_folder(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static void load_all(Load *load)
{
    Config *config = load->config;
    Err err = {0};

    if (is_folder(config->path)) {
        config->observer.clusters = config->path;
    } else if (!ini_read(config->path, on_entry, on_problem, load, &err)) {
        load_error(load, LOAD_NO_PLACE, NULL, NULL, "%s; name another file with --config or %s", err.text,
                   CONFIG_PATH_ENV);
        return;
    }
    if (config_is_observer(config)) {
        check_observer(load);
        return;
    }
    if (config->member_count == 0 && check_observer_without_clusters(load))
        return;
    members_check(load);
    members_find_self(load);
    if (load->node_name != NULL && config->self >= 0)
        config->origin[OPTION_node_name].from = CONFIG_FROM_ARGUMENT;
    check_options(load);
    named_check(load);
    gates_check(load);
    notices_check(load);
    derive(config);
    load_secret(load);
    if (load->warnings.len > 0)
        config->warnings = arena_strdup(&config->arena, load->warnings.data);
    if (config->arena.failed)
        load_error(load, 0, NULL, NULL, "no memory to load the configuration");
}

/* Loads; on success the configuration, on errors NULL. load's texts are the caller's to free. */
static Config *run_load(Load *load, const char *path)
{
    load->config = config_new(path);
    if (load->config == NULL || load->config->path == NULL) {
        config_free(load->config);
        load->error_count++;
        buf_puts(&load->errors, "no memory to load the configuration\n");
        return NULL;
    }
    load_all(load);
    load_sort(load);
    if (load->error_count == 0)
        return load->config;
    config_free(load->config);
    return NULL;
}

static Config *load_for(const char *path, const char *node_name, ConfigUse use, Err *err)
{
    Load load = {.use = use, .node_name = node_name};
    Config *config = run_load(&load, path);

    if (config == NULL) {
        const char *text = load.errors.data != NULL ? load.errors.data : "the configuration cannot be loaded";
        int more = load.error_count - 1;
        err_set(err, ERR_CONFIG, "%.*s", (int) strcspn(text, "\n"), text);
        if (more > 0 && err != NULL) {
            size_t used = strlen(err->text);
            snprintf(err->text + used, sizeof err->text - used,
                     "\nand %d more; pgvigil config check lists them", more);
        }
    }
    buf_done(&load.errors);
    buf_done(&load.warnings);
    return config;
}

/* Where a cluster is wanted, an observer's own file is the wrong one. */
static Config *load_cluster(const char *path, const char *node_name, ConfigUse use, Err *err)
{
    Config *config = load_for(path, node_name, use, err);

    if (config == NULL || !config_is_observer(config))
        return config;
    err_set(
        err, ERR_CONFIG,
        "%s is an observer's, and of no cluster: name a cluster's file with --config; an observer's is for run, "
        "status and reload",
        config->path);
    config_free(config);
    return NULL;
}

Config *config_load(const char *path, const char *node_name, Err *err)
{
    return load_cluster(path, node_name, CONFIG_USE_RUN, err);
}

Config *config_load_client(const char *path, const char *node_name, Err *err)
{
    return load_cluster(path, node_name, CONFIG_USE_CLIENT, err);
}

Config *config_load_watched(const char *path, Err *err)
{
    return load_cluster(path, NULL, CONFIG_USE_WATCH, err);
}

Config *config_load_either(const char *path, const char *node_name, ConfigUse use, Err *err)
{
    return load_for(path, node_name, use, err);
}

Config *config_load_all(const char *path, const char *node_name, ConfigUse use, Buf *ret_errors,
                        Buf *ret_warnings)
{
    Load load = {.use = use, .node_name = node_name};
    Config *config = run_load(&load, path);

    if (load.errors.len > 0)
        buf_puts(ret_errors, load.errors.data);
    if (load.error_count > CONFIG_PROBLEM_MAX)
        buf_printf(ret_errors, "and %d more errors\n", load.error_count - CONFIG_PROBLEM_MAX);
    if (load.warnings.len > 0)
        buf_puts(ret_warnings, load.warnings.data);
    buf_done(&load.errors);
    buf_done(&load.warnings);
    return config;
}

bool config_load_secret(Config *config, Err *err)
{
    if (config->secret != NULL)
        return true;
    if (config->cluster.secret == NULL)
        return err_set(err, ERR_CONFIG,
                       "%s: [cluster] secret: is missing; see pgvigil config explain cluster.secret",
                       config->path);
    if (secret_load(config, err))
        return true;
    return err_context(err, "%s:%d: [cluster] secret", config->path,
                       config->origin[OPTION_cluster_secret].line);
}

void config_free(Config *config)
{
    if (config == NULL)
        return;
    if (config->secret != NULL)
        explicit_bzero((void *) config->secret, config->secret_len);
    arena_done(&config->arena);
    free(config);
}

bool config_is_observer(const Config *config)
{
    return config->observer.clusters != NULL;
}

const ConfigMember *config_self(const Config *config)
{
    return &config->member[config->self];
}

bool config_is_witness(const Config *config)
{
    return config_self(config)->role == MEMBER_ROLE_WITNESS;
}

int config_find_member(const Config *config, const char *name)
{
    for (int i = 0; i < config->member_count; i++)
        if (strcmp(config->member[i].name, name) == 0)
            return i;
    return -1;
}
