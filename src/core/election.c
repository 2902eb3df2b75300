/*
 * election.c: terms, prevotes and votes (Raft §5.2, and the thesis' §9.6 PreVote), with a freeze before each
 * vote. This is the candidate's side; vote.c has the voter's.
 */
#include "core/internal.h"

#include <string.h>

/* A refused candidate asks again after this. */
#define RETRY_US (20 * US_PER_MS)
/* For votes: each further time after twice as long, so many times. */
#define TRIES_MAX 4
/* Whoever was ordered to stand and has not won by then is not meant any more. */
#define ORDER_LIMIT_US (15 * US_PER_SEC)
/* An observer that goes on seeing a primary that nobody else hears is not waited for any longer. */
#define OBSERVER_HOLD_US (10 * US_PER_SEC)

static int64_t lease_us(const Core *core)
{
    return (int64_t) core->persist.doc.lease_ms * US_PER_MS;
}

void election_order(Core *core, bool forced, bool accept_loss, uint64_t term)
{
    core->forced = forced;
    core->accept_loss = accept_loss;
    core->ordered_at = core->now;
    core->ordered_term = term;
}

void election_end_order(Core *core)
{
    core->forced = core->accept_loss = core->keep = false;
}

bool election_order_is_over(const Core *core)
{
    return (core->forced || core->accept_loss || core->keep) &&
           core_since(core, &core->ordered_at) > ORDER_LIMIT_US;
}

void election_stand_in(Core *core, int64_t delay_us)
{
    core->stand_at_us = core->now.boot_us + (delay_us > 0 ? delay_us : 1);
}

/* The winner of my vote has time to be heard from before I stand myself. */
void election_stand_back(Core *core)
{
    election_stand_in(core, lease_us(core) / 2 + candidate_rank(core) * RANK_STEP_US);
}

void election_abandon(Core *core, int64_t delay_us)
{
    core->phase = CANDIDATE_NONE;
    if (core->role == ROLE_CANDIDATE)
        core->role = ROLE_FOLLOWER;
    election_stand_in(core, delay_us + core_jitter(core));
}

/* After a restart nobody knows what this process promised: it waits the longest promise out. */
bool election_silent(const Core *core)
{
    return clock_elapsed_least(&core->started_at, &core->now) <
               (int64_t) core->persist.promise_ms * US_PER_MS &&
           !MUTANT(NO_SILENCE);
}

/* ---- Standing ---- */

static void send_to_all(Core *core, Effects *out, MsgKind kind, uint32_t after_persist)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (no == core->self || core->persist.doc.member[no].kind == MEMBER_FREE)
            continue;
        Effect *effect = core_send(core, out, no, kind);
        if (after_persist != 0)
            core_after(core, effect, after_persist);
        effect->msg.release = core->xfer;
        effect->msg.kept = core->keep;
    }
}

/* Only a leader can take a pause out of the document; its end counts without one, too. */
static bool is_paused(const Core *core)
{
    const Document *doc = &core->persist.doc;

    return doc->paused && (doc->pause_until_us == 0 || core->now.wall_us < doc->pause_until_us);
}

/* While paused nothing is handed over but by order: whoever got a release a moment ago was told to stand. */
static bool is_ordered(const Core *core)
{
    return core->forced ||
           (!uuid_is_zero(&core->xfer.leader) && core_since(core, &core->ordered_at) <= ORDER_LIMIT_US);
}

/*
 * An opinion is no vote: it puts off a failover that nobody ordered, and for a bound from when the leader was
 * lost. The primary itself stands as ever.
 */
static bool is_held_by_observer(const Core *core)
{
    return core->options.observers_agree && view_observer_sees_primary(core) &&
           core->persist.doc.primary != core->self && !is_ordered(core) && core->bereft_at.boot_us != 0 &&
           core_since(core, &core->bereft_at) < OBSERVER_HOLD_US;
}

/* The reason why I do not stand although I would be able to, or NULL. */
const char *election_obstacle(const Core *core)
{
    /* A vote for the incumbent leaves the promise to it as it is: my own vote honours it as well. */
    if (lease_promise_left_us(core) > 0)
        return core->leader != MEMBER_NONE ? "a leader is heard" : "a leader was heard a moment ago";
    /* Who lost the term that it voted for itself in may have promised the winner a lease. */
    bool own_term = uuid_equal(&core->persist.voted_for, &core->persist.node_uuid);
    if (election_silent(core) && !(own_term && candidate_incumbent(core)))
        return "it has restarted and waits until what it promised before has run out";
    if (is_paused(core) && core->persist.doc.primary != core->self && !is_ordered(core))
        return "the cluster is paused; pgvigil failover --to NAME goes on all the same";
    if (core->options.failover_by_order && core->persist.doc.epoch > 0 && !is_ordered(core) &&
        !candidate_incumbent(core) && !candidate_is_kept(core))
        return "[cluster] failover = ordered: it waits for pgvigil failover --to NAME";
    if (is_held_by_observer(core))
        return "an observer sees the primary, and [cluster] observers_agree is set: it waits for some seconds";
    return candidate_obstacle(core);
}

