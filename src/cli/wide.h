/*
 * wide.h: what only each member itself knows of its server, for status --wide.
 */
#ifndef PGVIGIL_CLI_WIDE_H
#define PGVIGIL_CLI_WIDE_H

#include "cli/client.h"
#include "cli/show.h"

/*
 * Asks every data member that client->cluster has, and appends a table with a row for each: sizes, slots, the
 * network, when its server answered last; and whom it follows. Who does not answer has dashes.
 */
void wide_render(const Client *client, const ShowStyle *style, Buf *out);

#endif
