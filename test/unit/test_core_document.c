/*
 * test_core_document.c: the order of documents, and where WAL leaves the cluster's over branching histories.
 */
#include "unit.h"

#include "core_fixture.h"

static void orders_by_term_first(void **state)
{
    (void) state;
    assert_int_equal(document_compare((DocId){2, 1}, (DocId){2, 1}), 0);
    assert_int_equal(document_compare((DocId){2, 1}, (DocId){2, 2}), -1);
    assert_int_equal(document_compare((DocId){2, 9}, (DocId){3, 1}), -1);
    assert_int_equal(document_compare((DocId){3, 1}, (DocId){2, 9}), 1);
    assert_int_equal(document_compare((DocId){0, 0}, (DocId){0, 1}), -1);
}

/*
 * 1 ── 2 (at 1000) ── 3 (at 2000) ── 6 (at 6000)
 *           └─ 4 (at 1500) ── 5 (at 4000)          two takeovers that went another way
 */
static Document branching(void)
{
    Document doc = {0};

    fixture_epoch(&doc, 1, 0, 1, 0);
    fixture_epoch(&doc, 2, 1, 2, 1000);
    fixture_epoch(&doc, 3, 2, 3, 2000);
    fixture_epoch(&doc, 4, 2, 4, 1500);
    fixture_epoch(&doc, 5, 4, 5, 4000);
    fixture_epoch(&doc, 6, 3, 6, 6000);
    return doc;
}

static void forks(void **state)
{
    static const struct {
        uint32_t present, from;
        bool known;
        Lsn fork;
    } rows[] = {
        {6, 6, true, UINT64_MAX}, {6, 3, true, 6000}, {6, 2, true, 2000}, {6, 1, true, 1000},
        {6, 4, true, 1500},       {6, 5, true, 1500}, {5, 3, true, 1500}, {5, 4, true, 4000},
        {5, 6, true, 1500},       {5, 2, true, 1500}, {5, 1, true, 1000}, {3, 5, true, 1500},
        {1, 6, true, 1000},       {2, 5, true, 1500}, {6, 0, false, 0},   {6, 9, false, 0},
    };
    (void) state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Document doc = branching();
        Lsn fork = 0;
        doc.epoch = rows[i].present;
        bool known = document_fork(&doc, rows[i].from, &fork);
        if (known != rows[i].known || (known && fork != rows[i].fork))
            fail_msg("from %u in %u: %d, %llu", rows[i].from, rows[i].present, known,
                     (unsigned long long) fork);
    }
}

/* A parent that is too long ago, or a row that names a later one as its parent, ends the search. */
static void forks_of_broken_histories(void **state)
{
    Document doc = {0};
    Lsn fork;
    (void) state;

    assert_false(document_fork(&doc, 1, &fork));
    fixture_epoch(&doc, 20, 19, 20, 500);
    assert_true(document_fork(&doc, 20, &fork));
    assert_false(document_fork(&doc, 18, &fork));
    fixture_epoch(&doc, 21, 21, 21, 700);
    assert_false(document_fork(&doc, 20, &fork));
}

static void epochs_of_timelines(void **state)
{
    Document doc = branching();
    (void) state;

    assert_int_equal(document_epoch_of(&doc, 3, LSN_NONE, 6), 3);
    assert_int_equal(document_epoch_of(&doc, 3, LSN_NONE, 3), 3);
    /* WAL of an older epoch on a younger one's number: somebody else's fork */
    assert_int_equal(document_epoch_of(&doc, 3, LSN_NONE, 2), 0);
    assert_int_equal(document_epoch_of(&doc, 9, LSN_NONE, 6), 0);
    assert_int_equal(document_epoch_of(&doc, 0, LSN_NONE, 6), 0);
    /* a promotion behind our back took the same number, somewhere else */
    doc.history[2].settled = true;
    assert_int_equal(document_epoch_of(&doc, 3, doc.history[2].start, 6), 3);
    assert_int_equal(document_epoch_of(&doc, 3, doc.history[2].start + 48, 6), 0);
    doc.history[2].settled = false; /* a claim says only roughly where it will begin */
    assert_int_equal(document_epoch_of(&doc, 3, doc.history[2].start + 48, 6), 3);
    /* the newest of two epochs that bear the same number, which only a claim can */
    doc.history[5].timeline = 3;
    assert_int_equal(document_epoch_of(&doc, 3, LSN_NONE, 6), 6);
    assert_int_equal(document_epoch_of(&doc, 3, LSN_NONE, 5), 3);
}

