/*
 * verb_switch.c: switchover and failover by hand.
 *
 * Both are orders to the leader. Only a failover may go to its target instead: when nobody leads, the target
 * is the one that has to stand.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/operation.h"
#include "cli/show.h"
#include "cli/status.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

/* Index of --to's member, -1 if --to was not given, -2 with *err if there is no such data member. */
static int find_target(const Client *client, const Call *call, Err *err)
{
    if (!call_has(call, FLAG_TO))
        return -1;
    int target = client_find(client, call->value[FLAG_TO], err);
    if (target < 0)
        return -2;
    if (client->config->member[target].role == MEMBER_ROLE_WITNESS) {
        err_set(err, ERR_CONFIG, "%s is a witness and has no PostgreSQL; --to needs a data member",
                client->config->member[target].name);
        return -2;
    }
    return target;
}

/* Without a majority no order helps: who is missing, and what can be done. False if there is one. */
static bool say_votes(const Client *client, const char *begin)
{
    Buf votes = {0};
    bool enough = status_votes(client->cluster, &votes);

    if (!enough)
        fprintf(stderr,
                "pgvigil: %s: %s. Start pgvigil on those, or mend the network between the agent ports\n",
                begin, votes.data != NULL ? votes.data : "?");
    buf_done(&votes);
    return !enough;
}

static int order_switchover(Client *client, const Call *call)
{
    Err err = {0};
    int target = find_target(client, call, &err);
    int receiver = target == -2 ? -1 : client_receiver(client, &err);

    if (receiver < 0) {
        int code = call_fail(&err);
        if (client->cluster != NULL && target != -2 &&
            !say_votes(client, "nobody can be made primary without a majority, by a failover neither"))
            fprintf(stderr, "pgvigil: what needs no leader is a failover: pgvigil failover --to %s\n",
                    target >= 0 ? client->config->member[target].name : "NAME");
        return code;
    }
    return operation_order(client, call, receiver, operation_body("switchover", call->value[FLAG_TO]),
                           call->verb->wait_ms);
}

/* What a failover to that member may cost, in a sentence or two. */
static void say_risk(const Client *client, const char *target, bool accept_loss, char *ret_text, size_t size)
{
    const char *primary = field_text(client->cluster, "primary", NULL);
    const json_t *old = primary != NULL ? field_member(client->cluster, primary) : NULL;
    const json_t *member = field_member(client->cluster, target);
    int64_t lag = field_number(member, "lag_bytes", -1);
    bool synchronous = field_true(json_object_get(client->cluster, "sync"), "synchronous");
    char missing[SHOW_NUMBER_LEN], age[SHOW_NUMBER_LEN];

    if (synchronous && !accept_loss) {
        snprintf(ret_text, size,
                 "%s becomes primary of %s if it can be shown that it lacks nothing that was acknowledged.",
                 target, client->config->cluster.name);
    } else if (field_true(old, "reachable") && strcmp(field_text(old, "state", ""), "primary") == 0) {
        snprintf(
            ret_text, size,
            "%s is up and primary: \"pgvigil switchover --to %s\" loses nothing. A failover to %s loses what %s "
            "acknowledges until it is stopped.",
            primary, target, target, primary);
    } else if (lag < 0) {
        snprintf(
            ret_text, size,
            "%s becomes primary of %s. How much it lacks of what was acknowledged is not known; that will be lost.",
            target, client->config->cluster.name);
    } else {
        show_bytes((uint64_t) lag, missing);
        show_duration(field_number(old, "last_seen_ms", 0), age);
        snprintf(
            ret_text, size,
            "%s becomes primary of %s. It lacks %s of WAL of what the primary reported %s ago; that, and what came "
            "after, will be lost.",
            target, client->config->cluster.name, missing, age);
    }
}

static int order_failover(Client *client, const Call *call)
{
    Err err = {0};
    char question[400];
    int target = find_target(client, call, &err);

    if (target == -1)
        err_set(&err, ERR_CONFIG, "failover needs --to NAME, the member that is to become primary");
    if (target < 0 || !client_ask_cluster(client, &err))
        return call_fail(&err);
    const char *name = client->config->member[target].name;
    int receiver = client_leader(client) >= 0 ? client_leader(client) : target;
    if (client->pinned >= 0)
        receiver = client->pinned;
    bool accept_loss = call_has(call, FLAG_ACCEPT_LOSS);
    if (client_leader(client) < 0)
        say_votes(client, "a failover needs a majority, too");
    say_risk(client, name, accept_loss, question, sizeof(question));
    if (!operation_confirm(call, question)) {
        fprintf(stderr, "pgvigil: nothing was done\n");
        return EXIT_NO;
    }
    json_t *body = operation_body("failover", name);
    if (accept_loss)
        json_object_set_new(body, "accept_loss", json_true());
    return operation_order(client, call, receiver, body, call->verb->wait_ms);
}

/* A new order, or the question what became of an earlier one. */
static int run_verb(const Call *call, int (*order)(Client *client, const Call *call))
{
    Client client;
    Err err = {0};

    if (!client_open(&client, call, &err))
        return call_fail(&err);
    int code = call_has(call, FLAG_OPERATION)
                   ? operation_again(&client, call, client.pinned, call->verb->wait_ms)
                   : order(&client, call);
    client_done(&client);
    return code;
}

int verb_switchover(const Call *call)
{
    return run_verb(call, order_switchover);
}

int verb_failover(const Call *call)
{
    return run_verb(call, order_failover);
}
