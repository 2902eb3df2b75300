/*
 * sim.c: one run: the cluster begins, faults befall it, they stop, and it must be whole again; and looking
 * for the fewest faults that still break something.
 */
#include "sim/sim.h"

#include "base/rng.h"
#include "sim/swarm.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN_MS  60000
#define HEAL_MS   120000
#define ELECT_MS  20000
#define SETTLE_MS 2000
/* A maximum_lag below this keeps standbys from taking over that were only a moment behind. */
#define LAG_FEW ((uint64_t) 1 << 20)

/* ---- Phases ---- */

/* A cluster that runs already is adopted, or a new one is created. */
static void begin(Cluster *c)
{
    for (int no = 0; no < c->count; no++)
        if (c->node[no].options.kind == MEMBER_DATA) {
            c->node[no].options.initdb = !c->adopts;
            break;
        }
    if (c->adopts)
        cluster_servers(c);
    if (c->adopts && c->second != 0)
        cluster_second_primary(c, 1, c->second);
    for (int no = 0; no < c->count; no++)
        cluster_start_agent(c, no);
    for (int s = 0; c->second != 0 && s < BEGIN_MS / 5000 && !cluster_heals(c, 5000); s++)
        fault_resolve(c, c->keeps_other && s == 0);
    if (!cluster_heals(c, BEGIN_MS))
        check_failed(c, INVARIANT_ELECTS, "the cluster does not begin: %s", cluster_lacks(c));
    cluster_run(c, SETTLE_MS);
}

static bool is_wanted(const SimOnly *only, uint32_t event, uint32_t *at)
{
    if (only == NULL || !only->used)
        return true;
    while (*at < only->count && only->event[*at] < event)
        ++*at;
    return *at < only->count && only->event[*at] == event;
}

static FaultId draw_kind(Sim *s)
{
    int64_t ticket = fault_draw(s, s->mix.total);

    for (int id = 0; id < FAULTS; id++) {
        ticket -= s->mix.weight[id];
        if (ticket < 0)
            return (FaultId) id;
    }
    return FAULT_HOST_KILLED;
}

/* Runs until then, ending faults in their time. */
static void run_until(Sim *s, int64_t until_us)
{
    Cluster *c = s->c;

    while (c->now_us < until_us && c->failure[0] == '\0') {
        int64_t left_ms = (until_us - c->now_us + US_PER_MS - 1) / US_PER_MS;
        cluster_run(c, left_ms < 20 ? left_ms : 20);
        fault_mend(s, false);
        observer_tell(c, true);
    }
}

/* The event's own generator: what is drawn for one does not depend on the others. */
static uint64_t rng_of(uint64_t seed, uint32_t event)
{
    uint64_t rng = seed ^ (uint64_t) (event + 1) * 0xD1B54A32D192ED03u;

    rng_next(&rng);
    return rng;
}

static void suffer(Sim *s, const SimOptions *options, SimResult *ret)
{
    Cluster *c = s->c;
    int64_t at_us = c->now_us, end_us = c->now_us + options->length_ms * US_PER_MS;
    uint32_t wanted = 0;

    for (ret->drawn = 0; ret->drawn < SIM_EVENT_MAX && c->failure[0] == '\0'; ret->drawn++) {
        s->rng = rng_of(options->seed, ret->drawn);
        at_us += 1 + fault_draw(s, 2 * s->mix.every_us);
        if (at_us >= end_us)
            break;
        if (!is_wanted(options->only, ret->drawn, &wanted))
            continue;
        run_until(s, at_us);
        FaultId id = draw_kind(s);
        if (c->failure[0] != '\0')
            break;
        cluster_trace(c, -1, "-- event %u: %s", ret->drawn, sim_fault_name(id));
        ret->events += fault_begin(s, id, (int) fault_draw(s, c->count));
    }
    run_until(s, end_us);
}

static void end_faults(Sim *s)
{
    Cluster *c = s->c;

    for (int no = 0; no < c->count; no++) {
        Node *node = &c->node[no];
        node->trap = TRAP_NONE;
        node->failing = 0;
        node->server.dies = 0;
        node->server.hung = false;
        node->server.replay_limit = 0;
    }
    fault_mend(s, true);
    c->delay_spread_us = US_PER_MS;
    cluster_trace(c, -1, "-- no more faults");
}

