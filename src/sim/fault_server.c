/*
 * fault_server.c: what befalls PostgreSQL.
 */
#include "sim/fault.h"

static bool runs(const Server *server)
{
    return server->state == PG_PRIMARY || server->state == PG_STANDBY || server->state == PG_STARTING;
}

static bool server_crash(Sim *s, int no)
{
    if (!runs(&s->c->node[no].server))
        return false;
    cluster_crash_server(s->c, no, 0);
    return true;
}

static bool orphans(Sim *s, int no)
{
    if (s->c->node[no].server.state != PG_PRIMARY)
        return false;
    cluster_crash_server(s->c, no, 1 + fault_draw(s, 3000));
    return true;
}

static bool server_hang(Sim *s, int no)
{
    Server *server = &s->c->node[no].server;

    if (server->state != PG_PRIMARY && server->state != PG_STANDBY)
        return false;
    cluster_trace(s->c, no, "-- server hangs");
    server->hung = true;
    return true;
}

static void server_hang_end(Sim *s, int no)
{
    s->c->node[no].server.hung = false;
}

static bool disk_stall(Sim *s, int no)
{
    cluster_stick(s->c, no, true);
    return true;
}

static void disk_stall_end(Sim *s, int no)
{
    cluster_stick(s->c, no, false);
}

/* One member at a time, as in fault_wiped(). */
static bool data_removed(Sim *s, int no)
{
    if (cluster_lacks(s->c) != NULL)
        return false;
    cluster_trace(s->c, no, "-- its data directory is removed");
    model_empty(s->c, no);
    return true;
}

static bool server_by_hand(Sim *s, int no)
{
    Server *server = &s->c->node[no].server;

    if ((server->state != PG_STOPPED && server->state != PG_CRASHED) || server->broken || server->branch < 0)
        return false;
    cluster_start_server(s->c, no);
    return true;
}

/*
 * Without the extension it would acknowledge until it is ended: nobody can keep an operator from that. Nor
 * from doing it in the moment in which the agent tells the same server to follow a new primary: it is looked
 * at.
 */
static bool promoted_by_hand(Sim *s, int no)
{
    const Node *node = &s->c->node[no];
    const Server *server = &node->server;

    if (!node->up || node->frozen || node->agent_frozen || server->state != PG_STANDBY || !server->fenced ||
        cluster_fence_open(s->c, no) || cluster_lacks(s->c) != NULL)
        return false;
    for (int i = 0; i < s->c->count; i++)
        if (s->c->node[i].server.upstream == no)
            return false; /* a removed one would follow it */
    cluster_trace(s->c, no, "-- promoted by hand");
    wal_branch_off(s->c, no, 0);
    cluster_at(s->c, s->c->now_us, ITEM_LOOK, no);
    return true;
}

static bool slow_start(Sim *s, int no)
{
    s->c->node[no].server.slow_us = (1 + fault_draw(s, 45000)) * US_PER_MS;
    cluster_trace(s->c, no, "-- a start takes %lld ms",
                  (long long) (s->c->node[no].server.slow_us / US_PER_MS));
    return true;
}

static void slow_start_end(Sim *s, int no)
{
    s->c->node[no].server.slow_us = 0;
}

static bool replay_behind(Sim *s, int no)
{
    Server *server = &s->c->node[no].server;

    if (server->state != PG_STANDBY)
        return false;
    cluster_trace(s->c, no, "-- a query holds up replay");
    server->replay_limit = server->lsn;
    return true;
}

static void replay_behind_end(Sim *s, int no)
{
    s->c->node[no].server.replay_limit = 0;
}

static bool actions_fail(Sim *s, int no)
{
    s->c->node[no].failing = (uint32_t) (1 + fault_draw(s, 4));
    cluster_trace(s->c, no, "-- the next %u actions fail", s->c->node[no].failing);
    return true;
}

static bool slow_promotion(Sim *s, int no)
{
    s->c->node[no].promotion_us = 1 + fault_draw(s, 5 * US_PER_SEC);
    cluster_trace(s->c, no, "-- a promotion takes %lld ms",
                  (long long) (s->c->node[no].promotion_us / US_PER_MS));
    return true;
}

static void slow_promotion_end(Sim *s, int no)
{
    s->c->node[no].promotion_us = 0;
}

static bool promotion_dies(Sim *s, int no)
{
    s->c->node[no].server.dies = (int) (1 + fault_draw(s, 2));
    cluster_trace(s->c, no, "-- its next promotion will die %s the end of recovery",
                  s->c->node[no].server.dies == 1 ? "before" : "after");
    return true;
}

/* No slot held it: standbys that lack it have to be copied anew. */
static bool wal_recycled(Sim *s, int no)
{
    Server *server = &s->c->node[no].server;

    if (server->state != PG_PRIMARY)
        return false;
    cluster_trace(s->c, no, "-- old WAL is removed");
    server->oldest = server->sent;
    return true;
}

static bool slow_stream(Sim *s, int no)
{
    Lsn step = (Lsn) (100 * (s->c->wal_us / (10 * US_PER_MS)));

    s->c->node[no].server.slow_bytes = 1 + (Lsn) fault_draw(s, (int64_t) (2 * step));
    cluster_trace(s->c, no, "-- it gets %llu bytes of WAL at a time",
                  (unsigned long long) s->c->node[no].server.slow_bytes);
    return true;
}

static void slow_stream_end(Sim *s, int no)
{
    s->c->node[no].server.slow_bytes = 0;
}

static bool stale_names(Sim *s, int no)
{
    s->c->node[no].server.stale_us = (1 + fault_draw(s, fault_draw(s, 2) ? 100 : 4000)) * US_PER_MS;
    cluster_trace(s->c, no, "-- its processes read new names %lld ms late",
                  (long long) (s->c->node[no].server.stale_us / US_PER_MS));
    return true;
}

static void stale_names_end(Sim *s, int no)
{
    s->c->node[no].server.stale_us = 0;
}

const FaultDoes fault_server_does[] = {
    {FAULT_PROMOTED_BY_HAND, promoted_by_hand, NULL},
    {FAULT_SLOW_STREAM, slow_stream, slow_stream_end},
    {FAULT_STALE_NAMES, stale_names, stale_names_end},
    {FAULT_DISK_STALL, disk_stall, disk_stall_end},
    {FAULT_SERVER_CRASH, server_crash, NULL},
    {FAULT_ORPHANS, orphans, NULL},
    {FAULT_SERVER_HANG, server_hang, server_hang_end},
    {FAULT_DATA_REMOVED, data_removed, NULL},
    {FAULT_SERVER_BY_HAND, server_by_hand, NULL},
    {FAULT_SLOW_START, slow_start, slow_start_end},
    {FAULT_REPLAY_BEHIND, replay_behind, replay_behind_end},
    {FAULT_ACTIONS_FAIL, actions_fail, NULL},
    {FAULT_SLOW_PROMOTION, slow_promotion, slow_promotion_end},
    {FAULT_PROMOTION_DIES, promotion_dies, NULL},
    {FAULT_WAL_RECYCLED, wal_recycled, NULL},
    {FAULTS, NULL, NULL},
};
