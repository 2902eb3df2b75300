/*
 * core.h: the decision core, its whole public face (with the five headers that it includes).
 *
 * The core is one fixed-size struct without pointers and one function: core_step() takes an event with the
 * time in it and answers with effects. It reads no clock, does no I/O and allocates nothing, so that the
 * agent, the extension and the simulator run the very same code. docs/design/protocol.md has the rules it
 * keeps.
 */
#ifndef PGVIGIL_CORE_CORE_H
#define PGVIGIL_CORE_CORE_H

#include "core/document.h"
#include "core/facts.h"
#include "core/message.h"
#include "core/order.h"
#include "core/sighting.h"
#include "core/syncset.h"

/* ---- Options, events, effects ---- */

typedef struct CoreOptions {
    DocMember member[MEMBER_MAX]; /* bootstrap: names, kinds, voter flags, in the order of the file */
    char name[MEMBER_NAME_LEN];   /* mine */
    MemberKind kind;              /* mine */
    bool no_failover;
    bool no_sync;                            /* no commit waits for this member */
    bool no_load_balance;                    /* only told to others */
    bool failover_by_order, observers_agree; /* never by itself; not while an observer sees the primary */
    bool initdb;                             /* I may create the cluster: first data member of the file */
    bool restart_on_crash;                   /* restart in place rather than fail over */
    uint32_t crash_restart_limit_ms;
    uint32_t lease_ms;
    uint32_t heartbeat_ms;
    uint32_t drift_ppm;
    uint32_t margin_ms;         /* by how much a leader's lease ends early */
    uint32_t unresponsive_ms;   /* PostgreSQL runs and answers nothing: it is taken for dead */
    uint32_t brownout_ms;       /* a fenced primary is left running for so long without its lease */
    uint32_t start_limit_ms;    /* a primary that starts in place for longer hands over */
    uint32_t stream_timeout_ms; /* a standby that does not stream for longer is looked into */
    uint64_t maximum_lag;       /* bytes a new primary may miss, asynchronous mode */
    SyncMode sync_mode;
    uint8_t sync_k;            /* standbys that each commit waits for, 1 to MEMBER_MAX - 1 */
    bool standby_votes;        /* of two data members alone the standby has the only vote; with a witness it
                                  must not be set: one beside a single data member would get none */
    uint32_t sync_timeout_ms;  /* a standby that is not in sync for longer is waited for no more */
    bool resolve_ask;          /* WAL that only one member has is not discarded without an order */
    uint32_t resolve_after_ms; /* two primaries and no document: seen for so long before one is kept */
    bool rejoin_rewind;        /* pg_rewind may be used */
    bool rejoin_clone;         /* a diverged or broken data directory may be replaced */
    uint64_t config_hash, settings_hash; /* see Msg and Report */
} CoreOptions;

#define ACTION_TEXT_LEN 200

typedef struct ActionResult {
    uint32_t id;
    bool ok;
    bool refused;     /* a hook refused it before it began */
    bool diverged;    /* INSPECT: there is WAL past the fork */
    bool was_primary; /* INSPECT: it ran as a primary last, by its control file */
    bool wal_missing; /* INSPECT, REWIND: it cannot be told, or done, because WAL is gone */
    Lsn lsn;         /* FREEZE: position; STOP_FAST: the shutdown checkpoint's end; INSPECT: the end of WAL */
    bool fork_known; /* INSPECT with ask_fork: the primary's history told where the WAL leaves it, */
    Lsn fork;        /* there; UINT64_MAX: it does not */
    bool numbers_lie;       /* and pg_rewind would find it later, since numbers of timelines are the same */
    bool complete;          /* SAVE_WAL: all of it past a known fork was saved, and what is in it counted */
    bool saved_before;      /* SAVE_WAL: the very same was saved once already, and told */
    uint32_t timeline;      /* FREEZE: of the position */
    uint64_t bytes;         /* SAVE_WAL */
    uint32_t transactions;  /* SAVE_WAL: commits past the fork */
    int64_t last_commit_us; /* SAVE_WAL: when the last of them was made, wall clock; 0: not known */
    char text[ACTION_TEXT_LEN]; /* the error, or what is worth telling */
} ActionResult;

typedef enum EventKind {
    EVENT_TICK = 1,
    EVENT_MESSAGE,
    EVENT_PERSISTED,
    EVENT_OBSERVED,
    EVENT_ACTION_DONE,
    EVENT_COMMAND,
    EVENT_OPTIONS,
    EVENT_OPINION,
} EventKind;

