/*
 * internal.h: the agent's own state: the one core, the bodies around it, and the queue between them.
 *
 * Callbacks translate what happened into an event and enqueue it; agent_turn() drains the queue through
 * core_step and runs the effects in their order.
 */
#ifndef PGVIGIL_AGENT_INTERNAL_H
#define PGVIGIL_AGENT_INTERNAL_H

#include "action/slots.h"
#include "agent/alarms.h"
#include "agent/deadline.h"
#include "agent/elsewhere.h"
#include "agent/figures.h"
#include "agent/gates.h"
#include "agent/heartbeat.h"
#include "agent/lag.h"
#include "agent/netcheck.h"
#include "agent/proxies.h"
#include "agent/snapshot.h"
#include "agent/tell.h"
#include "config/config.h"
#include "core/core.h"
#include "net/http_server.h"
#include "net/http_tls.h"
#include "net/peer.h"
#include "store/store.h"
#include "sys/loop.h"
#include "sys/proc.h"

#define QUEUE_MAX        64
#define QUEUE_KEPT       8 /* of these, for events that must not be lost */
#define WAITING_MAX      64
#define HISTORY_KEEP     200
#define OPERATIONS_TOLD  16
#define SLOTS_EVERY_US   (2 * US_PER_SEC)
#define GUARD_AGAIN_US   (US_PER_SEC / 2)
#define PUBLISH_EVERY_US (US_PER_SEC / 2)

/* An event with everything that it points to. */
typedef struct Queued {
    Event event;
    union {
        struct {
            Msg msg;
            Document doc;
        } message;
        Observation pg;
        ActionResult done;
        Command command;
        CoreOptions options;
    } data;
} Queued;

/* An effect that waits until a record is on disk. */
typedef struct Waiting {
    uint32_t after;
    bool is_action;
    Action action;
    MemberNo to;
    uint32_t token;
    char *body;
    size_t len;
} Waiting;

#define OPINIONS_MAX 8

/* What an observer said last. */
typedef struct Opinion {
    char observer[MEMBER_NAME_LEN];
    char primary[MEMBER_NAME_LEN]; /* whom it is about */
    bool sees;
    int64_t since_us, heard_us; /* boot clock */
} Opinion;

typedef struct Opinions {
    Opinion opinion[OPINIONS_MAX];
    int count;
} Opinions;

typedef struct Agent {
    uv_loop_t loop;
    const Config *config; /* the one in force */
    Config *owned;        /* the same if it came from a reload, to be freed */
    Core core;
    Effects effects;

    Queued queue[QUEUE_MAX];
    size_t queue_first, queue_len;
    bool turning;
    LoopTimer tick;
    LoopTimer slots_timer;
    LoopTimer watchdog;
    uv_signal_t signals[3];

    Store *store;
    Persist persist;      /* what the worker writes */
    uint32_t persist_seq; /* its number */
    bool persist_busy;
    bool persist_again; /* a newer one waits */
    Persist persist_next;
    uint32_t persist_next_seq;
    uint32_t persisted_seq;
    bool persist_ok;
    Err persist_err;
    Waiting waiting[WAITING_MAX];
    size_t waiting_len;

    PeerNet *peers;
    HttpServer *http;
    int64_t certificate_expires; /* seconds since 1970; 0: the listener has no TLS */
    PgPoll *poll;
    Actions *actions;
    Elsewhere *elsewhere;
    Netcheck *netcheck; /* NULL: a witness, as the next one */
    Figures *figures;
    Heartbeat *heartbeat; /* NULL: a witness */
    Deadline deadline;
    Gates *gates;
    Proxies *proxies;
    pid_t guard;
    ProcWatch guard_watch;
    LoopTimer guard_timer; /* until it is started again */

    uint32_t op_next;
    struct {
        uint32_t id;
        uint32_t token;
    } asked[OPERATIONS_TOLD]; /* commands that wait for their answer */
    char *history[HISTORY_KEEP];
    size_t history_len;
    bool history_busy;
    Buf takeovers;          /* the answer to /history */
    size_t takeovers_past;  /* what of the history is in it */
    DocId takeovers_of;     /* and which document */
    size_t history_written; /* of history[], counted from the start of this process */
    size_t history_total;

    Alarms alarms; /* as they were published last */
    Lag lag;
    Tell tell;
    Opinions opinions;
    Publisher publisher;
    struct Beside *beside; /* files being written */
    size_t beside_history; /* what of the history is in them */
    struct Streaming *streaming;
    Clock published_at;
    int exit_code;
    bool stopping;
    Err *err;
} Agent;

/* ---- agent.c ---- */

/* Puts an event into the queue, filled by the caller, and runs a turn unless one is under way. NULL: the
 * queue is full. */
Queued *agent_enqueue(Agent *agent, EventKind kind);
void agent_turn(Agent *agent);
/* Ends the loop; err is told to the caller of agent_run. */
void agent_stop(Agent *agent, int code);
/* Reads the configuration again. False: the old one stays in force, and err says why. */
bool agent_reload(Agent *agent, Err *err);
/* Index in the configuration of the document's slot, or -1; and back, or MEMBER_NONE. */
int agent_member_index(const Agent *agent, MemberNo no);
MemberNo agent_member_slot(const Agent *agent, int index);

