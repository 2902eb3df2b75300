/*
 * document.h: the one replicated register: who belongs, who is the primary of which epoch; part of core.h.
 *
 * It is small and travels whole. Its order and its changes are in document.c.
 */
#ifndef PGVIGIL_CORE_DOCUMENT_H
#define PGVIGIL_CORE_DOCUMENT_H

#include "base/types.h"

typedef enum MemberKind {
    MEMBER_FREE = 0, /* an unused slot */
    MEMBER_DATA,     /* runs PostgreSQL */
    MEMBER_WITNESS,  /* votes only */
} MemberKind;

typedef struct DocMember {
    char name[MEMBER_NAME_LEN];
    Uuid uuid; /* zero until the member was first heard of by a leader */
    MemberKind kind;
    bool voter;
    bool leaving; /* an operator removes it: it leaves the sync set, loses its vote, and then the slot is free
                   */
} DocMember;

/* A position that can be compared: by epoch, then LSN. */
typedef struct Position {
    bool known;
    uint32_t epoch;
    Lsn lsn;
} Position;

/* The order of documents: by the term they were written in, then by version. */
typedef struct DocId {
    uint64_t term;
    uint64_t version;
} DocId;

/* One takeover. Timeline numbers are no order between nodes (two forks can bear the same one); epochs are. */
typedef struct DocEpoch {
    uint32_t epoch;    /* rises by one with each takeover */
    uint32_t parent;   /* the epoch whose WAL it continues; 0 for the first, and for one that an operator kept
                          although it continues none */
    uint32_t timeline; /* claimed at first, the real one once settled */
    Lsn start;         /* where it leaves its parent's WAL */
    uint32_t kept_from; /* without a parent: another server may have timelines with these numbers, from this
                           one up to its own, and they are not these; 0: none has */
    bool settled;       /* timeline and start were read from the promoted server */
    MemberNo primary;
} DocEpoch;

#define DOC_HISTORY_MAX 12
#define PAUSE_TEXT_LEN  80

typedef struct Document {
    DocId id;
    uint64_t system_identifier; /* of the PostgreSQL cluster; 0 until the first primary is known */
    uint32_t epoch;             /* 0 until the first primary is known */
    MemberNo primary;
    bool synchronous;    /* what was acknowledged must not be lost: who takes over needs |R| - k positions */
    MemberSet sync_set;  /* R: members that may hold everything acknowledged, the primary included */
    uint8_t sync_needed; /* k: standbys that each commit waits for, at least; with R = {primary} and 0 nobody
                            else may take over */
    uint32_t lease_ms;
    uint32_t heartbeat_ms;
    MemberSet discard; /* members whose WAL that nobody else has may be discarded: an operator said so */
    bool paused;
    int64_t pause_until_us; /* wall clock; 0: until resumed */
    char pause_reason[PAUSE_TEXT_LEN];
    uint8_t history_len;
    DocEpoch history[DOC_HISTORY_MAX]; /* oldest first; the last is the present epoch */
    DocMember member[MEMBER_MAX];      /* a member keeps its slot for as long as it belongs */
} Document;

/* What must survive a crash, always written together. */
typedef struct Persist {
    Uuid node_uuid;
    uint64_t term;
    Uuid voted_for;      /* zero: nobody in this term */
    uint32_t promise_ms; /* the longest lease ever promised */
    uint32_t wal_epoch;  /* the epoch that the data directory's WAL belongs to; 0: not under management yet */
    uint32_t stray_timeline; /* the server here ran as a primary on it, though it was another's or nobody's;
                                0: none */
    Position primary_at;     /* the newest that the primary was heard to have; written with what else is */
    bool rewinding; /* a rewind or clone was begun and not ended: the data directory is not a server */
    bool outside;   /* a newer document than mine does not name me: neither vote nor candidacy */
    Document doc;
} Persist;

/* So many votes are more than half of all. */
int document_majority(const Document *doc);

/* Slot of the member of that name, or MEMBER_NONE. */
MemberNo document_find(const Document *doc, const char *name);

/* -1, 0, 1 as a is older than, the same as, newer than b. */
int document_compare(DocId a, DocId b);

/* The newest row of its history, or NULL. */
const DocEpoch *document_last(const Document *doc);

/* The document's row of an epoch, or NULL if it is unknown or too long ago. */
const DocEpoch *document_epoch(const Document *doc, uint32_t epoch);

#endif
