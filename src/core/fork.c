/*
 * fork.c: where the WAL of the own server leaves the cluster's, by the document's epochs, and where these do
 * not tell, by what the inspection found out from the primary.
 */
#include "core/internal.h"

/*
 * The newest timeline here that can be the cluster's as well; 0: none, or it cannot be told. By epochs: what
 * this member wrote beyond its own, or on a number that an epoch of another's has, is not the cluster's.
 */
uint32_t fork_shared_timeline(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *mine = document_epoch(doc, core->persist.wal_epoch);
    uint32_t shared = mine != NULL ? mine->timeline : UINT32_MAX;
    bool own = document_own_epoch(core, core->pg.timeline) != 0;

    if (core->persist.wal_epoch != 0 && mine == NULL)
        return 0; /* too long ago */
    for (int i = 0; i < doc->history_len; i++) {
        const DocEpoch *row = &doc->history[i];
        bool twofold =
            row->timeline == core->persist.stray_timeline || (row->timeline == core->pg.timeline && !own);
        if (twofold && row->timeline <= shared)
            shared = row->timeline - 1;
        if (row->kept_from != 0 && row->epoch > core->persist.wal_epoch && row->kept_from <= shared)
            shared = row->kept_from - 1;
    }
    return shared;
}

/* Where the own WAL leaves the cluster's, and the timeline to read it on; fork 0: from as early as there is.
 */
void fork_fill(const Core *core, Action *action)
{
    const Document *doc = &core->persist.doc;
    uint32_t epoch = document_own_epoch(core, core->pg.timeline);
    Lsn fork;

    action->timeline = core->pg.timeline;
    bool told = document_fork(doc, epoch != 0 ? epoch : core->persist.wal_epoch, &fork);
    if (told)
        action->fork = fork;
    /* A timeline that no epoch has: somebody's promotion, or an ancestor that the document knows nothing of.
     */
    if (!told || epoch == 0)
        action->shared = fork_shared_timeline(core);
    action->ask_fork = action->kind == ACTION_INSPECT && action->shared != 0 && action->target != MEMBER_NONE;
    /* A timeline that no epoch has left the cluster's WAL where it began, or before. */
    if (epoch == 0 && core->pg.timeline_start < action->fork)
        action->fork = core->pg.timeline_start;
}

/* The epoch that the timeline's number and begin stand for in the cluster, whoever wrote on it here. */
static const DocEpoch *row_of_timeline(const Core *core)
{
    const Document *doc = &core->persist.doc;
    uint32_t newest = core->persist.wal_epoch != 0 ? core->persist.wal_epoch : doc->epoch;

    return document_epoch(doc, document_epoch_of(doc, core->pg.timeline, core->pg.timeline_start, newest));
}

/*
 * Whose epochs are not known any more, its state being lost, and who wrote WAL of an epoch that was
 * another's: somebody promoted it at the very place where that one was, and nothing but the WAL's content
 * differs.
 */
static bool wrote_as_another(const Core *core, const ActionResult *done)
{
    const DocEpoch *row = row_of_timeline(core);
    bool strayed = core->persist.stray_timeline == core->pg.timeline;

    return row != NULL &&
           (strayed || (core->persist.wal_epoch == 0 && done->was_primary && row->primary != core->self));
}

void fork_on_inspected(Core *core, Effects *out, const ActionResult *done)
{
    core->inspected = true;
    core->inspected_epoch = core->action.epoch;
    core->fork = core->action.fork;
    core->fork_known = done->fork_known;
    core->ancestor.timeline = 0;
    if (done->fork_known)
        core->fork = done->fork;
    /* A timeline that this server's epoch does not know is a fork, whatever its positions say; unless the
     * primary's history says where it was left. */
    core->diverged =
        done->diverged || (!done->fork_known && document_own_epoch(core, core->pg.timeline) == 0);
    if (done->fork_known && done->numbers_lie)
        core->rewind_failed = true;
    if (wrote_as_another(core, done)) {
        core->diverged = core->rewind_failed = true; /* pg_rewind would find nothing to do */
        if (core->pg.timeline_start < core->fork)
            core->fork = core->pg.timeline_start;
    }
    if (done->fork_known && !core->diverged) {
        core->ancestor.timeline = core->pg.timeline;
        core->ancestor.epoch = core->action.epoch;
        core->ancestor.fork = core->fork;
    }
    core->want_rejoin = false;
    char end[LSN_TEXT_LEN], fork[LSN_TEXT_LEN];
    lsn_format(done->lsn, end);
    lsn_format(core->fork, fork);
    core_log(core, out, LOG_LEVEL_INFO, "inspected end=%s fork=%s timeline=%u diverged=%s", end, fork,
             core->pg.timeline, core->diverged ? "yes" : "no");
}
