/*
 * options.h: the rows of options.def, and values read into and printed from the structs made of it.
 *
 * The structs are Config (config.h: config->cluster.lease_ms) and ConfigMember; a row knows where its value
 * is in them.
 */
#ifndef PGVIGIL_CONFIG_OPTIONS_H
#define PGVIGIL_CONFIG_OPTIONS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/notify_kind.h"
#include "base/types.h"
#include "config/condition.h"
#include "sys/log.h"

typedef enum Synchronous { SYNCHRONOUS_OFF, SYNCHRONOUS_ON, SYNCHRONOUS_STRICT } Synchronous;
typedef enum Failover { FAILOVER_AUTOMATIC, FAILOVER_ORDERED } Failover;
typedef enum Resolve { RESOLVE_AUTOMATIC, RESOLVE_ASK } Resolve;
typedef enum OnCrash { ON_CRASH_FAILOVER, ON_CRASH_RESTART } OnCrash;
typedef enum NetworkPeers { NETWORK_PEERS_OFF, NETWORK_PEERS_ANY } NetworkPeers;
typedef enum MemberRole { MEMBER_ROLE_DATA, MEMBER_ROLE_WITNESS } MemberRole;

/* Words of a list option. item ends with NULL as well. */
typedef struct OptionList {
    const char *const *item;
    size_t count;
} OptionList;

/* One member, a line of [members]. */
/* clang-format off */
#define MEMBER_STRING(name, standard, flags, help)              const char *name;
#define MEMBER_NUMBER(name, standard, least, most, flags, help) uint32_t name;
#define MEMBER_ENUM(name, type, choices, standard, flags, help) type name;
typedef struct ConfigMember {
    const char *name;
#include "config/options.def"
    int line; /* of the file */
} ConfigMember;

#define CONFIG_TARGET_MAX 8
#define CONFIG_TARGET_LEN 128 /* of a host, with the end */

/* A port that a gate must not be open beside. */
typedef struct ConfigTarget {
    char host[CONFIG_TARGET_LEN];
    uint16_t port;
} ConfigTarget;

/* What all sections with a name begin with. */
typedef struct ConfigNamed {
    const char *name;
    int line;      /* where it begins */
    uint32_t seen; /* a bit for each key that was given */
    uint32_t wrong; /* and for each of them whose value is none */
} ConfigNamed;

/* A section [gate NAME]. */
#define GATE_STRING(name, standard, flags, help)              const char *name;
#define GATE_LIST(name, standard, flags, help)                OptionList name;
#define GATE_NUMBER(name, standard, least, most, flags, help) uint32_t name;
typedef struct ConfigGate {
    ConfigNamed named;
#include "config/options.def"
    Condition condition; /* open_when */
    ConfigTarget target[CONFIG_TARGET_MAX]; /* unless */
    int target_count;
} ConfigGate;

/* A section [notify NAME]. */
#define NOTIFY_STRING(name, standard, flags, help)                const char *name;
#define NOTIFY_LIST(name, standard, flags, help)                  OptionList name;
#define NOTIFY_DURATION(name, standard, least, most, flags, help) uint32_t name##_ms;
#define NOTIFY_ENUM(name, type, choices, standard, flags, help)   type name;
#define NOTIFY_BOOL(name, standard, flags, help)                  bool name;
typedef struct ConfigNotify {
    ConfigNamed named;
#include "config/options.def"
    uint64_t event_set;       /* a bit for each NotifyEventKind */
    uint32_t action_set;      /* a bit for each NotifyAction */
    const char *host;         /* server */
    uint16_t port;
    const char *password_text; /* what password and secret come to; NULL: none, or not read (CONFIG_USE_CLIENT) */
    const char *secret_text;
    const char *broken; /* why one of them cannot be read: nothing is told then, and the rest goes on */
} ConfigNotify;

/* OPTION_cluster_name, OPTION_cluster_secret, ... in the order of the table. */
typedef enum OptionId {
#define OPTION_STRING(section, name, ...)   OPTION_##section##_##name,
#define OPTION_LIST(section, name, ...)     OPTION_##section##_##name,
#define OPTION_DURATION(section, name, ...) OPTION_##section##_##name,
#define OPTION_SIZE(section, name, ...)     OPTION_##section##_##name,
#define OPTION_PPM(section, name, ...)      OPTION_##section##_##name,
#define OPTION_NUMBER(section, name, ...)   OPTION_##section##_##name,
#define OPTION_BOOL(section, name, ...)     OPTION_##section##_##name,
#define OPTION_ENUM(section, name, ...)     OPTION_##section##_##name,
#include "config/options.def"
    OPTION_COUNT
} OptionId;
/* clang-format on */

