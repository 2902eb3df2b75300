/*
 * server.h: what server.c (stopping) and start.c (starting) share.
 */
#ifndef PGVIGIL_ACTION_SERVER_H
#define PGVIGIL_ACTION_SERVER_H

#include "action/run.h"

#define SERVER_LOG_TAIL 8192

struct ServerData {
    pid_t postmaster; /* to be stopped; 0: none was known */
    ProcPlace place;  /* where it works, whatever became of its directory; zero: not known */
    int shm_id;       /* of the server to be stopped; -1: not known */
    uint64_t shm_key;
    bool shadow;          /* look twice before saying that nothing is there */
    bool standby;         /* start as a standby */
    bool keep_upstream;   /* without touching what it follows */
    bool hangs;           /* a restore_command does, while it starts */
    bool without_archive; /* start with restore_command turned off */
    bool raised;          /* start with the settings that the WAL asks for, which are in run->control */
    RunStep *then;        /* instead of the end, after a stop or a start */
    RunStep *after_restart;
    RunStep *verified; /* verify.c's next */
    uint32_t checkpoint_len, segment_size;
    int64_t until_us; /* when the start or stop that a command does has to be done (raw clock) */
    int64_t done_us;  /* when it was seen to be, or the command to have ended; 0: not yet */
    bool appeared;    /* since the start command a postmaster was there */
    off_t log_begins; /* where the server's log ended before this start */
    char complaint[300], tail[SERVER_LOG_TAIL + 1];
    char log[DATADIR_PATH_LEN * 2]; /* where the complaint is from */
};

/* The run's own, made at the first call. For the loop's thread. */
ServerData *server_data(Run *run);

/* Worker: notes which server it is, while postmaster.pid is there to tell. */
bool server_note(Run *run, Err *err);

/* Worker: blocks until nothing of the server is left; ERR_TIMEOUT after ACT_KILL_TIMEOUT_MS. */
bool server_end_all(Run *run, Err *err);

/* Worker: whether somebody works in the data directory or is attached to the noted server's memory. */
bool server_has_leftovers(const Run *run);

/* Stops it fast, and immediately if that takes too long; goes on with server_data(run)->then, or ends. */
void server_stop(Run *run);

/* Where this server is connected to; points into the status and the settings. */
ConnTarget server_target(const Run *run);

#endif
