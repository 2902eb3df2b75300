/*
 * model.c: what matters of a PostgreSQL: its state, whom it follows, and what an action makes of it; wal.c
 * has its WAL.
 *
 * It has the traps of the real one: orphans of a dead postmaster go on writing, pg_rewind finds nothing to do
 * where timeline numbers are equal or the source has not checkpointed, and a standby follows a fork with the
 * same timeline number without noticing.
 */
#include "sim/cluster.h"

#include "base/rng.h"

#include <string.h>

/* A row's WAL. */
#define WAL_ROW 100
/* The shutdown checkpoint's record. */
#define WAL_CHECKPOINT 104
/* Until a restarted standby knows how much it has. */
#define POSITION_US (50 * US_PER_MS)
/* Until names that are not effective yet are given up. */
#define SET_TIMEOUT_US US_PER_SEC
/* Until a stop gives up on processes that do not end. */
#define KILL_TIMEOUT_US (30 * US_PER_SEC)

static const int64_t takes_ms[ACTION_KINDS] = {
    [ACTION_FREEZE] = 5,          [ACTION_FOLLOW] = 10,           [ACTION_START_STANDBY] = 100,
    [ACTION_START_PRIMARY] = 150, [ACTION_STOP_FAST] = 50,        [ACTION_STOP_IMMEDIATE] = 20,
    [ACTION_PROMOTE] = 40,        [ACTION_CHECKPOINT] = 30,       [ACTION_INSPECT] = 30,
    [ACTION_SAVE_WAL] = 50,       [ACTION_REWIND] = 200,          [ACTION_CLONE] = 400,
    [ACTION_INITDB] = 500,        [ACTION_RESTART_STANDBY] = 150, [ACTION_RELOAD] = 5,
    [ACTION_SET_NAMES] = 5,
};

int model_branch(Cluster *c, int parent, Lsn start, uint32_t timeline)
{
    if (c->branches == BRANCH_MAX) {
        cluster_fail(c, "more promotions than the model can hold");
        return parent;
    }
    c->branch[c->branches] = (Branch){.parent = parent, .start = start, .timeline = timeline};
    return c->branches++;
}

void model_empty(Cluster *c, int no)
{
    Node *node = &c->node[no];

    node->server = (Server){
        .state = node->options.kind == MEMBER_DATA ? PG_EMPTY : PG_NONE,
        .branch = -1,
        .upstream = MEMBER_NONE,
        .names.kind = NAMES_FOREIGN,
        .no_rewind = node->server.no_rewind,
        .fenced = node->server.fenced,
    };
}

uint32_t model_timeline(const Cluster *c, const Server *server)
{
    return server->branch >= 0 ? c->branch[server->branch].timeline : 0;
}

static bool is_running(const Server *server)
{
    return server->state == PG_PRIMARY || server->state == PG_STANDBY || server->state == PG_STARTING;
}

static bool has_orphans(const Cluster *c, const Server *server)
{
    return server->state == PG_CRASHED && c->now_us < server->orphans_until;
}

Observation model_observe(const Cluster *c, int no)
{
    const Document *doc = &c->node[no].core.persist.doc;
    const Server *server = &c->node[no].server;
    bool running = server->state == PG_PRIMARY || server->state == PG_STANDBY;
    Observation pg = {
        .state = server->state,
        .responsive = running && !server->hung,
        .disk_stuck = running && server->stuck,
        .processes_left = has_orphans(c, server) || (server->stuck && server->leftover),
        .streaming = server->streaming,
        .can_rewind = !server->no_rewind,
        .fenced = running && server->fenced,
        .self_restarts = server->self_restarts,
        .system_identifier = server->system_identifier,
        .server_version = 150018,
        .timeline = model_timeline(c, server),
        .timeline_start = model_timeline(c, server) > 1 ? c->branch[server->branch].start : LSN_NONE,
        .checkpoint_timeline = server->checkpoint_timeline,
        .upstream = server->state == PG_STANDBY ? cluster_slot(c, doc, server->upstream) : MEMBER_NONE,
        .upstream_epoch = server->upstream_epoch,
        .oldest_lsn = server->oldest,
        .size = server->size,
        .replay_lag_ms = -1,
    };

    if (server->state == PG_PRIMARY || (server->state == PG_STANDBY && c->now_us >= server->known_at))
        pg.lsn = server->lsn;
    if (server->state == PG_STANDBY)
        pg.replay_lsn = server->replay_limit != 0 && server->replay_limit < server->lsn ? server->replay_limit
                                                                                        : server->lsn;
    if (running)
        sync_observe(c, no, &pg);
    return pg;
}

