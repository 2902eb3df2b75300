/*
 * wal.c: what primaries write and acknowledge, what their standbys get of it, and what a takeover loses.
 *
 * WAL is a tree of branches; a position is a branch and an LSN. It moves in steps, for all servers at once.
 */
#include "sim/cluster.h"

#include <string.h>

/* WAL that a primary writes in one step, and in each further 10 ms of a longer one. */
#define WAL_STEP 100
/* The first record on a new timeline. */
#define WAL_END_OF_RECOVERY 48
/* A shorter one is not felt as an outage. */
#define OUTAGE_US (100 * US_PER_MS)

static bool has_orphans(const Cluster *c, const Server *server)
{
    return server->state == PG_CRASHED && c->now_us < server->orphans_until;
}

bool wal_writes(const Cluster *c, int no)
{
    const Node *node = &c->node[no];
    if (node->server.fenced && !cluster_fence_open(c, no))
        return false;
    return !node->frozen && !node->server.stuck &&
           (node->server.state == PG_PRIMARY || has_orphans(c, &node->server));
}

/* How far a position's WAL goes along with a server's: up to there they are the same. 0: not at all. */
static Lsn common(const Cluster *c, int branch, const Server *of)
{
    Lsn limit = of->lsn;

    for (int b = of->branch; b >= 0; b = c->branch[b].parent) {
        if (b == branch)
            return limit;
        if (c->branch[b].start < limit)
            limit = c->branch[b].start;
    }
    return LSN_NONE;
}

bool wal_is_part(const Cluster *c, const Server *server, const Server *of)
{
    return server->branch >= 0 && server->lsn <= common(c, server->branch, of);
}

/* ---- Taking over ---- */

/* An operator accepted the loss for its epoch, or for one that it goes on from and that nobody was promoted
 * in. */
static bool is_accepted(const Cluster *c, int no)
{
    return c->seen.accepted_epoch != 0 && c->node[no].core.persist.wal_epoch >= c->seen.accepted_epoch;
}

/* What clients were told of and this new primary does not have. One whose epoch is over, promoted late, is
 * none: if it acknowledges, AckLinear says so. */
static void count_losses(Cluster *c, int no)
{
    const Server *server = &c->node[no].server;
    bool late = c->node[no].core.persist.wal_epoch < c->seen.epoch;
    bool accepted = is_accepted(c, no);

    for (int b = 0; b < c->branches; b++) {
        Branch *branch = &c->branch[b];
        Lsn have = common(c, b, server);
        if (branch->synced > have && !accepted && !late)
            check_failed(
                c, INVARIANT_ACK_COVERED,
                "%s becomes primary with branch %d up to %llx, acknowledged synchronously up to %llx",
                c->node[no].options.name, b, (unsigned long long) have, (unsigned long long) branch->synced);
        if (branch->acked <= have || branch->told)
            continue;
        branch->told = true;
        have = have > branch->first ? have : branch->first;
        c->tally.lost_bytes += branch->acked - have;
        c->tally.lost_rows += (branch->acked - have) / WAL_STEP + 1;
        if (c->contained)
            cluster_trace(c, no, "   loses %llu acknowledged bytes",
                          (unsigned long long) (branch->acked - have));
    }
    c->tally.check[INVARIANT_ACK_COVERED]++;
}

void wal_branch_off(Cluster *c, int no, uint32_t timeline)
{
    Server *server = &c->node[no].server;

    if (timeline <= model_timeline(c, server))
        timeline = model_timeline(c, server) + 1;
    server->branch = model_branch(c, server->branch, server->lsn, timeline);
    server->upstream = MEMBER_NONE;
    server->upstream_epoch = 0;
    server->promoted_at = 0;
    model_state(c, no, PG_PRIMARY);
    memset(server->reported, 0, sizeof server->reported);
    server->lsn += WAL_END_OF_RECOVERY;
}

void wal_promote(Cluster *c, int no, uint32_t timeline)
{
    count_losses(c, no);
    if (is_accepted(c, no)) {
        for (int b = 0; b < c->branches; b++)
            c->branch[b].synced = LSN_NONE;
        c->seen.accepted_epoch = 0;
    }
    wal_branch_off(c, no, timeline);
}

/* Nobody takes back what PostgreSQL was asked for: the action may long have ended. */
static void promote_late(Cluster *c)
{
    for (int no = 0; no < c->count; no++) {
        Server *server = &c->node[no].server;
        if (server->state != PG_STANDBY)
            server->promoted_at = 0;
        if (server->promoted_at == 0 || c->now_us < server->promoted_at || c->node[no].frozen)
            continue;
        wal_promote(c, no, server->promoted_timeline);
        cluster_at(c, c->now_us + 50 * US_PER_MS, ITEM_LOOK, no);
    }
}

