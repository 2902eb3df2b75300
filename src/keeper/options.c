/*
 * options.c: what the core goes by, made from the settings and the table of nodes.
 */
#include "keeper/body.h"

#include "base/str.h"
#include "sys/log.h"

/* resync = off: what became asynchronous stays so. */
static bool waited, stays_async;

bool options_notice_async(const Core *core, const KeeperNodes *nodes)
{
    bool waits = core_waits_for_standbys(core);

    waited = waited || waits;
    if (gucs_resync || stays_async || !waited || waits || core->role != ROLE_LEADER)
        return false;
    if (gucs_prefer == PREFER_STANDBY && nodes_registered(nodes) == 2)
        return false; /* the standby gets its vote, and with it commits wait */
    stays_async = true;
    log_line(LOG_LEVEL_WARN, "asynchronous",
             "commits wait for no standby any more, and will not again: pg_keeper.resync is off");
    return true;
}

static void take_sync(CoreOptions *options, const Document *doc)
{
    look_wanted_sync(doc, &options->sync_mode, &options->sync_k);
    stays_async = stays_async && !gucs_resync;
    if (stays_async)
        options->sync_mode = SYNC_OFF;
}

CoreOptions options_make(const KeeperNodes *nodes, const Document *doc, bool alone)
{
    uint32_t lease_ms = gucs_lease_ms();
    CoreOptions options = {
        .kind = MEMBER_DATA,
        .lease_ms = lease_ms,
        .heartbeat_ms = lease_ms / 5,
        .drift_ppm = 1000,
        .margin_ms = 30,
        .unresponsive_ms = INT32_MAX,
        .brownout_ms = INT32_MAX, /* without its lease the server is closed, and goes on when it is back */
        .start_limit_ms = INT32_MAX,
        .stream_timeout_ms = INT32_MAX,
        .maximum_lag = INT64_MAX,
        .sync_timeout_ms = lease_ms,
        .standby_votes = gucs_prefer == PREFER_STANDBY,
        .resolve_ask = true,
        .resolve_after_ms = INT32_MAX,
    };

    take_sync(&options, doc);
    str_copy(options.name, sizeof options.name, gucs_node_name);
    for (int i = 0, slot = 0; i < nodes->count; i++) {
        const char *name = nodes->node[i].name;
        bool self = strcmp(name, gucs_node_name) == 0;
        if (alone && !self)
            continue;
        str_copy(options.member[slot].name, sizeof options.member[slot].name, name);
        options.member[slot].kind = MEMBER_DATA;
        options.member[slot++].voter = alone && self;
    }
    return options;
}
