/*
 * test_core_syncset.c: the order in which names and document change: each row of the design's table, and a
 * small world of its own in which the leader's steps, stale processes, restarts and takeovers come in any
 * order. In it nothing acknowledged may ever be missing from who takes over.
 */
#include "core/core.h"
#include "unit.h"

#include "base/rng.h"

#include <string.h>

enum { P, X, Y, Z, NODES };
#define ONLY(no) ((MemberSet) (1u << (no)))

#define DOC(is_synchronous, r, k)                                                                            \
    {                                                                                                        \
        .synchronous = (is_synchronous), .sync_set = (r), .sync_needed = (k), .epoch = 5                     \
    }
#define OURS(n, kp)                                                                                          \
    {                                                                                                        \
        .kind = NAMES_OURS, .set = (n), .needed = (kp), .epoch = 5, .generation = 1                          \
    }
#define NOBODY                                                                                               \
    {                                                                                                        \
        .kind = NAMES_NONE, .generation = 1                                                                  \
    }
#define FOREIGN                                                                                              \
    {                                                                                                        \
        .kind = NAMES_FOREIGN                                                                                \
    }

static Document document(bool synchronous, MemberSet set, int needed)
{
    Document doc = DOC(synchronous, set, (uint8_t) needed);
    return doc;
}

static Names ours(MemberSet set, int needed)
{
    return (Names) OURS(set, (uint8_t) needed);
}

#define PX  (ONLY(P) | ONLY(X))
#define PXY (ONLY(P) | ONLY(X) | ONLY(Y))
#define XY  (ONLY(X) | ONLY(Y))

static void overlap_is_what_it_says(void **state)
{
    static const struct {
        MemberSet set;
        int needed;
        MemberSet names;
        int kp;
        bool covered;
    } rows[] = {
        {PX, 1, ONLY(X), 1, true},   {PX, 1, XY, 1, false},  {PXY, 1, XY, 1, true},
        {PXY, 1, ONLY(X), 1, true},  {PXY, 2, XY, 1, false}, {PXY, 2, XY, 2, true},
        {PXY, 2, ONLY(X), 1, false}, {PXY, 1, XY, 2, true},  {ONLY(P), 0, XY, 1, true},
        {ONLY(P), 0, 0, 0, true},    {PXY, 0, 0, 0, true},   {PX, 1, 0, 0, false},
        {PX, 1, 0, 1, true}, /* the placeholder acknowledges nothing */
    };

    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Document doc = document(true, rows[i].set, rows[i].needed);
        Names names = rows[i].kp > 0 ? ours(rows[i].names, rows[i].kp) : (Names) NOBODY;
        if (syncset_covers(&doc, &names) != rows[i].covered)
            fail_msg("row %zu", i);
    }
    Document doc = document(true, PX, 1);
    Names names = {.kind = NAMES_FOREIGN};
    assert_false(syncset_covers(&doc, &names));
    names = ours(XY, 1);
    names.epoch = 4; /* borne by nobody */
    assert_true(syncset_covers(&doc, &names));
    doc = document(false, 0, 0);
    names.kind = NAMES_UNKNOWN;
    assert_true(syncset_covers(&doc, &names));
}

typedef struct Row {
    const char *what;
    Document doc;
    SyncMode mode;
    uint8_t k;
    MemberSet good, lost;
    Names names;
    bool effective, confirmed; /* by all of N, or by none */
    SyncStepKind kind;
    MemberSet set; /* PROPOSE: R; SET_NAMES: N */
    int needed;
} Row;

