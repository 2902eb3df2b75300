/*
 * test_http.c: the HTTP server and the HTTP client against each other, and the server against raw bytes.
 */
#include "base/str.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "raw_client.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;
static HttpServer *server;
static HttpClient *client;
static uint32_t token;     /* of the newest that is held */
static uint32_t tokens[8]; /* of all that are held */
static int held;
static int handled;
static int too_large;
static LoopTimer later;

/* What came back, by the number of the call. */
static struct {
    int done;
    bool ok;
    int status;
    size_t len;
    char body[256];
    char header[64];
    char error[128];
} got[16];

static void on_answer(void *arg, const HttpAnswer *answer)
{
    int i = (int) (intptr_t) arg;

    got[i].done++;
    got[i].ok = answer->ok;
    got[i].status = answer->status;
    got[i].len = answer->len;
    str_copy(got[i].body, sizeof got[i].body, answer->body);
    str_copy(got[i].error, sizeof got[i].error, answer->error);
    if (!http_client_header(answer, "x-mark", got[i].header, sizeof got[i].header))
        got[i].header[0] = '\0';
}

static void handler(void *arg, HttpRequest *request)
{
    const char *path = http_request_path(request);
    HttpHeader headers[] = {{"X-Mark", "here"}, {NULL, NULL}};
    size_t len;
    const char *body = http_request_body(request, &len);

    (void) arg;
    handled++;
    if (strcmp(path, "/held") == 0) {
        uint32_t t = http_request_hold(request);
        if (t == 0)
            http_respond(request, 503, NULL, "many", 4, NULL);
        else
            tokens[held++ % 8] = token = t;
    } else if (strcmp(path, "/held-at-once") == 0) {
        token = http_request_hold(request);
        http_respond(http_request_held(server, token), 200, "text/plain", "at once", 7, NULL);
    } else if (strcmp(path, "/nothing") == 0) {
        return;
    } else if (strcmp(path, "/echo") == 0) {
        http_respond(request, 200, "text/plain", body, len, headers);
    } else {
        char text[256], peer[HTTP_PEER_LEN];
        const char *h = http_request_header(request, "x-ask");
        int n = snprintf(text, sizeof text, "%s %s ask=%s from=%s", http_request_method(request), path,
                         h != NULL ? h : "NULL", http_request_peer(request, peer, sizeof peer));
        http_respond(request, 200, "text/plain", text, (size_t) n, headers);
    }
}

static void on_too_large(void *arg, HttpRequest *request)
{
    (void) arg;
    (void) request;
    too_large++;
}

static int setup(void **state)
{
    HttpServerOptions options = {.address = "127.0.0.1",
                                 .loop = &loop,
                                 .body_max = 1000,
                                 .held_max = 4,
                                 .held_timeout_ms = 200,
                                 .held_status = 204,
                                 .handler = handler,
                                 .on_too_large = on_too_large};
    Err err = {0};

    (void) state;
    memset(got, 0, sizeof got);
    handled = held = too_large = 0;
    token = 0;
    uv_loop_init(&loop);
    server = http_server_start(&options, &err);
    client = http_client_new(&loop, 12, 5000, &err);
    return server != NULL && client != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void) state;
    http_client_free(client);
    http_server_stop(server);
    loop_timer_done(&later);
    return loop_end(&loop) ? 0 : -1;
}

static bool call_host(int i, const char *host, uint16_t port, const char *method, const char *path,
                      const char *body, size_t len, int timeout_ms)
{
    HttpHeader headers[] = {{"X-Ask", "me"}, {NULL, NULL}};
    HttpCall call = {.method = method,
                     .host = host,
                     .port = port,
                     .path = path,
                     .headers = headers,
                     .body = body,
                     .len = len,
                     .timeout_ms = timeout_ms,
                     .on_answer = on_answer,
                     .arg = (void *) (intptr_t) i};
    return http_client_send(client, &call, NULL);
}

static void call(int i, const char *method, const char *path, const char *body, int timeout_ms)
{
    size_t len = body != NULL ? strlen(body) : 0;
    assert_true(call_host(i, "127.0.0.1", http_server_port(server), method, path, body, len, timeout_ms));
    assert_int_equal(got[i].done, 0); /* never from within */
}

static void wait_for(int i)
{
    while (got[i].done == 0)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(got[i].done, 1);
}

static int64_t since_us(const Clock *then)
{
    Clock now = clock_now();
    return clock_elapsed_most(then, &now);
}