typedef struct Event {
    EventKind kind;
    Clock now;
    uint32_t reply_token;       /* MESSAGE: names the request that an answer goes to; 0: none is expected */
    const Msg *msg;             /* MESSAGE */
    const Document *doc;        /* MESSAGE with has_doc */
    uint32_t persist_seq;       /* PERSISTED: which one */
    bool persist_ok;            /* PERSISTED */
    const Observation *pg;      /* OBSERVED */
    int64_t looked_us;          /* OBSERVED: when that look at the server began (boot_us) */
    uint8_t progress;           /* OBSERVED: of the action under way */
    bool cut_off;               /* OBSERVED: this machine's own network check has failed */
    const ActionResult *done;   /* ACTION_DONE */
    const Command *command;     /* COMMAND */
    const CoreOptions *options; /* OPTIONS */
    ObserverWord seen;          /* OPINION */
} Event;

typedef enum EffectKind {
    EFFECT_PERSIST = 1, /* write core.persist; then EVENT_PERSISTED */
    EFFECT_SEND,
    EFFECT_ACTION,  /* start one; then EVENT_ACTION_DONE. One at a time, but for FREEZE and STOP_IMMEDIATE,
                       which cancel what is under way */
    EFFECT_FENCE,   /* commits are allowed until the deadline; a zero deadline: not at all */
    EFFECT_OBSERVE, /* look at the server now */
    EFFECT_ANSWER,  /* to an operator's command */
    EFFECT_HISTORY,
    EFFECT_LOG,
    EFFECT_REFUSE, /* this member must not take part: say why and end with code 2 */
} EffectKind;

typedef struct Action {
    uint32_t id;
    ActionKind kind;
    MemberNo target;
    uint32_t epoch;
    uint32_t timeline; /* PROMOTE: the number to arrive at; INSPECT, SAVE_WAL: the one the WAL is read on */
    Lsn fork;          /* INSPECT, SAVE_WAL: where the WAL leaves the cluster's; NONE: save all */
    bool ask_fork;     /* INSPECT: the document does not tell; the primary's timeline history may */
    uint32_t
        shared;  /* INSPECT with ask_fork: later timelines are not the primary's, whatever their numbers */
    Names names; /* SET_NAMES: UNKNOWN takes away what pgvigil set; PROMOTE, START_STANDBY: written
                    along, UNKNOWN leaves them as they are */
    bool asked;  /* RELOAD, RESTART_STANDBY, and STOP_FAST of a restart: by an operator, who hears of an error
                  */
} Action;

typedef enum HistoryKind {
    HISTORY_BOOTSTRAP = 1,
    HISTORY_FAILOVER,
    HISTORY_SWITCHOVER,
    HISTORY_RESTART, /* the primary was restarted in place */
    HISTORY_REJOIN,
    HISTORY_LOST, /* diverged WAL was saved */
    HISTORY_PAUSE,
    HISTORY_RESUME,
    HISTORY_SYNC, /* other standbys are waited for, or more or fewer */
    HISTORY_MEMBER_ADD,
    HISTORY_MEMBER_REMOVE,
    HISTORY_RESOLVE, /* of two primaries one was kept */
    HISTORY_KINDS
} HistoryKind;

typedef struct History {
    HistoryKind kind;
    MemberNo member; /* the new primary, the one that rejoined */
    MemberNo from;   /* the former primary */
    uint32_t epoch;
    uint32_t timeline;
    Lsn lsn;
    int32_t duration_ms; /* -1: not known */
    uint64_t bytes;
    uint32_t transactions;
    int64_t until_us; /* PAUSE: wall clock; 0: until resumed */
} History;

typedef enum AnswerState { ANSWER_STARTED, ANSWER_DONE, ANSWER_REFUSED } AnswerState;

typedef struct Effect {
    EffectKind kind;
    uint32_t after_persist;   /* SEND, ACTION: not before this one is on disk; 0: at once */
    uint32_t persist_seq;     /* PERSIST */
    MemberNo to;              /* SEND; MEMBER_NONE: the answer to a stranger */
    uint32_t token;           /* SEND: the request this answers, or 0; ANSWER */
    AnswerState answer;       /* ANSWER */
    LogLevel level;           /* LOG */
    Clock fence_until;        /* FENCE: raw and boot */
    bool fence_synchronous;   /* FENCE: commits must not wait for less than synchronous_commit = on */
    Names fence_names;        /* FENCE: the newest that were effective everywhere; UNKNOWN: not looked at */
    Msg msg;                  /* SEND; a document goes along as it stands in core.persist */
    Action action;            /* ACTION */
    History history;          /* HISTORY */
    char text[CORE_TEXT_LEN]; /* LOG, ANSWER, HISTORY (the reason), REFUSE */
} Effect;

