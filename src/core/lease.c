/*
 * lease.c: the right to be primary until a time: heartbeats, promises, the lease's end and the fence's
 * deadline.
 *
 * A leader counts from when it sent a round, a voter from when it received it, each with the clock that errs
 * to the safe side; the leader stops early by drift and margin. Hence the leader's lease is over before any
 * promise is.
 */
#include "core/internal.h"

#include <string.h>

/* For so many leases a leader goes on whose own disk has not taken a change of the document yet. */
#define SLOW_DISK_LEASES 5

/* ---- The leader's side ---- */

static int64_t length_us(const Core *core, uint32_t lease_ms)
{
    int64_t us = (int64_t) lease_ms * US_PER_MS;
    if (MUTANT(LONG_LEASE))
        us += us / 4;
    return us - 2 * us * (int64_t) core->options.drift_ppm / 1000000 -
           (int64_t) core->options.margin_ms * US_PER_MS;
}

bool core_lease_holds(const Core *core, const Clock *now)
{
    return core->leased && clock_elapsed_most(&core->lease_base, now) < length_us(core, core->lease_base_ms);
}

Clock core_lease_until(const Core *core)
{
    Clock until = {0};

    if (!core->leased)
        return until;
    until = core->lease_base;
    until.raw_us += length_us(core, core->lease_base_ms);
    until.boot_us += length_us(core, core->lease_base_ms);
    return until;
}

void lease_drop(Core *core)
{
    core->leased = false;
    core->epoch_in_force = 0;
}

/* Takes the newest round that a majority acknowledged as the lease's base. */
void lease_update(Core *core)
{
    int majority = document_majority(&core->persist.doc);

    if (core->role != ROLE_LEADER)
        return;
    for (uint64_t seq = core->seq; seq > core->lease_floor && seq + ROUND_MAX > core->seq; seq--) {
        const Round *round = &core->round[seq % ROUND_MAX];
        int acks = document_is_voter(core, core->self) || MUTANT(OWN_VOTE);

        if (round->seq != seq)
            return;
        for (MemberNo no = 0; no < MEMBER_MAX; no++)
            acks += no != core->self && document_is_voter(core, no) && core->peer[no].acked_seq >= seq;
        if (acks < majority)
            continue;
        if (MUTANT(LATE_LEASE) && core->leased && round->sent.boot_us <= core->lease_base.boot_us)
            return;
        core->leased = true;
        core->lease_base = MUTANT(LATE_LEASE) ? core->now : round->sent;
        core->lease_base_ms = round->lease_ms;
        return;
    }
}

/*
 * A hypervisor can stop every clock of a guest but the wall clock, which its host sets right again. Seen as
 * the wall clock running ahead of the others: rounds from before it prove nothing, and a new one is due at
 * once.
 */
void lease_check_clocks(Core *core, Effects *out)
{
    int64_t wall_us = core->now.wall_us - core->lease_base.wall_us;
    int64_t own_us = clock_elapsed_most(&core->lease_base, &core->now);

    if (!core->leased || wall_us - own_us <= CLOCK_JUMP_US)
        return;
    core_log(core, out, LOG_LEVEL_WARN, "clock_jump ahead_ms=%lld lease is asked for again",
             (long long) ((wall_us - own_us) / US_PER_MS));
    core->lease_floor = core->seq;
    core->lease_base.wall_us = core->now.wall_us - own_us;
    int64_t until_us = core->lease_base.boot_us + length_us(core, core->lease_base_ms);
    if (until_us > core->now.boot_us + CLOCK_JUMP_US) {
        int64_t cut_us = until_us - core->now.boot_us - CLOCK_JUMP_US;
        core->lease_base.boot_us -= cut_us;
        core->lease_base.raw_us -= cut_us;
    }
    core->heartbeat_at = (Clock){0}; /* due, unless what comes in now says that another leads */
}

