/*
 * verb_primary.c: the primary's name, or how to connect to it.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/status.h"
#include "cli/verb.h"

#include <inttypes.h>
#include <stdio.h>

static void print_primary(const Call *call, const json_t *member, const char *name)
{
    const char *host = field_text(member, "host", "");
    int64_t port = field_number(member, "port", 5432);

    if (call_has(call, FLAG_JSON)) {
        json_t *json = json_pack("{s:s, s:s, s:I}", "primary", name, "host", host, "port", (json_int_t) port);
        field_print(json, false);
        json_decref(json);
    } else if (call_has(call, FLAG_CONNINFO)) {
        printf("host=%s port=%" PRId64 "\n", host, port);
    } else {
        puts(name);
    }
}

static int print_none(const Client *client, const Call *call)
{
    char reason[STATUS_REASON_LEN];

    status_no_primary(client->cluster, reason);
    if (call_has(call, FLAG_JSON)) {
        json_t *json = json_pack("{s:n, s:s}", "primary", "reason", reason);
        field_print(json, false);
        json_decref(json);
    }
    fprintf(stderr, "pgvigil: %s: no primary now: %s; pgvigil status and pgvigil explain tell more\n",
            client->config->cluster.name, reason);
    return EXIT_NO;
}

int verb_primary(const Call *call)
{
    Client client;
    Err err = {0};
    int code = EXIT_DONE;

    if (!client_open(&client, call, &err))
        return call_fail(&err);
    if (!client_ask_cluster(&client, &err)) {
        code = call_fail(&err);
    } else {
        const char *name = status_primary(client.cluster);
        const json_t *member = name != NULL ? field_member(client.cluster, name) : NULL;
        if (member != NULL)
            print_primary(call, member, name);
        else
            code = print_none(&client, call);
    }
    client_done(&client);
    return code;
}
