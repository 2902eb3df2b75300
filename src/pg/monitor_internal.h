/*
 * monitor_internal.h: the monitor's state, shared by monitor.c (polls) and monitor_line.c (who may connect
 * when).
 */
#ifndef PGVIGIL_PG_MONITOR_INTERNAL_H
#define PGVIGIL_PG_MONITOR_INTERNAL_H

#include "pg/conn.h"
#include "pg/dsn.h"
#include "pg/monitor.h"
#include "sys/loop.h"

typedef enum ServerStep {
    STEP_IDLE = 0,
    STEP_WAITING,
    STEP_CONNECTING,
    STEP_ASIDE,
    STEP_PREPARING,
    STEP_POLLING
} ServerStep;

typedef struct Server Server;
struct Server {
    Monitor *monitor;
    int id;
    void *tag;
    Dsn *dsn;
    Conn *conn;
    LoopTimer timer; /* idle: the next poll; connecting: goes aside */
    Server *next;    /* in a line of waiting ones */
    ServerStep step;
    int host;
    int64_t interval_us, timeout_ms;
    int64_t due_us;               /* boot clock */
    int64_t hurry_least_us;       /* a lost connection hurries the next poll once an interval only */
    unsigned failures;            /* in a row */
    bool heartbeat, plain, fresh; /* fresh: connected for this poll */
    bool renew;                   /* the next poll is on a new connection */
    MonitorSample sample;
    MonitorReplication replication;
};

typedef struct Line {
    Server *first, *last;
} Line;

struct Monitor {
    uv_loop_t *loop;
    MonitorOptions options;
    MonitorFn *on_sample;
    void *arg;
    Server **slot;
    unsigned slots;
    unsigned serial; /* of the next id */
    unsigned servers, connecting, connecting_failed, aside, waiting;
    Line good, failed; /* by how the last poll ended */
    LoopTimer gate;    /* the next connect may begin */
    uint64_t rng;
    MonitorStats stats;
};

/* Waits for a place to connect; monitor_on_connected is called when that is over. */
void monitor_line_add(Server *server);

/* Whoever waits is forgotten; whoever has a place gives it back. */
void monitor_line_leave(Server *server);

/* The connect takes long: it gives its place up and goes on aside. */
void monitor_line_aside(Server *server);

/* Begins to connect to the host of that number. */
void monitor_line_connect(Server *server, int host);

/* Lets the next one begin, if it is time. Also the gate's callback; arg is the Monitor. */
void monitor_line_run(void *arg);

/* In monitor.c: a ConnFn. */
void monitor_on_connected(void *arg, const ConnReply *reply);

#endif
