/*
 * fault.c: the table of faults, beginning one and ending it.
 */
#include "sim/fault.h"

#include "base/rng.h"

static const struct {
    const char *name, *text;
    FaultScope scope;
    int64_t longest_ms; /* 0: it has no end */
} kinds[] = {
#define FAULT_ROW(id, name, scope, longest_ms, text) {name, text, FAULT_##scope, longest_ms},
    FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

static const FaultDoes *const families[] = {fault_network_does, fault_host_does, fault_server_does,
                                            fault_operator_does};

static const FaultDoes *find(FaultId id)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        for (const FaultDoes *does = families[i]; does->begin != NULL; does++)
            if (does->id == id)
                return does;
    assert(false);
    return NULL;
}

size_t sim_fault_count(void)
{
    return FAULTS;
}

const char *sim_fault_name(size_t fault)
{
    return kinds[fault].name;
}

const char *sim_fault_text(size_t fault)
{
    return kinds[fault].text;
}

int64_t fault_draw(Sim *s, int64_t bound)
{
    return (int64_t) rng_below(&s->rng, (uint64_t) bound);
}

/* Short ones are more frequent than long ones. */
static int64_t draw_length_us(Sim *s, int64_t longest_ms)
{
    int64_t most_ms = fault_draw(s, 2) ? longest_ms : 1 + longest_ms / 8;
    return (1 + fault_draw(s, most_ms)) * US_PER_MS;
}

bool fault_begin(Sim *s, FaultId id, int no)
{
    Cluster *c = s->c;

    if (kinds[id].scope == FAULT_CLUSTER)
        no = 0;
    if (kinds[id].scope == FAULT_DATA && c->node[no].options.kind != MEMBER_DATA)
        return false;
    const FaultDoes *does = find(id);
    if (s->until_us[id][no] != 0 || !does->begin(s, no))
        return false;
    s->done[id]++;
    if (does->end == NULL)
        return true;
    s->until_us[id][no] = c->now_us + draw_length_us(s, kinds[id].longest_ms);
    if (s->next_end_us == 0 || s->until_us[id][no] < s->next_end_us)
        s->next_end_us = s->until_us[id][no];
    return true;
}

static void start_agents(Cluster *c, bool all)
{
    for (int no = 0; no < c->count; no++) {
        Node *node = &c->node[no];
        bool due = node->up_at_us != 0 && c->now_us >= node->up_at_us;
        if (!node->up && !node->frozen && (all || due))
            cluster_start_agent(c, no);
    }
}

void fault_mend(Sim *s, bool all)
{
    Cluster *c = s->c;

    if (all || (s->next_end_us != 0 && c->now_us >= s->next_end_us)) {
        s->next_end_us = 0;
        for (int id = 0; id < FAULTS; id++)
            for (int no = 0; no < c->count; no++) {
                int64_t until_us = s->until_us[id][no];
                if (until_us == 0)
                    continue;
                if (all || c->now_us >= until_us) {
                    s->until_us[id][no] = 0;
                    find((FaultId) id)->end(s, no);
                } else if (s->next_end_us == 0 || until_us < s->next_end_us) {
                    s->next_end_us = until_us;
                }
            }
    }
    start_agents(c, all);
}
