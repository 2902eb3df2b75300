/*
 * signalctl_majority.h: --usemajority: do the standbys take this server for their primary?
 *
 * The rule itself is a pure function; asking is done with one connection for each standby, kept between
 * rounds. Private to src/front.
 */
#ifndef PGVIGIL_FRONT_SIGNALCTL_MAJORITY_H
#define PGVIGIL_FRONT_SIGNALCTL_MAJORITY_H

#include "pg/conn.h"

#include <stdbool.h>

#define SIGNALCTL_NAME_LEN     64
#define SIGNALCTL_REASON_LEN   768 /* one line: whose and which, and the longest Err */
#define SIGNALCTL_STANDBYS_MAX 32  /* more are not asked, and so do not agree */

typedef enum StandbyAnswer {
    STANDBY_SILENT, /* could not be asked, or did not say */
    STANDBY_AGREES,
    STANDBY_DIFFERS /* is no standby, or follows another server */
} StandbyAnswer;

typedef enum MajorityRule {
    MAJORITY_AGREES,
    MAJORITY_EMPTY,
    MAJORITY_DIFFERS,
    MAJORITY_TOO_FEW
} MajorityRule;

/*
 * One that differs is enough to be bad; else more than half of those listed have to agree. None listed is
 * bad. listed: all of them; answers of the first count. (legacy.md's rule of pg_signalctl)
 */
MajorityRule signalctl_majority_rule(const StandbyAnswer *answers, int count, int listed);

/*
 * Whether a standby that streams from sender_host means this machine by it. standby_is_here: the standby is
 * on this machine too, so that "localhost", a loopback address and a socket mean the same to both.
 * resolved_is_here: one of the name's addresses is this machine's.
 */
bool signalctl_majority_is_here(const char *sender_host, bool standby_is_here, bool resolved_is_here);

/* The statement whose result signalctl_majority_ask takes. */
extern const char signalctl_majority_sql[];

typedef struct Majority Majority;
typedef void MajorityFn(void *arg, bool good, const char *reason);

/* target: as for the server itself, but for host; its texts have to stay. */
Majority *signalctl_majority_new(uv_loop_t *loop, const ConnTarget *target, int64_t timeout_ms,
                                 MajorityFn *on_done, void *arg);

/* Asks the standbys of that list. on_done once, never from within, unless _drop comes before. */
void signalctl_majority_ask(Majority *majority, const PGresult *list);

/* Forgets the round that is under way. */
void signalctl_majority_drop(Majority *majority);

/* The same, and the connections to the standbys are closed: the next round makes new ones. */
void signalctl_majority_close(Majority *majority);

/* NULL: nothing. */
void signalctl_majority_free(Majority *majority);

#endif
