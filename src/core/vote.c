/*
 * vote.c: the voter's side of an election: who gets my prevote and my vote, and when.
 *
 * A data node that follows somebody first stops following, durably, and only then votes: no WAL that the old
 * primary acknowledges afterwards can count on it. A voter promised to a living leader does not even adopt a
 * term.
 */
#include "core/internal.h"

/* The release that I hold, if its words fit the promise that somebody may have given. */
static bool release_frees(const Core *core, const Msg *msg)
{
    const Release *release = &msg->release;
    const Promise *promise = &core->promise;

    return !uuid_is_zero(&release->leader) && uuid_equal(&release->leader, &promise->uuid) &&
           release->term == promise->term && release->inc == promise->inc && release->seq >= promise->seq &&
           release->to == msg->from;
}

/* A former primary, or one that was about to be, votes only when its server can write no more, or is kept
 * from acknowledging by a fence that is closed: with the vote it stays so until a lease is won anew. */
static bool may_still_write(const Core *core)
{
    bool named = core->persist.doc.primary == core->self;
    bool unsure = core->pg.state == PG_UNKNOWN || core->pg.state == PG_STARTING || core->pg.processes_left;

    bool fenced = core->pg.fenced && !lease_grace(core);
    bool becomes = core->promoting || core->action.kind == ACTION_START_PRIMARY;

    return lease_may_write(core) || (core->pg.state == PG_PRIMARY && !fenced) || becomes || (named && unsure);
}

static Refusal judge(const Core *core, const Msg *msg)
{
    if (core->disk_failed)
        return REFUSAL_DISK;
    if (core->persist.outside)
        return REFUSAL_NOT_VOTER;
    /* A newer document than mine may know better. */
    if (!document_is_voter(core, core->self) && document_compare(msg->doc_id, core->persist.doc.id) <= 0)
        return REFUSAL_NOT_VOTER;
    if (election_silent(core))
        return REFUSAL_SILENT;
    if (resolve_refuses(core, msg))
        return REFUSAL_CHOICE;
    if (lease_promised(core, &msg->sender) && !release_frees(core, msg))
        return REFUSAL_PROMISED;
    if ((core->role == ROLE_LEADER && core_lease_holds(core, &core->now)) ||
        (core->persist.doc.epoch > 0 && may_still_write(core)))
        return REFUSAL_PROMISED;
    return REFUSAL_NONE;
}

void vote_on_prevote(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;
    Refusal refusal = judge(core, msg);
    Effect *effect = core_answer_msg(core, out, event, MSG_PREVOTE_ACK);

    effect->msg.inc = msg->inc;
    effect->msg.granted = refusal == REFUSAL_NONE;
    effect->msg.refusal = refusal;
    effect->msg.has_doc = document_is_news(core, msg->doc_id);
    if (effect->msg.has_doc)
        core_after(core, effect, core->doc_persist);
}

static void answer_vote(Core *core, Effects *out, Refusal refusal, bool frozen)
{
    uint32_t after = 0;

    if (refusal == REFUSAL_NONE) {
        core->persist.term = core->ballot.term;
        core->persist.voted_for = core->ballot.uuid;
        after = core->ballot.persist = core->accept_persist = core_persist(core, out);
        core->role = ROLE_FOLLOWER;
        core->phase = CANDIDATE_NONE;
        core->leader = MEMBER_NONE;
        core->doc_in_force = false;
        plan_abandon(core);
        lease_drop(core);
        election_stand_back(core);
    }
    Effect *effect = core_send(core, out, core->ballot.candidate, MSG_VOTE_ACK);
    effect->token = core->ballot.token;
    if (after != 0)
        core_after(core, effect, after);
    effect->msg.inc = core->ballot.inc;
    effect->msg.granted = refusal == REFUSAL_NONE;
    effect->msg.frozen = frozen;
    effect->msg.refusal = refusal;
    core->ballot.pending = false;
}

/* Whoever waits for a vote hears that there will be none. */
void vote_refuse_pending(Core *core, Effects *out)
{
    if (core->ballot.pending)
        answer_vote(core, out, REFUSAL_BUSY, false);
}

static Refusal judge_vote(const Core *core, const Msg *msg)
{
    Refusal refusal = judge(core, msg);

    if (refusal != REFUSAL_NONE)
        return refusal;
    if (msg->term < core->persist.term)
        return REFUSAL_TERM;
    if (msg->term == core->persist.term && !uuid_equal(&core->persist.voted_for, &msg->sender) &&
        !uuid_is_zero(&core->persist.voted_for))
        return REFUSAL_VOTED;
    if (document_compare(msg->doc_id, core->persist.doc.id) < 0)
        return REFUSAL_DOCUMENT;
    return REFUSAL_NONE;
}

/*
 * The candidate is the very primary that I follow, by the same document: nobody takes over, so nothing that
 * it acknowledges can be lost by this vote, and its standbys need not stop following it (IncumbentNoBounce).
 */
static bool is_incumbent_of_mine(const Core *core, const Msg *msg)
{
    return document_compare(msg->doc_id, core->persist.doc.id) == 0 &&
           candidate_reports_incumbent(core, msg->from, &msg->report);
}

void vote_on_vote(Core *core, Effects *out, const Event *event)
{
    const Msg *msg = event->msg;
    Refusal refusal = judge_vote(core, msg);
    bool busy = core->ballot.pending && !uuid_equal(&core->ballot.uuid, &msg->sender);

    if (refusal != REFUSAL_NONE || busy) {
        Effect *effect = core_answer_msg(core, out, event, MSG_VOTE_ACK);
        effect->msg.inc = msg->inc;
        effect->msg.refusal = refusal != REFUSAL_NONE ? refusal : REFUSAL_BUSY;
        return;
    }
    vote_refuse_pending(core, out); /* it asks again */
    core->ballot.candidate = msg->from;
    core->ballot.uuid = msg->sender;
    core->ballot.term = msg->term;
    core->ballot.inc = msg->inc;
    core->ballot.doc_id = msg->doc_id;
    core->ballot.release = msg->release;
    core->ballot.kept = msg->kept;
    core->ballot.token = event->reply_token;
    if (core->pg.state != PG_STANDBY || core->frozen || is_incumbent_of_mine(core, msg) ||
        MUTANT(NO_FREEZE)) {
        answer_vote(core, out, REFUSAL_NONE, core->frozen || MUTANT(NO_FREEZE));
        return;
    }
    core->ballot.pending = true;
    if (!core->freezing) {
        core->freezing = true;
        server_act(core, out, ACTION_FREEZE);
    }
}

/* The freeze is done, or cannot be: go on with the vote that waited for it, if it is still right. */
void vote_on_frozen(Core *core, Effects *out)
{
    if (!core->ballot.pending)
        return;
    Msg again = {
        .from = core->ballot.candidate,
        .sender = core->ballot.uuid,
        .term = core->ballot.term,
        .doc_id = core->ballot.doc_id,
        .release = core->ballot.release,
        .kept = core->ballot.kept,
    };
    answer_vote(core, out, judge_vote(core, &again), core->frozen);
}
