/*
 * test_core_standbys.c: synchronous mode in the core's other parts: which positions count in an election,
 * what a takeover keeps, what a server is told, the barrier, and the setting's text.
 */
#include "unit.h"

#include "core_fixture.h"

#define ONLY(no) ((MemberSet) (1u << (no)))
#define ABC      ((MemberSet) (ONLY(A) | ONLY(B) | ONLY(C)))

/* b stands in term 5 for the synchronous cluster of a; b and c are frozen at the same position. q is 2. */
static Core candidate(void)
{
    Core core = fixture_core(B);

    core.persist.doc.synchronous = true;
    core.persist.doc.sync_set = ABC;
    core.persist.doc.sync_needed = 1;
    core.persist.term = 5;
    core.phase = CANDIDATE_VOTE;
    core.pg.names = (Names){.kind = NAMES_OURS, .needed = 1, .epoch = 2, .generation = 1};
    core.pg.names_effective = true;
    core.frozen = true;
    core.frozen_lsn = 5000;
    core.frozen_timeline = 2;
    core.peer[C].vote_ok = core.peer[C].vote_frozen = true;
    core.peer[C].vote_position = core.peer[C].position;
    return core;
}

#define LACK(change, lack)                                                                                   \
    do {                                                                                                     \
        Core core = candidate();                                                                             \
        Peer *c = &core.peer[C];                                                                             \
        Document *doc = &core.persist.doc;                                                                   \
        (void) c, (void) doc;                                                                                \
        change;                                                                                              \
        if (candidate_positions_lack(&core, true) != (lack))                                                 \
            fail_msg("%s: %d are missing", #change, candidate_positions_lack(&core, true));                  \
    } while (0)

static Release release_of(uint64_t term, Lsn lsn)
{
    return (Release){.leader = fixture_uuid(A), .term = term, .to = B, .lsn = lsn};
}

static void positions_that_count(void **state)
{
    (void) state;
    LACK((void) 0, 0);
    LACK(c->vote_frozen = false, 1);
    LACK(c->vote_ok = false, 1);
    LACK(c->uuid = fixture_uuid(9), 1); /* wiped: another one under its name */
    LACK(doc->member[C].voter = false, 1);
    LACK(c->vote_position.known = false, 1);
    LACK(c->vote_position.lsn = 5001, 1); /* ahead of me: it may have what I lack */
    LACK(c->vote_position.lsn = 4000, 0);
    LACK((c->vote_position.epoch = 1, c->vote_position.lsn = 2900), 0);
    LACK((c->vote_position.epoch = 1, c->vote_position.lsn = 3100), 1); /* on a fork */
    LACK(doc->sync_set = ONLY(A) | ONLY(B), 0);
    LACK(core.frozen = false, 1);
    LACK((doc->sync_needed = 2, c->vote_ok = false), 0);
    LACK((doc->sync_set = ONLY(A) | ONLY(C), doc->sync_needed = 1), 0); /* by another's position */
    LACK((doc->sync_set = ONLY(A), doc->sync_needed = 0), 1);           /* nobody but a */
    LACK(doc->synchronous = false, 0);
    /* The former primary's own position does not count. */
    LACK((c->vote_ok = false, core.peer[A].vote_ok = core.peer[A].vote_frozen = true,
          core.peer[A].vote_position = core.peer[A].position),
         1);
}

static void what_needs_no_positions(void **state)
{
    (void) state;
    LACK((c->vote_ok = false, core.accept_loss = true), 0);
    LACK((c->vote_ok = false, core.xfer = release_of(4, 5000)), 0);
    LACK((c->vote_ok = false, core.xfer = release_of(4, 5001)), 1); /* it has not got all of it */
    LACK((c->vote_ok = false, core.xfer = release_of(4, LSN_NONE)), 1);
    LACK((c->vote_ok = false, core.xfer = release_of(3, 5000)), 1); /* a may have led once more in term 4 */
    LACK((c->vote_ok = false, core.xfer = release_of(4, 5000), core.xfer.leader = fixture_uuid(C)), 1);
}

static void assert_obstacle(const Core *core, const char *part)
{
    const char *text = candidate_obstacle(core);

    if (part == NULL && text != NULL)
        fail_msg("%s", text);
    if (part != NULL) {
        assert_non_null(text);
        assert_has(text, part);
    }
}

static void who_may_stand(void **state)
{
    Core core = candidate();

    (void) state;
    core.persist.primary_at =
        (Position){true, core.persist.doc.epoch, 9000000}; /* no lag is too large, none is small enough */
    assert_obstacle(&core, NULL);
    core.pg.names.kind = NAMES_FOREIGN;
    assert_obstacle(&core, "not told yet");
    core = candidate();
    core.persist.doc.sync_set = ONLY(A) | ONLY(C);
    assert_obstacle(&core, NULL);
    core.pg.names_effective = false;
    assert_obstacle(&core, "not told yet");
    core.persist.doc.sync_set = ONLY(A);
    core.persist.doc.sync_needed = 0;
    assert_obstacle(&core, "only the former primary");
    core.accept_loss = true;
    assert_obstacle(&core, NULL);
}

/* Nobody waits for a member that said so, whatever it has, nor for one whose own commits would not wait now.
 */
static void who_is_kept_out(void **state)
{
    Core core = fixture_core(A);
    (void) state;

    core.persist.doc.synchronous = true;
    core.options.sync_mode = SYNC_ON;
    core.options.sync_k = 1;
    core.options.sync_timeout_ms = 3000;
    core.role = ROLE_LEADER;
    core.leader = A;
    core.leased = core.doc_in_force = true;
    core.epoch_in_force = core.persist.doc.epoch;
    core.lease_base = core.now;
    core.lease_base_ms = 1000;
    core.pg.names = (Names){.kind = NAMES_OURS, .set = ONLY(B), .needed = 1, .epoch = 2};
    core.peer[B].sync_at = core.peer[C].sync_at = core.now;
    core.peer[B].sync_ready = core.peer[C].sync_ready = true;
    core.peer[B].report.no_sync = true;
    core.peer[C].report.no_failover = false;
    core.acted_us = 0;
    core.looked_us = 1;
    core.peer[C].sync_ready = false; /* a moment ago it was; now it takes its names away */
    standbys_tick(&core, &fixture_out);
    assert_true(core.sync_evaluated);
    assert_int_equal(core.sync_good & ABC, 0);
    core.peer[C].sync_ready = true;
    standbys_tick(&core, &fixture_out);
    assert_int_equal(core.sync_good & ABC, ONLY(C));
}

static void a_takeover_keeps_the_set(void **state)
{
    Core core = candidate();
    Document doc = core.persist.doc;

    (void) state;
    doc.sync_set = ONLY(A) | ONLY(C);
    document_take_over(&core, &doc);
    assert_true(doc.synchronous);
    assert_int_equal(doc.sync_set, ABC);
    assert_int_equal(doc.sync_needed, 1);
    assert_int_equal(doc.primary, B);
    Names names = syncset_takeover_names(&doc, SYNC_ON, 1);
    assert_int_equal(names.set, ONLY(A) | ONLY(C));
    assert_int_equal(names.epoch, 3);
    assert_true(syncset_covers(&doc, &names));
    names = syncset_takeover_names(&doc, SYNC_STRICT, 2);
    assert_int_equal(names.needed, 2);

    core.accept_loss = true;
    doc = core.persist.doc;
    document_take_over(&core, &doc);
    assert_int_equal(doc.sync_set, ONLY(B));
    assert_int_equal(doc.sync_needed, 0);
}

static void what_a_server_is_told(void **state)
{
    Core core = candidate();

    (void) state;
    Names names = standbys_names_for(&core, ACTION_START_STANDBY);
    assert_int_equal(names.kind, NAMES_OURS);
    assert_int_equal(names.set, 0);
    assert_int_equal(names.generation, 2);
    assert_int_equal(standbys_names_for(&core, ACTION_FOLLOW).kind, NAMES_UNKNOWN);
    core.names_told.generation = 7;
    assert_int_equal(standbys_names_for(&core, ACTION_PROMOTE).generation, 8);
    core.persist.doc.synchronous = false;
    assert_int_equal(standbys_names_for(&core, ACTION_PROMOTE).kind, NAMES_UNKNOWN);
    assert_true(standbys_names_are_due(&core)); /* the placeholder goes */
    core.pg.names.kind = NAMES_FOREIGN;
    assert_false(standbys_names_are_due(&core));
}

static void look(Core *core, int64_t ms)
{
    Observation before = core->pg;

    core->looked_us = fixture_clock(ms).boot_us;
    core->now = fixture_clock(ms + 1);
    fixture_out.count = 0;
    standbys_on_observed(core, &fixture_out, &before);
}

/* What this process did not set may still be on its way into the server, whatever that shows. */
static void the_barrier(void **state)
{
    Core core = fixture_core(A);

    (void) state;
    core.persist.doc.synchronous = true;
    core.persist.doc.sync_set = ABC;
    core.persist.doc.sync_needed = 1;
    core.pg.names =
        (Names){.kind = NAMES_OURS, .set = ABC & ~ONLY(A), .needed = 1, .epoch = 2, .generation = 4};
    core.pg.names_effective = true;
    core.names_told = core.pg.names;
    core.names_told.generation = 5; /* under way */
    look(&core, 6000);
    look(&core, 6100);
    assert_int_equal(core.barrier, LSN_NONE);
    core.pg.names.generation = 5;
    look(&core, 6200);
    assert_int_equal(core.barrier, LSN_NONE); /* only a look that began after one that showed them */
    core.pg.lsn = 7000;
    look(&core, 6300);
    assert_int_equal(core.barrier, 7000);
    core.pg.lsn = 8000;
    look(&core, 6400);
    assert_int_equal(core.barrier, 7000);
    core.pg.names_effective = false;
    look(&core, 6500);
    assert_int_equal(core.barrier, LSN_NONE);
}

static void names_as_text(void **state)
{
    static const char *const foreign[] = {"",
                                          "*",
                                          "a_e2",
                                          "ANY 1 (a_e2)",
                                          "ANY 0 (\"a_e2\")",
                                          "ANY 1 (\"a_e2\", \"x_e2\")",
                                          "ANY 1 (\"a_e2\", \"b_e3\")",
                                          "ANY 1 (\"b_e2\", \"a_e2\")",
                                          "ANY 1 (\"a_e2\") ",
                                          "ANY 1 (\"a_e2\"",
                                          "ANY 1 (\"a\")",
                                          "ANY 99999999999 (\"a_e2\")",
                                          "FIRST 1 (\"a_e2\")",
                                          "ANY 1 ("};
    Core core = fixture_core(B);
    const Document *doc = &core.persist.doc;
    Names names = {.kind = NAMES_OURS, .set = ONLY(A) | ONLY(C), .needed = 2, .epoch = 7};
    char text[SYNCSET_TEXT_LEN];

    (void) state;
    syncset_names_write(&names, doc, text, sizeof text);
    assert_string_equal(text, "ANY 2 (\"a_e7\", \"c_e7\")");
    Names back = syncset_names_read(text, doc);
    assert_true(syncset_names_equal(&back, &names));
    names.set = 0;
    syncset_names_write(&names, doc, text, sizeof text);
    assert_string_equal(text, "ANY 2 (\"pgvigil.nobody_e7\")");
    back = syncset_names_read(text, doc);
    assert_true(syncset_names_equal(&back, &names));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (syncset_names_read(foreign[i], doc).kind != NAMES_FOREIGN)
            fail_msg("ours: %s", foreign[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_that_count),
        cmocka_unit_test(what_needs_no_positions),
        cmocka_unit_test(who_may_stand),
        cmocka_unit_test(who_is_kept_out),
        cmocka_unit_test(a_takeover_keeps_the_set),
        cmocka_unit_test(what_a_server_is_told),
        cmocka_unit_test(the_barrier),
        cmocka_unit_test(names_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
