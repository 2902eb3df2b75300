/*
 * proxies.h: tells an HAProxy on this machine of a new primary at once; private to src/agent.
 *
 * It sets the health that HAProxy's checks have found, not the administrative state: the checks go on, and
 * put right whatever was wrong about it.
 */
#ifndef PGVIGIL_AGENT_PROXIES_H
#define PGVIGIL_AGENT_PROXIES_H

struct Agent;
typedef struct Proxies Proxies;

void proxies_start(struct Agent *agent);

/* Looks whether the primary is another one, and its server ready: then it is told. Cheap otherwise. */
void proxies_look(struct Agent *agent);

void proxies_done(struct Agent *agent);

#endif
