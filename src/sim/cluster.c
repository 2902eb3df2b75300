/*
 * cluster.c: the nodes' clocks and agents, what befalls them, and what happens when its time has come.
 *
 * Events of an agent's process that has ended are dropped by the process's number, as the kernel would.
 */
#include "sim/cluster.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_US (2 * US_PER_MS)

/* ---- Nodes ---- */

/* Each host's clocks run at a speed of their own, began at another time, and may have stood still for a
 * while. */
Clock cluster_clock(const Cluster *c, int no)
{
    const Node *node = &c->node[no];
    int64_t own = c->now_us + c->now_us * node->drift_ppm / 1000000 + (no + 1) * 1000 * US_PER_SEC;

    return (Clock){
        .raw_us = own - node->born_us - node->raw_behind_us,
        .boot_us = own - node->born_us - node->boot_behind_us,
        .wall_us = own + node->wall_ahead_us + 1700000000 * US_PER_SEC,
    };
}

bool cluster_linked(const Cluster *c, int a, int b)
{
    return !c->cut[a][b] && !c->cut[b][a] && !c->cut_replication[a][b] && !c->cut_replication[b][a];
}

bool cluster_fence_open(const Cluster *c, int no)
{
    Clock now = cluster_clock(c, no);
    return now.raw_us < c->node[no].fence.raw_us && now.boot_us < c->node[no].fence.boot_us;
}

/* As the agent tells its guard. */
static void guard(Node *node)
{
    const Core *core = &node->core;

    if (core->options.kind == MEMBER_DATA && core->pg.state != PG_UNKNOWN)
        node->guarded = core_needs_guard(core, node->guarded);
}

static void after_step(Cluster *c, int no)
{
    Node *node = &c->node[no];
    const Core *core = &node->core;

    guard(node);
    model_guard(c, no);
    check_step(c, no);
    if (!node->up)
        return;
    int64_t due = c->now_us + core_wake_us(core);
    if (node->tick_at == 0 || node->tick_at <= c->now_us || due < node->tick_at) {
        node->tick_at = due;
        cluster_at(c, due, ITEM_TICK, no);
    }
}

static void step(Cluster *c, int no, Event *event)
{
    static Effects effects;
    Node *node = &c->node[no];

    if (!node->up)
        return;
    event->now = cluster_clock(c, no);
    core_step(&node->core, event, &effects);
    c->tally.rule[node->core.rule]++;
    io_run(c, no, &effects);
    after_step(c, no);
}

void cluster_start_agent(Cluster *c, int no)
{
    Node *node = &c->node[no];
    Clock now = cluster_clock(c, no);

    cluster_trace(c, no, "-- agent starts");
    if (!io_load(c, no, &node->disk)) {
        node->disk = (Persist){.doc.primary = MEMBER_NONE};
        for (size_t i = 0; i < sizeof node->disk.node_uuid.byte; i++)
            node->disk.node_uuid.byte[i] = (uint8_t) rng_next(&c->rng);
    }
    node->up = true;
    node->up_at_us = 0;
    node->started_us = c->now_us;
    node->process++;
    node->busy = node->again = node->acting = false;
    node->held_len = 0;
    node->persisted_seq = node->writing_seq = 0;
    node->tick_at = 0;
    core_init(&node->core, &node->options, &node->disk, rng_next(&c->rng), rng_next(&c->rng), &now,
              &node->fence);
    c->seen.led[no] = false;
    if (node->options.kind == MEMBER_DATA)
        cluster_at(c, c->now_us, ITEM_POLL, no);
    step(c, no, &(Event){.kind = EVENT_TICK});
}

void cluster_kill_agent(Cluster *c, int no)
{
    Node *node = &c->node[no];

    cluster_trace(c, no, "-- agent dies");
    if (node->acting)
        model_cancel(c, no);
    io_interrupt(c, no, false);
    node->up = node->agent_frozen = false;
    node->trap = TRAP_NONE;
    node->process++;
}

