/*
 * test_keeper_spare.c: rewinding one node at a time: what a closed one counts, and that no two of them go
 * together, whenever each was closed and heard of the other.
 */
#include "keeper/spare.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"

#define LEASE_MS 1000
#define LEASE_US ((int64_t) LEASE_MS * US_PER_MS)
#define ASK_US   (LEASE_US / 5)

static Clock at_us(int64_t us)
{
    return (Clock){.boot_us = us, .raw_us = us};
}

/* Member no of so many, all of them voters; the last one leads. */
static Core *member(MemberNo no, int count)
{
    static Core cores[MEMBER_MAX];
    Core *core = &cores[no];
    Document *doc = &core->persist.doc;

    memset(core, 0, sizeof *core);
    doc->lease_ms = LEASE_MS;
    for (int i = 0; i < count; i++) {
        snprintf(doc->member[i].name, sizeof doc->member[i].name, "%c", 'a' + i);
        doc->member[i].kind = MEMBER_DATA;
        doc->member[i].voter = true;
        doc->member[i].uuid.byte[0] = (uint8_t) (i + 1);
    }
    core->self = no;
    core->leader = doc->primary = count - 1;
    return core;
}

static Msg word_of(MemberNo no, MsgKind kind, bool closed)
{
    Msg msg = {.from = no, .kind = kind};

    msg.sender.byte[0] = (uint8_t) (no + 1);
    msg.report.action = closed ? ACTION_STOP_IMMEDIATE : ACTION_NONE;
    return msg;
}

static void hear(Spare *spare, const Core *core, const Msg *msg, const Clock *now)
{
    if (msg != NULL)
        spare_hear(spare, core, msg->from, msg, now);
}

/* What b of three hears of a, again and again for so long; why it does not go, or "" and *ret_goes. */
static const char *after_hearing(const Msg *one, const Msg *other, bool *ret_goes)
{
    static char why[160];
    const Core *core = member(1, 3);
    Msg leader = word_of(2, MSG_HELLO_ACK, false);
    Spare spare = {0};

    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        hear(&spare, core, &leader, &now);
        hear(&spare, core, one, &now);
        hear(&spare, core, other, &now);
        *ret_goes = spare_can_leave(&spare, core, &now, why, sizeof why);
    }
    return why;
}

static void counts_the_others(void **state)
{
    Msg answer = word_of(0, MSG_HELLO_ACK, false);
    bool goes;

    (void) state;
    assert_string_equal(after_hearing(&answer, NULL, &goes), "");
    assert_true(goes);
    assert_has(after_hearing(NULL, NULL, &goes), "there are 1 votes, and 2 are needed");
    assert_false(goes);
    answer.sender.byte[0] = 77; /* rewound, and not known again yet */
    assert_has(after_hearing(&answer, NULL, &goes), "there are 1 votes");
    assert_false(goes);
    answer = word_of(0, MSG_HELLO_ACK, false);
    answer.report.disk_failed = true;
    assert_has(after_hearing(&answer, NULL, &goes), "there are 1 votes");
    assert_false(goes);
}

/* Only an answer shows that the other one has heard that this one asks. */
static void counts_only_answers(void **state)
{
    Msg word = word_of(0, MSG_HELLO, false), vote = word_of(0, MSG_PREVOTE, false);
    bool goes;

    (void) state;
    assert_has(after_hearing(&word, &vote, &goes), "there are 1 votes");
    assert_false(goes);
}

/* A closed one that asks goes first; one that is closed and never asks does not go at all. */
static void waits_for_who_asks(void **state)
{
    Msg answer = word_of(0, MSG_HELLO_ACK, true), question = word_of(0, MSG_HELLO, true);
    bool goes;

    (void) state;
    assert_has(after_hearing(&answer, &question, &goes), "a is to be rewound first");
    assert_false(goes);
    assert_string_equal(after_hearing(&answer, NULL, &goes), "");
    assert_true(goes);
    question = word_of(0, MSG_HELLO, false); /* it hears no leader, and is not closed */
    assert_string_equal(after_hearing(&answer, &question, &goes), "");
    assert_true(goes);
}

