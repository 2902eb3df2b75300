/*
 * figures.h: what is slow to find out of a big server: the size of its databases and of pg_wal; private to
 * src/agent.
 *
 * Seldom ([node] facts_interval), over a connection of its own with a statement timeout, one look at a time:
 * it is never in the way of polls. What was found stays until it is found again, with the time.
 */
#ifndef PGVIGIL_AGENT_FIGURES_H
#define PGVIGIL_AGENT_FIGURES_H

#include "base/str.h"

#include <stdint.h>

struct Agent;
typedef struct Figures Figures;

/* For data members, when agent->poll is there. */
Figures *figures_new(struct Agent *agent);

/* The configuration was read again. */
void figures_reload(Figures *figures);

/* The server has answered a poll. */
void figures_answered(Figures *figures);

/*
 * Bytes of all databases, for a choice that waits for them: found out once a minute while it is asked for,
 * whatever facts_interval is; 0 until it is known.
 */
uint64_t figures_database_bytes(Figures *figures);

/* The object "facts" of the own member, or null. */
void figures_add(const Figures *figures, Buf *out);
void figures_metrics(const Figures *figures, Buf *out);

void figures_free(Figures *figures);

#endif