void cluster_crash_server(Cluster *c, int no, int64_t orphans_ms)
{
    Server *server = &c->node[no].server;

    if (server->state != PG_PRIMARY && server->state != PG_STANDBY && server->state != PG_STARTING)
        return;
    cluster_trace(c, no, "-- postmaster dies");
    server->orphans_until = server->state == PG_PRIMARY ? c->now_us + orphans_ms * US_PER_MS : 0;
    server->state = PG_CRASHED;
    server->streaming = server->hung = false;
    cluster_at(c, c->now_us + US_PER_MS, ITEM_LOOK, no);
}

void cluster_start_server(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    if (server->branch < 0 || server->broken || (server->state != PG_STOPPED && server->state != PG_CRASHED))
        return;
    cluster_trace(c, no, "-- server started by hand, as a standby");
    server->state = PG_STANDBY;
}

void cluster_kill_host(Cluster *c, int no)
{
    cluster_kill_agent(c, no);
    cluster_crash_server(c, no, 0);
    c->node[no].server.orphans_until = 0;
    c->node[no].server.leftover = false;
}

/* Power is lost: what the disk was writing may be torn, what was only in memory is gone. */
void cluster_reboot(Cluster *c, int no)
{
    Node *node = &c->node[no];

    cluster_trace(c, no, "-- host reboots");
    io_interrupt(c, no, true);
    cluster_kill_host(c, no);
    node->fence = (Clock){0};
    node->guarded = false;
    node->guard_done_us = -1;
    node->born_us = node->raw_behind_us = node->boot_behind_us = 0;
    node->born_us = cluster_clock(c, no).boot_us - (int64_t) rng_below(&c->rng, (uint64_t) (60 * US_PER_SEC));
}

/* What the host's clocks have not counted when it goes on. */
static void resume_clocks(Cluster *c, Node *node)
{
    int64_t away_us = c->now_us - node->frozen_at_us;

    if (node->pause != PAUSE_CLOCKS_RUN)
        node->raw_behind_us += away_us;
    if (node->pause == PAUSE_CLOCKS_STOP) {
        node->boot_behind_us += away_us;
        /* Until the agent has seen the wall clock nothing tells it (protocol.md, "Leases and clocks"). */
        node->excused_us = c->now_us + (int64_t) node->core.persist.promise_ms * US_PER_MS;
    }
    node->pause = PAUSE_CLOCKS_RUN;
}

void cluster_freeze(Cluster *c, int no, bool frozen)
{
    Node *node = &c->node[no];

    cluster_trace(c, no, frozen ? "-- host freezes" : "-- host goes on");
    if (frozen)
        node->frozen_at_us = c->now_us;
    else
        resume_clocks(c, node);
    node->frozen = frozen;
    if (!frozen)
        model_guard(c, no);
}

void cluster_pause_host(Cluster *c, int no, Pause pause)
{
    c->node[no].pause = pause;
    cluster_freeze(c, no, true);
}

void cluster_freeze_agent(Cluster *c, int no, bool frozen)
{
    cluster_trace(c, no, frozen ? "-- agent freezes" : "-- agent goes on");
    c->node[no].agent_frozen = frozen;
}

void cluster_options(Cluster *c, int no, const CoreOptions *options)
{
    cluster_trace(c, no, "-- other options");
    c->node[no].options = *options;
    step(c, no, &(Event){.kind = EVENT_OPTIONS, .options = options});
}

void cluster_cut(Cluster *c, int no, bool cut)
{
    cluster_trace(c, no, cut ? "-- cut off" : "-- connected again");
    for (int i = 0; i < c->count; i++)
        c->cut[no][i] = c->cut[i][no] = cut && i != no;
}

void cluster_cut_link(Cluster *c, int from, int to, bool cut)
{
    cluster_trace(c, from, "-- link to %s %s", c->node[to].options.name, cut ? "cut" : "works again");
    c->cut[from][to] = cut;
}