static const Row rows[] = {
    {"add y, same k: document", DOC(true, PX, 1), SYNC_ON, 1, XY, 0, OURS(ONLY(X), 1), true, true,
     SYNC_PROPOSE, PXY, 1},
    {"add y: then names", DOC(true, PXY, 1), SYNC_ON, 1, XY, 0, OURS(ONLY(X), 1), true, true, SYNC_SET_NAMES,
     XY, 1},
    {"add y: done", DOC(true, PXY, 1), SYNC_ON, 1, XY, 0, OURS(XY, 1), true, false, SYNC_STEADY, 0, 0},
    {"remove y: names", DOC(true, PXY, 1), SYNC_ON, 1, ONLY(X), 0, OURS(XY, 1), true, true, SYNC_SET_NAMES,
     ONLY(X), 1},
    {"remove y: effective", DOC(true, PXY, 1), SYNC_ON, 1, ONLY(X), 0, OURS(ONLY(X), 1), false, true,
     SYNC_WAITS, 0, 0},
    {"remove y: barrier", DOC(true, PXY, 1), SYNC_ON, 1, ONLY(X), 0, OURS(ONLY(X), 1), true, false,
     SYNC_WAITS, 0, 0},
    {"remove y: document", DOC(true, PXY, 1), SYNC_ON, 1, ONLY(X), 0, OURS(ONLY(X), 1), true, true,
     SYNC_PROPOSE, PX, 1},
    {"raise k: names", DOC(true, PXY, 1), SYNC_ON, 2, XY, 0, OURS(XY, 1), true, true, SYNC_SET_NAMES, XY, 2},
    {"raise k: barrier", DOC(true, PXY, 1), SYNC_ON, 2, XY, 0, OURS(XY, 2), true, false, SYNC_WAITS, 0, 0},
    {"raise k: document", DOC(true, PXY, 1), SYNC_ON, 2, XY, 0, OURS(XY, 2), true, true, SYNC_PROPOSE, PXY,
     2},
    {"lower k: document", DOC(true, PXY, 2), SYNC_ON, 1, XY, 0, OURS(XY, 2), true, true, SYNC_PROPOSE, PXY,
     1},
    {"lower k: names", DOC(true, PXY, 1), SYNC_ON, 1, XY, 0, OURS(XY, 2), true, true, SYNC_SET_NAMES, XY, 1},
    {"two become one: document first", DOC(true, PXY, 2), SYNC_ON, 2, ONLY(X), 0, OURS(XY, 2), true, true,
     SYNC_PROPOSE, PXY, 1},
    {"alone to synchronous: names", DOC(true, ONLY(P), 0), SYNC_ON, 1, ONLY(X), 0, NOBODY, true, true,
     SYNC_SET_NAMES, ONLY(X), 1},
    {"alone to synchronous: barrier", DOC(true, ONLY(P), 0), SYNC_ON, 1, ONLY(X), 0, OURS(ONLY(X), 1), true,
     false, SYNC_WAITS, 0, 0},
    {"alone to synchronous: document", DOC(true, ONLY(P), 0), SYNC_ON, 1, ONLY(X), 0, OURS(ONLY(X), 1), true,
     true, SYNC_PROPOSE, PX, 1},
    {"synchronous to alone: document", DOC(true, PX, 1), SYNC_ON, 1, 0, 0, OURS(ONLY(X), 1), true, true,
     SYNC_PROPOSE, ONLY(P), 0},
    {"synchronous to alone: names", DOC(true, ONLY(P), 0), SYNC_ON, 1, 0, 0, OURS(ONLY(X), 1), true, true,
     SYNC_SET_NAMES, 0, 0},
    {"off to on: nobody but P", DOC(false, ONLY(P), 0), SYNC_ON, 1, ONLY(X), 0, FOREIGN, true, true,
     SYNC_PROPOSE, ONLY(P), 0},
    {"on to off: document", DOC(true, PX, 1), SYNC_OFF, 1, ONLY(X), 0, OURS(ONLY(X), 1), true, true,
     SYNC_PROPOSE, ONLY(P), 0},
    {"on to off: names", DOC(false, ONLY(P), 0), SYNC_OFF, 1, ONLY(X), 0, OURS(ONLY(X), 1), true, true,
     SYNC_SET_NAMES, 0, 0},
    {"off: foreign names are the operator's", DOC(false, ONLY(P), 0), SYNC_OFF, 1, 0, 0, FOREIGN, true, true,
     SYNC_STEADY, 0, 0},
    {"strict, nobody there: the placeholder", DOC(true, ONLY(P), 0), SYNC_STRICT, 1, 0, 0, NOBODY, true, true,
     SYNC_SET_NAMES, 0, 1},
    {"strict, nobody there: it stays", DOC(true, ONLY(P), 0), SYNC_STRICT, 1, 0, 0, OURS(0, 1), true, false,
     SYNC_STEADY, 0, 0},
    {"strict: who is away stays in R", DOC(true, PX, 1), SYNC_STRICT, 1, 0, 0, OURS(ONLY(X), 1), true, false,
     SYNC_STEADY, 0, 0},
    {"strict: one of two is away, k is met", DOC(true, PXY, 1), SYNC_STRICT, 1, ONLY(X), 0, OURS(XY, 1), true,
     true, SYNC_SET_NAMES, ONLY(X), 1},
    {"strict: one of two is away, k is not met", DOC(true, PXY, 2), SYNC_STRICT, 2, ONLY(X), 0, OURS(XY, 2),
     true, false, SYNC_STEADY, 0, 0},
    {"strict: the only one was wiped", DOC(true, PX, 1), SYNC_STRICT, 1, 0, ONLY(X), OURS(ONLY(X), 1), true,
     false, SYNC_PROPOSE, ONLY(P), 0},
    {"strict: one of two was wiped: q stays", DOC(true, PXY, 2), SYNC_STRICT, 2, ONLY(X), ONLY(Y),
     OURS(XY, 2), true, false, SYNC_PROPOSE, PX, 1},
    {"strict: k raised beyond who is there", DOC(true, PX, 1), SYNC_STRICT, 2, ONLY(X), 0, OURS(ONLY(X), 1),
     true, true, SYNC_SET_NAMES, ONLY(X), 2},
    {"somebody else's names are replaced", DOC(true, PX, 1), SYNC_ON, 1, ONLY(X), 0, FOREIGN, true, true,
     SYNC_SET_NAMES, ONLY(X), 1},
};

