/*
 * test_core_membership.c: slots and identities: what an old message, another machine, or a member that was
 * removed must not be taken for.
 */
#include "core_fixture.h"
#include "unit.h"

/* a leads, its document is in force, and everybody has granted its newest round. */
static Core leader(void)
{
    Core core = fixture_core(A);

    core.role = ROLE_LEADER;
    core.leader = core.self;
    core.led_term = core.persist.term;
    core.seq = 10;
    core.round[core.seq % ROUND_MAX] = (Round){.seq = core.seq, .lease_ms = 1000, .sent = core.now};
    core.leased = core.doc_in_force = true;
    core.lease_base = core.heartbeat_at = core.view_at = core.now;
    core.lease_base_ms = 1000;
    core.epoch_in_force = 2;
    for (int no = B; no < MEMBERS; no++)
        core.peer[no].acked_seq = core.seq;
    return core;
}

/* The newest change is on disk here and at everybody who has a place. */
static void put_in_force(Core *core)
{
    core->persisted_seq = core->persist_seq;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        core->peer[no].doc_id = core->persist.doc.id;
    core->doc_in_force = true;
}

static Command order(CommandKind kind, const char *name)
{
    Command command = {.token = 3, .kind = kind, .target = MEMBER_NONE, .member_kind = MEMBER_DATA};

    snprintf(command.name, sizeof command.name, "%s", name);
    return command;
}

/* The answer, or NULL. */
static const Effect *give(Core *core, CommandKind kind, const char *name)
{
    Command command = order(kind, name);

    fixture_out.count = 0;
    membership_on_command(core, &fixture_out, &command);
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_ANSWER)
            return &fixture_out.effect[i];
    return NULL;
}

static bool step(Core *core)
{
    Document doc = core->persist.doc;

    fixture_out.count = 0;
    if (!membership_step(core, &doc))
        return false;
    document_propose(core, &fixture_out, &doc);
    put_in_force(core);
    return true;
}

/* c goes, d comes into its slot: nothing of c is left there, whatever still arrives in its name. */
static void a_slot_is_of_one_identity(void **state)
{
    Core core = leader();

    (void) state;
    assert_int_equal(give(&core, COMMAND_MEMBER_REMOVE, "c")->answer, ANSWER_STARTED);
    put_in_force(&core);
    assert_true(core.persist.doc.member[C].leaving && core.persist.doc.member[C].voter);
    assert_true(step(&core));
    assert_false(core.persist.doc.member[C].voter);
    assert_int_equal(document_majority(&core.persist.doc), 2);
    assert_true(step(&core));
    assert_int_equal(core.persist.doc.member[C].kind, MEMBER_FREE);
    assert_false(core.peer[C].heard);
    assert_false(step(&core));
    membership_tick(&core, &fixture_out);
    assert_int_equal(core.op.state, OP_DONE);

    assert_int_equal(give(&core, COMMAND_MEMBER_ADD, "d")->answer, ANSWER_STARTED);
    put_in_force(&core);
    assert_string_equal(core.persist.doc.member[C].name, "d");
    assert_false(core.peer[C].heard || document_is_voter(&core, C));
    /* c's name has no slot: what it says is a stranger's word, and gives nobody a vote. */
    assert_int_equal(document_find(&core.persist.doc, "c"), MEMBER_NONE);
    Msg msg = fixture_msg(&core, MSG_HEARTBEAT_ACK, C);
    msg.from = MEMBER_NONE;
    msg.inc = core.inc;
    msg.seq = core.seq;
    msg.granted = true;
    fixture_step(&core, 5010, &msg);
    assert_int_equal(core.peer[C].acked_seq, 0);
    assert_false(step(&core)); /* d was not heard of yet */
}

