/*
 * inspect.h: finding out where a stopped server's WAL ends; for inspect.c and save.c.
 */
#ifndef PGVIGIL_ACTION_INSPECT_H
#define PGVIGIL_ACTION_INSPECT_H

#include "action/legs.h"
#include "action/lost.h"
#include "action/relations.h"
#include "action/run.h"
#include "pg/timeline.h"
#include "pg/wal.h"

/* What was found, in run->data. */
typedef struct InspectData {
    WalRange range; /* on the request's timeline */
    bool has_fork;  /* the segment that holds the fork is there */
    Lsn end;        /* of the last valid record on the request's timeline; LSN_NONE: it has no segment */
    bool past_fork; /* a valid record starts at or behind the fork */

    /* fork.c: the primary's timelines, its present one last */
    TimelineEntry theirs[TIMELINE_MAX];
    int theirs_count;
    RunStep *then_fork;

    /* while a program's output is read */
    Lsn record; /* start of the last record seen */
    uint32_t record_len;
    bool record_switches; /* it fills up its segment */
    uint64_t segment;     /* where the search for the end is */
    RunStep *then;

    /* save.c */
    char directory[DATADIR_PATH_LEN + 64], unfinished[DATADIR_PATH_LEN + 96];
    Leg leg[LEGS_MAX]; /* of the WAL behind the fork */
    int legs, at;      /* at: the one that is being read */
    bool complete;     /* every segment from the fork on is there */
    RelationsData relations;
    LostReport *report; /* freed at the end of the action */
    bool uncounted;     /* not every record could be read */
    bool saved_before;  /* directory has the very same WAL */
    uint32_t copied;
} InspectData;

/*
 * Reads control file and WAL into run->control and run->data, then goes on; ends the run by itself if it
 * cannot. Needs a stopped server.
 */
void inspect_wal(Run *run, RunStep *then);

/*
 * Whether pg_waldump, the program that ended last, ran to its end. That is usually exit status 1, behind the
 * last valid record: one that cannot be run, or was ended, must not look like WAL that ends there.
 */
bool inspect_ran(const Run *run);

#endif