/* ---- Writing ---- */

/* Whoever acknowledges has everything that was promised before. */
static void check_linear(Cluster *c, int no)
{
    const Server *server = &c->node[no].server;

    c->tally.check[INVARIANT_ACK_LINEAR]++;
    for (int b = c->branches - 1; b >= 0 && b >= c->branches - 8; b--)
        if (c->branch[b].synced > common(c, b, server))
            check_failed(c, INVARIANT_ACK_LINEAR, "%s acknowledges without branch %d up to %llx",
                         c->node[no].options.name, b, (unsigned long long) c->branch[b].synced);
}

static void acknowledge(Cluster *c, int no)
{
    Server *server = &c->node[no].server;
    Branch *branch = &c->branch[server->branch];
    Lsn acked = sync_acknowledged(c, no);
    int64_t gap_us = c->now_us - c->tally.acked_us;

    /* Up to its start a branch is its parent's: nothing of its own is confirmed by that. */
    if (acked <= branch->acked || acked <= branch->start)
        return;
    if (branch->first == LSN_NONE)
        branch->first = acked;
    branch->acked = acked;
    if (check_is_promised(c, no)) {
        branch->synced = acked;
        check_linear(c, no);
    }
    if (c->tally.acked_us != 0 && gap_us >= OUTAGE_US && c->tally.outages < OUTAGE_MAX)
        c->tally.outage_ms[c->tally.outages++] = (int32_t) (gap_us / US_PER_MS);
    c->tally.acked_us = c->now_us;
}

static void write_some(Cluster *c, int no)
{
    Server *server = &c->node[no].server;
    Lsn bytes = (Lsn) (WAL_STEP * (c->wal_us / (10 * US_PER_MS)));

    server->sent = server->lsn;
    if (!wal_writes(c, no))
        return;
    server->lsn += bytes;
    check_ack(c, no);
    if (wal_writes(c, no) && !server->hung)
        acknowledge(c, no);
}

/* ---- Streaming ---- */

static bool can_stream(Cluster *c, int no)
{
    const Server *server = &c->node[no].server;
    int from = server->upstream;

    if (server->state != PG_STANDBY || from < 0 || from == no || c->node[no].frozen || c->node[from].frozen)
        return false;
    const Server *upstream = &c->node[from].server;
    if (!cluster_linked(c, no, from) || upstream->state != PG_PRIMARY || server->lsn < upstream->oldest)
        return false;
    if (wal_is_part(c, server, upstream))
        return !server->fooled;
    /* One that was removed is nobody's any more. */
    if (model_timeline(c, server) == model_timeline(c, upstream) && server->lsn <= upstream->lsn &&
        cluster_slot(c, &c->node[from].core.persist.doc, no) != MEMBER_NONE)
        check_failed(c, INVARIANT_NO_FORK_FOLLOW,
                     "%s streams from %s, whose WAL is another of the same timeline",
                     c->node[no].options.name, c->node[from].options.name);
    return false;
}

/* Its WAL up to there: on the upstream's branch, or still on one that this one left. */
static void move_along(Cluster *c, Server *server, const Server *upstream, Lsn to)
{
    int branch = upstream->branch;

    while (to <= c->branch[branch].start && c->branch[branch].parent >= 0)
        branch = c->branch[branch].parent;
    server->branch = branch;
    server->lsn = to;
}

static void stream(Cluster *c, int no)
{
    Server *server = &c->node[no].server;
    bool was = server->streaming;

    server->streaming = can_stream(c, no);
    if (server->streaming) {
        const Server *upstream = &c->node[server->upstream].server;
        Lsn get = upstream->sent;
        if (server->slow_bytes != 0 && get > server->lsn + server->slow_bytes)
            get = server->lsn + server->slow_bytes;
        if (get > server->lsn)
            move_along(c, server, upstream, get);
        server->checkpoint_timeline = upstream->checkpoint_timeline;
        c->tally.check[INVARIANT_NO_FORK_FOLLOW]++;
    }
    if (server->streaming && !was)
        sync_begin_walsender(c, server->upstream, no);
    if (was != server->streaming)
        cluster_trace(c, no, server->streaming ? "streams from %s" : "streams no more",
                      server->streaming ? c->node[server->upstream].options.name : "");
}

void wal_step(Cluster *c)
{
    promote_late(c);
    for (int no = 0; no < c->count; no++) {
        if (c->node[no].server.state == PG_STARTING)
            model_started(c, no);
        sync_read(c, no);
        if (c->node[no].server.state == PG_PRIMARY)
            sync_report(c, no);
        write_some(c, no);
    }
    for (int no = 0; no < c->count; no++)
        if (c->node[no].server.state == PG_STANDBY || c->node[no].server.streaming)
            stream(c, no);
    check_now(c);
}
