/*
 * keeper.h: the module pg_keeper: pgvigil's core inside a background worker of PostgreSQL, without an agent.
 *
 * The fence is the extension's own code (src/ext), which here reads its deadline from the server's shared
 * memory. docs/design/keeper.md says who is who and how messages travel.
 */
#ifndef PGVIGIL_KEEPER_KEEPER_H
#define PGVIGIL_KEEPER_KEEPER_H

#include "ext/ext.h"

#include <postmaster/bgworker.h>
#include <storage/latch.h>

#include "base/err.h"
#include "base/types.h"
#include "keeper/nodes.h"

/* ---- gucs.c: settings; ext.h has those that the fence needs ---- */

extern char *gucs_node_name;
extern char *gucs_my_conninfo, *gucs_partner_conninfo;
extern char gucs_node_id[MEMBER_NAME_LEN]; /* name.c */
extern char *gucs_database;
extern char *gucs_after_command;
extern char *gucs_rejoin_command;
/* The primary_conninfo that a vote or a new primary took the place of: credentials come from it. */
extern char *gucs_upstream;
extern bool gucs_resync;
extern bool gucs_waited; /* commits have waited for standbys */

/* Of two nodes: who goes on without the other. */
typedef enum Prefer { PREFER_PRIMARY, PREFER_STANDBY } Prefer;
extern int gucs_prefer;

/* keepalive_time times keepalive_count, in milliseconds: the lease. */
uint32 gucs_lease_ms(void);

/* ---- board.c: the shared memory between the worker and the backends ---- */

/* A message and its answer; the sender's own bound is JSON_TEXT_MAX. */
#define BOARD_TEXT_MAX   65536
#define BOARD_STATE_LEN  300
#define BOARD_STATUS_LEN 16384

/* A node as the worker sees it, for node_info. */
typedef struct BoardNode {
    char name[NODE_NAME_LEN];
    int32 seqno; /* 0: the table has it */
    bool is_primary, is_next, is_sync;
    char state[BOARD_STATE_LEN];
} BoardNode;

typedef struct BoardView {
    uint32 count;
    BoardNode node[MEMBER_MAX];
    char status[BOARD_STATUS_LEN]; /* for status(): JSON; "": there is none */
} BoardView;

void board_init(void);
/* False: the module is not in shared_preload_libraries. */
bool board_is_there(void);
/* ERROR, with the cure, in that case. */
void board_need(void);
/* The same, and on a standby with the hint what to do there. */
void board_need_primary(const char *hint);
/* Closed; whether the cluster is synchronous is not known, and so nobody reads what no standby has confirmed.
 */
#define FENCE_UNKNOWN ((Fence){.synchronous = true})
/* NULL before shared memory is there. */
FenceFile *board_fence(void);
/* For how many seconds the worker has not moved, or not been there: what it told last is of then. 0: it
 * moves. */
int64 board_still_s(const Clock *now);

/* The worker, at its start and its end. */
void board_attach(void);
void board_detach(void);
/* Wakes the worker; reread: because the table of nodes was changed. */
void board_wake(bool reread);
bool board_take_reread(void);
/* Why this server is closed until it is started anew, BOARD_STATE_LEN bytes; "": it is not. The worker's. */
char *board_closed(void);

/* The startup process: it has read the settings of that freeze. And the worker: of which one it has. */
void board_stamp_freeze(uint32 number);
uint32 board_freeze(void);

/*
 * A backend: hands the text to the worker and waits for its answer, for one lease at the most. NULL: there is
 * none. The text returned is palloc'ed. ERROR if the worker is not there or too many others wait.
 */
char *board_exchange(const char *text, size_t len);

/* The worker: that backend hands it a message, or waits for the answer. */
bool board_serves(const Latch *backend);

/* The worker: calls each for every message that came; the token names it for board_answer. */
typedef void BoardMessage(const char *text, size_t len, uint32 token);
void board_collect(BoardMessage *each);
/* An answer of length 0: there is none. A token that nobody waits for any more is fine. */
void board_answer(uint32 token, const char *text, size_t len);

void board_publish(const BoardView *view);
void board_view(BoardView *ret_view);

/* A signal to the worker (SIGUSR1: look again, SIGUSR2: read the nodes again); false: it is not there. */
bool board_worker_pid(int *ret_pid);

/* The worker: standbys are refused from now on, or not any more. And whoever refuses them. */
void board_feed_nobody(bool nobody);
bool board_feeds_nobody(void);

/* ---- feed.c: a closed server feeds no standby ---- */

void feed_init(void);

/* ---- resolve.c: host names to addresses, by a worker of its own: it may block ---- */

/*
 * The address of a host, as the resolver last found it; false: not known yet, it is asked to. Addresses and
 * folders of sockets are returned as they are, with an empty address for a folder.
 */
bool resolve_address(const char *host, char *ret_address, size_t size);

