/*
 * resync.c: pg_keeper.resync = off: a cluster that has become asynchronous stays so.
 *
 * Its document only says that nobody is waited for. That somebody was before is noted in
 * postgresql.auto.conf, on each node, so that neither the next worker nor the next primary begins anew.
 */
#include "keeper/body.h"

#include <miscadmin.h>

#include <signal.h>

#include "sys/log.h"

static struct {
    SyncMode wanted; /* by the configuration */
    bool waited;     /* commits have waited for standbys, as this process has seen */
    bool stays;
} state;

static bool waits(const Document *doc)
{
    return doc->synchronous && doc->sync_needed > 0;
}

static bool stays_async(const Document *doc)
{
    /* Of two, the standby gets the only vote, and with it commits wait. */
    if (gucs_prefer == PREFER_STANDBY && nodes_registered(body_known()) == 2)
        return false;
    return !gucs_resync && (state.waited || gucs_waited) && !waits(doc);
}

void resync_apply(const Document *doc, CoreOptions *options)
{
    state.wanted = options->sync_mode;
    if (state.wanted == SYNC_OFF)
        state.waited = false; /* whoever turns it on again begins anew */
    bool stays = stays_async(doc);
    if (stays && !state.stays && state.wanted != SYNC_OFF)
        log_line(LOG_LEVEL_WARN, "asynchronous",
                 "commits wait for no standby any more, and will not again: pg_keeper.resync is off");
    state.stays = stays;
    if (stays)
        options->sync_mode = SYNC_OFF;
}

static void note(void)
{
    static LogLimit limit;
    bool waited = state.wanted != SYNC_OFF && (state.waited || gucs_waited);
    Err err = {0};

    if (waited == gucs_waited || !upstream_lock())
        return;
    if (upstream_write_waited(waited, &err))
        (void) kill(PostmasterPid, SIGHUP);
    else
        log_limited(&limit, LOG_LEVEL_WARN, "not_noted", "reason=\"%s\"", err.text);
    upstream_unlock();
}

bool resync_look(const Core *core)
{
    const Document *doc = &core->persist.doc;

    state.waited = state.waited || waits(doc);
    note();
    return stays_async(doc) != state.stays;
}
