/*
 * netcheck.h: whether this machine itself is cut off, by [network] and [commands] network; private to
 * src/agent.
 *
 * Looked at every interval, each look with a deadline, nothing of it blocks. What is plain (a link without a
 * carrier, a command that says no) counts at once; silence counts when it comes twice in a row. Until the
 * first look has ended, and as long as something is set, it counts as cut off.
 */
#ifndef PGVIGIL_AGENT_NETCHECK_H
#define PGVIGIL_AGENT_NETCHECK_H

#include <stdbool.h>

#define NETCHECK_TEXT_LEN 256

struct Agent;
typedef struct Netcheck Netcheck;

/* For data members, when agent->actions are there; on_change: netcheck_cut_off is another one. */
Netcheck *netcheck_new(struct Agent *agent, void (*on_change)(void *arg), void *arg);

/* The configuration was read again. */
void netcheck_reload(Netcheck *check);

/* False with NULL, and while nothing is set. */
bool netcheck_is_on(const Netcheck *check);
bool netcheck_cut_off(const Netcheck *check);

/* Why it is cut off, for people; "" if it is not. */
const char *netcheck_text(const Netcheck *check);

void netcheck_free(Netcheck *check);

#endif
