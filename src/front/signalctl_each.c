/*
 * signalctl_each.c: answers that are found when they are asked for: --check=each and --agent.
 *
 * --check=each: a new connection for each request, EACH_MAX at a time, the others wait their turn. --agent:
 * all requests that wait share one question to the agent, which begins after they came: an answer is never
 * older than its request, so that no two members are told to be primary by an answer from memory.
 */
#include "front/signalctl.h"

#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH_MAX   8
#define AGENT_BODY ((size_t) 256 * 1024)
#define QUEUE_MAX  HTTP_SERVER_HELD_MAX
#define HTTP_OK    200

typedef struct Slot {
    SignalctlEach *each;
    SignalctlCheck *check;
    uint32_t token; /* of the request that is being answered; 0: free */
} Slot;

struct SignalctlEach {
    Signalctl *signalctl;
    HttpClient *client;        /* with --agent */
    Slot slot[EACH_MAX];       /* with --check=each */
    uint32_t queue[QUEUE_MAX]; /* that wait, oldest first */
    int queued;
    uint32_t asked[QUEUE_MAX]; /* that the question under way is for */
    int asked_count;
    bool asking;
};

static void answer(SignalctlEach *each, uint32_t token, bool good)
{
    HttpServer *server = each->signalctl->server; /* NULL: the program ends */
    HttpRequest *request = server != NULL ? http_request_held(server, token) : NULL;

    if (request != NULL)
        signalctl_respond(each->signalctl, request, good);
}

/* Those that ran out while they waited have had their answer; for them nothing is asked, and there is room
 * again. */
static void drop_gone(SignalctlEach *each)
{
    HttpServer *server = each->signalctl->server;
    int kept = 0;

    for (int i = 0; i < each->queued; i++)
        if (server != NULL && http_request_held(server, each->queue[i]) != NULL)
            each->queue[kept++] = each->queue[i];
    each->queued = kept;
}

static uint32_t take_oldest(SignalctlEach *each)
{
    uint32_t token = each->queue[0];

    each->queued--;
    memmove(each->queue, each->queue + 1, (size_t) each->queued * sizeof each->queue[0]);
    return token;
}

static void serve_slots(SignalctlEach *each)
{
    drop_gone(each);
    for (int i = 0; i < EACH_MAX && each->queued > 0; i++) {
        Slot *slot = &each->slot[i];
        if (slot->token != 0)
            continue;
        slot->token = take_oldest(each);
        signalctl_check_begin(slot->check);
    }
}

static void on_checked(void *arg, const SignalctlVerdict *verdict)
{
    Slot *slot = arg;
    SignalctlEach *each = slot->each;
    uint32_t token = slot->token;

    signalctl_check_close(slot->check);
    slot->token = 0;
    signalctl_tell(each->signalctl, verdict->good, verdict->reason);
    answer(each, token, verdict->good);
    serve_slots(each);
}

static void ask_agent(SignalctlEach *each);

static void on_agent(void *arg, const HttpAnswer *reply)
{
    SignalctlEach *each = arg;
    bool good = reply->ok && reply->status == HTTP_OK;
    char reason[200];

    if (each->signalctl->server == NULL)
        return;
    if (!reply->ok)
        snprintf(reason, sizeof reason, "no answer from the agent: %s", reply->error);
    else if (!good)
        snprintf(reason, sizeof reason, "the agent says with status %d that this member is not the primary",
                 reply->status);
    else
        snprintf(reason, sizeof reason, "the agent holds the lease");
    signalctl_tell(each->signalctl, good, reason);
    each->asking = false;
    for (int i = 0; i < each->asked_count; i++)
        answer(each, each->asked[i], good);
    each->asked_count = 0;
    ask_agent(each);
}

static void ask_agent(SignalctlEach *each)
{
    const SignalctlOptions *options = &each->signalctl->options;
    int64_t timeout_ms =
        options->timeout_ms < options->max_age_ms ? options->timeout_ms : options->max_age_ms;
    HttpCall call = {.method = "GET",
                     .host = options->agent_host,
                     .port = options->agent_port,
                     .path = "/primary",
                     .timeout_ms = timeout_ms,
                     .on_answer = on_agent,
                     .arg = each};
    Err err = {0};

    drop_gone(each);
    if (each->asking || each->queued == 0 || each->signalctl->server == NULL)
        return;
    memcpy(each->asked, each->queue, (size_t) each->queued * sizeof each->queue[0]);
    each->asked_count = each->queued;
    each->queued = 0;
    each->asking = http_client_send(each->client, &call, &err);
    if (each->asking)
        return;
    signalctl_tell(each->signalctl, false, err.text);
    for (int i = 0; i < each->asked_count; i++)
        answer(each, each->asked[i], false);
    each->asked_count = 0;
}

void signalctl_each_take(SignalctlEach *each, HttpRequest *request)
{
    drop_gone(each);
    uint32_t token = each->queued < QUEUE_MAX ? http_request_hold(request) : 0;

    if (token == 0) {
        signalctl_tell(each->signalctl, false, "too many requests wait for an answer");
        signalctl_respond(each->signalctl, request, false);
        return;
    }
    each->queue[each->queued++] = token;
    if (each->client != NULL)
        ask_agent(each);
    else
        serve_slots(each);
}

SignalctlEach *signalctl_each_new(Signalctl *signalctl, Err *err)
{
    SignalctlEach *each = calloc(1, sizeof *each);

    if (each == NULL)
        abort();
    each->signalctl = signalctl;
    if (signalctl->options.agent_host[0] != '\0') {
        each->client = http_client_new(&signalctl->loop, 2, AGENT_BODY, err);
        if (each->client == NULL) {
            free(each);
            return NULL;
        }
        return each;
    }
    for (int i = 0; i < EACH_MAX; i++) {
        each->slot[i].each = each;
        each->slot[i].check =
            signalctl_check_new(&signalctl->loop, &signalctl->options, on_checked, &each->slot[i]);
    }
    return each;
}

void signalctl_each_free(SignalctlEach *each)
{
    if (each == NULL)
        return;
    http_client_free(each->client);
    for (int i = 0; i < EACH_MAX; i++)
        signalctl_check_free(each->slot[i].check);
    free(each);
}
