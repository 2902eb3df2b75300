/*
 * body.h: the core in the worker, and its hands: what it sees of its own server, what it does to it.
 *
 * Apart from keeper.h, because the core's names and those of PostgreSQL's planner do not go together.
 */
#ifndef PGVIGIL_KEEPER_BODY_H
#define PGVIGIL_KEEPER_BODY_H

#include "keeper/keeper.h"
#include "keeper/reconcile.h"

#include "core/core.h"
#include "store/store.h"

/* ---- body.c: events in, effects out ---- */

/* Reads the state; false: the worker cannot work, and the fence stays closed. */
bool body_start(Err *err);
/* The table of nodes as it is now. */
void body_nodes(const KeeperNodes *nodes);
/* The configuration was read again. */
void body_reload(void);
/* Gives the core what has happened, and does what follows. */
void body_step(Event *event);
/* One turn: looks at the server if that is due, goes on with what is under way, tells the others. */
void body_turn(void);
/* Milliseconds until the next turn is due. */
long body_wait_ms(void);
/* Closes the fence, at once. */
void body_close(void);
/* The core; NULL: this node does not take part. */
const Core *body_core(void);
const KeeperNodes *body_known(void);
/* It has a state of a cluster. */
bool body_was_member(void);
/* This node's, where there is no core. */
const Uuid *body_identity(void);

/* ---- talk.c: what the nodes say to each other ---- */

/* A message for the worker, as BoardMessage has it, and the answer to one of its own, as LinkAnswer. */
void talk_message(const char *text, size_t len, uint32 token);
void talk_answer(const KeeperNode *node, const char *text, size_t len);
/* An EFFECT_SEND of the core's. */
void talk_send(const Core *core, const Effect *effect);
/* Asks the node of that index how it is, beside what the core says to it. */
void talk_hello(const Core *core, int index);

/* ---- state.c: what the worker knows when it starts ---- */

/* Opens the state's file and reads it; one that is not this node's any more is begun anew. */
bool state_open(Store **ret_store, Persist *ret_persist, Err *err);
/*
 * Writes it anew if somebody removed it under the running worker, or put another file there; and its mark
 * alone if only that is missing, where a failure is logged. *store is NULL after an error.
 */
bool state_keep(Store **store, const Persist *persist, Err *err);
/* A node that nobody knows yet. */
bool state_make(Store *store, Persist *ret_persist, Err *err);

/* ---- deadline.c: the fence's deadline in shared memory, which only the worker writes ---- */

/* What a worker before this one has left there. */
void deadline_load(void);
/* As this worker has written it last, or found it. */
Fence deadline_last(void);
/* Takes an EFFECT_FENCE into the fence. */
void deadline_take(const Core *core, const Effect *effect, Fence *fence);
/*
 * Open without a lease: epoch 0 tells it from one. Where nodes can be registered it ends with a worker that
 * hangs and does not see that they are.
 */
Fence deadline_unmanaged(bool can_register);
/* That is what was written last. */
bool deadline_is_unmanaged(void);
void deadline_write(const Fence *fence);
void deadline_close(void);

/* ---- options.c ---- */

/*
 * alone: this node begins the cluster, and nobody else is in it yet. Otherwise nobody has a vote before there
 * is a document: whoever joins waits for one, so that no two of them can make another cluster among
 * themselves.
 */
CoreOptions options_make(const KeeperNodes *nodes, const Document *doc, bool alone);

/* ---- resync.c: what became asynchronous, with resync = off ---- */

/* Makes the options asynchronous where the cluster is to stay that. */
void resync_apply(const Document *doc, CoreOptions *options);
/* Each second; true: the options are to be made anew. */
bool resync_look(const Core *core);

/* ---- byhand.c: one of two is promoted by hand ---- */

