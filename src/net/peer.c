/*
 * peer.c: the whole of a member's dealings with the others, and what it sends to them.
 *
 * A send keeps its body until its end, because a challenge wants it sent once more. Numbers are counted for
 * each receiver, so that each window sees them without gaps.
 */
#include "net/peer.h"

#include "base/str.h"
#include "net/peer_internal.h"
#include "sys/clock.h"

#include <stdlib.h>
#include <string.h>

#define REFUSED_FRESH_US (60 * US_PER_SEC) /* whoever is refused tries again within that, an observer too */
#define HEARD_US         (5 * US_PER_SEC)

typedef struct Send {
    PeerNet *net;
    PeerTarget *target;
    Buf body;
    Clock begun;
    int64_t timeout_ms;
    bool challenged; /* once is enough */
    PeerAnswerFn *on_answer;
    void *arg;
    AuthSigned signature;
} Send;

static void free_target_if_unused(PeerTarget *target)
{
    if (target == NULL || target->listed || target->under_way > 0)
        return;
    free(target->host);
    free(target);
}

static void free_net(PeerNet *net)
{
    for (int i = 0; i < net->target_count; i++) {
        net->target[i]->listed = false;
        free_target_if_unused(net->target[i]);
    }
    auth_free(net->auth);
    if (net->secret != NULL)
        explicit_bzero(net->secret, net->keys.secret_len);
    free(net->secret);
    free(net);
}

/* The last one under way takes a net with it that was stopped meanwhile. */
static void free_send(Send *send)
{
    PeerNet *net = send->net;

    send->target->under_way--;
    net->under_way--;
    free_target_if_unused(send->target);
    buf_done(&send->body);
    free(send);
    if (net->ending && net->shares_client && net->under_way == 0)
        free_net(net);
}

static void finish(Send *send, bool ok, const char *body, size_t len)
{
    if (!ok)
        send->net->counters.failed++;
    if (!send->net->ending || !send->net->shares_client)
        send->on_answer(send->arg, ok, ok ? body : "", ok ? len : 0);
    free_send(send);
}

static void on_http_answer(void *arg, const HttpAnswer *answer);

/* Signs it anew and gives it to the HTTP client with what is left of its time. */
static bool transmit(Send *send, const char *nonce)
{
    PeerNet *net = send->net;
    PeerTarget *target = send->target;
    Clock now = clock_now();
    AuthContent content = {"POST", net->send_path, send->body.data, send->body.len};
    AuthStamp *stamp = &send->signature.stamp;

    target->seq++;
    if (net->seq_most < target->seq)
        net->seq_most = target->seq;
    if (!auth_sign(&net->keys, target->name, target->seq, nonce, &content, &send->signature))
        return false;
    HttpHeader headers[] = {{"Content-Type", "application/json"},
                            {AUTH_HEADER_CLUSTER, stamp->cluster},
                            {AUTH_HEADER_SENDER, stamp->sender},
                            {AUTH_HEADER_RECEIVER, stamp->receiver},
                            {AUTH_HEADER_INC, stamp->inc},
                            {AUTH_HEADER_SEQ, stamp->seq},
                            {AUTH_HEADER_MAC, stamp->mac},
                            {stamp->nonce != NULL ? AUTH_HEADER_NONCE : NULL, stamp->nonce},
                            {NULL, NULL}};
    HttpCall call = {.method = "POST",
                     .host = target->host,
                     .port = target->port,
                     .path = net->send_path,
                     .headers = headers,
                     .body = send->body.data,
                     .len = send->body.len,
                     .timeout_ms = send->timeout_ms - clock_elapsed_most(&send->begun, &now) / US_PER_MS,
                     .on_answer = on_http_answer,
                     .arg = send};
    return call.timeout_ms > 0 && http_client_send(net->client, &call, NULL);
}

/* A line when it begins to fail, and when it is over: else nobody would know why a member is not heard. */
static void note_outcome(PeerTarget *target, const HttpAnswer *answer)
{
    char quoted[160];

    if (answer->ok && target->failing)
        log_limited(&target->answers_limit, LOG_LEVEL_INFO, "peer_answers", "member=%s", target->name);
    if (!answer->ok && !target->failing)
        log_limited(
            &target->failing_limit, LOG_LEVEL_WARN, "peer_fails",
            "member=%s host=%s port=%u reason=%s cure=\"is pgvigil up there, and its agent_port open?\"",
            target->name, target->host, target->port, log_quote(answer->error, quoted, sizeof quoted));
    target->failing = !answer->ok;
}