/* Whoever leads is told to resume; without a leader an operator has to choose one first. */
static void resume(Cluster *c, int64_t ms)
{
    fault_resume(c);
    for (int no = 0; no < c->count && ms % 5000 == 0; no++) {
        const Core *core = &c->node[no].core;
        if (!c->node[no].up || core->leader != MEMBER_NONE || !core->persist.doc.paused)
            continue;
        cluster_start_server(c, no);
        cluster_run(c, 500);
        cluster_command(c, no, COMMAND_FAILOVER, (MemberNo) no);
    }
}

/*
 * Where every standby lacks more than maximum_lag of what a lost primary reported, or too few are left of
 * those who may hold what was acknowledged, nobody takes over without an operator's order.
 */
static void order_failover(Cluster *c, int64_t ms)
{
    bool lost = !cluster_has_data(c);

    if (ms < HEAL_MS / 2 || ms % 10000 != 0 || cluster_primary(c) >= 0)
        return;
    if (!lost && c->node[0].options.maximum_lag >= LAG_FEW)
        return;
    for (int no = 0; no < c->count; no++)
        for (int to = 0; to < c->count; to++)
            if (c->node[no].up && (c->node[no].core.role == ROLE_LEADER || no == to))
                cluster_failover(c, no, (MemberNo) to, lost);
}

/* A copy was cut short, and the member has lost the state that said so: an operator sees that it does not
 * start. */
static void order_clone(Cluster *c, int64_t ms)
{
    for (int no = 0; no < c->count && ms >= HEAL_MS / 2 && ms % 10000 == 0; no++)
        if (c->node[no].up && c->node[no].server.broken && !c->node[no].disk.rewinding)
            cluster_command(c, no, COMMAND_CLONE, (MemberNo) no);
}

/* Whole, and free to act: the order to resume may still be on its way. */
static bool is_healed(const Cluster *c)
{
    return cluster_lacks(c) == NULL && !c->node[cluster_primary(c)].core.persist.doc.paused;
}

static void heal(Sim *s)
{
    Cluster *c = s->c;

    end_faults(s);
    for (int64_t ms = 0; ms < HEAL_MS && c->failure[0] == '\0'; ms += 500) {
        resume(c, ms);
        fault_fit_sync(c);
        order_failover(c, ms);
        order_clone(c, ms);
        if (ms >= HEAL_MS / 4 && ms % 5000 == 0)
            fault_resolve(c, c->keeps_other && ms % 10000 == 0);
        cluster_run(c, 500);
        fault_mend(s, false);
        observer_tell(c, false);
        if (is_healed(c)) {
            c->tally.check[INVARIANT_ELECTS]++;
            return;
        }
    }
    if (cluster_has_data(c))
        check_failed(c, INVARIANT_ELECTS, "not whole %d s after the last fault: %s", HEAL_MS / 1000,
                     cluster_lacks(c) != NULL ? cluster_lacks(c) : "it is paused");
}

static void kill_minority(Sim *s, const Document *doc)
{
    Cluster *c = s->c;
    int members = 0;

    for (int no = 0; no < c->count; no++)
        members += cluster_slot(c, doc, no) != MEMBER_NONE;
    int most = (members - 1) / 2;
    if (doc->synchronous && most > 1)
        most = 1;
    for (int i = 0; i < most; i++) {
        int no = (int) fault_draw(s, c->count);
        if (c->node[no].up && cluster_slot(c, doc, no) != MEMBER_NONE)
            cluster_kill_host(c, no);
    }
}

/* One of three is to go, and dies of it: with the other the primary has more than the lease that it had. */
static void kill_leaving(Sim *s, const Document *doc, int primary)
{
    Cluster *c = s->c;
    int no = (primary + 1 + (int) fault_draw(s, c->count - 1)) % c->count;

    if (cluster_slot(c, doc, no) == MEMBER_NONE)
        return;
    cluster_command(c, primary, COMMAND_MEMBER_REMOVE, (MemberNo) no);
    cluster_run(c, (int64_t) fault_draw(s, 300));
    cluster_kill_host(c, no);
    cluster_run(c, 2 * (int64_t) c->node[primary].options.lease_ms);
}

/* A minority dies at once, the primary perhaps among them, or of two the primary whose standby has the only
 * vote: the others must have a primary within a bound. */
