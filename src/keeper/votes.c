/*
 * votes.c: no majority that could confirm a lease, or elect: who is missing, and what is to be done.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include "sys/clock.h"
#include "sys/log.h"

/* An election takes a lease, and who starts has to be heard first. */
#define LASTS_LEASES 2
#define LASTS_US     (5 * US_PER_SEC)

/* What is lost does not come back by waiting; docs/replaces/pg_keeper.md has the same with all commands. */
static const char *cure(const Core *core)
{
    if (!explain_votes_lost(core))
        return "start them, or let them reach each other";
    /* A standby that begins anew begins no cluster, and the vote that it had is gone, too. */
    if (nodes_registered(body_known()) == 2 && RecoveryInProgress())
        return "make sure which server alone runs as a primary, and let that one begin anew, not this standby: "
               "pg_keeper.prefer = primary there, stop it, remove pg_keeper in its data directory, start it";
    if (nodes_registered(body_known()) == 2)
        return "make sure that no other server runs as a primary, and let this one begin anew: pg_keeper.prefer = "
               "primary, stop it, remove pg_keeper in its data directory, start it";
    return "begin anew where everything is: stop all, start that server without pg_keeper and empty pgkeeper.node, "
           "remove pg_keeper in all data directories, start them with it, that one first, and add all nodes";
}

bool votes_lack(const Core *core, char *ret_text, size_t size)
{
    bool lease = core->role == ROLE_LEADER && core_lease_holds(core, &core->now);
    char votes[CORE_TEXT_LEN];

    /* Who has lost his own vote leaves it to those who have one; of two the primary may have none. */
    if (core->persist.doc.epoch == 0 || core->persist.outside || lease ||
        (!view_has_vote(core, core->self) && core->persist.doc.primary != core->self) ||
        (core->role != ROLE_LEADER && core->leader != MEMBER_NONE) ||
        explain_votes(core, votes, sizeof votes))
        return false;
    snprintf(ret_text, size, "%s has no majority: %s: %s", gucs_node_name, tell_words(votes), cure(core));
    return true;
}

void votes_look(const Core *core)
{
    static LogLimit limit;
    static Clock since;
    char text[VOTES_TEXT_LEN];
    Clock now = clock_now();

    if (core == NULL || !votes_lack(core, text, sizeof text)) {
        since = (Clock){0};
        return;
    }
    if (since.boot_us == 0)
        since = now;
    int64 lasts_us = Max(LASTS_US, LASTS_LEASES * (int64) core->persist.doc.lease_ms * US_PER_MS);
    if (now.boot_us - since.boot_us >= lasts_us)
        log_limited(&limit, LOG_LEVEL_WARN, "no_majority", "reason=\"%s\"", text);
}
