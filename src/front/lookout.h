/*
 * lookout.h: what the parts of pglookout share; private to src/front.
 *
 * Everything is on the loop's thread but for files, which workers read and write. The policy is
 * core/lookout.h's.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_H
#define PGVIGIL_FRONT_LOOKOUT_H

#include "core/lookout.h"
#include "front/args.h"
#include "front/lookout_config.h"
#include "front/lookout_follow.h"
#include "front/lookout_lease.h"
#include "front/lookout_state.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "notify/alert_file.h"
#include "notify/statsd.h"
#include "notify/syslog.h"
#include "pg/monitor.h"
#include "sys/loop.h"

#define LOOKOUT_POLL_TIMEOUT_MS 5000 /* of each step of a poll, and of a question to an observer */
#define LOOKOUT_LOOK_US         (40 * US_PER_SEC) /* a look at all servers has ended by then, or is given up */
#define LOOKOUT_COMMAND_MS      (30 * 60 * 1000LL)
#define LOOKOUT_STATE_US        (20 * US_PER_SEC) /* the state file is never older while we live */
#define LOOKOUT_CHECK_LEAST_US  (100 * US_PER_MS) /* between two POST /check that are obeyed */

typedef struct Lookout Lookout;

typedef struct LookoutNode {
    Lookout *lookout;
    char *name;
    int id;      /* of the monitor; -1: none */
    bool listed; /* for reloading */
    LookoutSeen seen;
} LookoutNode;

typedef struct LookoutWatch {
    Lookout *lookout;
    const LookoutObserver *observer; /* of the configuration in force */
    char *name;
    bool busy, gone; /* a question is under way; gone: nobody waits for its answer */
    bool again;      /* that question is older than the look: another one has to follow */
    bool connected;
    int64_t answered_us, asked_wall_us; /* boot and wall clock */
    char sees[256]; /* the primary of ours that it saw connected in its newest answer, or "" */
    json_t *state;  /* its newest answer, or NULL */
} LookoutWatch;

struct Lookout {
    uv_loop_t loop;
    const char *config_path;
    LookoutConfig *config;
    Monitor *monitor;
    LookoutNode **node; /* in the order of remote_conns */
    int node_count;
    LookoutWatch *watch[LOOKOUT_CONFIG_OBSERVERS];
    int watch_count;
    HttpClient *client;
    HttpServer *http;
    AlertFiles *alerts;
    Statsd *statsd;
    Syslog *syslog;
    LoopTimer check_timer, watch_timer, look_timer, state_timer, sleep_timer;
    uv_signal_t signals[3];
    int64_t started_us, changed_us, polled_us, asked_us; /* boot clock */

    char primary[256]; /* the current one's name, "" before the first */
    bool own_held;     /* the own server was the one primary, and answered ever since */
    char told_rule[40];
    bool was_warning;
    bool looking, confirming; /* a look at all is under way; confirming: before failover_command */
    int64_t look_us;
    bool busy;    /* failover_command runs, or failover_sleep_time after it */
    bool alerted; /* failover_has_happened is new, by the failover_command that runs */
    bool warning_command;
    LookoutFollow *follow;
    LookoutLease *lease;

    bool writing, write_again; /* the state file */
};

/* ---- lookout.c ---- */

/* To standard error and, if it is on, to syslog. */
void lookout_log(Lookout *lookout, LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
extern const ArgsOption lookout_options[];
int lookout_run(int argc, char **argv);

/* ---- lookout_convert.c ---- */
bool lookout_convert(int argc, char **argv, Buf *out, Err *err);

/* ---- lookout_current.c ---- */
int lookout_current_run(int argc, char **argv);

/* ---- lookout_poll.c: servers and observers ---- */

/* Takes the servers and observers of the configuration over; those that stay keep what is known of them. */
bool lookout_poll_configure(Lookout *lookout, Err *err);
void lookout_poll_on_sample(void *arg, int id, void *tag, const MonitorSample *sample);
/* Asks the observers now (a LoopTimerFn: where the configuration wants them asked only sometimes, then). */
void lookout_poll_watches(void *arg);
void lookout_poll_now(Lookout *lookout);
void lookout_poll_done(Lookout *lookout);

/* ---- lookout_check.c: facts, decision, and what follows from it ---- */

/* Looks at what is known, decides and acts; confirmed: see LookoutFacts. */
void lookout_check(Lookout *lookout, bool confirmed);
void lookout_check_on_time(void *arg);
/* All servers and observers are asked at once, and lookout_check comes after their answers. */
void lookout_check_begin_look(Lookout *lookout, bool confirming);
/* To be called after each answer: ends the look when all have answered. */
void lookout_check_answered(Lookout *lookout);
void lookout_check_on_late(void *arg);

/* ---- lookout_act.c: commands, the state file, alert files, statistics ---- */
void lookout_act_failover(Lookout *lookout);
void lookout_act_on_slept(void *arg);
void lookout_act_warning_command(Lookout *lookout);
void lookout_act_alert(Lookout *lookout, const char *name, bool is_on);
void lookout_act_count(Lookout *lookout, const char *name, const char *db);
void lookout_act_write_state(void *arg);

#endif
