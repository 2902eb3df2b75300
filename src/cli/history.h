/*
 * history.h: the histories of several members as one.
 */
#ifndef PGVIGIL_CLI_HISTORY_H
#define PGVIGIL_CLI_HISTORY_H

#include <jansson.h>

/*
 * Adds the entries of one answer of /v1/history to the array merged. An entry that is there already (same
 * kind, member, epoch and LSN within a minute) is left out.
 */
void history_merge(json_t *merged, const json_t *answer);

/* Puts the array into the order of time, and keeps the newest most entries; 0: all. Returns a new array. */
json_t *history_sorted(const json_t *merged, size_t most);

#endif
