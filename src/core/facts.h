/*
 * facts.h: the facts that decisions are made of, and the rows of explain; part of core.h.
 *
 * A fact is one bit, so that a row of the decision table is two masks.
 */
#ifndef PGVIGIL_CORE_FACTS_H
#define PGVIGIL_CORE_FACTS_H

#include "base/types.h"

typedef uint64_t FactSet;

/* Every fact is one bit; rules.c has their names and texts. */
#define FACT_LIST(X)                                                                                         \
    X(BUSY, "busy", "an action on the server is under way")                                                  \
    X(STALE, "stale", "no look at the server has begun since the last action on it ended")                   \
    X(DATA, "data_node", "this member runs PostgreSQL")                                                      \
    X(PAUSED, "paused", "the cluster is paused")                                                             \
    X(MANAGED, "managed", "the cluster has a document with a primary and this data directory belongs to it") \
    X(LEASE, "lease", "this member's lease holds, for an epoch that a majority accepted from it")            \
    X(GRACE, "grace", "the fence's deadline, from before a restart of the agent, has not passed")            \
    X(FENCED, "fenced", "the server itself keeps its commits to the fence")                                  \
    X(BROWNOUT, "brownout", "the lease holds, or has been gone for less than postgresql.brownout")           \
    X(LEADER_KNOWN, "leader_known", "a leader's heartbeat is fresh, and its document was accepted")          \
    X(OBSERVER_SEES_PRIMARY, "observer_sees_primary",                                                        \
      "an observer says that it sees the primary that the document names")                                   \
    X(LEADERLESS, "leaderless", "no leader has been known for five leases")                                  \
    X(IS_PRIMARY_IN_DOC, "named_primary", "the document names this member as the primary")                   \
    X(PRIMARY_READY, "primary_ready", "the primary that the document names accepts writes and is settled")   \
    X(PRIMARY_CHECKPOINTED, "primary_checkpointed", "the primary has written a checkpoint on its timeline")  \
    X(PG_EMPTY, "server_empty", "the data directory is empty")                                               \
    X(PG_DOWN, "server_down", "the server does not run")                                                     \
    X(PG_UNREADABLE, "server_unreadable", "the data directory has told nothing of its server for too long")  \
    X(PG_LEFTOVERS, "server_leftovers", "processes of a dead postmaster are still there")                    \
    X(PG_STARTING, "server_starting", "the server starts")                                                   \
    X(PG_STANDBY, "server_standby", "the server runs as a standby")                                          \
    X(PG_PRIMARY, "server_primary",                                                                          \
      "the server runs and can write, or might: it was told to become primary, and is not known not to be")  \
    X(PG_HUNG, "server_hung",                                                                                \
      "the server runs and has answered nothing, or its disk taken no write, for too long")                  \
    X(END_OVERDUE, "end_overdue",                                                                            \
      "processes of the server were told to end at once and have not for too long")                          \
    X(START_OVERDUE, "start_overdue", "the server has been starting for longer than its limit")              \
    X(SETTLED, "settled", "timeline and start of the present epoch are recorded as they are")                \
    X(PROMOTED, "promoted", "this server has arrived at the timeline of the present epoch")                  \
    X(CHECKPOINTED, "checkpointed", "the server has written a checkpoint on its timeline")                   \
    X(SETTINGS_DUE, "settings_due", "restart_after_crash is on, and pgvigil has not set it yet")             \
    X(NAMES_DUE, "names_due", "synchronous_standby_names has to be set")                                     \
    X(FOLLOWS, "follows_primary", "primary_conninfo names the primary of the present epoch")                 \
    X(STREAMS, "streams", "the walreceiver streams")                                                         \
    X(STREAM_LATE, "stream_late", "the walreceiver has not streamed for a second")                           \
    X(STREAM_OVERDUE, "stream_overdue", "the walreceiver has not streamed for longer than its limit")        \
    X(WAL_GONE, "wal_gone", "the primary no longer has the WAL that this standby needs")                     \
    X(LINEAGE_OK, "lineage_ok", "this server's WAL is known to be part of the cluster's history")            \
    X(INSPECTED, "inspected", "the end of this server's WAL was compared with the cluster's history")        \
    X(DIVERGED, "diverged", "this server has WAL that the cluster does not have")                            \
    X(WAL_SAVED, "wal_saved", "the diverged WAL was saved")                                                  \
    X(ASKS, "asks", "what would be discarded waits for pgvigil resolve --keep NAME")                         \
    X(REWINDABLE, "rewindable", "pg_rewind can be used here")                                                \
    X(CLONABLE, "clonable", "the data directory may be replaced")                                            \
    X(BROKEN, "broken", "a rewind or clone was interrupted, or the data directory cannot be started")        \
    X(SUCCESSOR, "successor", "another member could take over now")                                          \
    X(RESTART_IN_PLACE, "restart_in_place", "a crashed primary is to be restarted where it is")              \
    X(INITDB, "initdb", "this member may create the cluster, and none is known")                             \
    X(OUTSIDE, "outside", "a newer document than this member's does not name it")                            \
    X(SWITCHOVER, "switchover", "a switchover or operator's failover is under way")                          \
    X(WANT_RESTART, "restart_wanted", "an operator asked for a restart")                                     \
    X(WANT_CLONE, "clone_wanted", "an operator asked for a clone")                                           \
    X(WANT_REJOIN, "rejoin_wanted", "an operator asked for a rejoin")                                        \
    X(WANT_RELOAD, "reload_wanted", "an operator asked for a reload")                                        \
    X(CUT_OFF, "cut_off", "this machine's own network check has failed")                                     \
    X(FAILING, "failing", "the last three actions failed")                                                   \
    X(BACKOFF, "backoff", "the last action failed; waiting before the next try")

typedef enum Fact {
#define FACT_ENUM(id, name, text) FACT_##id,
    FACT_LIST(FACT_ENUM)
#undef FACT_ENUM
        FACTS
} Fact;

/* Which member an observer sees as the primary, and until when that counts as new (boot_us); MEMBER_NONE:
 * none. */
typedef struct ObserverWord {
    MemberNo member;
    int64_t until_us;
} ObserverWord;

#define FACT_BIT(id) ((FactSet) 1 << FACT_##id)

typedef uint8_t RuleId; /* the row's place in the table, from 0 */

typedef enum Role {
    ROLE_FOLLOWER = 0,
    ROLE_CANDIDATE,
    ROLE_LEADER,
} Role;

typedef enum CandidatePhase {
    CANDIDATE_NONE = 0,
    CANDIDATE_PREVOTE,
    CANDIDATE_FREEZE,
    CANDIDATE_VOTE,
} CandidatePhase;

/* One row of explain: the rule's name and text, whether it matched, and for one that did not, the fact that
 * decided. */
typedef struct ExplainRow {
    const char *name;
    const char *text;
    const char *action;
    bool matched;
    bool decisive;         /* the first that matched */
    const char *missing;   /* name of the first fact that it needs and that does not hold, or NULL */
    const char *forbidden; /* name of the first fact that it excludes and that holds, or NULL */
} ExplainRow;

size_t explain_rule_count(void);
ExplainRow explain_rule(FactSet facts, size_t row);
const char *facts_name(Fact fact);
const char *facts_text(Fact fact);

#endif