static void elect(Sim *s)
{
    Cluster *c = s->c;
    int primary = cluster_primary(c);

    if (cluster_lacks(c) != NULL || c->failure[0] != '\0' || primary < 0)
        return;
    const Document doc = c->node[primary].core.persist.doc;
    bool pair = cluster_only_voter(c, primary) >= 0;
    s->rng = rng_of(c->seed, UINT32_MAX - 1);
    if (pair)
        cluster_kill_host(c, primary);
    else if (c->pairs && c->count > 2 && fault_draw(s, 2))
        kill_leaving(s, &doc, primary);
    else
        kill_minority(s, &doc);
    bool can = pair || (cluster_can_elect(c, &doc) && c->node[0].options.maximum_lag >= LAG_FEW);
    for (int64_t ms = 0; ms < ELECT_MS && c->failure[0] == '\0'; ms += 100) {
        cluster_run(c, 100);
        observer_tell(c, false);
        primary = cluster_primary(c);
        if (primary >= 0 && c->node[primary].core.doc_in_force)
            return;
    }
    if (can)
        check_failed(c, INVARIANT_ELECTS, "no primary %d s after a minority died", ELECT_MS / 1000);
}

/* ---- A run ---- */

static void sum_up(const Sim *s, SimResult *ret, SimCover *cover)
{
    const Cluster *c = s->c;

    ret->hash = c->hash;
    ret->length_ms = c->now_us / US_PER_MS;
    ret->steps = c->tally.events;
    ret->messages = c->tally.messages;
    ret->coded = c->tally.coded;
    ret->records = c->tally.records;
    ret->failovers = c->tally.failovers;
    ret->switchovers = c->tally.switchovers;
    ret->lost_bytes = c->tally.lost_bytes;
    ret->lost_rows = c->tally.lost_rows;
    ret->outages = c->tally.outages;
    memcpy(ret->outage_ms, c->tally.outage_ms, sizeof *ret->outage_ms * ret->outages);
    if (cover == NULL)
        return;
    cover->runs++;
    cover->steps += ret->steps;
    cover->messages += ret->messages;
    cover->coded += ret->coded;
    cover->records += ret->records;
    cover->torn += c->tally.torn;
    for (size_t i = 0; i < UINT8_MAX; i++)
        cover->rule[i] += c->tally.rule[i];
    for (size_t i = 0; i < FAULTS; i++)
        cover->fault[i] += s->done[i];
    for (size_t i = 0; i < INVARIANTS; i++)
        cover->check[i] += c->tally.check[i];
}

void sim_run(const SimOptions *options, SimResult *ret, SimCover *cover)
{
    static Sim s;

    memset(&s, 0, sizeof s);
    memset(ret, 0, offsetof(SimResult, outage_ms));
    s.c = swarm_cluster(options, &s.mix);
    begin(s.c);
    suffer(&s, options, ret);
    heal(&s);
    elect(&s);
    heal(&s);
    ret->failed = s.c->failure[0] != '\0';
    ret->failed_ms = ret->failed ? s.c->now_us / US_PER_MS : 0;
    memcpy(ret->failure, s.c->failure, sizeof ret->failure);
    sum_up(&s, ret, cover);
    cluster_free(s.c);
}

/* ---- Fewer ---- */

/* The same invariant counts as the same failure. */
static bool still_fails(const SimOptions *options, const SimResult *result, const SimOnly *only)
{
    static SimResult again;
    SimOptions with = *options;
    size_t name = strcspn(result->failure, ":");

    with.only = only;
    with.trace = NULL;
    sim_run(&with, &again, NULL);
    return again.failed && strncmp(again.failure, result->failure, name + 1) == 0;
}

/* Without the chunk of that length at that place. */
static void leave_out(const SimOnly *from, uint32_t at, uint32_t length, SimOnly *ret)
{
    ret->used = true;
    ret->count = 0;
    for (uint32_t i = 0; i < from->count; i++)
        if (i < at || i >= at + length)
            ret->event[ret->count++] = from->event[i];
}

/* Zeller's delta debugging, by leaving out: halves, quarters, and so on down to single events. */
void sim_minimize(const SimOptions *options, const SimResult *result, uint32_t most, SimOnly *ret_only)
{
    static SimOnly fewer;
    uint32_t tried = 0;

    ret_only->used = true;
    ret_only->count = 0;
    if (options->only != NULL && options->only->used)
        *ret_only = *options->only;
    else
        for (uint32_t i = 0; i < result->drawn + 1 && i < SIM_EVENT_MAX; i++)
            ret_only->event[ret_only->count++] = i;
    for (uint32_t length = (ret_only->count + 1) / 2; length > 0; length /= 2) {
        for (uint32_t at = 0; at < ret_only->count && tried < most;) {
            leave_out(ret_only, at, length, &fewer);
            tried++;
            if (still_fails(options, result, &fewer))
                *ret_only = fewer;
            else
                at += length;
        }
    }
}
