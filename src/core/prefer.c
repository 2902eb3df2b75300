/*
 * prefer.c: two data members without a third, and the standby has the only vote (protocol.md, "Two members").
 *
 * Then the primary's lease is the standby's word, and the standby elects itself when that has run out. So it
 * gets the only vote when all that is acknowledged is there as well, and as long as the primary has none, no
 * commit does without the standby. Votes move one at a time, as members do: the primary's, both, the
 * standby's.
 */
#include "core/internal.h"

static MemberSet bit(MemberNo no)
{
    return (MemberSet) (1u << no);
}

/* Besides the primary: who has a vote, or is ready for one, and does not leave. */
static MemberSet others(const Core *core, const Document *doc)
{
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const DocMember *member = &doc->member[no];
        if (no == doc->primary || member->kind == MEMBER_FREE || member->leaving)
            continue;
        if (member->voter || (view_answers(core, no) && membership_is_ready(core, doc, no)))
            set |= bit(no);
    }
    return set;
}

/* The policy is for one data member besides the primary, or until there is one. */
static bool applies(const Core *core, const Document *doc)
{
    return core->options.standby_votes && doc->primary != MEMBER_NONE &&
           syncset_count(others(core, doc)) <= 1;
}

/* Besides the primary: who has a vote now, also one that is about to leave. */
static MemberSet voters(const Document *doc)
{
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != doc->primary && doc->member[no].kind != MEMBER_FREE && doc->member[no].voter)
            set |= bit(no);
    return set;
}

/*
 * All that is acknowledged from now on is on the standby as well, and so is the promise that the lease rests
 * on: one that was won without it says nothing of what the standby may do alone.
 */
static bool is_covered(const Core *core, const Document *doc)
{
    MemberSet set = voters(doc);
    bool rests = core_lease_holds(core, &core->now) && core->lease_base.boot_us >= core->doc_at.boot_us;

    return (rests && doc->synchronous && doc->sync_needed > 0 &&
            doc->sync_set == (set | bit(doc->primary))) ||
           MUTANT(VOTE_UNCOVERED);
}

/*
 * Without the primary's the only vote would be that of a member that stays. With one that leaves beside it
 * either would need the other; and one that leaves could not any more if its vote were the only one.
 */
static bool is_sole(const Core *core, const Document *doc)
{
    return voters(doc) != 0 && voters(doc) == others(core, doc);
}

bool prefer_admits(const Core *core, const Document *doc, MemberNo no)
{
    const Report *report = &core->peer[no].report;

    if (doc->primary != MEMBER_NONE && !doc->member[doc->primary].voter)
        return false; /* that one's is next */
    if (!applies(core, doc))
        return true;
    return report->pg.streaming && !report->no_failover && !report->no_sync;
}

bool prefer_votes(const Core *core, const Document *doc, MemberNo no)
{
    const DocMember *member = &doc->member[no];
    MemberNo primary = doc->primary;

    if (primary != core->self || (no != primary && !member->voter))
        return member->voter;
    if (no == primary && !(applies(core, doc) && is_sole(core, doc)))
        return true;
    if (no == primary)
        return member->voter && !is_covered(core, doc);
    /* Nobody is elected against the primary's vote: it may go on alone at once. */
    bool alone = applies(core, doc) && doc->member[primary].voter && !view_answers(core, no) &&
                 !core_lease_holds(core, &core->now);
    return !alone;
}

void prefer_sync(const Core *core, SyncMode *ret_mode, uint8_t *ret_k)
{
    const Document *doc = &core->persist.doc;

    *ret_mode = core->options.sync_mode;
    *ret_k = core->options.sync_k;
    if (!document_is_voter(core, doc->primary) && !MUTANT(VOTE_UNCOVERED)) {
        *ret_mode = SYNC_STRICT;
        *ret_k = 1;
    } else if (*ret_mode == SYNC_OFF && applies(core, doc)) {
        *ret_mode = SYNC_ON;
        *ret_k = 1;
    }
}
