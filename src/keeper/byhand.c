/*
 * byhand.c: of two nodes one is promoted by hand: it becomes the primary, and the other is closed when it
 * hears.
 *
 * Nobody else votes, so that nobody is asked: whoever promotes a standby says that the old primary is down. A
 * node with a vote is none of that: somebody may count on its word.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include <string.h>

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"

static bool was_standby; /* at the last look of this core */

/*
 * Whether the other one was promoted while this server was down. heard: it was not, or that need not be
 * asked, or it has not answered for a lease since it was asked first.
 */
static Clock asked_since;
static bool heard;

/* Two nodes, as far as this one knows, and the document gives it no vote, or does not name it any more. */
static bool is_without_vote(const Core *core, const KeeperNodes *nodes)
{
    const Document *doc = &core->persist.doc;
    bool votes = core->self != MEMBER_NONE && doc->member[core->self].voter && !core->persist.outside;

    return nodes_registered(nodes) <= 2 && doc->primary != core->self && !votes;
}

bool byhand_is_promoted(const Core *core, const KeeperNodes *nodes)
{
    if (RecoveryInProgress()) {
        was_standby = true;
        return false;
    }
    bool promoted = was_standby && core->role == ROLE_FOLLOWER && act_closed() == NULL && !act_runs() &&
                    is_without_vote(core, nodes);
    was_standby = promoted; /* until a core begins by it: its state may not be written at once */
    return promoted;
}

static bool is_alone(const Core *core, const KeeperNodes *nodes)
{
    return core->role == ROLE_LEADER && core->self != MEMBER_NONE &&
           core->persist.doc.member[core->self].voter && nodes_registered(nodes) == 2;
}

/* Registered, and nobody's vote is its: only by people it can be a primary. */
static bool is_mute(const Core *core, const KeeperNode *node)
{
    MemberNo no = document_find(&core->persist.doc, node->id);

    return !node->gone && strcmp(node->id, gucs_node_id) != 0 &&
           (no == MEMBER_NONE || !core->persist.doc.member[no].voter);
}

void byhand_begin(const Core *core, bool was_open)
{
    was_standby = false;
    asked_since = (Clock){0};
    heard = was_open || core->persist.doc.id.term == 0 || RecoveryInProgress();
}

void byhand_turn(const Core *core, const KeeperNodes *nodes)
{
    Clock now = clock_now();
    bool any = false;

    for (int i = 0; i < nodes->count; i++)
        any = any || is_mute(core, &nodes->node[i]);
    heard = heard || !any || nodes_registered(nodes) != 2 ||
            (asked_since.boot_us != 0 &&
             clock_elapsed_most(&asked_since, &now) >= (int64) core->persist.doc.lease_ms * US_PER_MS);
}

bool byhand_waits(void)
{
    return !heard;
}

void byhand_hear_standby(void)
{
    heard = true;
}

/*
 * It leads, by a document of its own: one that was promoted and has to wait for others does not say so. Of
 * two on one timeline both were promoted by hand, and the one that was registered first goes on.
 */
void byhand_hear(const Core *core, const KeeperNodes *nodes, const char *id, const Msg *msg)
{
    const Observation *pg = &msg->report.pg;
    int index = nodes_find(nodes, id), self = nodes_find(nodes, gucs_node_id);

    if (!is_alone(core, nodes) || index < 0 || strcmp(id, gucs_node_id) == 0)
        return;
    bool promoted = pg->state == PG_PRIMARY && pg->system_identifier == core->pg.system_identifier &&
                    (pg->timeline > core->pg.timeline || (pg->timeline == core->pg.timeline && index < self));
    heard = heard || pg->state == PG_STANDBY || (pg->state == PG_PRIMARY && !promoted);
    if (promoted && msg->report.eligible)
        act_close(nodes_name(nodes, id), "was promoted by hand");
}

void byhand_ask(const Core *core, const KeeperNodes *nodes)
{
    static LogLimit waiting;

    if (core->role != ROLE_LEADER || nodes_registered(nodes) != 2)
        return;
    if (asked_since.boot_us == 0)
        asked_since = clock_now();
    if (!heard)
        log_limited(
            &waiting, LOG_LEVEL_INFO, "asks_the_other",
            "before commits are allowed: it may have been promoted by hand while this server was down");
    for (int i = 0; i < nodes->count; i++)
        if (is_mute(core, &nodes->node[i]))
            talk_hello(core, i);
}
