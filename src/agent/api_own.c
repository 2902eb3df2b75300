/*
 * api_own.c: what only a member itself knows: its disk, its network, what its server holds.
 */
#include "agent/internal.h"

#include "wire/json.h"

static void add_disk(const Agent *agent, Buf *out, bool self)
{
    const PgStatus *server = self && agent->poll != NULL ? poll_status(agent->poll) : NULL;

    if (server == NULL || server->disk_size == 0) {
        json_add_null(out, "disk_size");
        json_add_null(out, "disk_free");
        return;
    }
    json_add_number(out, "disk_size", (int64_t) server->disk_size);
    json_add_number(out, "disk_free", (int64_t) server->disk_free);
}

void api_own_add(const Agent *agent, Buf *out, bool self)
{
    const Netcheck *check = self ? agent->netcheck : NULL;

    add_disk(agent, out, self);
    json_add_text(out, "network", !netcheck_is_on(check) ? NULL : netcheck_cut_off(check) ? "cut off" : "ok");
    json_add_text(out, "network_reason", netcheck_cut_off(check) ? netcheck_text(check) : NULL);
    figures_add(self ? agent->figures : NULL, out);
}

void api_own_alarms(const Agent *agent, Alarms *alarms)
{
    const char *name = agent->core.options.name, *elsewhere = elsewhere_text(agent->elsewhere);

    if (elsewhere[0] != '\0')
        alarms_add(
            alarms, NOTIFY_EVENT_unseen, agent->core.self,
            "no process of the server of %s is seen, and it may run all the same (%.150s): it is not touched",
            name, elsewhere);
    if (netcheck_cut_off(agent->netcheck))
        alarms_add(alarms, NOTIFY_EVENT_network, agent->core.self,
                   "the network check of %s has failed, it does not stand for election: %.200s", name,
                   netcheck_text(agent->netcheck));
}
