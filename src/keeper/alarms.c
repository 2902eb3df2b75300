/*
 * alarms.c: what this worker knows to be wrong with settings, table and names, and a rewind, with the cure.
 */
#include "keeper/body.h"

#include <access/xlog.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sys/clock.h"
#include "sys/log.h"
#include "wire/json.h"

#define ALARM_LEN 500

/* Without a core, which has its own. */
static Sighting twin;

void alarms_hear(const char *name, const Uuid *sender, const Uuid *own)
{
    static LogLimit limit;
    Clock now = clock_now();

    if (strcmp(name, gucs_node_id) != 0 || uuid_equal(sender, own))
        return; /* with its own identity it is this node, at an address that leads back */
    (void) sighting_note(&twin, &now);
    if (sighting_is_told(&twin, &now))
        log_limited(&limit, LOG_LEVEL_ERROR, "twin",
                    "another server has the same pg_keeper.node_name, %s: " TELL_TWIN_CURE, gucs_node_name);
}

static bool has_twin(const Core *core)
{
    Clock now = clock_now();

    return core != NULL ? membership_is_twin(core) : sighting_is_told(&twin, &now);
}

/* Whoever has dropped it may not know that the nodes need it; when the lease is over it cannot be made again.
 */
void alarms_tell_dropped(void)
{
    static LogLimit limit;

    log_limited(
        &limit, LOG_LEVEL_WARN, "extension_dropped",
        "the nodes talk to each other through the extension pg_keeper, which is not in database \"%s\" any "
        "more: no commit is taken when the lease is over. As long as the primary takes commits: CREATE "
        "EXTENSION pg_keeper there and pgkeeper.add_node for all nodes. When it is closed: stop all nodes, "
        "start it without pg_keeper in shared_preload_libraries; to go on with pg_keeper CREATE EXTENSION "
        "there, remove DATA/pg_keeper of all nodes, start them with it, and add_node",
        gucs_database);
}

static void add(Buf *out, const char *format, ...) pg_attribute_printf(2, 3);

static void add(Buf *out, const char *format, ...)
{
    char text[ALARM_LEN];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_add_text(out, NULL, text);
}

const char *alarms_outside(const KeeperNodes *nodes)
{
    static char text[ALARM_LEN];
    bool registered = nodes_has(nodes, gucs_node_id);

    if (!nodes->there)
        snprintf(
            text, sizeof text,
            "has no extension pg_keeper in its database, \"%s\": CREATE EXTENSION pg_keeper on the primary, "
            "or correct pg_keeper.database",
            name_is_valid(gucs_database) ? gucs_database : "?"); /* what JSON can take */
    else if (!registered && nodes_elect(nodes))
        snprintf(text, sizeof text,
                 "is none of the registered nodes by its name: correct pg_keeper.node_name, or SELECT "
                 "pgkeeper.add_node(...) on the primary");
    else if (!registered)
        snprintf(text, sizeof text, "is not registered: SELECT pgkeeper.add_node(...) on the primary");
    else
        snprintf(text, sizeof text, "is registered and does not take part yet");
    return text;
}

/* The name of this node, or of one that it hears, is another server's, too. */
static void add_twins(const Core *core, Buf *out)
{
    if (has_twin(core))
        add(out, "another server has the same pg_keeper.node_name, %s: " TELL_TWIN_CURE, gucs_node_name);
    for (MemberNo no = 0; core != NULL && no < MEMBER_MAX; no++)
        if (core->persist.doc.member[no].kind != MEMBER_FREE && membership_has_twin(core, no))
            add(out,
                "two servers have pg_keeper.node_name = %s, the one that came later is refused: " TELL_TWIN_CURE,
                nodes_name(body_known(), core->persist.doc.member[no].name));
}

static void add_settings(Buf *out)
{
    const char *pending = nodes_pending();

    if (look_is_wrong())
        add(out,
            "a value in the configuration files of %s is wrong, and what commits wait for stays as it was: its log "
            "and pg_file_settings there say which; correct it and reload",
            gucs_node_name);
    if (pending[0] != '\0')
        add(out,
            "%s of %s has another value in the configuration files, from its next start on: take that back, "
            "or start it anew",
            pending, gucs_node_name);
}

static void add_table(const Core *core, const KeeperNodes *nodes, Buf *out)
{
    if (nodes->left_out > 0)
        add(out,
            "row %d of pgkeeper.node cannot be used, the log of %s says why: correct it on the primary, or SELECT "
            "pgkeeper.del_node(%d) and add_node",
            nodes->left_out_seqno, gucs_node_name, nodes->left_out_seqno);
    else if ((core != NULL || body_was_member()) && !nodes_has(nodes, gucs_node_id))
        add(out, "%s %s", gucs_node_name, alarms_outside(nodes));
}

static void add_rejoin(Buf *out)
{
    if (orders_trouble() != NULL)
        add(out, "%s: %s", gucs_node_name, orders_trouble());
}

void alarms_add(const Core *core, const KeeperNodes *nodes, Buf *out)
{
    add_rejoin(out);
    add_twins(core, out);
    add_settings(out);
    add_table(core, nodes, out);
}
