/*
 * lookout_config.h: pglookout's JSON file: every key, with pglookout's defaults.
 *
 * What the old program takes is taken; what it would stumble over later is an error here, at once, that names
 * the key. Passwords are in the connection strings and are never printed.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_CONFIG_H
#define PGVIGIL_FRONT_LOOKOUT_CONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/types.h"

#define LOOKOUT_CONFIG_FILE_MAX  ((size_t) 8 << 20)
#define LOOKOUT_CONFIG_NODES     4096
#define LOOKOUT_CONFIG_OBSERVERS 64
#define LOOKOUT_CONFIG_TAGS      16
#define LOOKOUT_CONFIG_OPTIONS   32
#define LOOKOUT_CONFIG_WORDS     32  /* of a command */
#define LOOKOUT_CONFIG_NAMES     256 /* names in each of the lists */

typedef struct LookoutPair {
    const char *name;
    const char *value;
} LookoutPair;

typedef struct LookoutObserver {
    const char *name;
    const char *host;
    uint16_t port;
    const char *path; /* of its state: "/state.json" */
} LookoutObserver;

/* A command without a shell. argv ends with NULL; empty: argv[0] is NULL. */
typedef struct LookoutCommand {
    const char *argv[LOOKOUT_CONFIG_WORDS + 1];
} LookoutCommand;

typedef struct LookoutNames {
    const char *name[LOOKOUT_CONFIG_NAMES];
    int count;
} LookoutNames;

typedef struct LookoutPriority {
    const char *name;
    int64_t priority;
} LookoutPriority;

/* Keys of pgvigil's own, for the lease behind the front end (lookout_lease.h). */
typedef struct LookoutLeaseConfig {
    const char *secret, *secret_file; /* NULL: none; at most one of them */
    const char *cluster, *directory;
    const char *witness; /* the observer that votes, "": none */
    int64_t port, http_port;
    LookoutPair option[LOOKOUT_CONFIG_OPTIONS]; /* "section.key" and value */
    int options;
} LookoutLeaseConfig;

typedef struct LookoutConfig {
    Arena arena;         /* owns everything below */
    LookoutPair *conn;   /* remote_conns: name and connection string */
    int conn_count, own; /* own: index of own_db, -1: an observer */
    LookoutObserver observer[LOOKOUT_CONFIG_OBSERVERS];
    int observer_count;
    const char *own_db;
    bool autofollow, poll_observers_on_warning_only, failover_on_disconnect, syslog;
    int64_t db_poll_us, check_us, failover_sleep_us, missing_us, failover_us, warning_us, catchup_us,
        health_us;
    const char *primary_conninfo_template; /* NULL: none */
    const char *http_address;
    int64_t http_port;
    const char *maintenance_mode_file, *alert_file_dir, *state_file, *pg_data_directory;
    LookoutCommand failover_command, over_warning_limit_command, pg_start_command, pg_stop_command;
    LookoutNames never_promote, known_gone;
    LookoutPriority priority[LOOKOUT_CONFIG_NAMES];
    int priority_count;
    LogLevel log_level;
    const char *syslog_address, *syslog_facility;
    const char *statsd_host; /* NULL: none */
    uint16_t statsd_port;
    LookoutPair statsd_tag[LOOKOUT_CONFIG_TAGS];
    int statsd_tags;
    LookoutLeaseConfig lease;
} LookoutConfig;

/*
 * Reads the text. ERR_CONFIG names the key, what is wrong and what would be right. *ret_warnings gets lines
 * for what is tolerated, an unknown key above all; the caller frees it. lookout_config_free after success
 * only.
 */
LookoutConfig *lookout_config_parse(const char *text, size_t len, Buf *ret_warnings, Err *err);

/* The same from a file, which the error names. */
LookoutConfig *lookout_config_load(const char *path, Buf *ret_warnings, Err *err);

/*
 * Appends a line for each thing that does nothing on this machine: programs and a socket that are not there,
 * names of no server. Blocks on the disk.
 */
void lookout_config_warn(const LookoutConfig *config, Buf *ret_warnings);

/* The name of the index-th key that the file may have, in the manual's order; NULL: there are no more. */
const char *lookout_config_key(size_t index);

/* Where the file has the state, or pglookout's default: for who needs nothing else of it. */
bool lookout_config_state_file(const char *path, char *ret_path, size_t size, Err *err);

/* Of failover_priorities; 0 for a server that is not there. */
int64_t lookout_config_priority(const LookoutConfig *config, const char *name);

bool lookout_config_has(const LookoutNames *names, const char *name);

/* Wipes and frees. NULL: nothing. */
void lookout_config_free(LookoutConfig *config);

#endif
