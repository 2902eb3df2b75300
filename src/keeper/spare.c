/*
 * spare.c: one at a time: a rewound node has no vote until it streams again and the others have agreed on it,
 * and for that they need a majority without it.
 */
#include "keeper/spare.h"

#include <stdio.h>

#include "sys/clock.h"

/*
 * Who goes says nothing any more (orders.c), and was answered within the last 1.5 L: an answer comes within L
 * after its question (link.c), and counts for L/2. So the other one had not gone when it answered. It knew
 * from then on that this one asks, and if its slot is the later one, does not count it for 2 L, and after
 * that has to count it for 2 L: 2.5 L at least are left of that. But what this one said before it went counts
 * for 1.5 L at most. A question that comes late only makes the other one wait longer.
 */
#define FRESH_SHARE 2 /* of a lease */
#define ASKS_LEASES 2
#define HOLD_LEASES 2

static bool is_within(const Clock *at, const Clock *now, int64_t us)
{
    return at->boot_us != 0 && clock_elapsed_most(at, now) <= us;
}

void spare_hear(Spare *spare, const Core *core, MemberNo no, const Msg *msg, const Clock *now)
{
    const DocMember *member = &core->persist.doc.member[no];
    ActionKind action = msg->report.action;
    /* A closed server is one whose stop never ends. */
    bool closed = no != core->leader && (action == ACTION_STOP_FAST || action == ACTION_STOP_IMMEDIATE);

    if (!uuid_is_zero(&member->uuid) && !uuid_equal(&member->uuid, &msg->sender))
        return; /* a twin, whose word must not stand for the right one's; or it has no vote */
    if (msg->kind == MSG_HELLO_ACK)
        spare->word[no].answered = msg->report.disk_failed ? (Clock){0} : *now;
    else if (msg->kind == MSG_HELLO && closed)
        spare->word[no].asked = *now;
}

static bool can_spare(const Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size)
{
    const Document *doc = &core->persist.doc;
    int64_t lease_us = (int64_t) doc->lease_ms * US_PER_MS;
    int have = 0, first = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        bool answers = is_within(&spare->word[no].answered, now, lease_us / FRESH_SHARE);
        if (no == core->self || !doc->member[no].voter || !answers)
            continue;
        bool goes_first = no < core->self && is_within(&spare->word[no].asked, now, ASKS_LEASES * lease_us);
        have += !goes_first;
        if (goes_first && first == MEMBER_NONE)
            first = no;
    }
    if (have >= document_majority(doc))
        return true;
    if (first != MEMBER_NONE)
        snprintf(ret_why, size, "%s is to be rewound first, and then this node", doc->member[first].name);
    else
        snprintf(
            ret_why, size,
            "without this node there are %d votes, and %d are needed: start the nodes that do not answer",
            have, document_majority(doc));
    return false;
}

bool spare_can_leave(Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size)
{
    int64_t lease_us = (int64_t) core->persist.doc.lease_ms * US_PER_MS;
    bool paused = !is_within(&spare->looked, now, lease_us / FRESH_SHARE);

    spare->looked = *now;
    ret_why[0] = '\0';
    bool can = can_spare(spare, core, now, ret_why, size);
    if (!can || paused)
        spare->since = (Clock){0};
    if (can && spare->since.boot_us == 0)
        spare->since = *now;
    return can && clock_elapsed_most(&spare->since, now) >= HOLD_LEASES * lease_us;
}