void election_stand(Core *core, Effects *out)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        Peer *peer = &core->peer[no];
        peer->prevote_ok = peer->prevote_seen = peer->vote_ok = peer->vote_seen = false;
    }
    if (core->stood_back == 0 && !core_lease_holds(core, &core->now))
        core->takeover_at = core->now;
    /* Whoever has stood in vain before has been without a primary since it knew a leader last. */
    if (core->persist.doc.epoch == 0 || core->bereft_at.boot_us < core->led_at.boot_us)
        core->bereft_at = core->now;
    core->phase = CANDIDATE_PREVOTE;
    core->phase_at = core->now;
    core->stand_at_us = 0;
    send_to_all(core, out, MSG_PREVOTE, 0);
}

static void begin_vote(Core *core, Effects *out)
{
    uint64_t term = core->persist.term;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (core->peer[no].heard && core->peer[no].term > term)
            term = core->peer[no].term;
    core->persist.term = term + 1;
    core->persist.voted_for = core->persist.node_uuid;
    core->role = ROLE_CANDIDATE;
    core->leader = MEMBER_NONE;
    core->phase = CANDIDATE_VOTE;
    core->phase_at = core->now;
    core->doc_in_force = false;
    core->vote_persist = core->accept_persist = core_persist(core, out);
    core_log(core, out, LOG_LEVEL_INFO, "stand term=%llu", (unsigned long long) core->persist.term);
    send_to_all(core, out, MSG_VOTE, core->vote_persist);
}

static int count(const Core *core, bool votes)
{
    int n = document_is_voter(core, core->self);

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && document_is_voter(core, no))
            n += votes ? core->peer[no].vote_ok : core->peer[no].prevote_ok;
    return n;
}

/* Everybody but the former primary has answered: nobody else could be ahead, and no more votes will come. */
static bool all_answered(const Core *core, bool votes)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        bool seen = votes ? peer->vote_seen : peer->prevote_seen;

        if (no != core->self && no != core->persist.doc.primary && document_is_voter(core, no) && !seen)
            return false;
    }
    return true;
}

/*
 * The former primary's vote is not waited for, since mostly it is dead; but it may be the one that is
 * missing, on a network that needs longer than the first tries last.
 */
static bool is_time_over(const Core *core)
{
    return core_since(core, &core->phase_at) >= RETRY_US << core->tries;
}

static void try_again(Core *core, int64_t delay_us)
{
    if (core->tries < TRIES_MAX)
        core->tries++;
    election_abandon(core, delay_us);
}

static bool step_back(Core *core, Effects *out)
{
    MemberNo ahead = core->forced ? MEMBER_NONE : candidate_ahead(core);

    if (ahead == MEMBER_NONE || core->stood_back >= STAND_BACK_MAX)
        return false;
    core->stood_back++;
    core_log(core, out, LOG_LEVEL_INFO, "stand_back for=%s", names_member(core, ahead));
    core_send(core, out, ahead, MSG_NUDGE);
    election_abandon(core, NUDGE_WAIT_US);
    return true;
}

/* Every data member would vote for me. */
static bool all_agree(const Core *core)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->persist.doc.member[no].kind == MEMBER_DATA &&
            !core->peer[no].prevote_ok)
            return false;
    return true;
}

/* In synchronous mode a majority is not enough: positions have to be compared, too. */
static bool lacks_positions(Core *core, Effects *out, bool votes)
{
    int lack = candidate_positions_lack(core, votes);

    if (lack != core->positions_lack && lack > 0)
        core_log(core, out, LOG_LEVEL_WARN,
                 "not_standing reason=\"%d more positions are needed of members that may hold what was "
                 "acknowledged\"",
                 lack);
    core->positions_lack = (uint8_t) lack;
    /* Who voted for me waits half a lease before it stands: it may have what I lack, and must get its turn.
     */
    if (lack > 0)
        election_abandon(core, votes ? lease_us(core) : lease_us(core) / 4);
    return lack > 0;
}

