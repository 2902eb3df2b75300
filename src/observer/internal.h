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
#define OBSERVER_FOLDER_US    (2 * US_PER_SEC) /* between two looks at the folder */
#define OBSERVER_TELL_US      (5 * US_PER_SEC) /* an opinion that does not change is told that often */
#define OBSERVER_ASK_US       (5 * US_PER_SEC) /* between two questions to a cluster's agents */

typedef struct Observer Observer;
typedef struct Cluster Cluster;

typedef struct Server {
    Cluster *cluster;
    int member; /* index in the cluster's configuration */
    int id;     /* of the monitor; -1: a witness, or its connection cannot be written */
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
    bool seen;      /* during a look at the folder */
    Server server[CONFIG_MEMBER_MAX];
    int server_count;
    int primary;           /* index of the one last seen as primary; -1: none yet */
    bool sees;             /* it answers, and is primary */
    int64_t sees_since_us; /* boot clock */
    PeerNet *peers;        /* NULL: opinions are not told */
    unsigned deaf;         /* tellings since one was answered; 0: the newest was */
    unsigned mute;         /* questions to all members in a row that nobody answered */
    int64_t told_us;       /* 0: never, or there is news */
    AgentView agents;
    int asked_member; /* of the question under way or to come */
    int64_t asked_us;
    bool asking;
    bool gone; /* removed while a question is under way: the answer frees it */
};

struct Observer {
    uv_loop_t loop;
    const Config *config;
    char name[MEMBER_NAME_LEN];
    Monitor *monitor;
    HttpClient *client;
    HttpServer *http;
    Cluster *cluster[OBSERVER_CLUSTERS_MAX]; /* by name of file */
    int cluster_count;
    LoopTimer folder_timer, tell_timer, watchdog;
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

/* ---- watched.c ---- */

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

/* ---- agents.c: what is told to the members, and asked ---- */

void agents_open(Cluster *cluster);
void agents_close(Cluster *cluster);
/* Tells and asks whoever it is time for; arg is the Observer. */
void agents_tick(void *arg);
/* Tells this cluster's members now. */
void agents_tell(Cluster *cluster);

/* ---- answer.c, metrics.c, lookout.c ---- */

/* The listener's handler. */
void answer_on_request(void *arg, HttpRequest *request);
void metrics_add(const Observer *observer, Buf *out);
/* What pglookout answers to /state.json. only: this cluster; NULL: all. */
void lookout_add_state(const Observer *observer, const Cluster *only, Buf *out);

#endif
