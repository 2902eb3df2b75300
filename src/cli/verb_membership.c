/*
 * verb_membership.c: member add and member remove: orders to the leader about who belongs.
 */
#include "cli/client.h"
#include "cli/operation.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

static int order(Client *client, const Call *call, bool adds)
{
    const char *name = call->argument[1];
    char question[300];
    Err err = {0};
    int receiver = client_receiver(client, &err);

    if (receiver < 0)
        return call_fail(&err);
    snprintf(
        question, sizeof(question),
        "%.60s loses its vote and its place in %s: it takes over no more, and its replication slots go. Its server is "
        "left as it is.",
        name, client->config->cluster.name);
    if (!adds && !operation_confirm(call, question)) {
        fprintf(stderr, "pgvigil: nothing was done\n");
        return EXIT_NO;
    }
    return operation_order(client, call, receiver,
                           operation_body(adds ? "member_add" : "member_remove", name), call->verb->wait_ms);
}

int verb_membership(const Call *call)
{
    Client client;
    Err err = {0};
    bool again = call_has(call, FLAG_OPERATION);
    bool adds = call->argument_count > 0 && strcmp(call->argument[0], "add") == 0;

    if (!again && !adds && strcmp(call->argument[0], "remove") != 0) {
        err_set(&err, ERR_CONFIG, "member: \"%.40s\" is neither add nor remove; see: pgvigil help member",
                call->argument[0]);
        return call_fail(&err);
    }
    if (!client_open(&client, call, &err))
        return call_fail(&err);
    int code = again ? operation_again(&client, call, client.pinned, call->verb->wait_ms)
                     : order(&client, call, adds);
    client_done(&client);
    return code;
}