/* A joiner with data has its vote when it streams, and only where it is found by the configuration. */
static void a_joiner_votes_when_it_streams(void **state)
{
    Core core = leader();

    (void) state;
    core.persist.doc.member[C] = (DocMember){.kind = MEMBER_DATA, .name = "d"};
    core.peer[C].acked_seq = 0;
    assert_true(step(&core)); /* who it is */
    assert_true(uuid_equal(&core.persist.doc.member[C].uuid, &core.peer[C].uuid));
    assert_false(step(&core)); /* it spoke, and answered nothing that it was asked */
    core.peer[C].acked_seq = core.seq;
    core.peer[C].report.pg.streaming = false;
    assert_false(step(&core));
    core.peer[C].report.pg.streaming = true;
    assert_true(step(&core));
    assert_true(document_is_voter(&core, C));
}

static void refuses(Core *core, CommandKind kind, const char *name, const char *why)
{
    const Effect *answer = give(core, kind, name);

    assert_int_equal(answer->answer, ANSWER_REFUSED);
    assert_has(answer->text, why);
}

static void orders_are_refused_with_the_reason(void **state)
{
    Core core = leader();

    (void) state;
    refuses(&core, COMMAND_MEMBER_REMOVE, "a", "is the primary");
    refuses(&core, COMMAND_MEMBER_REMOVE, "x", "no member x");
    refuses(&core, COMMAND_MEMBER_ADD, "b", "is a member already");
    core.peer[B].heard_at = core.peer[W].heard_at = fixture_clock(0);
    refuses(&core, COMMAND_MEMBER_REMOVE, "c", "2 votes would be needed");
    core.peer[B].heard_at = core.now;
    core.options.sync_mode = SYNC_STRICT;
    core.options.sync_k = 2;
    refuses(&core, COMMAND_MEMBER_REMOVE, "c", "fewer standbys than each commit waits for (2, strict)");
    core.options.sync_mode = SYNC_OFF;
    core.persist.doc.member[W].voter = false;
    refuses(&core, COMMAND_MEMBER_REMOVE, "c", "w is still being taken in");
    core.persist.doc.member[W].leaving = true;
    refuses(&core, COMMAND_MEMBER_ADD, "d", "w is still being removed");
    refuses(&core, COMMAND_MEMBER_ADD, "w", "wait until it is gone");
    core.persist.doc.member[W] = (DocMember){.kind = MEMBER_WITNESS, .voter = true, .name = "w"};
    for (int no = 0; no < MEMBER_MAX; no++)
        if (core.persist.doc.member[no].kind == MEMBER_FREE) {
            core.persist.doc.member[no] = (DocMember){.kind = MEMBER_WITNESS, .voter = true};
            snprintf(core.persist.doc.member[no].name, MEMBER_NAME_LEN, "m%d", no);
        }
    refuses(&core, COMMAND_MEMBER_ADD, "d", "no room for more");
    core.pending.token = 9;
    refuses(&core, COMMAND_MEMBER_REMOVE, "c", "another change is under way");
    core.role = ROLE_FOLLOWER;
    refuses(&core, COMMAND_MEMBER_REMOVE, "c", "leads the cluster");
}

/* A reload reaches one member after the other; a file that stays another one ends the order. */
static void an_order_waits_for_the_file(void **state)
{
    Core core = leader();

    (void) state;
    core.peer[B].config_hash = 5;
    assert_int_equal(give(&core, COMMAND_MEMBER_ADD, "d")->answer, ANSWER_STARTED);
    core.now = fixture_clock(6000);
    core.peer[B].heard_at = core.now;
    membership_tick(&core, &fixture_out);
    assert_int_equal(core.op.state, OP_RUNNING);
    assert_int_equal(document_find(&core.persist.doc, "d"), MEMBER_NONE);
    core.now = core.peer[B].heard_at = fixture_clock(7001);
    membership_tick(&core, &fixture_out);
    assert_int_equal(core.op.state, OP_FAILED);
    assert_has(core.op.text, "b has another configuration file");
    assert_int_equal(give(&core, COMMAND_MEMBER_ADD, "d")->answer, ANSWER_STARTED);
    core.peer[B].config_hash = 0;
    core.doc_in_force = false; /* and for the change before it */
    membership_tick(&core, &fixture_out);
    assert_int_equal(core.pending.token, 3);
    core.doc_in_force = true;
    membership_tick(&core, &fixture_out);
    assert_string_equal(core.persist.doc.member[document_find(&core.persist.doc, "d")].name, "d");
}

