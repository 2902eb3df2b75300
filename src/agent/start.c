/*
 * start.c: checks before the agent touches anything, and options in the terms of those who take them.
 */
#include "agent/start.h"

#include "base/fence.h"
#include "base/str.h"
#include "config/tags.h"
#include "pg/datadir.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define OLDEST_MAJOR 12

/* [postgresql] initdb may stand in the file that all share: it means the first data member only. */
static bool is_first_data_member(const Config *config)
{
    for (int i = 0; i < config->member_count; i++)
        if (config->member[i].role == MEMBER_ROLE_DATA)
            return i == config->self;
    return false;
}

CoreOptions start_core_options(const Config *config)
{
    CoreOptions options = {
        .kind = config_is_witness(config) ? MEMBER_WITNESS : MEMBER_DATA,
        .no_failover = config->node.no_failover || tags_is_set(&config->node.tags, "nofailover"),
        .no_sync = tags_is_set(&config->node.tags, "nosync"),
        .no_load_balance = tags_is_set(&config->node.tags, "noloadbalance"),
        .initdb = config->postgresql.initdb && is_first_data_member(config),
        .observers_agree = config->cluster.observers_agree,
        .failover_by_order = config->cluster.failover == FAILOVER_ORDERED,
        .restart_on_crash = config->postgresql.on_crash == ON_CRASH_RESTART,
        .crash_restart_limit_ms = config->postgresql.crash_restart_limit_ms,
        .lease_ms = config->cluster.lease_ms,
        .heartbeat_ms = config->cluster.heartbeat_ms,
        .drift_ppm = config->cluster.drift_ppm,
        .margin_ms = config->cluster.margin_ms,
        .unresponsive_ms = config->postgresql.unresponsive_ms,
        .brownout_ms = config->postgresql.brownout_ms,
        .start_limit_ms = config->postgresql.start_limit_ms,
        .stream_timeout_ms = config->postgresql.stream_timeout_ms,
        .maximum_lag = config->cluster.maximum_lag_bytes,
        .sync_mode = (SyncMode) config->cluster.synchronous,
        .sync_k = (uint8_t) config->cluster.standbys_per_commit,
        .sync_timeout_ms = config->cluster.sync_timeout_ms != 0 ? config->cluster.sync_timeout_ms
                                                                : 3 * config->cluster.lease_ms,
        .resolve_ask = config->cluster.resolve == RESOLVE_ASK,
        .resolve_after_ms = config->cluster.resolve_after_ms,
        .rejoin_rewind = config->postgresql.rewind,
        .rejoin_clone = config->postgresql.clone,
        .config_hash = config_hash(config),
        .settings_hash = config_settings_hash(config),
    };

    str_copy(options.name, sizeof options.name, config_self(config)->name);
    for (int i = 0; i < config->member_count; i++) {
        DocMember *member = &options.member[i];
        str_copy(member->name, sizeof member->name, config->member[i].name);
        member->kind = config->member[i].role == MEMBER_ROLE_DATA ? MEMBER_DATA : MEMBER_WITNESS;
        member->voter = true;
    }
    return options;
}

/* The words of a list with blanks between them; words that do not fit are left out. */
static const char *join(const OptionList *list, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        int len = snprintf(ret_text + used, size - used, "%s%s", used > 0 ? " " : "", list->item[i]);
        if (len < 0 || (size_t) len >= size - used) {
            ret_text[used] = '\0';
            break;
        }
        used += (size_t) len;
    }
    return ret_text;
}

/* Up to a zero byte, as a program would print it. */
static const char *secret_text(const Config *config, char *ret_text, size_t size)
{
    size_t len = config->secret_len < size ? config->secret_len : size - 1;

    if (config->secret != NULL)
        memcpy(ret_text, config->secret, len);
    ret_text[config->secret != NULL ? len : 0] = '\0';
    return ret_text;
}

ActionsOptions start_actions_options(const Config *config)
{
    static char initdb_words[1024], clone_words[1024], fence_file[FENCE_PATH_LEN],
        secret[CONFIG_SECRET_MAX + 1];
    ActionsOptions options = {
        .name = config_self(config)->name,
        .cluster = config->cluster.name,
        .data_directory = config->postgresql.data_directory,
        .config_directory = config->postgresql.config_directory,
        .bin_directory = config->postgresql.bin_directory,
        .state_directory = config->node.state_directory,
        .server_log = config->postgresql.server_log,
        .user = config->postgresql.user,
        .database = config->postgresql.database,
        .passfile = config->postgresql.passfile,
        .replication_user = config->postgresql.replication_user,
        .initdb_options = join(&config->postgresql.initdb_options, initdb_words, sizeof initdb_words),
        .clone_options = join(&config->postgresql.clone_options, clone_words, sizeof clone_words),
#define COMMAND(id, option, instead) .command[RUNS_##id] = config->commands.option,
        COMMAND_NAMES(COMMAND)
#undef COMMAND
            .secret = secret_text(config, secret, sizeof secret),
        .port = (uint16_t) config_self(config)->port,
        .use_slots = config->postgresql.use_slots,
        .lost_keep = (uint32_t) config->node.lost_keep,
        .lost_keep_bytes = config->node.lost_keep_size_bytes,
        .start_timeout_ms = config->postgresql.start_timeout_ms,
        .stop_timeout_ms = config->postgresql.stop_timeout_ms,
        .restore_timeout_ms = config->postgresql.restore_timeout_ms,
    };

    fence_path(config->node.run_directory, config->cluster.name, config_self(config)->name, fence_file);
    options.fence_file = fence_file;
    int count = 0;
    for (int i = 0; i < config->member_count; i++)
        if (config->member[i].role == MEMBER_ROLE_DATA)
            options.member_host[count++] = config->member[i].host;
    return options;
}