void cluster_disk(Cluster *c, int no, bool fails)
{
    cluster_trace(c, no, fails ? "-- disk fails" : "-- disk works again");
    c->node[no].disk_fails = fails;
}

/* Everything on the host is lost: state and data directory. The agent is down afterwards. */
void cluster_wipe(Cluster *c, int no)
{
    Node *node = &c->node[no];

    cluster_kill_agent(c, no);
    cluster_trace(c, no, "-- wiped");
    node->disk = node->older = (Persist){0};
    node->torn = false;
    node->fence = (Clock){0};
    model_empty(c, no);
}

/* The state directory is lost, the data directory is not. The agent is down afterwards. */
void cluster_lose_state(Cluster *c, int no)
{
    cluster_kill_agent(c, no);
    cluster_trace(c, no, "-- its state is lost, its data is not");
    c->node[no].disk = c->node[no].older = (Persist){0};
    c->node[no].torn = false;
}

/* The disk under the server takes no writes, or does again: then processes that were told to end do. */
void cluster_stick(Cluster *c, int no, bool stuck)
{
    Node *node = &c->node[no];

    cluster_trace(c, no, stuck ? "-- the server's disk takes no writes" : "-- the server's disk goes on");
    node->server.stuck = stuck;
    if (stuck)
        return;
    node->server.leftover = false;
    if (node->acting && node->action.kind == ACTION_STOP_IMMEDIATE)
        cluster_at(c, c->now_us + US_PER_MS, ITEM_ACTED, no)->gen = ++node->action_gen;
}

static void command_with(Cluster *c, int no, CommandKind kind, MemberNo target, bool accept_loss)
{
    Command command = {
        .token = ++c->token, .kind = kind, .target = target, .accept_loss = accept_loss, .reason = "test"};

    if (target >= 0) {
        memcpy(command.name, c->node[target].options.name, sizeof command.name);
        command.member_kind = c->node[target].options.kind;
    }
    cluster_trace(c, no, "-- command %s target=%s", command_name(kind),
                  target >= 0 ? c->node[target].options.name : "any");
    step(c, no, &(Event){.kind = EVENT_COMMAND, .command = &command});
}

void cluster_command(Cluster *c, int no, CommandKind kind, MemberNo target)
{
    command_with(c, no, kind, target, false);
}

void cluster_failover(Cluster *c, int no, MemberNo target, bool accept_loss)
{
    if (accept_loss)
        c->seen.order_us = c->now_us;
    command_with(c, no, COMMAND_FAILOVER, target, accept_loss);
}

void cluster_resolve(Cluster *c, int no, MemberNo target)
{
    c->seen.order_us = c->now_us;
    c->seen.resolved = true;
    cluster_command(c, no, COMMAND_RESOLVE, target);
}

void cluster_opinion(Cluster *c, int no, MemberNo seen, int64_t for_us)
{
    ObserverWord word = {.member = seen, .until_us = cluster_clock(c, no).boot_us + for_us};

    if (!c->node[no].frozen && !c->node[no].agent_frozen)
        step(c, no, &(Event){.kind = EVENT_OPINION, .seen = word});
}

/* ---- Running ---- */

static void look(Cluster *c, const Item *item)
{
    Item *seen = cluster_at(c, c->now_us + LOOK_US, ITEM_SEEN, item->node);

    seen->looked_us = cluster_clock(c, item->node).boot_us;
    seen->pg = model_observe(c, item->node);
    if (item->kind == ITEM_POLL)
        cluster_at(c, c->now_us + c->poll_us, ITEM_POLL, item->node);
}

static void deliver(Cluster *c, Item *item)
{
    Node *node = &c->node[item->node];
    Event event = {.kind = EVENT_MESSAGE, .msg = &item->msg, .reply_token = item->token};

    if (io_message_lost(c, item->from, item->node) || !node->up)
        return;
    item->msg.from = document_find(&node->core.persist.doc, c->node[item->from].options.name);
    if (item->msg.has_doc)
        event.doc = &item->doc;
    step(c, item->node, &event);
}

