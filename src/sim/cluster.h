/*
 * cluster.h: several cores in one process on a virtual clock, each with a small model of its PostgreSQL; what
 * the files of src/sim say to each other, and the golden traces to them.
 *
 * One seed decides everything: the same story gives the same trace, line by line. The invariants of the
 * protocol are checked after every step; the first one broken ends the run.
 */
#ifndef PGVIGIL_SIM_CLUSTER_H
#define PGVIGIL_SIM_CLUSTER_H

#include "core/core.h"

#include <assert.h>
#include <stdio.h>

#define NODE_MAX   MEMBER_MAX
#define HELD_MAX   128
#define ASKER_MAX  1024
#define BRANCH_MAX 4096
#define TERM_MAX   16384
#define DOC_LOG    8192
#define OUTAGE_MAX 2048

/* What must hold at any time (docs/design/simulator.md); check.c looks. */
#define INVARIANT_LIST(X)                                                                                    \
    X(ONE_LEADER_PER_TERM, "OneLeaderPerTerm", "a term has one leader, with a majority's votes on disk")     \
    X(ONE_LEASE, "OneLease", "in true time at most one member's lease holds")                                \
    X(ONE_WRITER, "OneWriter", "in true time at most one server acknowledges")                               \
    X(DOC_LINEAR, "DocLinear", "two documents of one name are one; what is in force has an order")           \
    X(DOC_INHERIT, "DocInherit", "a document in force keeps the epochs of those in force before it")         \
    X(ACK_COVERED, "AckCovered", "what was acknowledged synchronously is in every later primary")            \
    X(ACK_LINEAR, "AckLinear", "whoever acknowledges has everything that was acknowledged before")           \
    X(OVERLAP, "Overlap", "who may take over without the primary meets who is waited for")                   \
    X(FROZEN_VOTE, "FrozenVote", "whoever votes as frozen follows nobody")                                   \
    X(UNIQUE_TIMELINE, "UniqueTimeline", "an epoch has one timeline, a timeline one epoch")                  \
    X(NO_FORK_FOLLOW, "NoForkFollow", "nobody streams from a fork")                                          \
    X(FENCE_BEFORE_RELEASE, "FenceBeforeRelease", "a lease is released when nobody there can write")         \
    X(NO_ACK_PAST_DEADLINE, "NoAckPastDeadline", "nothing is acknowledged past the fence's deadline")        \
    X(VOTE_ONCE, "VoteOnce", "an identity votes once in a term, and what it says is on its disk")            \
    X(AMNESIAC_SILENT, "AmnesiacSilent", "whoever restarted waits its promises out before it votes")         \
    X(PAUSE_HONOURS_LEASE, "PauseHonoursLease", "a pause does not keep a primary without its lease")         \
    X(STANDBY_VOTE, "StandbyVote", "a primary without a vote waits for all who have one with each commit")   \
    X(INCUMBENT_NO_BOUNCE, "IncumbentNoBounce", "the incumbent's re-election stops nobody's streaming")      \
    X(ELECTS, "Elects", "when the faults are over the cluster is whole within a bound")

typedef enum Invariant {
#define INVARIANT_ENUM(id, name, text) INVARIANT_##id,
    INVARIANT_LIST(INVARIANT_ENUM)
#undef INVARIANT_ENUM
        INVARIANTS
} Invariant;

/* One line of WAL: where it left its parent, and the timeline's number, which two branches may share. */
typedef struct Branch {
    int parent; /* -1: none */
    Lsn start;
    uint32_t timeline;
    Lsn first;  /* the first position on it that a client was told of */
    Lsn acked;  /* the newest position on it that a client was told of */
    Lsn synced; /* and that was promised to survive the primary */
    bool told;  /* its loss has been counted */
} Branch;

