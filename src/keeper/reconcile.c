/*
 * reconcile.c: the table says who shall belong, the document who does: the next change that makes them agree.
 */
#include "keeper/reconcile.h"

#include <string.h>

static bool is_wanted(const Core *core, const KeeperNodes *nodes, const char *id)
{
    return strcmp(id, core->options.name) == 0 ||
           (nodes_can_elect(nodes, core->options.standby_votes) && nodes_has(nodes, id));
}

/* Who is not wanted any more; who left the table first, as long as there are others to agree. */
static MemberNo unwanted(const Core *core, const KeeperNodes *nodes)
{
    const Document *doc = &core->persist.doc;
    MemberNo found = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (doc->member[no].kind == MEMBER_FREE || is_wanted(core, nodes, doc->member[no].name))
            continue;
        if (found == MEMBER_NONE || !nodes_has(nodes, doc->member[no].name))
            found = no;
    }
    return found;
}

const char *reconcile_next(const Core *core, const KeeperNodes *nodes, CommandKind *ret_kind)
{
    const Document *doc = &core->persist.doc;
    MemberNo leaves = unwanted(core, nodes);

    if (core->role != ROLE_LEADER || !core->doc_in_force)
        return NULL;
    *ret_kind = COMMAND_MEMBER_REMOVE;
    if (leaves != MEMBER_NONE)
        return doc->member[leaves].leaving ? NULL : doc->member[leaves].name;
    *ret_kind = COMMAND_MEMBER_ADD;
    for (int i = 0; i < nodes->count && membership_on_its_way(doc) == MEMBER_NONE; i++)
        if (is_wanted(core, nodes, nodes->node[i].id) && document_find(doc, nodes->node[i].id) == MEMBER_NONE)
            return nodes->node[i].id;
    return NULL;
}

void reconcile_keep(const Core *core, const KeeperNodes *before, KeeperNodes *nodes)
{
    for (int i = 0; i < before->count && nodes->count < MEMBER_MAX; i++) {
        const KeeperNode *node = &before->node[i];
        bool member = document_find(&core->persist.doc, node->id) != MEMBER_NONE;
        if (!member || nodes_find(nodes, node->id) >= 0)
            continue;
        nodes->node[nodes->count] = *node;
        nodes->node[nodes->count++].gone = true;
    }
}