/* Who hears no leader takes a newer document from anybody: it may be what lets somebody be elected. */
static void leaderless_takes_what_is_newer(void **state)
{
    Core core = fixture_core(B);
    Msg msg = fixture_msg(&core, MSG_HELLO_ACK, W);
    Document newer = core.persist.doc;
    Event event = {.kind = EVENT_MESSAGE, .now = fixture_clock(5000), .msg = &msg, .doc = &newer};

    (void) state;
    newer.id = msg.doc_id = (DocId){.term = 5, .version = 12};
    msg.has_doc = true;
    core.leader = A;
    core.promise = (Promise){.active = true, .uuid = fixture_uuid(A), .lease_ms = 1000, .since = core.now};
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.persist.doc.id.term, 4);
    core.leader = MEMBER_NONE;
    core.persist.outside = true; /* let in again meanwhile, by a leader that its own document does not know */
    core_step(&core, &event, &fixture_out);
    assert_int_equal(core.persist.doc.id.term, 5);
    assert_int_equal(core.persist.term, 5); /* it votes in no older one any more */
}

/* While it is in the sync set, commits may be waiting for it. */
static void who_is_waited_for_stays(void **state)
{
    Core core = leader();

    (void) state;
    core.persist.doc.member[C].leaving = true;
    core.persist.doc.sync_set = 1u << A | 1u << C;
    assert_false(step(&core));
    core.persist.doc.sync_set = 1u << A;
    assert_true(step(&core));
    assert_false(core.persist.doc.member[C].voter);
}

/* What one identity granted is not the next one's under its name. */
static void a_grant_is_of_one_identity(void **state)
{
    Core core = leader();
    Msg msg = fixture_msg(&core, MSG_HELLO, B);

    (void) state;
    msg.sender = (Uuid){{0x99}};
    fixture_step(&core, 5100, &msg); /* while b itself is there: refused */
    assert_int_equal(fixture_sent(MSG_HELLO_ACK)->refusal, REFUSAL_TWIN);
    assert_true(uuid_equal(&core.peer[B].uuid, &(Uuid){{2}}));
    core.peer[B].heard_at = fixture_clock(4000);
    fixture_step(&core, 5101, &msg); /* b has been silent: it may be b that lost its state */
    assert_true(uuid_equal(&core.peer[B].uuid, &msg.sender));
    assert_int_equal(core.peer[B].acked_seq, 0);
    assert_false(document_is_voter(&core, B));
}

/* A copied state directory: one vote for its node id would be one for both, and a document with it twice is
 * no document. */
static void a_node_id_is_of_one_member(void **state)
{
    Core core = leader();
    Msg msg = fixture_msg(&core, MSG_HELLO, C);

    (void) state;
    core.persist.doc.member[C].uuid = (Uuid){0};
    core.peer[C] = (Peer){0};
    msg.sender = fixture_uuid(B);
    fixture_step(&core, 5100, &msg);
    assert_int_equal(fixture_sent(MSG_HELLO_ACK)->refusal, REFUSAL_TWIN);
    msg.sender = core.persist.node_uuid;
    fixture_step(&core, 5101, &msg);
    assert_int_equal(fixture_sent(MSG_HELLO_ACK)->refusal, REFUSAL_TWIN);
    assert_false(core.peer[C].heard || step(&core));
    core.persist.doc.member[B].uuid = (Uuid){0}; /* not bound yet: it was there first */
    msg.sender = fixture_uuid(B);
    fixture_step(&core, 5102, &msg);
    assert_int_equal(fixture_sent(MSG_HELLO_ACK)->refusal, REFUSAL_TWIN);
    msg.sender = fixture_uuid(C);
    fixture_step(&core, 5103, &msg);
    assert_int_equal(fixture_sent(MSG_HELLO_ACK)->refusal, REFUSAL_NONE);
    assert_true(core.peer[C].heard);
}

