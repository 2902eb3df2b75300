/*
 * syncset.h: whom commits wait for, and what that has to do with who may take over; part of core.h.
 *
 * What is acknowledged is on the primary and on kp members of N (synchronous_standby_names = ANY kp (N)). Who
 * takes over without the primary P has compared q = |R| - k positions out of the document's R. Nothing
 * acknowledged is lost as long as these two always meet (the invariant Overlap).
 */
#ifndef PGVIGIL_CORE_SYNCSET_H
#define PGVIGIL_CORE_SYNCSET_H

#include "core/document.h"

/* [cluster] synchronous */
typedef enum SyncMode {
    SYNC_OFF = 0, /* a failover may lose what was acknowledged */
    SYNC_ON,      /* commits wait for standbys as long as there are any */
    SYNC_STRICT,  /* commits wait for standbys, also where there are none */
} SyncMode;

typedef enum NamesKind {
    NAMES_UNKNOWN = 0, /* not seen; in an action: what pgvigil set is taken away, or left as it is */
    NAMES_NONE,        /* '', set by pgvigil: a commit waits for nobody */
    NAMES_OURS,        /* ANY needed (set), each by its application_name of that epoch */
    NAMES_FOREIGN,     /* anything else, PostgreSQL's own default too: it could be anybody */
} NamesKind;

/* What synchronous_standby_names says. */
typedef struct Names {
    NamesKind kind;
    MemberSet set;       /* OURS: N; empty: a placeholder that nobody bears, so that commits wait for ever */
    uint8_t needed;      /* OURS: kp, at least 1 */
    uint32_t epoch;      /* OURS */
    uint32_t generation; /* rises whenever pgvigil sets others or takes them away; 0: it never did */
} Names;

int syncset_count(MemberSet set);

/* q: how many positions out of R somebody has to compare who takes over without the primary; 0: asynchronous.
 */
int syncset_quorum(const Document *doc);

/* True if nobody may take over without the primary: there are not so many positions without it. */
bool syncset_alone(const Document *doc);

/*
 * Overlap: whoever takes over by this document meets at least one member that has what was acknowledged under
 * these names. True of an asynchronous document, which promises nothing.
 */
bool syncset_covers(const Document *doc, const Names *names);

/* The same setting, whatever its generation. */
bool syncset_names_equal(const Names *a, const Names *b);

/* Room for any of them: nine members of the longest name. */
#define SYNCSET_TEXT_LEN 512

/* The setting's text; "" if the names are not ours. The document has the members' names. */
void syncset_names_write(const Names *names, const Document *doc, char *ret_text, size_t size);

/* OURS if syncset_names_write makes just this of them, else FOREIGN. The generation is 0. */
Names syncset_names_read(const char *text, const Document *doc);

/*
 * How many standbys a commit waits for by this value of synchronous_standby_names, whatever their names: 1 to
 * MEMBER_MAX - 1, as near as that comes. NUM (...), ANY NUM (...) and FIRST NUM (...) as PostgreSQL's
 * syncrep_gram.y has them; 1 for a list without a number, and for anything else, which PostgreSQL does not
 * take.
 */
uint8_t syncset_needed_in(const char *text);

/* What the leader goes by, of the server as it is and of what was asked for. */
typedef struct SyncView {
    SyncMode mode;
    uint8_t k;      /* wanted */
    MemberSet good; /* standbys that can be waited for now */
    MemberSet lost; /* whoever bears the name now has nothing of what it confirmed, or is to leave */
    Names names;    /* as the server has them */
    bool effective; /* in every process */
    int confirmed; /* the barrier: so many of N have all that was flushed when the names became effective; -1:
                      where that was is not known yet */
} SyncView;

typedef enum SyncStepKind {
    SYNC_STEADY = 0, /* as it should be */
    SYNC_WAITS,      /* for the names to become effective, or for the barrier */
    SYNC_SET_NAMES,  /* names are to be set */
    SYNC_PROPOSE,    /* synchronous, set and needed go into the document */
} SyncStepKind;

typedef struct SyncStep {
    SyncStepKind kind;
    Names names; /* SET_NAMES: without a generation; else what they should be */
    bool synchronous;
    MemberSet set;
    uint8_t needed;
} SyncStep;

/*
 * The next step towards what was asked for. The document is in force, and no other change of it is under way;
 * without a memory of former steps, so that it goes on after a restart. Each step keeps Overlap for the
 * document before and after, and for any names that some process may still have.
 */
SyncStep syncset_next(const Document *doc, const SyncView *view);

/* What a server that takes over by this document must have been told before it can write. */
Names syncset_takeover_names(const Document *doc, SyncMode mode, uint8_t k);

#endif
