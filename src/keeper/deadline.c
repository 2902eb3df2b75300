/*
 * deadline.c: until when commits are allowed: what body.c decides, in the shared memory where backends read
 * it.
 */
#include "keeper/body.h"

#include "sys/clock.h"

#define FOREVER_US (INT64_MAX / 4)

static Fence last;

void deadline_load(void)
{
    if (!fence_read(board_fence(), &last))
        last = FENCE_UNKNOWN;
}

Fence deadline_last(void)
{
    return last;
}

void deadline_take(const Core *core, const Effect *effect, Fence *fence)
{
    fence->until = effect->fence_until;
    fence->epoch = core->persist.doc.epoch;
    fence->synchronous = effect->fence_synchronous;
    fence->generation = effect->fence_names.generation;
    syncset_names_write(&effect->fence_names, &core->persist.doc, fence->names, sizeof fence->names);
}

Fence deadline_unmanaged(bool can_register)
{
    Clock now = clock_now();
    int64 long_us = can_register ? (int64) gucs_lease_ms() * US_PER_MS : FOREVER_US;

    return (Fence){.until = {.raw_us = now.raw_us + long_us, .boot_us = now.boot_us + long_us}};
}

bool deadline_is_unmanaged(void)
{
    return last.epoch == 0 && last.until.boot_us != 0;
}

void deadline_write(const Fence *fence)
{
    Clock now = clock_now();

    if (!fence_equal(fence, &last)) {
        last = *fence;
        fence_write(board_fence(), &last);
    }
    fence_touch(board_fence(), &now);
}

/* Whatever is there, which may not be known yet. */
void deadline_close(void)
{
    last = FENCE_UNKNOWN;
    fence_write(board_fence(), &last);
}