/* Six messages to each member in one step, and as much again as is ever logged. */
#define EFFECT_MAX (6 * MEMBER_MAX + 30)

typedef struct Effects {
    uint32_t count;
    Effect effect[EFFECT_MAX];
} Effects;

/* ---- The state ---- */

#define ROUND_MAX 16

typedef struct Round {
    uint64_t seq;
    uint32_t lease_ms;
    Clock sent;
} Round;

/* What this member knows of another, by the document's slot. */
typedef struct Peer {
    bool heard;
    Clock heard_at;
    Uuid uuid; /* as it says */
    DocId doc_id;
    Report report;
    uint64_t term;
    bool relayed; /* report came through the leader */
    Position position;
    uint64_t acked_seq; /* the newest round that it granted */
    bool prevote_ok;
    bool prevote_seen;
    bool vote_ok;
    bool vote_seen;
    bool vote_frozen;
    Position vote_position; /* where it was frozen */
    uint64_t config_hash;
    Sighting twin; /* another machine speaks under its name while it does */
    Lsn sync_mark; /* flushed here at sync_mark_at; LSN_NONE: none set */
    Clock sync_mark_at;
    Clock sync_at;   /* when it had all that was flushed here, and could be waited for */
    bool sync_ready; /* by its newest report it could be waited for */
} Peer;

typedef struct Promise {
    bool active;
    Uuid uuid;
    uint64_t term;
    uint64_t inc;
    uint64_t seq;
    uint32_t lease_ms;
    Clock since;
} Promise;

