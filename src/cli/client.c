/*
 * client.c: which member to ask.
 *
 * The member on this machine comes first, then the others in the configuration's order; a view of the cluster
 * is taken from the leader where it can be reached, because only the leader knows the lease.
 */
#include "cli/client.h"

#include "cli/field.h"
#include "net/operator.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_PATH "/v1/command"

#define LEADER_WAIT_MS  10000
#define LEADER_EVERY_MS 200

static bool take_config(Client *client, const Call *call, Config *config, Err *err)
{
    *client = (Client){.pinned = -1, .answered = -1, .leader_wait_ms = LEADER_WAIT_MS};
    client->config = config;
    if (client->config == NULL)
        return false;
    if (call_has(call, FLAG_MEMBER)) {
        client->pinned = client_find(client, call->value[FLAG_MEMBER], err);
        if (client->pinned < 0) {
            client_done(client);
            return false;
        }
    }
    return true;
}

bool client_open(Client *client, const Call *call, Err *err)
{
    return take_config(client, call, config_load_client(call->value[FLAG_CONFIG], NULL, err), err);
}

bool client_open_either(Client *client, const Call *call, Err *err)
{
    return take_config(client, call,
                       config_load_either(call->value[FLAG_CONFIG], NULL, CONFIG_USE_CLIENT, err), err);
}

void client_done(Client *client)
{
    json_decref(client->cluster);
    config_free(client->config);
    *client = (Client){.pinned = -1, .answered = -1};
}

int client_find(const Client *client, const char *name, Err *err)
{
    const Config *config = client->config;
    int member = config_find_member(config, name);
    Buf names = {0};

    if (member >= 0)
        return member;
    for (int i = 0; i < config->member_count; i++)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", config->member[i].name);
    err_set(err, ERR_CONFIG, "there is no member \"%.60s\" in %s; it has %s", name, config->path,
            names.data != NULL ? names.data : "none");
    buf_done(&names);
    return -1;
}

/* The JSON in body, or NULL with an error that names the member. */
static json_t *read_answer(const ConfigMember *member, int status, const Buf *body, Err *err)
{
    json_error_t error;
    json_t *json = NULL;

    if (status == 503) {
        err_set(err, ERR_NET, "%s: its agent hangs, or has only just started (HTTP status 503)",
                member->name);
    } else if (status == 204) {
        err_set(err, ERR_TIMEOUT,
                "%s: its agent has the order and did not say in time what became of it; see pgvigil status",
                member->name);
    } else if (status != 200) {
        err_set(err, ERR_PROTOCOL, "%s: HTTP status %d; is it pgvigil that listens there?", member->name,
                status);
    } else {
        json = json_loadb(body->data != NULL ? body->data : "", body->len, JSON_DECODE_ANY, &error);
        if (json == NULL)
            err_set(err, ERR_PROTOCOL, "%s: its answer is no JSON (%s); is it pgvigil that listens there?",
                    member->name, error.text);
    }
    return json;
}

/* Which member it is about, unless the text begins with that. */
static void name_member(const ConfigMember *member, Err *err)
{
    if (err != NULL && strncmp(err->text, member->name, strlen(member->name)) != 0)
        err_context(err, "%s", member->name);
}

bool client_get(const Client *client, int member, const char *path, json_t **ret_json, Err *err)
{
    const ConfigMember *asked = &client->config->member[member];
    const Config *config = client->config;
    /* Where members ask their clients for a certificate, this machine's own one is what there is to show. */
    bool shows = config->http.tls_client_ca != NULL;
    OperatorTls tls = {.ca = config->http.tls_ca,
                       .certificate = shows ? config->http.tls_certificate : NULL,
                       .key = shows ? config->http.tls_key : NULL};
    OperatorTarget target = {
        .host = asked->host,
        .port = (uint16_t) asked->http_port,
        .tls = config->http.tls_certificate != NULL ? &tls : NULL,
        .timeout_ms = CLIENT_GET_TIMEOUT_MS,
    };
    Buf body = {0};
    int status = 0;
    json_t *json = NULL;

    if (operator_get(&target, path, &status, &body, err))
        json = read_answer(asked, status, &body, err);
    else
        name_member(asked, err);
    /* A question that was not answered in time began nothing: EXIT_GOES_ON is for orders. */
    if (err != NULL && err->code == ERR_TIMEOUT)
        err->code = ERR_NET;
    buf_done(&body);
    if (json != NULL)
        *ret_json = json;
    return json != NULL;
}

static bool read_command_answer(const ConfigMember *member, const json_t *json, ClientAnswer *ret_answer,
                                Err *err)
{
    ret_answer->id = field_number(json, "id", 0);
    str_copy(ret_answer->state, sizeof(ret_answer->state), field_text(json, "state", ""));
    str_copy(ret_answer->text, sizeof(ret_answer->text), field_text(json, "text", ""));
    if (ret_answer->state[0] == '\0')
        return err_set(err, ERR_PROTOCOL, "%s: its answer does not say what became of the order",
                       member->name);
    return true;
}

bool client_command(Client *client, int member, json_t *body, ClientAnswer *ret_answer, Err *err)
{
    const ConfigMember *asked = &client->config->member[member];
    char *text = json_dumps(body, JSON_COMPACT);
    Buf answer = {0};
    int status = 0;
    bool ok = false;

    json_decref(body);
    if (text == NULL)
        return err_set(err, ERR_CONFIG, "the order cannot be written as JSON: its text is not UTF-8");
    if (config_load_secret(client->config, err)) {
        OperatorTarget target = {
            .cluster = client->config->cluster.name,
            .member = asked->name,
            .host = asked->host,
            .port = (uint16_t) asked->agent_port,
            .secret = client->config->secret,
            .secret_len = client->config->secret_len,
            .timeout_ms = OPERATOR_ORDER_TIMEOUT_MS,
        };
        if (operator_post(&target, COMMAND_PATH, text, strlen(text), &status, &answer, err)) {
            json_t *json = read_answer(asked, status, &answer, err);
            ok = json != NULL && read_command_answer(asked, json, ret_answer, err);
            json_decref(json);
        } else {
            name_member(asked, err);
        }
    }
    free(text);
    buf_done(&answer);
    return ok;
}

