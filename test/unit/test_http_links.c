/*
 * test_http_links.c: idle, slow and half-open clients of a listener keep nobody out, and lose their
 * connection.
 */
#include "net/http_server.h"
#include "raw_client.h"

#include <string.h>

#define LIMIT 4

static void handler(void *arg, HttpRequest *request)
{
    const char *body = http_request_path(request);

    (void) arg;
    http_respond(request, 200, "text/plain", body, strlen(body), NULL);
}

static HttpServer *start(unsigned timeout_s)
{
    HttpServerOptions options = {
        .address = "127.0.0.1", .handler = handler, .connections = LIMIT, .timeout_s = timeout_s};
    Err err = {0};
    HttpServer *server = http_server_start(&options, &err);

    assert_non_null(server);
    return server;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

/* True if a request is answered with 200; false if the connection was closed instead. */
static bool ask(int fd)
{
    char answer[512];
    const char *text = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";

    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return false;
    ssize_t len = read(fd, answer, sizeof answer - 1);
    if (len <= 0)
        return false;
    answer[len] = '\0';
    return strstr(answer, " 200 ") != NULL;
}

static bool is_closed(int fd)
{
    char byte;

    return read(fd, &byte, 1) <= 0;
}

static bool answers_anew(HttpServer *server)
{
    int fd = connect_to(http_server_port(server));
    bool ok = ask(fd);

    close(fd);
    return ok;
}

static bool wait_answers(HttpServer *server)
{
    for (int i = 0; i < 500; i++) {
        if (answers_anew(server))
            return true;
        usleep(10000);
    }
    return false;
}

static void idle_ones_make_room(void **state)
{
    HttpServer *server = start(30);
    int idle[LIMIT];

    (void) state;
    for (int i = 0; i < LIMIT; i++)
        idle[i] = connect_to(http_server_port(server));
    for (int i = 0; i < LIMIT; i++)
        assert_true(ask(idle[i]));
    /* All of them were served just now: nobody's connection is taken away. */
    assert_false(answers_anew(server));
    assert_true(atomic_load(&http_server_counters(server)->refused) >= 1);
    usleep(1100000);
    assert_true(ask(idle[0])); /* now the second one is the one to go */
    assert_true(wait_answers(server));
    assert_true(is_closed(idle[1]));
    assert_true(ask(idle[0]));
    assert_true(atomic_load(&http_server_counters(server)->shut) >= 1);
    for (int i = 0; i < LIMIT; i++)
        close(idle[i]);
    http_server_stop(server);
}

/* A byte now and then is no silence, so that libmicrohttpd's own timeout never ends it. */
static void slow_ones_are_ended(void **state)
{
    HttpServer *server = start(2);
    int slow = connect_to(http_server_port(server)), rounds = 0;

    (void) state;
    send_text(slow, "GET /page HTTP/1.1\r\nX-Slow: ");
    while (send(slow, "x", 1, MSG_NOSIGNAL) == 1 && rounds++ < 100) {
        usleep(100000);
        assert_true(answers_anew(server));
    }
    assert_in_range(rounds, 5, 90);
    close(slow);
    http_server_stop(server);
}

static void half_requests_are_ended(void **state)
{
    HttpServer *server = start(1);
    int half = connect_to(http_server_port(server)), silent = connect_to(http_server_port(server));

    (void) state;
    send_text(half, "GET /page HTTP/1.1\r\nHost: x\r\n");
    assert_true(is_closed(half)); /* reads give up after five seconds */
    assert_true(is_closed(silent));
    close(half);
    close(silent);
    for (int i = 0; i < 100 && atomic_load(&http_server_counters(server)->connected) > 0; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&http_server_counters(server)->connected), 0);
    http_server_stop(server);
}

/* The client has sent all and closed its side: it is answered all the same, in order. */
static void pipelined_then_half_closed(void **state)
{
    HttpServer *server = start(5);
    int fd = connect_to(http_server_port(server));
    char answers[4096];
    size_t len = 0;
    ssize_t n;

    (void) state;
    send_text(fd, "GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n"
                  "GET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    while (len < sizeof answers - 1 && (n = read(fd, answers + len, sizeof answers - 1 - len)) > 0)
        len += (size_t) n;
    answers[len] = '\0';
    const char *one = strstr(answers, "/one"), *two = strstr(answers, "/two"),
               *three = strstr(answers, "/three");
    assert_true(one != NULL && two > one && three > two);
    assert_int_equal(atomic_load(&http_server_counters(server)->requests), 3);
    close(fd);
    http_server_stop(server);
}

static void too_long_a_head(void **state)
{
    HttpServer *server = start(5);
    int fd = connect_to(http_server_port(server));
    char answer[64] = "", junk[1024];

    (void) state;
    memset(junk, 'x', sizeof junk);
    send_text(fd, "GET /page HTTP/1.1\r\nX-Long: ");
    for (int i = 0; i < 64 && send(fd, junk, sizeof junk, MSG_NOSIGNAL) > 0; i++)
        usleep(1000);
    if (read(fd, answer, sizeof answer - 1) > 0)
        assert_has(answer, "431");
    close(fd);
    assert_true(wait_answers(server));
    http_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_ones_make_room),     cmocka_unit_test(slow_ones_are_ended),
        cmocka_unit_test(half_requests_are_ended), cmocka_unit_test(pipelined_then_half_closed),
        cmocka_unit_test(too_long_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
