/*
 * decide.h: whether repmgrwatch's port is open, as a pure function; private to src/front.
 */
#ifndef PGVIGIL_FRONT_DECIDE_H
#define PGVIGIL_FRONT_DECIDE_H

#include <stdbool.h>

#define DECIDE_PGPOOLS_MAX 2
#define DECIDE_TEXT_LEN    512

typedef enum PgpoolState {
    PGPOOL_CLOSED, /* refused, or nobody answered */
    PGPOOL_OPEN,
    PGPOOL_UNKNOWN, /* could not be asked: its name has no address */
} PgpoolState;

typedef struct DecideFacts {
    const char *problem; /* repmgr could not be asked or understood: why; else NULL */
    int primaries;       /* that run now */
    const char *names;   /* of them, for people */
    bool is_self;        /* the one primary is this host; with one primary only */
    int pgpools;         /* 0, 1 or 2 */
    PgpoolState pgpool[DECIDE_PGPOOLS_MAX];
    bool force_open;
} DecideFacts;

typedef struct Decision {
    bool open;
    bool trouble;                 /* somebody has to look: a mail */
    char reason[DECIDE_TEXT_LEN]; /* in words */
} Decision;

void decide_open(const DecideFacts *facts, Decision *ret_decision);

#endif