void resolve_init(void);
void resolve_startup(void); /* with AddinShmemInitLock held */
Size resolve_size(void);

/* ---- disk.c: whether the disk takes writes, tried by the worker of resolve.c ---- */

/* Writes a block if it is time for one; returns when it is on the disk, or cannot be. */
void disk_write_if_due(void);
/* The newest write has failed, or the one under way takes longer than that. *ret_full: it found no room,
 * which alone is not stuck. */
bool disk_is_stuck(int64 limit_us, bool *ret_full);

void disk_startup(void); /* as resolve_startup */
Size disk_size(void);

/* ---- ping.c: whether this server takes new connections ---- */

/* Goes on; never blocks. */
void ping_turn(void);
/* The newest one was answered in time; before there was one: true. */
bool ping_is_answered(void);
/* As link_socket has it. */
int ping_socket(uint32 *ret_events);

/* ---- nodes.c: the table of nodes; nodes.h has what they are ---- */

/* Reads the table of this server; false, with a reason, if that cannot be done now. Without the extension
 * there are no nodes. */
bool nodes_load(KeeperNodes *ret_nodes, Err *err);
/* At the next reading: which of pg_keeper's settings wait for a restart. */
void nodes_look_pending(void);
/* As they were found then, with commas; "": none. */
const char *nodes_pending(void);
/* nodes_can_elect, by the settings here. */
bool nodes_elect(const KeeperNodes *nodes);
/* Runs a transaction; false, with the reason, if it failed. */
bool nodes_try(void (*transaction)(void), Err *err);
/* For SIGINT, by which pg_cancel_backend() and lock_timeout cancel: such a transaction, and not the worker.
 */
void nodes_cancel(int number);

/* ---- pair.c: two nodes by the settings my_conninfo and partner_conninfo ---- */

/* FATAL if they cannot be what they should; sets pg_keeper.node_name. At the start. */
void pair_check(void);
bool pair_is_set(void);
/* They are the nodes, whatever is in the table. */
void pair_replace(KeeperNodes *nodes);
/* On a primary, if it is not there: what the nodes talk through. Its commits must be allowed. */
void pair_make_extension(const KeeperNodes *nodes);

/* ---- link.c: one connection to each other node ---- */

/* len 0: it has nothing to say. */
typedef void LinkAnswer(const KeeperNode *node, const char *text, size_t len);

/* Takes over a changed list; connections to nodes that are no more are closed. on_answer is called from
 * link_turn. */
void link_update(const KeeperNodes *nodes, uint32 lease_ms, LinkAnswer *on_answer);
/* Queues a message; index into the list, -1 and the like: nobody. What does not fit, or grows older than a
 * lease, is dropped. */
void link_send(int index, const char *text, size_t len);
/* Goes on with all of them; never blocks. */
void link_turn(void);
/* The sockets to wait for: -1 or a socket, and what for (WL_SOCKET_READABLE, WL_SOCKET_WRITEABLE). */
int link_socket(int index, uint32 *ret_events);
/* Milliseconds until the earliest deadline, at most most_ms. */
long link_wait_ms(long most_ms);
void link_close_all(void);

/* ---- command.c: the commands of the configuration, without waiting for them ---- */

typedef struct KeeperCommand {
    const char *option; /* for the log */
    pid_t pid;          /* 0: does not run */
    bool done;          /* it has run, and ended with status 0 */
    int64 until_us;     /* boot clock; 0: no limit */
} KeeperCommand;

/*
 * Starts the text in a shell of its own session, with PG_KEEPER_NODE, PG_KEEPER_PRIMARY and
 * PG_KEEPER_PRIMARY_CONNINFO in its environment, and nothing of it in the text. limit_ms 0: it may take as
 * long as it wants, and outlives the server.
 */
void command_start(KeeperCommand *command, const char *text, const char *primary,
                   const char *primary_conninfo, uint32 limit_ms);
/* Looks whether it has ended. */
void command_look(KeeperCommand *command);

/* ---- home.c: the folder in the data directory that keeps the state ---- */

/*
 * Makes it, and throws away what came with a copy of another data directory: a state that two nodes have
 * would be one vote for both.
 */
bool home_prepare(char *ret_folder, size_t size, Err *err);
/* Notes that the state in it belongs to this very place, where that is not noted yet; after the file is
 * there. */
bool home_settle(Err *err);

/* ---- sqlfunc.c: the functions of the extension ---- */

/* What the nodes say to each other comes in here. */
extern PGDLLEXPORT Datum pgkeeper_exchange(PG_FUNCTION_ARGS);

/* ---- statusfunc.c ---- */

extern PGDLLEXPORT Datum pgkeeper_status(PG_FUNCTION_ARGS);

/* ---- worker.c ---- */

void worker_register(void);

/* Has the postmaster start this library's function of that name; worker says when, and with what. */
void worker_declare(BackgroundWorker *worker, const char *name, const char *function);

#endif
