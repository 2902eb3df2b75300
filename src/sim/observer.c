/*
 * observer.c: an observer that tells every agent what it sees, and is wrong for ten seconds at a time.
 *
 * In some runs, with [cluster] observers_agree: an opinion may put a failover off for its bound, and must
 * break nothing. Chance of its own, so that the other runs stay what they are.
 */
#include "base/rng.h"
#include "sim/swarm.h"

#define EVERY_US    US_PER_SEC
#define COUNTS_US   (3 * US_PER_SEC)
#define MISTAKEN_US (10 * US_PER_SEC)
#define IN_RUNS     6

static uint64_t chance(const Cluster *c, uint64_t what)
{
    uint64_t rng = c->seed ^ (what + 1) * 0x9FB21C651E98DF25u;

    return rng_next(&rng);
}

static bool sees(const Cluster *c, int no, bool mistaken)
{
    const Node *node = &c->node[no];

    return (node->server.state == PG_PRIMARY && !node->frozen) != mistaken;
}

void observer_draw(Cluster *c)
{
    c->observed = chance(c, 0) % IN_RUNS == 0;
    for (int no = 0; no < c->count; no++)
        c->node[no].options.observers_agree = c->observed;
}

void observer_tell(Cluster *c, bool may_mistake)
{
    uint64_t window = (uint64_t) (c->now_us / MISTAKEN_US);
    bool mistaken = may_mistake && chance(c, window + 1) % 4 == 0;

    if (!c->observed || c->now_us < c->observer_at_us)
        return;
    c->observer_at_us = c->now_us + EVERY_US;
    for (int no = 0; no < c->count; no++) {
        const Document *doc = &c->node[no].core.persist.doc;
        int primary = c->node[no].up ? cluster_node(c, doc, doc->primary) : -1;
        if (primary >= 0)
            cluster_opinion(c, no, sees(c, primary, mistaken) ? doc->primary : MEMBER_NONE, COUNTS_US);
    }
}
