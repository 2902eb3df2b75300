/*
 * body.c: the core in the worker: events in, effects out.
 *
 * Records are written before anything that depends on them is sent, by this very process: a disk that takes
 * longer for 4 KiB than the lease is long costs the lease, as it should.
 */
#include "keeper/body.h"
#include "keeper/switch.h"

#include <access/xlog.h>
#include <miscadmin.h>

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"

#define LOOK_US         (200 * US_PER_MS)
#define RECONCILE_US    US_PER_SEC
#define ACT_WAIT_MS     5
#define FIRST_TERM_MOST 1000000u

static struct {
    KeeperNodes nodes;
    Store *store;
    Persist persist; /* as it was loaded */
    bool runs;       /* there is a core */
    bool table_read; /* as a primary, whatever was in it */
    bool alone;      /* it begins the cluster, or began it */
    bool outside;    /* it was seen as a primary that is not registered */
    Core core;
    Effects effects;
    uint32_t persisted_seq;
    bool persist_told, persist_ok;
    Clock looked, reconciled;
    uint32_t order;
    LogLimit disk, refused;
} body;

const Core *body_core(void)
{
    return body.runs ? &body.core : NULL;
}

const KeeperNodes *body_known(void)
{
    return &body.nodes;
}

bool body_was_member(void)
{
    return body.persist.doc.id.term != 0;
}

const Uuid *body_identity(void)
{
    return &body.persist.node_uuid;
}

static CoreOptions options_now(void)
{
    const Document *doc = body.runs ? &body.core.persist.doc : &body.persist.doc;
    return options_make(&body.nodes, doc, body.alone);
}

/* ---- The fence ---- */

/* Others are registered and elect; perhaps one of them is this node, by the name that it had before. */
static bool is_stranger(void)
{
    return nodes_elect(&body.nodes) && nodes_find(&body.nodes, gucs_node_id) < 0;
}

/*
 * A table that was never read may name this server, and one whose row for it cannot be used does. A standby
 * is never unmanaged: once it is promoted by hand its table is read anew, by a worker that works.
 */
static bool is_unmanaged(void)
{
    if (!body.table_read)
        return false;
    if (!body.runs)
        return body.persist.doc.id.term == 0 && !body.nodes.self_left_out && !is_stranger();
    /* Nobody else can be elected before there is a document. */
    return body.alone && (body.core.persist.doc.epoch == 0 || body.core.bootstrapping);
}

static void set_fence(const Effects *effects)
{
    const Core *core = &body.core;
    Fence fence = deadline_last();

    for (uint32_t i = 0; effects != NULL && i < effects->count; i++)
        if (effects->effect[i].kind == EFFECT_FENCE)
            deadline_take(core, &effects->effect[i], &fence);
    fence.hold = give_holds();
    if (is_unmanaged())
        fence = deadline_unmanaged(body.nodes.there);
    else if (fence.epoch == 0 || act_closed() != NULL || !body.runs || core->refused || byhand_waits())
        fence.until = (Clock){0};
    /* Without a document it is not known: as FENCE_UNKNOWN. */
    if (body.runs && fence.until.boot_us == 0)
        fence.synchronous = core->persist.doc.id.term == 0 || core_waits_for_standbys(core);
    deadline_write(&fence);
}

/* What is no effect of the core's: there is none, or the server was closed. */
static void refresh_fence(void)
{
    set_fence(NULL);
}

/* ---- Effects ---- */

static void tell_not_written(const Err *err)
{
    log_limited(&body.disk, LOG_LEVEL_ERROR, "state_not_written", "reason=\"%s\"", err->text);
}

static void persist(uint32_t seq)
{
    const Persist *record = &body.core.persist;
    Err err = {0};

    body.persist_ok = state_keep(&body.store, record, &err) && store_save(body.store, record, &err);
    body.persist_told = true;
    if (body.persist_ok)
        body.persisted_seq = seq;
    else
        tell_not_written(&err);
}

/* For what is not written for long. */
static void keep_state(void)
{
    Err err = {0};

    if (!state_keep(&body.store, &body.core.persist, &err))
        tell_not_written(&err);
}

static void run_effect(const Effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PERSIST: persist(effect->persist_seq); break;
    case EFFECT_SEND: /* what it would say may not be on disk, and will not be */
        if (effect->after_persist <= body.persisted_seq)
            talk_send(&body.core, effect);
        break;
    case EFFECT_ACTION:
        if (effect->after_persist <= body.persisted_seq)
            act_start(&body.core, &effect->action, &body.nodes);
        break;
    case EFFECT_FENCE: break; /* set_fence */
    case EFFECT_OBSERVE: body.looked = (Clock){0}; break;
    case EFFECT_ANSWER:
        if (effect->answer == ANSWER_REFUSED && !switch_refused(effect->token, effect->text))
            log_limited(&body.refused, LOG_LEVEL_INFO, "node_waits", "reason=\"%s\"",
                        tell_words(effect->text));
        break;
    case EFFECT_HISTORY: tell_history(&body.core, effect); break;
    case EFFECT_LOG: tell_log(effect->level, "core", effect->text); break;
    case EFFECT_REFUSE: tell_log(LOG_LEVEL_ERROR, "refused", effect->text); break;
    }
}

