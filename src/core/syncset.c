/*
 * syncset.c: whom commits wait for, and the order in which that and the document change. Pure: from what is,
 * the next step.
 *
 * A change of the document that makes q larger is safe at any time; one that makes it smaller (a member
 * leaves R, k rises) needs the names first, effective everywhere, and the barrier: what was acknowledged by
 * the names before is then on kp of the new N. Names may change whenever the document covers them.
 */
#include "core/internal.h"

int syncset_count(MemberSet set)
{
    int count = 0;

    for (; set != 0; set &= (MemberSet) (set - 1))
        count++;
    return count;
}

static MemberSet minus(MemberSet set, MemberSet gone)
{
    return (MemberSet) (set ^ (set & gone));
}

static MemberSet without(MemberSet set, MemberNo no)
{
    return no >= 0 ? minus(set, (MemberSet) (1u << no)) : set;
}

int syncset_quorum(const Document *doc)
{
    return doc->synchronous ? syncset_count(doc->sync_set) - doc->sync_needed : 0;
}

bool syncset_alone(const Document *doc)
{
    return doc->synchronous && syncset_quorum(doc) > syncset_count(without(doc->sync_set, doc->primary));
}

bool syncset_covers(const Document *doc, const Names *names)
{
    MemberSet others = without(doc->sync_set, doc->primary);
    int needed = 0;

    if (!doc->synchronous || syncset_alone(doc))
        return true;
    if (names->kind == NAMES_UNKNOWN || names->kind == NAMES_FOREIGN)
        return false;
    if (names->kind == NAMES_OURS) {
        /* Nobody bears the name of another epoch: that acknowledges nothing. */
        if (names->epoch != doc->epoch || syncset_count(names->set) < names->needed)
            return true;
        others |= without(names->set, doc->primary);
        needed = names->needed;
    }
    return needed + syncset_quorum(doc) > syncset_count(others);
}

bool syncset_names_equal(const Names *a, const Names *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind != NAMES_OURS || (a->set == b->set && a->needed == b->needed && a->epoch == b->epoch);
}

static SyncStep asynchronous(const Document *doc, const Names *now)
{
    SyncStep step = {.set = (MemberSet) (1u << doc->primary)};

    if (doc->synchronous)
        step.kind = SYNC_PROPOSE;
    else if (now->kind == NAMES_OURS || now->kind == NAMES_NONE)
        step.kind = SYNC_SET_NAMES;
    return step;
}

static Names names_of(const Document *doc, MemberSet set, int needed)
{
    return (Names){
        .kind = needed > 0 ? NAMES_OURS : NAMES_NONE,
        .set = needed > 0 ? set : 0,
        .needed = (uint8_t) needed,
        .epoch = needed > 0 ? doc->epoch : 0,
    };
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

/*
 * Too few are in sync, and commits are to wait for ever rather than for fewer: who may come back stays in R,
 * since it has all that was acknowledged. Only who has lost it leaves; with k less by as many, q stays what
 * it was, so that needs no names first. The document's k is as large as can be: whoever has all may take
 * over.
 */
static SyncStep strict_shortage(const Document *doc, const SyncView *view)
{
    MemberSet gone = doc->sync_set & view->lost;
    MemberSet keep = without(minus(doc->sync_set, gone) | view->good, doc->primary);
    int needed = most(doc->sync_needed - syncset_count(gone), syncset_count(view->good));
    SyncStep want = {.synchronous = true, .names = names_of(doc, keep, view->k)};

    want.needed = (uint8_t) least(needed, view->k);
    want.set = (MemberSet) ((want.needed > 0 ? keep : 0u) | 1u << doc->primary);
    return want;
}

/* Where it is to end, whatever the way. */
static SyncStep wanted(const Document *doc, const SyncView *view)
{
    int good = syncset_count(view->good), needed = least(view->k, good);
    SyncStep want = {.synchronous = true, .needed = (uint8_t) needed};

    if (view->mode == SYNC_STRICT && good < view->k)
        return strict_shortage(doc, view);
    want.names = names_of(doc, view->good, needed);
    want.set = (MemberSet) (want.names.set | 1u << doc->primary);
    return want;
}

static SyncStep propose(const SyncStep *want, MemberSet set, int needed)
{
    SyncStep step = *want;

    step.kind = SYNC_PROPOSE;
    step.set = set;
    step.needed = (uint8_t) needed;
    return step;
}

/* q stays what it was, or nobody may take over any more. */
static SyncStep drop_lost(const Document *doc, const SyncStep *want, MemberSet gone)
{
    int needed = least(most(doc->sync_needed - syncset_count(gone), 0), want->needed);
    MemberSet kept = minus(doc->sync_set, gone);

    if (needed == 0)
        kept = (MemberSet) (1u << doc->primary);
    return propose(want, kept, needed);
}

SyncStep syncset_next(const Document *doc, const SyncView *view)
{
    const MemberSet alone = (MemberSet) (1u << doc->primary);

    if (view->mode == SYNC_OFF)
        return asynchronous(doc, &view->names);
    SyncStep want = wanted(doc, view);
    if (!doc->synchronous)
        return propose(&want, alone, 0);

    MemberSet gone = doc->sync_set & view->lost;
    if (view->mode == SYNC_STRICT && gone != 0 && syncset_count(view->good) < view->k)
        return drop_lost(doc, &want, gone);
    if (!syncset_names_equal(&view->names, &want.names)) {
        want.kind = SYNC_SET_NAMES;
        if (syncset_covers(doc, &want.names) || MUTANT(NAMES_FIRST))
            return want;
        if (want.needed == 0)
            return propose(&want, alone, 0);
        return propose(&want, doc->sync_set | want.set, least(doc->sync_needed, want.needed));
    }
    if (view->effective && want.set == doc->sync_set && want.needed == doc->sync_needed) {
        want.kind = SYNC_STEADY;
        return want;
    }
    if (view->effective && (view->confirmed >= want.needed || MUTANT(NO_BARRIER)))
        return propose(&want, want.set, want.needed);
    want.kind = SYNC_WAITS;
    return want;
}

Names syncset_takeover_names(const Document *doc, SyncMode mode, uint8_t k)
{
    int needed = mode == SYNC_STRICT && k > doc->sync_needed ? k : doc->sync_needed;

    if (!doc->synchronous)
        return (Names){0};
    return names_of(doc, without(doc->sync_set, doc->primary), needed);
}
