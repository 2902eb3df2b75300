/*
 * body.h: the core in the worker, and its hands: what it sees of its own server, what it does to it.
 *
 * Apart from keeper.h, because the core's names and those of PostgreSQL's planner do not go together.
 */
#ifndef PGVIGIL_KEEPER_BODY_H
#define PGVIGIL_KEEPER_BODY_H

#include "keeper/keeper.h"

#include "core/core.h"

/* ---- body.c: events in, effects out ---- */

/* Reads the state; false: the worker cannot work, and the fence stays closed. */
bool body_start(Err *err);
/* The table of nodes as it is now. */
void body_nodes(const KeeperNodes *nodes);
/* The configuration was read again. */
void body_reload(void);
/* A message for the worker, as BoardMessage and LinkAnswer have it (token 0: an answer). */
void body_message(const char *text, size_t len, uint32 token);
void body_answer(const char *text, size_t len);
/* One turn: looks at the server if that is due, goes on with what is under way, tells the others. */
void body_turn(void);
/* Milliseconds until the next turn is due. */
long body_wait_ms(void);
/* Closes the fence, at once. */
void body_close(void);
/* The core; NULL: this node does not take part. */
const Core *body_core(void);
const KeeperNodes *body_known(void);

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

/* ---- reconcile.c: the table and the document ---- */

/* With fewer a failover by itself could not be told from a cut between the two. */
#define NODES_LEAST 3

/* Who is to be added or removed next, one at a time; NULL: nobody now. Only a leader has something to do. */
const char *reconcile_next(const Core *core, const KeeperNodes *nodes, CommandKind *ret_kind);

/* ---- orders.c: after_command and rejoin_command ---- */

void orders_promoted(const Core *core, const KeeperNodes *nodes);
/* core: NULL if there is none. */
void orders_look(const Core *core, const KeeperNodes *nodes);

/* ---- look.c: the own server ---- */

Observation look_server(const Core *core, const KeeperNodes *nodes);
/* WAL position of a standby that follows nobody; timeline of it. */
Lsn look_position(uint32_t *ret_timeline);
/* The process of a kind, by pg_stat_activity's own view; 0: there is none. startup and walreceiver. */
int look_startup_pid(void);
/* Everything received has been replayed once, so that the position is not too low. */
bool look_position_is_known(void);
/*
 * What synchronous_standby_names of postgresql.conf asks for. While that file cannot be read: what it did
 * before, or what the document says.
 */
void look_wanted_sync(const Document *doc, SyncMode *ret_mode, uint8_t *ret_needed);

/* ---- act.c: what is done to it ---- */

void act_start(const Core *core, const Action *action, const KeeperNodes *nodes);
/* Goes on; true, with the result, when the action has ended. */
bool act_turn(const Core *core, ActionResult *ret_result);
bool act_runs(void);
/* Why this server is closed until it is started anew; NULL: it is not. */
const char *act_closed(void);

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
bool upstream_write_waited(bool waited, Err *err);

/* ---- tell.c: the core's words in the server's log ---- */

/* A text of the core's; it stays until the next one. */
const char *tell_words(const char *text);
void tell_log(LogLevel level, const char *event, const char *text);
void tell_history(const Core *core, const Effect *effect);

/* ---- view.c: what node_info and the process title show ---- */

void view_publish(void);

#endif