static void steps_come_in_their_order(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Row *row = &rows[i];
        SyncView view = {row->mode,
                         row->k,
                         row->good,
                         row->lost,
                         row->names,
                         row->effective,
                         row->confirmed ? syncset_count(row->names.set) : 0};
        SyncStep step = syncset_next(&row->doc, &view);
        bool right = step.kind == row->kind;
        if (right && step.kind == SYNC_PROPOSE)
            right = step.set == row->set && step.needed == row->needed &&
                    step.synchronous == (row->mode != SYNC_OFF);
        if (right && step.kind == SYNC_SET_NAMES)
            right = step.names.set == row->set && step.names.needed == row->needed;
        if (!right)
            fail_msg("%s: step %d set %x needed %d, names %x needed %d", row->what, step.kind, step.set,
                     step.needed, step.names.set, step.names.needed);
    }
}

/* ---- A world ---- */

typedef struct World {
    uint64_t rng;
    Document force, proposed; /* proposed: possibly in force as well */
    bool pending;
    int primary;
    Names names,
        process[NODES]; /* as set; as each walsender has them, by standby; [primary]: the checkpointer */
    uint64_t flush[NODES], acked, barrier;
    bool has_barrier, up[NODES], lost[NODES];
    SyncMode mode;
    uint8_t k;
    long takeovers, steps[SYNC_PROPOSE + 1];
} World;

static bool chance(World *w, unsigned percent)
{
    return rng_below(&w->rng, 100) < percent;
}

static int any(World *w, int count)
{
    return (int) rng_below(&w->rng, (uint64_t) count);
}

static bool has(MemberSet set, int no)
{
    return (set >> no & 1) != 0;
}

/* What PostgreSQL does: a walsender releases by the names that it has, the checkpointer lets all go at ''. */
static void acknowledge(World *w)
{
    uint64_t *acked = &w->acked, newest = w->flush[w->primary];

    if (w->process[w->primary].kind != NAMES_OURS)
        *acked = newest;
    for (int no = 0; no < NODES; no++) {
        const Names *names = &w->process[no];
        if (no == w->primary || names->kind != NAMES_OURS || !w->up[no])
            continue;
        for (uint64_t lsn = newest; lsn > *acked; lsn--) {
            int have = 0;
            for (int i = 0; i < NODES; i++)
                have += i != w->primary && has(names->set, i) && w->flush[i] >= lsn;
            if (names->epoch == w->force.epoch && have >= names->needed)
                *acked = lsn;
        }
    }
}