PollOptions start_poll_options(const Config *config)
{
    return (PollOptions){
        .data_directory = config->postgresql.data_directory,
        .bin_directory = config->postgresql.bin_directory,
        .user = config->postgresql.user,
        .database = config->postgresql.database,
        .passfile = config->postgresql.passfile,
        .poll_interval_ms = config->postgresql.poll_interval_ms,
        .poll_timeout_ms = config->postgresql.poll_timeout_ms,
        .fresh_interval_ms = config->postgresql.fresh_interval_ms,
        .disk_timeout_ms = config->postgresql.disk_timeout_ms,
    };
}

/* A new data directory is made by cloning, the folder above it is not. */
static bool has_parent(const char *directory)
{
    char parent[DATADIR_PATH_LEN];

    str_copy(parent, sizeof parent, directory);
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return true;
    *slash = '\0';
    return access(parent, X_OK) == 0;
}

bool start_check(const Config *config, Err *err)
{
    const char *directory = config->postgresql.data_directory;
    DatadirKind kind;
    uint32_t major;

    if (config_is_witness(config))
        return true;
    if (geteuid() == 0)
        return err_set(
            err, ERR_CONFIG,
            "an agent must not run as root, because PostgreSQL does not: run it as the owner of %s "
            "(runuser -u postgres -- pgvigil run)",
            directory);
    if (!datadir_check_owner(directory, err) || !datadir_kind(directory, &kind, err)) {
        err->code = ERR_CONFIG;
        return false;
    }
    if (kind == DATADIR_EMPTY && !has_parent(directory))
        return err_set(
            err, ERR_CONFIG,
            "[postgresql] data_directory %s: the folder that it should be in does not exist; correct the path, or "
            "make the folder if the server is to be cloned there",
            directory);
    if (kind != DATADIR_CLUSTER)
        return kind != DATADIR_FOREIGN ||
               err_set(err, ERR_CONFIG,
                       "%s is neither empty nor a data directory: correct [postgresql] data_directory",
                       directory);
    if (!datadir_version(directory, &major, err))
        return false;
    if (major < OLDEST_MAJOR)
        return err_set(
            err, ERR_CONFIG,
            "%s is of PostgreSQL %u; agents need 12 or later, because standby.signal and settings of a "
            "standby in postgresql.conf came with it: upgrade PostgreSQL",
            directory, major);
    return true;
}

bool start_random(void *ret, size_t len, Err *err)
{
    if (getrandom(ret, len, 0) != (ssize_t) len)
        return err_set_errno(err, ERR_IO, errno, "cannot get random bytes");
    return true;
}

static bool speaks_for_all(const ConfigNotify *section)
{
    if (section->from != NOTIFY_FROM_AUTO)
        return section->from == NOTIFY_FROM_LEADER;
    return section->kind == NOTIFY_MAIL || section->kind == NOTIFY_WEBHOOK;
}

static NotifySpec spec_of(const ConfigNotify *section)
{
    return (NotifySpec){
        .name = section->named.name,
        .broken = section->broken,
        .way = section->kind,
        .events = section->event_set,
        .actions = section->action_set,
        .members = section->members.item,
        .severity = section->severity,
        .from_leader = speaks_for_all(section),
        .hold_ms = section->hold_ms,
        .repeat_ms = section->repeat_ms,
        .timeout_ms = section->timeout_ms,
        .retry_ms = section->retry_ms,
        .host = section->host,
        .port = section->port,
        .sender = section->sender,
        .receivers = section->receivers.item,
        .user = section->user,
        .password = section->password_text,
        .ca_file = section->ca_file,
        .insecure = section->insecure,
        .folder = section->folder,
        .tags = section->tags.item,
        .prefix = section->prefix,
        .every_ms = section->every_ms,
        .address = section->address,
        .facility = section->facility,
        .format = section->format,
        .url = section->url,
        .secret = section->secret_text,
        .command = section->command.item,
        .may_refuse = section->may_refuse,
    };
}

void start_notify_options(const Config *config, NotifySpec *specs, NotifyOptions *ret_options)
{
    for (int i = 0; i < config->notify_count; i++)
        specs[i] = spec_of(&config->notify[i]);
    *ret_options = (NotifyOptions){
        .cluster = config->cluster.name,
        .reporter = config_self(config)->name,
        .data_directory = config_is_witness(config) ? "" : config->postgresql.data_directory,
        .port = config_is_witness(config) ? 0 : (uint16_t) config_self(config)->port,
        .specs = specs,
        .spec_count = config->notify_count,
    };
}