static void step_once(Event *event)
{
    event->now = clock_now();
    core_step(&body.core, event, &body.effects);
    set_fence(&body.effects);
    for (uint32_t i = 0; i < body.effects.count; i++)
        run_effect(&body.effects.effect[i]);
}

/* What an action waits for and cannot be written has ended: the core would wait for ever. */
void body_step(Event *event)
{
    step_once(event);
    while (body.persist_told) {
        Event written = {
            .kind = EVENT_PERSISTED, .persist_seq = body.core.persist_seq, .persist_ok = body.persist_ok};
        body.persist_told = false;
        step_once(&written);
    }
    if (body.core.action.kind != ACTION_NONE && !act_runs()) {
        ActionResult lost = {.id = body.core.action.id};
        Event done = {.kind = EVENT_ACTION_DONE, .done = &lost};
        str_copy(lost.text, sizeof lost.text, "the state that it depends on could not be written");
        step_once(&done);
    }
}

/* ---- Beginning and end ---- */

bool body_start(Err *err)
{
    if (!state_open(&body.store, &body.persist, err))
        return false;
    deadline_load();
    return true;
}

static bool begin_core(void)
{
    uint64_t inc, seed;
    Clock now = clock_now();
    /* What was open because nothing was managed is no lease that a core before this one had. */
    Fence before = deadline_last();
    Clock grace = before.epoch != 0 ? before.until : (Clock){0};

    if (!pg_strong_random(&inc, sizeof inc) || !pg_strong_random(&seed, sizeof seed))
        return false;
    if (body.alone)
        upstream_forget_names();
    /* Not with term 1: a node that knows one of that term, from a cluster that began anew here, would take
     * its own document for the newer one of the same leader. */
    if (body.alone && body.persist.doc.id.term == 0)
        body.persist.term = Max(body.persist.term, seed % FIRST_TERM_MOST);
    CoreOptions options = options_now();
    core_init(&body.core, &options, &body.persist, inc | 1, seed, &now, &grace);
    byhand_begin(&body.core, before.until.boot_us > now.boot_us);
    body.persisted_seq = 0;
    body.persist_told = false;
    body.runs = body.core.self != MEMBER_NONE;
    if (!body.runs)
        log_line(LOG_LEVEL_ERROR, "not_a_node",
                 "this node is registered, and the cluster's document does not name it");
    else if (options.lease_ms != body.core.persist.doc.lease_ms && body.persist.doc.id.term != 0)
        log_line(LOG_LEVEL_WARN, "keepalive_kept", "the cluster was made with %u ms, which stay in force",
                 (unsigned) body.core.persist.doc.lease_ms);
    return body.runs;
}

/*
 * Without a state the cluster begins here, if this worker has seen the table without this node, or nobody
 * could have been elected by it. A primary that is registered from the start on had a state, and lost it.
 */
static bool begins(void)
{
    if (body.persist.doc.id.term != 0 || RecoveryInProgress())
        return false;
    if (body.outside || !nodes_elect(&body.nodes))
        return true;
    log_limited(
        &body.refused, LOG_LEVEL_WARN, "state_lost",
        "this server is registered and a primary, but its state is gone: it is closed until another node tells it more; "
        "if there is no other, start it without pg_keeper and empty pgkeeper.node; of two, start it with pg_keeper.prefer = "
        "primary");
    return false;
}

/* Where the state is, or the cluster is to begin here, or it is to be waited for to be taken in. */
static bool takes_part(void)
{
    if (!nodes_has(&body.nodes, gucs_node_id)) {
        /* Its own row may be one of those that were left out. */
        body.outside = body.persist.doc.id.term == 0 && !RecoveryInProgress() && !is_stranger() &&
                       (body.nodes.left_out == 0 || body.outside);
        if (body.nodes.self_left_out)
            log_limited(
                &body.refused, LOG_LEVEL_WARN, "own_row",
                "this node's row in pgkeeper.node cannot be used: it is closed; correct the row on the primary, "
                "or here after a start without pg_keeper");
        else if (is_stranger() && !RecoveryInProgress())
            log_limited(
                &body.refused, LOG_LEVEL_WARN, "not_registered",
                "other nodes are registered here, and this primary is none of them by its name: it is closed; correct "
                "pg_keeper.node_name, or start it without pg_keeper and drop the extension");
        return false;
    }
    /* What the two of a pair talk through is not there: nobody can have been elected. */
    if (pair_is_set() && !body.nodes.there && body.persist.doc.id.term == 0 && !RecoveryInProgress())
        body.outside = true;
    body.alone = begins();
    return body.persist.doc.id.term != 0 || body.alone || nodes_elect(&body.nodes);
}

/* It does not belong any more, or the table of before there was a document has changed. */
static bool has_to_stop(bool changed)
{
    int self = nodes_find(&body.nodes, gucs_node_id);
    bool unborn = body.core.persist.doc.id.term == 0 && body.core.role == ROLE_FOLLOWER;

    if (self < 0 || (body.nodes.node[self].gone && body.core.persist.outside))
        return true;
    return unborn && changed && !body.alone;
}

