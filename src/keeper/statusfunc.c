/*
 * statusfunc.c: status(): what the worker here sees of the cluster, and how old that is; the lease as the
 * fence has it at this moment, whatever the worker does. Apart from sqlfunc.c, because jansson's names and
 * those of PostgreSQL's own functions do not go together.
 */
#include "keeper/keeper.h"

#include <fmgr.h>

#include "sys/clock.h"
#include "wire/json.h"

PG_FUNCTION_INFO_V1(pgkeeper_status);

static bool text_is(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL && strcmp(value, text) == 0;
}

/* The own row of the nodes; NULL: there is none. */
static json_t *own_row(const json_t *view)
{
    json_t *members = json_object_get(view, "members");

    for (size_t i = 0; i < json_array_size(members); i++)
        if (json_is_true(json_object_get(json_array_get(members, i), "self")))
            return json_array_get(members, i);
    return NULL;
}

/* Whether commits pass is the fence's word, and not the worker's. */
static const char *primary_state(const Fence *fence, bool open)
{
    if (!open)
        return "closed";
    return fence->epoch == 0 ? "unmanaged" : "primary";
}

static void set_lease(json_t *view, const Clock *now)
{
    Fence fence = {0};
    json_t *length = json_object_get(view, "lease_ms"), *row = own_row(view);
    bool leads = row != NULL && json_is_true(json_object_get(row, "leader"));
    bool open = map_read(&fence, false) && fence_is_open(&fence, now);
    bool held = leads && open && fence.epoch != 0;
    int64 left_ms = held ? (fence.until.boot_us - now->boot_us) / US_PER_MS : 0;

    json_object_set_new(view, "lease",
                        json_pack("{s:b, s:I, s:I}", "held", held, "remaining_ms", (json_int_t) left_ms, "ms",
                                  json_integer_value(length)));
    json_object_del(view, "lease_ms");
    if (leads && !held)
        json_object_set_new(view, "quorum", json_false());
    if (row != NULL && text_is(row, "state", "primary"))
        json_object_set_new(row, "state", json_string(primary_state(&fence, open)));
}

/* What it says is of then, and may not be so any more. */
static void tell_still(json_t *view, const Clock *now)
{
    int64 still_s = board_still_s(now);
    char text[160];

    if (still_s == 0)
        return;
    snprintf(text, sizeof text, "the worker of %s has not moved for %lld s: what is told here is of then",
             gucs_node_name, (long long) still_s);
    json_array_append_new(json_object_get(view, "alarms"), json_string(text));
}

/* status(): JSON, as the agents' /v1/cluster. */
Datum pgkeeper_status(PG_FUNCTION_ARGS)
{
    BoardView *seen = palloc(sizeof *seen);
    Clock now = clock_now();
    Err err = {0};
    int pid;

    board_need();
    board_view(seen);
    json_t *view = board_worker_pid(&pid) ? json_parse(seen->status, strlen(seen->status), &err) : NULL;
    if (view == NULL)
        ereport(ERROR,
                (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("the worker of pg_keeper has told nothing yet"),
                 errhint("Try again; if it stays so, the server's log says why.")));
    set_lease(view, &now);
    tell_still(view, &now);
    char *dumped = json_dumps(view, JSON_COMPACT);
    json_decref(view);
    if (dumped == NULL)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    /* Of this call's memory from here on: a letter that the database does not have is an ERROR. */
    char *text = pstrdup(dumped);
    free(dumped);
    char *words = name_to_server(text);
    size_t len = strlen(words);
    struct varlena *result = palloc(VARHDRSZ + len);
    SET_VARSIZE(result, VARHDRSZ + len);
    memcpy(VARDATA(result), words, len);
    PG_RETURN_POINTER(result);
}