/* ---- effects.c ---- */
void effects_run(Agent *agent, const Effects *effects);
/* Records that the worker has written are told to the core; what waited for them goes out. */
void effects_done(Agent *agent);
/* Begins an action now; or tells the core that it has failed, refused: by a hook. */
void effects_act(Agent *agent, const Action *action);
void effects_fail(Agent *agent, const Action *action, bool refused, const char *text);

/* ---- inbox.c: what comes from other members and operators ---- */
void inbox_on_message(void *arg, const char *from, const char *body, size_t len, uint32_t token);
void inbox_on_answer(void *arg, bool ok, const char *body, size_t len);
void inbox_on_command(void *arg, const char *body, size_t len, uint32_t token);
/* Answers the operator who gave the command of that id. */
void inbox_answer(Agent *agent, uint32_t id, AnswerState state, const char *text);

/* ---- opinions.c: what observers say ---- */
void opinions_on_message(void *arg, const char *observer, const char *body, size_t len, uint32_t token);
/* The list of them for /v1/cluster. */
void opinions_add(const Agent *agent, Buf *out);

/* ---- observe.c ---- */
void observe_on_status(void *arg, const PgStatus *status);
void observe_slots(void *arg);
/* How to connect to the own server, as the newest status has it; its texts are the status' and the
 * configuration's. */
ConnTarget observe_server(const Agent *agent);

/* ---- api_primaries.c ---- */
/* A member's size, and what only it has. */
void api_primaries_add(Buf *out, const Report *report);
/* Alarms of several primaries (seen: those that were), and of members that wait for a decision. */
void api_primaries_alarm(const Agent *agent, Alarms *alarms, MemberSet seen);
int api_primaries_waiting(const Core *core);

/* ---- beside.c: files for the extension's views ---- */
typedef struct Beside Beside;
/* Writes what was published last, unless a write is still under way. */
void beside_publish(Agent *agent);
void beside_done(Agent *agent);

/* ---- streaming.c: why this standby does not stream ---- */
#define STREAMING_PROBLEM_LEN 400
void streaming_start(Agent *agent);
/* What stands in the way, with who can say the cure; "": nothing is known. */
const char *streaming_problem(const Agent *agent);
void streaming_done(Agent *agent);

/* ---- past.c: the history file ---- */
void past_load(Agent *agent);
void past_add(Agent *agent, const History *history, const char *reason);
void past_done(Agent *agent);

/* ---- api.c, api_sync.c, api_patroni.c, api_metrics.c, api_metrics_patroni.c ---- */
void api_publish(Agent *agent);
/* Publishes the positions alone, which are wanted fresher than the texts. */
void api_positions(Agent *agent);
/* NULL for MEMBER_NONE. */
const char *api_name(const Agent *agent, MemberNo no);
/* The newest report of a member, the own one included; and whether it is new enough to be believed. */
Report api_report(const Core *core, MemberNo no);
bool api_is_reachable(const Core *core, MemberNo no);
/* How long ago it was heard of; -1: never. */
int64_t api_seen_ms(const Core *core, MemberNo no);
/* What Patroni's users know: the texts, replication_state and the tags. */
void api_patroni_fill(Agent *agent, Snapshot *snapshot);
/* Patroni's word for the state of the own server, and for the role of a member. */
const char *api_patroni_state(const Agent *agent);
const char *api_patroni_role(const Core *core, MemberNo no);
const char *api_patroni_replication_state(const Agent *agent);
/* When a majority was last heard of, directly or from the leader; seconds since 1970, 0: never. */
int64_t api_patroni_seen(const Core *core);
/* The primary's position as it was reported last; LSN_NONE: not known. */
Lsn api_primary_lsn(const Core *core);
/* "sync" or "late" for a standby that commits may wait for, else NULL. */
const char *api_sync_of(const Core *core, MemberNo no);
void api_sync_add(const Agent *agent, Buf *out);
void api_sync_alarm(const Agent *agent, Alarms *alarms);
/* What only the member itself knows; null in the rows of others. And its alarms. */
void api_own_add(const Agent *agent, Buf *out, bool self);
void api_own_alarms(const Agent *agent, Alarms *alarms);
void api_metrics(const Agent *agent, Buf *out);
/* HELP and TYPE of pgvigil_NAME. */
void api_metrics_head(Buf *out, const char *name, const char *type, const char *help);
void api_metrics_patroni(const Agent *agent, Buf *out);

/* ---- web.c: the public listener ---- */
bool web_start(Agent *agent, Err *err);
/*
 * Loads the certificates that the configuration names, which may be the same files with other content; NULL:
 * it names none. False: they cannot be used. The rest of a reload can fail between the two calls:
 * web_take_certificates puts *ret_tls into use (NULL: no TLS from now on), http_tls_free drops it.
 */
bool web_load_certificates(const Config *fresh, HttpTls **ret_tls, Err *err);
void web_take_certificates(Agent *agent, HttpTls *tls);

#endif
