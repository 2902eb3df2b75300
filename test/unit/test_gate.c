/*
 * test_gate.c: the port of a gate: refused, held, reset; and whether somebody listens elsewhere.
 */
#include "unit.h"

#include "net/gate.h"
#include "net/tcp_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;
static int changes;

static struct sockaddr_in at_port(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

/* A port that nobody has: bound, and let go of. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = at_port(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *) &at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* A connected socket, or -1: refused. The handshake is the kernel's: it needs no round of the loop. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *) &at, sizeof at) == 0)
        return fd;
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    return -1;
}

static void turn(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static Gate *open_new(uint16_t port)
{
    Gate *gate = gate_new(&loop, true);
    Err err = {0};

    if (!gate_open(gate, "127.0.0.1", port, &err))
        fail_msg("%s", err.text);
    return gate;
}

static void refused_when_closed(void **state)
{
    uint16_t port = free_port();
    Gate *gate = open_new(port);

    (void) state;
    assert_true(gate_is_open(gate));
    int fd = connect_to(port);
    assert_true(fd >= 0);
    close(fd);
    gate_close(gate);
    assert_false(gate_is_open(gate));
    assert_int_equal(connect_to(port), -1);
    assert_true(gate_open(gate, "127.0.0.1", port, NULL));
    fd = connect_to(port);
    assert_true(fd >= 0);
    close(fd);
    gate_free(gate);
    turn();
    assert_int_equal(connect_to(port), -1);
}

static void closing_resets(void **state)
{
    uint16_t port = free_port();
    Gate *gate = open_new(port);
    int taken = connect_to(port), pending;
    char byte;

    (void) state;
    turn();
    assert_int_equal(gate_taken(gate), 1);
    assert_int_equal(recv(taken, &byte, 1, MSG_DONTWAIT), -1); /* held: neither answered nor closed */
    assert_int_equal(errno, EAGAIN);
    pending = connect_to(port); /* not accepted yet */
    gate_close(gate);
    assert_int_equal(recv(taken, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(recv(pending, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(taken);
    close(pending);
    gate_free(gate);
}

static void holds_so_many(void **state)
{
    uint16_t port = free_port();
    Gate *gate = open_new(port);
    int fds[GATE_HELD_MAX + 1];
    char byte;

    (void) state;
    for (int i = 0; i <= GATE_HELD_MAX; i++) {
        fds[i] = connect_to(port);
        turn();
    }
    assert_int_equal(recv(fds[GATE_HELD_MAX], &byte, 1, 0), 0); /* closed in order */
    assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    /* Who goes makes room; who speaks is not answered. */
    close(fds[0]);
    turn();
    fds[0] = connect_to(port);
    turn();
    assert_int_equal(recv(fds[0], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(gate_taken(gate), GATE_HELD_MAX + 2);
    gate_free(gate);
    for (int i = 0; i <= GATE_HELD_MAX; i++)
        close(fds[i]);
}

static void taken_port(void **state)
{
    uint16_t port = free_port();
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    Gate *gate = gate_new(&loop, true);
    Err err = {0};

    (void) state;
    assert_int_equal(bind(fd, (struct sockaddr *) &at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_false(gate_open(gate, "127.0.0.1", port, &err));
    assert_has(err.text, "is in use by another program");
    assert_false(gate_is_open(gate));
    assert_false(gate_open(gate, "192.0.2.1", port, &err));
    assert_false(gate_open(gate, "nonsense", port, &err));
    close(fd);
    gate_free(gate);
}

static void all_addresses(void **state)
{
    uint16_t port = free_port();
    Gate *gate = gate_new(&loop, true);

    (void) state;
    assert_true(gate_open(gate, NULL, port, NULL));
    int fd = connect_to(port);
    assert_true(fd >= 0);
    close(fd);
    gate_free(gate);
    turn();
}

/* ---- tcp_check ---- */

static void on_change(void *arg)
{
    (void) arg;
    changes++;
}

static void run_until(const TcpChecks *checks, int number, TcpCheckState wanted)
{
    while (tcp_check_state(checks, number) != wanted)
        uv_run(&loop, UV_RUN_ONCE);
}

static void checks_others(void **state)
{
    uint16_t port = free_port();
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    TcpChecks *checks = tcp_check_new(&loop, on_change, NULL);
    int number = tcp_check_add(checks, "127.0.0.1", port);

    (void) state;
    assert_int_equal(tcp_check_add(checks, "127.0.0.1", port), number);
    assert_int_equal(tcp_check_state(checks, number), TCP_CHECK_UNKNOWN);
    assert_int_equal(tcp_check_state(checks, -1), TCP_CHECK_UNKNOWN);
    bind(fd, (struct sockaddr *) &at, sizeof at);
    listen(fd, 8);
    run_until(checks, number, TCP_CHECK_ANSWERS);
    close(fd);
    run_until(checks, number, TCP_CHECK_SILENT);
    assert_int_equal(changes, 2);
    tcp_check_free(checks);
}

/* The name has an address of each family where the machine has; somebody listens on one of them. */
static void at_any_address(void **state)
{
    uint16_t port = free_port();
    struct sockaddr_in at = at_port(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    TcpChecks *checks = tcp_check_new(&loop, on_change, NULL);
    int number = tcp_check_add(checks, "localhost", port);

    (void) state;
    assert_int_equal(bind(fd, (struct sockaddr *) &at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    run_until(checks, number, TCP_CHECK_ANSWERS);
    close(fd);
    run_until(checks, number, TCP_CHECK_SILENT);
    tcp_check_free(checks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_when_closed), cmocka_unit_test(closing_resets),
        cmocka_unit_test(holds_so_many),       cmocka_unit_test(taken_port),
        cmocka_unit_test(all_addresses),       cmocka_unit_test(checks_others),
        cmocka_unit_test(at_any_address),
    };

    uv_loop_init(&loop);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? failed : 1;
}
