/*
 * swarm.h: a run's cluster and mix of faults, drawn by its seed; private to src/sim.
 */
#ifndef PGVIGIL_SIM_SWARM_H
#define PGVIGIL_SIM_SWARM_H

#include "sim/fault.h"

/* Empty and down; cluster_free it. */
Cluster *swarm_cluster(const SimOptions *options, Mix *ret_mix);

/* How many standbys may be waited for, whoever is the primary. */
int swarm_standbys(const Cluster *c);

/* ---- observer.c ---- */
/* Whether there is one, by the seed. */
void observer_draw(Cluster *c);
/* It tells every agent what it sees, once a second; may_mistake: at times the contrary. */
void observer_tell(Cluster *c, bool may_mistake);

#endif
