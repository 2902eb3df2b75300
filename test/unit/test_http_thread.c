/*
 * test_http_thread.c: a listener with a thread of its own, as the public one has.
 */
#include "base/str.h"
#include "net/http_server.h"
#include "raw_client.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

static atomic_int priority; /* of the thread that called the handler */

static bool list_argument(void *arg, const char *name, const char *value)
{
    Buf *text = arg;

    buf_printf(text, "%s=%s;", name, value);
    return strcmp(name, "last") != 0;
}

static void handler(void *arg, HttpRequest *request)
{
    HttpHeader headers[] = {{"X-Mark", "here"}, {NULL, NULL}};
    const char *path = http_request_path(request);

    (void) arg;
    atomic_store(&priority, getpriority(PRIO_PROCESS, 0));
    if (strcmp(path, "/arguments") == 0) {
        Buf text = {0};
        http_request_arguments(request, list_argument, &text);
        buf_printf(&text, "%s,%s", http_request_argument(request, "a b"),
                   http_request_argument(request, "none") == NULL ? "none" : "some");
        http_respond(request, 200, NULL, text.data, text.len, NULL);
        buf_done(&text);
        return;
    }
    if (strcmp(path, "/held") == 0 && http_request_hold(request) == 0)
        http_respond(request, 503, NULL, "many", 4, NULL);
    else
        http_respond(request, 200, "text/plain", path, strlen(path), headers);
}

static void own_thread(void **state)
{
    HttpServerOptions options = {.address = "127.0.0.1", .handler = handler};
    Err err = {0};
    char text[2048];
    size_t len = 0;

    (void) state;
    HttpServer *other = http_server_start(&options, &err);
    assert_non_null(other);
    int fd = connect_to(http_server_port(other));
    const char *ask = "HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n"
                      "OPTIONS /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_int_equal(write(fd, ask, strlen(ask)), (ssize_t) strlen(ask));
    for (ssize_t n; len < sizeof text - 1 && (n = read(fd, text + len, sizeof text - 1 - len)) > 0;)
        len += (size_t) n;
    text[len] = '\0';
    close(fd);
    assert_has(text, "HTTP/1.1 200 OK");
    assert_true(atomic_load(&priority) > getpriority(PRIO_PROCESS, 0)); /* a flood comes after all others */
    assert_has(text, "X-Mark: here");
    assert_int_not_equal(strncmp(strstr(text, "\r\n\r\n") + 4, "/page", 5), 0); /* the body was left out */
    assert_has(text, "\r\n\r\n/page");
    fd = connect_to(http_server_port(other));
    ask = "GET /held HTTP/1.0\r\n\r\n"; /* cannot be held there */
    assert_int_equal(write(fd, ask, strlen(ask)), (ssize_t) strlen(ask));
    assert_true(read(fd, text, sizeof text) > 0);
    assert_has(text, " 503 ");
    close(fd);
    http_server_stop(other);
}

static void arguments(void **state)
{
    HttpServerOptions options = {.address = "127.0.0.1", .handler = handler};
    Err err = {0};
    char text[1024];
    const char *ask = "GET /arguments?a%20b=1%2F2&flag&c=&last=x&never=y HTTP/1.0\r\n\r\n";

    (void) state;
    HttpServer *other = http_server_start(&options, &err);
    assert_non_null(other);
    int fd = connect_to(http_server_port(other));
    assert_int_equal(write(fd, ask, strlen(ask)), (ssize_t) strlen(ask));
    ssize_t len = read(fd, text, sizeof text - 1);
    assert_true(len > 0);
    text[len] = '\0';
    assert_has(text, "a b=1/2;flag=;c=;last=x;1/2,none");
    close(fd);
    http_server_stop(other);
}

/*
 * Over and over more connections than are allowed, closed all at once: the listener hears afterwards (it was
 * deaf for ever when libmicrohttpd's own limit was the one that was reached).
 */
static void crowds(void **state)
{
    enum { LIMIT = 256, CROWD = 300, ROUNDS = 60 };
    HttpServerOptions options = {.address = "127.0.0.1", .handler = handler, .connections = LIMIT};
    const char *ask = "GET /page HTTP/1.0\r\n\r\n";
    Err err = {0};
    char answer[64];

    (void) state;
    HttpServer *other = http_server_start(&options, &err);
    assert_non_null(other);
    for (int round = 0; round < ROUNDS; round++) {
        int fds[CROWD], tries = 0;
        for (int i = 0; i < CROWD; i++)
            fds[i] = connect_to(http_server_port(other));
        for (int i = 0; i < CROWD; i++)
            close(fds[i]);
        bool answered = false;
        while (!answered) { /* closed at once as long as those of the crowd are not all noticed */
            int fd = connect_to(http_server_port(other));
            answered = write(fd, ask, strlen(ask)) > 0 && read(fd, answer, sizeof answer) > 0;
            if (!answered)
                assert_in_range(errno == EAGAIN ? 1000 : tries++, 0, 500);
            close(fd);
        }
    }
    http_server_stop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_thread),
        cmocka_unit_test(arguments),
        cmocka_unit_test(crowds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
