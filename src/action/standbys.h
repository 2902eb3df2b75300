/*
 * standbys.h: telling a server whom its commits wait for.
 */
#ifndef PGVIGIL_ACTION_STANDBYS_H
#define PGVIGIL_ACTION_STANDBYS_H

#include "action/run.h"

/*
 * Writes the names as requested, reloads, and goes on when a new connection (run->conn, still open) shows
 * them: no process begins with older ones any more. Ends the run as failed if the server does not take them.
 */
void standbys_tell(Run *run, RunStep *then);

/* Commits of this server are known to wait for standbys, or would, if it were a primary. */
bool standbys_are_waited_for(const Run *run);

/* Every process of the server has the names as requested. */
void standbys_note(Run *run);

#endif
