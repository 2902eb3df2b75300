/*
 * options.c: what the core goes by, made from the settings and the table of nodes.
 */
#include "keeper/body.h"

#include "base/str.h"

/* A shorter silence than that a loaded machine may have; as an agent has it. */
#define UNRESPONSIVE_LEAST_MS 5000u

CoreOptions options_make(const KeeperNodes *nodes, const Document *doc, bool alone)
{
    uint32_t lease_ms = gucs_lease_ms();
    CoreOptions options = {
        .kind = MEMBER_DATA,
        .lease_ms = lease_ms,
        .heartbeat_ms = lease_ms / 5,
        .drift_ppm = 1000,
        .margin_ms = 30,
        .unresponsive_ms = Max(lease_ms, UNRESPONSIVE_LEAST_MS),
        .brownout_ms = INT32_MAX, /* without its lease the server is closed, and goes on when it is back */
        .start_limit_ms = INT32_MAX,
        .stream_timeout_ms = INT32_MAX,
        .maximum_lag = INT64_MAX,
        .sync_timeout_ms = lease_ms,
        .standby_votes = gucs_prefer == PREFER_STANDBY,
        .resolve_ask = true,
        .resolve_after_ms = INT32_MAX,
    };

    look_wanted_sync(doc, &options.sync_mode, &options.sync_k);
    resync_apply(doc, &options);
    str_copy(options.name, sizeof options.name, gucs_node_id);
    for (int i = 0, slot = 0; i < nodes->count; i++) {
        const char *id = nodes->node[i].id;
        bool self = strcmp(id, gucs_node_id) == 0;
        if (alone && !self)
            continue;
        str_copy(options.member[slot].name, sizeof options.member[slot].name, id);
        options.member[slot].kind = MEMBER_DATA;
        options.member[slot++].voter = alone && self;
    }
    return options;
}
