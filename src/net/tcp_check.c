/*
 * tcp_check.c: one non-blocking connect for each target and second.
 */
#include "net/tcp_check.h"

#include "base/str.h"
#include "net/names.h"
#include "sys/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVERY_US      (INT64_C(1000) * 1000)
#define TIMEOUT_US    (INT64_C(1000) * 1000)
#define FAILURES      2 /* in a row, to count as silence */
#define ADDRESSES_MAX 8 /* of a name; more are not tried in a round */

typedef struct Target {
    TcpChecks *checks;
    char host[TCP_CHECK_HOST_LEN];
    uint16_t port;
    TcpCheckState state;
    int failures;
    char address[NAMES_ADDRESS_LEN]; /* that is tried */
    char first[NAMES_ADDRESS_LEN];   /* of this round; "": none was tried yet */
    int tried;
    uv_poll_t *poll; /* a connect under way */
    int fd;
    LoopTimer timer; /* the next round, or the deadline of this one */
} Target;

struct TcpChecks {
    uv_loop_t *loop;
    void (*on_change)(void *arg);
    void *arg;
    Names *names;
    int count;
    Target target[TCP_CHECK_MAX];
};

static void on_name(void *arg)
{
    (void) arg; /* asked for again in the next round */
}

TcpChecks *tcp_check_new(uv_loop_t *loop, void (*on_change)(void *arg), void *arg)
{
    TcpChecks *checks = calloc(1, sizeof *checks);
    Names *names = names_new(loop, on_name, NULL);

    if (checks == NULL || names == NULL)
        abort();
    checks->loop = loop;
    checks->on_change = on_change;
    checks->arg = arg;
    checks->names = names;
    return checks;
}

static void hang_up(Target *target)
{
    if (target->poll == NULL)
        return;
    uv_poll_stop(target->poll);
    loop_close_free((uv_handle_t *) target->poll);
    target->poll = NULL;
    close(target->fd);
}

static void set_state(Target *target, TcpCheckState state)
{
    target->failures = state == TCP_CHECK_SILENT ? target->failures + 1 : 0;
    if (state == TCP_CHECK_SILENT && target->failures < FAILURES)
        return;
    if (target->state == state)
        return;
    target->state = state;
    target->checks->on_change(target->checks->arg);
}

/* The end of a round. */
static void settle(Target *target, TcpCheckState state)
{
    hang_up(target);
    loop_timer_start(&target->timer, EVERY_US, 0);
    set_state(target, state);
}

static void attempt(Target *target);

/* Nobody there: the name's next address is tried, until all have been. One that answers is enough. */
static void try_next(Target *target)
{
    hang_up(target);
    names_unreachable(target->checks->names, target->host, target->address);
    attempt(target);
}

static void on_connected(uv_poll_t *poll, int status, int events)
{
    Target *target = poll->data;
    int number = ECONNREFUSED;
    socklen_t len = sizeof number;

    (void) events;
    if (status == 0)
        getsockopt(target->fd, SOL_SOCKET, SO_ERROR, &number, &len);
    if (number == 0)
        settle(target, TCP_CHECK_ANSWERS);
    else
        try_next(target);
}

/* address: as names_find gives it, IPv6 in brackets. */
static bool make_address(const char *address, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *) ret;
    struct sockaddr_in *four = (struct sockaddr_in *) ret;
    char plain[NAMES_ADDRESS_LEN];

    memset(ret, 0, sizeof *ret);
    str_copy(plain, sizeof plain, address + (address[0] == '['));
    plain[strcspn(plain, "]")] = '\0';
    if (inet_pton(AF_INET6, plain, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *ret_len = sizeof *six;
        return true;
    }
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    *ret_len = sizeof *four;
    return inet_pton(AF_INET, plain, &four->sin_addr) == 1;
}

/* False: it failed at once. */
static bool begin(Target *target, const char *address)
{
    struct sockaddr_storage at;
    socklen_t len;

    if (!make_address(address, target->port, &at, &len))
        return false;
    target->fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (target->fd < 0)
        return false;
    bool going = connect(target->fd, (struct sockaddr *) &at, len) == 0 || errno == EINPROGRESS;
    uv_poll_t *poll = going ? calloc(1, sizeof *poll) : NULL;
    if (poll == NULL || uv_poll_init(target->checks->loop, poll, target->fd) != 0) {
        free(poll);
        close(target->fd);
        return false;
    }
    poll->data = target;
    target->poll = poll;
    uv_poll_start(poll, UV_WRITABLE | UV_DISCONNECT, on_connected);
    return true;
}

static void attempt(Target *target)
{
    char address[NAMES_ADDRESS_LEN];

    for (;;) {
        switch (names_find(target->checks->names, target->host, address)) {
        case NAMES_PENDING: loop_timer_start(&target->timer, EVERY_US / 10, 0); return;
        case NAMES_FAILED: settle(target, TCP_CHECK_UNKNOWN); return;
        case NAMES_KNOWN: break;
        }
        if (target->first[0] == '\0')
            str_copy(target->first, sizeof target->first, address);
        else if (strcmp(address, target->first) == 0 || ++target->tried == ADDRESSES_MAX)
            break; /* once around */
        str_copy(target->address, sizeof target->address, address);
        if (begin(target, address)) {
            loop_timer_start(&target->timer, TIMEOUT_US, 0);
            return;
        }
        names_unreachable(target->checks->names, target->host, address);
    }
    settle(target, TCP_CHECK_SILENT);
}

static void on_time(void *arg)
{
    Target *target = arg;

    if (target->poll != NULL) { /* the deadline */
        try_next(target);
        return;
    }
    target->first[0] = '\0';
    target->tried = 0;
    attempt(target);
}

int tcp_check_add(TcpChecks *checks, const char *host, uint16_t port)
{
    for (int i = 0; i < checks->count; i++)
        if (checks->target[i].port == port && strcmp(checks->target[i].host, host) == 0)
            return i;
    if (checks->count == TCP_CHECK_MAX)
        return -1;
    Target *target = &checks->target[checks->count];
    target->checks = checks;
    target->port = port;
    str_copy(target->host, sizeof target->host, host);
    loop_timer_init(&target->timer, checks->loop, on_time, target);
    loop_timer_start(&target->timer, 0, 0);
    return checks->count++;
}

TcpCheckState tcp_check_state(const TcpChecks *checks, int number)
{
    return number >= 0 ? checks->target[number].state : TCP_CHECK_UNKNOWN;
}

void tcp_check_free(TcpChecks *checks)
{
    if (checks == NULL)
        return;
    for (int i = 0; i < checks->count; i++) {
        hang_up(&checks->target[i]);
        loop_timer_done(&checks->target[i].timer);
    }
    names_free(checks->names);
    free(checks);
}
