/*
 * verb_pause.c: pause and resume.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/operation.h"
#include "cli/verb.h"

#include <stdio.h>

#define ANSWER_TIMEOUT_MS ((int64_t) 10 * 1000)

/* A pause over a pause has its end and its reason: what goes is told. */
static void say_replaced(const Client *client)
{
    const char *until = field_text(client->cluster, "pause_until", NULL);
    const char *reason = field_text(client->cluster, "pause_reason", "");

    if (field_true(client->cluster, "paused"))
        fprintf(stderr, "pgvigil: this replaces the pause %s%s%s%s\n",
                until != NULL ? "until " : "until resumed", until != NULL ? until : "",
                reason[0] != '\0' ? ": " : " without a reason", reason);
}

int verb_pause(const Call *call)
{
    Client client;
    Err err = {0};
    int64_t pause_ms = 0;

    if (!call_time_ms(call, FLAG_FOR, 0, &pause_ms, &err) || !client_open(&client, call, &err))
        return call_fail(&err);
    bool asked = client_ask_cluster(&client, &err);
    int receiver = asked ? client_receiver(&client, &err) : -1;
    int code;
    if (receiver < 0) {
        code = call_fail(&err);
    } else {
        say_replaced(&client);
        json_t *body = operation_body("pause", NULL);
        if (pause_ms > 0)
            json_object_set_new(body, "pause_for_ms", json_integer(pause_ms));
        if (call_has(call, FLAG_REASON))
            json_object_set_new(body, "reason", json_string(call->value[FLAG_REASON]));
        code = operation_order(&client, call, receiver, body, ANSWER_TIMEOUT_MS);
    }
    client_done(&client);
    return code;
}

int verb_resume(const Call *call)
{
    Client client;
    Err err = {0};

    if (!client_open(&client, call, &err))
        return call_fail(&err);
    int receiver = client_receiver(&client, &err);
    int code = receiver < 0 ? call_fail(&err)
                            : operation_order(&client, call, receiver, operation_body("resume", NULL),
                                              ANSWER_TIMEOUT_MS);
    client_done(&client);
    return code;
}
