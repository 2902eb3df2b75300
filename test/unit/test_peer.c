/*
 * test_peer.c: two members on one loop over loopback: messages, challenges, and what is refused.
 */
#include "base/str.h"
#include "impostor.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/peer.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "sixteen bytes or more"

static uv_loop_t loop;

typedef struct Side {
    PeerNet *net;
    const char *name;
    bool hold; /* do not answer */
    int messages;
    int commands;
    uint32_t token;
    char from[32];
    char body[64];
    size_t len;
} Side;

static Side a, b;

static struct {
    int done;
    int ok;
    char body[64];
} got;

static void on_message(void *arg, const char *from, const char *body, size_t len, uint32_t token)
{
    Side *side = arg;

    side->messages++;
    side->token = token;
    side->len = len;
    str_copy(side->from, sizeof side->from, from);
    str_copy(side->body, sizeof side->body, body);
    if (!side->hold)
        peer_reply(side->net, token, 200, "{\"ack\":1}", 9);
}

static void on_command(void *arg, const char *body, size_t len, uint32_t token)
{
    Side *side = arg;

    side->commands++;
    side->len = len;
    side->token = token;
    str_copy(side->body, sizeof side->body, body);
    if (!side->hold)
        peer_reply(side->net, token, 200, "{\"state\":\"done\"}", 16);
}

static void on_answer(void *arg, bool ok, const char *body, size_t len)
{
    (void) arg;
    got.done++;
    got.ok += ok;
    assert_int_equal(strlen(body), len);
    str_copy(got.body, sizeof got.body, body);
}

static void start(Side *side, const char *name, const char *cluster, const char *secret, uint64_t inc)
{
    PeerMember members[] = {{"a", "127.0.0.1", 1}, {"b", "127.0.0.1", 1}};
    PeerNetOptions options = {.cluster = cluster,
                              .self = name,
                              .secret = (const unsigned char *) secret,
                              .secret_len = strlen(secret),
                              .inc = inc,
                              .listen = "127.0.0.1",
                              .members = members,
                              .member_count = 2,
                              .on_message = on_message,
                              .on_command = on_command,
                              .arg = side};
    Err err = {0};

    memset(side, 0, sizeof *side);
    side->name = name;
    side->net = peer_net_start(&loop, &options, &err);
    assert_non_null(side->net);
}

static void introduce(Side *one, const char *host)
{
    PeerMember members[] = {{"a", "127.0.0.1", peer_net_port(a.net)}, {"b", host, peer_net_port(b.net)}};
    Err err = {0};

    assert_true(peer_net_update_members(one->net, members, 2, &err));
}

static int setup(void **state)
{
    (void) state;
    memset(&got, 0, sizeof got);
    uv_loop_init(&loop);
    start(&a, "a", "shop", SECRET, 11);
    start(&b, "b", "shop", SECRET, 22);
    introduce(&a, "127.0.0.1");
    introduce(&b, "127.0.0.1");
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    peer_net_stop(a.net);
    peer_net_stop(b.net);
    return loop_end(&loop) ? 0 : -1;
}

static bool send_b(const char *body, int timeout_ms)
{
    return peer_send(a.net, 1, body, strlen(body), timeout_ms, on_answer, NULL);
}

static void wait_for(int count)
{
    while (got.done < count)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(got.done, count);
}

static int64_t since_us(const Clock *then)
{
    Clock now = clock_now();
    return clock_elapsed_most(then, &now);
}

static void message_and_answer(void **state)
{
    (void) state;
    assert_true(send_b("{\"hello\":1}", 2000));
    assert_int_equal(got.done, 0);
    wait_for(1);
    assert_int_equal(got.ok, 1);
    assert_string_equal(got.body, "{\"ack\":1}");
    assert_string_equal(b.from, "a");
    assert_string_equal(b.body, "{\"hello\":1}");
    assert_int_equal(b.len, 11);
    assert_int_equal(b.messages, 1);
    assert_int_equal(peer_net_counters(b.net)->challenged, 1); /* the first only */
    assert_true(send_b("again", 2000));
    wait_for(2);
    assert_int_equal(peer_net_counters(b.net)->challenged, 1);
    assert_int_equal(peer_net_counters(b.net)->received, 2);
    assert_int_equal(peer_net_counters(b.net)->answered, 2);
    assert_int_equal(peer_net_counters(a.net)->sent, 2);
    assert_int_equal(peer_net_counters(a.net)->failed, 0);
    assert_true(peer_send(b.net, 0, "back", 4, 2000, on_answer, NULL)); /* the other way */
    wait_for(3);
    assert_int_equal(got.ok, 3);
    assert_string_equal(a.from, "b");
    assert_true(send_b("", 2000));
    wait_for(4);
    assert_int_equal(got.ok, 4);
}