/* This server was, a moment ago, and nobody's vote is against it: it begins anew. */
bool byhand_is_promoted(const Core *core, const KeeperNodes *nodes);
/* A core begins, in a server that was open until now or was not. */
void byhand_begin(const Core *core, bool was_open);
/* Each turn of a core. */
void byhand_turn(const Core *core, const KeeperNodes *nodes);
/* Of two, this one alone has a vote, and has not heard yet whether the other was promoted while it was down:
 * commits wait, for a lease at most. */
bool byhand_waits(void);
/* Asks a node that is registered and no member how it is, */
void byhand_ask(const Core *core, const KeeperNodes *nodes);
/* and what any says of itself. */
void byhand_hear(const Core *core, const KeeperNodes *nodes, const char *id, const Msg *msg);
/* It says that it is a standby that takes no part. */
void byhand_hear_standby(void);

/* ---- orders.c: after_command and rejoin_command ---- */

void orders_promoted(const Core *core, const KeeperNodes *nodes);
/* Another member's own word; no: MEMBER_NONE if it is none. */
void orders_hear(const Core *core, MemberNo no, const Msg *msg);
/*
 * rejoin_command runs, or has ended well less than a minute after its start: the others must not count on
 * this node any more, which hears them and says nothing.
 */
bool orders_leave(void);
/* Why rejoin_command does not get this server back, with the cure, as orders_look found it; NULL: nothing. */
const char *orders_trouble(void);
/* core: NULL if there is none. */
void orders_look(const Core *core, const KeeperNodes *nodes);

/* ---- look.c: the own server ---- */

Observation look_server(const Core *core, const KeeperNodes *nodes);
/* WAL position of a standby that follows nobody; timeline of it. */
Lsn look_position(uint32_t *ret_timeline);
/* The process of a kind, by pg_stat_activity's own view; 0: there is none. startup and walreceiver. */
int look_startup_pid(void);
/* The walreceiver streams. */
bool look_is_streaming(void);
/* The process that sends WAL to that member; 0: there is none. */
int look_sender_of(const Core *core, MemberNo no);
/* Where the newest checkpoint that was completed begins; LSN_NONE: it cannot be read at this moment. */
Lsn look_checkpoint(void);
/* Everything received has been replayed once, so that the position is not too low. */
bool look_position_is_known(void);
/* What a walsender does, by its number below max_wal_senders; pid 0: it is none. */
typedef struct Walsender {
    int pid;
    bool streams;
    Lsn flushed;
} Walsender;
Walsender look_walsender(int index);
/*
 * What people ask for by synchronous_standby_names: in postgresql.auto.conf (ALTER SYSTEM), else in
 * postgresql.conf. While a file cannot be read: what they did before, or what the document says.
 */
void look_wanted_sync(const Document *doc, SyncMode *ret_mode, uint8_t *ret_needed);
/*
 * The value that people have set by ALTER SYSTEM, be it under pg_keeper's own names; one that does not fit
 * into size is cut off. False: there is none. By the file: for whoever is about to write it.
 */
bool look_wanted_here(char *ret_names, size_t size);
/* A value in the configuration files is, as they were read last. */
bool look_is_wrong(void);

/* ---- act.c: what is done to it ---- */

void act_start(const Core *core, const Action *action, const KeeperNodes *nodes);
/* Goes on; true, with the result, when the action has ended. */
bool act_turn(const Core *core, ActionResult *ret_result);
bool act_runs(void);
/* Closes it: that one is the primary, for that reason. */
void act_close(const char *primary, const char *why);
/* Why this server is closed until it is started anew; NULL: it is not. */
const char *act_closed(void);
/* A fast stop is under way. */
bool act_stops(void);

/* ---- sessions.c ---- */

struct PGPROC;
/* SIGTERM to each process but this one for which that is true; how many. */
int sessions_end(bool (*is_in_the_way)(const struct PGPROC *proc));

/* ---- give.c: a planned switchover, in the place of a stop ---- */

