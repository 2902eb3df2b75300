/*
 * status.h: everything that is known of the local server, as the poller hands it out.
 *
 * Positions are LSN_NONE while unknown. After the server stopped, what only a running one can tell is cleared
 * and what the data directory tells is filled in.
 */
#ifndef PGVIGIL_PG_STATUS_H
#define PGVIGIL_PG_STATUS_H

#include "base/types.h"
#include "pg/control.h"
#include "pg/fence_state.h"
#include "sys/proc.h"

#include <sys/types.h>

#define PG_NAME_LEN     64 /* NAMEDATALEN */
#define PG_HOST_LEN     256
#define PG_STANDBYS_MAX 16
#define PG_SLOTS_MAX    32
#define PG_TEXT_LEN     256
#define PG_NAMES_LEN    512

typedef enum ServerState {
    SERVER_UNKNOWN = 0, /* not looked at yet, or the directory is none that can be used: see problem */
    SERVER_EMPTY,       /* no data directory, or an empty one */
    SERVER_STOPPED,     /* shut down in order */
    SERVER_CRASHED,     /* not running, and not shut down in order */
    SERVER_STARTING,    /* runs, accepts no connections yet (or no longer) */
    SERVER_STANDBY,     /* runs in recovery */
    SERVER_PRIMARY,     /* runs and can write */
} ServerState;

/* From primary_conninfo. */
typedef struct PgUpstream {
    char host[PG_HOST_LEN]; /* host, or hostaddr if there is no host; "": follows nobody */
    uint16_t port;
    char application_name[PG_NAME_LEN];
} PgUpstream;

/* A row of pg_stat_replication. */
typedef struct PgStandby {
    char application_name[PG_NAME_LEN];
    char state[16]; /* "streaming", "catchup", "backup", ... */
    Lsn flush;      /* confirmed to be on its disk; LSN_NONE: not yet */
    char user[PG_NAME_LEN];
    char client[48];     /* its address; "": over the socket */
    char sync_state[16]; /* "async", "potential", "sync", "quorum" */
    uint32_t sync_priority;
} PgStandby;

/* A physical replication slot. */
typedef struct PgSlot {
    char name[PG_NAME_LEN];
    Lsn restart;
    bool active;
    char wal_status[16]; /* "" before PostgreSQL 13; "lost": of no more use */
} PgSlot;

typedef struct PgStatus {
    int64_t looked_us; /* boot clock when the look or query that this comes from began */
    ServerState state;
    bool responsive;       /* the newest poll and the newest fresh connection were answered in time */
    bool connections_full; /* the newest answer was "too many connections": alive all the same */
    bool processes_left; /* no postmaster, but processes of one, or its shared memory is attached; true while
                            in doubt */
    bool disk_stuck;     /* a write to the server's disk has failed, or has not ended for disk_timeout; or the
                            running server's files are gone */
    bool disk_full;      /* the newest write found no room */
    uint64_t disk_size, disk_free; /* bytes, below the data directory; size 0: not known */
    bool streaming;                /* standby: the walreceiver streams */
    bool position_known; /* standby: has replayed all its own WAL once; before that lsn is too low */
    bool can_rewind;     /* data checksums or wal_log_hints */
    bool pending_restart;
    char problem[PG_TEXT_LEN]; /* why it cannot be used or polled, with the cure; "" if there is nothing to
                                  say */

    uint64_t system_identifier;
    uint32_t server_version; /* as PQserverVersion; 150000 while only the directory tells */
    uint32_t timeline;       /* of its newest WAL */
    Lsn timeline_start;      /* where that timeline left its parent; LSN_NONE for timeline 1 */
    uint32_t checkpoint_timeline;
    Lsn checkpoint_lsn;         /* latest checkpoint, from the control file */
    ControlState control_state; /* while it does not run */
    Lsn lsn;                    /* primary: flushed; standby: the larger of received and replayed */
    Lsn receive_lsn;            /* standby */
    Lsn replay_lsn;             /* standby */
    Lsn oldest_lsn;             /* the oldest WAL still there */
    bool replay_paused;         /* standby */
    int64_t
        replayed_us; /* standby: when the newest replayed transaction was committed, wall clock; 0: unknown */
    int64_t started_us;    /* when the postmaster was started, wall clock; 0: unknown */
    int32_t replay_lag_ms; /* age of the newest replayed transaction; -1: unknown, or nothing to replay */

    PgUpstream upstream;    /* from primary_conninfo, of a standby or not */
    char slot[PG_NAME_LEN]; /* primary_slot_name */

    FenceState fence; /* of the server that runs; all zero: without the extension, or not asked yet */
    /* synchronous_standby_names and pgvigil.generation, by the newest reload; what is too long is cut off */
    char names[PG_NAMES_LEN];
    bool names_known;
    bool names_in_auto; /* set in postgresql.auto.conf, and nowhere after that */
    uint32_t generation;

    uint32_t standby_count;
    PgStandby standby[PG_STANDBYS_MAX];
    bool slots_complete; /* all physical slots are in the list */
    uint32_t slot_count;
    PgSlot slots[PG_SLOTS_MAX];

    pid_t postmaster; /* 0 while it does not run */
    /* Of the server that runs or ran last, for what is left of it when its directory is gone. */
    ProcPlace place;
    int shm_id; /* -1: not known */
    uint64_t shm_key;
    uint16_t port;
    char socket_directory[PG_HOST_LEN];

    bool data_checksums, wal_log_hints, restart_after_crash, has_restore_command;
    uint32_t wal_segment_size; /* bytes */
} PgStatus;

/* For logs and people; never NULL. */
const char *status_state_name(ServerState state);

#endif
