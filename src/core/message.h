/*
 * message.h: what a member sees of its own server, and what members say to each other; part of core.h.
 *
 * src/wire makes JSON of it and back, and lets nothing through that is out of range.
 */
#ifndef PGVIGIL_CORE_MESSAGE_H
#define PGVIGIL_CORE_MESSAGE_H

#include "base/action_kind.h"
#include "core/document.h"
#include "core/syncset.h"

typedef enum PgState {
    PG_UNKNOWN = 0, /* not looked at yet, or it does not answer */
    PG_NONE,        /* a witness */
    PG_EMPTY,       /* no data directory, or an empty one */
    PG_STOPPED,     /* shut down in order */
    PG_CRASHED,     /* not running, and was not shut down in order */
    PG_STARTING,    /* runs, accepts no connections yet */
    PG_STANDBY,     /* runs in recovery */
    PG_PRIMARY,     /* runs and can write */
} PgState;

/* What the agent sees of its own PostgreSQL. Positions are LSN_NONE while unknown. */
typedef struct Observation {
    PgState state;
    bool responsive;     /* the newest poll was answered in time */
    bool disk_stuck;     /* the server's disk takes no writes, or not in time */
    bool disk_full;      /* it has no room left */
    bool processes_left; /* not a postmaster, but processes of one are still there */
    bool streaming;      /* the walreceiver streams */
    bool can_rewind;     /* data checksums or wal_log_hints */
    bool pending_restart;
    bool self_restarts; /* restart_after_crash is on: a crash would not be seen for what it is */
    uint64_t system_identifier;
    uint32_t server_version; /* as PQserverVersion: 150018 */
    uint32_t timeline;       /* of its newest WAL */
    Lsn timeline_start;      /* where that timeline left its parent; LSN_NONE: timeline 1, or not known */
    uint32_t checkpoint_timeline;
    Lsn lsn;                   /* primary: flushed; standby: the larger of received and replayed */
    Lsn replay_lsn;            /* standby */
    Lsn oldest_lsn;            /* the oldest WAL still there */
    uint64_t size;             /* of all its databases, in bytes; 0: not known */
    MemberNo upstream;         /* whom primary_conninfo names, by the document's slots */
    uint32_t upstream_epoch;   /* the epoch in primary_conninfo's application_name */
    int32_t replay_lag_ms;     /* age of the newest replayed transaction; -1 unknown or nothing to replay */
    uint16_t standbys;         /* primary: walsenders of members that stream */
    Names names;               /* as a session that begins now has them, on a standby too */
    bool names_effective;      /* every process that releases commits or makes them wait has these names */
    bool fenced;               /* the extension is loaded: it keeps commits to the fence file */
    Lsn confirmed[MEMBER_MAX]; /* primary: flushed by the member that streams from here under the
                                  application_name of the document's epoch; not sent to others */
} Observation;

/* WAL of this member that the cluster does not have, as it was saved. */
typedef struct Lost {
    bool asks; /* it is not discarded before an operator says which side is kept */
    Lsn fork;  /* where it leaves the cluster's; NONE: not known */
    Lsn end;
    uint32_t transactions; /* commits in it */
    int64_t last_us;       /* when the last of them was made, wall clock; 0: not known */
    bool complete;         /* fork and number are known, and all of it was saved */
} Lost;

/* What a member says of itself in every message. */
typedef struct Report {
    Observation pg;
    ActionKind action; /* under way */
    uint8_t progress;  /* per cent; 255: not known */
    uint32_t wal_epoch;
    bool no_failover;       /* must not become primary */
    bool no_sync;           /* is never waited for */
    bool no_load_balance;   /* is no standby for load balancers */
    bool eligible;          /* could become primary now */
    bool disk_failed;       /* cannot write its state: votes no more */
    bool cut_off;           /* its machine's network check has failed: it does not stand */
    bool silent;            /* it has restarted, and votes when what it promised before has run out */
    uint8_t rule;           /* the decision row in force, RuleId */
    uint64_t settings_hash; /* of all settings that should be the same everywhere, as its file has them; 0:
                               not told */
    uint8_t failures;       /* actions on its server that failed in a row */
    Lost lost;              /* all zero while there is none */
} Report;

/* ---- Messages ---- */

typedef enum MsgKind {
    MSG_NONE = 0,
    MSG_HEARTBEAT,
    MSG_HEARTBEAT_ACK,
    MSG_PREVOTE,
    MSG_PREVOTE_ACK,
    MSG_VOTE,
    MSG_VOTE_ACK,
    MSG_RELEASE,
    MSG_RELEASE_ACK,
    MSG_NUDGE, /* you are ahead of me: stand */
    MSG_NUDGE_ACK,
    MSG_HELLO, /* a report from somebody who hears no leader */
    MSG_HELLO_ACK,
    MSG_KINDS
} MsgKind;

/* Why a vote, prevote or heartbeat was not granted. */
typedef enum Refusal {
    REFUSAL_NONE = 0,
    REFUSAL_PROMISED,  /* to another leader, and not run out */
    REFUSAL_TERM,      /* an older term than mine */
    REFUSAL_VOTED,     /* for another in this term */
    REFUSAL_DOCUMENT,  /* the candidate's document is older than mine */
    REFUSAL_SILENT,    /* I restarted and wait for old promises to run out */
    REFUSAL_DISK,      /* I cannot write my state */
    REFUSAL_NOT_VOTER, /* I am not in the document with this identity */
    REFUSAL_BUSY,      /* answering another candidate */
    REFUSAL_TWIN,      /* another machine answers under your name, or has your node id */
    REFUSAL_CHOICE, /* there are two primaries and no document, and you are not the one to keep, as far as I
                       know */
    REFUSALS
} Refusal;

/* Proof that a leader gave its lease up. */
typedef struct Release {
    Uuid leader; /* zero: none */
    uint64_t term;
    uint64_t inc;
    uint64_t seq;
    MemberNo to;      /* who shall take over; MEMBER_NONE: anybody */
    Lsn lsn;          /* what the successor must have flushed */
    bool forced;      /* an operator chose it: it stands even if another is ahead */
    bool accept_loss; /* and it stands without positions of those that may hold what was acknowledged */
    bool keep;        /* and its own WAL is kept, although it is not the cluster's */
} Release;

typedef struct Msg {
    MsgKind kind;
    MemberNo from; /* set by the receiver, by name; MEMBER_NONE: a stranger */
    Uuid sender;
    uint64_t term;
    uint64_t inc;
    uint64_t seq;
    DocId doc_id; /* the sender's */
    bool has_doc; /* the document itself comes along */
    bool granted;
    bool frozen;
    bool kept;       /* prevote, vote: an operator chose the candidate among several primaries */
    bool want_fresh; /* heartbeat: look at your server before you answer */
    bool has_view;   /* heartbeat: view[] is filled */
    Refusal refusal;
    uint32_t lease_ms;
    Position position;
    Position primary_at; /* the newest that the sender has heard of the primary */
    Release release;
    uint64_t config_hash; /* of what all members must agree on before there is a document */
    Report report;
    Report view[MEMBER_MAX];
    int32_t view_age_ms[MEMBER_MAX]; /* -1: never heard */
} Msg;

#endif
