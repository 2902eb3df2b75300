/*
 * test_operator.c: orders and questions of the command line, in a thread, against a member on the loop.
 */
#include "base/str.h"
#include "impostor.h"
#include "net/http_server.h"
#include "net/operator.h"
#include "net/peer.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "sixteen bytes or more"

static uv_loop_t loop;

/* The member that gets the orders. */
static struct {
    PeerNet *net;
    bool hold; /* do not answer */
    int messages;
    int commands;
    char body[64];
} b;

static void on_message(void *arg, const char *from, const char *body, size_t len, uint32_t token)
{
    (void) arg;
    (void) from;
    (void) body;
    (void) len;
    (void) token;
    b.messages++;
}

static void on_command(void *arg, const char *body, size_t len, uint32_t token)
{
    (void) arg;
    assert_int_equal(strlen(body), len);
    b.commands++;
    str_copy(b.body, sizeof b.body, body);
    if (!b.hold)
        peer_reply(b.net, token, 200, "{\"state\":\"done\"}", 16);
}

static int setup(void **state)
{
    PeerMember members[] = {{"b", "127.0.0.1", 1}};
    PeerNetOptions options = {.cluster = "shop",
                              .self = "b",
                              .secret = (const unsigned char *) SECRET,
                              .secret_len = strlen(SECRET),
                              .inc = 22,
                              .listen = "127.0.0.1",
                              .members = members,
                              .member_count = 1,
                              .on_message = on_message,
                              .on_command = on_command};
    Err err = {0};

    (void) state;
    memset(&b, 0, sizeof b);
    uv_loop_init(&loop);
    b.net = peer_net_start(&loop, &options, &err);
    return b.net != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void) state;
    peer_net_stop(b.net);
    return loop_end(&loop) ? 0 : -1;
}

/* The command line's side, in a thread of its own. */
typedef struct Order {
    OperatorTarget target;
    bool is_get;
    int status;
    bool ok;
    char body[64];
    Err err;
    atomic_bool done;
} Order;

static void *run_order(void *arg)
{
    Order *order = arg;
    Buf body = {0};

    order->ok = order->is_get ? operator_get(&order->target, "/x", &order->status, &body, &order->err)
                              : operator_post(&order->target, PEER_COMMAND_PATH, "{\"verb\":\"pause\"}", 16,
                                              &order->status, &body, &order->err);
    str_copy(order->body, sizeof order->body, body.data != NULL ? body.data : "");
    buf_done(&body);
    order->done = true;
    return NULL;
}

static void nothing(void *arg)
{
    (void) arg;
}

static void give_order(Order *order)
{
    pthread_t thread;
    LoopTimer tick; /* lets the loop turn while the thread waits */

    loop_timer_init(&tick, &loop, nothing, NULL);
    loop_timer_start(&tick, 1000, 1000);
    assert_int_equal(pthread_create(&thread, NULL, run_order, order), 0);
    while (!order->done)
        uv_run(&loop, UV_RUN_ONCE);
    pthread_join(thread, NULL);
    loop_timer_done(&tick);
}

static Order order_for(const char *cluster, const char *member, const char *secret, int timeout_ms)
{
    return (Order){.target = {.cluster = cluster,
                              .member = member,
                              .host = "127.0.0.1",
                              .port = peer_net_port(b.net),
                              .secret = (const unsigned char *) secret,
                              .secret_len = strlen(secret),
                              .timeout_ms = timeout_ms}};
}

static void orders(void **state)
{
    (void) state;
    for (int i = 1; i <= 3; i++) {
        Order order = order_for("shop", "b", SECRET, 3000);
        give_order(&order);
        assert_true(order.ok);
        assert_int_equal(order.status, 200);
        assert_string_equal(order.body, "{\"state\":\"done\"}");
        assert_int_equal(b.commands, i);
        assert_string_equal(b.body, "{\"verb\":\"pause\"}");
    }
    assert_int_equal(b.messages, 0);
}

static void orders_refused(void **state)
{
    Order wrong_secret_order = order_for("shop", "b", "not the secret, but long", 3000);
    Order wrong_cluster_order = order_for("shoe", "b", SECRET, 3000);
    Order wrong_member_order = order_for("shop", "c", SECRET, 3000);
    Order nobody = order_for("shop", "b", SECRET, 3000);
    Order unanswered = order_for("shop", "b", SECRET, 300);

    (void) state;
    give_order(&wrong_secret_order);
    assert_false(wrong_secret_order.ok);
    assert_int_equal(wrong_secret_order.err.code, ERR_REFUSED);
    assert_has(wrong_secret_order.err.text, "secret");
    give_order(&wrong_cluster_order);
    assert_int_equal(wrong_cluster_order.err.code, ERR_REFUSED);
    assert_has(wrong_cluster_order.err.text, "another cluster");
    give_order(&wrong_member_order);
    assert_int_equal(wrong_member_order.err.code, ERR_REFUSED);
    assert_has(wrong_member_order.err.text, "another name");
    assert_int_equal(b.commands, 0);
    nobody.target.port = 1;
    give_order(&nobody);
    assert_int_equal(nobody.err.code, ERR_NET);
    assert_has(nobody.err.text, "127.0.0.1 port 1 cannot be reached");
    b.hold = true;
    give_order(&unanswered);
    assert_int_equal(unanswered.err.code, ERR_TIMEOUT);
    assert_int_equal(b.commands, 1);
}

/* The order's answer comes from somebody without the secret. */
static void order_to_impostor(void **state)
{
    int calls = 0;
    HttpServerOptions options = {.address = "127.0.0.1", .loop = &loop, .handler = impostor, .arg = &calls};
    Err err = {0};
    HttpServer *server = http_server_start(&options, &err);
    Order order = order_for("shop", "b", SECRET, 3000), get = order;

    (void) state;
    assert_non_null(server);
    order.target.port = get.target.port = http_server_port(server);
    give_order(&order);
    assert_false(order.ok);
    assert_int_equal(order.err.code, ERR_PROTOCOL);
    get.is_get = true; /* questions need no signature */
    give_order(&get);
    assert_true(get.ok);
    assert_int_equal(get.status, 200);
    assert_string_equal(get.body, "{\"ack\":1}");
    http_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(orders, setup, teardown),
        cmocka_unit_test_setup_teardown(orders_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(order_to_impostor, setup, teardown),
    };
    log_open(LOG_LEVEL_ERROR, LOG_FORMAT_PLAIN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
