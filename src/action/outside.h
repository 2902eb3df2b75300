/*
 * outside.h: what belongs to a data directory and lies outside of it: tablespaces, and pg_wal where it is a
 * link.
 *
 * A clone must know what it may empty there. Links of the old data directory tell, but they are gone when a
 * clone in place is broken off: so what a clone is about to fill is noted in the state directory first. All
 * calls block: workers only.
 */
#ifndef PGVIGIL_ACTION_OUTSIDE_H
#define PGVIGIL_ACTION_OUTSIDE_H

#include "action/run.h"

#include <limits.h>

#define OUTSIDE_MAX      64   /* tablespaces */
#define OUTSIDE_PATH_LEN 1024 /* PostgreSQL's own bound */

typedef struct Outside {
    char wal[PATH_MAX]; /* where pg_wal is; "": in the data directory */
    size_t count;
    char tablespace[OUTSIDE_MAX][OUTSIDE_PATH_LEN];
} Outside;

/* Adds what the directory's links say and what a broken-off clone has noted. ret starts zeroed. */
bool outside_read(const Run *run, const char *directory, Outside *ret, Err *err);

/*
 * Where pg_basebackup will put pg_wal and the source's tablespaces (locations: one in a line): as
 * clone_options say, else pg_wal where ours is, and tablespaces where the source has them. same_machine: the
 * source runs here, so its locations are its own: taken out of ours, and refused as places. ret starts
 * zeroed.
 */
bool outside_plan(const Run *run, const char *locations, bool same_machine, Outside *ours, Outside *ret,
                  Err *err);

/*
 * Whether a clone may fill the planned places: each is empty, or is ours, and a tablespace then holds nothing
 * but what that major version makes. ERR_REFUSED names the one that is not.
 */
bool outside_check(const Outside *plan, const Outside *ours, uint32_t major, Err *err);

/* Writes down, durably, that these are ours from now on; outside_forget takes that back when the links are
 * made. */
bool outside_note(const Run *run, const Outside *plan, Err *err);
bool outside_forget(const Run *run, Err *err);

/* Removes the content of our tablespaces, and of pg_wal. */
bool outside_empty(const Run *run, const Outside *ours, uint32_t major, Err *err);

#endif
