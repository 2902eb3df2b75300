/*
 * io.c: what a core wants done, done as the agent does it: one record at a time, and what depends on a
 * record waits until it is on disk. Disk and network are here, with what goes wrong with them.
 */
#include "sim/cluster.h"

#include "base/rng.h"
#include "store/store_slot.h"
#include "wire/codec.h"

#include <stddef.h>
#include <string.h>

/* ---- Records ---- */

static void save(Node *node)
{
    node->older = node->disk;
    node->disk = node->writing;
    node->torn = false;
}

static void start_writing(Cluster *c, int no)
{
    Node *node = &c->node[no];

    node->writing = node->next;
    node->writing_seq = node->next_seq;
    node->again = false;
    node->busy = true;
    cluster_at(c, c->now_us + node->disk_us, ITEM_WRITTEN, no);
}

static void persist(Cluster *c, int no, uint32_t seq)
{
    Node *node = &c->node[no];

    check_asked(c, no);
    node->next = node->core.persist;
    node->next_seq = seq;
    node->again = true;
    if (!node->busy)
        start_writing(c, no);
}

/*
 * A record that was being written when its writer ended: written after all, or not, or, if the host went down
 * with it, torn. Only a writer that goes on learns which.
 */
void io_interrupt(Cluster *c, int no, bool host)
{
    Node *node = &c->node[no];
    uint64_t fate = c->rough && node->busy ? rng_below(&c->rng, host ? 4 : 2) : 0;

    if (fate == 1) {
        save(node);
        c->tally.kept++;
        check_written(c, no);
    } else if (fate > 1) {
        node->torn = true;
        c->tally.torn++;
    }
    node->busy = node->again = false;
}

/* One slot as it is on disk; a torn one has the new record's first sectors and the old one's last. */
static void fill_slot(Slot *slot, const Persist *persist, uint64_t generation, const Persist *torn_by)
{
    Buf text = {0};

    codec_encode_persist(persist, &text);
    store_slot_fill(slot, generation, text.data, text.len);
    buf_done(&text);
    if (torn_by == NULL)
        return;
    Slot fresh;
    fill_slot(&fresh, torn_by, generation + 2, NULL);
    memcpy(slot, &fresh, 512);
}

static bool read_slot(Cluster *c, const Slot *slot, Persist *ret, uint64_t *generation)
{
    Err err = {0};

    if (store_slot_check(slot) != SLOT_VALID) {
        c->tally.refused_slots++;
        return false;
    }
    *generation = slot->header.generation;
    if (!codec_decode_persist(store_slot_text(slot), slot->header.length, ret, &err))
        cluster_fail(c, "a whole record cannot be read: %s", err.text);
    return true;
}

/* Through the very bytes that the shipped store writes, once for each process. */
bool io_load(Cluster *c, int no, Persist *ret)
{
    Node *node = &c->node[no];
    Slot slot[2];
    Persist read[2];
    uint64_t generation[2] = {0, 0};

    if (uuid_is_zero(&node->disk.node_uuid))
        return false;
    if (c->codec_every == 0)
        return true;
    const Persist *older = uuid_is_zero(&node->older.node_uuid) ? &node->disk : &node->older;
    fill_slot(&slot[0], older, 1, node->torn ? &node->writing : NULL);
    fill_slot(&slot[1], &node->disk, 2, NULL);
    for (int i = 0; i < 2; i++)
        read_slot(c, &slot[i], &read[i], &generation[i]);
    const Persist *newest = &read[generation[1] > generation[0]];
    c->tally.records++;
    /* A tear that spared all that differs leaves the new record whole. */
    if (node->torn && generation[0] > generation[1])
        save(node);
    node->torn = false;
    if (newest->term != node->disk.term || !uuid_equal(&newest->voted_for, &node->disk.voted_for) ||
        document_compare(newest->doc.id, node->disk.doc.id) != 0)
        cluster_fail(c, "%s reads another record than the newest that was saved", node->options.name);
    check_written(c, no);
    *ret = *newest;
    return true;
}

/* ---- Messages and actions ---- */

