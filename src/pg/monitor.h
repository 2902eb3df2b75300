/*
 * monitor.h: many servers asked for role and position, each at its interval, by one loop.
 *
 * One persistent connection and one round trip for each poll. Connects are few at a time, and those that take
 * long move aside: a dead or silent server delays nobody. PostgreSQL 9.6 and later.
 */
#ifndef PGVIGIL_PG_MONITOR_H
#define PGVIGIL_PG_MONITOR_H

#include "base/err.h"
#include "base/types.h"

#include <uv.h>

#define MONITOR_SERVERS_MAX  8192
#define MONITOR_PROBLEM_LEN  200
#define MONITOR_BACKOFF_MOST 4 /* times the interval: a dead server is tried at least that often */

typedef struct Monitor Monitor;

typedef struct MonitorOptions {
    unsigned connecting_max; /* connects that begin at once, over all servers; 0: 32 */
    int64_t stagger_us;      /* between the beginnings of two connects; 0: 1000 */
} MonitorOptions;

/* Everything is copied. */
typedef struct MonitorTarget {
    const char *name;     /* for log lines of the owner; may be NULL */
    const char *conninfo; /* see dsn.h */
    int64_t interval_ms;  /* from one question to the next, at least 10 */
    int64_t timeout_ms;   /* of each step: connecting (per host), setting up, asking */
    bool heartbeat; /* write a small transaction on a primary at each poll, so that an idle one's standbys
                       have something to replay, and their lag in seconds does not grow */
} MonitorTarget;

typedef enum MonitorTrouble {
    MONITOR_FINE = 0,
    MONITOR_UNREACHABLE, /* refused, no route, name not known, connection lost */
    MONITOR_TIMEOUT,
    MONITOR_AUTHENTICATION, /* SQLSTATE class 28, or a password is wanted and there is none */
    MONITOR_OTHER,          /* the server said no: starting up, too many connections, too old */
    MONITOR_TROUBLES
} MonitorTrouble;

/*
 * What the newest poll found. After a failed one, what the last good one said still stands from `answered_us`
 * on, with `ok` false: whoever takes it for news looks at ok or at answered_us.
 */
typedef struct MonitorSample {
    bool ok;
    MonitorTrouble trouble;
    char sqlstate[6];                  /* "" if the server did not say one */
    char problem[MONITOR_PROBLEM_LEN]; /* one line without passwords; "" if ok */
    int64_t asked_us;                  /* boot clock: when the newest poll began; 0: none yet */
    int64_t answered_us;               /* boot clock: the last good answer; 0: never */
    int64_t answered_wall_us;          /* the same on the wall clock */
    int64_t since_us;                  /* boot clock: since when ok is what it is; 0: nothing known */
    uint32_t server_version;           /* as PQserverVersion: 150018 */
    bool in_recovery;
    int64_t db_time_us;  /* the server's wall clock when it answered */
    int64_t replayed_us; /* when the last replayed transaction was committed, by the primary's clock; 0:
                            unknown, or a primary */
    Lsn lsn;             /* a primary's flushed WAL */
    Lsn receive_lsn;     /* a standby's; LSN_NONE: it never streamed */
    Lsn replay_lsn;      /* a standby's */
    uint32_t timeline;   /* 0: unknown */
    uint64_t system_identifier; /* 0: unknown (this user may not ask) */
} MonitorSample;

/* What pglookout calls replication_start_time, replication_time_lag and min_replication_time_lag. */
typedef struct MonitorReplication {
    int64_t since_us;   /* boot clock: since when it answers as a standby; 0: it does not */
    int64_t lag_us;     /* age of the last transaction that it replayed, in the newest answer; -1: unknown */
    int64_t min_lag_us; /* the least since then; -1: unknown */
} MonitorReplication;

/* Called from the loop after each poll, never from within a call of ours. The server may be removed, and
 * others added, from within. sample is valid during the call. */
typedef void MonitorFn(void *arg, int id, void *tag, const MonitorSample *sample);

typedef struct MonitorStats {
    uint64_t polls, failed; /* finished ones */
    uint64_t missed;        /* due ones that were left out because the one before was still under way */
    uint64_t connects;
    unsigned servers, connecting, waiting; /* at this moment */
} MonitorStats;

/* Never NULL; options NULL: the defaults. Raises the process's soft limit of open files to the hard one. */
Monitor *monitor_new(uv_loop_t *loop, const MonitorOptions *options, MonitorFn *on_sample, void *arg);

/* Drops all connections. From within a callback, too. NULL: nothing. */
void monitor_free(Monitor *monitor);

/*
 * Begins to watch a server; its first poll begins soon. Returns its id, at least 0, or -1 with ERR_CONFIG
 * (the connection string, an interval out of range, too many servers). A removed server's id does not come
 * again soon.
 */
int monitor_add(Monitor *monitor, const MonitorTarget *target, void *tag, Err *err);

/* An id that is not there any more: nothing. */
void monitor_remove(Monitor *monitor, int id);

/*
 * Other values for a server that is watched, which keeps its sample, and is polled with them soon. The limits
 * are those of monitor_add; beyond them, and for an id that is not there any more: nothing.
 */
void monitor_set(Monitor *monitor, int id, int64_t interval_ms, int64_t timeout_ms, bool heartbeat);

/* A poll as soon as may be, also of those that wait because they failed; -1: all. One that is under way
 * counts. */
void monitor_now(Monitor *monitor, int id);

/* The newest sample, valid until the next poll of that server; NULL if there is no such id. */
const MonitorSample *monitor_sample(const Monitor *monitor, int id);

/* Of a standby; valid until the next poll of that server. NULL if there is no such id. */
const MonitorReplication *monitor_replication(const Monitor *monitor, int id);

/* Takes a sample into account whose poll ended at that time of the boot clock. For those who keep their own,
 * over a monitor's life; it begins as {.lag_us = -1, .min_lag_us = -1}. */
void monitor_replication_update(MonitorReplication *replication, const MonitorSample *sample, int64_t now_us);

MonitorStats monitor_stats(const Monitor *monitor);

/* "unreachable", "timeout", "authentication", "other"; "" for none. */
const char *monitor_trouble_name(MonitorTrouble trouble);

#endif
