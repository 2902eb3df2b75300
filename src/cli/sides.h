/*
 * sides.h: what there is to decide between members, as /v1/cluster says; for resolve and status.
 */
#ifndef PGVIGIL_CLI_SIDES_H
#define PGVIGIL_CLI_SIDES_H

#include "cli/show.h"

#include <jansson.h>

bool sides_is_primary(const json_t *member);

/* What only that member has, as it was saved; NULL or null: nothing. And whether it waits for a decision. */
const json_t *sides_lost(const json_t *member);
bool sides_ask(const json_t *member);

/* What the primary has behind the first fork of those that wait; 0: not known. */
uint64_t sides_behind(const json_t *cluster, const json_t *member);

/* True if there is something to decide. */
bool sides_is_open(const json_t *cluster);

/* A table, one row for each side. */
void sides_render(const json_t *cluster, const ShowStyle *style, Buf *out);

#endif