static void check_prevotes(Core *core, Effects *out)
{
    if (core->phase != CANDIDATE_PREVOTE)
        return;
    if (count(core, false) < document_majority(&core->persist.doc)) {
        /* Refused, most likely because a promise there runs out a moment later than mine: soon again. */
        if (all_answered(core, false) && core_since(core, &core->phase_at) >= RETRY_US)
            election_abandon(core, 0);
        return;
    }
    if (!all_answered(core, false) && core_since(core, &core->phase_at) < PREVOTE_EXTRA_US)
        return;
    if (resolve_needs_all(core) && !all_agree(core)) {
        election_abandon(core, lease_us(core) / 4);
        return;
    }
    if (step_back(core, out) || lacks_positions(core, out, false))
        return;
    if (core->pg.state == PG_STANDBY && !core->frozen && !candidate_incumbent(core)) {
        core->phase = CANDIDATE_FREEZE;
        core->phase_at = core->now;
        core->freezing = true;
        server_act(core, out, ACTION_FREEZE);
    } else {
        begin_vote(core, out);
    }
}

void election_on_prevote_ack(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;
    Peer *peer = &core->peer[msg->from];

    if (core->phase != CANDIDATE_PREVOTE || msg->inc != core->inc)
        return;
    peer->prevote_seen = true;
    peer->prevote_ok = msg->granted;
    if (msg->has_doc && document_compare(event->doc->id, core->persist.doc.id) > 0) {
        if (core->role == ROLE_LEADER)
            lease_step_down(core, out); /* another has led since */
        document_adopt(core, event->doc);
        core->doc_persist = core->accept_persist = core_persist(core, out);
        if (election_obstacle(core) != NULL) {
            election_abandon(core, lease_us(core));
            return;
        }
    }
    check_prevotes(core, out);
}

/* I have a majority: my document first, under my own term, before anything else. */
static void win(Core *core, Effects *out)
{
    Document doc = core->persist.doc;

    core_log(core, out, LOG_LEVEL_INFO, "elected term=%llu after_ms=%lld",
             (unsigned long long) core->persist.term,
             (long long) (core_since(core, &core->takeover_at) / US_PER_MS));
    core->role = ROLE_LEADER;
    core->phase = CANDIDATE_NONE;
    core->leader = core->self;
    core->led_term = core->persist.term;
    core->stood_back = core->tries = 0;
    core->want_clone = core->want_rejoin =
        false; /* meant for a standby, as is the wait after a failed copy */
    core->backoff_until_us = 0;
    core->promise.active = false;
    core->lease_floor = core->seq;
    core->view_at = (Clock){0};
    core->bootstrapping = doc.epoch == 0;
    core->positions_lack = 0;
    if (MUTANT(TRUST_INHERITED) && doc.epoch > 0 && doc.primary == core->self) {
        core->doc_in_force = true;
        core->epoch_in_force = doc.epoch;
        lease_heartbeat(core, out);
        return;
    }
    if (!candidate_incumbent(core))
        document_take_over(core, &doc);
    if (candidate_is_kept(core)) {
        core->inspected = core->diverged = core->wal_saved = core->rewind_failed = core->fork_known = false;
        core->lost = (Lost){0};
    }
    if (core->bootstrapping)
        core->persist.wal_epoch = doc.epoch;
    else if (core->pg.state == PG_STOPPED || core->pg.state == PG_CRASHED)
        core->in_place = true; /* it has everything, and what the others have nobody knows */
    doc.member[core->self].uuid = core->persist.node_uuid;
    document_propose(core, out, &doc);
}

/* Positions are final once frozen: somebody who received more than I did meanwhile goes first. */
static bool yield_to_frozen(Core *core, Effects *out)
{
    Position mine = view_position(core);

    if (core->forced || candidate_incumbent(core) || core->stood_back >= STAND_BACK_MAX)
        return false;
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        if (!peer->vote_ok || !peer->vote_frozen || !peer->report.eligible ||
            !view_position_less(mine, peer->position))
            continue;
        core->stood_back++;
        core_log(core, out, LOG_LEVEL_INFO, "stand_back for=%s", names_member(core, no));
        core_send(core, out, no, MSG_NUDGE);
        election_abandon(core, NUDGE_WAIT_US);
        return true;
    }
    return false;
}

static void check_votes(Core *core, Effects *out)
{
    if (core->phase != CANDIDATE_VOTE || core->persisted_seq < core->vote_persist)
        return;
    bool elected = count(core, true) >= document_majority(&core->persist.doc);
    if (elected && candidate_obstacle(core) != NULL)
        /* Its server went down meanwhile: there is no position that an epoch could begin at. */
        election_abandon(core, lease_us(core) / 2);
    else if (elected && yield_to_frozen(core, out))
        return;
    else if (elected && candidate_positions_lack(core, true) == 0)
        win(core, out);
    else if (all_answered(core, true) && is_time_over(core) && !(elected && lacks_positions(core, out, true)))
        try_again(core, candidate_rank(core) * RANK_STEP_US);
}

