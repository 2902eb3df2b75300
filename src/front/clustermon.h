/*
 * clustermon.h: what the parts of pg_cluster_monitor share; private to src/front.
 *
 * Everything is on the loop's thread but for files, which workers read and write. The policy is
 * core/clustermon.h's.
 */
#ifndef PGVIGIL_FRONT_CLUSTERMON_H
#define PGVIGIL_FRONT_CLUSTERMON_H

#include "core/clustermon.h"
#include "front/args.h"
#include "front/clustermon_config.h"
#include "net/http_server.h"
#include "pg/conn.h"
#include "pg/dsn.h"
#include "pg/sizes.h"
#include "sys/exec.h"
#include "sys/loop.h"
#include "sys/mask.h"

#define CLUSTERMON_POLL_MS       5000  /* to connect, and to ask, each */
#define CLUSTERMON_ASK_MS        10000 /* the status and the network command */
#define CLUSTERMON_START_MS      (5 * 60 * 1000LL)
#define CLUSTERMON_STOP_MS       (5 * 60 * 1000LL)
#define CLUSTERMON_PROMOTE_MS    (60 * 1000LL)
#define CLUSTERMON_REWIND_MS     (60 * 60 * 1000LL)
#define CLUSTERMON_FOLDERS_MS    (60 * 60 * 1000LL)
#define CLUSTERMON_CHECKPOINT_MS (5 * 60 * 1000LL)
#define CLUSTERMON_CLONE_MS      (24 * 60 * 60 * 1000LL)
#define CLUSTERMON_CONNINFO      2048

typedef struct Clustermon Clustermon;

/* A node of [cluster]: its connection and what it said last. */
typedef struct ClustermonPeer {
    Clustermon *cm;
    int index;
    Dsn *dsn;
    Conn *conn, *size_conn;
    bool asking;
    ClustermonNode node; /* for the policy */
    int idle_looks;      /* in a row, with one primary, in which it answered and did not stream */
    uint32_t version;    /* as 150018 */
    uint32_t segment_size;
    int64_t answered_wall_us, server_wall_us;
    char names[256], conninfo[CLUSTERMON_CONNINFO], slot[64], receiver[32], received[32];
    int64_t slots, streaming;
    char problem[200]; /* why it is not connected; told when it changes */
    Sizes sizes;
    bool is_sized;
    int64_t sized_us; /* when they were asked for, boot clock; 0: never */
} ClustermonPeer;

/* What the data directory looks like, found out by a worker. */
typedef struct ClustermonLook {
    Clustermon *cm;
    char directory[1024];
    bool broken;  /* it cannot be told: nothing may be decided by it */
    bool visible; /* it is a data directory, and can be read from here */
    bool is_standby, runs;
    uint64_t system_identifier;
    bool owed, owed_copy; /* see clustermon_owed_read */
    char problem[300];
} ClustermonLook;

typedef struct ClustermonDowngrade ClustermonDowngrade;
typedef struct ClustermonLock ClustermonLock;
typedef struct ClustermonSql ClustermonSql;
typedef struct ClustermonSave ClustermonSave;

struct Clustermon {
    uv_loop_t loop;
    const char *config_path;
    ClustermonConfig *config;
    Mask mask; /* passwords of [cluster]; points into secrets */
    char *secrets[CLUSTERMON_CONFIG_NODES];
    ClustermonPeer *peer[CLUSTERMON_CONFIG_NODES];
    HttpServer *http;
    LoopTimer scan_timer, tell_timer;
    uv_signal_t signals[3];

    /* the look under way */
    bool looking, confirming;
    int pending; /* answers that are awaited */
    int64_t looked_us, decided_us;
    ClustermonLocal local;
    bool network;
    ClustermonLook look;
    bool network_told;

    /* what is known over time, boot clock */
    bool had_primary;
    bool unsaved;                    /* what only the local server has could not be saved whole */
    bool slot_owed, checkpoint_owed; /* of what follows a promotion */
    int64_t no_primary_us, several_us, down_us;
    char names_set[8]; /* that were set last, "-": none */
    char told_rule[40], told_alert[40];

