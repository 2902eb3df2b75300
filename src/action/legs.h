/*
 * legs.h: WAL behind a fork, one leg for each timeline that it runs along.
 *
 * A server that was promoted twice since it left the cluster's history has its own WAL in the files of two
 * timelines, and pg_waldump reads one at a time.
 */
#ifndef PGVIGIL_ACTION_LEGS_H
#define PGVIGIL_ACTION_LEGS_H

#include "action/run.h"

#define LEGS_MAX 8 /* more promotions than that are reported from the last eight on */

typedef struct Leg {
    uint32_t timeline;
    Lsn from, to; /* to: UINT64_MAX is the end of WAL */
} Leg;

/*
 * From the fork to the end, along the history of that timeline, oldest first; at least one. *ret_whole is
 * false if the history does not reach back to the fork. Blocks on the disk (workers only).
 */
bool legs_find(const char *data_directory, uint32_t timeline, Lsn fork, Leg *ret_legs, int *ret_count,
               bool *ret_whole, Err *err);

#endif
