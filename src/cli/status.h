/*
 * status.h: the answer of /v1/cluster as a table, and whether it means that all is well.
 */
#ifndef PGVIGIL_CLI_STATUS_H
#define PGVIGIL_CLI_STATUS_H

#include "cli/show.h"

#include <jansson.h>

/* A majority, a primary with a lease, every member reachable, every standby streaming, no alarm. */
bool status_is_healthy(const json_t *cluster);

/* Whether the member that answered is the leader, and so knows the lease. */
bool status_knows_lease(const json_t *cluster);

/*
 * The member that is primary now: one is named, a majority is there, and as far as the member that answered
 * can tell the lease holds. NULL if there is none, whatever the document names; points into cluster.
 */
const char *status_primary(const json_t *cluster);

#define STATUS_REASON_LEN 160

/* Why there is no primary now, without a full stop; ret_text has room for STATUS_REASON_LEN. */
void status_no_primary(const json_t *cluster, char *ret_text);

/*
 * Appends how many votes of how many are there, how many are needed, and who does not answer, as the member
 * that was asked sees it: "1 of 3 votes is there, 2 are needed; pg2, pg3 do not answer". True if there are
 * enough.
 */
bool status_votes(const json_t *cluster, Buf *ret_text);

/* The cluster line, the table of members, pause, operation and alarms. */
void status_render(const json_t *cluster, const ShowStyle *style, Buf *out);

#endif