    /* what is being done */
    const char *doing; /* NULL: nothing; else what, for log and people */
    int64_t doing_us;
    char failed[300];           /* of what was done last, "": it was done */
    bool costly;                /* it removes and copies: a failure is not tried again at once */
    int64_t again_us, pause_us; /* when it may be tried again, boot clock; how long was waited for that */
    int64_t start_seen_us;      /* since when the server answers beside a start command */
    Exec *command;
    ClustermonCommand command_name;
    void (*on_command)(Clustermon *cm, bool ok, const char *text, const ExecResult *result);
    Conn *admin; /* the own server, for statements that change something */
    ClustermonSql *sql;
    LoopTimer wait_timer;
    int64_t wait_until_us;
    bool (*is_there)(const Clustermon *cm);
    void (*on_waited)(Clustermon *cm, bool there);
    ClustermonDowngrade *downgrade;
    bool ending;
};

/* ---- clustermon.c ---- */
extern const ArgsOption clustermon_options[];
int clustermon_run(int argc, char **argv);

/* ---- clustermon_convert.c ---- */
bool clustermon_convert(int argc, char **argv, Buf *out, Err *err);

/* ---- clustermon_http.c: /status and /heartbeat ---- */
bool clustermon_http_start(Clustermon *cm, Err *err);

/* ---- clustermon_poll.c: what the nodes say ---- */
void clustermon_poll_new(Clustermon *cm);
/* Asks that node now, unless it is being asked; clustermon_look_answered comes with its answer. */
void clustermon_poll_ask(ClustermonPeer *peer);
/* It answers, as a standby; and its receiver streamed in its newest answer. */
bool clustermon_poll_is_standby(const ClustermonPeer *peer);
bool clustermon_poll_streams(const ClustermonPeer *peer);
void clustermon_poll_done(Clustermon *cm);

/* ---- clustermon_look.c: one look at everything, and the decision ---- */
/* Begins one, unless answers of an earlier one are awaited still. */
void clustermon_look_begin(Clustermon *cm, bool confirming);
void clustermon_look_on_time(void *arg);
/* One of the awaited answers has come. */
void clustermon_look_answered(Clustermon *cm);

/* ---- clustermon_command.c: the commands of the configuration ---- */

/*
 * Runs it by the shell, as the old program did; primary is for %master_connstr%, or NULL. on_end comes once,
 * from the loop, unless cm ends before: ok is whether it ended with 0, text what it said last, without
 * passwords, result NULL if it could not be run. One at a time.
 */
void clustermon_command_run(Clustermon *cm, ClustermonCommand command, const char *primary,
                            int64_t timeout_ms,
                            void (*on_end)(Clustermon *cm, bool ok, const char *text,
                                           const ExecResult *result));
/* Status and network: beside whatever else runs; the answers go into cm->local and cm->network. */
void clustermon_command_ask(Clustermon *cm);
/* Whether the server runs by what the status command has printed; result NULL: it could not be run. */
ClustermonLocal clustermon_command_local(const Clustermon *cm, const ExecResult *result);
/* A start command whose work is seen to be done is left to itself, and has ended well. */
void clustermon_command_is_done(Clustermon *cm);
/* Ends what is under way, in order or now; a start and a promotion go on. cm is ending. */
void clustermon_command_stop(Clustermon *cm, bool now);

/* ---- clustermon_sql.c: statements to the own server ---- */
#define CLUSTERMON_STATEMENTS 6
ClustermonSql *clustermon_sql_new(Clustermon *cm);
/* Another statement, for more to be added to it; at most CLUSTERMON_STATEMENTS. */
Buf *clustermon_sql_add(ClustermonSql *sql, const char *text);
/* A blank, and the value as a literal, whatever standard_conforming_strings is. */
void clustermon_sql_literal(Buf *statement, const char *value);
/* Makes a physical replication slot of that name, if it is not there. */
void clustermon_sql_slot(Buf *statement, const char *name);
/* Takes it over. on_end comes once, from the loop, unless cm ends before; failed NULL: all were done. */
void clustermon_sql_run(ClustermonSql *sql, int64_t timeout_ms,
                        void (*on_end)(Clustermon *cm, const char *failed));
/* NULL: nothing. */
void clustermon_sql_free(ClustermonSql *sql);

