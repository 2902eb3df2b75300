/*
 * fork.h: where the WAL of a stopped server leaves that of the primary; for inspect.c.
 */
#ifndef PGVIGIL_ACTION_FORK_H
#define PGVIGIL_ACTION_FORK_H

#include "action/run.h"
#include "pg/timeline.h"

/*
 * Asks the primary (the request's host) for the history of its timeline, compares it with the one here, of
 * the request's timeline, up to the timeline `shared`, and goes on: with outcome.fork_known, fork,
 * fork_timeline and numbers_lie set if it could be told, and request.fork set to the fork. The primary's user
 * needs what pg_rewind's does: to read files in pg_wal (a superuser, or EXECUTE on pg_read_binary_file).
 */
void fork_ask(Run *run, RunStep *then);

#endif
