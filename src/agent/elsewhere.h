/*
 * elsewhere.h: a server whose processes cannot be seen, as [commands] status knows it; private to src/agent.
 *
 * Asked only while no postmaster is seen. Unless the command says that nothing runs, the server counts as not
 * ended: nothing is started, rewound or cloned, and nobody takes this member's word that it is down. Such a
 * server is not led: what cannot be seen cannot be ended in time.
 */
#ifndef PGVIGIL_AGENT_ELSEWHERE_H
#define PGVIGIL_AGENT_ELSEWHERE_H

#include "pg/status.h"

struct Agent;
typedef struct Elsewhere Elsewhere;

/* For data members, when poll and actions are there. */
Elsewhere *elsewhere_new(struct Agent *agent);

/* With each status; asks the command when its answer is wanted. */
void elsewhere_on_status(Elsewhere *elsewhere, const PgStatus *status);

/* The configuration was read again. */
void elsewhere_reload(Elsewhere *elsewhere);

/* Why the server counts as not ended; "" if that is not for this reason. */
const char *elsewhere_text(const Elsewhere *elsewhere);

void elsewhere_free(Elsewhere *elsewhere);

#endif