/* From the last question on: two leases in which it goes first, two in which it is counted. */
static void waits_after_a_question(void **state)
{
    const Core *core = member(1, 3);
    Spare spare = {0};
    char why[160];
    bool goes = false;

    (void) state;
    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 5 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        Msg leader = word_of(2, MSG_HELLO_ACK, false), first = word_of(0, MSG_HELLO_ACK, true);
        Msg question = word_of(0, MSG_HELLO, true);
        hear(&spare, core, &leader, &now);
        hear(&spare, core, &first, &now);
        hear(&spare, core, us == US_PER_SEC ? &question : NULL, &now);
        goes = spare_can_leave(&spare, core, &now, why, sizeof why);
        assert_true(!goes || us >= US_PER_SEC + 4 * LEASE_US);
    }
    assert_true(goes);
}

/* Another server of that name neither takes the right one's vote away nor goes first in its place. */
static void hears_no_twin(void **state)
{
    Msg right = word_of(0, MSG_HELLO_ACK, false), twin = word_of(0, MSG_HELLO_ACK, false);
    bool goes;

    (void) state;
    twin.sender.byte[0] = 77;
    assert_string_equal(after_hearing(&right, &twin, &goes), "");
    assert_true(goes);
    twin = word_of(0, MSG_HELLO, true);
    twin.sender.byte[0] = 77;
    assert_string_equal(after_hearing(&right, &twin, &goes), "");
    assert_true(goes);
}

static void forgets_what_is_old(void **state)
{
    const Core *core = member(1, 3);
    Spare spare = {0};
    char why[160];

    (void) state;
    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        Msg leader = word_of(2, MSG_HELLO_ACK, false), first = word_of(0, MSG_HELLO_ACK, false);
        hear(&spare, core, &leader, &now);
        if (us < US_PER_SEC + LEASE_US)
            hear(&spare, core, &first, &now);
        assert_false(spare_can_leave(&spare, core, &now, why, sizeof why));
    }
}

/* Time in which it did not ask is not time in which it could be spared. */
static void begins_anew_after_a_pause(void **state)
{
    const Core *core = member(1, 3);
    Spare spare = {0};
    char why[160];
    int64_t pauses_us = US_PER_SEC + LEASE_US, resumes_us = pauses_us + 3 * LEASE_US;

    (void) state;
    for (int64_t us = US_PER_SEC; us <= resumes_us + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        Msg leader = word_of(2, MSG_HELLO_ACK, false), first = word_of(0, MSG_HELLO_ACK, false);
        hear(&spare, core, &leader, &now);
        hear(&spare, core, &first, &now);
        if (us < pauses_us || us >= resumes_us)
            assert_int_equal(spare_can_leave(&spare, core, &now, why, sizeof why),
                             us >= resumes_us + 2 * LEASE_US);
    }
}

/* Of five, a majority is left without both. */
static void goes_along_where_there_are_enough(void **state)
{
    const Core *core = member(1, 5);
    Spare spare = {0};
    bool goes = false;
    char why[160];

    (void) state;
    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        Msg question = word_of(0, MSG_HELLO, true);
        hear(&spare, core, &question, &now);
        for (MemberNo no = 0; no < 5; no++) {
            Msg msg = word_of(no, MSG_HELLO_ACK, no == 0);
            if (no != core->self)
                hear(&spare, core, &msg, &now);
        }
        goes = spare_can_leave(&spare, core, &now, why, sizeof why);
    }
    assert_true(goes);
}

/* ---- Two that were closed at any time, and ask with pauses ---- */

#define PAUSES_US (16 * LEASE_US) /* none begins after that */
#define END_US    (60 * LEASE_US)

/* A question and its answer: the next one is sent when that has come, or after a lease. */
typedef struct Question {
    bool under_way;
    int64_t asked_us, comes_us; /* comes 0: it was heard */
    int64_t answer_us;          /* 0: there is none */
} Question;

typedef struct Node {
    const Core *core;
    Spare spare;
    int64_t closed_us, left_us; /* left 0: not yet */
    int64_t ask_us, resume_us;
    bool deaf; /* nothing comes from the other to it but answers */
    Question question[3];
} Node;