/* A newer document without me: no vote, no candidacy, and no message obeyed, until one names me again. */
static void outside(void **state)
{
    Core core = fixture_core(B);
    Document doc = core.persist.doc, back = core.persist.doc;
    Msg msg = fixture_msg(&core, MSG_HELLO_ACK, A);
    Event event = {.kind = EVENT_MESSAGE, .now = fixture_clock(5001), .msg = &msg, .doc = &doc};

    (void) state;
    doc.id.version++;
    doc.member[B] = (DocMember){0};
    msg.has_doc = true;
    core_step(&core, &event, &fixture_out);
    assert_true(core.persist.outside && core.self == B);
    assert_has(candidate_obstacle(&core), "pgvigil member add");
    Msg vote = fixture_msg(&core, MSG_PREVOTE, C);
    fixture_step(&core, 5002, &vote);
    assert_int_equal(fixture_sent(MSG_PREVOTE_ACK)->refusal, REFUSAL_NOT_VOTER);
    msg = fixture_msg(&core, MSG_HEARTBEAT, A);
    msg.has_doc = true;
    back.id.version += 2;
    event.doc = &back;
    event.now = fixture_clock(5003);
    core_step(&core, &event, &fixture_out);
    assert_false(core.persist.outside);
    assert_int_equal(core.leader, A);
}

/* A vote that is not on disk yet: the term of a grant would not be there either. */
static void a_grant_waits_for_the_record_of_a_vote(void **state)
{
    Core core = fixture_core(B);
    Msg vote = fixture_msg(&core, MSG_VOTE, A), beat;

    (void) state;
    core.frozen = true;
    vote.term = core.persist.term + 1;
    vote.doc_id = core.persist.doc.id;
    fixture_step(&core, 5001, &vote);
    assert_true(fixture_sent(MSG_VOTE_ACK)->granted);
    beat = fixture_msg(&core, MSG_HEARTBEAT, A);
    fixture_step(&core, 5002, &beat);
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_SEND &&
            fixture_out.effect[i].msg.kind == MSG_HEARTBEAT_ACK) {
            assert_true(fixture_out.effect[i].msg.granted);
            assert_true(fixture_out.effect[i].after_persist > 0);
        }
    assert_non_null(fixture_sent(MSG_HEARTBEAT_ACK));
}

/* As with a configuration file that was copied: who speaks in my name is told, and I say so; not I to me. */
static void my_name_is_anothers(void **state)
{
    Core core = fixture_core(B);
    Msg msg = fixture_msg(&core, MSG_HEARTBEAT, B);

    (void) state;
    fixture_step(&core, 5001, &msg);
    assert_null(fixture_sent(MSG_HEARTBEAT_ACK));
    msg.sender = fixture_uuid(7);
    for (int64_t ms = 5100; ms < 8000; ms += 100) {
        assert_false(ms < 7000 && membership_is_twin(&core));
        fixture_step(&core, ms, &msg);
        assert_int_equal(fixture_sent(MSG_HEARTBEAT_ACK)->refusal, REFUSAL_TWIN);
        assert_int_equal(core.leader, MEMBER_NONE);
    }
    assert_true(membership_is_twin(&core));
    assert_false(membership_has_twin(&core, B));
    core = leader(); /* and whoever is told */
    msg.kind = MSG_HEARTBEAT_ACK;
    msg.from = A;
    msg.refusal = REFUSAL_TWIN;
    for (int64_t ms = 5100; ms < 8000; ms += 100) {
        fixture_step(&core, ms, &msg);
        assert_null(fixture_sent(MSG_HEARTBEAT_ACK));
    }
    assert_true(membership_is_twin(&core));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_of_one_identity),
        cmocka_unit_test(a_joiner_votes_when_it_streams),
        cmocka_unit_test(orders_are_refused_with_the_reason),
        cmocka_unit_test(an_order_waits_for_the_file),
        cmocka_unit_test(who_is_waited_for_stays),
        cmocka_unit_test(leaderless_takes_what_is_newer),
        cmocka_unit_test(a_grant_is_of_one_identity),
        cmocka_unit_test(a_node_id_is_of_one_member),
        cmocka_unit_test(outside),
        cmocka_unit_test(my_name_is_anothers),
        cmocka_unit_test(a_grant_waits_for_the_record_of_a_vote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