bool lease_may_write(const Core *core)
{
    const Document *doc = &core->persist.doc;

    return core_lease_holds(core, &core->now) && doc->epoch > 0 && doc->primary == core->self &&
           core->epoch_in_force == doc->epoch;
}

/* Before this process won anything, what its predecessor had written into the fence still counts. */
bool lease_grace(const Core *core)
{
    return core->now.raw_us < core->grace_until.raw_us && core->now.boot_us < core->grace_until.boot_us;
}

void lease_fence(Core *core, Effects *out)
{
    Clock until = {0};

    if (lease_may_write(core))
        until = core_lease_until(core);
    else if (core->fence_until.boot_us == 0 || core->leased) {
        /* A deadline that has been reached needs no second word; grace is the predecessor's to keep. */
        return;
    }
    Names names = standbys_fence_names(core);
    const Document *doc = &core->persist.doc;
    bool synchronous = doc->synchronous && (doc->sync_needed > 0 || names.kind == NAMES_OURS);
    /* A document that is only proposed allows nothing less: another may take over by the old one. */
    if (core->fence_synchronous && !synchronous && !core->doc_in_force) {
        synchronous = true;
        names = core->fence_names;
    }
    bool same = syncset_names_equal(&names, &core->fence_names) &&
                names.generation == core->fence_names.generation && synchronous == core->fence_synchronous;
    if (until.boot_us == core->fence_until.boot_us && until.raw_us == core->fence_until.raw_us && same)
        return;
    core->fence_until = until;
    core->fence_names = names;
    core->fence_synchronous = synchronous;
    Effect *effect = core_effect(out, EFFECT_FENCE);
    effect->fence_until = until;
    effect->fence_synchronous = synchronous;
    effect->fence_names = names;
}

/*
 * The round that brings a change waits for the own record; those after it need not: a lease is about who
 * leads, and says nothing of a document. A disk that fails, or is slow for too long, is no leader's.
 */
static bool goes_without_document(const Core *core)
{
    int64_t us = core_since(core, &core->doc_at);

    return core->persisted_seq < core->doc_persist && !core->disk_failed && us > 0 &&
           us < SLOW_DISK_LEASES * (int64_t) core->persist.doc.lease_ms * US_PER_MS;
}

void lease_heartbeat(Core *core, Effects *out)
{
    bool without = goes_without_document(core);
    bool view = core_since(core, &core->view_at) >= VIEW_EVERY_US;
    Round *round = &core->round[++core->seq % ROUND_MAX];

    *round = (Round){.seq = core->seq, .lease_ms = core->persist.doc.lease_ms, .sent = core->now};
    core->heartbeat_at = core->now;
    if (view)
        core->view_at = core->now;
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (no == core->self || core->persist.doc.member[no].kind == MEMBER_FREE)
            continue;
        Effect *effect = core_send(core, out, no, MSG_HEARTBEAT);
        effect->msg.lease_ms = round->lease_ms;
        effect->msg.has_doc = !without &&
                              document_compare(core->peer[no].doc_id, core->persist.doc.id) != 0 &&
                              core->persist.doc.id.term <= core->persist.term;
        if (effect->msg.has_doc)
            core_after(core, effect, core->doc_persist);
        effect->msg.want_fresh = core->plan.step == STEP_CONFIRM && no == core->plan.target;
        if (view)
            view_fill(core, &effect->msg);
    }
    lease_update(core);
}

void lease_on_ack(Core *core, Effects *out, const Msg *msg)
{
    Peer *peer = &core->peer[msg->from];

    if (msg->term > core->persist.term)
        election_higher_term(core, out, msg->term);
    if (msg->inc != core->inc || msg->term != core->persist.term || core->role != ROLE_LEADER)
        return;
    if (!msg->granted || msg->seq > core->seq || msg->seq <= peer->acked_seq)
        return;
    peer->acked_seq = msg->seq;
    lease_update(core);
}

/* ---- The voter's side ---- */

