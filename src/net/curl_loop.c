/*
 * curl_loop.c: libcurl tells which sockets and which timeout it waits for, libuv waits.
 *
 * A socket keeps its uv_poll as long as it is open, rather than one for each transfer: the descriptor is
 * closed here, so that the watch ends before it.
 */
#include "net/curl_loop.h"

#include "base/types.h"
#include "sys/loop.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_KEPT 32L

typedef struct Socket {
    uv_poll_t *poll; /* NULL: watched for the first time later */
    curl_socket_t fd;
    int events; /* that poll waits for */
    CurlLoop *curl;
    struct Socket *next;
} Socket;

struct CurlLoop {
    uv_loop_t *loop;
    CURLM *multi;
    LoopTimer timer;
    CurlDoneFn *on_done;
    Socket *sockets; /* a few dozen at most: connections are bounded by transfers and CONNECTIONS_KEPT */
};

bool curl_loop_global_init(void)
{
    static bool done;

    if (!done)
        done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return done;
}

/* Callbacks may free transfers and add new ones, so each message is taken by itself. */
static void finish_done(CurlLoop *curl)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(curl->multi, &left)) != NULL) {
        CurlTransfer *transfer = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
        curl->on_done(transfer, code);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    Socket *socket = poll->data;
    CurlLoop *curl = socket->curl;
    int flags = 0, running;

    if (status < 0) { /* libuv has stopped the watch */
        flags = CURL_CSELECT_ERR;
        socket->events = 0;
    }
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(curl->multi, socket->fd, flags, &running); /* the socket may be gone now */
    finish_done(curl);
}

static void on_timer(void *arg)
{
    CurlLoop *curl = arg;
    int running;

    curl_multi_socket_action(curl->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(curl);
}

static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    CurlLoop *curl = arg;

    (void) multi;
    if (timeout_ms < 0)
        loop_timer_stop(&curl->timer);
    else
        loop_timer_start(&curl->timer, timeout_ms * US_PER_MS, 0);
    return 0;
}

static Socket *find_socket(CurlLoop *curl, curl_socket_t fd)
{
    Socket *socket = curl->sockets;

    while (socket != NULL && socket->fd != fd)
        socket = socket->next;
    return socket;
}

static Socket *make_socket(CurlLoop *curl, curl_socket_t fd)
{
    Socket *socket = calloc(1, sizeof *socket);
    uv_poll_t *poll = calloc(1, sizeof *poll);

    if (socket == NULL || poll == NULL || uv_poll_init(curl->loop, poll, fd) != 0) {
        free(socket);
        free(poll);
        return NULL;
    }
    poll->data = socket;
    *socket = (Socket){.poll = poll, .fd = fd, .curl = curl, .next = curl->sockets};
    curl->sockets = socket;
    return socket;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    CurlLoop *curl = arg;
    Socket *socket = socket_arg != NULL ? socket_arg : find_socket(curl, fd);

    (void) easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL && socket->events != 0)
            uv_poll_stop(socket->poll);
        if (socket != NULL)
            socket->events = 0;
        return 0;
    }
    if (socket == NULL && (socket = make_socket(curl, fd)) == NULL)
        return -1; /* fails the transfer */
    curl_multi_assign(curl->multi, fd, socket);
    int events = 0;
    if (what != CURL_POLL_OUT)
        events |= UV_READABLE;
    if (what != CURL_POLL_IN)
        events |= UV_WRITABLE;
    if (events == socket->events)
        return 0; /* libuv would take it out of epoll and put it in again */
    socket->events = events;
    return uv_poll_start(socket->poll, events, on_poll) == 0 ? 0 : -1;
}

static int on_close(void *arg, curl_socket_t fd)
{
    CurlLoop *curl = arg;

    for (Socket **s = &curl->sockets; *s != NULL; s = &(*s)->next) {
        Socket *socket = *s;
        if (socket->fd != fd)
            continue;
        *s = socket->next;
        loop_close_free((uv_handle_t *) socket->poll);
        free(socket);
        break;
    }
    return close(fd);
}

CurlLoop *curl_loop_new(uv_loop_t *loop, CurlDoneFn *on_done)
{
    CurlLoop *curl = calloc(1, sizeof *curl);

    if (curl == NULL || !curl_loop_global_init() || (curl->multi = curl_multi_init()) == NULL) {
        free(curl);
        return NULL;
    }
    curl->loop = loop;
    curl->on_done = on_done;
    loop_timer_init(&curl->timer, loop, on_timer, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(curl->multi, CURLMOPT_SOCKETDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    curl_multi_setopt(curl->multi, CURLMOPT_TIMERDATA, curl);
    curl_multi_setopt(curl->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    return curl;
}

void curl_loop_free(CurlLoop *curl)
{
    if (curl == NULL)
        return;
    curl_multi_cleanup(curl->multi); /* closes the connections, through on_close */
    loop_timer_done(&curl->timer);
    free(curl);
}

void curl_loop_hang_up(CurlLoop *curl, int how)
{
    for (const Socket *socket = curl->sockets; socket != NULL; socket = socket->next)
        (void) shutdown(socket->fd, how); /* one that is not connected has nothing to wait for */
}

void curl_loop_harden(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
}

CURL *curl_loop_easy(CurlLoop *curl, CurlTransfer *transfer)
{
    CURL *easy = curl_easy_init();

    transfer->easy = easy;
    if (easy == NULL)
        return NULL;
    curl_loop_harden(easy);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, curl);
    return easy;
}

bool curl_loop_add(CurlLoop *curl, CurlTransfer *transfer)
{
    return curl_multi_add_handle(curl->multi, transfer->easy) == CURLM_OK;
}

void curl_loop_remove(CurlLoop *curl, CurlTransfer *transfer)
{
    curl_multi_remove_handle(curl->multi, transfer->easy);
}
