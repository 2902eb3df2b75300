/*
 * fence.c: reading and writing the fence file's deadline without locks (one writer, any number of readers).
 */
#include "base/fence.h"

#include <stdio.h>
#include <string.h>

/* A writer holds the sequence number odd for nanoseconds; a reader that sees it odd for so long gives up. */
#define FENCE_READ_TRIES 100000

void fence_path(const char *run_directory, const char *cluster, const char *member, char *ret_path)
{
    snprintf(ret_path, FENCE_PATH_LEN, "%s/%s-%s.fence", run_directory, cluster, member);
}

void fence_write(FenceFile *file, const Fence *fence)
{
    uint32_t sequence = atomic_load_explicit(&file->sequence, memory_order_relaxed) | 1u;

    atomic_store_explicit(&file->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    file->magic = FENCE_MAGIC;
    file->version = FENCE_VERSION;
    file->epoch = fence->epoch;
    file->until_raw_us = fence->until.raw_us;
    file->until_boot_us = fence->until.boot_us;
    file->guarded = fence->guarded;
    file->hold = fence->hold;
    file->synchronous = fence->synchronous;
    file->generation = fence->generation;
    memcpy(file->names, fence->names, sizeof file->names);
    atomic_store_explicit(&file->sequence, sequence + 1, memory_order_release);
}

bool fence_read(FenceFile *file, Fence *ret_fence)
{
    for (int i = 0; i < FENCE_READ_TRIES; i++) {
        uint32_t before = atomic_load_explicit(&file->sequence, memory_order_acquire);
        if (before & 1u)
            continue;
        bool known = file->magic == FENCE_MAGIC && file->version == FENCE_VERSION;
        Fence fence = {
            .epoch = file->epoch,
            .until = {.raw_us = file->until_raw_us, .boot_us = file->until_boot_us},
            .guarded = file->guarded != 0,
            .hold = file->hold != 0,
            .synchronous = file->synchronous != 0,
            .generation = file->generation,
        };
        memcpy(fence.names, file->names, sizeof fence.names);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&file->sequence, memory_order_relaxed) != before)
            continue;
        fence.names[sizeof fence.names - 1] = '\0';
        *ret_fence = fence;
        return known;
    }
    return false;
}

bool fence_equal(const Fence *a, const Fence *b)
{
    return a->epoch == b->epoch && a->until.raw_us == b->until.raw_us &&
           a->until.boot_us == b->until.boot_us && a->guarded == b->guarded && a->hold == b->hold &&
           a->synchronous == b->synchronous && a->generation == b->generation &&
           strcmp(a->names, b->names) == 0;
}

bool fence_is_open(const Fence *fence, const Clock *now)
{
    return now->raw_us < fence->until.raw_us && now->boot_us < fence->until.boot_us;
}

void fence_touch(FenceFile *file, const Clock *now)
{
    atomic_store_explicit(&file->touched_boot_us, now->boot_us, memory_order_relaxed);
}

int64_t fence_untouched_us(FenceFile *file, const Clock *now)
{
    return now->boot_us - atomic_load_explicit(&file->touched_boot_us, memory_order_relaxed);
}
