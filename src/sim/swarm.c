/*
 * swarm.c: what a run is like, drawn by its seed: who takes part, how fast everything is, which faults there
 * are and how often.
 *
 * Each run leaves out about half of the kinds of faults, so that those that would drown the others are absent
 * in some (Groce et al., "Swarm testing", ISSTA 2012).
 */
#include "sim/swarm.h"

#include "base/rng.h"

#include <string.h>

static uint64_t below(uint64_t *rng, uint64_t bound)
{
    return rng_below(rng, bound);
}

static void draw_mix(Mix *mix, uint64_t *rng)
{
    static const int32_t gaps_ms[] = {300, 800, 2000, 5000, 12000, 30000};

    mix->every_us = gaps_ms[below(rng, sizeof gaps_ms / sizeof gaps_ms[0])] * US_PER_MS;
    mix->total = 0;
    for (int id = 0; id < FAULTS; id++) {
        mix->weight[id] = below(rng, 2) ? (uint32_t) (1 + below(rng, 6)) : 0;
        mix->total += mix->weight[id];
    }
    if (mix->total == 0)
        mix->total = mix->weight[FAULT_HOST_KILLED] = 1;
}

/* The same for all members. */
static void draw_lease(CoreOptions *options, uint64_t *rng)
{
    static const struct {
        uint32_t lease_ms, heartbeat_ms;
    } leases[] = {{1000, 200}, {1000, 200}, {1000, 200}, {600, 100}, {2000, 500}, {3000, 1000}};
    size_t i = below(rng, sizeof leases / sizeof leases[0]);

    options->lease_ms = leases[i].lease_ms;
    options->heartbeat_ms = leases[i].heartbeat_ms;
}

static void draw_options(Cluster *c, uint64_t *rng)
{
    CoreOptions shared = c->node[0].options;
    bool restart = below(rng, 4) == 0;

    draw_lease(&shared, rng);
    shared.sync_timeout_ms = 5000;
    if (below(rng, 2)) {
        shared.sync_mode = below(rng, 3) ? SYNC_ON : SYNC_STRICT;
        shared.sync_timeout_ms = (uint32_t) (3000 + below(rng, 10000));
    }
    shared.sync_k = (uint8_t) (1 + (below(rng, 3) == 0));
    shared.maximum_lag = below(rng, 4) ? 16 << 20 : below(rng, 2) * 2000;
    for (int no = 0; no < c->count; no++) {
        CoreOptions *options = &c->node[no].options;
        options->lease_ms = shared.lease_ms;
        options->heartbeat_ms = shared.heartbeat_ms;
        options->maximum_lag = shared.maximum_lag;
        options->sync_mode = shared.sync_mode;
        options->sync_timeout_ms = shared.sync_timeout_ms;
        options->sync_k = shared.sync_k;
        options->restart_on_crash = restart;
        options->rejoin_rewind = below(rng, 6) != 0;
        options->no_failover = no > 1 && no < c->count - 1 && below(rng, 12) == 0;
    }
}

static void draw_hosts(Cluster *c, uint64_t *rng)
{
    int64_t drift = below(rng, 4) ? 950 : 0;
    bool fenced = below(rng, 2) == 0;

    for (int no = 0; no < c->count; no++) {
        c->node[no].drift_ppm = (int32_t) below(rng, (uint64_t) (2 * drift + 1)) - (int32_t) drift;
        c->node[no].server.no_rewind = below(rng, 5) == 0;
        c->node[no].server.fenced = fenced;
    }
    c->delay_us = (int64_t) (100 + below(rng, below(rng, 4) ? 900 : 20000));
    c->action_spread = (uint32_t) below(rng, 300);
    c->wal_us = (int64_t) (1 + below(rng, 5)) * 10 * US_PER_MS;
    c->poll_us = (int64_t) (1 + below(rng, 3)) * 200 * US_PER_MS;
    c->rough = true;
}