void give_begin(void);
/* Goes on; true, with the position, when it is closed and counts as stopped. */
bool give_turn(const Core *core, ActionResult *result);
/* Opens a server whose switchover came to nothing. */
void give_look(const Core *core);
/* It has lost its place: what it is closed for is not that it hands over. */
void give_end(void);
/* To whom it hands over; NULL: it is not closed for that. */
const char *give_closed(void);
/* It is about to be closed: commits wait, those that are on their way are answered. */
bool give_holds(void);
/*
 * It was closed, and everything that was acknowledged is before this; LSN_NONE: it was not, or another node
 * is the primary, and it has lost its place as after a failover.
 */
Lsn give_lsn(const Core *core);
/* It counts as stopped. */
bool give_is_stopped(const Core *core);

/* ---- upstream.c: primary_conninfo and other settings, durably ---- */

typedef struct UpstreamNames {
    const char *names; /* NULL: left as they are */
    uint32_t generation;
} UpstreamNames;

/*
 * The server's own lock for postgresql.auto.conf, under which all of these write. False: a session in ALTER
 * SYSTEM has it, perhaps one that is frozen: it is never waited for.
 */
bool upstream_lock(void);
void upstream_unlock(void);

/* freeze: a number of its own, for whoever reads it to say so. */
bool upstream_write_nobody(uint32_t freeze, Err *err);
/* Ends with what is to be primary_conninfo in ret_conninfo. */
bool upstream_write(const KeeperNode *target, uint32_t epoch, const UpstreamNames *names, char *ret_conninfo,
                    size_t size, Err *err);
bool upstream_write_names(const UpstreamNames *names, Err *err);
/* Whoever begins anew waits for none of those that commits waited for in a former life. */
void upstream_forget_names(void);
bool upstream_write_waited(bool waited, Err *err);

/* ---- tell.c: the core's words in the server's log ---- */

/* What ends that two servers bear one name. */
#define TELL_TWIN_CURE                                                                                       \
    "stop one of the two, and give it a pg_keeper.node_name of its own (pgkeeper.add_node on the primary)"

/* A text of the core's; it stays until the next one. */
const char *tell_words(const char *text);
void tell_log(LogLevel level, const char *event, const char *text);
void tell_history(const Core *core, const Effect *effect);

/* ---- votes.c: whether there is a majority ---- */

#define VOTES_TEXT_LEN 900

/*
 * True: no leader is known here, or this one has no lease, and so few votes answer that there will be none;
 * with how many, who is missing, and the cure.
 */
bool votes_lack(const Core *core, char *ret_text, size_t size);
/* Once in a turn: says so in the log when that lasts. core: NULL if there is none. */
void votes_look(const Core *core);

/* ---- alarms.c: what is wrong with settings, table and names ---- */

/* Without a core: who sends a message. The core itself looks whether it has another one's name. */
void alarms_hear(const char *name, const Uuid *sender, const Uuid *own);
/* The extension is not there, though this node is a member: what to do, in the log. */
void alarms_tell_dropped(void);
/* Why this node is no member, after its name, with the cure; it stays until the next one. */
const char *alarms_outside(const KeeperNodes *nodes);
/* Elements of a JSON array. core: NULL if there is none. */
void alarms_add(const Core *core, const KeeperNodes *nodes, Buf *out);

/* ---- view.c: what node_info and the process title show ---- */

void view_publish(void);
/* Whether what another node says is new enough to be told as if it were so. */
bool view_hears(const Core *core, MemberNo no);
/* By the document, and it is the node that is meant there. */
bool view_has_vote(const Core *core, MemberNo no);

/* ---- status.c: the same for status(), as the agents' /v1/cluster has it ---- */

/*
 * JSON; what does not fit leaves it empty. next: index of the node that would take over; -1: none. core: NULL
 * if there is none.
 */
void status_make(const Core *core, const KeeperNodes *nodes, int next, char *ret_text, size_t size);

#endif
