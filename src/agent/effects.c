/*
 * effects.c: what the core wants done, in its order: write, send, act, fence, observe, tell.
 *
 * What depends on a record waits until the record is on disk; everything else goes out at once, so that a
 * slow disk does not hold up heartbeats that promise nothing new.
 */
#include "agent/internal.h"

#include "sys/log.h"
#include "wire/codec.h"

#include <stdlib.h>
#include <string.h>

/* ---- Records ---- */

static void write_record(void *arg)
{
    Agent *agent = arg;

    agent->persist_err = (Err){0};
    agent->persist_ok = store_save(agent->store, &agent->persist, &agent->persist_err);
}

static void on_written(void *arg);

static void start_writing(Agent *agent)
{
    agent->persist = agent->persist_next;
    agent->persist_seq = agent->persist_next_seq;
    agent->persist_again = false;
    agent->persist_busy = true;
    loop_work(&agent->loop, write_record, on_written, agent);
}

/* A record that came while another was being written replaces any that waits: it is newer and holds all of
 * it. */
static void persist(Agent *agent, uint32_t seq)
{
    agent->persist_next = agent->core.persist;
    agent->persist_next_seq = seq;
    agent->persist_again = true;
    if (!agent->persist_busy)
        start_writing(agent);
}

static void drop(Waiting *waiting)
{
    free(waiting->body);
    *waiting = (Waiting){0};
}

/* ---- Messages ---- */

static void send_body(Agent *agent, MemberNo to, uint32_t token, const char *body, size_t len)
{
    int member = agent_member_index(agent, to);

    if (token != 0)
        peer_reply(agent->peers, token, 200, body, len);
    else if (member >= 0)
        peer_send(agent->peers, member, body, len, (int) agent->core.persist.doc.lease_ms, inbox_on_answer,
                  agent);
}

static Waiting *wait_for(Agent *agent, uint32_t after)
{
    static LogLimit limit;

    if (agent->waiting_len == WAITING_MAX) {
        log_limited(&limit, LOG_LEVEL_WARN, "too_much_waits",
                    "what=\"messages that wait until the state is on disk\" dropped=1");
        return NULL;
    }
    Waiting *waiting = &agent->waiting[agent->waiting_len++];
    *waiting = (Waiting){.after = after};
    return waiting;
}

static void send_msg(Agent *agent, const Effect *effect)
{
    Buf body = {0};

    codec_encode_msg(&effect->msg, &agent->core.persist.doc, agent->core.options.name, &body);
    if (body.failed || body.data == NULL) {
        buf_done(&body);
        return;
    }
    if (effect->after_persist > agent->persisted_seq) {
        Waiting *waiting = wait_for(agent, effect->after_persist);
        if (waiting != NULL) {
            waiting->to = effect->to;
            waiting->token = effect->token;
            waiting->body = body.data;
            waiting->len = body.len;
            return;
        }
    } else {
        send_body(agent, effect->to, effect->token, body.data, body.len);
    }
    buf_done(&body);
}

/* ---- Actions ---- */

static void on_outcome(void *arg, const ActionOutcome *outcome)
{
    Agent *agent = arg;
    Queued *queued = agent_enqueue(agent, EVENT_ACTION_DONE);

    if (queued == NULL)
        return;
    queued->data.done = (ActionResult){
        .id = outcome->id,
        .ok = outcome->ok,
        .diverged = outcome->diverged,
        .was_primary = outcome->was_primary,
        .wal_missing = outcome->wal_missing,
        .fork_known = outcome->fork_known,
        .fork = outcome->fork,
        .numbers_lie = outcome->numbers_lie,
        .complete = outcome->complete,
        .saved_before = outcome->saved_before,
        .last_commit_us = outcome->last_commit_us,
        .lsn = outcome->lsn,
        .timeline = outcome->timeline,
        .bytes = outcome->bytes,
        .transactions = outcome->transactions,
    };
    str_copy(queued->data.done.text, sizeof queued->data.done.text, outcome->text);
    queued->event.done = &queued->data.done;
    hold_ended(agent, outcome);
    agent_turn(agent);
}

void effects_act(Agent *agent, const Action *action)
{
    int target = agent_member_index(agent, action->target);
    char names[SYNCSET_TEXT_LEN];
    ActionRequest request = {
        .id = action->id,
        .kind = action->kind,
        .host = target >= 0 ? agent->config->member[target].host : "",
        .port = target >= 0 ? (uint16_t) agent->config->member[target].port : 0,
        .epoch = action->epoch,
        .timeline = action->timeline,
        .fork = action->fork,
        .ask_fork = action->ask_fork,
        .shared = action->shared,
        .names = action->names.kind != NAMES_UNKNOWN ? names : NULL,
        .generation = action->names.generation,
        .asked = action->asked,
    };

    syncset_names_write(&action->names, &agent->core.persist.doc, names, sizeof names);
    actions_start(agent->actions, &request, on_outcome, agent);
}

/* An action that cannot begin has ended: the core must hear of it, or it would wait for ever. */
void effects_fail(Agent *agent, const Action *action, bool refused, const char *text)
{
    Queued *queued = agent_enqueue(agent, EVENT_ACTION_DONE);

    if (queued == NULL)
        return;
    queued->data.done = (ActionResult){.id = action->id, .refused = refused};
    str_copy(queued->data.done.text, sizeof queued->data.done.text, text);
    queued->event.done = &queued->data.done;
}

