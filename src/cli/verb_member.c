/*
 * verb_member.c: orders that concern one member's server: restart, reload, rejoin, clone.
 *
 * They go to that member's own agent, which keeps the operation; the leader need not be there.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/operation.h"
#include "cli/overview.h"
#include "cli/show.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

/* Index of the member named on the command line, else --member's, else this machine's; -1 with *err. */
static int find_subject(const Client *client, const Call *call, Err *err)
{
    int member = client->pinned >= 0 ? client->pinned : client->config->self;

    if (call->argument_count > 0)
        member = client_find(client, call->argument[0], err);
    else if (member < 0)
        err_set(err, ERR_CONFIG, "%s: this machine is no member; name one", call->verb->name);
    return member;
}

/* A witness has a configuration to reload, and nothing else that these verbs are about. */
static bool suits(const Client *client, const Call *call, int member, Err *err)
{
    if (client->config->member[member].role != MEMBER_ROLE_WITNESS || call->verb->run == verb_reload)
        return true;
    return err_set(err, ERR_CONFIG, "%s is a witness and has no PostgreSQL",
                   client->config->member[member].name);
}

static json_t *body_for(const Client *client, const Call *call, int member)
{
    return operation_body(call->verb->name, client->config->member[member].name);
}

static int order(Client *client, const Call *call, int member)
{
    return operation_order(client, call, member, body_for(client, call, member), call->verb->wait_ms);
}

/* As one of several members. */
static int order_line(Client *client, const Call *call, int member)
{
    return operation_order_line(client, call, member, body_for(client, call, member), call->verb->wait_ms);
}

/* Without a name any member may be the one that ran it. */
static int watch_again(Client *client, const Call *call)
{
    Err err = {0};
    int member = client->pinned;

    if (call->argument_count > 0 && (member = client_find(client, call->argument[0], &err)) < 0)
        return call_fail(&err);
    return operation_again(client, call, member, call->verb->wait_ms);
}

/* Whoever restarts this machine's server without naming it may not know that it is the primary. */
static bool agrees_to_restart(Client *client, const Call *call, int member)
{
    const char *name = client->config->member[member].name;
    char question[300];
    Err err = {0};

    if (call->verb->run != verb_restart || call->argument_count > 0 || call_has(call, FLAG_YES) ||
        !client_ask_cluster(client, &err))
        return true;
    const char *primary = field_text(client->cluster, "primary", NULL);
    if (primary == NULL || strcmp(primary, name) != 0)
        return true;
    snprintf(question, sizeof(question),
             "%s is the primary: its clients lose their sessions, and nothing is written until it is back. "
             "\"pgvigil switchover\" before it is a shorter outage.",
             name);
    if (operation_confirm(call, question))
        return true;
    fprintf(stderr, "pgvigil: nothing was done\n");
    return false;
}

static int order_one(const Call *call)
{
    Client client;
    Err err = {0};
    int code;

    if (!client_open(&client, call, &err))
        return call_fail(&err);
    if (call_has(call, FLAG_OPERATION)) {
        code = watch_again(&client, call);
    } else {
        int member = find_subject(&client, call, &err);
        bool ok = member >= 0 && suits(&client, call, member, &err);
        code = !ok                                        ? call_fail(&err)
               : agrees_to_restart(&client, call, member) ? order(&client, call, member)
                                                          : EXIT_NO;
    }
    client_done(&client);
    return code;
}

/* Members that wait for a restart, one after the other: first those that are not primary, then the one that
 * is. */
static int restart_pending(Client *client, const Call *call)
{
    Err err = {0};
    int restarted = 0;

    if (!client_ask_cluster(client, &err))
        return call_fail(&err);
    for (int primaries = 0; primaries < 2; primaries++) {
        for (int i = 0; i < client->config->member_count; i++) {
            const json_t *member = field_member(client->cluster, client->config->member[i].name);
            bool primary = strcmp(field_text(member, "state", ""), "primary") == 0;
            if (!field_true(member, "pending_restart") || primary != (primaries == 1) ||
                (client->pinned >= 0 && client->pinned != i))
                continue;
            int code = order_line(client, call, i);
            if (code != EXIT_DONE)
                return code;
            restarted++;
        }
    }
    if (restarted == 0 && !call_has(call, FLAG_JSON))
        puts("No setting waits for a restart.");
    return EXIT_DONE;
}

/* With a name and --pending: that member, if it waits for a restart. */
static int restart_if_pending(Client *client, const Call *call)
{
    Err err = {0};
    int member = find_subject(client, call, &err);

    if (member < 0 || !suits(client, call, member, &err) || !client_ask_cluster(client, &err))
        return call_fail(&err);
    const char *name = client->config->member[member].name;
    if (field_true(field_member(client->cluster, name), "pending_restart"))
        return order(client, call, member);
    if (!call_has(call, FLAG_JSON))
        printf("No setting of %s waits for a restart.\n", name);
    return EXIT_DONE;
}

int verb_restart(const Call *call)
{
    Client client;
    Err err = {0};

    if (!call_has(call, FLAG_PENDING) || call_has(call, FLAG_OPERATION))
        return order_one(call);
    if (!client_open(&client, call, &err))
        return call_fail(&err);
    int code = call->argument_count > 0 ? restart_if_pending(&client, call) : restart_pending(&client, call);
    client_done(&client);
    return code;
}

/* An observer has no members to order: it is asked on this machine. */
static int reload_observer(const Config *config, const Call *call)
{
    Err err = {0};
    json_t *result = overview_reload(config, &err);

    if (result == NULL)
        return call_fail(&err);
    const char *applied = field_text(result, "applied", ""), *fixed = field_text(result, "needs_restart", "");
    int code = fixed[0] != '\0' ? EXIT_NO : EXIT_DONE;
    if (call_has(call, FLAG_JSON)) {
        field_print(result, false);
    } else {
        printf("The observer has read %s and its clusters' files again%s%s.\n", config->path,
               applied[0] != '\0' ? "; it took over " : "", applied);
        if (code == EXIT_NO)
            printf("These keep their old values until it is restarted: %s.\n", fixed);
    }
    json_decref(result);
    return code;
}

int verb_reload(const Call *call)
{
    Client client;
    Err err = {0};
    int code = EXIT_DONE;

    if (call->argument_count > 0 || call_has(call, FLAG_MEMBER) || call_has(call, FLAG_OPERATION))
        return order_one(call);
    if (!client_open_either(&client, call, &err))
        return call_fail(&err);
    if (config_is_observer(client.config)) {
        code = reload_observer(client.config, call);
        client_done(&client);
        return code;
    }
    for (int i = 0; i < client.config->member_count; i++) {
        int one = order_line(&client, call, i);
        if (one != EXIT_DONE)
            code = one;
        if (operation_interrupted())
            break;
    }
    client_done(&client);
    return code;
}

int verb_rejoin(const Call *call)
{
    return order_one(call);
}

int verb_clone(const Call *call)
{
    char question[256];

    snprintf(
        question, sizeof(question),
        "The data directory of %s is emptied and filled with a copy of the primary's; until that is done %s cannot "
        "take over.",
        call->argument[0] != NULL ? call->argument[0] : "?",
        call->argument[0] != NULL ? call->argument[0] : "it");
    if (!call_has(call, FLAG_OPERATION) && !operation_confirm(call, question)) {
        fprintf(stderr, "pgvigil: nothing was done\n");
        return EXIT_NO;
    }
    return order_one(call);
}