int64_t lease_promise_left_us(const Core *core)
{
    if (!core->promise.active)
        return 0;
    return (int64_t) core->promise.lease_ms * US_PER_MS -
           clock_elapsed_least(&core->promise.since, &core->now);
}

bool lease_promised(const Core *core, const Uuid *but_for)
{
    return lease_promise_left_us(core) > 0 && !uuid_equal(&core->promise.uuid, but_for);
}

/* Never shortened: a shorter lease of a later heartbeat leaves the longer time that was promised. */
void lease_promise(Core *core, const Msg *msg)
{
    int64_t left_us = lease_promise_left_us(core);
    int64_t lease_us = (int64_t) msg->lease_ms * US_PER_MS;

    if (left_us > lease_us)
        lease_us = left_us;
    core->promise = (Promise){
        .active = true,
        .uuid = msg->sender,
        .term = msg->term,
        .inc = msg->inc,
        .seq = msg->seq,
        .lease_ms = (uint32_t) ((lease_us + US_PER_MS - 1) / US_PER_MS),
        .since = core->now,
    };
}

static bool is_released(const Core *core, const Msg *msg)
{
    const Release *released = &core->released;
    return uuid_equal(&released->leader, &msg->sender) && released->term == msg->term &&
           released->inc == msg->inc && released->seq >= msg->seq;
}

/* Makes this member a follower of the one who sent the heartbeat. */
static void follow_leader(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;

    if (core->leader != msg->from || core->role != ROLE_FOLLOWER)
        core_log(core, out, LOG_LEVEL_INFO, "leader name=%s term=%llu", names_member(core, msg->from),
                 (unsigned long long) msg->term);
    core->role = ROLE_FOLLOWER;
    core->phase = CANDIDATE_NONE;
    core->leader = msg->from;
    core->stand_at_us = 0;
    core->stood_back = core->tries = 0;
    election_end_order(core);
    core->declined_until_us = 0;
    core->doc_in_force = false;
    vote_refuse_pending(core, out);
    core->bootstrapping = false;
    core->xfer = (Release){0};
    plan_abandon(core);
    lease_drop(core);
}

/*
 * Takes term, document and the length of the lease; returns the record that an acknowledgement must wait for,
 * which may be that of an earlier heartbeat. 0: all of it is on disk.
 */
static uint32_t accept_state(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;
    bool dirty = false, adopted = false;

    if (msg->term > core->persist.term) {
        core->persist.term = msg->term;
        core->persist.voted_for = (Uuid){0};
        dirty = true;
    }
    if (msg->lease_ms > core->persist.promise_ms) {
        core->persist.promise_ms = msg->lease_ms;
        dirty = true;
    }
    if (msg->has_doc && document_compare(event->doc->id, core->persist.doc.id) > 0) {
        document_adopt(core, event->doc);
        dirty = adopted = true;
    }
    if (!dirty)
        return core->persisted_seq < core->accept_persist ? core->accept_persist : 0;
    uint32_t seq = core->accept_persist = core_persist(core, out);
    if (adopted)
        core->doc_persist = seq;
    return seq;
}

void lease_on_heartbeat(Core *core, Effects *out, const Event *event)
{
    Msg msg = *event->msg;
    Refusal refusal = REFUSAL_NONE;
    uint32_t after = 0;

    if (msg.term < core->persist.term || (msg.term == core->persist.term && core->role == ROLE_LEADER))
        refusal = REFUSAL_TERM;
    else if (core->disk_failed)
        refusal = REFUSAL_DISK;
    else if (is_released(core, &msg))
        refusal = REFUSAL_TERM;
    if (refusal == REFUSAL_NONE) {
        bool same_leader = core->leader == msg.from && core->promise.term == msg.term;
        if (!same_leader || msg.seq > core->promise.seq || msg.inc != core->promise.inc)
            lease_promise(core, &msg);
        follow_leader(core, out, event);
        after = accept_state(core, out, event);
        if (msg.has_view)
            view_merge(core, &msg);
    }
    if (msg.want_fresh && refusal == REFUSAL_NONE) {
        core->fresh.token = event->reply_token;
        core->fresh.to = msg.from;
        core->fresh.seq = msg.seq;
        core->fresh.inc = msg.inc;
        core_effect(out, EFFECT_OBSERVE);
        return;
    }
    Effect *effect = core_answer_msg(core, out, event, MSG_HEARTBEAT_ACK);
    effect->msg.inc = msg.inc;
    effect->msg.seq = msg.seq;
    effect->msg.granted = refusal == REFUSAL_NONE;
    effect->msg.refusal = refusal;
    if (after != 0)
        core_after(core, effect, after);
}