void election_on_vote_ack(Core *core, Effects *out, const Msg *msg)
{
    Peer *peer = &core->peer[msg->from];

    if (core->phase != CANDIDATE_VOTE || msg->inc != core->inc || msg->term != core->persist.term) {
        return;
    }
    peer->vote_seen = true;
    peer->vote_ok = msg->granted;
    peer->vote_frozen = msg->frozen;
    peer->vote_position = msg->position;
    check_votes(core, out);
}

void election_on_persisted(Core *core, Effects *out)
{
    check_votes(core, out);
}

/*
 * Somebody has a higher term. A leader whose lease holds stands again as incumbent: voters promised to it may
 * vote for it, so neither epoch nor PostgreSQL is touched. Without a lease there is nothing to hold on to.
 */
void election_higher_term(Core *core, Effects *out, uint64_t term)
{
    if (core->role != ROLE_LEADER || core->phase != CANDIDATE_NONE)
        return;
    core_log(core, out, LOG_LEVEL_INFO, "higher_term seen=%llu mine=%llu", (unsigned long long) term,
             (unsigned long long) core->persist.term);
    if (core_lease_holds(core, &core->now)) {
        election_stand(core, out);
        return;
    }
    core->role = ROLE_FOLLOWER;
    core->leader = MEMBER_NONE;
    lease_drop(core);
    election_stand_in(core, core_jitter(core));
}

static void check_timeouts(Core *core, Effects *out)
{
    int64_t limit_us = core->phase == CANDIDATE_PREVOTE ? lease_us(core) / 4 : lease_us(core);

    if (core->phase == CANDIDATE_NONE || core_since(core, &core->phase_at) < limit_us)
        return;
    if (core->phase == CANDIDATE_VOTE)
        core_log(core, out, LOG_LEVEL_INFO, "not_elected term=%llu", (unsigned long long) core->persist.term);
    election_abandon(core, candidate_rank(core) * RANK_STEP_US);
}

/* One line for each new reason, so that a member that does nothing says why. */
static void tell_obstacle(Core *core, Effects *out, const char *obstacle)
{
    uint32_t hash = 0;

    for (const char *c = obstacle; c != NULL && *c != '\0'; c++)
        hash = hash * 31 + (uint8_t) *c;
    if (hash != core->obstacle_told && obstacle != NULL)
        core_log(core, out, LOG_LEVEL_INFO, "not_standing reason=\"%s\"", obstacle);
    core->obstacle_told = hash;
}

void election_tick(Core *core, Effects *out)
{
    int64_t now_us = core->now.boot_us;

    check_prevotes(core, out);
    check_votes(core, out);
    check_timeouts(core, out);
    if (core->role == ROLE_LEADER || core->phase != CANDIDATE_NONE)
        return;
    if (core->leader != MEMBER_NONE && lease_promise_left_us(core) <= 0) {
        core_log(core, out, LOG_LEVEL_WARN, "leader_lost name=%s", names_member(core, core->leader));
        core->leader = MEMBER_NONE;
        core->takeover_at = core->bereft_at = core->now;
        election_stand_in(core, candidate_rank(core) * RANK_STEP_US + core_jitter(core));
    }
    if (core->leader != MEMBER_NONE)
        return;
    /* On a slow disk a vote takes longer than that: standing meanwhile would undo it, time and again. */
    if (core->persisted_seq < core->ballot.persist) {
        election_stand_back(core);
        return;
    }
    const char *obstacle = election_obstacle(core);
    tell_obstacle(core, out, obstacle);
    if (obstacle != NULL)
        return;
    if (core->stand_at_us == 0)
        election_stand_in(core, candidate_rank(core) * RANK_STEP_US);
    if (now_us >= core->stand_at_us)
        election_stand(core, out);
}

/* The freeze is done, or cannot be: go on with what waited for it, if it is still right. */
void election_on_frozen(Core *core, Effects *out, const ActionResult *done)
{
    core->freezing = false;
    core->frozen = done->ok;
    core->frozen_lsn = done->lsn;
    core->frozen_timeline = done->timeline;
    vote_on_frozen(core, out);
    if (core->phase != CANDIDATE_FREEZE)
        return;
    if (!done->ok || election_obstacle(core) != NULL)
        election_abandon(core, lease_us(core) / 2);
    else
        begin_vote(core, out);
}
