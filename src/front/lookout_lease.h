/*
 * lookout_lease.h: the lease behind the front end; private to src/front.
 *
 * With a secret and three voters an agent of pgvigil runs as a child of pglookout, under a configuration made
 * of pglookout's own. What pglookout decides is then an order to it, which needs a majority, the lease and
 * the fence. Until every voter is known to take part all is as without (docs/replaces/pglookout.md).
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_LEASE_H
#define PGVIGIL_FRONT_LOOKOUT_LEASE_H

#include "base/err.h"
#include "base/str.h"
#include "sys/loop.h"

struct Lookout;
typedef struct LookoutLease LookoutLease;

LookoutLease *lookout_lease_new(struct Lookout *lookout);

/*
 * After each change of the configuration. Whatever is in the way is logged, and the old way stays.
 * False, ERR_CONFIG, at the start only: the lease was on before and cannot be, so that nothing may run.
 */
bool lookout_lease_configure(LookoutLease *lease, Err *err);

/* After each check: the other voters are asked, the agent too, and a maintenance mode becomes its pause. */
void lookout_lease_check(LookoutLease *lease);

/*
 * The order that takes the place of failover_command, for exec; valid until the next call. NULL: there is no
 * lease, failover_command is to be run.
 */
const char *const *lookout_lease_order(LookoutLease *lease);

/* There is: whatever happens, nothing is promoted or made to follow but by the agent. */
bool lookout_lease_is_on(const LookoutLease *lease);

/* Appends the state as an object, under this key or, with NULL, alone. */
void lookout_lease_add(const LookoutLease *lease, Buf *out, const char *key);

/* Ends the agent and waits for that on the loop, for three seconds at most. Nothing is ordered any more. */
void lookout_lease_stop(LookoutLease *lease);

/* After that, and after the end of lookout's HTTP client, whose callbacks come here. */
void lookout_lease_free(LookoutLease *lease);

#endif
