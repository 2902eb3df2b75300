/*
 * fault.h: every kind of fault and event, by name, as it befalls a member of the simulated cluster; private
 * to src/sim.
 *
 * Each event of a run has a number and draws all that it needs from that number and the seed, so that one can
 * be left out and the others stay what they were.
 */
#ifndef PGVIGIL_SIM_FAULT_H
#define PGVIGIL_SIM_FAULT_H

#include "sim/cluster.h"
#include "sim/sim.h"

/* clang-format off */
#define FAULT_LIST(X) \
    X(LOSS,               "loss",               CLUSTER, 20000, "messages are lost") \
    X(DUPLICATION,        "duplication",        CLUSTER, 20000, "messages arrive twice") \
    X(REORDERING,         "reordering",         CLUSTER, 20000, "messages overtake each other") \
    X(SLOW_NETWORK,       "slow_network",       CLUSTER, 8000,  "messages take longer than a lease") \
    X(CUT_OFF,            "cut_off",            MEMBER,  8000,  "nothing reaches a member, nothing leaves it") \
    X(ONE_WAY_CUT,        "one_way_cut",        MEMBER,  8000,  "from one member nothing reaches another") \
    X(PARTIAL_CUT,        "partial_cut",        MEMBER,  8000,  "two members do not reach each other") \
    X(REPLICATION_CUT,    "replication_cut",    DATA,    8000,  "only the servers' connections are cut") \
    X(AGENT_CUT,          "agent_cut",          MEMBER,  8000,  "only the agents' connections are cut") \
    X(AGENT_CRASH,        "agent_crash",        MEMBER,  0,     "an agent dies and comes back") \
    X(CRASH_AT_EFFECT,    "crash_at_effect",    MEMBER,  0,     "an agent dies just before or after it writes, sends or acts") \
    X(TORN_WRITE,         "torn_write",         MEMBER,  0,     "power is lost while a record is written") \
    X(AGENT_FREEZE,       "agent_freeze",       MEMBER,  5000,  "an agent stands still, its server goes on") \
    X(FAILING_SYNC,       "failing_sync",       MEMBER,  6000,  "writing a record fails, and it may be there all the same") \
    X(SLOW_DISK,          "slow_disk",          MEMBER,  15000, "records take longer to write") \
    X(DISK_STALL,         "disk_stall",         DATA,    20000, "the server's disk takes no writes") \
    X(SERVER_CRASH,       "server_crash",       DATA,    0,     "the postmaster dies with all its processes") \
    X(ORPHANS,            "orphans",            DATA,    0,     "the postmaster dies and its backends live on") \
    X(SERVER_HANG,        "server_hang",        DATA,    12000, "the server answers nothing") \
    X(DATA_REMOVED,       "data_removed",       DATA,    0,     "the data directory is removed under a running agent") \
    X(SERVER_BY_HAND,     "server_by_hand",     DATA,    0,     "somebody starts a stopped server as a standby") \
    X(PROMOTED_BY_HAND,   "promoted_by_hand",   DATA,    0,     "somebody promotes a standby, whose extension keeps it closed") \
    X(SLOW_START,         "slow_start",         DATA,    60000, "starting the server takes long") \
    X(HOST_KILLED,        "host_killed",        MEMBER,  0,     "agent and server die") \
    X(REBOOT,             "reboot",             MEMBER,  0,     "the host starts anew: other clocks, an empty tmpfs") \
    X(HOST_FREEZE,        "host_freeze",        MEMBER,  6000,  "a host stands still while its clocks run") \
    X(SUSPEND,            "suspend",            MEMBER,  6000,  "a host stands still, and its monotonic clock with it") \
    X(HYPERVISOR_PAUSE,   "hypervisor_pause",   MEMBER,  6000,  "a host stands still, and all clocks but the wall clock with it") \
    X(WALL_JUMP,          "wall_jump",          MEMBER,  0,     "a wall clock is set") \
    X(GUARD_SLEEPS,       "guard_sleeps",       DATA,    30000, "the guard wakes late") \
    X(REPLAY_BEHIND,      "replay_behind",      DATA,    20000, "a standby does not replay what it has") \
    X(ACTIONS_FAIL,       "actions_fail",       DATA,    0,     "the next actions on a server fail") \
    X(SLOW_PROMOTION,     "slow_promotion",     DATA,    30000, "promotions take seconds, whatever became of the order") \
    X(PROMOTION_DIES,     "promotion_dies",     DATA,    0,     "the server dies before or after the end of recovery") \
    X(COPY_INTERRUPTED,   "copy_interrupted",   DATA,    0,     "the agent dies during the next rewind or clone") \
    X(SLOW_STREAM,        "slow_stream",        DATA,    20000, "a standby gets its WAL more slowly than it is written") \
    X(STALE_NAMES,        "stale_names",        DATA,    20000, "processes read new names late, each in its own time") \
    X(WAL_RECYCLED,       "wal_recycled",       DATA,    0,     "a primary no longer has the WAL that a standby needs") \
    X(WIPED,              "wiped",              MEMBER,  0,     "state and data are lost") \
    X(STATE_LOST,         "state_lost",         MEMBER,  0,     "the state is lost, the data is not") \
    X(SWITCHOVER,         "switchover",         MEMBER,  0,     "an operator asks for a switchover") \
    X(FAILOVER,           "failover",           MEMBER,  0,     "an operator orders a failover") \
    X(PAUSE,              "pause",              CLUSTER, 20000, "an operator pauses the cluster, and resumes it") \
    X(RESTART,            "restart",            DATA,    0,     "an operator asks for a restart") \
    X(RELOAD,             "reload",             MEMBER,  0,     "an operator asks for a reload") \
    X(REJOIN,             "rejoin",             DATA,    0,     "an operator asks for a rejoin") \
    X(CLONE,              "clone",              DATA,    0,     "an operator asks for a clone") \
    X(SYNC_CHANGE,        "sync_change",        CLUSTER, 0,     "synchronous mode is turned on, off, strict, for more or fewer") \
    X(MEMBER_ADD,         "member_add",         CLUSTER, 0,     "a member is added") \
    X(MEMBER_REMOVE,      "member_remove",      CLUSTER, 0,     "a member is removed") \
    X(RESOLVE,            "resolve",            MEMBER,  0,     "an operator says whose WAL is kept") \
    X(OPTIONS,            "options",            MEMBER,  0,     "a member's options change while it runs")