typedef struct Server {
    PgState state;
    int branch; /* -1: no data */
    Lsn lsn;
    Lsn sent; /* what its standbys can have: its position of one step ago */
    uint32_t checkpoint_timeline;
    bool self_restarts;
    bool broken;      /* a rewind or clone was cut short: it cannot be started */
    bool was_primary; /* it ran as one last */
    bool unled;       /* it has been a primary since before anybody led: no lease has ended it yet */
    bool fooled;      /* pg_rewind said that there was nothing to do, and there was */
    Lsn replay_limit; /* it replays no further than that, as behind a long query; 0: all that it has */
    uint32_t stops;   /* how often it has gone down: it has forgotten then what it was asked for */
    int64_t
        promoted_at; /* a promotion that was asked for is done then, whatever became of the action; 0: none */
    uint32_t promoted_timeline; /* the number that it will have */
    bool fenced;                /* with the extension: nothing is acknowledged while the fence is closed */
    bool hung;
    bool stuck;    /* its disk takes no writes: nothing is acknowledged, and its processes cannot be ended */
    bool leftover; /* some were told to end, and will when the disk goes on */
    bool streaming;
    MemberNo upstream;
    uint32_t upstream_epoch;
    int64_t known_at;      /* from when on a restarted standby knows its position */
    int64_t orphans_until; /* backends of a dead postmaster go on until then */
    uint64_t system_identifier;
    Names names;              /* as its files say; each process reads them in its own time */
    Names read[NODE_MAX + 1]; /* by the walsender of each standby, and by the checkpointer */
    int64_t reads_at[NODE_MAX + 1];
    int64_t stale_us;       /* processes read so much later */
    Lsn reported[NODE_MAX]; /* what each walsender knows to be flushed by its standby */
    Lsn slow_bytes;         /* a step brings it no more than that; 0: all that there is */
    Lsn oldest;             /* older WAL is gone */
    uint64_t size;          /* of its databases; 0: not known */
    bool no_rewind;         /* neither checksums nor wal_log_hints */
    int64_t slow_us;        /* a start takes so much longer */
    int64_t start_at_us;    /* a start that is under way is done then, whatever became of the action */
    PgState start_as;
    int dies; /* at its next promotion: 1 before, 2 after the end of recovery */
} Server;

/* Where an agent may die: just before the effect, or just after it. */
typedef enum Trap {
    TRAP_NONE = 0,
    TRAP_BEFORE_WRITE,
    TRAP_AFTER_WRITE,
    TRAP_TORN_WRITE, /* with its host, while the record is written */
    TRAP_BEFORE_SEND,
    TRAP_AFTER_SEND,
    TRAP_BEFORE_ACTION,
    TRAP_IN_COPY, /* while a rewind or clone is under way */
    TRAPS
} Trap;

/* What a host's clocks do while it stands still. */
typedef enum Pause {
    PAUSE_CLOCKS_RUN = 0,
    PAUSE_SUSPEND,     /* raw stands still */
    PAUSE_CLOCKS_STOP, /* only the wall clock is right afterwards: a hypervisor's pause */
} Pause;

typedef struct Held {
    uint32_t after;
    Effect effect;
    Document doc;
} Held;

typedef struct Node {
    CoreOptions options;
    bool up;           /* the agent runs */
    bool frozen;       /* everything on the host stands still */
    bool agent_frozen; /* the agent does, its guard and its server go on */
    bool disk_fails;
    Pause pause;
    int64_t frozen_at_us;
    int64_t raw_behind_us, boot_behind_us, wall_ahead_us; /* against the host's own time */
    int64_t born_us;                                      /* when its clocks began, in its own time */
    int64_t excused_us;    /* until then a hypervisor's pause may have fooled it */
    int64_t started_us;    /* when the agent did */
    int64_t guard_late_us; /* the guard oversleeps by so much */
    int64_t up_at_us;      /* a dead agent comes back then; 0: somebody starts it */
    Trap trap;
    int64_t trap_down_us; /* how long it stays down when it went into the trap */
    uint32_t process;     /* events for an earlier process are dropped */
    Core core;
    Persist disk;  /* the newest record that can be read back */
    Persist older; /* the other slot's */
    bool torn;     /* the other slot is damaged */
    Persist writing, next;
    uint32_t writing_seq, next_seq, persisted_seq;
    bool busy, again;
    Held held[HELD_MAX];
    int held_len;
    int64_t disk_us;
    int64_t tick_at;
    int32_t drift_ppm;
    Clock fence;          /* in its own clock's time */
    int64_t promotion_us; /* how long PostgreSQL takes for a promotion; 0: as long as the action */
    bool guarded;
    int64_t guard_done_us; /* the deadline that the guard has acted on; -1: none */
    Action action;
    uint32_t action_gen;
    bool acting;
    uint32_t acting_stops; /* the server's when the action began */
    Server server;
    uint32_t failing; /* so many of the next actions fail */
} Node;