static void gets_and_posts(void **state)
{
    (void) state;
    call(0, "GET", "/a%20b?q=1%262&empty=", NULL, 2000);
    wait_for(0);
    assert_true(got[0].ok);
    assert_int_equal(got[0].status, 200);
    assert_string_equal(got[0].body, "GET /a b ask=me from=127.0.0.1");
    assert_string_equal(got[0].header, "here");
    call(1, "POST", "/echo", "the body", 2000);
    wait_for(1);
    assert_string_equal(got[1].body, "the body");
    call(2, "POST", "/echo", "", 2000);
    wait_for(2);
    assert_int_equal(got[2].status, 200);
    assert_int_equal(got[2].len, 0);
    call(3, "GET", "/nothing", NULL, 2000);
    wait_for(3);
    assert_int_equal(got[3].status, 500);
}

static void answer_later(void *arg)
{
    (void) arg;
    http_respond(http_request_held(server, token), 200, NULL, "late", 4, NULL);
    assert_null(http_request_held(server, token));
}

static void held_answers(void **state)
{
    (void) state;
    call(0, "POST", "/held", "x", 2000);
    loop_timer_init(&later, &loop, answer_later, NULL);
    loop_timer_start(&later, 50000, 0);
    Clock begun = clock_now();
    wait_for(0);
    assert_string_equal(got[0].body, "late");
    assert_true(since_us(&begun) >= 50000);
    call(1, "GET", "/held-at-once", NULL, 2000);
    wait_for(1);
    assert_string_equal(got[1].body, "at once");
    assert_null(http_request_held(server, 0));
    assert_null(http_request_held(server, token));
    assert_null(http_request_held(server, UINT32_MAX));
}

static void held_deadline_and_bound(void **state)
{
    (void) state;
    Clock begun = clock_now();
    for (int i = 0; i < 5; i++)
        call(i, "POST", "/held", "x", 2000);
    for (int i = 0; i < 5; i++)
        wait_for(i);
    int many = 0, late = 0;
    for (int i = 0; i < 5; i++) {
        many += got[i].status == 503;
        late += got[i].status == 204;
    }
    assert_int_equal(many, 1); /* held_max is 4 */
    assert_int_equal(late, 4);
    assert_true(since_us(&begun) >= 200000 && since_us(&begun) < 2000000);
    for (int i = 0; i < 4; i++) {
        assert_int_not_equal(tokens[i], 0);
        assert_null(http_request_held(server, tokens[i]));
    }
    call(6, "POST", "/held", "x", 2000); /* the places are free again */
    wait_for(6);
    assert_int_equal(got[6].status, 204);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(token, tokens[i]);
}

static void client_deadline(void **state)
{
    (void) state;
    Clock begun = clock_now();
    call(0, "GET", "/held", NULL, 60);
    wait_for(0);
    assert_false(got[0].ok);
    assert_string_equal(got[0].error, "no answer in time");
    assert_true(since_us(&begun) >= 59000 && since_us(&begun) < 1900000);
    call(1, "GET", "/echo", NULL, 2000); /* goes on with another connection */
    wait_for(1);
    assert_true(got[1].ok);
}

static void large_bodies(void **state)
{
    static char large[200000];

    (void) state;
    memset(large, 'x', sizeof large - 1);
    call_host(0, "127.0.0.1", http_server_port(server), "POST", "/echo", large, 1000, 2000);
    wait_for(0);
    assert_int_equal(got[0].status, 200);
    assert_int_equal(got[0].len, 1000);
    call_host(1, "127.0.0.1", http_server_port(server), "POST", "/echo", large, 1001, 2000);
    wait_for(1);
    assert_int_equal(got[1].status, 413);
    assert_int_equal(too_large, 1);
    int before = handled;
    call_host(2, "127.0.0.1", http_server_port(server), "POST", "/echo", large, sizeof large - 1, 2000);
    wait_for(2);
    assert_true(!got[2].ok || got[2].status == 413);
    assert_int_equal(handled, before);
    assert_int_equal(too_large, 2);
}

static void client_bounds(void **state)
{
    (void) state;
    for (int i = 0; i < 12; i++)
        call(i, "GET", "/held", NULL, 2000);
    assert_false(call_host(12, "127.0.0.1", http_server_port(server), "GET", "/echo", NULL, 0, 2000));
    http_client_free(client);
    client = NULL;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(got[i].done, 1);
        assert_false(got[i].ok);
    }
    assert_int_equal(got[12].done, 0);
}

static void answer_too_large(void **state)
{
    Err err = {0};

    (void) state;
    http_client_free(client);
    client = http_client_new(&loop, 4, 10, &err);
    call(0, "POST", "/echo", "0123456789", 2000);
    call(1, "POST", "/echo", "0123456789a", 2000);
    wait_for(0);
    wait_for(1);
    assert_true(got[0].ok);
    assert_false(got[1].ok);
    assert_string_equal(got[1].error, "the answer is too large");
}