/* clang-format on */

typedef enum FaultScope { FAULT_CLUSTER, FAULT_MEMBER, FAULT_DATA } FaultScope;

typedef enum FaultId {
#define FAULT_ENUM(id, name, scope, longest_ms, text) FAULT_##id,
    FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
        FAULTS
} FaultId;

/* What a run's faults are like; drawn by its seed. */
typedef struct Mix {
    int64_t every_us; /* between two, on the average */
    uint32_t weight[FAULTS];
    uint32_t total;
} Mix;

typedef struct Sim {
    Cluster *c;
    Mix mix;
    uint64_t rng; /* the present event's */
    int64_t until_us[FAULTS][NODE_MAX];
    int64_t next_end_us;
    int8_t other[FAULTS][NODE_MAX];
    uint64_t done[FAULTS];
} Sim;

/* Does one, if it can happen now; false if not. */
bool fault_begin(Sim *s, FaultId id, int no);
/* Ends those whose time is over, or all, and starts agents that are due. */
void fault_mend(Sim *s, bool all);
/* A number from 0 to bound - 1, the present event's. */
int64_t fault_draw(Sim *s, int64_t bound);

/* What is done to begin a kind (false: it could not happen) and to end it (NULL: it ends by itself). */
typedef struct FaultDoes {
    FaultId id;
    bool (*begin)(Sim *s, int no);
    void (*end)(Sim *s, int no);
} FaultDoes;

/* One table for each family, in its file; a row without `begin` ends it. */
extern const FaultDoes fault_network_does[], fault_host_does[], fault_server_does[], fault_operator_does[];

/* Strict mode cannot wait for more standbys than there may be: as many as there are, then. */
void fault_fit_sync(Cluster *c);
/*
 * Says that a member's side is kept: that of one that waits for it (other) or the primary's; before there is
 * a document one of the primaries'. False if nothing waits for an order.
 */
bool fault_resolve(Cluster *c, bool other);
/* Tells the leader to end a pause, if there is one. */
void fault_resume(Cluster *c);

#endif
