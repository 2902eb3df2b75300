/*
 * timeline.h: history files of timelines in pg_wal, and claims on timeline numbers.
 *
 * All but timeline_parse block on the disk (workers only). A history file has one line for each ancestor,
 * oldest first: "parent TAB LSN TAB reason" (PostgreSQL's timeline.c).
 */
#ifndef PGVIGIL_PG_TIMELINE_H
#define PGVIGIL_PG_TIMELINE_H

#include "base/err.h"
#include "base/types.h"

#define TIMELINE_MAX 64 /* entries of one file that are kept: the newest */

typedef struct TimelineEntry {
    uint32_t timeline;
    Lsn end; /* where its successor left it */
} TimelineEntry;

/* Parses a file's text, oldest first. -1 if it is malformed; if there are more than max, the newest are kept.
 */
int timeline_parse(const char *text, TimelineEntry *ret_entries, int max);

/* Reads pg_wal/N.history. *ret_count is -1 if the file is not there, 0 for timeline 1. */
bool timeline_read(const char *data_directory, uint32_t timeline, TimelineEntry *ret_entries, int max,
                   int *ret_count, Err *err);

/*
 * The last entry that two histories have in common, each oldest first and with its own timeline as the last
 * entry (end UINT64_MAX): the same number and the same beginning, and no number above `newest`. -1: none.
 * Both go on from there; the earlier of the two ends is where they part (pg_rewind's
 * findCommonAncestorTimeline).
 */
int timeline_common(const TimelineEntry *a, int a_count, const TimelineEntry *b, int b_count,
                    uint32_t newest);

/* Where the timeline left its parent; LSN_NONE for timeline 1 or without a history file. */
bool timeline_start(const char *data_directory, uint32_t timeline, Lsn *ret_start, Err *err);

/*
 * Puts a history file of our own into pg_wal, so that a promotion passes over that number. It names parent at
 * an LSN before all WAL, so that no recovery ever takes it for a timeline to follow. A file that is there
 * already is left alone (*ret_made = false).
 *
 * It must stay once a later timeline exists: a follower asks its primary for the history file of every number
 * from its own timeline on, and gives up at the first that is missing.
 */
bool timeline_claim(const char *data_directory, uint32_t timeline, uint32_t parent, bool *ret_made, Err *err);

/*
 * Makes the missing ones among the history files of 2 to timeline - 1, for the same reason: of ancestors from
 * timeline's own history (a clone has none of them), of other numbers as claims.
 */
bool timeline_fill(const char *data_directory, uint32_t timeline, Err *err);

/*
 * Removes segments and history files of timelines above `newest`: what pg_rewind leaves of a server's own WAL
 * when the source's timeline has the lower number. Only behind a rewind that succeeded.
 */
bool timeline_trim_later(const char *data_directory, uint32_t segment_size, uint32_t newest, Err *err);

/*
 * Removes claims that are newer than every true history file and segment: a promotion that did not come
 * about, or a follower cut off while it fetched them. A server that starts with such a one refuses to.
 */
bool timeline_trim_claims(const char *data_directory, uint32_t segment_size, Err *err);

#endif
