/*
 * clustermon.h: pgClusterMonitor's policy: given what the nodes look like, what is done to the local server?
 *
 * Pure like the rest of the core, which is why it is here and under its check for symbols; it is no part of
 * the state machine of core.h, and nothing in that uses it.
 */
#ifndef PGVIGIL_CORE_CLUSTERMON_H
#define PGVIGIL_CORE_CLUSTERMON_H

#include "base/types.h"

/* One node of [cluster], by its newest poll. Times are of one clock that never jumps. */
typedef struct ClustermonNode {
    bool polled;    /* a poll ended since the start */
    bool refuses;   /* the newest was refused by a server that takes connections, as one that is full does */
    bool connected; /* the newest was answered; what follows is of the newest that was */
    bool in_recovery;
    bool strayed; /* a standby that did not stream while there was one primary: it may have other WAL */
    Lsn position; /* a primary's end of WAL on disk; a standby's received, or else replayed; LSN_NONE: none */
    uint32_t timeline;          /* 0: unknown */
    uint64_t system_identifier; /* 0: unknown */
    int64_t bytes;              /* of its databases; -1: unknown */
    int64_t heard_us; /* a standby: how long ago its receiver heard from whom it streams; -1: it does not */
} ClustermonNode;

typedef enum ClustermonLocal {
    CLUSTERMON_UNKNOWN, /* the status command did not end, or could not be run */
    CLUSTERMON_DOWN,
    CLUSTERMON_RUNS,
} ClustermonLocal;

/*
 * A primary that is idle lets its standbys hear of it each half of wal_sender_timeout, 30 s by default: the
 * silence of a stream says nothing before this.
 */
#define CLUSTERMON_SILENCE_US (35 * US_PER_SEC)

/* What the data directory of a server that is down would come up as. */
typedef enum ClustermonFiles {
    CLUSTERMON_FILES_UNSEEN, /* it cannot be looked into from here */
    CLUSTERMON_FILES_PRIMARY,
    CLUSTERMON_FILES_STANDBY,
} ClustermonFiles;

typedef struct ClustermonFacts {
    int64_t now_us;
    const ClustermonNode *node; /* in the order of the file */
    int nodes, own;             /* own: index */
    ClustermonLocal local;
    ClustermonFiles files;
    bool clone_owed;                   /* its data directory was removed, and no copy has taken its place */
    bool network;                      /* the network command said what it should */
    bool busy;                         /* something is being done */
    bool had_primary;                  /* one was seen since the start */
    bool follows;                      /* primary_conninfo names the one primary that answers */
    bool may_discard;                  /* the WAL of the local server can be saved, or need not be */
    bool confirmed;                    /* this is the second look */
    int64_t no_primary_us;             /* since when no primary answers; 0: one does */
    int64_t several_us;                /* since when more than one does; 0: they do not */
    int64_t down_us;                   /* since when the local server is down; 0: it runs */
    int streaming;                     /* standbys that stream from the local server */
    int64_t failover_us, downgrade_us; /* the configuration's */
} ClustermonFacts;

typedef enum ClustermonMove {
    CLUSTERMON_NONE,
    CLUSTERMON_LOOK_AGAIN, /* ask all once more at once, and decide again with confirmed set */
    CLUSTERMON_START,
    CLUSTERMON_PROMOTE,
    CLUSTERMON_FOLLOW,    /* verdict.primary, by primary_conninfo */
    CLUSTERMON_DOWNGRADE, /* to a standby of verdict.primary: stop, save, rewind or copy, start */
    CLUSTERMON_REJOIN,    /* the same, of a server that is down */
    CLUSTERMON_CLONE,     /* the same, but there is nothing to save or to rewind any more */
} ClustermonMove;

typedef enum ClustermonNames {
    CLUSTERMON_NAMES_KEEP, /* the local server is no primary that answers */
    CLUSTERMON_NAMES_ALL,  /* synchronous_standby_names = '*' */
    CLUSTERMON_NAMES_NONE, /* = '' */
} ClustermonNames;

typedef struct ClustermonVerdict {
    const char *rule, *text; /* the row that matched, and why */
    ClustermonMove move;
    ClustermonNames names;
    int primaries, standbys; /* connected ones */
    int primary;  /* index of the one primary that answers; of several the one that is kept; -1: none */
    int furthest; /* index of the standby that would be promoted; -1 */
    int connected;
} ClustermonVerdict;

/* Every row that there is can be found by name in the manual. Cannot fail; *ret_verdict is set whole. */
void clustermon_decide(const ClustermonFacts *facts, ClustermonVerdict *ret_verdict);

#endif
