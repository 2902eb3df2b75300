/*
 * state.c: what this node knows when its worker starts: from its file, or nothing.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include <string.h>

#include "sys/log.h"

bool state_make(Store *store, Persist *ret_persist, Err *err)
{
    memset(ret_persist, 0, sizeof *ret_persist);
    ret_persist->doc.primary = MEMBER_NONE;
    if (!pg_strong_random(&ret_persist->node_uuid, sizeof ret_persist->node_uuid))
        return err_set(err, ERR_IO, "there are no random numbers");
    return store_save(store, ret_persist, err);
}

/*
 * It alone decides who is the primary, and was it; now it is a standby: by people's hands, who have chosen
 * the other one. With what it knew it would elect and promote itself, as soon as it does not hear that one.
 */
static bool was_replaced(const Document *doc)
{
    const DocEpoch *last = document_last(doc);

    if (!RecoveryInProgress() || doc->primary == MEMBER_NONE || last == NULL || !last->settled ||
        strcmp(doc->member[doc->primary].name, gucs_node_id) != 0)
        return false;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE && doc->member[no].voter != (no == doc->primary))
            return false;
    return true;
}

static bool open_file(Store **ret_store, Persist *ret_persist, bool *ret_found, Err *err)
{
    char folder[MAXPGPATH];

    return home_prepare(folder, sizeof folder, err) && store_open(folder, gucs_node_id, ret_store, err) &&
           home_settle(err) && store_load(*ret_store, ret_persist, ret_found, err);
}

/* What is written is safe without a mark, too, until the next start: the node loses its vote then. */
static void mark(void)
{
    static LogLimit limit;
    Err err = {0};

    if (!home_settle(&err))
        log_limited(
            &limit, LOG_LEVEL_WARN, "state_not_marked",
            "reason=\"%s\" it is tried again; started before that works, this node may begin anew, without a vote",
            err.text);
}

bool state_keep(Store **store, const Persist *persist, Err *err)
{
    Persist there;
    bool found;

    if (*store != NULL && store_is_in_place(*store)) {
        mark();
        return true;
    }
    if (*store != NULL)
        log_line(LOG_LEVEL_WARN, "state_removed",
                 "what this node must not forget was removed from DATA/pg_keeper: it is written anew");
    store_close(*store);
    *store = NULL;
    if (open_file(store, &there, &found, err) && store_save(*store, persist, err))
        return true;
    store_close(*store);
    *store = NULL;
    return false;
}

bool state_open(Store **ret_store, Persist *ret_persist, Err *err)
{
    bool found;

    if (!open_file(ret_store, ret_persist, &found, err))
        return false;
    if (!found)
        return state_make(*ret_store, ret_persist, err);
    if (!was_replaced(&ret_persist->doc))
        return true;
    log_line(LOG_LEVEL_WARN, "replaced",
             "this server was the primary, alone with a vote, and was made a standby: it gives that up");
    return state_make(*ret_store, ret_persist, err);
}