typedef struct Core {
    CoreOptions options;
    Persist persist;
    MemberNo self; /* my slot in the document; MEMBER_NONE: not in it */
    uint64_t inc;
    uint64_t seq;
    uint64_t rng;
    Clock now;
    Clock started_at;

    uint32_t persist_seq;   /* newest asked for */
    uint32_t persisted_seq; /* newest on disk */
    bool disk_failed;
    Clock disk_at; /* when writing was tried last */

    Role role;
    CandidatePhase phase;
    MemberNo leader;   /* whose heartbeats are accepted; self while leading */
    uint64_t led_term; /* the newest term that this process won; 0: none */
    Clock led_at;      /* when a leader was known last */
    Clock phase_at;
    int64_t stand_at_us;       /* when to stand next (boot_us); 0: not decided */
    uint8_t tries;             /* candidacies in a row that had no majority */
    uint8_t stood_back;        /* times in a row that somebody ahead was let pass */
    bool forced;               /* the candidacy was ordered: maximum_lag does not count */
    Clock ordered_at;          /* when forced and accept_loss were said; they do not outlive the order */
    uint64_t ordered_term;     /* and are void once a document of a later term is known */
    bool keep;                 /* what this member has is to be kept, whatever else there is; an order, too */
    uint32_t vote_persist;     /* the record with my own vote */
    Release xfer;              /* what I hold as chosen successor */
    Release released;          /* the newest that I heard of: voids the heartbeats before it */
    int64_t declined_until_us; /* gave the lease up: others stand first (boot_us) */

    Promise promise;
    uint32_t accept_persist; /* the record of the present term, and of what the newest heartbeat brought */
    Round round[ROUND_MAX];
    Clock heartbeat_at; /* when the last round was sent */
    Clock view_at;
    bool leased;            /* lease_base is valid */
    Clock lease_base;       /* send time of the newest round that a majority acknowledged */
    uint32_t lease_base_ms; /* the lease's length in that round */
    uint64_t lease_floor;   /* rounds up to this one do not count any more: the wall clock jumped */
    Clock fence_until;      /* what the fence was last told */
    Names fence_names;      /* and this */
    bool fence_synchronous;
    uint32_t epoch_in_force; /* the epoch that a majority accepted from this process; 0: none yet */
    Clock writable_at;       /* when commits were last allowed, or this process began */
    Clock grace_until;       /* inherited from before a restart of the agent */
    uint32_t doc_persist;    /* the record with the present document */
    Clock doc_at;            /* when this leader changed it last */
    DocId doc_durable;       /* the newest that is on disk here */
    bool doc_in_force;
    /* My first document is not in force yet: the primary that I found goes on meanwhile. */
    bool bootstrapping;
    bool resuming;  /* the end of the pause is not in force yet: nobody else knows of it */
    Position noted; /* primary_at as it was written last */
    Clock noted_at;

    bool freezing, frozen;
    Lsn frozen_lsn;
    uint32_t frozen_timeline;
    struct {
        bool pending;
        MemberNo candidate;
        Uuid uuid;
        uint64_t term;
        uint64_t inc;
        DocId doc_id;
        Release release;
        bool kept;
        uint32_t token;
        uint32_t persist; /* the record of the last one that was given */
    } ballot;             /* a vote that waits for the freeze */
    struct {
        uint32_t token;
        MemberNo to;
        uint64_t seq;
        uint64_t inc;
    } fresh; /* a heartbeat answer that waits for an observation */

    Peer peer[MEMBER_MAX];
    Observation pg;
    int64_t looked_us; /* when the newest look at it began (boot_us) */
    int64_t acted_us;  /* when the last action ended (boot_us) */
    Clock pg_answered; /* when it last answered */
    Clock pg_changed;  /* when its state last changed */
    Clock stream_at;   /* when it last streamed, or began to follow */
    Clock ready_at;    /* when the primary was last seen not to be ready */
    Clock retried_at;  /* when it was last told to try again */
    uint8_t progress;
    bool cut_off; /* this machine's network check has failed: it does not stand */

    Action action; /* under way; kind NONE: none */
    uint32_t action_id;
    int64_t backoff_until_us;      /* boot_us */
    uint8_t failures;              /* actions that failed in a row */
    char failure[ACTION_TEXT_LEN]; /* what the newest of these said */
    bool inspected, diverged, wal_saved, rewind_failed, wal_gone;
    bool stopped; /* by an action: that it is down is no crash */
    bool ending;  /* its processes were told to end at once and are not gone yet */
    Clock ending_since;
    bool promoting; /* a promotion was asked for; nobody takes that back: until it is seen as done, or the
                       server as down, it can become writable at any moment */
    bool forgot;    /* the state was lost while a lease held; the server goes on until that has run out */
    bool in_place;  /* start the primary again rather than hand over */
    Clock down_at;  /* when the server crashed or was stopped */
    bool crashed;
    uint32_t inspected_epoch; /* the present epoch when it was inspected */
    Lsn fork;                 /* where my WAL leaves the cluster's */
    bool fork_known;          /* by the primary's history of timelines, and pg_rewind finds the same */
    struct {
        uint32_t timeline, epoch;
        Lsn fork;
    } ancestor; /* this timeline's WAL is part of that epoch's up to there; timeline 0: not known */
    Lost lost;  /* what was saved of it */
    MemberNo streamed_from; /* before there was a document, and until the freeze for a vote */
    MemberSet twice;        /* several members that run as a primary; 0: one at most */
    Clock twice_since;      /* since when these, and nothing stands against a choice between them */
    Clock twice_seen;       /* when they were first seen, for the log */
    MemberSet twice_told;
    bool settings_written; /* this process has set restart_after_crash */
    bool want_restart, want_clone, want_rejoin, want_reload;
    bool rejoining; /* tell the history when it streams again */
    ActionKind rejoined_by;
    Clock rejoin_at;
    bool arrived; /* by an order that is not over: the leader has to see it, too */
    Clock arrived_at;
    bool refused;
    bool agreed; /* with a leader, since the start: where files differ later, one of them was read again */
    bool disagreement_told;
    Sighting twin;          /* I am told that another machine has my name */
    Clock stranger_at;      /* when somebody spoke whom my document does not know; zero: never */
    uint32_t obstacle_told; /* a hash of the reason not to stand that was logged last */
    uint32_t told_epoch;    /* the takeover of this epoch is in the history */
    Command pending;        /* pause or resume that waits for the document; token 0: none */
    ObserverWord seen;      /* what observers said last */
    Clock takeover_at;      /* when this member began to stand */
    Clock bereft_at;        /* when it knew a leader last, and no other since: the duration in history */

    Plan plan;
    Op op;
    Names names_told;       /* last, to the own server */
    Clock names_changed_at; /* when the server was seen to have others, or all processes to have them */
    int64_t names_retry_us; /* not before (boot_us), after they could not be set */
    SyncStep sync_step;     /* leader: what is next */
    bool sync_evaluated;    /* it was found out in the newest step, and not left open */
    MemberSet sync_good;    /* leader: standbys that are in sync */
    Clock sync_since;       /* since when the own server is the primary of this epoch */
    uint32_t barrier_generation;
    int64_t barrier_from_us; /* when these names were seen effective (boot_us); 0: not yet */
    Lsn barrier;             /* flushed after that; LSN_NONE: not known yet */
    bool sync_told;          /* what the history says */
    MemberSet sync_told_set;
    uint8_t sync_told_needed;
    uint32_t sync_told_epoch;
    bool accept_loss;       /* the candidacy was ordered by an operator who accepts loss */
    uint8_t positions_lack; /* so many positions were missing when this member last stood */

    FactSet facts; /* of the newest decision */
    RuleId rule;
    RuleId rule_told; /* the last one logged */
} Core;

