/*
 * spare.c: one at a time: a rewound node has no vote until it streams again and the others have agreed on it,
 * and for that they need a majority without it.
 *
 * Who goes says nothing any more (orders.c), so that the others count on it for half a lease at most. What a
 * closed one saw of another that is closed only since then is as old. Two leases are longer than both
 * together, so that the second one to decide has seen the first.
 */
#include "keeper/spare.h"

#include <stdio.h>

#include "sys/clock.h"

#define FRESH_SHARE 2 /* of a lease */
#define HOLD_LEASES 2

void spare_hear(Spare *spare, const Core *core, MemberNo no, const Msg *msg, const Clock *now)
{
    const DocMember *member = &core->persist.doc.member[no];
    ActionKind action = msg->report.action;

    spare->word[no].at = *now;
    spare->word[no].votes = member->voter && !msg->report.disk_failed &&
                            (uuid_is_zero(&member->uuid) || uuid_equal(&member->uuid, &msg->sender));
    /* A closed server is one whose stop never ends. */
    spare->word[no].closed =
        no != core->leader && (action == ACTION_STOP_FAST || action == ACTION_STOP_IMMEDIATE);
}

static bool can_spare(const Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size)
{
    const Document *doc = &core->persist.doc;
    int64_t fresh_us = (int64_t) doc->lease_ms * US_PER_MS / FRESH_SHARE;
    int have = 0, first = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        bool fresh =
            spare->word[no].at.boot_us != 0 && clock_elapsed_most(&spare->word[no].at, now) <= fresh_us;
        if (no == core->self || !doc->member[no].voter || !fresh || !spare->word[no].votes)
            continue;
        bool goes_first = spare->word[no].closed && no < core->self;
        have += !goes_first;
        if (goes_first && first == MEMBER_NONE)
            first = no;
    }
    if (have >= document_majority(doc))
        return true;
    if (first != MEMBER_NONE)
        snprintf(ret_why, size, "%s is to be rewound first", doc->member[first].name);
    else
        snprintf(ret_why, size, "without this node there are %d votes, and %d are needed", have,
                 document_majority(doc));
    return false;
}

bool spare_can_leave(Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size)
{
    int64_t hold_us = HOLD_LEASES * (int64_t) core->persist.doc.lease_ms * US_PER_MS;

    ret_why[0] = '\0';
    if (!can_spare(spare, core, now, ret_why, size)) {
        spare->since = (Clock){0};
        return false;
    }
    if (spare->since.boot_us == 0)
        spare->since = *now;
    return clock_elapsed_most(&spare->since, now) >= hold_us;
}