/* By the leader's document, or by the files before there is one. */
int swarm_standbys(const Cluster *c)
{
    const Document *doc = NULL;
    int may = 0, others = 0;

    for (int no = 0; no < c->count; no++)
        if (c->node[no].up && (doc == NULL || document_compare(c->node[no].core.persist.doc.id, doc->id) > 0))
            doc = &c->node[no].core.persist.doc;
    for (int no = 0; no < c->count; no++) {
        const CoreOptions *options = &c->node[no].options;
        if (options->kind != MEMBER_DATA || (doc != NULL && cluster_slot(c, doc, no) == MEMBER_NONE))
            continue;
        may += !options->no_failover;
        others += options->no_failover;
    }
    return may > 0 ? may - 1 : others;
}

/* Two data members of which the standby votes, or three, of which one may go. Not of the other draws, so that
 * these are for each seed what they were. */
static bool draw_pair(uint64_t seed, int *ret_data)
{
    uint64_t rng = seed ^ 0x70616983u;

    rng_next(&rng);
    *ret_data = below(&rng, 3) ? 2 : 3;
    return below(&rng, 8) == 0;
}

/* The configuration's own, and faults only: no orders that nobody there may think of. */
static void take_members(Cluster *c, Mix *mix, const SimMembers *members)
{
    static const FaultId orders[] = {FAULT_FAILOVER,    FAULT_PAUSE,      FAULT_OPTIONS,      FAULT_RESOLVE,
                                     FAULT_SYNC_CHANGE, FAULT_MEMBER_ADD, FAULT_MEMBER_REMOVE};

    cluster_members(c, members->member, members->count);
    c->poll_us = (int64_t) members->poll_ms * US_PER_MS;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        mix->total -= mix->weight[orders[i]];
        mix->weight[orders[i]] = 0;
    }
    if (mix->total == 0)
        mix->total = mix->weight[FAULT_HOST_KILLED] = 1;
}

/* Two primaries at the beginning, and whether an operator is asked. */
static void draw_resolve(Cluster *c, uint64_t *rng)
{
    bool ask = below(rng, 3) == 0;
    bool second = c->adopts && below(rng, 3) == 0;

    c->second = second ? (uint32_t) (1 + below(rng, 3)) : 0;
    c->keeps_other = below(rng, 2) == 0;
    for (int no = 0; no < c->count; no++) {
        c->node[no].options.resolve_ask = ask;
        c->node[no].options.resolve_after_ms = 2000;
        c->node[no].server.size = below(rng, 3) * 1000;
    }
}

Cluster *swarm_cluster(const SimOptions *options, Mix *ret_mix)
{
    static const struct {
        int data;
        bool witness;
    } shapes[] = {{3, false}, {3, false}, {2, true}, {2, true},
                  {4, false}, {5, false}, {3, true}, {7, false}};
    uint64_t rng = options->seed * 0x9E3779B97F4A7C15u + 1;
    const SimMembers *members = options->members;
    size_t shape = below(&rng, sizeof shapes / sizeof shapes[0]);
    int data;
    bool pairs = draw_pair(options->seed, &data) && members == NULL;
    Cluster *c = cluster_new("simulate", pairs ? data : shapes[shape].data, !pairs && shapes[shape].witness,
                             options->seed, NULL);

    c->pairs = pairs;
    for (int no = 0; no < c->count; no++)
        c->node[no].options.standby_votes = pairs;
    draw_mix(ret_mix, &rng);
    draw_options(c, &rng);
    draw_hosts(c, &rng);
    fault_fit_sync(c);
    if (members != NULL)
        take_members(c, ret_mix, members);
    if (options->every_ms != 0)
        ret_mix->every_us = options->every_ms * US_PER_MS;
    c->contained = true;
    c->trace = options->trace;
    c->codec_rng = rng_next(&rng);
    c->codec_every = options->code_all ? 1 : 256;
    c->adopts = below(&rng, 3) != 0;
    if (members == NULL) {
        draw_resolve(c, &rng);
        observer_draw(c);
    }
    return c;
}
