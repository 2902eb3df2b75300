/*
 * core.c: the step function: one event in, effects out, in the order in which they are to be run.
 *
 * The order within a step matters: the clocks first, then the event, then elections and the leader's duties,
 * then the decision about the own server, and last the fence, which shuts before anything that a step decided
 * is sent.
 */
#include "core/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

/* For so long after its start a member can be told that it must not take part. */
#define NEW_US (10 * US_PER_SEC)

Effect *core_effect(Effects *out, EffectKind kind)
{
    assert(out->count < EFFECT_MAX);
    Effect *effect = &out->effect[out->count++];

    memset(effect, 0, sizeof *effect);
    effect->kind = kind;
    return effect;
}

uint32_t core_persist(Core *core, Effects *out)
{
    Effect *effect = core_effect(out, EFFECT_PERSIST);

    effect->persist_seq = ++core->persist_seq;
    core->noted = core->persist.primary_at;
    core->noted_at = core->now;
    return core->persist_seq;
}

Effect *core_send(Core *core, Effects *out, MemberNo to, MsgKind kind)
{
    Effect *effect = core_effect(out, EFFECT_SEND);
    Msg *msg = &effect->msg;

    effect->to = to;
    msg->kind = kind;
    msg->from = core->self;
    msg->sender = core->persist.node_uuid;
    msg->term = core->persist.term;
    msg->inc = core->inc;
    msg->seq = core->seq;
    msg->doc_id = core->doc_durable;
    msg->position = view_position(core);
    msg->primary_at = core->persist.primary_at;
    msg->config_hash = core->options.config_hash;
    msg->report = core_report(core);
    return effect;
}

void core_after(Core *core, Effect *effect, uint32_t persist_seq)
{
    effect->after_persist = persist_seq;
    if (persist_seq >= core->doc_persist)
        effect->msg.doc_id = core->persist.doc.id;
}

Effect *core_answer_msg(Core *core, Effects *out, const Event *event, MsgKind kind)
{
    Effect *effect = core_send(core, out, event->msg->from, kind);
    effect->token = event->reply_token;
    return effect;
}

void core_log(Core *core, Effects *out, LogLevel level, const char *format, ...)
{
    Effect *effect = core_effect(out, EFFECT_LOG);
    va_list args;

    (void) core;
    effect->level = level;
    va_start(args, format);
    vsnprintf(effect->text, sizeof effect->text, format, args);
    va_end(args);
}

void core_history(Core *core, Effects *out, const History *history, const char *format, ...)
{
    Effect *effect = core_effect(out, EFFECT_HISTORY);
    va_list args;

    (void) core;
    effect->history = *history;
    va_start(args, format);
    vsnprintf(effect->text, sizeof effect->text, format, args);
    va_end(args);
}

void core_refuse(Core *core, Effects *out, const char *format, ...)
{
    va_list args;

    if (core->refused)
        return;
    core->refused = true;
    Effect *effect = core_effect(out, EFFECT_REFUSE);
    va_start(args, format);
    vsnprintf(effect->text, sizeof effect->text, format, args);
    va_end(args);
}

int64_t core_jitter(Core *core)
{
    return (int64_t) rng_below(&core->rng, (uint64_t) JITTER_US);
}

int64_t core_since(const Core *core, const Clock *then)
{
    return core->now.boot_us - then->boot_us;
}

/* A deadline further away than a lease is long was written in another boot, in a file that outlived it. */
static bool is_within_lease(const Core *core, const Clock *until)
{
    uint32_t promise_ms = core->persist.promise_ms, lease_ms = core->persist.doc.lease_ms;
    int64_t longest_us = (int64_t) (promise_ms > lease_ms ? promise_ms : lease_ms) * US_PER_MS;

    return until->raw_us - core->now.raw_us <= longest_us && until->boot_us - core->now.boot_us <= longest_us;
}

void core_init(Core *core, const CoreOptions *options, const Persist *persist, uint64_t inc, uint64_t seed,
               const Clock *now, const Clock *grace_until)
{
    memset(core, 0, sizeof *core);
    core->options = *options;
    core->persist = *persist;
    core->inc = inc;
    core->rng = seed;
    core->now = core->started_at = *now;
    core->leader = core->seen.member = MEMBER_NONE;
    core->rule_told = UINT8_MAX;
    core->pg.upstream = core->streamed_from = MEMBER_NONE;
    core->led_at = core->pg_answered = core->pg_changed = core->stream_at = core->down_at = *now;
    core->writable_at = *now;
    core->told_epoch = persist->doc.epoch;
    core->doc_durable = persist->doc.id;
    if (core->persist.doc.id.term == 0)
        document_bootstrap(&core->persist.doc, options);
    if (core->persist.promise_ms < options->lease_ms)
        core->persist.promise_ms = options->lease_ms;
    if (is_within_lease(core, grace_until))
        core->grace_until = *grace_until;
    if (options->kind == MEMBER_WITNESS)
        core->pg.state = PG_NONE;
    core->self = document_find(&core->persist.doc, options->name);
    /* A lease that still holds, and a state that knows of none: the state was lost, the server may be
     * writing. */
    core->forgot = core->persist.doc.epoch == 0 && lease_grace(core);
    const DocEpoch *mine = document_epoch(&core->persist.doc, persist->wal_epoch);
    core->promoting = core->forgot || (mine != NULL && mine->primary == core->self && !mine->settled);
}

