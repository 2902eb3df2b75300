/*
 * config.h: the loaded configuration.
 *
 * One file, the same on every machine. A Config is immutable and owns all its strings; reload makes a new
 * one. Every value knows where it came from.
 */
#ifndef PGVIGIL_CONFIG_CONFIG_H
#define PGVIGIL_CONFIG_CONFIG_H

#include "base/str.h"
#include "config/options.h"

#define CONFIG_PATH        "/etc/pgvigil/pgvigil.conf"
#define CONFIG_PATH_ENV    "PGVIGIL_CONFIG"
#define CONFIG_MEMBER_MAX  7
#define CONFIG_GATE_MAX    16
#define CONFIG_VIP_MAX     8
#define CONFIG_SOCKET_MAX  4
#define CONFIG_NOTIFY_MAX  16
#define CONFIG_PROBLEM_MAX 50 /* more are counted, not kept */
#define CONFIG_SECRET_MIN  16
#define CONFIG_SECRET_MAX  4096

typedef enum ConfigOrigin { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_ARGUMENT } ConfigOrigin;

/* One of [vip] address. */
typedef struct ConfigVip {
    char text[64];    /* "10.0.0.100/24" */
    char device[16];  /* as long as the kernel's names are */
    uint8_t family;   /* AF_INET, AF_INET6 */
    uint8_t prefix;   /* bits of the network */
    uint8_t byte[16]; /* in network order; IPv4: the first four */
} ConfigVip;

/* What the configuration is wanted for, which decides what has to be there. */
typedef enum ConfigUse {
    CONFIG_USE_RUN,    /* the daemon: own member, secret and, on data members, data_directory */
    CONFIG_USE_CLIENT, /* asking: members only; self may be none, the secret is not read */
    CONFIG_USE_WATCH,  /* an observer's, of a cluster: the same, and its servers may be without agents */
} ConfigUse;

/*
 * Each section of options.def is a struct: config->cluster.lease_ms, config->postgresql.data_directory. A
 * duration has _ms behind its name, a size _bytes, a share _ppm. Strings without a default are NULL if
 * nothing was given, but for those whose help names one, which have it: node.name, config_directory,
 * replication_user, server_log.
 */
/* clang-format off */
#define SECTION(section, help) struct {
#define OPTION_STRING(section, name, standard, flags, help)                      const char *name;
#define OPTION_LIST(section, name, standard, flags, help)                        OptionList name;
#define OPTION_DURATION(section, name, standard, least, most, flags, help)       uint32_t name##_ms;
#define OPTION_SIZE(section, name, standard, least, most, flags, help)           uint64_t name##_bytes;
#define OPTION_PPM(section, name, standard, least, most, flags, help)            uint32_t name##_ppm;
#define OPTION_NUMBER(section, name, standard, least, most, flags, help)         uint32_t name;
#define OPTION_BOOL(section, name, standard, flags, help)                        bool name;
#define OPTION_ENUM(section, name, type, choices, standard, flags, help)         type name;
#define SECTION_END(section) } section;
typedef struct Config {
#include "config/options.def"
    /* clang-format on */
    const char *path;                       /* the file, absolute */
    ConfigMember member[CONFIG_MEMBER_MAX]; /* in the file's order: earlier wins ties */
    int member_count;
    ConfigGate *gate; /* in the file's order, at most CONFIG_GATE_MAX; the arena's */
    int gate_count;
    ConfigNotify *notify; /* in the file's order, at most CONFIG_NOTIFY_MAX; the arena's */
    int notify_count;
    ConfigVip *virtual_address; /* at most CONFIG_VIP_MAX; the arena's */
    int virtual_count;
    int self;                    /* index of the own member; -1: none (CONFIG_USE_CLIENT only) */
    const char *self_found;      /* how: "[node] name", "--node", "its address", "its host name"; "" */
    bool self_unclear;           /* more than one could be it, and nothing says which */
    const unsigned char *secret; /* the secret's bytes; NULL until it was read */
    size_t secret_len;
    const char *warnings; /* one a line, "" if there are none */
    struct {
        ConfigOrigin from;
        int line; /* FROM_FILE */
    } origin[OPTION_COUNT];
    Arena arena;
} Config;

/* The file to take where --config names none: $PGVIGIL_CONFIG, else CONFIG_PATH. */
const char *config_default_path(void);

/*
 * Loads for the daemon. path NULL: the default one. node_name NULL: the file's, or found. NULL with
 * ERR_CONFIG: the first problem as "file:line: [section] key: what, what is allowed", and how many more there
 * are. config_free it.
 */
Config *config_load(const char *path, const char *node_name, Err *err);

/* Loads for asking; see ConfigUse. */
Config *config_load_client(const char *path, const char *node_name, Err *err);

/* Loads a cluster's file for an observer; see ConfigUse. */
Config *config_load_watched(const char *path, Err *err);

/* Loads a member's file or an observer's (see config_is_observer): for the verbs that know both. */
Config *config_load_either(const char *path, const char *node_name, ConfigUse use, Err *err);

/*
 * Loads and tells everything: one line for each error in ret_errors, and for each warning in ret_warnings.
 * NULL if there were errors. For `config check`.
 */
Config *config_load_all(const char *path, const char *node_name, ConfigUse use, Buf *ret_errors,
                        Buf *ret_warnings);

/* Reads the secret if that was not done yet. */
bool config_load_secret(Config *config, Err *err);

/* NULL: nothing. The secret's bytes are wiped. */
void config_free(Config *config);

/* It is an observer's own file (or folder): [observer] clusters is set, and there are no members. */
bool config_is_observer(const Config *config);

/* Own member; only with self >= 0. */
const ConfigMember *config_self(const Config *config);
bool config_is_witness(const Config *config);

/* Index of the member of that name, or -1. */
int config_find_member(const Config *config, const char *name);

/* The sections with a name of that kind. */
const ConfigNamed *config_named(const Config *config, const OptionKind *kind, int index);
int config_named_count(const Config *config, const OptionKind *kind);

/*
 * FNV-1a, 64 bits, over what all members must agree on: cluster name, members (name, host, port, agent_port,
 * role) in their order. Lease and heartbeat are the document's, drift and margin each leader's own. Never 0.
 */
uint64_t config_hash(const Config *config);

/* Of the settings of [cluster] that have to be the same on all members, the reloadable ones too. Never 0. */
uint64_t config_settings_hash(const Config *config);

/* Names of options that differ, as "section.key", separated by ", "; each may be NULL. */
typedef struct ConfigDiff {
    Buf *applied; /* reloadable */
    Buf *refused; /* a restart of pgvigil takes them over */
    Buf *kept;    /* the cluster's since it was made: the file does not change them */
} ConfigDiff;

/* Compares two configurations; returns how many options differ. */
size_t config_reload_diff(const Config *old, const Config *fresh, const ConfigDiff *ret_diff);

/*
 * Loads old's file anew. The result has the new values of reloadable options and the old ones of all others;
 * what changed is written as in config_reload_diff. NULL with *err: the file is wrong, go on with old.
 */
Config *config_reload(const Config *old, const ConfigDiff *ret_diff, Err *err);

#endif