static void check_document(const World *w, const Document *doc)
{
    int lacking = 0;

    if (!doc->synchronous)
        return;
    for (int no = 0; no < NODES; no++) {
        lacking += no != w->primary && has(doc->sync_set, no) && !w->lost[no] && w->flush[no] < w->acked;
        if (!syncset_covers(doc, &w->process[no]))
            fail_msg("Overlap: R %x k %d, names %x kp %d", doc->sync_set, doc->sync_needed,
                     w->process[no].set, w->process[no].needed);
    }
    if (lacking >= syncset_quorum(doc))
        fail_msg("AckCovered: R %x k %d, %d of it lack what was acknowledged", doc->sync_set,
                 doc->sync_needed, lacking);
    if (doc->sync_needed >= syncset_count(doc->sync_set) || !has(doc->sync_set, w->primary))
        fail_msg("the document makes no sense");
}

static bool is_effective(const World *w)
{
    for (int no = 0; no < NODES; no++)
        if (w->process[no].generation != w->names.generation)
            return false;
    return true;
}

static void lead(World *w)
{
    int confirmed = 0;

    if (is_effective(w) && !w->has_barrier) {
        w->has_barrier = true;
        w->barrier = w->flush[w->primary];
    }
    SyncView view = {.mode = w->mode, .k = w->k, .names = w->names, .effective = is_effective(w)};
    for (int no = 0; no < NODES; no++) {
        if (no == w->primary)
            continue;
        if (w->lost[no])
            view.lost = (MemberSet) (view.lost | ONLY(no));
        else if (w->up[no])
            view.good = (MemberSet) (view.good | ONLY(no));
        confirmed += has(w->names.set, no) && w->flush[no] >= w->barrier;
    }
    view.confirmed = w->has_barrier ? confirmed : -1;
    SyncStep step = syncset_next(&w->force, &view);
    w->steps[step.kind]++;
    if (step.kind == SYNC_SET_NAMES) {
        uint32_t generation = w->names.generation + 1;
        w->names = step.names;
        if (step.names.kind == NAMES_UNKNOWN)
            w->names.kind = NAMES_FOREIGN; /* what the operator wrote counts again: here '' */
        w->names.generation = generation;
        w->has_barrier = false;
    } else if (step.kind == SYNC_PROPOSE) {
        w->proposed = w->force;
        w->proposed.synchronous = step.synchronous;
        w->proposed.sync_set = step.set;
        w->proposed.sync_needed = step.needed;
        if (memcmp(&w->proposed, &w->force, sizeof w->force) == 0)
            fail_msg("a proposal that changes nothing");
        w->pending = true;
    }
}

