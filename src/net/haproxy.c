/*
 * haproxy.c: HAProxy's runtime socket without waiting for it.
 */
#include "net/haproxy.h"

#include "sys/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define COLUMNS_MAX 64
#define SERVER_UP   2 /* srv_op_state: 0 stopped, 1 starting, 2 running, 3 stopping */

struct HaproxyRequest {
    uv_poll_t *poll;
    int fd;
    LoopTimer timer;
    char *commands;
    size_t len, sent;
    Buf answer;
    HaproxyDoneFn *on_done;
    void *arg;
};

void haproxy_cancel(HaproxyRequest *request)
{
    if (request == NULL)
        return;
    if (request->poll != NULL) {
        uv_poll_stop(request->poll);
        loop_close_free((uv_handle_t *) request->poll);
    }
    loop_timer_done(&request->timer);
    if (request->fd >= 0)
        close(request->fd);
    buf_done(&request->answer);
    free(request->commands);
    free(request);
}

static void finish(HaproxyRequest *request, const Err *err)
{
    HaproxyDoneFn *on_done = request->on_done;
    void *arg = request->arg;
    Buf answer = request->answer;

    request->answer = (Buf){0};
    haproxy_cancel(request);
    on_done(arg, err != NULL ? NULL : answer.data != NULL ? answer.data : "", err);
    buf_done(&answer);
}

static void fail(HaproxyRequest *request, int number, const char *what)
{
    Err err = {0};

    err_set_errno(&err, ERR_NET, number, "%s", what);
    finish(request, &err);
}

static void on_deadline(void *arg)
{
    Err err = {0};

    err_set(&err, ERR_TIMEOUT, "it does not answer in time");
    finish(arg, &err);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void send_more(HaproxyRequest *request)
{
    ssize_t len = send(request->fd, request->commands + request->sent, request->len - request->sent,
                       MSG_DONTWAIT | MSG_NOSIGNAL);

    if (len > 0)
        request->sent += (size_t) len;
    if (len < 0 && errno != EAGAIN && errno != EINTR)
        fail(request, errno, "cannot send the commands");
    else if (request->sent == request->len)
        uv_poll_start(request->poll, UV_READABLE, on_ready);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    HaproxyRequest *request = poll->data;
    char buffer[4096];
    ssize_t len;

    (void) status;
    if ((events & UV_WRITABLE) != 0 && request->sent < request->len) {
        send_more(request);
        return;
    }
    while ((len = recv(request->fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        buf_add(&request->answer, buffer, (size_t) len);
        if (request->answer.len > HAPROXY_ANSWER_MAX) {
            fail(request, EMSGSIZE, "its answer");
            return;
        }
    }
    if (len == 0)
        finish(request, NULL);
    else if (errno != EAGAIN && errno != EINTR)
        fail(request, errno, "cannot read its answer");
}

HaproxyRequest *haproxy_ask(uv_loop_t *loop, const char *path, const char *commands, int timeout_ms,
                            HaproxyDoneFn *on_done, void *arg, Err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    HaproxyRequest *request = calloc(1, sizeof *request);

    if (request == NULL)
        abort();
    *request = (HaproxyRequest){.on_done = on_done, .arg = arg, .len = strlen(commands) + 1};
    request->commands = malloc(request->len + 1);
    request->poll = NULL;
    if (request->commands == NULL)
        abort();
    memcpy(request->commands, commands, request->len - 1);
    request->commands[request->len - 1] = '\n';
    str_copy(at.sun_path, sizeof at.sun_path, path);
    /* A connect to a local socket is done, or refused, at once. */
    request->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (request->fd < 0 || connect(request->fd, (struct sockaddr *) &at, sizeof at) != 0) {
        err_set_errno(err, ERR_NET, errno, "cannot connect to %s", path);
        haproxy_cancel(request);
        return NULL;
    }
    request->poll = calloc(1, sizeof *request->poll);
    if (request->poll == NULL || uv_poll_init(loop, request->poll, request->fd) != 0)
        abort();
    request->poll->data = request;
    uv_poll_start(request->poll, UV_WRITABLE, on_ready);
    loop_timer_init(&request->timer, loop, on_deadline, request);
    loop_timer_start(&request->timer, (int64_t) timeout_ms * 1000, 0);
    return request;
}

/* ---- The table ---- */

typedef struct Columns {
    int name, address, state, port;
} Columns;

/* "# be_id be_name srv_id srv_name ..."; the mark itself is no column. */
static Columns find_columns(char *heading)
{
    Columns columns = {-1, -1, -1, -1};
    char *rest = NULL;
    int number = 0;

    for (char *word = strtok_r(heading, "# ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest), number++) {
        if (strcmp(word, "srv_name") == 0)
            columns.name = number;
        else if (strcmp(word, "srv_addr") == 0)
            columns.address = number;
        else if (strcmp(word, "srv_op_state") == 0)
            columns.state = number;
        else if (strcmp(word, "srv_port") == 0)
            columns.port = number;
    }
    return columns;
}

static bool read_row(char *line, const Columns *columns, HaproxyServer *ret)
{
    char *rest = NULL;
    int number = 0;

    *ret = (HaproxyServer){0};
    for (char *word = strtok_r(line, " ", &rest); word != NULL && number < COLUMNS_MAX;
         word = strtok_r(NULL, " ", &rest), number++) {
        if (number == columns->name)
            str_copy(ret->name, sizeof ret->name, word);
        else if (number == columns->address)
            str_copy(ret->address, sizeof ret->address, word);
        else if (number == columns->state)
            ret->up = strtol(word, NULL, 10) == SERVER_UP;
        else if (number == columns->port)
            ret->port = (uint16_t) strtoul(word, NULL, 10);
    }
    return ret->name[0] != '\0';
}

int haproxy_servers(const char *answer, HaproxyServer *ret_servers, int max, Err *err)
{
    char *copy = strdup(answer), *rest = NULL;
    Columns columns = {-1, -1, -1, -1};
    int count = 0;

    if (copy == NULL)
        abort();
    for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (line[0] == '#')
            columns = find_columns(line);
        else if (columns.name >= 0 && count < max && read_row(line, &columns, &ret_servers[count]))
            count++;
    }
    free(copy);
    if (columns.name >= 0)
        return count;
    err_set(err, ERR_PROTOCOL, "it says: %.*s", (int) strcspn(answer, "\n"), answer);
    return -1;
}
