/*
 * internal.h: the poller's state, shared by poll.c (when, and what is known) and ask.c (connections and
 * queries).
 *
 * next is worked on; it becomes status, which others see, when it belongs together: a new timeline is never
 * shown with the old one's beginning.
 */
#ifndef PGVIGIL_PG_INTERNAL_H
#define PGVIGIL_PG_INTERNAL_H

#include "pg/look.h"
#include "pg/poll.h"
#include "pg/probe.h"
#include "pg/query.h"
#include "sys/loop.h"
#include "sys/proc.h"

typedef struct PollQuery {
    char *sql;
    int64_t timeout_ms;
    ConnFn *on_done; /* NULL: taken back */
    void *arg;
} PollQuery;

typedef struct LookJob {
    PgPoll *poll; /* NULL: the poller is gone */
    int64_t asked_us;
    Look look;
} LookJob;

typedef struct ControlJob {
    PgPoll *poll; /* NULL: the poller is gone, or the answer is of no more use */
} ControlJob;

struct PgPoll {
    uv_loop_t *loop;
    PollFn *on_status;
    void *arg;
    char data_directory[DATADIR_PATH_LEN], configured_bin[DATADIR_PATH_LEN], bin[DATADIR_PATH_LEN];
    char user[128], database[128], passfile[1024];
    int64_t poll_interval_ms, poll_timeout_ms, fresh_interval_ms, disk_timeout_ms;

    PgStatus status, next;
    int64_t emitted_ms;
    bool elsewhere;  /* a server may run that cannot be seen */
    LoopTimer tick;  /* each poll_interval */
    LoopTimer hurry; /* sooner: a server that starts, processes that end */
    LoopTimer defer; /* failures that must not call back from within a call */
    int hurries;     /* in a row */

    /* the postmaster and the directory */
    ProcWatch watch;
    PidFile pidfile; /* of the server that runs or ran last */
    LookJob *job;
    unsigned look_wanted;
    bool emit_after_look;
    ControlJob *control_job;
    uint64_t control_stamp;
    bool facts_known; /* checksums and the like were read, from the server or from the control file */

    /* what the last look at the WAL was about */
    uint32_t wal_timeline;
    bool wal_streaming;
    Lsn wal_lsn, wal_checkpoint;
    int64_t wal_looked_ms;
    bool wal_known;

    /* persistent connection */
    Conn *conn;
    int64_t asked_us; /* when the poll under way was sent */
    bool prepared, polling, wanted, settings_wanted, answered;
    bool over_tcp;      /* the next attempt goes to the listen address */
    int64_t connect_ms; /* when the last attempt began */
    int64_t knocked_ms; /* at a server that starts or stops */
    char reloaded[40];
    PollQuery sent;                      /* from the queue, under way */
    PollQuery queue[POLL_QUERY_MAX + 1]; /* one more for what was under way when the connection was lost */
    size_t queued;

    Probe probe; /* while a server runs */

    /* fresh connections */
    Conn *fresh;
    LoopTimer fresh_timer;
    bool fresh_answered;
};

/* ask.c */

/* Sends what is to be sent next, or begins to connect. */
void ask_pump(PgPoll *poll);

/* Drops both connections; what was asked fails on the loop's next round. */
void ask_stop(PgPoll *poll);

/* Begins with a server that was just found. */
void ask_start(PgPoll *poll);

/* Makes a fresh connection, unless one is under way or the persistent one is not there. */
void ask_fresh(PgPoll *poll);

/* Fails everything that is queued; for the defer timer. */
void ask_fail_queue(PgPoll *poll);

/* poll.c */

/* A row and its settings are in next: completes it by a look at the WAL if need be, then shows it. */
void poll_on_row(PgPoll *poll, const QueryExtra *extra);

/* Shows next. */
void poll_emit(PgPoll *poll);

/* Wants a look at the directory; several become one. */
void poll_want_look(PgPoll *poll, unsigned what);

/* Asks again sooner than the next tick. */
void poll_hurry(PgPoll *poll);

#endif
