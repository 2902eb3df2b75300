/*
 * heartbeat.h: a small transaction on an idle primary, [lag] heartbeat; private to src/agent.
 *
 * Its connection is its own, so that one that hangs holds up no poll.
 */
#ifndef PGVIGIL_AGENT_HEARTBEAT_H
#define PGVIGIL_AGENT_HEARTBEAT_H

struct Agent;

typedef struct Heartbeat Heartbeat;

/* Looks at the option from now on; never NULL. */
Heartbeat *heartbeat_new(struct Agent *agent);

/* The interval may be another one. NULL: nothing. */
void heartbeat_reload(Heartbeat *heartbeat);

/* NULL: nothing. */
void heartbeat_free(Heartbeat *heartbeat);

#endif
