/*
 * view.c: what node_info and the process title show: the nodes as this worker sees them.
 */
#include "keeper/body.h"

#include <access/xlog.h>
#include <utils/ps_status.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/*
 * What is not heard for so many leases is not told as if it were. Leader and others hear each other five
 * times in a lease; two others seldom.
 */
#define LEASES_FRESH  1
#define LEASES_SELDOM 3

bool view_hears(const Core *core, MemberNo no)
{
    int64 age_us = core->now.boot_us - core->peer[no].heard_at.boot_us;
    int64 leases = core->role == ROLE_LEADER || no == core->leader ? LEASES_FRESH : LEASES_SELDOM;

    return core->peer[no].heard && age_us < leases * (int64) core->persist.doc.lease_ms * US_PER_MS;
}

bool view_has_vote(const Core *core, MemberNo no)
{
    return core->persist.doc.member[no].voter && !document_is_other(core, no);
}

static void own_state(const Core *core, char *ret_text, size_t size)
{
    if (act_closed() != NULL)
        snprintf(ret_text, size, "closed: %s", act_closed());
    else if (core->refused)
        snprintf(ret_text, size, "closed: it cannot take part, the log says why");
    else if (core->pg.state == PG_STANDBY)
        snprintf(ret_text, size, "standby, %s", core->pg.streaming ? "streaming" : "not streaming");
    else if (byhand_waits())
        snprintf(ret_text, size, "closed: it asks whether the other node was promoted meanwhile");
    else if (core_lease_holds(core, &core->now))
        snprintf(ret_text, size, "primary");
    else if (deadline_is_unmanaged())
        snprintf(ret_text, size, "primary, beginning: nothing would close it yet");
    else
        snprintf(ret_text, size, "closed: it has no lease");
}

static void other_state(const Core *core, MemberNo no, char *ret_text, size_t size)
{
    const Observation *pg = &core->peer[no].report.pg;

    if (!view_hears(core, no))
        snprintf(ret_text, size, "not heard");
    else if (pg->state == PG_PRIMARY && core->persist.doc.primary != no)
        snprintf(ret_text, size, "closed: it is not the primary any more");
    else if (pg->state == PG_PRIMARY && explain_lacks_lease(&core->peer[no].report))
        snprintf(ret_text, size, "closed: it has no lease");
    else if (pg->state == PG_PRIMARY && core->leader != no)
        snprintf(ret_text, size, "primary, and does not lead: no lease of it is known here");
    else if (pg->state == PG_STANDBY)
        snprintf(ret_text, size, "standby, %s", pg->streaming ? "streaming" : "not streaming");
    else
        snprintf(ret_text, size, "%s", pg_state_name(pg->state));
}

static bool could_take_over(const Core *core, MemberNo no)
{
    const Report *report = &core->peer[no].report;

    if (no == core->self)
        return core_is_eligible(core);
    return view_hears(core, no) && report->eligible && report->pg.state == PG_STANDBY;
}

/* The synchronous ones first, then in the order of their registration. */
static int next_of(const Core *core, const KeeperNodes *nodes, const BoardView *view)
{
    if (core->persist.doc.epoch == 0)
        return -1; /* there is nobody to take over from */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < nodes->count; i++) {
            MemberNo no = document_find(&core->persist.doc, nodes->node[i].id);
            if (no != MEMBER_NONE && no != core->persist.doc.primary &&
                (pass == 1 || view->node[i].is_sync) && could_take_over(core, no))
                return i;
        }
    return -1;
}

static void fill_node(const Core *core, const char *id, BoardNode *node)
{
    const Document *doc = &core->persist.doc;
    MemberNo no = document_find(doc, id);

    if (no == MEMBER_NONE) {
        snprintf(node->state, sizeof node->state, "registered, without a vote");
        return;
    }
    node->is_primary = doc->epoch > 0 && doc->primary == no;
    node->is_sync = !node->is_primary && core_waits_for_standbys(core) && (doc->sync_set >> no & 1) != 0;
    if (no == core->self)
        own_state(core, node->state, sizeof node->state);
    else
        other_state(core, no, node->state, sizeof node->state);
    size_t len = strlen(node->state);
    bool alone = doc->primary != MEMBER_NONE && !doc->member[doc->primary].voter;
    if (!view_has_vote(core, no) && !node->is_primary)
        snprintf(node->state + len, sizeof node->state - len, ", without a vote");
    else if (view_has_vote(core, no) && alone)
        snprintf(node->state + len, sizeof node->state - len, ", with the only vote");
}

static void set_title(const KeeperNodes *nodes, const Core *core)
{
    static char shown[64];
    char title[64];
    const char *mode = act_closed() != NULL   ? "closed"
                       : RecoveryInProgress() ? "standby mode"
                                              : "master mode";

    int count = nodes_registered(nodes);

    snprintf(title, sizeof title, "%s, %d node%s%s", mode, count, count == 1 ? "" : "s",
             core == NULL && count > 0 ? ", without a vote" : "");
    if (strcmp(title, shown) != 0)
        set_ps_display(title);
    str_copy(shown, sizeof shown, title);
}

void view_publish(void)
{
    const Core *core = body_core();
    const KeeperNodes *nodes = body_known();
    BoardView view = {.count = (uint32) nodes->count};

    for (int i = 0; i < nodes->count; i++) {
        str_copy(view.node[i].name, sizeof view.node[i].name, nodes->node[i].name);
        view.node[i].seqno = pair_is_set() ? nodes->node[i].seqno : 0;
        if (core != NULL)
            fill_node(core, nodes->node[i].id, &view.node[i]);
        else
            snprintf(view.node[i].state, sizeof view.node[i].state, "registered");
    }
    int next = core != NULL ? next_of(core, nodes, &view) : -1;
    if (next >= 0)
        view.node[next].is_next = true;
    status_make(core, nodes, next, view.status, sizeof view.status);
    board_publish(&view);
    set_title(nodes, core);
}
