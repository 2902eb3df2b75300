/*
 * lookout.h: pglookout's policy: given what the servers and the observers look like, does this node promote
 * its own?
 *
 * Pure like the rest of the core, which is why it is here and under its check for symbols; it is no part of
 * the state machine of core.h, and nothing in that uses it.
 */
#ifndef PGVIGIL_CORE_LOOKOUT_H
#define PGVIGIL_CORE_LOOKOUT_H

#include "base/types.h"

/* A position older than this is none: pglookout's own number. */
#define LOOKOUT_POSITION_US (20 * US_PER_SEC)

/* One database server of the configuration. Times are of one clock that never jumps. */
typedef struct LookoutServer {
    const char *name;
    bool connected; /* its newest poll was answered */
    bool known;     /* it was answered once; what follows is of the last answer */
    bool in_recovery;
    int64_t polled_us;     /* when the newest poll ended; 0: none did yet */
    int64_t contact_us;    /* the last answer */
    int64_t moved_us;      /* a standby: when its position was last seen to move; 0: never */
    Lsn receive, replay;   /* LSN_NONE: none */
    int64_t lag_us;        /* a standby's; -1: unknown */
    int64_t min_lag_us;    /* the least since it replicates; -1: unknown */
    int64_t replicates_us; /* since when it does; 0: unknown */
    bool never_promote;
    bool known_gone;
    int64_t priority;
} LookoutServer;

typedef struct LookoutFacts {
    int64_t now_us;
    int64_t started_us; /* since when we look */
    int64_t changed_us; /* since when the configuration names these servers */
    const LookoutServer *server;
    int server_count;
    int own;                     /* index; -1: an observer */
    int observers, connected;    /* observers, and how many of them answer */
    const char *seen_by;         /* an observer that sees a primary of ours connected, or NULL */
    bool had_primary;            /* a primary was seen since the start, whether it is configured or not */
    bool primary_known_gone;     /* it is listed as gone */
    bool maintenance, busy;      /* the file is there; the command runs, or the sleep after it */
    bool has_command, confirmed; /* confirmed: this is the second look */

    /* The configuration. */
    bool failover_on_disconnect;
    int64_t warning_us, failover_us, missing_us, catchup_us;
    int64_t quiet_us; /* WAL that came within this is a sign of life of the primary */
} LookoutFacts;

typedef enum LookoutMove {
    LOOKOUT_NONE,
    LOOKOUT_LOOK_AGAIN, /* poll all once more at once, and decide again with confirmed set */
    LOOKOUT_FAILOVER,   /* run failover_command */
} LookoutMove;

typedef struct LookoutVerdict {
    const char *rule, *text; /* the row that matched, and why */
    LookoutMove move;
    bool is_warning;     /* the own lag is over the warning limit */
    bool is_catching_up; /* and so no lag is told */
    int primaries;       /* connected ones */
    int primary;         /* index of the connected one, or of one that was; -1 */
    int furthest;        /* index of the best candidate; -1 */
    int known, total;    /* states: more than half have to be known */
} LookoutVerdict;

/* Every row that there is can be found by name in the manual. Cannot fail; *ret_verdict is set whole. */
void lookout_decide(const LookoutFacts *facts, LookoutVerdict *ret_verdict);

#endif
