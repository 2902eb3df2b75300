/*
 * verb_resolve.c: both sides of two primaries, and the order which of them is kept.
 *
 * The order goes to the leader; where nobody leads, to the member that is to be kept, which then stands.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/operation.h"
#include "cli/show.h"
#include "cli/sides.h"
#include "cli/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void add_alarms(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    const json_t *alarms = json_object_get(cluster, "alarms");

    for (size_t i = 0; i < json_array_size(alarms); i++) {
        const char *alarm = json_string_value(json_array_get(alarms, i));
        if (alarm == NULL ||
            (strstr(alarm, "primaries: ") == NULL && strstr(alarm, "waits for a decision") == NULL))
            continue;
        show_text(out, style, TONE_BAD, alarm);
        buf_puts(out, "\n");
    }
}

static int show(Client *client, const Call *call)
{
    const json_t *members;
    ShowStyle style = show_style(stdout);
    Buf out = {0};
    Err err = {0};

    if (!client_ask_cluster(client, &err))
        return call_fail(&err);
    bool open = sides_is_open(client->cluster);
    members = json_object_get(client->cluster, "members");
    if (call_has(call, FLAG_JSON)) {
        json_t *sides = json_array();
        for (size_t i = 0; i < json_array_size(members); i++)
            if (sides_is_primary(json_array_get(members, i)) || sides_ask(json_array_get(members, i)))
                json_array_append(sides, json_array_get(members, i));
        field_print(sides, false);
        json_decref(sides);
        return open ? EXIT_NO : EXIT_DONE;
    }
    if (!open) {
        puts("There is nothing to decide.");
        return EXIT_DONE;
    }
    sides_render(client->cluster, &style, &out);
    add_alarms(client->cluster, &style, &out);
    buf_puts(&out, "pgvigil resolve --keep NAME keeps one side; what is discarded has been saved before.\n");
    show_print(&out, stdout);
    return EXIT_NO;
}

/* ---- The order ---- */

/* What the others lose, one sentence each. */
static void say_losses(const json_t *cluster, const char *keep, Buf *out)
{
    const json_t *members = json_object_get(cluster, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i), *lost = sides_lost(member);
        const char *name = field_text(member, "name", "?");
        char bytes[SHOW_NUMBER_LEN];
        if (strcmp(name, keep) == 0 || (!sides_is_primary(member) && !sides_ask(member)))
            continue;
        if (sides_ask(member) && field_true(lost, "complete")) {
            show_bytes((uint64_t) field_number(lost, "bytes", 0), bytes);
            buf_printf(out, " Lost are %" PRId64 " transactions of %s (%s of WAL behind %s, the last of %s).",
                       field_number(lost, "transactions", 0), name, bytes, field_text(lost, "fork", "?"),
                       field_text(lost, "last", "an unknown time"));
        } else if (sides_ask(member)) {
            buf_printf(out, " Lost is what only %s has, and how much that is cannot be told.", name);
        } else if (sides_behind(cluster, member) > 0) {
            show_bytes(sides_behind(cluster, member), bytes);
            buf_printf(out, " Lost is what %s has written since the fork: %s of WAL.", name, bytes);
        } else {
            buf_printf(out, " Lost is what only %s has written.", name);
        }
    }
}

static bool agrees(const Client *client, const Call *call, const char *keep)
{
    const char *primary = field_text(client->cluster, "primary", NULL);
    Buf question = {0};

    if (primary == NULL)
        buf_printf(&question, "%s becomes the primary of %s.", keep, client->config->cluster.name);
    else if (strcmp(primary, keep) == 0)
        buf_printf(&question, "%s goes on as the primary.", keep);
    else
        buf_printf(&question, "%s is stopped, and %s takes over with what it has.", primary, keep);
    say_losses(client->cluster, keep, &question);
    buf_puts(&question,
             " It is saved first, and can be looked at with pgvigil lost; it does not come back by itself.");
    bool yes = !question.failed && operation_confirm(call, question.data);
    buf_done(&question);
    return yes;
}

static int order(Client *client, const Call *call)
{
    Err err = {0};
    int keep = client_find(client, call->value[FLAG_KEEP], &err);

    if (keep < 0 || !client_ask_cluster(client, &err))
        return call_fail(&err);
    const char *name = client->config->member[keep].name;
    if (client->config->member[keep].role == MEMBER_ROLE_WITNESS) {
        err_set(&err, ERR_CONFIG, "%s is a witness and has no PostgreSQL", name);
        return call_fail(&err);
    }
    int receiver = client_leader(client) >= 0 ? client_leader(client) : keep;
    if (client->pinned >= 0)
        receiver = client->pinned;
    if (!agrees(client, call, name)) {
        fprintf(stderr, "pgvigil: nothing was done\n");
        return EXIT_NO;
    }
    return operation_order(client, call, receiver, operation_body("resolve", name), call->verb->wait_ms);
}

int verb_resolve(const Call *call)
{
    Client client;
    Err err = {0};
    int code;

    if (!client_open(&client, call, &err))
        return call_fail(&err);
    if (call_has(call, FLAG_OPERATION))
        code = operation_again(&client, call, client.pinned, call->verb->wait_ms);
    else
        code = call_has(call, FLAG_KEEP) ? order(&client, call) : show(&client, call);
    client_done(&client);
    return code;
}
