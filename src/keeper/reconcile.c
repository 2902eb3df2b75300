/*
 * reconcile.c: the table says who shall belong, the document who does: the next change that makes them agree.
 */
#include "keeper/body.h"

static bool is_registered(const KeeperNodes *nodes, const char *id)
{
    int index = nodes_find(nodes, id);

    return index >= 0 && !nodes->node[index].gone;
}

static bool is_wanted(const KeeperNodes *nodes, const char *id)
{
    bool few = nodes_registered(nodes) < NODES_LEAST;

    return strcmp(id, gucs_node_id) == 0 || (!few && is_registered(nodes, id));
}

/* Who is not wanted any more; who left the table first, as long as there are others to agree. */
static MemberNo unwanted(const Document *doc, const KeeperNodes *nodes)
{
    MemberNo found = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (doc->member[no].kind == MEMBER_FREE || is_wanted(nodes, doc->member[no].name))
            continue;
        if (found == MEMBER_NONE || !is_registered(nodes, doc->member[no].name))
            found = no;
    }
    return found;
}

static bool somebody_is_on_the_way(const Document *doc)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE && (doc->member[no].leaving || !doc->member[no].voter))
            return true;
    return false;
}

const char *reconcile_next(const Core *core, const KeeperNodes *nodes, CommandKind *ret_kind)
{
    const Document *doc = &core->persist.doc;
    MemberNo leaves = unwanted(doc, nodes);

    if (core->role != ROLE_LEADER || !core->doc_in_force)
        return NULL;
    *ret_kind = COMMAND_MEMBER_REMOVE;
    if (leaves != MEMBER_NONE)
        return doc->member[leaves].leaving ? NULL : doc->member[leaves].name;
    *ret_kind = COMMAND_MEMBER_ADD;
    for (int i = 0; i < nodes->count && !somebody_is_on_the_way(doc); i++)
        if (is_wanted(nodes, nodes->node[i].id) && document_find(doc, nodes->node[i].id) == MEMBER_NONE)
            return nodes->node[i].id;
    return NULL;
}