bool io_message_lost(const Cluster *c, int from, int to)
{
    return c->cut[from][to] || c->cut_agents[from][to];
}

/* As the shipped codec writes and reads it: what does not come through as it was said is found by what it
 * does.
 */
static void code_message(Cluster *c, int no, Item *item)
{
    static Buf text;
    char name[MEMBER_NAME_LEN];
    Err err = {0};

    text.len = 0;
    codec_encode_msg(&item->msg, &item->doc, c->node[no].options.name, &text);
    c->tally.coded++;
    if (!codec_decode_msg(text.data, text.len, &item->msg, &item->doc, name, &err))
        cluster_fail(c, "a message from %s cannot be read: %s: %.*s", c->node[no].options.name, err.text,
                     (int) (text.len < 200 ? text.len : 200), text.data);
}

static size_t size_of(const Msg *msg)
{
    return msg->has_view ? sizeof *msg : offsetof(Msg, view);
}

/* An answer goes where the question came from, whatever the document says of who that is. */
static int receiver_of(const Cluster *c, int no, const Effect *effect)
{
    if (effect->token != 0)
        return c->asker[effect->token % ASKER_MAX];
    return cluster_node(c, &c->node[no].core.persist.doc, effect->to);
}

static void transmit(Cluster *c, int no, const Effect *effect, const Document *doc)
{
    int copies = 1, to = receiver_of(c, no, effect);

    check_send(c, no, effect);
    c->tally.messages++;
    if (to < 0 || io_message_lost(c, no, to) || rng_below(&c->rng, 1000000) < c->loss_ppm)
        return;
    if (rng_below(&c->rng, 1000000) < c->duplicate_ppm)
        copies = 2;
    for (int i = 0; i < copies; i++) {
        int64_t delay_us = c->delay_us + (int64_t) rng_below(&c->rng, (uint64_t) c->delay_spread_us + 1);
        Item *item = cluster_at(c, c->now_us + delay_us, ITEM_MSG, to);
        item->from = no;
        memcpy(&item->msg, &effect->msg, size_of(&effect->msg));
        if (effect->msg.has_doc)
            item->doc = *doc;
        item->token = effect->token == 0 ? ++c->token : 0;
        c->asker[item->token % ASKER_MAX] = no;
        if (c->codec_every != 0 && rng_below(&c->codec_rng, c->codec_every) == 0)
            code_message(c, no, item);
    }
}

static void act(Cluster *c, int no, const Action *action)
{
    if (c->node[no].acting)
        model_cancel(c, no);
    model_start(c, no, action);
}

static void hold(Cluster *c, int no, const Effect *effect)
{
    Node *node = &c->node[no];

    if (node->held_len == HELD_MAX)
        return;
    node->held[node->held_len++] =
        (Held){.after = effect->after_persist, .effect = *effect, .doc = node->core.persist.doc};
}

/* A new action replaces one that still waits for its record. */
static void drop_held_actions(Node *node)
{
    int kept = 0;

    for (int i = 0; i < node->held_len; i++)
        if (node->held[i].effect.kind != EFFECT_ACTION)
            node->held[kept++] = node->held[i];
    node->held_len = kept;
}

/* The agent dies here if that is what was waited for; true if it did. */
static bool trapped(Cluster *c, int no, Trap trap)
{
    Node *node = &c->node[no];

    if (node->trap != trap || !node->up)
        return false;
    c->tally.trap[trap]++;
    node->up_at_us = c->now_us + node->trap_down_us;
    if (trap == TRAP_TORN_WRITE)
        cluster_reboot(c, no);
    else
        cluster_kill_agent(c, no);
    return true;
}

static void run_held(Cluster *c, int no, const Effect *effect, const Document *doc)
{
    if (effect->kind == EFFECT_SEND) {
        if (trapped(c, no, TRAP_BEFORE_SEND))
            return;
        transmit(c, no, effect, doc);
        trapped(c, no, TRAP_AFTER_SEND);
    } else if (!trapped(c, no, TRAP_BEFORE_ACTION)) {
        act(c, no, &effect->action);
        if (effect->action.kind == ACTION_REWIND || effect->action.kind == ACTION_CLONE)
            trapped(c, no, TRAP_IN_COPY);
    }
}

