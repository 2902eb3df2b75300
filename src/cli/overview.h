/*
 * overview.h: one line for each cluster, as an observer sees them.
 */
#ifndef PGVIGIL_CLI_OVERVIEW_H
#define PGVIGIL_CLI_OVERVIEW_H

#include "cli/show.h"
#include "config/config.h"

#include <jansson.h>

/* GET /v1/clusters of the observer that this file is of. NULL with ERR_NET or ERR_PROTOCOL. */
json_t *overview_ask(const Config *config, Err *err);

/* Has that observer, on this machine, read its files again: {"applied", "needs_restart"}. NULL with
 * ERR_CONFIG for what is wrong with them, ERR_NET or ERR_PROTOCOL. */
json_t *overview_reload(const Config *config, Err *err);

/* Every cluster has exactly one primary, which is seen, and no alarm. */
bool overview_is_healthy(const json_t *clusters);

void overview_render(const json_t *clusters, const ShowStyle *style, Buf *out);

#endif
