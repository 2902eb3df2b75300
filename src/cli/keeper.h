/*
 * keeper.h: asking a cluster of pg_keeper, through SQL, without an agent and without a configuration file.
 */
#ifndef PGVIGIL_CLI_KEEPER_H
#define PGVIGIL_CLI_KEEPER_H

#include "base/err.h"

#include <jansson.h>

/*
 * Asks the hosts of the connection string all at once, then every node that they name, as the same user, and
 * makes one view of it (keeper_view.h); member: by that node's own view; NULL: by the best there is. The
 * caller frees it. NULL with ERR_CONFIG (what is wrong with the string, the role or the extension, and the
 * cure) or ERR_NET.
 */
json_t *keeper_ask(const char *dsn, const char *member, Err *err);

#endif