void model_state(Cluster *c, int no, PgState state)
{
    Server *server = &c->node[no].server;

    if (server->state == state)
        return;
    server->state = state;
    server->unled = server->unled && state == PG_PRIMARY;
    if (state != PG_STANDBY)
        server->streaming = false;
    if (state != PG_PRIMARY && state != PG_STANDBY)
        server->hung = false;
    server->stops += state == PG_STOPPED || state == PG_CRASHED;
    if (state != PG_STANDBY)
        server->promoted_at = 0;
    if (state == PG_PRIMARY)
        server->sent = server->lsn;
    if (state == PG_PRIMARY || state == PG_STANDBY)
        server->was_primary = state == PG_PRIMARY;
    cluster_trace(c, no, "   server is %s timeline=%u", pg_state_name(state), model_timeline(c, server));
}

/* ---- Actions ---- */

static bool follow(Cluster *c, int no)
{
    Server *server = &c->node[no].server;
    const Action *action = &c->node[no].action;

    server->upstream = action->target;
    server->upstream_epoch = action->target >= 0 ? action->epoch : 0;
    server->streaming = false;
    return true;
}

static void begin_start(Cluster *c, int no, int64_t at_us)
{
    Server *server = &c->node[no].server;

    server->start_at_us = at_us;
    server->start_as = c->node[no].action.kind == ACTION_START_PRIMARY ? PG_PRIMARY : PG_STANDBY;
    sync_set(c, no, &c->node[no].action.names);
    if (server->start_as == PG_STANDBY)
        follow(c, no);
    model_state(c, no, PG_STARTING);
}

void model_start(Cluster *c, int no, const Action *action)
{
    Node *node = &c->node[no];
    Server *server = &node->server;
    int64_t us = takes_ms[action->kind] * US_PER_MS;
    bool down = server->state == PG_STOPPED || server->state == PG_CRASHED;
    bool starts = action->kind == ACTION_START_PRIMARY || action->kind == ACTION_START_STANDBY;

    if (action->kind == ACTION_STOP_IMMEDIATE && server->stuck)
        us = KILL_TIMEOUT_US;
    if (action->kind == ACTION_PROMOTE && server->state == PG_STANDBY)
        sync_set(c, no, &action->names);
    if (action->kind == ACTION_PROMOTE && node->promotion_us != 0 && server->promoted_at == 0 &&
        server->state == PG_STANDBY) {
        server->promoted_at = c->now_us + node->promotion_us;
        server->promoted_timeline = action->timeline;
    }
    if (action->kind == ACTION_SET_NAMES)
        us += server->stale_us < SET_TIMEOUT_US ? server->stale_us : SET_TIMEOUT_US;
    us += us * (int64_t) rng_below(&c->rng, c->action_spread + 1) / 100;
    if (starts)
        us += server->slow_us;
    node->action = *action;
    node->acting_stops = server->stops;
    if (action->kind == ACTION_SET_NAMES && (server->state == PG_PRIMARY || server->state == PG_STANDBY))
        sync_set(c, no, &action->names);
    node->action.target = (MemberNo) cluster_node(c, &node->core.persist.doc, action->target);
    node->acting = true;
    int target = node->action.target;
    cluster_trace(c, no, "   %s%s%s", action_kind_name(action->kind), target >= 0 ? " " : "",
                  target >= 0 ? c->node[target].options.name : "");
    if (starts && down && !server->broken && !has_orphans(c, server) && node->failing == 0)
        begin_start(c, no, c->now_us + us);
    cluster_at(c, c->now_us + us, ITEM_ACTED, no)->gen = ++node->action_gen;
}

static bool promote(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    if (server->state != PG_STANDBY)
        return server->state == PG_PRIMARY;
    if (server->promoted_at != 0 || server->stops != c->node[no].acting_stops)
        return false;
    int dies = server->dies;
    server->dies = 0;
    if (dies != 1)
        wal_promote(c, no, c->node[no].action.timeline);
    if (dies != 0)
        model_state(c, no, PG_CRASHED);
    return dies == 0;
}

static bool start(Cluster *c, int no, PgState state)
{
    Server *server = &c->node[no].server;

    if (server->state != PG_STARTING)
        return false;
    server->known_at = c->now_us + POSITION_US;
    sync_begin(c, no);
    model_state(c, no, state);
    return true;
}