typedef enum OptionType {
    OPTION_TYPE_STRING,
    OPTION_TYPE_LIST,
    OPTION_TYPE_DURATION,
    OPTION_TYPE_SIZE,
    OPTION_TYPE_PPM,
    OPTION_TYPE_NUMBER,
    OPTION_TYPE_BOOL,
    OPTION_TYPE_ENUM,
} OptionType;

#define OPTION_FIXED      0u /* a change needs a restart of pgvigil */
#define OPTION_RELOADABLE 1u
#define OPTION_REQUIRED   2u
#define OPTION_DATA       4u /* required on data members */
#define OPTION_SECRET     8u
#define OPTION_SHARED     16u /* must be the same on all members */
#define OPTION_CLUSTER    32u /* set when the cluster is made: what the file says later does not count */

#define OPTION_SERVER  64u  /* of the extension: a change needs a restart of PostgreSQL */
#define OPTION_SESSION 128u /* of the extension: may be set in a session */

/* What a change of an option's value takes. */
typedef enum OptionChange {
    OPTION_CHANGE_SERVER,
    OPTION_CHANGE_SESSION,
    OPTION_CHANGE_RELOAD,
    OPTION_CHANGE_RESTART,
    OPTION_CHANGE_NEVER,
} OptionChange;

typedef struct Option {
    const char *section; /* "members" for the keys of a member */
    const char *name;
    OptionType type;
    unsigned flags;
    const char *text_default; /* STRING, LIST; may be NULL */
    int64_t standard;         /* the others' default */
    int64_t least, most;      /* DURATION (ms), SIZE (bytes), PPM, NUMBER */
    const char *choices;      /* ENUM: "a|b" */
    const char *help;
    size_t offset; /* in Config, or in ConfigMember */
} Option;

/* The row of an option; id below OPTION_COUNT. */
const Option *options_at(OptionId id);

/* The row of that section and name, or NULL. *ret_id may be NULL. */
const Option *options_find(const char *section, const char *name, OptionId *ret_id);

OptionChange options_change(const Option *option);

/* "reload", "restart" or "never"; of the extension's settings also "restart of PostgreSQL" and "session". */
const char *options_change_name(const Option *option);

/* The sections in order, with their help; NULL past the last. */
const char *options_section(size_t index, const char **ret_help);

/* The extension's settings, in order, section "pgvigil"; NULL past the last. They are PostgreSQL's: no struct
 * has them. */
const Option *options_setting(size_t index);

/* The keys of a line in [members], in order; NULL past the last. */
const Option *options_member_key(size_t index);

/* A kind of sections with a name: [kind NAME]. */
typedef struct OptionKind {
    const char *name;
    const char *help;
    const Option *key; /* its rows */
    size_t key_count;
    size_t most;                 /* so many sections */
    size_t size;                 /* of the struct, which begins with a ConfigNamed */
    size_t offset, count_offset; /* of the array's address and of its int, in Config */
} OptionKind;

/* The kinds in order; NULL past the last. */
const OptionKind *options_kind(size_t index);

/* Parses text by the row's type and range into base (a Config or a ConfigMember); strings come from the
 * arena. */
bool options_parse(const Option *option, const char *text, void *base, Arena *arena, Err *err);

/* Puts the default there. */
void options_set_default(const Option *option, void *base, Arena *arena);

/* Copies one value; strings are copied into the arena. */
void options_copy(const Option *option, const void *from, void *to, Arena *arena);

bool options_equal(const Option *option, const void *a, const void *b);

/* The value as it would be written in the file; "" for none. Secrets are not masked here. */
void options_format(const Option *option, const void *base, char *ret_text, size_t size);

/* The default as it would be written in the file, "" for none; and what is allowed: "300ms to 1min", "data or
 * witness". */
void options_format_default(const Option *option, char *ret_text, size_t size);
void options_format_range(const Option *option, char *ret_text, size_t size);

#endif