typedef struct Item Item;

typedef struct Cluster {
    int count;
    Node node[NODE_MAX];
    int64_t now_us; /* true time */
    uint64_t rng;
    uint64_t order;
    struct {
        int64_t at;
        uint64_t order;
        Item *item;
    } * heap;
    size_t heap_len, heap_size;
    Item *spare[256];
    size_t spares;
    bool cut[NODE_MAX][NODE_MAX];             /* from, to */
    bool cut_agents[NODE_MAX][NODE_MAX];      /* only what agents say */
    bool cut_replication[NODE_MAX][NODE_MAX]; /* only what servers say */
    int64_t delay_us, delay_spread_us;
    uint32_t loss_ppm, duplicate_ppm;
    uint32_t action_spread; /* per cent by which an action may take longer */
    uint32_t token;
    int asker[ASKER_MAX]; /* by token: the node that a question came from */
    Branch branch[BRANCH_MAX];
    int branches;
    FILE *trace;       /* NULL: none */
    const char *story; /* for messages */
    uint64_t seed;
    bool silent_checks;     /* a story in which two primaries are the point */
    bool pairs;             /* of two members the standby is to have the only vote, if nothing else is said */
    bool adopts;            /* it begins with a cluster that runs, not with empty data directories */
    uint32_t second;        /* and with a second primary, on a timeline of that number; 0: not */
    bool observed;          /* there is an observer, whose word may put a failover off */
    int64_t observer_at_us; /* it speaks next */
    bool keeps_other;       /* of what has to be asked for then, the side that does not lead is kept */
    bool contained;         /* a failure is kept in `failure`, and nothing ends */
    char failure[512];      /* "": none yet; nothing runs on after one */
    bool rough;             /* disks may tear and keep what they said had failed */
    int64_t wal_us;         /* between two steps of the WAL */
    int64_t poll_us;        /* between two looks of an agent at its server */
    uint32_t codec_every;   /* one message in so many goes through the codec; 0: none */
    uint64_t codec_rng;
    uint64_t hash; /* of everything that happened */
    struct {
        uint64_t events, messages, coded, records;
        uint64_t rule[UINT8_MAX];
        uint64_t check[INVARIANTS];
        uint64_t trap[TRAPS];
        uint64_t torn, kept, refused_slots;
        uint32_t failovers, switchovers, ordered;
        uint64_t lost_bytes, lost_rows;
        int64_t acked_us; /* when somebody acknowledged last */
        int32_t outage_ms[OUTAGE_MAX];
        uint32_t outages;
    } tally;
    struct {
        Uuid leader[TERM_MAX];
        struct {
            Uuid voter, voted_for;
        } vote[NODE_MAX][TERM_MAX];
        Uuid asked[NODE_MAX][TERM_MAX]; /* whom the record says that is to be written */
        MemberNo primary[TERM_MAX];     /* by epoch */
        uint32_t timeline[TERM_MAX];
        struct {
            DocId id;
            uint64_t hash;
        } doc[DOC_LOG];
        DocId in_force;
        bool synchronous;        /* the newest document in force is */
        uint32_t epoch;          /* its */
        int64_t order_us;        /* when an operator said last that what others hold may be lost */
        bool resolved;           /* and at least once, that a member's side is kept whatever others hold */
        uint32_t accepted_epoch; /* by that, and nobody was promoted in it yet; 0: none */
        uint32_t lossy_epoch;    /* the newest that began so */
        bool promises[NODE_MAX]; /* the last that was in force there was */
        DocId checked[NODE_MAX]; /* by its node's last step */
        bool led[NODE_MAX];
    } seen;
} Cluster;

