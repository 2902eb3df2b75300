/*
 * gate.c: the listening socket of a gate and the checks that it holds.
 *
 * A check is held, not closed at once, so that a monitor which keeps its connection learns of a closing by
 * the reset and not by its next round. Held are GATE_HELD_MAX for GATE_HELD_MS each; what comes beyond
 * that is closed at once, so that a flood of short checks does not push out those that wait.
 */
#include "net/gate.h"

#include "sys/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG      64
#define ACCEPT_ROUND 16 /* at once; the loop comes back for more, and for those that have gone meanwhile */

typedef struct Held {
    uv_poll_t *poll; /* NULL: free */
    int fd;
    LoopTimer timer;
} Held;

struct Gate {
    uv_loop_t *loop;
    bool shares;
    uv_poll_t *poll; /* NULL: closed */
    int fd;
    uint64_t taken;
    Held held[GATE_HELD_MAX];
};

Gate *gate_new(uv_loop_t *loop, bool shares)
{
    Gate *gate = calloc(1, sizeof *gate);

    if (gate == NULL)
        abort();
    gate->loop = loop;
    gate->shares = shares;
    return gate;
}

static void set_linger(int fd, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* The poll handle lets go of the descriptor before that is closed. */
static void drop(Held *held, bool reset)
{
    if (held->poll == NULL)
        return;
    uv_poll_stop(held->poll);
    loop_close_free((uv_handle_t *) held->poll);
    held->poll = NULL;
    loop_timer_done(&held->timer);
    set_linger(held->fd, reset);
    close(held->fd);
}

static void on_held_time(void *arg)
{
    drop(arg, false);
}

/* The other side has closed, or says something: there is nothing to answer, so that is the end of it. */
static void on_held(uv_poll_t *poll, int status, int events)
{
    (void) status;
    (void) events;
    drop(poll->data, false);
}

static Held *find_place(Gate *gate)
{
    for (int i = 0; i < GATE_HELD_MAX; i++)
        if (gate->held[i].poll == NULL)
            return &gate->held[i];
    return NULL;
}

static uv_poll_t *poll_new(uv_loop_t *loop, int fd, void *data)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);

    if (poll == NULL)
        abort();
    if (uv_poll_init(loop, poll, fd) != 0) {
        free(poll);
        return NULL;
    }
    poll->data = data;
    return poll;
}

static void hold(Gate *gate, int fd)
{
    Held *held = find_place(gate);

    gate->taken++;
    if (held == NULL) {
        close(fd);
        return;
    }
    /* From now on also if this process is killed: the kernel closes with a reset then. */
    set_linger(fd, true);
    *held = (Held){.fd = fd};
    held->poll = poll_new(gate->loop, fd, held);
    if (held->poll == NULL) {
        close(fd);
        return;
    }
    loop_timer_init(&held->timer, gate->loop, on_held_time, held);
    loop_timer_start(&held->timer, (int64_t) GATE_HELD_MS * 1000, 0);
    uv_poll_start(held->poll, UV_READABLE | UV_DISCONNECT, on_held);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
    Gate *gate = poll->data;

    (void) status;
    (void) events;
    for (int i = 0; i < ACCEPT_ROUND; i++) {
        int fd = accept4(gate->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        hold(gate, fd);
    }
}

/* Dual where there is IPv6; a machine without it has the other one only. */
static int open_socket(const char *address, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret;
    struct sockaddr_in *four = (struct sockaddr_in *) ret;
    int fd = -1, no = 0;

    memset(ret, 0, sizeof *ret);
    six->sin6_addr = in6addr_any;
    if (address == NULL || inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *ret_len = sizeof *six;
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && (address == NULL || strcmp(address, "::") == 0))
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
        if (fd >= 0 || address != NULL)
            return fd;
    }
    memset(ret, 0, sizeof *ret);
    if (address != NULL && inet_pton(AF_INET, address, &four->sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    *ret_len = sizeof *four;
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

bool gate_open(Gate *gate, const char *address, uint16_t port, Err *err)
{
    struct sockaddr_storage at;
    socklen_t len = 0;
    int yes = 1;

    if (gate->poll != NULL)
        return true;
    int fd = open_socket(address, port, &at, &len);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        (!gate->shares || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) == 0) &&
        bind(fd, (struct sockaddr *) &at, len) == 0 && listen(fd, BACKLOG) == 0)
        gate->poll = poll_new(gate->loop, fd, gate);
    if (gate->poll == NULL) {
        int number = errno;
        if (number == EADDRINUSE)
            err_set(err, ERR_NET,
                    "port %u is in use by another program: set another, or end that one (ss -ltnp)", port);
        else
            err_set_errno(err, ERR_NET, number, "cannot listen on port %u", port);
        if (fd >= 0)
            close(fd);
        return false;
    }
    gate->fd = fd;
    uv_poll_start(gate->poll, UV_READABLE, on_connect);
    return true;
}

void gate_close(Gate *gate)
{
    if (gate->poll == NULL)
        return;
    uv_poll_stop(gate->poll);
    loop_close_free((uv_handle_t *) gate->poll);
    gate->poll = NULL;
    close(gate->fd);
    for (int i = 0; i < GATE_HELD_MAX; i++)
        drop(&gate->held[i], true);
}

bool gate_is_open(const Gate *gate)
{
    return gate->poll != NULL;
}

uint64_t gate_taken(const Gate *gate)
{
    return gate->taken;
}

void gate_free(Gate *gate)
{
    if (gate == NULL)
        return;
    gate_close(gate);
    free(gate);
}
