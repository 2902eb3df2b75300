/*
 * decide.h: whether repmgrwatch's port is open, as a pure function; private to src/front.
 */
#ifndef PGVIGIL_FRONT_DECIDE_H
#define PGVIGIL_FRONT_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

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

/* When a mail goes out about what a check has found. Times on one clock. */
typedef struct MailRule {
    int64_t repeat_us;      /* the same trouble again */
    int64_t success_period; /* checks without trouble between two mails that say so; 0: none */
} MailRule;

typedef struct MailState { /* all zero before the first check */
    bool begun;
    Decision last;
    int64_t mailed_us; /* of the last mail about a trouble */
    char mailed_reason[DECIDE_TEXT_LEN];
    int64_t successes; /* in a row */
} MailState;

/*
 * Takes the check in; true: mail it. At once what changes, and a trouble that is another than the one before,
 * but that at most once a minute, since a reason may have something in it that is never twice the same.
 */
bool decide_mail(MailState *state, const MailRule *rule, const Decision *now, int64_t now_us);

#endif
