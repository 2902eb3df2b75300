/*
 * peer_in.c: messages and commands that come in: checked, handed on, answered.
 *
 * What is refused gets a bare 403 with the reason's name: a hint for people, signed by nobody and obeyed by
 * nobody.
 */
#include "net/peer_internal.h"
#include "sys/clock.h"

#include <string.h>

#define IDLE_S   60
#define HELD_MAX 128

enum { STATUS_UNAUTHORIZED = 401, STATUS_FORBIDDEN = 403, STATUS_NOT_FOUND = 404, STATUS_NOT_ALLOWED = 405 };

typedef enum Kind { KIND_NONE = 0, KIND_MESSAGE, KIND_COMMAND, KIND_OPINION } Kind;

static Kind kind_of(const PeerNet *net, const char *path)
{
    if (strcmp(path, PEER_MESSAGE_PATH) == 0)
        return KIND_MESSAGE;
    if (strcmp(path, PEER_COMMAND_PATH) == 0)
        return KIND_COMMAND;
    return strcmp(path, PEER_OPINION_PATH) == 0 && net->options.on_opinion != NULL ? KIND_OPINION : KIND_NONE;
}

static void count_refusal(PeerNet *net, const HttpRequest *request, AuthReason reason)
{
    char peer[HTTP_PEER_LEN], quoted[AUTH_NAME_LEN];
    const char *sender = http_request_header(request, AUTH_HEADER_SENDER);
    PeerTarget *target = sender != NULL ? peer_find(net, sender) : NULL;
    bool secret = reason == AUTH_REASON_MAC;

    net->counters.refused[reason]++;
    if (secret && target != NULL)
        target->refused_us = clock_now().boot_us;
    log_limited(&net->refused_limit[reason], LOG_LEVEL_WARN, "message_refused",
                "reason=%s address=%s sender=%s%s", auth_reason_name(reason),
                http_request_peer(request, peer, sizeof peer), log_quote(sender, quoted, sizeof quoted),
                secret ? " cure=\"" PEER_SECRET_CURE "\"" : "");
}

static void refuse(PeerNet *net, HttpRequest *request, AuthReason reason)
{
    const char *name = auth_reason_name(reason);

    count_refusal(net, request, reason);
    http_respond(request, STATUS_FORBIDDEN, "text/plain", name, strlen(name), NULL);
}

static void on_too_large(void *arg, HttpRequest *request)
{
    count_refusal(arg, request, AUTH_REASON_TOO_LARGE);
}

/* An answer with its MAC, and the nonce if it is a challenge. */
static void respond_signed(PeerNet *net, HttpRequest *request, int status, const char *nonce,
                           const char *body, size_t len)
{
    char mac[AUTH_HEX_LEN];
    HttpHeader headers[] = {{AUTH_HEADER_MAC, mac}, {NULL, NULL}, {NULL, NULL}};

    if (nonce[0] != '\0')
        headers[1] = (HttpHeader){AUTH_HEADER_NONCE, nonce};
    if (!auth_sign_answer(&net->keys, http_request_header(request, AUTH_HEADER_MAC), status, nonce, body, len,
                          mac)) {
        http_respond(request, 500, NULL, NULL, 0, NULL);
        return;
    }
    http_respond(request, status, len > 0 ? "application/json" : NULL, body, len, headers);
}

/* An authentic request: hands it on with a token for its answer. */
static void deliver(PeerNet *net, HttpRequest *request, Kind kind, const char *sender)
{
    size_t len = 0;
    const char *body = http_request_body(request, &len);

    uint32_t token = http_request_hold(request);
    if (token == 0) {
        http_respond(request, 503, NULL, NULL, 0, NULL);
        return;
    }
    net->counters.received++;
    if (kind == KIND_COMMAND)
        net->options.on_command(net->options.arg, body, len, token);
    else if (kind == KIND_OPINION)
        net->options.on_opinion(net->options.arg, sender, body, len, token);
    else
        net->options.on_message(net->options.arg, sender, body, len, token);
}

static void on_request(void *arg, HttpRequest *request)
{
    PeerNet *net = arg;
    const char *path = http_request_path(request);
    Kind kind = kind_of(net, path);
    char nonce[AUTH_NONCE_LEN];
    PeerTarget *member;
    AuthReason reason;

    if (kind == KIND_NONE) {
        http_respond(request, STATUS_NOT_FOUND, NULL, NULL, 0, NULL);
        return;
    }
    if (strcmp(http_request_method(request), "POST") != 0) {
        http_respond(request, STATUS_NOT_ALLOWED, NULL, NULL, 0, NULL);
        return;
    }
    AuthStamp stamp = {.cluster = http_request_header(request, AUTH_HEADER_CLUSTER),
                       .sender = http_request_header(request, AUTH_HEADER_SENDER),
                       .receiver = http_request_header(request, AUTH_HEADER_RECEIVER),
                       .inc = http_request_header(request, AUTH_HEADER_INC),
                       .seq = http_request_header(request, AUTH_HEADER_SEQ),
                       .nonce = http_request_header(request, AUTH_HEADER_NONCE),
                       .mac = http_request_header(request, AUTH_HEADER_MAC)};
    AuthContent content = {.method = "POST", .path = path};
    content.body = http_request_body(request, &content.len);
    switch (auth_check(net->auth, &stamp, &content, &reason, nonce)) {
    case AUTH_REFUSED: refuse(net, request, reason); break;
    case AUTH_CHALLENGE:
        net->counters.challenged++;
        respond_signed(net, request, STATUS_UNAUTHORIZED, nonce, NULL, 0);
        break;
    case AUTH_OK:
        member = peer_find(net, stamp.sender);
        if (member != NULL)
            member->authentic_us = clock_now().boot_us;
        /* An observer that bore a member's name could be taken for it. */
        if (kind == KIND_COMMAND || (member != NULL) == (kind == KIND_MESSAGE))
            deliver(net, request, kind, stamp.sender);
        else
            refuse(net, request, AUTH_REASON_SENDER);
        break;
    }
}

void peer_reply(PeerNet *net, uint32_t token, int http_status, const char *body, size_t len)
{
    HttpRequest *request = http_request_held(net->server, token);

    if (request == NULL)
        return;
    net->counters.answered++;
    respond_signed(net, request, http_status, "", body, len);
}

bool peer_in_start(PeerNet *net, uv_loop_t *loop, const PeerNetOptions *options, Err *err)
{
    HttpServerOptions server = {.address = options->listen,
                                .port = options->port,
                                .loop = loop,
                                .connections = PEER_CONNECTIONS_MAX,
                                .timeout_s = IDLE_S,
                                .body_max = PEER_BODY_MAX,
                                .held_max = HELD_MAX,
                                .held_timeout_ms = PEER_ANSWER_MS,
                                .held_status = 204,
                                .handler = on_request,
                                .on_too_large = on_too_large,
                                .arg = net};

    net->server = http_server_start(&server, err);
    return net->server != NULL;
}