/* data nodes named pg1.. and, with witness, one more member w1. All empty and down. */
Cluster *cluster_new(const char *story, int data, bool witness, uint64_t seed, FILE *trace);
void cluster_free(Cluster *c);

/* Takes these members instead; all empty and down. */
void cluster_members(Cluster *c, const CoreOptions *options, int count);

/* A running streaming cluster that nobody manages yet: the first member is the primary. */
void cluster_servers(Cluster *c);
/* cluster_servers, all agents started and 5 seconds gone by. */
void cluster_settled(Cluster *c);
/* A second one of them was promoted by somebody, on a timeline of that number, before anybody managed them.
 */
void cluster_second_primary(Cluster *c, int no, uint32_t timeline);

void cluster_run(Cluster *c, int64_t ms);
/* Runs until the cluster is whole; false if it was not within limit_ms. */
bool cluster_heals(Cluster *c, int64_t limit_ms);
/* NULL, or what is missing for one primary with its lease and all others streaming from it. */
const char *cluster_lacks(const Cluster *c);
/* The node that runs as a primary with its lease, or -1. */
int cluster_primary(const Cluster *c);

/*
 * False if the newest document's primary has lost its data and nobody else has any that did not diverge:
 * nothing can heal that.
 */
bool cluster_has_data(const Cluster *c);

/* By that document's leader the only other member is to have the only vote; -1: it is as with more members.
 */
int cluster_only_voter(const Cluster *c, int leader);

/* The node of the document's slot, and the slot of a node in a document; -1, MEMBER_NONE: there is none. */
int cluster_node(const Cluster *c, const Document *doc, MemberNo slot);
MemberNo cluster_slot(const Cluster *c, const Document *doc, int no);

/* A majority of the voters is up and somebody among them has the data that it takes to go on. */
bool cluster_can_elect(const Cluster *c, const Document *doc);

/* What happens to it; each leaves a line in the trace. */
void cluster_start_agent(Cluster *c, int no);
void cluster_kill_agent(Cluster *c, int no);
void cluster_crash_server(Cluster *c, int no, int64_t orphans_ms);
void cluster_start_server(Cluster *c, int no);
void cluster_kill_host(Cluster *c, int no);
/* Clocks begin anew, and what was on a tmpfs is gone. */
void cluster_reboot(Cluster *c, int no);
void cluster_freeze(Cluster *c, int no, bool frozen);
void cluster_pause_host(Cluster *c, int no, Pause pause);
void cluster_freeze_agent(Cluster *c, int no, bool frozen);
/* Different from the one of before in what may change while it runs. */
void cluster_options(Cluster *c, int no, const CoreOptions *options);
void cluster_cut(Cluster *c, int no, bool cut);
void cluster_cut_link(Cluster *c, int from, int to, bool cut);
void cluster_disk(Cluster *c, int no, bool fails);
void cluster_wipe(Cluster *c, int no);
void cluster_lose_state(Cluster *c, int no);
void cluster_stick(Cluster *c, int no, bool stuck);
void cluster_command(Cluster *c, int no, CommandKind kind, MemberNo target);
void cluster_failover(Cluster *c, int no, MemberNo target, bool accept_loss);
/* An observer says for so long that it sees that member, or none, as the primary. */
void cluster_opinion(Cluster *c, int no, MemberNo seen, int64_t for_us);
/* pgvigil resolve --keep TARGET, asked of a node. */
void cluster_resolve(Cluster *c, int no, MemberNo target);

/* ---- what the parts say to each other ---- */

typedef enum ItemKind {
    ITEM_TICK,
    ITEM_MSG,
    ITEM_WRITTEN,
    ITEM_ACTED,
    ITEM_UNDONE, /* an action that was never begun, since its record could not be written */
    ITEM_POLL,   /* a look that repeats itself */
    ITEM_LOOK,
    ITEM_SEEN,
    ITEM_DEADLINE,
    ITEM_WAL,
} ItemKind;