static void names_and_dead_ports(void **state)
{
    uint16_t dead = http_server_port(server);

    (void) state;
    assert_true(call_host(0, "localhost", http_server_port(server), "GET", "/echo", NULL, 0, 5000));
    wait_for(0);
    assert_true(got[0].ok || strstr(got[0].error, "connect") != NULL); /* ::1 first, where nobody listens */
    assert_true(call_host(1, "no-such-host.invalid", dead, "GET", "/echo", NULL, 0, 300));
    wait_for(1);
    assert_false(got[1].ok);
    assert_has(got[1].error, "name");
    http_server_stop(server);
    server = NULL;
    assert_true(call_host(2, "127.0.0.1", dead, "GET", "/echo", NULL, 0, 1000));
    wait_for(2);
    assert_false(got[2].ok);
}

/* Hundreds of requests over one connection, and each without a delay of its own. */
static void reuse_and_pace(void **state)
{
    enum { COUNT = 400 };

    (void) state;
    Clock begun = clock_now();
    for (int i = 0; i < COUNT; i++) {
        memset(got, 0, sizeof got);
        call(0, "POST", "/held-at-once", "x", 2000);
        wait_for(0);
        assert_true(got[0].ok);
    }
    print_message("%.0f us for one request and answer\n", (double) since_us(&begun) / COUNT);
    assert_true(since_us(&begun) / COUNT < 20000); /* not the 40 ms of a delayed acknowledgement */
}

static void port_in_use(void **state)
{
    HttpServerOptions options = {
        .address = "127.0.0.1", .port = http_server_port(server), .loop = &loop, .handler = handler};
    Err err = {0};
    char expected[128];

    (void) state;
    assert_null(http_server_start(&options, &err));
    snprintf(expected, sizeof expected,
             "port %u on 127.0.0.1 is in use: stop what holds it (ss -ltnp) or set another", options.port);
    assert_string_equal(err.text, expected);
    assert_int_equal(err.code, ERR_CONFIG);
    options.address = "203.0.113.9";
    assert_null(http_server_start(&options, &err));
    assert_has(err.text, "no address of this machine");
    options.address = "some-name";
    assert_null(http_server_start(&options, &err));
    assert_has(err.text, "numeric address");
}

static void ipv6(void **state)
{
    HttpServerOptions options = {.address = "::", .loop = &loop, .handler = handler};
    Err err = {0};

    (void) state;
    HttpServer *other = http_server_start(&options, &err);
    if (other == NULL)
        skip(); /* a machine without IPv6 */
    assert_true(call_host(0, "127.0.0.1", http_server_port(other), "GET", "/echo", NULL, 0, 2000));
    wait_for(0);
    assert_true(got[0].ok);
    if (access("/proc/net/if_inet6", R_OK) == 0) {
        assert_true(call_host(1, "::1", http_server_port(other), "GET", "/x", NULL, 0, 2000));
        wait_for(1);
        assert_true(got[1].ok || strstr(got[1].error, "connect") != NULL); /* ::1 may be off */
    }
    http_server_stop(other);
}

static void garbage(void **state)
{
    static const char *const bytes[] = {
        "\0\1\2\3\r\n\r\n", "GET\r\n\r\n", "POST /echo HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "GET / HTTP/9.9\r\n\r\n"};

    (void) state;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
        int fd = connect_to(http_server_port(server));
        assert_true(write(fd, bytes[i], i == 0 ? 8 : strlen(bytes[i])) > 0);
        for (int k = 0; k < 5; k++)
            uv_run(&loop, UV_RUN_NOWAIT);
        close(fd);
        for (int k = 0; k < 5; k++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    call(0, "POST", "/echo", "still there", 2000);
    wait_for(0);
    assert_string_equal(got[0].body, "still there");
}

static void stop_with_held(void **state)
{
    (void) state;
    call(0, "GET", "/held", NULL, 2000);
    while (held == 0)
        uv_run(&loop, UV_RUN_ONCE);
    http_server_stop(server);
    server = NULL;
    wait_for(0);
    assert_true(!got[0].ok || got[0].status == 503);
}

/* Requests that are read only while the server ends are not held: libmicrohttpd would end the process. */
static void stops_among_requests(void **state)
{
    static const char ask[] = "GET /held HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd[12];
    (void) state;

    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++) {
        fd[i] = connect_to(http_server_port(server));
        assert_int_equal(write(fd[i], ask, sizeof ask - 1), sizeof ask - 1);
    }
    while (held == 0)
        uv_run(&loop, UV_RUN_ONCE);
    http_server_stop(server);
    server = NULL;
    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gets_and_posts, setup, teardown),
        cmocka_unit_test_setup_teardown(held_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(held_deadline_and_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_among_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(client_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(large_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(client_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(answer_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(names_and_dead_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(reuse_and_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(port_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(ipv6, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_with_held, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