static void takeover_claims_what_nobody_has(void **state)
{
    Core core = fixture_core(B);
    Document doc = core.persist.doc;
    (void) state;

    document_take_over(&core, &doc);
    assert_int_equal(doc.epoch, 3);
    assert_int_equal(doc.primary, B);
    const DocEpoch *row = document_last(&doc);
    assert_int_equal(row->parent, 2);
    assert_int_equal(row->timeline, 3);
    assert_int_equal(row->start, 5000);
    assert_false(row->settled);
    /* a fork here that bears a higher number is not met again */
    uint32_t timeline = core.pg.timeline;
    core.pg.timeline = 8;
    doc = core.persist.doc;
    document_take_over(&core, &doc);
    assert_int_equal(document_last(&doc)->timeline, 9);
    /* the history is bounded and keeps the newest */
    core.pg.timeline = timeline;
    for (int i = 0; i < DOC_HISTORY_MAX + 3; i++)
        document_take_over(&core, &doc);
    assert_int_equal(doc.history_len, DOC_HISTORY_MAX);
    assert_int_equal(document_last(&doc)->epoch, doc.epoch);
    /* and what they all grew from: the claims in between came to nothing */
    assert_int_equal(document_last(&doc)->parent, 2);
    assert_non_null(document_epoch(&doc, 2));
    assert_non_null(document_epoch(&doc, 1));
    /* of epochs that were, the oldest goes */
    for (int i = 0; i < doc.history_len; i++)
        doc.history[i].settled = true;
    document_take_over(&core, &doc);
    assert_null(document_epoch(&doc, 1));
    assert_non_null(document_epoch(&doc, 2));
    /* but for the one that the next grows from */
    document_take_over(&core, &doc);
    assert_non_null(document_epoch(&doc, 2));
}

static void voters_are_known_by_identity(void **state)
{
    Core core = fixture_core(B);
    (void) state;

    assert_true(document_is_voter(&core, C));
    assert_true(document_is_voter(&core, W));
    assert_false(document_is_voter(&core, 7));
    assert_false(document_is_voter(&core, MEMBER_NONE));
    assert_int_equal(document_majority(&core.persist.doc), 3);
    core.peer[C].uuid = fixture_uuid(30); /* wiped */
    assert_false(document_is_voter(&core, C));
    core.persist.node_uuid = fixture_uuid(31);
    assert_false(document_is_voter(&core, B));
    core.persist.doc.member[C].uuid = (Uuid){0}; /* not heard of yet: taken at its name's word */
    assert_true(document_is_voter(&core, C));
    core.persist.doc.member[C].voter = false;
    assert_false(document_is_voter(&core, C));
    core.persist.doc.member[W].voter = false;
    assert_int_equal(document_majority(&core.persist.doc), 2);
}

/* That a majority has it proves nothing of a document of somebody else's term. */
static void inherited_document_is_not_in_force(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    core.role = ROLE_LEADER;
    core.leader = core.self;
    core.persist.term = 5;
    fixture_out.count = 0;
    document_tick(&core, &fixture_out);
    assert_false(core.doc_in_force);
    core.persist.doc.id.term = 5;
    document_tick(&core, &fixture_out);
    assert_false(core.doc_in_force); /* nobody has it yet */
    core.peer[B].doc_id = core.peer[W].doc_id = core.persist.doc.id;
    document_tick(&core, &fixture_out);
    assert_false(
        core.doc_in_force); /* they have it, but follow somebody of an older term, or of a newer one */
    core.peer[B].term = core.peer[W].term = 5;
    document_tick(&core, &fixture_out);
    assert_true(core.doc_in_force);
    assert_int_equal(core.epoch_in_force, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_by_term_first),
        cmocka_unit_test(forks),
        cmocka_unit_test(forks_of_broken_histories),
        cmocka_unit_test(epochs_of_timelines),
        cmocka_unit_test(takeover_claims_what_nobody_has),
        cmocka_unit_test(voters_are_known_by_identity),
        cmocka_unit_test(inherited_document_is_not_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