/* Somebody takes over by one of the documents that may be in force, with just enough positions. */
static void take_over(World *w)
{
    Document doc = w->pending && chance(w, 50) ? w->proposed : w->force;
    int need = syncset_quorum(&doc), best = -1, from = any(w, NODES);
    bool frozen[NODES] = {false};

    for (int i = 0; i < NODES && (need > 0 || !doc.synchronous); i++) {
        int no = (from + i) % NODES;
        if (no == w->primary || w->lost[no] || (doc.synchronous && !has(doc.sync_set, no)))
            continue;
        frozen[no] = true;
        need--;
        if (best < 0 || w->flush[no] > w->flush[best])
            best = no;
        if (!doc.synchronous)
            break;
    }
    if (best < 0 || need > 0)
        return;
    /* The old primary goes on with those who were not asked. */
    for (int i = 0; i < 3; i++) {
        int no = any(w, NODES);
        if (no == w->primary)
            w->flush[no]++;
        else if (!frozen[no] && w->up[no])
            w->flush[no] = w->flush[w->primary];
        acknowledge(w);
    }
    if (doc.synchronous && w->acked > w->flush[best])
        fail_msg("AckCovered: who took over lacks what was acknowledged");
    w->takeovers++;
    w->primary = best;
    if (w->acked > w->flush[best])
        w->acked = w->flush[best]; /* asynchronous: lost */
    for (int no = 0; no < NODES; no++) {
        if (w->flush[no] > w->flush[best])
            w->flush[no] = w->flush[best];
        w->lost[no] = w->lost[no] && has(doc.sync_set, no);
    }
    doc.epoch++;
    doc.primary = (MemberNo) best;
    doc.sync_set = (MemberSet) ((doc.synchronous ? doc.sync_set : 0) | ONLY(best));
    w->force = doc;
    w->pending = w->has_barrier = false;
    w->names = syncset_takeover_names(&doc, w->mode, w->k);
    if (!doc.synchronous)
        w->names.kind = NAMES_NONE;
    w->names.generation = 1;
    for (int no = 0; no < NODES; no++)
        w->process[no] = w->names;
}

static void move(World *w)
{
    int no = any(w, NODES);
    bool bound = !has(w->force.sync_set, no) && !(w->pending && has(w->proposed.sync_set, no));

    switch (any(w, 14)) {
    case 0: w->flush[w->primary]++; break;
    case 1:
    case 2:
    case 3:
        if (no != w->primary && w->up[no] && !w->lost[no] && w->flush[no] < w->flush[w->primary])
            w->flush[no] += 1 + rng_below(&w->rng, w->flush[w->primary] - w->flush[no]);
        break;
    case 4:
    case 5: w->process[no] = w->names; break;
    case 6:
    case 7:
        if (w->pending)
            w->force = w->proposed;
        w->pending = false;
        break;
    case 8:
        if (chance(w, 30))
            w->up[no] = !w->up[no];
        break;
    case 9: w->has_barrier = w->has_barrier && !chance(w, 10); break; /* the agent was restarted */
    case 10:
        if (chance(w, 3))
            w->mode = (SyncMode) any(w, 3);
        if (chance(w, 3))
            w->k = (uint8_t) (1 + any(w, 3));
        break;
    case 11:
        if (no != w->primary && !w->lost[no] && chance(w, 5)) {
            w->lost[no] = true;
            w->flush[no] = 0;
        } else if (w->lost[no] && bound) {
            w->lost[no] = false; /* let in again under its new identity, copied from the primary */
            w->flush[no] = w->flush[w->primary];
        }
        break;
    case 12:
        if (chance(w, 10))
            take_over(w);
        break;
    default:
        if (!w->pending)
            lead(w);
    }
    acknowledge(w);
    check_document(w, &w->force);
    if (w->pending)
        check_document(w, &w->proposed);
}

static void nothing_acknowledged_is_ever_missing(void **state)
{
    long steps[SYNC_PROPOSE + 1] = {0}, takeovers = 0;

    (void) state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        World w = {.rng = seed, .mode = SYNC_ON, .k = 1};
        w.force.primary = P;
        w.force.sync_set = ONLY(P);
        w.force.epoch = 1;
        w.names.kind = NAMES_NONE;
        for (int no = 0; no < NODES; no++) {
            w.up[no] = true;
            w.process[no] = w.names;
        }
        for (int i = 0; i < 5000; i++)
            move(&w);
        takeovers += w.takeovers;
        for (int i = 0; i <= SYNC_PROPOSE; i++)
            steps[i] += w.steps[i];
    }
    print_message("%ld takeovers; steady %ld, waits %ld, names %ld, documents %ld\n", takeovers,
                  steps[SYNC_STEADY], steps[SYNC_WAITS], steps[SYNC_SET_NAMES], steps[SYNC_PROPOSE]);
    assert_true(takeovers > 1000 && steps[SYNC_PROPOSE] > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlap_is_what_it_says),
        cmocka_unit_test(steps_come_in_their_order),
        cmocka_unit_test(nothing_acknowledged_is_ever_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