/*
 * Makes the state of a process that starts: persist is what was on disk (node_uuid set, the rest zero for a
 * new node), inc a random number of this process, seed any random number, grace_until the deadline found in
 * the fence file (zero: none).
 */
void core_init(Core *core, const CoreOptions *options, const Persist *persist, uint64_t inc, uint64_t seed,
               const Clock *now, const Clock *grace_until);

/* One step. *ret_effects is overwritten, and to be run in order. Never fails: wire rejects bad input. */
void core_step(Core *core, const Event *event, Effects *ret_effects);

/* Microseconds from core->now until a tick is due; 0: now. */
int64_t core_wake_us(const Core *core);

/* ---- Questions that bodies may ask ---- */

/* True while this member leads and its lease holds at now. */
bool core_lease_holds(const Core *core, const Clock *now);

/* The lease's end on both clocks; zero if there is none. */
Clock core_lease_until(const Core *core);

/* True if this member could take over now. */
bool core_is_eligible(const Core *core);

/*
 * Is there a server that must be ended when the fence's deadline passes, whatever becomes of the agent: one
 * that can write, may become able to before the next look, or has left processes behind? guarded is the last
 * answer, which stays while the server has not been looked at since it was acted upon.
 */
bool core_needs_guard(const Core *core, bool guarded);

/* Are commits to wait in the fence, because the server is about to be stopped for a successor? */
bool core_holds_commits(const Core *core);

/* Does the cluster count on it that what a client reads here is on a standby as well? */
bool core_waits_for_standbys(const Core *core);

/* The member that the document names as primary while some leader is known or led; MEMBER_NONE otherwise. */
MemberNo core_primary(const Core *core);

/* The members that run as a primary, as far as is known; with fewer than two of them: none. */
MemberSet core_primaries(const Core *core);

/* Before there is a document: which of several primaries is kept; MEMBER_NONE, and the reason, while that is
 * not decided. */
const char *core_choice(const Core *core, MemberNo *ret_choice);

/* Somebody whose way in or out of the document has not come to its end, or MEMBER_NONE. A primary may be
 * without a vote for good. */
MemberNo membership_on_its_way(const Document *doc);

/* A member that answers has another configuration file. */
bool core_disagrees(const Core *core);

/* Why this member is not in the cluster's document, to be put behind its name; NULL: it is in it. */
const char *membership_outside(const Core *core);

/*
 * That member says itself that it is not the one that the document means: it has lost its state, and its vote
 * with it. Of whom only the leader tells that is not known.
 */
bool document_is_other(const Core *core, MemberNo no);

/* Two machines run under that member's name; and: another one runs under mine. */
bool membership_has_twin(const Core *core, MemberNo no);
bool membership_is_twin(const Core *core);

/* This member's own report, as it goes into messages. */
Report core_report(const Core *core);

/* Names for logs, JSON and people; "?" for values that are none. */
const char *pg_state_name(PgState state);
const char *msg_name(MsgKind kind);
const char *refusal_name(Refusal refusal);
const char *history_name(HistoryKind kind);
const char *command_name(CommandKind kind);
const char *role_name(Role role);

/*
 * "1 of 3 votes is there, 2 are needed; pg2 does not answer; pg3 answers with a new identity": that one has
 * lost its state, and its vote with it. True if there are enough.
 */
bool explain_votes(const Core *core, char *ret_text, size_t size);

/* So many have lost their vote for good that there is no majority, even if all others answer. */
bool explain_votes_lost(const Core *core);

/* By that report's own rule: a server that can write, and a member that has no lease for it. */
bool explain_lacks_lease(const Report *report);

/* Why this member is, or is not, standing for election now, in one sentence. */
void explain_election(const Core *core, char *ret_text, size_t size);

#endif