static void latency(void **state)
{
    (void) state;
    send_b("first", 2000);
    wait_for(1);
    Clock begun = clock_now();
    for (int i = 0; i < 300; i++) {
        assert_true(send_b("{\"type\":\"heartbeat\",\"term\":7}", 2000));
        wait_for(i + 2);
    }
    assert_int_equal(got.ok, 301);
    print_message("%.0f us for a message and its answer, both ends\n", (double) since_us(&begun) / 300);
    assert_true(since_us(&begun) / 300 < 5000);
}

static void held_answer(void **state)
{
    (void) state;
    b.hold = true;
    assert_true(send_b("later", 2000));
    while (b.messages == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_not_equal(b.token, 0);
    assert_int_equal(got.done, 0);
    peer_reply(b.net, b.token + 256, 200, "wrong", 5); /* a token that never was: ignored */
    peer_reply(b.net, 0, 200, "wrong", 5);
    peer_reply(b.net, b.token, 200, "right", 5);
    peer_reply(b.net, b.token, 200, "twice", 5);
    wait_for(1);
    assert_string_equal(got.body, "right");
    assert_int_equal(peer_net_counters(b.net)->answered, 1);
    assert_true(send_b("refuse", 2000));
    while (b.messages == 1)
        uv_run(&loop, UV_RUN_ONCE);
    peer_reply(b.net, b.token, 400, "no", 2); /* authentic, but no success */
    wait_for(2);
    assert_int_equal(got.ok, 1);
    assert_string_equal(got.body, "");
}

static void no_answer(void **state)
{
    (void) state;
    b.hold = true;
    Clock begun = clock_now();
    assert_true(send_b("x", 100));
    wait_for(1);
    assert_int_equal(got.ok, 0);
    assert_true(since_us(&begun) >= 99000 && since_us(&begun) < 400000);
    assert_int_equal(peer_net_counters(a.net)->failed, 1);
    peer_reply(b.net, b.token, 200, "late", 4); /* to nobody */
}

static void bounded(void **state)
{
    static char large[PEER_BODY_MAX + 2];

    (void) state;
    b.hold = true;
    for (int i = 0; i < PEER_SENDS_MAX; i++)
        assert_true(send_b("x", 300));
    assert_false(send_b("x", 300));
    wait_for(PEER_SENDS_MAX);
    assert_int_equal(got.ok, 0);
    b.hold = false;
    memset(large, 'x', sizeof large - 1);
    assert_false(peer_send(a.net, 1, large, PEER_BODY_MAX + 1, 2000, on_answer, NULL));
    assert_true(peer_send(a.net, 1, large, PEER_BODY_MAX, 5000, on_answer, NULL));
    wait_for(PEER_SENDS_MAX + 1);
    assert_int_equal(got.ok, 1);
    assert_int_equal(b.len, PEER_BODY_MAX);
    assert_false(peer_send(a.net, 2, "x", 1, 100, on_answer, NULL));
    assert_false(peer_send(a.net, -1, "x", 1, 100, on_answer, NULL));
}

static void wrong_secret(void **state)
{
    (void) state;
    peer_net_stop(a.net);
    start(&a, "a", "shop", "another secret of length", 12);
    introduce(&a, "127.0.0.1");
    assert_true(send_b("x", 2000));
    wait_for(1);
    assert_int_equal(got.ok, 0);
    assert_int_equal(b.messages, 0);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_MAC], 1);
    assert_int_equal(peer_net_counters(b.net)->received, 0);
    assert_true(peer_net_other_secret(a.net, "b")); /* both know, each by its own end */
    assert_true(peer_net_other_secret(b.net, "a"));
    assert_false(peer_net_other_secret(b.net, "b"));
}

