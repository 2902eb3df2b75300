/*
 * look.h: one look at the data directory and its processes, as a job for a worker.
 *
 * The poller fills in what it wants to know, look_run blocks as long as the disk does, and the poller reads
 * the answers when the job is back on the loop. Nothing in here is shared between the two threads.
 */
#ifndef PGVIGIL_PG_LOOK_H
#define PGVIGIL_PG_LOOK_H

#include "pg/datadir.h"
#include "pg/wal.h"
#include "sys/proc.h"

typedef enum LookWhat {
    LOOK_DIRECTORY = 1, /* kind, version, owner, postmaster.pid, state in the control file */
    LOOK_PROCESSES = 2, /* processes and shared memory of a server */
    LOOK_WAL = 4,       /* newest timeline and where it begins, oldest WAL */
} LookWhat;

typedef struct Look {
    unsigned what;
    char data_directory[DATADIR_PATH_LEN];
    char configured_bin[DATADIR_PATH_LEN];
    int known_shm_id; /* of a server that ran; -1: unknown, postmaster.pid's is taken */
    uint64_t known_shm_key;
    ProcPlace known_place; /* of a server that ran */
    uint32_t segment_size;
    uint32_t known_timeline; /* 0: find it out by the WAL that is there */
    uint32_t least_timeline; /* what the control file says at least */
    Lsn lsn;                 /* the position whose timeline is asked for; LSN_NONE: the newest */

    char problem[256]; /* why the directory cannot be used; "" if it can */
    DatadirKind kind;
    bool readable; /* kind is known */
    uint32_t major;
    PidFile pidfile;
    bool running;
    ProcPlace place; /* where it works, if it runs */
    ControlState control_state;
    uint64_t system_identifier;
    uint64_t control_stamp; /* changes when the control file is written */
    char bin[DATADIR_PATH_LEN];
    bool processes;
    bool wal_ok;
    uint32_t timeline;
    Lsn timeline_start;
    Lsn oldest;
} Look;

void look_run(Look *look);

#endif