/* Mostly short, now and then up to a lease. */
static int64_t delay_us(uint64_t *rng)
{
    int64_t most_us = rng_below(rng, 20) == 0 ? LEASE_US : LEASE_US / 20;

    return 1 + (int64_t) rng_below(rng, (uint64_t) most_us);
}

static void ask(Node *node, int64_t us, uint64_t *rng)
{
    node->ask_us = us + ASK_US;
    for (MemberNo no = 0; no < 3; no++)
        if (no != node->core->self && !node->question[no].under_way)
            node->question[no] =
                (Question){.under_way = true, .asked_us = us, .comes_us = us + delay_us(rng)};
}

/* What has come by now, at either end. */
static void carry(Node *node, Node *other, int64_t us, uint64_t *rng)
{
    Clock now = at_us(us);

    for (MemberNo no = 0; no < 3; no++) {
        Question *question = &node->question[no];
        bool to_other = no == other->core->self;
        Msg asks = word_of(node->core->self, MSG_HELLO, true), answer = word_of(no, MSG_HELLO_ACK, false);
        if (question->under_way && question->comes_us != 0 && us >= question->comes_us) {
            question->comes_us = 0;
            if (to_other && !other->deaf)
                hear(&other->spare, other->core, &asks, &now);
            if (!to_other || (!other->deaf && other->left_us == 0))
                question->answer_us = us + delay_us(rng);
        }
        bool late = us - question->asked_us > LEASE_US;
        if (question->answer_us != 0 && us >= question->answer_us && !late)
            hear(&node->spare, node->core, &answer, &now);
        if (late || (question->answer_us != 0 && us >= question->answer_us))
            question->under_way = false;
    }
}

static void turn(Node *node, int64_t us, uint64_t *rng)
{
    Clock now = at_us(us);
    char why[160];

    if (us < node->closed_us || us < node->resume_us || node->left_us != 0)
        return;
    if (us < PAUSES_US && rng_below(rng, 200) == 0) {
        node->resume_us = us + (int64_t) rng_below(rng, (uint64_t) (4 * LEASE_US));
        return;
    }
    if (us >= node->ask_us)
        ask(node, us, rng);
    if (spare_can_leave(&node->spare, node->core, &now, why, sizeof why))
        node->left_us = us;
}

/* One that has left is never back here: the other may not go at all. One of them always goes. */
static void never_two_at_once(void **state)
{
    uint64_t rng = 7;
    int seconds = 0;

    (void) state;
    for (int run = 0; run < 1000; run++) {
        Node first = {.core = member(0, 3)}, second = {.core = member(1, 3)};
        first.closed_us = US_PER_SEC + (int64_t) rng_below(&rng, (uint64_t) (8 * LEASE_US));
        second.closed_us = US_PER_SEC + (int64_t) rng_below(&rng, (uint64_t) (8 * LEASE_US));
        first.deaf = run % 10 == 1;
        second.deaf = run % 10 == 2;
        for (int64_t us = US_PER_SEC; us < END_US; us += 10 * US_PER_MS) {
            carry(&first, &second, us, &rng);
            carry(&second, &first, us, &rng);
            turn(&first, us, &rng);
            turn(&second, us, &rng);
        }
        if ((first.left_us == 0) == (second.left_us == 0))
            fail_msg("run %d, closed at %lld and %lld: they go at %lld and %lld", run,
                     (long long) first.closed_us, (long long) second.closed_us, (long long) first.left_us,
                     (long long) second.left_us);
        seconds += second.left_us != 0;
    }
    assert_in_range(seconds, 120, 880); /* either of them, not only when the other one is deaf */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_the_others),
        cmocka_unit_test(counts_only_answers),
        cmocka_unit_test(waits_for_who_asks),
        cmocka_unit_test(waits_after_a_question),
        cmocka_unit_test(hears_no_twin),
        cmocka_unit_test(forgets_what_is_old),
        cmocka_unit_test(begins_anew_after_a_pause),
        cmocka_unit_test(goes_along_where_there_are_enough),
        cmocka_unit_test(never_two_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