struct Item {
    int64_t at;
    uint64_t order;
    ItemKind kind;
    int node;
    uint32_t process;
    uint32_t gen;
    uint32_t token;
    int64_t looked_us;
    int from;
    Observation pg;
    Msg msg;      /* without its view, unless it has one */
    Document doc; /* with has_doc */
};

void cluster_trace(Cluster *c, int no, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Ends the run: with the program, or, if it is contained, by a text in c->failure. The first one counts. */
void cluster_fail(Cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
Item *cluster_at(Cluster *c, int64_t at_us, ItemKind kind, int node);
Clock cluster_clock(const Cluster *c, int no);
bool cluster_linked(const Cluster *c, int a, int b);
bool cluster_fence_open(const Cluster *c, int no);

/* queue.c */
void queue_push(Cluster *c, Item *item);
Item *queue_pop(Cluster *c);
void queue_free(Cluster *c, Item *item);
void queue_done(Cluster *c);

/* io.c */
void io_run(Cluster *c, int no, const Effects *effects);
void io_written(Cluster *c, int no);
/* Power is lost, or the process ends, while a record may be under way. */
void io_interrupt(Cluster *c, int no, bool host);
/* What the next process reads from the two slots; false: there is nothing. */
bool io_load(Cluster *c, int no, Persist *ret);
bool io_message_lost(const Cluster *c, int from, int to);

/* model.c */
Observation model_observe(const Cluster *c, int no);
void model_start(Cluster *c, int no, const Action *action);
ActionResult model_finish(Cluster *c, int no);
void model_cancel(Cluster *c, int no);
void model_started(Cluster *c, int no);
void model_guard(Cluster *c, int no);
int model_branch(Cluster *c, int parent, Lsn start, uint32_t timeline);
void model_state(Cluster *c, int no, PgState state);
/* Nothing is left of it but what the host gives any server. */
void model_empty(Cluster *c, int no);
uint32_t model_timeline(const Cluster *c, const Server *server);

/* wal.c */
void wal_step(Cluster *c);
/* Becomes a primary on a timeline of its own; by the cluster's will, or by somebody's who does not ask it. */
void wal_branch_off(Cluster *c, int no, uint32_t timeline);
void wal_promote(Cluster *c, int no, uint32_t timeline);
/* Is everything that the server holds part of the other's WAL? */
bool wal_is_part(const Cluster *c, const Server *server, const Server *of);
/* Can it write, and tell clients so? With the extension only while the fence is open. */
bool wal_writes(const Cluster *c, int no);

/* sync.c */
void sync_begin(Cluster *c, int no);
void sync_begin_walsender(Cluster *c, int no, int standby);
void sync_set(Cluster *c, int no, const Names *names);
void sync_read(Cluster *c, int no);
void sync_report(Cluster *c, int no);
bool sync_is_effective(const Cluster *c, int no);
/* Up to where clients of a primary have been told that their commits are done. */
Lsn sync_acknowledged(const Cluster *c, int no);
void sync_observe(const Cluster *c, int no, Observation *pg);
void sync_check(Cluster *c, int no);

/* check.c */
/* Is what this primary acknowledges now promised to survive it? */
bool check_is_promised(const Cluster *c, int no);
const char *check_name(Invariant which);
const char *check_text(Invariant which);
void check_failed(Cluster *c, Invariant which, const char *format, ...) __attribute__((format(printf, 3, 4)));
void check_step(Cluster *c, int no);
/* What must hold at any time, whoever has done something: one writer, one lease. */
void check_now(Cluster *c);
/* A server is about to write something that it may acknowledge. */
void check_ack(Cluster *c, int no);
void check_send(Cluster *c, int no, const Effect *effect);
/* A record is to be written; one of a later term may come before it is. */
void check_asked(Cluster *c, int no);
void check_written(Cluster *c, int no);
void check_action(Cluster *c, int no, const Action *action);

#endif
