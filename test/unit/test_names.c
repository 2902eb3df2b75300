/*
 * test_names.c: names with more than one address, where nobody listens on the first. The resolver is a fake.
 */
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/names.h"
#include "sys/loop.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uv_loop_t loop;
static const char *addresses[4]; /* what the resolver says; NULL ends it */

/* libuv's thread calls this in the place of libc's. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    (void) node, (void) service, (void) hints;
    *ret = NULL;
    for (int i = 3; i >= 0; i--) {
        struct sockaddr_in *address;
        struct addrinfo *info;
        if (addresses[i] == NULL)
            continue;
        address = calloc(1, sizeof *address);
        info = calloc(1, sizeof *info);
        address->sin_family = AF_INET;
        inet_pton(AF_INET, addresses[i], &address->sin_addr);
        *info = (struct addrinfo){.ai_family = AF_INET,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_addr = (struct sockaddr *) address,
                                  .ai_addrlen = sizeof *address,
                                  .ai_next = *ret};
        *ret = info;
    }
    return *ret != NULL ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list->ai_addr);
        free(list);
        list = next;
    }
}

static int setup(void **state)
{
    (void) state;
    memset(addresses, 0, sizeof addresses);
    return uv_loop_init(&loop);
}

static int teardown(void **state)
{
    (void) state;
    return loop_end(&loop) ? 0 : -1;
}

static int changes;

static void on_change(void *arg)
{
    (void) arg;
    changes++;
}

static void the_next_address_is_given_out(void **state)
{
    Names *names = names_new(&loop, on_change, NULL);
    char address[NAMES_ADDRESS_LEN];

    (void) state;
    addresses[0] = "192.0.2.1";
    addresses[1] = "192.0.2.2";
    assert_int_equal(names_find(names, "both", address), NAMES_PENDING);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(changes, 1);
    assert_int_equal(names_find(names, "both", address), NAMES_KNOWN);
    assert_string_equal(address, "192.0.2.1");
    names_unreachable(names, "other", "192.0.2.1");
    names_unreachable(names, "both", "192.0.2.2"); /* of an earlier request: it is not in use */
    names_find(names, "both", address);
    assert_string_equal(address, "192.0.2.1");
    names_unreachable(names, "both", "192.0.2.1");
    names_unreachable(names, "both", "192.0.2.1"); /* two requests failed at once */
    names_find(names, "both", address);
    assert_string_equal(address, "192.0.2.2");
    names_unreachable(names, "both", "192.0.2.2");
    names_find(names, "both", address);
    assert_string_equal(address, "192.0.2.1");
    names_free(names);
}

static void one_address_stays(void **state)
{
    Names *names = names_new(&loop, on_change, NULL);
    char address[NAMES_ADDRESS_LEN];

    (void) state;
    addresses[0] = "192.0.2.1";
    names_find(names, "one", address);
    uv_run(&loop, UV_RUN_DEFAULT);
    names_unreachable(names, "one", "192.0.2.1");
    assert_int_equal(names_find(names, "one", address), NAMES_KNOWN);
    assert_string_equal(address, "192.0.2.1");
    names_free(names);
}

static void many_names_are_known_at_once(void **state)
{
    Names *names = names_new(&loop, on_change, NULL);
    char address[NAMES_ADDRESS_LEN], host[32];

    (void) state;
    addresses[0] = "192.0.2.1";
    for (int i = 0; i < 1000; i++) {
        snprintf(host, sizeof host, "one%d", i);
        assert_int_equal(names_find(names, host, address), NAMES_PENDING);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 1000; i++) {
        snprintf(host, sizeof host, "one%d", i);
        assert_int_equal(names_find(names, host, address), NAMES_KNOWN);
    }
    names_free(names);
}

static HttpAnswer got;
static int answers;

static void on_answer(void *arg, const HttpAnswer *answer)
{
    (void) arg;
    got = *answer;
    answers++;
}

static void handler(void *arg, HttpRequest *request)
{
    (void) arg;
    http_respond(request, 200, "text/plain", "x", 1, NULL);
}

static void a_request_reaches_who_listens(void **state)
{
    HttpServerOptions options = {.address = "127.0.0.1", .loop = &loop, .handler = handler};
    HttpServer *server = http_server_start(&options, NULL);
    HttpClient *client = http_client_new(&loop, 4, 1000, NULL);
    HttpCall call = {.method = "GET",
                     .host = "both",
                     .port = http_server_port(server),
                     .path = "/",
                     .timeout_ms = 20000,
                     .on_answer = on_answer};

    (void) state;
    addresses[0] = "127.0.0.77";
    addresses[1] = "127.0.0.1";
    for (int i = 0; i < 3; i++) {
        assert_true(http_client_send(client, &call, NULL));
        while (answers <= i)
            uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(got.ok, i > 0);
    }
    http_client_free(client);
    http_server_stop(server);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LOOP(the_next_address_is_given_out),
        ON_LOOP(one_address_stays),
        ON_LOOP(many_names_are_known_at_once),
        ON_LOOP(a_request_reaches_who_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