/* Whoever asked for it may be gone: a server that starts goes on starting. */
void model_started(Cluster *c, int no)
{
    Node *node = &c->node[no];

    if (node->acting || node->frozen || c->now_us < node->server.start_at_us)
        return;
    start(c, no, node->server.start_as);
    cluster_at(c, c->now_us + US_PER_MS, ITEM_LOOK, no);
}

static bool stop_fast(Cluster *c, int no, ActionResult *result)
{
    Server *server = &c->node[no].server;

    if (!is_running(server))
        return server->state == PG_STOPPED;
    if (server->state == PG_PRIMARY) {
        server->lsn += WAL_CHECKPOINT;
        server->checkpoint_timeline = model_timeline(c, server);
        for (int i = 0; i < c->count; i++)
            if (c->node[i].server.streaming && c->node[i].server.upstream == no && !c->node[i].frozen)
                c->node[i].server.lsn = server->lsn;
    }
    result->lsn = server->lsn;
    model_state(c, no, PG_STOPPED);
    return true;
}

static bool stop_immediate(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    server->orphans_until = 0;
    server->leftover = server->stuck;
    if (is_running(server))
        model_state(c, no, PG_CRASHED);
    return !server->stuck;
}

static const Server *source_of(const Cluster *c, int no)
{
    MemberNo from = c->node[no].action.target;

    if (from < 0 || from == no || !cluster_linked(c, no, from) || c->node[from].frozen)
        return NULL;
    return c->node[from].server.state == PG_PRIMARY ? &c->node[from].server : NULL;
}

static bool copy(Cluster *c, int no, ActionKind kind)
{
    Server *server = &c->node[no].server;
    const Server *source = source_of(c, no);

    if (source == NULL || is_running(server))
        return false;
    if (kind == ACTION_REWIND && !server->broken && !wal_is_part(c, server, source) &&
        (model_timeline(c, server) == model_timeline(c, source) ||
         source->checkpoint_timeline == model_timeline(c, server))) {
        cluster_trace(c, no, "   pg_rewind: no rewind required");
        server->fooled = true;
        return true;
    }
    server->branch = source->branch;
    server->lsn = source->sent;
    server->system_identifier = source->system_identifier;
    server->checkpoint_timeline = source->checkpoint_timeline;
    server->oldest = source->oldest;
    server->names = source->names;
    server->broken = server->fooled = server->was_primary = false;
    model_state(c, no, PG_STOPPED);
    return true;
}

/* A branch's history: the timelines from its root on, each with where its successor left it. */
static int history_of(const Cluster *c, int branch, int *ret_branches)
{
    int count = 0;

    for (int b = branch; b >= 0; b = c->branch[b].parent)
        count++;
    for (int b = branch, i = count; b >= 0; b = c->branch[b].parent)
        ret_branches[--i] = b;
    return count;
}

/* By numbers and where timelines begin, as histories tell it, up to that number: no more than pg_rewind sees.
 */
static int common_of(const Cluster *c, const int *a, int a_count, const int *b, int b_count, uint32_t shared)
{
    int common = -1;

    for (int i = 0; i < a_count && i < b_count; i++) {
        const Branch *mine = &c->branch[a[i]], *theirs = &c->branch[b[i]];
        if (mine->timeline != theirs->timeline || mine->start != theirs->start || mine->timeline > shared)
            break;
        common = i;
    }
    return common;
}

static void ask_fork(Cluster *c, int no, ActionResult *result)
{
    static int mine[BRANCH_MAX], theirs[BRANCH_MAX];
    const Server *server = &c->node[no].server, *source = source_of(c, no);
    const Action *action = &c->node[no].action;

    if (!action->ask_fork || source == NULL)
        return;
    int count = history_of(c, server->branch, mine), others = history_of(c, source->branch, theirs);
    int common = common_of(c, mine, count, theirs, others, action->shared);
    if (common < 0)
        return;
    Lsn left = common + 1 < count ? c->branch[mine[common + 1]].start : UINT64_MAX;
    Lsn leaves = common + 1 < others ? c->branch[theirs[common + 1]].start : UINT64_MAX;
    result->fork_known = true;
    result->fork = left < leaves ? left : leaves;
    bool same_number = common + 1 < count && model_timeline(c, server) == model_timeline(c, source);
    result->numbers_lie = same_number || common != common_of(c, mine, count, theirs, others, UINT32_MAX);
    result->diverged = common + 1 < count || server->lsn > result->fork;
}

static bool initdb(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    if (server->state != PG_EMPTY)
        return false;
    server->branch = model_branch(c, -1, LSN_NONE, 1);
    server->lsn = 0x1500000;
    server->checkpoint_timeline = 1;
    server->system_identifier = 7;
    model_state(c, no, PG_STOPPED);
    return true;
}

