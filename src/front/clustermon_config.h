/*
 * clustermon_config.h: pgClusterMonitor's config.ini: every key, with the values of its document as defaults;
 * private to src/front.
 *
 * Its lines are read as Python's configparser did, which the old program used: keys in any case, `=` or `:`,
 * values that go on in indented lines, two per cent signs for one. They are of any length, which inih's are
 * not. Passwords are in the connection strings and are never printed.
 */
#ifndef PGVIGIL_FRONT_CLUSTERMON_CONFIG_H
#define PGVIGIL_FRONT_CLUSTERMON_CONFIG_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "base/types.h"

#define CLUSTERMON_CONFIG_NODES    16
#define CLUSTERMON_CONFIG_FILE_MAX ((size_t) 1 << 20)

typedef enum ClustermonCommand {
    CLUSTERMON_CMD_STATUS,
    CLUSTERMON_CMD_NETWORK,
    CLUSTERMON_CMD_START,
    CLUSTERMON_CMD_STOP,
    CLUSTERMON_CMD_PROMOTE,
    CLUSTERMON_CMD_REWIND,
    CLUSTERMON_CMD_REMOVE,
    CLUSTERMON_CMD_CREATE,
    CLUSTERMON_CMD_CLONE,
    CLUSTERMON_COMMANDS
} ClustermonCommand;

typedef struct ClustermonServer {
    const char *name, *conninfo;
} ClustermonServer;

typedef struct ClustermonConfig {
    Arena arena;                                      /* owns everything below */
    ClustermonServer server[CLUSTERMON_CONFIG_NODES]; /* [cluster], in its order */
    int servers, own;                                 /* own: index of local_node_host_name */
    const char *own_name, *data_path, *slot;          /* slot "": none */
    const char *command[CLUSTERMON_COMMANDS];         /* "": none, see clustermon_config_parse */
    const char *db_success, *network_success;
    int64_t scan_us, failover_us, downgrade_us, check_us;
    const char *address;
    int64_t port;

    /* Of pgvigil's own, [pgvigil]. */
    const char *cluster;
    const char *state_directory; /* of this node: the file's, and the node's name behind it */
    bool discard_unsaved;
    LogLevel log_level;
} ClustermonConfig;

/* The key of a command: "cmd_start_db". */
const char *clustermon_config_command_key(ClustermonCommand command);

/*
 * Reads the text. ERR_CONFIG names line and key, what is wrong and what would be right. What starts, stops,
 * promotes and tells the status has to be there; without a network command the network counts as well, and a
 * step of the downgrade without a command is passed over. *ret_warnings gets lines for what is tolerated; the
 * caller frees it.
 */
ClustermonConfig *clustermon_config_parse(const char *text, size_t len, Buf *ret_warnings, Err *err);

/* The same from a file, which the error names. */
ClustermonConfig *clustermon_config_load(const char *path, Buf *ret_warnings, Err *err);

/* The index-th key that the file may have, as "section.key"; NULL: there are no more. */
const char *clustermon_config_key(size_t index);

/*
 * The command's line for the shell, with its placeholders filled in by text, as the old program did:
 * pg_data_path, slot_name, and master_connstr, which is primary (NULL counts as ""). False: memory ran out.
 */
bool clustermon_config_line(const ClustermonConfig *config, ClustermonCommand command, const char *primary,
                            Buf *ret_line);

/* Where a connection string leads to, and as whom. "" and 5432 where it does not say. */
typedef struct ClustermonPlace {
    char host[256]; /* or the hostaddr of one that has no host */
    uint16_t port;
    char user[128], password[512], passfile[1024];
} ClustermonPlace;

/* Who has it clears it. False: it cannot be taken apart. */
bool clustermon_config_place(const char *conninfo, ClustermonPlace *ret_place);

/* Wipes and frees. NULL: nothing. */
void clustermon_config_free(ClustermonConfig *config);

#endif