static void wrong_cluster(void **state)
{
    (void) state;
    peer_net_stop(a.net);
    start(&a, "a", "other", SECRET, 12);
    introduce(&a, "127.0.0.1");
    assert_true(send_b("x", 2000));
    wait_for(1);
    assert_int_equal(got.ok, 0);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_CLUSTER], 1);
}

static void no_member(void **state)
{
    PeerMember only_b[] = {{"b", "127.0.0.1", 1}};
    Err err = {0};

    (void) state;
    assert_true(peer_net_update_members(b.net, only_b, 1, &err));
    assert_true(send_b("x", 2000));
    wait_for(1);
    assert_int_equal(got.ok, 0);
    assert_int_equal(b.messages, 0);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_SENDER], 1);
}

/* A member that restarts is challenged once and heard again; so is one whose receiver restarts. */
static void restarts(void **state)
{
    (void) state;
    assert_true(send_b("x", 2000));
    wait_for(1);
    peer_net_stop(a.net);
    start(&a, "a", "shop", SECRET, 99);
    introduce(&a, "127.0.0.1");
    assert_true(send_b("x", 2000));
    wait_for(2);
    assert_int_equal(peer_net_counters(b.net)->challenged, 2);
    peer_net_stop(b.net);
    start(&b, "b", "shop", SECRET, 23);
    introduce(&a, "127.0.0.1");
    introduce(&b, "127.0.0.1");
    assert_true(send_b("x", 2000));
    wait_for(3);
    assert_int_equal(got.ok, 3);
    assert_int_equal(b.messages, 1);
}

static void by_name_and_removed(void **state)
{
    PeerMember only_b[] = {{"b", "127.0.0.1", peer_net_port(b.net)}};
    Err err = {0};

    (void) state;
    b.hold = true;
    assert_true(send_b("x", 500));
    while (b.messages == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_true(peer_net_update_members(a.net, only_b, 0, &err)); /* gone while a send is under way */
    assert_false(send_b("x", 500));
    b.hold = false;
    peer_reply(b.net, b.token, 200, "ok", 2);
    wait_for(1);
    assert_int_equal(got.ok, 1);
    assert_true(peer_net_update_members(a.net, only_b, 1, &err)); /* back: its numbers go on */
    assert_true(peer_send(a.net, 0, "y", 1, 2000, on_answer, NULL));
    wait_for(2);
    assert_int_equal(got.ok, 2);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_REPLAY], 0);
}

static void stop_ends_sends(void **state)
{
    (void) state;
    b.hold = true;
    for (int i = 0; i < 3; i++)
        assert_true(send_b("x", 5000));
    while (b.messages == 0)
        uv_run(&loop, UV_RUN_ONCE);
    peer_net_stop(a.net);
    a.net = NULL;
    assert_int_equal(got.done, 3);
    assert_int_equal(got.ok, 0);
    peer_net_stop(b.net); /* with held requests */
    b.net = NULL;
}

/* Raw requests, as somebody on the network would make them. */
static struct {
    int done;
    int status;
    char body[64];
} raw;

static void on_raw(void *arg, const HttpAnswer *answer)
{
    (void) arg;
    raw.done++;
    raw.status = answer->status;
    str_copy(raw.body, sizeof raw.body, answer->body);
}

static void raw_post(HttpClient *client, const char *path, const HttpHeader *headers, const char *body,
                     size_t len)
{
    HttpCall call = {.method = "POST",
                     .host = "127.0.0.1",
                     .port = peer_net_port(b.net),
                     .path = path,
                     .headers = headers,
                     .body = body,
                     .len = len,
                     .timeout_ms = 2000,
                     .on_answer = on_raw};

    raw.done = 0;
    assert_true(http_client_send(client, &call, NULL));
    while (raw.done == 0)
        uv_run(&loop, UV_RUN_ONCE);
}