static void fail_unwritten(Agent *agent, const Action *action)
{
    effects_fail(agent, action, false, "the state that it depends on could not be written");
}

static void begin(Agent *agent, const Action *action)
{
    if (!hold_action(agent, action))
        effects_act(agent, action);
}

/* A freeze or an immediate stop replaces the action before it, also one that still waits for its record:
 * begun afterwards it would undo them. */
static void drop_waiting_actions(Agent *agent)
{
    size_t kept = 0;

    for (size_t i = 0; i < agent->waiting_len; i++) {
        if (agent->waiting[i].is_action)
            drop(&agent->waiting[i]);
        else
            agent->waiting[kept++] = agent->waiting[i];
    }
    agent->waiting_len = kept;
}

static void act_when_written(Agent *agent, const Effect *effect)
{
    if (agent->actions == NULL)
        return;
    drop_waiting_actions(agent);
    hold_drop(agent);
    if (effect->after_persist <= agent->persisted_seq) {
        begin(agent, &effect->action);
        return;
    }
    Waiting *waiting = wait_for(agent, effect->after_persist);
    if (waiting == NULL) {
        fail_unwritten(agent, &effect->action);
        return;
    }
    waiting->is_action = true;
    waiting->action = effect->action;
}

/* ---- After a record ---- */

static void release_waiting(Agent *agent, bool ok)
{
    size_t kept = 0;

    for (size_t i = 0; i < agent->waiting_len; i++) {
        Waiting *waiting = &agent->waiting[i];
        if (waiting->after > agent->persist_seq) {
            agent->waiting[kept++] = *waiting;
            continue;
        }
        if (ok && waiting->is_action)
            begin(agent, &waiting->action);
        else if (waiting->is_action)
            fail_unwritten(agent, &waiting->action);
        else if (ok)
            send_body(agent, waiting->to, waiting->token, waiting->body, waiting->len);
        drop(waiting);
    }
    agent->waiting_len = kept;
}

static void on_written(void *arg)
{
    Agent *agent = arg;
    Queued *queued;

    agent->persist_busy = false;
    if (agent->persist_ok)
        agent->persisted_seq = agent->persist_seq;
    else
        log_line(LOG_LEVEL_ERROR, "state_not_written", "reason=\"%s\"", agent->persist_err.text);
    release_waiting(agent, agent->persist_ok);
    queued = agent_enqueue(agent, EVENT_PERSISTED);
    if (queued != NULL) {
        queued->event.persist_seq = agent->persist_seq;
        queued->event.persist_ok = agent->persist_ok;
    }
    if (agent->persist_again && !agent->stopping)
        start_writing(agent);
    agent_turn(agent);
}

/* ---- All of them ---- */

static void run_effect(Agent *agent, const Effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PERSIST: persist(agent, effect->persist_seq); break;
    case EFFECT_SEND: send_msg(agent, effect); break;
    case EFFECT_ACTION: act_when_written(agent, effect); break;
    case EFFECT_FENCE: break; /* set_fence */
    case EFFECT_OBSERVE:
        if (agent->poll != NULL)
            poll_now(agent->poll);
        break;
    case EFFECT_ANSWER: inbox_answer(agent, effect->token, effect->answer, effect->text); break;
    case EFFECT_HISTORY: past_add(agent, &effect->history, effect->text); break;
    case EFFECT_LOG: log_line(effect->level, "core", "%s", effect->text); break;
    case EFFECT_REFUSE:
        err_set(agent->err, ERR_CONFIG, "%s", effect->text);
        agent_stop(agent, 2);
        break;
    }
}

/*
 * The deadline, and whether the guard has a server to end when it passes. Before all other effects: it shuts
 * before anything is sent, and the guard is armed before an action begins that makes a writer, or disarmed
 * before one that starts a standby.
 */
static void set_fence(Agent *agent, const Effects *effects)
{
    const Core *core = &agent->core;
    Fence fence = agent->deadline.fence;

    for (uint32_t i = 0; i < effects->count; i++)
        if (effects->effect[i].kind == EFFECT_FENCE) { /* in whole */
            fence.until = effects->effect[i].fence_until;
            fence.epoch = core->persist.doc.epoch;
            fence.synchronous = effects->effect[i].fence_synchronous;
            fence.generation = effects->effect[i].fence_names.generation;
            syncset_names_write(&effects->effect[i].fence_names, &core->persist.doc, fence.names,
                                sizeof fence.names);
        }
    if (fence.until.boot_us == 0) /* closed, but readers after a crash are to know whom to wait for */
        fence.synchronous = core_waits_for_standbys(core);
    fence.hold = core_holds_commits(core);
    if (core->options.kind == MEMBER_DATA && core->pg.state != PG_UNKNOWN)
        fence.guarded = core_needs_guard(core, fence.guarded);
    bool closed = agent->deadline.fence.until.boot_us != 0 && fence.until.boot_us == 0;
    deadline_set(&agent->deadline, &fence);
    if (closed) /* given up before its end: ports and addresses go before anybody else hears of it */
        gates_publish(agent);
}

void effects_run(Agent *agent, const Effects *effects)
{
    set_fence(agent, effects);
    for (uint32_t i = 0; i < effects->count; i++)
        run_effect(agent, &effects->effect[i]);
}

void effects_done(Agent *agent)
{
    for (size_t i = 0; i < agent->waiting_len; i++)
        drop(&agent->waiting[i]);
    agent->waiting_len = 0;
}
