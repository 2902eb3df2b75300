/*
 * state.c: the setting pgvigil.state: what the fence says, in one line.
 */
#include "ext/ext.h"

#include "sys/clock.h"

const char *state_show(void)
{
    static char text[400];
    char place[64] = "-";
    uint64 device, inode;
    Fence fence;
    Clock now = clock_now();

    if (map_identity(&device, &inode))
        snprintf(place, sizeof place, "%llu:%llu", (unsigned long long) device, (unsigned long long) inode);
    Closed closed = check_fence(&fence, true);
    int64 left_us = fence_is_open(&fence, &now) ? fence.until.boot_us - now.boot_us : 0;
    snprintf(text, sizeof text,
             "layout=%u file=%s open=%d closed=%s epoch=%u left_ms=%lld waits=%llu refusals=%llu cut=%llu "
             "generation=%u defined=%d unconfirmed=%d",
             FENCE_VERSION, place, closed == CLOSED_NOT, check_word(closed), fence.epoch,
             (long long) (left_us / US_PER_MS), (unsigned long long) shared_count(COUNT_WAITS),
             (unsigned long long) shared_count(COUNT_REFUSALS), (unsigned long long) shared_count(COUNT_CUTS),
             shared_generation(), shared_names_defined(), shared_is_unconfirmed());
    return text;
}
