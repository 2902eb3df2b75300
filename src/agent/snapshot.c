/*
 * snapshot.c: publishing and reference counts.
 */
#include "agent/snapshot.h"

#include <stdlib.h>

void snapshot_init(Publisher *publisher)
{
    pthread_mutex_init(&publisher->mutex, NULL);
    publisher->current = NULL;
}

void snapshot_publish(Publisher *publisher, Snapshot *snapshot)
{
    atomic_store(&snapshot->references, 1);
    pthread_mutex_lock(&publisher->mutex);
    Snapshot *old = publisher->current;
    publisher->current = snapshot;
    pthread_mutex_unlock(&publisher->mutex);
    snapshot_release(old);
}

Snapshot *snapshot_take(Publisher *publisher)
{
    pthread_mutex_lock(&publisher->mutex);
    Snapshot *snapshot = publisher->current;
    if (snapshot != NULL)
        atomic_fetch_add(&snapshot->references, 1);
    pthread_mutex_unlock(&publisher->mutex);
    return snapshot;
}

void snapshot_release(Snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    buf_done(&snapshot->status);
    buf_done(&snapshot->topology);
    buf_done(&snapshot->takeovers);
    buf_done(&snapshot->cluster);
    buf_done(&snapshot->history);
    buf_done(&snapshot->explain);
    buf_done(&snapshot->operation);
    buf_done(&snapshot->metrics);
    free(snapshot);
}

void snapshot_done(Publisher *publisher)
{
    snapshot_release(publisher->current);
    publisher->current = NULL;
    pthread_mutex_destroy(&publisher->mutex);
}

bool snapshot_is_fresh(const Snapshot *snapshot, const Clock *now)
{
    return clock_elapsed_most(&snapshot->made_at, now) <= snapshot->fresh_us;
}

bool snapshot_is_primary(const Publisher *publisher, const Snapshot *snapshot, const Clock *now)
{
    Fence fence;
    FenceFile *file = publisher->fence;

    return snapshot->primary && file != NULL && fence_read(file, &fence) && fence_is_open(&fence, now);
}