bool core_needs_guard(const Core *core, bool guarded)
{
    const FactSet orphans = FACT_BIT(IS_PRIMARY_IN_DOC) | FACT_BIT(PG_LEFTOVERS);
    bool writes = (core->facts & FACT_BIT(PG_PRIMARY)) != 0 || core->promoting ||
                  core->action.kind == ACTION_START_PRIMARY || (core->facts & orphans) == orphans;

    if ((core->facts & FACT_BIT(MANAGED)) == 0 || (core->facts & FACT_BIT(FENCED)) != 0)
        return false;
    return writes || (guarded && (core->facts & FACT_BIT(STALE)) != 0);
}

bool core_holds_commits(const Core *core)
{
    return core->plan.kind == PLAN_SWITCHOVER && core->plan.step == STEP_STOP;
}

bool core_waits_for_standbys(const Core *core)
{
    return core->persist.doc.synchronous && core->persist.doc.sync_needed > 0;
}

MemberNo core_primary(const Core *core)
{
    return core->leader != MEMBER_NONE ? core->persist.doc.primary : MEMBER_NONE;
}

Report core_report(const Core *core)
{
    Observation pg = core->pg;

    pg.names_effective = standbys_names_hold(core);
    return (Report){
        .pg = pg,
        .action = core->action.kind,
        .progress = core->progress,
        .wal_epoch = core->persist.wal_epoch,
        .no_failover = core->options.no_failover,
        .no_sync = core->options.no_sync,
        .no_load_balance = core->options.no_load_balance,
        .eligible = core_is_eligible(core),
        .disk_failed = core->disk_failed,
        .cut_off = core->cut_off,
        .silent = election_silent(core),
        .rule = core->rule,
        .failures = core->failures,
        .lost = resolve_lost(core),
        .settings_hash = core->options.settings_hash,
    };
}

bool core_disagrees(const Core *core)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        uint64_t members = core->peer[no].config_hash, settings = core->peer[no].report.settings_hash;
        if (no != core->self && view_is_fresh(core, no) &&
            ((members != 0 && members != core->options.config_hash) ||
             (settings != 0 && settings != core->options.settings_hash)))
            return true;
    }
    return false;
}

/*
 * A member whose file differs before there is a document would count another set of voters: it must not
 * begin. Later the document counts; one that has just started is still told by the leader, before anything
 * depends on it.
 */
static void check_agreement(Core *core, Effects *out, const Msg *msg)
{
    bool begins =
        core->persist.doc.id.term == 0 || (msg->kind == MSG_HEARTBEAT && core->led_term == 0 &&
                                           !core->agreed && core_since(core, &core->started_at) < NEW_US);

    if (msg->config_hash == 0 || msg->config_hash == core->options.config_hash) {
        core->agreed = core->agreed || msg->kind == MSG_HEARTBEAT;
        core->disagreement_told = core->disagreement_told && core_disagrees(core);
        return;
    }
    if (begins) {
        core_refuse(
            core, out,
            "%s has another configuration: all of [cluster] that cannot be reloaded, and all of [members], must be the "
            "same everywhere; copy one file to all members, and pgvigil reload",
            names_member(core, msg->from));
    } else if (!core->disagreement_told) {
        core->disagreement_told = true;
        core_log(
            core, out, LOG_LEVEL_WARN,
            "configuration_differs member=%s copy one file to all members: [cluster] and [members] must agree",
            names_member(core, msg->from));
    }
}

static void on_message(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;

    if (core->self == MEMBER_NONE)
        return;
    if (msg->from == MEMBER_NONE) {
        membership_on_stranger(core, out, event);
        return;
    }
    if (membership_refuses(core, out, event))
        return;
    view_heard(core, msg);
    check_agreement(core, out, msg);
    if (core->refused || membership_is_outside(core, out, event))
        return;
    switch (msg->kind) {
    case MSG_HEARTBEAT: lease_on_heartbeat(core, out, event); break;
    case MSG_HEARTBEAT_ACK: lease_on_ack(core, out, msg); break;
    case MSG_PREVOTE: vote_on_prevote(core, out, event); break;
    case MSG_PREVOTE_ACK: election_on_prevote_ack(core, out, event); break;
    case MSG_VOTE: vote_on_vote(core, out, event); break;
    case MSG_VOTE_ACK: election_on_vote_ack(core, out, msg); break;
    case MSG_RELEASE: lease_on_release(core, out, event); break;
    case MSG_NUDGE:
        core_answer_msg(core, out, event, MSG_NUDGE_ACK);
        if (core->role == ROLE_FOLLOWER && core->phase == CANDIDATE_NONE)
            election_stand_in(core, 0);
        break;
    case MSG_HELLO: membership_answer_hello(core, out, event); break;
    case MSG_HELLO_ACK: document_on_hello_ack(core, out, event); break;
    case MSG_NONE:
    case MSG_RELEASE_ACK:
    case MSG_NUDGE_ACK:
    case MSG_KINDS: break;
    }
}