/* The member at place i of the order in which they are asked. */
static int member_in_order(const Config *config, int i)
{
    if (config->self < 0)
        return i;
    if (i == 0)
        return config->self;
    return i <= config->self ? i - 1 : i;
}

bool client_get_any(const Client *client, const char *path, json_t **ret_json, int *ret_member, Err *err)
{
    const Config *config = client->config;
    Err first = {0};

    if (client->pinned >= 0) {
        if (ret_member != NULL)
            *ret_member = client->pinned;
        return client_get(client, client->pinned, path, ret_json, err);
    }
    for (int i = 0; i < config->member_count; i++) {
        int member = member_in_order(config, i);
        Err one = {0};
        if (client_get(client, member, path, ret_json, &one)) {
            if (ret_member != NULL)
                *ret_member = member;
            return true;
        }
        if (i == 0)
            first = one;
    }
    return err_set(err, ERR_NET, "none of %d members answered; the first: %s", config->member_count,
                   first.text);
}

int client_leader(const Client *client)
{
    const char *leader = field_text(client->cluster, "leader", NULL);
    const json_t *lease = json_object_get(client->cluster, "lease");

    if (leader == NULL)
        return -1;
    /* One that lost its majority goes on leading as far as it knows, and refuses every order. */
    if (strcmp(leader, field_text(client->cluster, "member", "")) == 0 &&
        json_is_false(json_object_get(lease, "held")))
        return -1;
    return config_find_member(client->config, leader);
}

static void take(Client *client, json_t *cluster, int member)
{
    json_decref(client->cluster);
    client->cluster = cluster;
    client->answered = member;
}

/* The leader's own view is the better one, if it can be had. */
static void turn_to_leader(Client *client)
{
    int leader = client_leader(client);
    json_t *cluster = NULL;

    if (leader >= 0 && leader != client->answered &&
        client_get(client, leader, "/v1/cluster", &cluster, NULL))
        take(client, cluster, leader);
}

/* Whoever was asked hears no leader, or was one: it may be cut off from those who have another. */
static void look_for_leader(Client *client)
{
    for (int i = 0; i < client->config->member_count && client_leader(client) < 0; i++) {
        int member = member_in_order(client->config, i);
        Client other = {.config = client->config, .pinned = -1, .answered = member};
        if (member == client->answered || !client_get(client, member, "/v1/cluster", &other.cluster, NULL))
            continue;
        turn_to_leader(&other);
        bool same = strcmp(field_text(other.cluster, "cluster", ""), client->config->cluster.name) == 0;
        if (same && client_leader(&other) >= 0)
            take(client, other.cluster, other.answered);
        else
            json_decref(other.cluster);
    }
}

bool client_ask_cluster(Client *client, Err *err)
{
    json_t *cluster = NULL;
    int member = -1;

    if (!client_get_any(client, "/v1/cluster", &cluster, &member, err))
        return false;
    if (strcmp(field_text(cluster, "cluster", ""), client->config->cluster.name) != 0) {
        err_set(err, ERR_CONFIG, "%s answers for the cluster \"%.60s\", and %s is about \"%s\"",
                client->config->member[member].name, field_text(cluster, "cluster", ""), client->config->path,
                client->config->cluster.name);
        json_decref(cluster);
        return false;
    }
    take(client, cluster, member);
    if (client->pinned >= 0)
        return true;
    turn_to_leader(client);
    look_for_leader(client);
    return true;
}

/* Why there is none is what the member that answered says of the election, if it says it at once. */
static void report_no_leader(const Client *client, Err *err)
{
    json_t *explain = NULL;
    Err ignored = {0};
    const char *election = NULL;

    if (client->answered >= 0 && client_get(client, client->answered, "/v1/explain", &explain, &ignored))
        election = field_text(explain, "election", NULL);
    if (election != NULL)
        err_set(err, ERR_NET, "%s has no leader now that could take the order; %s: %.250s",
                client->config->cluster.name, client->config->member[client->answered].name, election);
    else
        err_set(err, ERR_NET,
                "%s has no leader now that could take the order; pgvigil explain says why none is elected",
                client->config->cluster.name);
    json_decref(explain);
}

/* Whoever asked in the middle of an election would be refused for nothing. */
static bool wait_for_leader(Client *client, Err *err)
{
    Clock begun = clock_now();

    if (client_leader(client) < 0 && client->leader_wait_ms > 0)
        fprintf(stderr, "pgvigil: nobody leads %s now; waiting %.0f s for an election\n",
                client->config->cluster.name, (double) client->leader_wait_ms / 1000);
    while (client_leader(client) < 0 && clock_ms_since(&begun) < client->leader_wait_ms) {
        clock_sleep_ms(LEADER_EVERY_MS);
        if (!client_ask_cluster(client, err))
            return false;
    }
    return true;
}

int client_receiver(Client *client, Err *err)
{
    if (client->pinned >= 0)
        return client->pinned;
    if ((client->cluster == NULL && !client_ask_cluster(client, err)) || !wait_for_leader(client, err))
        return -1;
    int leader = client_leader(client);
    if (leader < 0)
        report_no_leader(client, err);
    return leader;
}