void body_nodes(const KeeperNodes *table)
{
    KeeperNodes nodes = *table;

    body.table_read = !RecoveryInProgress();
    if (body.runs)
        reconcile_keep(&body.core, &body.nodes, &nodes);
    bool changed = memcmp(&nodes, &body.nodes, sizeof nodes) != 0;
    if (changed) {
        body.nodes = nodes;
        link_update(&nodes, gucs_lease_ms(), talk_answer);
        log_line(LOG_LEVEL_INFO, "nodes", "count=%d", nodes_registered(&nodes));
    }
    if (body.runs && has_to_stop(changed)) {
        body.persist = body.core.persist;
        if (body.core.persist.doc.id.term == 0)
            body.persist.doc = (Document){.primary = MEMBER_NONE};
        body.runs = false;
    }
    if (!body.runs && takes_part())
        (void) begin_core();
    refresh_fence();
}

void body_reload(void)
{
    CoreOptions options = options_now();
    Event event = {.kind = EVENT_OPTIONS, .options = &options};

    if (body.runs)
        body_step(&event);
}

void body_close(void)
{
    deadline_close();
}

/* ---- The table and the document ---- */

static void order(CommandKind kind, const char *name)
{
    Command command = {
        .kind = kind, .target = MEMBER_NONE, .member_kind = MEMBER_DATA, .token = ++body.order};
    Event event = {.kind = EVENT_COMMAND, .command = &command};

    str_copy(command.name, sizeof command.name, name);
    command.target = document_find(&body.core.persist.doc, name);
    body_step(&event);
}

static void reconcile(void)
{
    CommandKind kind;
    const char *name =
        body.core.plan.step == STEP_NONE ? reconcile_next(&body.core, &body.nodes, &kind) : NULL;

    if (name != NULL)
        order(kind, name);
}

/* ---- The turn ---- */

/* What it knew was of the primary before, and says that this server must not write. */
static void begin_anew(void)
{
    Persist before = body.core.persist;
    Err err = {0};

    if (!state_keep(&body.store, &before, &err) || !state_make(body.store, &body.persist, &err)) {
        tell_not_written(&err);
        body.persist = before;
        return;
    }
    log_line(LOG_LEVEL_WARN, "promoted_by_hand", "this server begins anew as the primary, with its own vote");
    body.runs = false;
    body.outside = true;
    if (takes_part())
        (void) begin_core();
}

static void look(const Clock *now)
{
    if (byhand_is_promoted(&body.core, &body.nodes))
        begin_anew();
    if (!body.runs)
        return;
    Observation pg = look_server(&body.core, &body.nodes);
    Event event = {.kind = EVENT_OBSERVED, .pg = &pg, .looked_us = now->boot_us, .progress = UINT8_MAX};

    body.looked = *now;
    body_step(&event);
}

static void act(void)
{
    ActionResult result;
    ActionKind kind = body.core.action.kind;

    if (!act_turn(&body.core, &result))
        return;
    if (kind == ACTION_PROMOTE && result.ok)
        orders_promoted(&body.core, &body.nodes);
    Event event = {.kind = EVENT_ACTION_DONE, .done = &result};
    body_step(&event);
}

void body_turn(void)
{
    Clock now = clock_now();
    char id[MEMBER_NAME_LEN];

    if (body.runs)
        give_look(&body.core);
    /* A server that is given away stops and runs by word alone: the core must not go by the old one. */
    if (body.runs && (now.boot_us - body.looked.boot_us >= LOOK_US ||
                      (body.core.pg.state == PG_STOPPED) != give_is_stopped(&body.core)))
        look(&now);
    if (body.runs) {
        ping_turn();
        act();
        if (core_wake_us(&body.core) <= now.boot_us - body.core.now.boot_us) {
            Event tick = {.kind = EVENT_TICK};
            body_step(&tick);
        }
        byhand_turn(&body.core, &body.nodes);
        int64 every_us = byhand_waits() ? LOOK_US : RECONCILE_US;
        if (now.boot_us - body.reconciled.boot_us >= every_us) {
            body.reconciled = now;
            keep_state();
            reconcile();
            byhand_ask(&body.core, &body.nodes);
            if (resync_look(&body.core))
                body_reload();
        }
    }
    if (switch_due(body_core(), &body.nodes, body.order + 1, id))
        order(COMMAND_SWITCHOVER, id);
    switch_look(body_core());
    orders_look(body_core(), &body.nodes);
    votes_look(body_core());
    refresh_fence();
    view_publish();
}

long body_wait_ms(void)
{
    Clock now = clock_now();

    if (!body.runs || (act_runs() && act_closed() == NULL))
        return body.runs ? ACT_WAIT_MS : LOOK_US / US_PER_MS;
    int64 wait_us = core_wake_us(&body.core) - (now.boot_us - body.core.now.boot_us);
    int64 look_us = LOOK_US - (now.boot_us - body.looked.boot_us);
    if (look_us < wait_us)
        wait_us = look_us;
    return wait_us > 0 ? (long) (wait_us / US_PER_MS) + 1 : 0;
}
