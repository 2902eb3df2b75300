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
#include "wire/codec.h"

/* Since when the other one is asked whether it was promoted meanwhile; heard: it was not, or that is over. */
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
    static bool was_standby;

    if (RecoveryInProgress()) {
        was_standby = true;
        return false;
    }
    bool promoted = was_standby && core->role == ROLE_FOLLOWER && act_closed() == NULL && !act_runs() &&
                    is_without_vote(core, nodes);
    was_standby = false;
    return promoted;
}

static bool is_alone(const Core *core, const KeeperNodes *nodes)
{
    return core->role == ROLE_LEADER && core->self != MEMBER_NONE &&
           core->persist.doc.member[core->self].voter && nodes_registered(nodes) == 2;
}

void byhand_begin(const Core *core, bool was_open)
{
    asked_since = clock_now();
    heard = was_open || core->persist.doc.id.term == 0;
}

bool byhand_waits(const Core *core, const KeeperNodes *nodes)
{
    Clock now = clock_now();
    int64 waited_us = clock_elapsed_most(&asked_since, &now);
    bool others = false;

    for (int i = 0; i < nodes->count; i++)
        others = others || document_find(&core->persist.doc, nodes->node[i].id) == MEMBER_NONE;
    heard = heard || !others || nodes_registered(nodes) != 2 ||
            waited_us >= (int64) core->persist.doc.lease_ms * US_PER_MS;
    return !heard;
}

void byhand_hear_nothing(void)
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
    heard = heard || !promoted;
    if (promoted && msg->report.eligible)
        act_close(nodes_name(nodes, id), "was promoted by hand");
}

void byhand_ask(const Core *core, const KeeperNodes *nodes)
{
    static LogLimit waiting;
    Msg hello = {.kind = MSG_HELLO,
                 .sender = core->persist.node_uuid,
                 .term = core->persist.term,
                 .inc = core->inc,
                 .seq = core->seq,
                 .doc_id = core->doc_durable};

    if (core->role != ROLE_LEADER || nodes_registered(nodes) != 2)
        return;
    if (!heard)
        log_limited(
            &waiting, LOG_LEVEL_INFO, "asks_the_other",
            "before commits are allowed: it may have been promoted by hand while this server was down");
    hello.report = core_report(core);
    for (int i = 0; i < nodes->count; i++) {
        Buf text = {0};
        if (document_find(&core->persist.doc, nodes->node[i].id) != MEMBER_NONE)
            continue;
        codec_encode_msg(&hello, &core->persist.doc, core->options.name, &text);
        if (!text.failed && text.data != NULL)
            link_send(i, text.data, text.len);
        buf_done(&text);
    }
}