/* The record is on disk, or could not be written: what waited for it goes on, or is dropped. */
void io_written(Cluster *c, int no)
{
    Node *node = &c->node[no];
    bool ok = !node->disk_fails;
    uint32_t seq = node->writing_seq;
    int kept = 0;

    node->busy = false;
    if (ok)
        node->persisted_seq = seq;
    /* What is said to have failed may be there all the same. */
    if (ok || (c->rough && rng_below(&c->rng, 2) == 0)) {
        save(node);
        check_written(c, no);
    }
    if (trapped(c, no, TRAP_AFTER_WRITE))
        return;
    for (int i = 0; i < node->held_len; i++) {
        Held held = node->held[i];
        if (held.after > seq)
            node->held[kept++] = held;
        else if (ok && node->up)
            run_held(c, no, &held.effect, &held.doc);
        else if (held.effect.kind == EFFECT_ACTION)
            cluster_at(c, c->now_us, ITEM_UNDONE, no)->gen = held.effect.action.id;
    }
    node->held_len = kept;
    if (node->again && node->up)
        start_writing(c, no);
}

static void set_fence(Cluster *c, int no, const Clock *until)
{
    Node *node = &c->node[no];
    Clock now = cluster_clock(c, no);
    bool was = cluster_fence_open(c, no);

    node->fence = *until;
    node->guarded = node->guarded || until->boot_us != 0;
    if (was != cluster_fence_open(c, no))
        cluster_trace(c, no, was ? "fence shut" : "fence open");
    int64_t left_us = until->boot_us - now.boot_us;
    if (node->drift_ppm > 0) /* it sleeps by its own clock */
        left_us -= left_us * node->drift_ppm / 1000000;
    if (left_us > 0)
        cluster_at(c, c->now_us + left_us, ITEM_DEADLINE, no)->looked_us = until->boot_us;
}

static void count_history(Cluster *c, const History *history)
{
    c->tally.failovers += history->kind == HISTORY_FAILOVER;
    c->tally.switchovers += history->kind == HISTORY_SWITCHOVER;
}

static void run(Cluster *c, int no, const Effect *effect)
{
    static const char *const states[] = {"started", "done", "refused"};
    Node *node = &c->node[no];

    switch (effect->kind) {
    case EFFECT_PERSIST:
        if (trapped(c, no, TRAP_BEFORE_WRITE))
            break;
        persist(c, no, effect->persist_seq);
        trapped(c, no, TRAP_TORN_WRITE);
        break;
    case EFFECT_SEND:
    case EFFECT_ACTION:
        if (effect->kind == EFFECT_ACTION) {
            check_action(c, no, &effect->action);
            drop_held_actions(node);
        }
        if (effect->after_persist > node->persisted_seq)
            hold(c, no, effect);
        else
            run_held(c, no, effect, &node->core.persist.doc);
        break;
    case EFFECT_FENCE: set_fence(c, no, &effect->fence_until); break;
    case EFFECT_OBSERVE: cluster_at(c, c->now_us + US_PER_MS / 10, ITEM_LOOK, no); break;
    case EFFECT_ANSWER: cluster_trace(c, no, "answer %s: %s", states[effect->answer], effect->text); break;
    case EFFECT_HISTORY:
        count_history(c, &effect->history);
        cluster_trace(c, no, "history %s epoch=%u timeline=%u duration=%dms: %s",
                      history_name(effect->history.kind), effect->history.epoch, effect->history.timeline,
                      (int) effect->history.duration_ms, effect->text);
        break;
    case EFFECT_LOG: cluster_trace(c, no, "%s", effect->text); break;
    case EFFECT_REFUSE:
        cluster_trace(c, no, "refuses to take part: %s", effect->text);
        cluster_kill_agent(c, no);
        break;
    }
}

void io_run(Cluster *c, int no, const Effects *effects)
{
    for (uint32_t i = 0; i < effects->count && c->node[no].up; i++)
        run(c, no, &effects->effect[i]);
}