static void on_persisted(Core *core, Effects *out, const Event *event)
{
    if (!event->persist_ok) {
        if (!core->disk_failed)
            core_log(core, out, LOG_LEVEL_ERROR,
                     "disk_failed the state could not be written: this member votes no more until it can");
        core->disk_failed = true;
        return;
    }
    if (core->disk_failed)
        core_log(core, out, LOG_LEVEL_INFO, "disk_works the state could be written again");
    core->disk_failed = false;
    if (event->persist_seq > core->persisted_seq)
        core->persisted_seq = event->persist_seq;
    if (core->persisted_seq >= core->doc_persist)
        core->doc_durable = core->persist.doc.id;
    election_on_persisted(core, out);
}

static void on_event(Core *core, Effects *out, const Event *event)
{
    switch (event->kind) {
    case EVENT_TICK: break;
    case EVENT_MESSAGE: on_message(core, out, event); break;
    case EVENT_PERSISTED: on_persisted(core, out, event); break;
    case EVENT_OBSERVED: server_on_observed(core, out, event); break;
    case EVENT_ACTION_DONE: server_on_done(core, out, event->done); break;
    case EVENT_COMMAND: plan_on_command(core, out, event->command); break;
    case EVENT_OPTIONS: core->options = *event->options; break;
    case EVENT_OPINION: core->seen = event->seen; break;
    }
}

/* Somebody who hears no leader tells the others what it sees, so that a status shows more than itself. */
static void say_hello(Core *core, Effects *out)
{
    if (core->leader != MEMBER_NONE || core_since(core, &core->view_at) < VIEW_EVERY_US)
        return;
    core->view_at = core->now;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->persist.doc.member[no].kind != MEMBER_FREE)
            core_send(core, out, no, MSG_HELLO);
}

static int64_t heartbeat_us(const Core *core)
{
    return (int64_t) core->persist.doc.heartbeat_ms * US_PER_MS;
}

/* A disk that failed is tried again with what there is to write; only success lets the member vote again. */
static void retry_disk(Core *core, Effects *out)
{
    if (core->disk_failed && core_since(core, &core->disk_at) >= US_PER_SEC) {
        core->disk_at = core->now;
        core_persist(core, out);
    }
}

void core_step(Core *core, const Event *event, Effects *ret_effects)
{
    Effects *out = ret_effects;

    out->count = 0;
    core->now = event->now;
    if (core->refused || core->self == MEMBER_NONE)
        return;
    if (core->leader != MEMBER_NONE)
        core->led_at = core->now;
    lease_check_clocks(core, out);
    on_event(core, out, event);
    if (core->refused)
        return;
    if (core->role == ROLE_LEADER && core_since(core, &core->heartbeat_at) >= heartbeat_us(core))
        lease_heartbeat(core, out);
    election_tick(core, out);
    document_tick(core, out);
    membership_tick(core, out);
    view_tick(core);
    plan_tick(core, out);
    resolve_tick(core, out);
    if (lease_may_write(core) || lease_grace(core))
        core->writable_at = core->now;
    server_notice_stray(core, out);
    rules_decide(core, out);
    lease_fence(core, out);
    say_hello(core, out);
    view_keep(core, out);
    retry_disk(core, out);
}

static void earlier(int64_t *wake_us, int64_t due_us)
{
    if (due_us < *wake_us)
        *wake_us = due_us;
}

int64_t core_wake_us(const Core *core)
{
    int64_t wake_us = US_PER_SEC / 4;
    int64_t now_us = core->now.boot_us;

    if (core->role == ROLE_LEADER)
        earlier(&wake_us, heartbeat_us(core) - core_since(core, &core->heartbeat_at));
    if (core->leased)
        earlier(&wake_us, core_lease_until(core).boot_us - now_us);
    if (core->promise.active)
        earlier(&wake_us, lease_promise_left_us(core));
    if (lease_grace(core))
        earlier(&wake_us, core->grace_until.boot_us - now_us);
    if (core->stand_at_us > now_us)
        earlier(&wake_us, core->stand_at_us - now_us);
    if (core->backoff_until_us > now_us)
        earlier(&wake_us, core->backoff_until_us - now_us);
    if (core->phase != CANDIDATE_NONE || core->plan.step != STEP_NONE)
        earlier(&wake_us, 10 * US_PER_MS);
    return wake_us > US_PER_MS ? wake_us : US_PER_MS;
}
