/*
 * internal.h: the observer's state: the clusters, their servers, and who is asked for what.
 *
 * Everything is on the loop's thread but for reading the folder, which a worker does.
 */
#ifndef PGVIGIL_OBSERVER_INTERNAL_H
#define PGVIGIL_OBSERVER_INTERNAL_H

#include "config/config.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/peer.h"
#include "pg/monitor.h"
#include "sys/loop.h"

#include <sys/stat.h>

#define OBSERVER_CLUSTERS_MAX 2048
#define OBSERVER_FOLDER_US    (2 * US_PER_SEC)  /* between two looks at the folder */
#define OBSERVER_TELL_US      (5 * US_PER_SEC)  /* an opinion that does not change is told that often */
#define OBSERVER_ASK_US       (5 * US_PER_SEC)  /* between two questions to a cluster's agents */
#define OBSERVER_TICK_US      (100 * US_PER_MS) /* agents_tick; it comes to each cluster once a second */

typedef struct Observer Observer;
typedef struct Cluster Cluster;

typedef struct Server {
    Cluster *cluster;
    int member;  /* index in the cluster's configuration */
    int id;      /* of the monitor; -1: a witness, or its connection cannot be written */
    bool shared; /* another cluster has a member of that name, too */
    bool lost;   /* its newest poll failed */
} Server;

/* What the newest answer of an agent's /v1/cluster had. */
typedef struct AgentView {
    bool known;
    int64_t answered_us;
    char member[MEMBER_NAME_LEN], primary[MEMBER_NAME_LEN], leader[MEMBER_NAME_LEN];
    bool quorum;
    int alarms;
} AgentView;

/* A file of the folder, as it was when it was read. */
typedef struct Stamp {
    int64_t mtime_ns;
    uint64_t size, inode;
} Stamp;

struct Cluster {
    Observer *observer;
    char *file; /* name in the folder */
    Stamp stamp;
    Config *config; /* NULL: it could never be read */
    char *problem;  /* of the newest file, while an older one is in force or none; NULL: none */
    char *warning;  /* why there is no secret, as it was logged; NULL: there is one */
    bool seen;      /* during a look at the folder */
    Server server[CONFIG_MEMBER_MAX];
    int server_count;
    int primary;           /* index of the one last seen as primary; -1: none yet */
    bool sees;             /* it answers, and is primary */
    int64_t sees_since_us; /* boot clock */
    int64_t doubled_us;    /* boot clock: since when several say that they are primary; 0: they do not */
    bool doubled_logged;
    PeerNet *peers;  /* NULL: opinions are not told */
    unsigned deaf;   /* tellings since one was answered; 0: the newest was */
    unsigned mute;   /* questions to all members in a row that nobody answered */
    int64_t told_us; /* 0: never, or there is news */
    int64_t turn_us; /* when agents_tick came to it last */
    AgentView agents;
    char agents_problem[160]; /* of the newest question that was answered badly or not at all; "": none */
    int asked_member;         /* of the question under way or to come */
    int64_t asked_us;
    bool asking;
    bool gone; /* removed while a question is under way: the answer frees it */
};

typedef enum WholeKind { WHOLE_CLUSTERS, WHOLE_STATE, WHOLE_METRICS, WHOLE_KINDS } WholeKind;

/* An answer that is of all clusters. */
typedef struct Whole {
    Observer *observer;
    Buf body;
    bool building;
    int part, cluster; /* what is added next */
    int64_t built_us;  /* boot clock; 0: there is none to give out again */
    LoopTimer turn;
    uint32_t token[HTTP_SERVER_HELD_MAX]; /* who waits for it */
    int token_count;
} Whole;

struct Observer {
    uv_loop_t loop;
    const Config *config;
    Config *owned; /* it, once it was reloaded */
    char name[MEMBER_NAME_LEN];
    Monitor *monitor;
    HttpClient *client;
    HttpServer *http;
    Cluster *cluster[OBSERVER_CLUSTERS_MAX]; /* by name of file */
    int cluster_count;
    int told_next; /* index of the cluster whose turn it is to be told and asked */
    Whole whole[WHOLE_KINDS];
    LoopTimer folder_timer, tell_timer, watchdog, reload_timer;
    uint32_t reload_token; /* who asked for the reload that is due; 0: none is */
    struct FolderJob *job; /* a look at the folder is under way */
    bool look_again, read_all;
    char folder_problem[200]; /* "": it can be read */
    int64_t checked_us;       /* the last POST /check that was obeyed */
    int64_t started_us;
    uv_signal_t signals[3];
    int exit_code;
};