/* The guard oversleeps: it looks again when it wakes. */
static void late_deadline(Cluster *c, const Item *item)
{
    int64_t late_us = c->node[item->node].guard_late_us + US_PER_MS;
    Item *again = cluster_at(c, c->now_us + late_us, ITEM_DEADLINE, item->node);

    again->looked_us = item->looked_us;
    again->gen = 1;
}

static void run_item(Cluster *c, Item *item)
{
    Node *node = &c->node[item->node];

    switch (item->kind) {
    case ITEM_TICK: step(c, item->node, &(Event){.kind = EVENT_TICK}); break;
    case ITEM_MSG: deliver(c, item); break;
    case ITEM_WRITTEN: {
        Event event = {
            .kind = EVENT_PERSISTED, .persist_seq = node->writing_seq, .persist_ok = !node->disk_fails};
        io_written(c, item->node);
        step(c, item->node, &event);
        break;
    }
    case ITEM_ACTED: {
        if (!node->acting || node->action_gen != item->gen)
            return;
        ActionResult result = model_finish(c, item->node);
        step(c, item->node, &(Event){.kind = EVENT_ACTION_DONE, .done = &result});
        break;
    }
    case ITEM_UNDONE: {
        ActionResult result = {.id = item->gen, .text = "the record could not be written"};
        step(c, item->node, &(Event){.kind = EVENT_ACTION_DONE, .done = &result});
        break;
    }
    case ITEM_POLL:
    case ITEM_LOOK: look(c, item); break;
    case ITEM_SEEN:
        step(
            c, item->node,
            &(Event){.kind = EVENT_OBSERVED, .pg = &item->pg, .looked_us = item->looked_us, .progress = 255});
        break;
    case ITEM_DEADLINE:
        /* The guard sleeps by its own clock, which may be slow; one item for each deadline that was set. */
        if (cluster_fence_open(c, item->node) && item->looked_us == node->fence.boot_us)
            cluster_at(c, c->now_us + US_PER_MS / 10, ITEM_DEADLINE, item->node)->looked_us = item->looked_us;
        else if (node->guard_late_us != 0 && item->gen == 0)
            late_deadline(c, item);
        model_guard(c, item->node);
        break;
    case ITEM_WAL: break;
    }
}

/* Two runs are the same when what happened was, in its order, and what it made of each node. */
static void mix_in(Cluster *c, const Item *item)
{
    const Node *node = &c->node[item->node];
    uint64_t word = (uint64_t) item->at ^ (uint64_t) item->kind << 56 ^ (uint64_t) item->node << 48;

    word ^= node->core.facts ^ node->core.persist.term << 32 ^ node->server.lsn;
    c->hash = (c->hash ^ word) * 1099511628211u;
    c->hash ^= c->hash >> 29;
}

static void run_one(Cluster *c)
{
    Item *item = queue_pop(c);

    c->now_us = item->at;
    if (item->kind == ITEM_WAL) {
        wal_step(c);
        cluster_at(c, c->now_us + c->wal_us, ITEM_WAL, -1);
    } else if (c->node[item->node].frozen ||
               (c->node[item->node].agent_frozen && item->kind != ITEM_DEADLINE)) {
        item->at += 5 * US_PER_MS;
        queue_push(c, item);
        return;
    } else if (item->kind == ITEM_MSG || item->kind == ITEM_DEADLINE ||
               item->process == c->node[item->node].process) {
        c->tally.events++;
        mix_in(c, item);
        run_item(c, item);
    }
    queue_free(c, item);
}

void cluster_run(Cluster *c, int64_t ms)
{
    int64_t until_us = c->now_us + ms * US_PER_MS;

    while (c->heap_len > 0 && c->heap[0].at <= until_us && c->failure[0] == '\0')
        run_one(c);
    if (c->failure[0] == '\0')
        c->now_us = until_us;
}

void cluster_free(Cluster *c)
{
    queue_done(c);
    free(c);
}
