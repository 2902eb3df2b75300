/*
 * snapshot.h: what the public listener answers from: texts made in advance, and the fence.
 *
 * Immutable once published. The listener's thread takes a counted reference, so that nothing it does holds up
 * the loop.
 */
#ifndef PGVIGIL_AGENT_SNAPSHOT_H
#define PGVIGIL_AGENT_SNAPSHOT_H

#include "base/fence.h"
#include "base/str.h"
#include "base/types.h"
#include "config/tags.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Snapshot {
    atomic_int references;
    Clock made_at;
    int64_t fresh_us; /* older than this it answers nothing but 503 */
    bool primary;     /* a server that can write; whether it may, the fence says */
    bool standby;     /* a standby that answers */
    bool replica;     /* a standby that streams */
    bool in_sync_set; /* one of those that commits wait for */
    bool no_load_balance;
    bool healthy; /* the server answers; a witness: hears a leader */
    bool ready;   /* primary with a lease, a standby that streams, or a witness that hears a leader */
    char replication_state[24]; /* as Patroni calls it; "": neither */
    Tag tag[TAGS_MAX + 1];      /* one more than can be given: nofailover by [node] no_failover */
    size_t tag_count;
    Buf status, topology, takeovers; /* as Patroni has them: of this server, of the cluster, its past */
    Buf cluster, history, explain, operation, metrics;
} Snapshot;

typedef struct Publisher {
    pthread_mutex_t mutex;
    Snapshot *current;
    FenceFile *_Atomic fence; /* mapped; NULL: closed */
    /* Newer than the snapshot: of each look at the server. LSN_NONE: not known now. */
    _Atomic Lsn primary_lsn, received_lsn, replayed_lsn;
} Publisher;

void snapshot_init(Publisher *publisher);
/* The publisher takes the snapshot over. */
void snapshot_publish(Publisher *publisher, Snapshot *snapshot);
/* A reference to the newest, or NULL before the first; give it back with snapshot_release. */
Snapshot *snapshot_take(Publisher *publisher);
void snapshot_release(Snapshot *snapshot);
void snapshot_done(Publisher *publisher);

/* Young enough to be believed. */
bool snapshot_is_fresh(const Snapshot *snapshot, const Clock *now);
/* The primary, and its lease holds at this moment: the fence tells, so that a renewal need not be published.
 */
bool snapshot_is_primary(const Publisher *publisher, const Snapshot *snapshot, const Clock *now);

/* The handler of the public listener; arg is the Publisher. Runs in the listener's thread. */
struct HttpRequest;
void public_on_request(void *arg, struct HttpRequest *request);

#endif