PeerTarget *peer_find(const PeerNet *net, const char *name)
{
    for (int i = 0; i < net->target_count; i++) {
        if (strcmp(net->target[i]->name, name) == 0)
            return net->target[i];
    }
    return NULL;
}

/*
 * Whoever reaches the port can send rubbish in a member's name: as long as that member is heard, its secret
 * is ours.
 */
bool peer_net_other_secret(const PeerNet *net, const char *name)
{
    const PeerTarget *target = peer_find(net, name);
    int64_t now_us = clock_now().boot_us;

    return target != NULL && target->refused_us > target->authentic_us &&
           now_us - target->refused_us < REFUSED_FRESH_US && now_us - target->authentic_us > HEARD_US;
}

static bool is_authentic(const Send *send, const HttpAnswer *answer, const char *nonce)
{
    char mac[AUTH_HEX_LEN];

    return http_client_header(answer, AUTH_HEADER_MAC, mac, sizeof mac) &&
           auth_check_answer(&send->net->keys, send->signature.mac, answer->status, nonce, answer->body,
                             answer->len, mac);
}

/* A 204 or 503 without signature only means that nobody answered there. */
static void note_refused(Send *send, const HttpAnswer *answer)
{
    bool secret = answer->status == 403 && strcmp(answer->body, auth_reason_name(AUTH_REASON_MAC)) == 0;
    char quoted[64];

    if (answer->status == 204 || answer->status == 503)
        return;
    if (secret)
        send->target->refused_us = clock_now().boot_us;
    log_limited(&send->net->answer_limit, LOG_LEVEL_WARN, "answer_refused", "member=%s status=%d said=%s%s",
                send->target->name, answer->status,
                log_quote(answer->len < 40 ? answer->body : "", quoted, sizeof quoted),
                secret ? " cure=\"" PEER_SECRET_CURE "\"" : "");
}

static void on_http_answer(void *arg, const HttpAnswer *answer)
{
    Send *send = arg;
    PeerNet *net = send->net;
    char nonce[AUTH_NONCE_LEN] = "";

    if (!net->ending)
        note_outcome(send->target, answer);
    if (!answer->ok) {
        finish(send, false, NULL, 0);
        return;
    }
    (void) http_client_header(answer, AUTH_HEADER_NONCE, nonce, sizeof nonce);
    if (!is_authentic(send, answer, nonce)) {
        note_refused(send, answer);
        finish(send, false, NULL, 0);
        return;
    }
    send->target->authentic_us = clock_now().boot_us;
    if (answer->status == 401 && nonce[0] != '\0' && !send->challenged) {
        send->challenged = true;
        if (!transmit(send, nonce))
            finish(send, false, NULL, 0);
        return;
    }
    finish(send, answer->status == 200, answer->body, answer->len);
}

bool peer_send(PeerNet *net, int member, const char *body, size_t len, int timeout_ms,
               PeerAnswerFn *on_answer, void *arg)
{
    if (net->ending || member < 0 || member >= net->target_count || len > PEER_BODY_MAX)
        return false;
    PeerTarget *target = net->target[member];
    if (target->under_way >= PEER_SENDS_MAX)
        return false;
    Send *send = calloc(1, sizeof *send);
    if (send == NULL)
        return false;
    *send = (Send){.net = net,
                   .target = target,
                   .begun = clock_now(),
                   .timeout_ms = timeout_ms,
                   .on_answer = on_answer,
                   .arg = arg};
    target->under_way++;
    net->under_way++;
    buf_add(&send->body, len > 0 ? body : "", len);
    if (send->body.failed || !transmit(send, NULL)) {
        free_send(send);
        return false;
    }
    net->counters.sent++;
    return true;
}

