/*
 * control.h: what pg_controldata says of a data directory, whether its server runs or not.
 *
 * The program is run as a child with LC_ALL=C, so that its texts are known ones; control_parse is separate to
 * be tested. While the server runs the file is up to a checkpoint old.
 */
#ifndef PGVIGIL_PG_CONTROL_H
#define PGVIGIL_PG_CONTROL_H

#include "base/err.h"
#include "base/types.h"

#include <uv.h>

/* "Database cluster state" */
typedef enum ControlState {
    CONTROL_UNKNOWN = 0,
    CONTROL_STARTING_UP,
    CONTROL_SHUT_DOWN,             /* a primary's orderly end */
    CONTROL_SHUT_DOWN_IN_RECOVERY, /* a standby's orderly end */
    CONTROL_SHUTTING_DOWN,
    CONTROL_IN_CRASH_RECOVERY,
    CONTROL_IN_ARCHIVE_RECOVERY,
    CONTROL_IN_PRODUCTION,
} ControlState;

typedef struct ControlData {
    ControlState state;
    uint64_t system_identifier;
    Lsn checkpoint;    /* "Latest checkpoint location" */
    uint32_t timeline; /* "Latest checkpoint's TimeLineID" */
    Lsn min_recovery;  /* "Minimum recovery ending location"; LSN_NONE if none */
    uint32_t min_recovery_timeline;
    bool checksums; /* "Data page checksum version" is not 0 */
    bool wal_log_hints;
    uint32_t wal_segment_size; /* bytes */
    /* What the primary had that wrote the WAL replayed so far: a standby must not have less. */
    uint32_t max_connections, max_worker_processes, max_wal_senders, max_prepared_transactions,
        max_locks_per_transaction;
} ControlData;

/* Reads the program's output. ERR_PG if a line that is needed is missing or not understood. */
bool control_parse(const char *output, ControlData *ret_data, Err *err);

typedef void ControlFn(void *arg, const ControlData *data, const Err *err); /* data is NULL after an error */

/*
 * Runs BIN/pg_controldata on the data directory; on_done is called exactly once, from the loop. False with
 * *err, and no callback, if the child cannot be started.
 */
bool control_read(uv_loop_t *loop, const char *bin_directory, const char *data_directory, int64_t timeout_ms,
                  ControlFn *on_done, void *arg, Err *err);

/* "shut down" and the like, as pg_controldata writes them. */
const char *control_state_name(ControlState state);

/* True if it was an orderly end. */
bool control_is_clean(ControlState state);

#endif