/* ---- clustermon_act.c: what takes a step or two ---- */
void clustermon_act_start(Clustermon *cm);
void clustermon_act_promote(Clustermon *cm);
/* The checkpoint and the slot that are owed. */
void clustermon_act_settle(Clustermon *cm);
void clustermon_act_follow(Clustermon *cm, int primary);
/* names: "" or "*". */
void clustermon_act_names(Clustermon *cm, const char *names);
void clustermon_act_begin(Clustermon *cm, const char *doing);
/* The end of whatever was being done; failed NULL: it is done, and another look follows. */
void clustermon_act_end(Clustermon *cm, const char *failed);
/* Asks the own server until is_there, for so long at most. */
void clustermon_act_wait(Clustermon *cm, int64_t limit_us, bool (*is_there)(const Clustermon *cm),
                         void (*on_end)(Clustermon *cm, bool there));
void clustermon_act_on_wait(void *arg);

/* ---- clustermon_downgrade.c: a primary becomes a standby ---- */
void clustermon_downgrade_begin(Clustermon *cm, ClustermonMove move, int primary);
void clustermon_downgrade_done(Clustermon *cm);

/* ---- clustermon_lock.c ---- */

/*
 * Takes a shared lock on the primary, and with both one on the own server for this program alone. on_end
 * comes once, from the loop; failed NULL: they are held until clustermon_lock_free.
 */
ClustermonLock *clustermon_lock_take(Clustermon *cm, int primary, bool both,
                                     void (*on_end)(Clustermon *cm, const char *failed));
/* The connection to the primary, for queries once the locks are held; the lock's own. */
Conn *clustermon_lock_conn(const ClustermonLock *lock);
/* NULL: nothing. */
void clustermon_lock_free(ClustermonLock *lock);

/* ---- clustermon_files.c: the data directory of a server that is down; for workers ---- */

/* ERR_PG: a server runs in it, or a pg_rewind or pg_basebackup of an earlier life of ours works at it. */
bool clustermon_files_is_quiet(const char *directory, Err *err);
/* Of pg_control: a server that ran since has written it anew. */
bool clustermon_files_stamp(const char *directory, uint64_t *ret_stamp, Err *err);
/*
 * Ready to be started: standby.signal, which belongs to the server's user as all there does. rewound_to: the
 * primary's timeline behind a rewind, else 0; WAL of a later number, which that leaves, would be taken for
 * what is to be followed.
 */
bool clustermon_files_make_standby(const char *directory, uint32_t rewound_to, uint32_t segment_size,
                                   Err *err);

/* ---- clustermon_owed.c: the mark that the data directory is not whole; all but the last are for workers ---- */

/* Why it is not whole. */
typedef enum ClustermonOwed {
    CLUSTERMON_OWED_NOTHING,
    CLUSTERMON_OWED_REWIND,
    CLUSTERMON_OWED_COPY
} ClustermonOwed;

/* folder: [pgvigil] state_directory. ERR_REFUSED: the mark is of another data directory. */
bool clustermon_owed_read(const char *folder, const char *data_directory, ClustermonOwed *ret_owed, Err *err);
bool clustermon_owed_write(const char *folder, const char *data_directory, ClustermonOwed owed, Err *err);
bool clustermon_owed_remove(const char *folder, Err *err);
/* By a worker: the server was made whole by somebody. */
void clustermon_owed_forget(Clustermon *cm);

/* ---- clustermon_save.c ---- */

typedef struct ClustermonSaved {
    const char *failed; /* NULL: all of it is saved, or there was nothing */
    bool unsaved;       /* failed because it can never be shown to be all */
    bool no_rewind;     /* numbers of timelines lie: pg_rewind would find nothing to do, or the wrong thing */
} ClustermonSaved;

/*
 * Copies the WAL that the local server has and the primary has not aside, with a report, as pgvigil's agents
 * do (docs/two-primaries.md). The local server is down and its data directory visible. compare: it fails if
 * the primary has less WAL. on_end comes once.
 */
ClustermonSave *clustermon_save_begin(Clustermon *cm, int primary, bool compare,
                                      void (*on_end)(Clustermon *cm, const ClustermonSaved *saved));
/* NULL: nothing. */
void clustermon_save_free(ClustermonSave *save);

#endif
