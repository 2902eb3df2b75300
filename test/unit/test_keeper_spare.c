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

static Msg word_of(MemberNo no, bool closed)
{
    Msg msg = {.from = no};

    msg.sender.byte[0] = (uint8_t) (no + 1);
    msg.report.action = closed ? ACTION_STOP_IMMEDIATE : ACTION_NONE;
    return msg;
}

/* What b of three hears of a, again and again for so long; why it does not go, or "" and *ret_goes. */
static const char *after_hearing(const Msg *of_first, bool *ret_goes)
{
    static char why[120];
    const Core *core = member(1, 3);
    Msg leader = word_of(2, false);
    Spare spare = {0};

    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        spare_hear(&spare, core, 2, &leader, &now);
        if (of_first != NULL)
            spare_hear(&spare, core, 0, of_first, &now);
        *ret_goes = spare_can_leave(&spare, core, &now, why, sizeof why);
    }
    return why;
}

static void counts_the_others(void **state)
{
    Msg first = word_of(0, false);
    bool goes;

    (void) state;
    assert_string_equal(after_hearing(&first, &goes), "");
    assert_true(goes);
    assert_has(after_hearing(NULL, &goes), "there are 1 votes, and 2 are needed");
    assert_false(goes);
    first.report.action = ACTION_STOP_FAST;
    assert_has(after_hearing(&first, &goes), "a is to be rewound first");
    assert_false(goes);
    first = word_of(0, false);
    first.sender.byte[0] = 77; /* rewound, and not known again yet */
    assert_has(after_hearing(&first, &goes), "there are 1 votes");
    assert_false(goes);
    first = word_of(0, false);
    first.report.disk_failed = true;
    assert_has(after_hearing(&first, &goes), "there are 1 votes");
    assert_false(goes);
}

static void forgets_what_is_old(void **state)
{
    const Core *core = member(1, 3);
    Spare spare = {0};
    char why[120];

    (void) state;
    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        Msg leader = word_of(2, false), first = word_of(0, false);
        spare_hear(&spare, core, 2, &leader, &now);
        if (us < US_PER_SEC + LEASE_US)
            spare_hear(&spare, core, 0, &first, &now);
        assert_false(spare_can_leave(&spare, core, &now, why, sizeof why));
    }
}

/* Of five, a majority is left without both. */
static void goes_along_where_there_are_enough(void **state)
{
    const Core *core = member(1, 5);
    Spare spare = {0};
    bool goes = false;
    char why[120];

    (void) state;
    for (int64_t us = US_PER_SEC; us <= US_PER_SEC + 3 * LEASE_US; us += ASK_US) {
        Clock now = at_us(us);
        for (MemberNo no = 0; no < 5; no++) {
            Msg msg = word_of(no, no == 0);
            if (no != core->self)
                spare_hear(&spare, core, no, &msg, &now);
        }
        goes = spare_can_leave(&spare, core, &now, why, sizeof why);
    }
    assert_true(goes);
}

/* ---- Two that were closed at any time ---- */

typedef struct Node {
    const Core *core;
    Spare spare;
    int64_t closed_us, left_us; /* left 0: not yet */
    int64_t ask_us;             /* the next question to both others */
    struct {
        int64_t come_us; /* 0: none is on its way */
        bool closed;
    } answer[3];
} Node;

static void ask(Node *node, const Node *other, int64_t us, uint64_t *rng)
{
    node->ask_us = us + ASK_US;
    for (MemberNo no = 0; no < 3; no++) {
        bool silent = no == other->core->self && other->left_us != 0;
        if (no == node->core->self || silent || node->answer[no].come_us != 0)
            continue;
        node->answer[no].come_us = us + 1 + (int64_t) rng_below(rng, (uint64_t) LEASE_US / 10);
        node->answer[no].closed = no == other->core->self && us >= other->closed_us;
    }
}

static void turn(Node *node, const Node *other, int64_t us, uint64_t *rng)
{
    Clock now = at_us(us);
    char why[120];

    if (us < node->closed_us || node->left_us != 0)
        return;
    if (us >= node->ask_us)
        ask(node, other, us, rng);
    for (MemberNo no = 0; no < 3; no++) {
        Msg msg = word_of(no, node->answer[no].closed);
        if (node->answer[no].come_us == 0 || node->answer[no].come_us > us)
            continue;
        node->answer[no].come_us = 0;
        spare_hear(&node->spare, node->core, no, &msg, &now);
    }
    if (spare_can_leave(&node->spare, node->core, &now, why, sizeof why))
        node->left_us = us;
}

/* One that has left is never back here: the other may not go at all. */
static void never_two_at_once(void **state)
{
    uint64_t rng = 7;

    (void) state;
    for (int run = 0; run < 500; run++) {
        Node first = {.core = member(0, 3)}, second = {.core = member(1, 3)};
        first.closed_us = US_PER_SEC + (int64_t) rng_below(&rng, (uint64_t) (4 * LEASE_US));
        second.closed_us = US_PER_SEC + (int64_t) rng_below(&rng, (uint64_t) (4 * LEASE_US));
        for (int64_t us = US_PER_SEC; us < US_PER_SEC + 12 * LEASE_US; us += 10 * US_PER_MS) {
            turn(&first, &second, us, &rng);
            turn(&second, &first, us, &rng);
        }
        if ((first.left_us == 0) == (second.left_us == 0))
            fail_msg("closed at %lld and %lld: %s", (long long) first.closed_us, (long long) second.closed_us,
                     first.left_us != 0 ? "both go" : "nobody goes");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_the_others),
        cmocka_unit_test(forgets_what_is_old),
        cmocka_unit_test(goes_along_where_there_are_enough),
        cmocka_unit_test(never_two_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