void lease_answer_fresh(Core *core, Effects *out)
{
    if (core->fresh.token == 0)
        return;
    Effect *effect = core_send(core, out, core->fresh.to, MSG_HEARTBEAT_ACK);
    effect->token = core->fresh.token;
    effect->msg.inc = core->fresh.inc;
    effect->msg.seq = core->fresh.seq;
    effect->msg.granted = core->leader == core->fresh.to;
    core_after(core, effect, core->persist_seq);
    core->fresh.token = 0;
}

/* ---- Giving the lease up ---- */

static void stop_leading(Core *core, Effects *out)
{
    int64_t wait_us = 2 * (int64_t) core->persist.doc.lease_ms * US_PER_MS;

    lease_drop(core);
    lease_fence(core, out);
    core->role = ROLE_FOLLOWER;
    core->leader = MEMBER_NONE;
    core->doc_in_force = false;
    core->declined_until_us = core->now.boot_us + wait_us;
    election_stand_in(core, wait_us);
}

/*
 * Only when no process of the server can write any more: whoever hears it may elect another at once. This
 * process never leads the term again: it is a follower, and can only win a higher one.
 */
void lease_release(Core *core, Effects *out, MemberNo to, Lsn lsn, bool forced)
{
    if (core->role != ROLE_LEADER)
        return; /* the lease is of another term than this one */
    Release release = {
        .leader = core->persist.node_uuid,
        .term = core->persist.term,
        .inc = core->inc,
        .seq = core->seq,
        .to = to,
        .lsn = lsn,
        .forced = forced,
        .accept_loss = forced && core->plan.accept_loss,
        .keep = core->plan.kind == PLAN_RESOLVE,
    };

    core_log(core, out, LOG_LEVEL_INFO, "release term=%llu to=%s", (unsigned long long) release.term,
             names_member(core, to));
    stop_leading(core, out);
    core->released = release;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->persist.doc.member[no].kind != MEMBER_FREE)
            core_send(core, out, no, MSG_RELEASE)->msg.release = release;
}

void lease_step_down(Core *core, Effects *out)
{
    core_log(core, out, LOG_LEVEL_WARN, "step_down term=%llu", (unsigned long long) core->persist.term);
    stop_leading(core, out);
}

void lease_on_release(Core *core, Effects *out, const Event *event)
{
    const Release *release = &event->msg->release;
    const Promise *promise = &core->promise;

    core_answer_msg(core, out, event, MSG_RELEASE_ACK);
    if (release->term < core->persist.term || core->role == ROLE_LEADER)
        return;
    core->released = *release;
    if (uuid_equal(&promise->uuid, &release->leader) && promise->inc == release->inc &&
        promise->term == release->term && promise->seq <= release->seq)
        core->promise.active = false;
    core->leader = MEMBER_NONE;
    if (release->to == core->self) {
        core->xfer = *release;
        election_order(core, release->forced, release->accept_loss, release->term);
        core->keep = release->keep;
        election_stand_in(core, 0);
    } else if (release->to == MEMBER_NONE) {
        election_stand_in(core, candidate_rank(core) * RANK_STEP_US);
    } else {
        election_stand_in(core, (int64_t) core->persist.doc.lease_ms * US_PER_MS / 2 +
                                    candidate_rank(core) * RANK_STEP_US);
    }
}