/* ---- folder.c ---- */

/* Looks at the folder in a worker and takes what changed; all: files that look unchanged are read, too. */
void folder_look(Observer *observer, bool all);
/* The first look, before the loop runs. False: the folder cannot be read. */
bool folder_begin(Observer *observer, Err *err);
void folder_done(Observer *observer);
/* A file of that name would be a cluster's. */
bool folder_is_wanted(const char *file);

/* ---- watched.c ---- */

/* The observer's own options changed: the servers are polled by them. */
void watched_set(Cluster *cluster);
/* Takes a configuration over, for a new cluster or in place of the one in force. */
void watched_take(Cluster *cluster, Config *config);
void watched_free(Cluster *cluster);
/* A MonitorFn; the tag is the Server. */
void watched_on_sample(void *arg, int id, void *tag, const MonitorSample *sample);
const char *watched_name(const Cluster *cluster);
Cluster *watched_find(const Observer *observer, const char *name);
/* NULL for a witness. */
const MonitorSample *watched_sample(const Server *server);
/* How far a standby is behind the primary as far as both are known: seconds, and bytes; -1: unknown. */
double watched_lag_s(const MonitorSample *sample);
int64_t watched_lag_bytes(const Cluster *cluster, const MonitorSample *sample);
/* How many servers say that they are primary. */
int watched_primaries(const Cluster *cluster);
/* Appends their names, separated by ", ". */
void watched_add_primaries(const Cluster *cluster, Buf *out);
/* Appends why the newest poll of a server failed, and the cure where it is not in the words themselves. */
void watched_add_problem(const Server *server, const MonitorSample *sample, Buf *out);

/* ---- agents.c: what is told to the members, and asked ---- */

void agents_open(Cluster *cluster);
void agents_close(Cluster *cluster);
/* Tells and asks whoever it is time for, of the clusters whose turn it is; arg is the Observer. */
void agents_tick(void *arg);
/* Tells this cluster's members now. */
void agents_tell(Cluster *cluster);

/* ---- answer.c ---- */

#define ANSWER_JSON    "application/json"
#define ANSWER_METRICS "text/plain; version=0.0.4"

/* The listener's handler. */
void answer_on_request(void *arg, HttpRequest *request);
void answer_respond(HttpRequest *request, int status, const char *type, const Buf *body);
void answer_text(HttpRequest *request, int status, const char *text);

/* ---- The parts of answers that are of all clusters: answer.c, lookout.c, metrics.c ---- */

void answer_open(const Observer *observer, Buf *out);
void answer_add(const Cluster *cluster, int part, Buf *out);
void answer_close(const Observer *observer, Buf *out);

/* What pglookout answers to /state.json. */
void lookout_open(const Observer *observer, Buf *out);
void lookout_add_all(const Cluster *cluster, int part, Buf *out);
void lookout_close(const Observer *observer, Buf *out);
/* all: the other clusters' names are there, too. */
void lookout_add(const Cluster *cluster, bool all, Buf *out);
/* Sets Server.shared everywhere. */
void lookout_find_shared(Observer *observer);

#define METRICS_PARTS 8

void metrics_begin(int part, Buf *out);
void metrics_add(const Cluster *cluster, int part, Buf *out);
void metrics_close(const Observer *observer, Buf *out);

/* ---- whole.c ---- */

void whole_init(Observer *observer);
void whole_done(Observer *observer);
/* Answers with the body of that kind, now or when it is built. */
void whole_answer(Observer *observer, WholeKind kind, HttpRequest *request);
/* The clusters are others now. */
void whole_restart(Observer *observer);

/* ---- reload.c ---- */

/* Says in the log which sections of its own file an observer has no use for. */
void reload_note_unused(const Config *config);

/* Opens the listener. */
bool reload_listen(Observer *observer, Err *err);
/* On SIGHUP: the observer's own file and all of the folder. */
void reload_now(Observer *observer);
/* The same by POST /v1/reload, whose answer waits for it. reload_on_time is reload_timer's callback. */
void reload_on_request(Observer *observer, HttpRequest *request);
void reload_on_time(void *arg);

#endif
