/*
 * poll.h: the observer of the one local server.
 *
 * A persistent connection is asked every poll_interval, a fresh one is made every fresh_interval (a live old
 * connection hides a postmaster that takes no new ones), a block is written to the server's disk four times
 * in each disk_timeout, a pidfd tells of the postmaster's end within milliseconds, and while nothing runs the
 * data directory is looked at. All of it is asynchronous, with a deadline on each step.
 */
#ifndef PGVIGIL_PG_POLL_H
#define PGVIGIL_PG_POLL_H

#include "pg/conn.h"
#include "pg/status.h"

typedef struct PollOptions {
    const char *data_directory;
    const char *bin_directory; /* "" or NULL: programs_find decides, each time it is needed */
    const char *user, *database, *passfile;
    int64_t poll_interval_ms;
    int64_t poll_timeout_ms;
    int64_t fresh_interval_ms;
    int64_t disk_timeout_ms; /* a write that takes longer: the disk is stuck */
} PollOptions;

/*
 * Called from the loop after each poll and at each change, with everything that is known. status is valid in
 * the callback only (poll_status gives it at any time). May call any poll_ function but poll_free.
 */
typedef void PollFn(void *arg, const PgStatus *status);

typedef struct PgPoll PgPoll;

/* Makes an observer and lets it begin at the loop's next round; copies what options point to. */
PgPoll *poll_new(uv_loop_t *loop, const PollOptions *options, PollFn *on_status, void *arg);

/* New intervals and credentials, from the next poll on. The data directory cannot change. */
void poll_set_options(PgPoll *poll, const PollOptions *options);

/*
 * Asks now: at once if nothing is under way, else once more when that has ended; on_status follows. While no
 * server runs it looks at the data directory, and at pg_wal: a rewind changes that after the control file.
 */
void poll_now(PgPoll *poll);

/* The newest state. Never NULL; SERVER_UNKNOWN before the first look. Changes with the loop's next round. */
const PgStatus *poll_status(const PgPoll *poll);

#define POLL_QUERY_MAX 16

/*
 * Sends a query over the persistent connection, ahead of polls and after queries asked before. At most
 * POLL_QUERY_MAX wait. on_done is called exactly once, from the loop; without a connection at once with
 * ERR_NET. The connection is shared: no transaction and no setting may be left behind. A passed deadline
 * costs the connection.
 */
void poll_query(PgPoll *poll, const char *sql, int64_t timeout_ms, ConnFn *on_done, void *arg);

/* Takes back what was asked with this arg: its callback will not come. */
void poll_forget(PgPoll *poll, void *arg);

/* True while the persistent connection stands. */
bool poll_is_connected(const PgPoll *poll);

/*
 * Somebody else knows that a server may run whose processes cannot be seen: while no postmaster is seen the
 * status then says processes_left. False at first.
 */
void poll_set_elsewhere(PgPoll *poll, bool runs);
bool poll_is_elsewhere(const PgPoll *poll);

/* Stops everything and frees; NULL: nothing. No callback any more. */
void poll_free(PgPoll *poll);

#endif