static void signed_post(HttpClient *client, const char *path, const char *sender, const char *receiver,
                        uint64_t inc, uint64_t seq, const char *body)
{
    AuthKeys keys = {(const unsigned char *) SECRET, strlen(SECRET), "shop", sender, inc};
    AuthContent content = {"POST", path, body, strlen(body)};
    AuthSigned s;

    assert_true(auth_sign(&keys, receiver, seq, NULL, &content, &s));
    HttpHeader headers[] = {{AUTH_HEADER_CLUSTER, s.stamp.cluster},
                            {AUTH_HEADER_SENDER, s.stamp.sender},
                            {AUTH_HEADER_RECEIVER, s.stamp.receiver},
                            {AUTH_HEADER_INC, s.stamp.inc},
                            {AUTH_HEADER_SEQ, s.stamp.seq},
                            {AUTH_HEADER_MAC, s.stamp.mac},
                            {NULL, NULL}};
    raw_post(client, path, headers, body, strlen(body));
}

static void replayed_bytes(void **state)
{
    Err err = {0};
    HttpClient *client = http_client_new(&loop, 4, 10000, &err);

    (void) state;
    assert_true(send_b("x", 2000)); /* a's incarnation 11 is proven now, with number 2 */
    wait_for(1);
    signed_post(client, PEER_MESSAGE_PATH, "a", "b", 11, 50, "y");
    assert_int_equal(raw.status, 200);
    assert_int_equal(b.messages, 2);
    signed_post(client, PEER_MESSAGE_PATH, "a", "b", 11, 50, "y");
    assert_int_equal(raw.status, 403);
    assert_string_equal(raw.body, "replay");
    signed_post(client, PEER_MESSAGE_PATH, "a", "c", 11, 51, "y");
    assert_int_equal(raw.status, 403);
    assert_string_equal(raw.body, "receiver");
    signed_post(client, PEER_MESSAGE_PATH, "a", "b", 10, 52, "y"); /* an older process of a's */
    assert_int_equal(raw.status, 401);
    assert_int_equal(b.messages, 2);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_REPLAY], 1);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_RECEIVER], 1);
    http_client_free(client);
}

static void malformed_and_too_large(void **state)
{
    static char large[PEER_BODY_MAX + 100];
    Err err = {0};
    HttpClient *client = http_client_new(&loop, 4, 10000, &err);
    HttpHeader some[] = {{AUTH_HEADER_SENDER, "a"}, {AUTH_HEADER_MAC, "zz"}, {NULL, NULL}};

    (void) state;
    raw_post(client, PEER_MESSAGE_PATH, NULL, "{}", 2);
    assert_int_equal(raw.status, 403);
    assert_string_equal(raw.body, "malformed");
    raw_post(client, PEER_COMMAND_PATH, some, "{}", 2);
    assert_int_equal(raw.status, 403);
    raw_post(client, "/v1/else", NULL, "{}", 2);
    assert_int_equal(raw.status, 404);
    memset(large, 'x', sizeof large);
    raw_post(client, PEER_MESSAGE_PATH, NULL, large, sizeof large);
    assert_int_equal(raw.status, 413);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_MALFORMED], 2);
    assert_int_equal(peer_net_counters(b.net)->refused[AUTH_REASON_TOO_LARGE], 1);
    assert_int_equal(b.messages + b.commands, 0);
    http_client_free(client);
}

static void unsigned_answer(void **state)
{
    int calls = 0;
    HttpServerOptions options = {.address = "127.0.0.1", .loop = &loop, .handler = impostor, .arg = &calls};
    Err err = {0};
    HttpServer *server = http_server_start(&options, &err);

    (void) state;
    assert_non_null(server);
    PeerMember members[] = {{"a", "127.0.0.1", 1}, {"b", "127.0.0.1", http_server_port(server)}};
    assert_true(peer_net_update_members(a.net, members, 2, &err));
    assert_true(send_b("x", 2000));
    wait_for(1);
    assert_int_equal(calls, 1);
    assert_int_equal(got.ok, 0);
    assert_string_equal(got.body, "");
    http_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(message_and_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(latency, setup, teardown),
        cmocka_unit_test_setup_teardown(held_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(no_member, setup, teardown),
        cmocka_unit_test_setup_teardown(restarts, setup, teardown),
        cmocka_unit_test_setup_teardown(by_name_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_ends_sends, setup, teardown),
        cmocka_unit_test_setup_teardown(replayed_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_and_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(unsigned_answer, setup, teardown),
    };
    log_open(LOG_LEVEL_ERROR, LOG_FORMAT_PLAIN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
