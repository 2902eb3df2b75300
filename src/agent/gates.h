/*
 * gates.h: the agent's side of gates and virtual addresses: tells the porter what there shall be and how
 * things are, hears what there is; private to src/agent.
 *
 * No gate and no address in the configuration: no porter.
 */
#ifndef PGVIGIL_AGENT_GATES_H
#define PGVIGIL_AGENT_GATES_H

#include "agent/alarms.h"
#include "base/str.h"

struct Agent;
typedef struct Gates Gates;

/*
 * Takes the ambient capabilities from this thread, and so from every thread and child that it makes: only the
 * porter gets them back. Before the first thread is made.
 */
void gates_keep_capabilities(void);

/* Starts the porter if there is something to hold; one that cannot be started is tried again. Never fails. */
void gates_start(struct Agent *agent);

/* The configuration is another one. */
void gates_reload(struct Agent *agent);

/* Tells the porter how things are. */
void gates_publish(struct Agent *agent);

/* The fence file is another one: a porter that reads the old one is no good. */
void gates_renew(struct Agent *agent);

/* What the porter reported last; NULL: nothing, or there is none. */
const struct PorterReport *gates_report(const struct Agent *agent);

/* gates_told.c: members "gates" and "virtual_addresses" of /v1/cluster; lines of /metrics; alarms. */
void gates_add(const struct Agent *agent, Buf *out);
void gates_metrics(const struct Agent *agent, Buf *out);
void gates_alarm(const struct Agent *agent, Alarms *alarms);

/* The porter goes on until there is nothing left to close. */
void gates_done(struct Agent *agent);

#endif
