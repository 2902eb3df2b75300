/*
 * sync.c: whom a primary's commits wait for, as PostgreSQL does it: each walsender releases waiters by the
 * configuration that it has read itself, and backends wait if the checkpointer's says so.
 *
 * A walsender is known here by the standby that it serves. What standbys confirm arrives one step late.
 */
#include "sim/cluster.h"

#include "base/rng.h"

#define CHECKPOINTER NODE_MAX
/* A process reads the new configuration within this, unless something holds it up. */
#define READ_US (4 * US_PER_MS)

static bool has_slot(MemberSet set, MemberNo slot)
{
    return slot >= 0 && (set >> slot & 1) != 0;
}

static bool same(const Names *a, const Names *b)
{
    return syncset_names_equal(a, b) && a->generation == b->generation;
}

/* A server that begins has read its files, and a walsender that begins has. */
void sync_begin(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    for (int i = 0; i <= CHECKPOINTER; i++)
        server->read[i] = server->names;
}

void sync_begin_walsender(Cluster *c, int no, int standby)
{
    c->node[no].server.read[standby] = c->node[no].server.names;
    c->node[no].server.reported[standby] = LSN_NONE;
}

void sync_set(Cluster *c, int no, const Names *names)
{
    Server *server = &c->node[no].server;

    if (names->kind == NAMES_UNKNOWN && names->generation == 0)
        return; /* they stay as they are */
    server->names = *names;
    if (names->kind == NAMES_UNKNOWN)
        server->names.kind = NAMES_FOREIGN;
    for (int i = 0; i <= CHECKPOINTER; i++)
        server->reads_at[i] = c->now_us + server->stale_us + (int64_t) rng_below(&c->rng, (uint64_t) READ_US);
}

/* Those whose time has come read what there is now. */
void sync_read(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    for (int i = 0; i <= CHECKPOINTER; i++)
        if (c->now_us >= server->reads_at[i])
            server->read[i] = server->names;
}

static bool is_served(const Cluster *c, int no, int standby)
{
    const Server *server = &c->node[standby].server;
    return server->streaming && server->upstream == no;
}

bool sync_is_effective(const Cluster *c, int no)
{
    const Server *server = &c->node[no].server;

    if (!same(&server->read[CHECKPOINTER], &server->names))
        return false;
    for (int i = 0; i < c->count; i++)
        if (is_served(c, no, i) && !same(&server->read[i], &server->names))
            return false;
    return true;
}

/* Does the walsender's own configuration count its standby: by the name that this one bears. */
static bool counts(const Cluster *c, int no, int standby)
{
    const Names *names = &c->node[no].server.read[standby];
    const Document *doc = &c->node[no].core.persist.doc;

    return names->kind == NAMES_OURS && c->node[standby].server.upstream_epoch == names->epoch &&
           is_served(c, no, standby) && has_slot(names->set, cluster_slot(c, doc, standby));
}

/* The newest position that so many of those that count have confirmed. */
static Lsn confirmed_by(const Cluster *c, const Server *server, const bool *counted, int needed)
{
    Lsn best = LSN_NONE;

    for (int i = 0; i < c->count; i++) {
        Lsn lsn = server->reported[i];
        int have = 0;
        if (!counted[i])
            continue;
        for (int j = 0; j < c->count; j++)
            have += counted[j] && server->reported[j] >= lsn;
        if (have >= needed && lsn > best)
            best = lsn;
    }
    return best;
}

Lsn sync_acknowledged(const Cluster *c, int no)
{
    const Server *server = &c->node[no].server;
    bool counted[NODE_MAX];
    Lsn best = LSN_NONE;

    if (server->read[CHECKPOINTER].kind != NAMES_OURS)
        return server->lsn; /* nobody waits */
    for (int i = 0; i < c->count; i++)
        counted[i] = counts(c, no, i);
    for (int i = 0; i < c->count; i++)
        if (counted[i]) {
            Lsn lsn = confirmed_by(c, server, counted, server->read[i].needed);
            best = lsn > best ? lsn : best;
        }
    return best < server->lsn ? best : server->lsn;
}

/* What the standbys have flushed by now is known to their walsenders with the next step. */
void sync_report(Cluster *c, int no)
{
    Server *server = &c->node[no].server;

    for (int i = 0; i < c->count; i++)
        if (is_served(c, no, i) && c->node[i].server.lsn > server->reported[i])
            server->reported[i] = c->node[i].server.lsn;
}

void sync_observe(const Cluster *c, int no, Observation *pg)
{
    const Server *server = &c->node[no].server;
    const Document *doc = &c->node[no].core.persist.doc;

    pg->names = server->names;
    pg->names_effective = sync_is_effective(c, no);
    for (int i = 0; i < c->count && server->state == PG_PRIMARY; i++) {
        MemberNo slot = cluster_slot(c, doc, i);
        if (slot < 0 || !is_served(c, no, i))
            continue;
        pg->standbys++;
        if (c->node[i].server.upstream_epoch == doc->epoch)
            pg->confirmed[slot] = server->reported[i];
    }
}

/* ---- Overlap ---- */

static void check_names(Cluster *c, int no, const Document *doc, const Names *names, const char *whose)
{
    if (!syncset_covers(doc, names))
        check_failed(c, INVARIANT_OVERLAP,
                     "%s: %s waits for %d of %x (epoch %u), and document %llu.%llu has R=%x and k=%d",
                     c->node[no].options.name, whose, names->kind == NAMES_OURS ? names->needed : 0,
                     (unsigned) names->set, names->epoch, (unsigned long long) doc->id.term,
                     (unsigned long long) doc->id.version, (unsigned) doc->sync_set, doc->sync_needed);
}

/* Every process that makes commits wait or releases them, against any document that may be in force. */
void sync_check(Cluster *c, int no)
{
    const Node *node = &c->node[no];
    const Document *doc = &node->core.persist.doc;

    if (!node->up || node->server.state != PG_PRIMARY || !doc->synchronous ||
        doc->primary != node->core.self || node->core.role != ROLE_LEADER ||
        node->core.epoch_in_force != doc->epoch)
        return;
    c->tally.check[INVARIANT_OVERLAP]++;
    check_names(c, no, doc, &node->server.read[CHECKPOINTER], "the checkpointer");
    for (int i = 0; i < c->count; i++)
        if (is_served(c, no, i))
            check_names(c, no, doc, &node->server.read[i], "a walsender");
}