/* The target for a member: the one there is, or a new one. Its count of messages never starts again. */
static PeerTarget *make_target(const PeerNet *net, const PeerMember *member)
{
    PeerTarget *target = peer_find(net, member->name);
    char *host = strdup(member->host);
    bool is_new = target == NULL;

    if (is_new && host != NULL && (target = calloc(1, sizeof *target)) != NULL) {
        str_copy(target->name, sizeof target->name, member->name);
        target->seq = net->seq_most;
    }
    if (target == NULL || host == NULL) {
        free(host);
        return NULL;
    }
    free(target->host);
    target->host = host;
    target->port = member->agent_port;
    return target;
}

bool peer_net_update_members(PeerNet *net, const PeerMember *members, int member_count, Err *err)
{
    PeerTarget *fresh[MEMBER_MAX] = {0};
    bool ok = true;

    if (member_count < 0 || member_count > MEMBER_MAX)
        return err_set(err, ERR_CONFIG, "%d members, at most %d", member_count, MEMBER_MAX);
    for (int i = 0; i < member_count; i++) {
        if (strlen(members[i].name) >= AUTH_NAME_LEN)
            return err_set(err, ERR_CONFIG, "the member name %.40s... is too long", members[i].name);
    }
    for (int i = 0; i < member_count && ok; i++)
        ok = (fresh[i] = make_target(net, &members[i])) != NULL;
    if (!ok) {
        for (int i = 0; i < member_count; i++)
            free_target_if_unused(fresh[i]); /* those that are listed stay */
        return err_set(err, ERR_MEMORY, "no memory for the members");
    }
    for (int i = 0; i < net->target_count; i++)
        net->target[i]->listed = false;
    for (int i = 0; i < member_count; i++)
        fresh[i]->listed = true;
    for (int i = 0; i < net->target_count; i++)
        free_target_if_unused(net->target[i]);
    memcpy(net->target, fresh, sizeof fresh);
    net->target_count = member_count;
    return true;
}

static bool set_up(PeerNet *net, uv_loop_t *loop, const PeerNetOptions *options, Err *err)
{
    if (!str_copy(net->cluster, sizeof net->cluster, options->cluster) ||
        !str_copy(net->self, sizeof net->self, options->self))
        return err_set(err, ERR_CONFIG, "the name of the cluster or of the member is longer than %d bytes",
                       AUTH_NAME_LEN - 1);
    net->secret = malloc(options->secret_len + 1);
    if (net->secret == NULL)
        return err_set(err, ERR_MEMORY, "no memory for the peer network");
    memcpy(net->secret, options->secret, options->secret_len);
    net->keys = (AuthKeys){.secret = net->secret,
                           .secret_len = options->secret_len,
                           .cluster = net->cluster,
                           .self = net->self,
                           .inc = options->inc};
    net->shares_client = options->client != NULL;
    /* Whoever hears nobody has nothing to remember of senders. */
    if (!net->shares_client && (net->auth = auth_new(&net->keys)) == NULL)
        return err_set(err, ERR_MEMORY, "no memory for the peer network");
    net->send_path = net->shares_client ? PEER_OPINION_PATH : PEER_MESSAGE_PATH;
    net->client = net->shares_client ? options->client
                                     : http_client_new(loop, MEMBER_MAX * PEER_SENDS_MAX, PEER_BODY_MAX, err);
    return net->client != NULL &&
           peer_net_update_members(net, options->members, options->member_count, err) &&
           (net->shares_client || peer_in_start(net, loop, options, err));
}

PeerNet *peer_net_start(uv_loop_t *loop, const PeerNetOptions *options, Err *err)
{
    PeerNet *net = calloc(1, sizeof *net);

    if (net == NULL) {
        err_set(err, ERR_MEMORY, "no memory for the peer network");
        return NULL;
    }
    net->options = (PeerNetOptions){.on_message = options->on_message,
                                    .on_command = options->on_command,
                                    .on_opinion = options->on_opinion,
                                    .arg = options->arg};
    if (!set_up(net, loop, options, err)) {
        peer_net_stop(net);
        return NULL;
    }
    return net;
}

void peer_net_stop(PeerNet *net)
{
    if (net == NULL)
        return;
    net->ending = true;
    if (!net->shares_client)
        http_client_free(net->client);
    http_server_stop(net->server);
    if (net->under_way == 0)
        free_net(net);
}

const PeerCounters *peer_net_counters(const PeerNet *net)
{
    return &net->counters;
}

uint16_t peer_net_port(const PeerNet *net)
{
    return http_server_port(net->server);
}