static bool finish(Cluster *c, int no, ActionResult *result)
{
    Node *node = &c->node[no];
    Server *server = &node->server;
    const Action *action = &node->action;
    bool running = server->state == PG_PRIMARY || server->state == PG_STANDBY;

    switch (action->kind) {
    case ACTION_FREEZE:
        if (server->state != PG_STANDBY)
            return false;
        follow(c, no);
        server->upstream = MEMBER_NONE;
        server->upstream_epoch = 0;
        result->lsn = c->now_us >= server->known_at ? server->lsn : LSN_NONE;
        result->timeline = model_timeline(c, server);
        return true;
    case ACTION_FOLLOW: sync_set(c, no, &action->names); return server->state == PG_STANDBY && follow(c, no);
    case ACTION_START_STANDBY: return start(c, no, PG_STANDBY);
    case ACTION_START_PRIMARY: return start(c, no, PG_PRIMARY);
    case ACTION_STOP_FAST: return stop_fast(c, no, result);
    case ACTION_STOP_IMMEDIATE: return stop_immediate(c, no);
    case ACTION_PROMOTE: return promote(c, no);
    case ACTION_CHECKPOINT:
        if (server->state == PG_PRIMARY)
            server->checkpoint_timeline = model_timeline(c, server);
        return running;
    case ACTION_INSPECT:
        if (is_running(server) || server->branch < 0)
            return false;
        result->lsn = server->lsn;
        result->diverged = server->lsn > action->fork;
        result->was_primary = server->was_primary;
        ask_fork(c, no, result);
        return true;
    case ACTION_SAVE_WAL:
        result->bytes = server->lsn > action->fork ? server->lsn - action->fork : 0;
        result->transactions = (uint32_t) (result->bytes / WAL_ROW);
        result->lsn = server->lsn;
        result->complete = action->fork != LSN_NONE && server->oldest <= action->fork;
        snprintf(result->text, sizeof result->text, "saved %u transactions", result->transactions);
        return true;
    case ACTION_REWIND:
    case ACTION_CLONE: return copy(c, no, action->kind);
    case ACTION_INITDB: return initdb(c, no);
    case ACTION_RESTART_STANDBY:
        server->known_at = c->now_us + POSITION_US;
        return server->state == PG_STANDBY;
    case ACTION_RELOAD: server->self_restarts = false; return running;
    case ACTION_SET_NAMES: sync_read(c, no); return running && sync_is_effective(c, no);
    case ACTION_NONE:
    case ACTION_KINDS: break;
    }
    return false;
}

ActionResult model_finish(Cluster *c, int no)
{
    Node *node = &c->node[no];
    ActionResult result = {.id = node->action.id, .text = "the model says no"};

    node->acting = false;
    if (node->failing > 0) {
        node->failing--;
        if (node->server.state == PG_STARTING)
            model_state(c, no, PG_CRASHED);
        result.ok = false;
    } else {
        result.ok = finish(c, no, &result);
    }
    if (!result.ok)
        cluster_trace(c, no, "   %s fails", action_kind_name(node->action.kind));
    return result;
}

/* An action that is cut short has done its work or not; one that replaces data leaves it unusable. */
void model_cancel(Cluster *c, int no)
{
    Node *node = &c->node[no];
    ActionResult ignored = {0};

    if (!node->acting)
        return;
    node->acting = false;
    if (node->action.kind == ACTION_REWIND || node->action.kind == ACTION_CLONE) {
        node->server.broken = true;
        model_state(c, no, PG_STOPPED);
    } else if (node->server.state != PG_STARTING && rng_below(&c->rng, 2) == 0) {
        finish(c, no, &ignored);
    }
}

/* The guard ends a server that could write when the fence's deadline has passed. */
void model_guard(Cluster *c, int no)
{
    Node *node = &c->node[no];

    if (!node->guarded || cluster_fence_open(c, no))
        node->guard_done_us = -1;
    if (!node->guarded || cluster_fence_open(c, no) || node->guard_done_us == node->fence.boot_us)
        return;
    if (cluster_clock(c, no).boot_us < node->fence.boot_us + node->guard_late_us)
        return; /* it sleeps */
    node->guard_done_us = node->fence.boot_us;
    node->server.orphans_until = 0;
    node->server.leftover = node->server.stuck;
    if (!is_running(&node->server))
        return;
    cluster_trace(c, no, "   the guard ends the server");
    model_state(c, no, PG_CRASHED);
    cluster_at(c, c->now_us + US_PER_MS, ITEM_LOOK, no);
}
