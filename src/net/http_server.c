/*
 * http_server.c: libmicrohttpd on the loop (its epoll descriptor is polled, and it runs when that is
 * readable or its own timeout is due) or in its own thread.
 *
 * Without a thread, libmicrohttpd has no way to wake itself: whoever resumes a connection starts the timer.
 */
#include "net/http_server.h"

#include "net/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG           1024                 /* who finds it full tries again after a second */
#define STATUS_TOO_LARGE  413                  /* its name differs between versions of libmicrohttpd */
#define CONNECTION_MEMORY ((size_t) 16 * 1024) /* headers of one request and of its answer */
#define FREE_REQUESTS_MAX 16
#define FREE_BODY_MAX     ((size_t) 16 * 1024) /* a larger buffer is not kept */
#define SWALLOW_TIMES     4 /* so much more than body_max is read and dropped, for the sake of a clean 413 */
#define TLS_PRIORITIES    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define SPARE_CONNECTIONS 128 /* those that are closed count for libmicrohttpd until it has cleaned up */

static HttpRequest *take_request(HttpServer *server)
{
    HttpRequest *request = server->free;

    if (request == NULL) {
        request = calloc(1, sizeof *request);
    } else {
        server->free = request->next;
        server->free_count--;
        Buf body = request->body;
        body.len = 0;
        body.failed = false;
        *request = (HttpRequest){.body = body};
    }
    return request;
}

static void give_request(HttpServer *server, HttpRequest *request)
{
    if (request->body.capacity > FREE_BODY_MAX)
        buf_done(&request->body);
    if (server->free_count >= FREE_REQUESTS_MAX) {
        buf_done(&request->body);
        free(request);
        return;
    }
    request->next = server->free;
    server->free = request;
    server->free_count++;
}

/* A longer one than is worth swallowing. */
static bool is_hopeless(const HttpServer *server, uint64_t len)
{
    return len / SWALLOW_TIMES > server->options.body_max;
}

static void take_body(HttpRequest *request, const char *data, size_t len)
{
    request->body_seen += len;
    if (request->body_seen > request->server->options.body_max)
        request->too_large = true;
    else
        buf_add(&request->body, data, len);
}

static void refuse_too_large(HttpServer *server, HttpRequest *request)
{
    if (server->options.on_too_large != NULL)
        server->options.on_too_large(server->options.arg, request);
    http_respond(request, STATUS_TOO_LARGE, NULL, NULL, 0, NULL);
}

static enum MHD_Result handle(HttpServer *server, HttpRequest *request)
{
    request->handled = true;
    if (request->body.failed)
        return MHD_NO;
    if (request->too_large) {
        refuse_too_large(server, request);
        return MHD_YES;
    }
    server->options.handler(server->options.arg, request);
    if (request->responded)
        return MHD_YES;
    if (request->slot < 0) {
        http_respond(request, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, NULL, 0, NULL);
        return MHD_YES;
    }
    request->suspended = true;
    http_links_wait(request->connection, true);
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

/* libmicrohttpd calls this once for the headers, for each piece of the body, and once at the end. */
static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data, size_t *data_len,
                                 void **context)
{
    HttpServer *server = cls;
    HttpRequest *request = *context;

    (void) version;
    if (request == NULL) {
        request = take_request(server);
        if (request == NULL)
            return MHD_NO;
        *context = request;
        request->server = server;
        request->connection = connection;
        request->method = method;
        request->path = url;
        request->slot = -1;
        const char *length = http_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
        if (length != NULL && is_hopeless(server, strtoull(length, NULL, 10)))
            refuse_too_large(server, request);
        return MHD_YES;
    }
    if (request->handled || request->responded)
        return MHD_NO; /* asked again: the answer could not be made */
    if (*data_len == 0)
        return handle(server, request);
    take_body(request, data, *data_len);
    *data_len = 0;
    if (!is_hopeless(server, request->body_seen))
        return MHD_YES;
    if (server->options.on_too_large != NULL)
        server->options.on_too_large(server->options.arg, request);
    return MHD_NO; /* in mid-body there is no answering */
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    HttpRequest *request = *context;

    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        http_links_served(cls, connection);
    if (request != NULL)
        give_request(cls, request);
    *context = NULL;
}

/*
 * The limit of connections is ours: libmicrohttpd (0.9.75) takes its listening socket out of epoll when its
 * own limit is reached and may then miss the moment to put it back, deaf for ever. So its limit is never
 * reached.
 */
static enum MHD_Result may_connect(void *cls, const struct sockaddr *address, socklen_t len)
{
    (void) address;
    (void) len;
    return http_links_admit(cls) ? MHD_YES : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        http_links_add(cls, connection, context);
    else
        http_links_remove(cls, *context);
}

static void drive(HttpServer *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;

    MHD_run(server->daemon);
    if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES)
        loop_timer_stop(&server->timer);
    else
        loop_timer_start(&server->timer, (int64_t) timeout_ms * US_PER_MS, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void) status;
    (void) events;
    drive(poll->data);
}

static void on_timer(void *arg)
{
    drive(arg);
}

static void on_held_timer(void *arg)
{
    http_expire_held(arg);
}

static bool parse_address(const char *address, uint16_t port, struct sockaddr_storage *ret_address,
                          socklen_t *ret_len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *) ret_address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *ret_len = sizeof *v4;
        return true;
    }
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
        return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *ret_len = sizeof *v6;
    return true;
}

static bool listen_error(int number, const HttpServerOptions *options, Err *err)
{
    switch (number) {
    case EADDRINUSE:
        return err_set(err, ERR_CONFIG,
                       "port %u on %s is in use: stop what holds it (ss -ltnp) or set another", options->port,
                       options->address);
    case EADDRNOTAVAIL:
        return err_set(err, ERR_CONFIG,
                       "%s is no address of this machine: listen on one that it has (ip addr)",
                       options->address);
    case EACCES:
        return err_set(err, ERR_CONFIG, "port %u on %s is not allowed to this user: set one above 1023",
                       options->port, options->address);
    default:
        return err_set_errno(err, ERR_NET, number, "cannot listen on port %u on %s", options->port,
                             options->address);
    }
}

/* Our own socket, because libmicrohttpd does not say why it cannot listen. */
static bool listen_on(const HttpServerOptions *options, int *ret_fd, uint16_t *ret_port, Err *err)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    int on = 1, off = 0;

    if (!parse_address(options->address, options->port, &address, &len))
        return err_set(err, ERR_CONFIG,
                       "cannot listen on \"%.60s\": a numeric address is needed, such as 0.0.0.0",
                       options->address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return listen_error(errno, options, err);
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited */
    if (address.ss_family == AF_INET6)
        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *) &address, len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *) &address, &len) != 0) {
        listen_error(errno, options, err);
        close(fd);
        return false;
    }
    *ret_port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &address)->sin6_port
                                                    : ((struct sockaddr_in *) &address)->sin_port);
    *ret_fd = fd;
    return true;
}

/* Each connection is told its certificate by http_tls_begin; one that was not gets none. */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **ret_chain, unsigned int *ret_count, gnutls_privkey_t *ret_key)
{
    (void) session, (void) authorities, (void) authority_count, (void) algorithms, (void) algorithm_count;
    *ret_chain = NULL;
    *ret_count = 0;
    *ret_key = NULL;
    return -1;
}

/* With a thread of its own: no signal is ever delivered to that. */
static struct MHD_Daemon *start_daemon(HttpServer *server, int fd)
{
    const struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *) (uintptr_t) no_certificate},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (char *) (uintptr_t) TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL | MHD_USE_TURBO | (server->tls != NULL ? MHD_USE_TLS : 0);
    sigset_t all, before;

    if (server->options.loop != NULL)
        flags |= MHD_ALLOW_SUSPEND_RESUME | MHD_USE_SUPPRESS_DATE_NO_CLOCK;
    else
        flags |= MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC; /* to take its socket back, exchange_daemon */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(flags, 0, may_connect, server, on_access, server, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, 2 * server->options.connections + SPARE_CONNECTIONS,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_CONNECTION_TIMEOUT,
                         server->options.timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_ARRAY,
                         server->tls != NULL ? tls : none, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

static void free_server(HttpServer *server)
{
    for (HttpRequest *request = server->free; request != NULL;) {
        HttpRequest *next = request->next;
        buf_done(&request->body);
        free(request);
        request = next;
    }
    loop_timer_done(&server->timer);
    loop_timer_done(&server->held_timer);
    http_tls_free(server->tls);
    pthread_mutex_destroy(&server->tls_mutex);
    free(server);
}

static bool watch_daemon(HttpServer *server, Err *err)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_t *poll = calloc(1, sizeof *poll);

    if (info == NULL || poll == NULL || uv_poll_init(server->options.loop, poll, info->epoll_fd) != 0) {
        free(poll);
        return err_set(err, ERR_NET, "the listener's events cannot be watched");
    }
    poll->data = server;
    server->poll = poll;
    uv_poll_start(poll, UV_READABLE, on_readable);
    return true;
}

static bool join_loop(HttpServer *server, Err *err)
{
    loop_timer_init(&server->timer, server->options.loop, on_timer, server);
    loop_timer_init(&server->held_timer, server->options.loop, on_held_timer, server);
    return watch_daemon(server, err);
}

/* Those that wait are answered first. */
static void leave_loop(HttpServer *server)
{
    http_end_held(server, MHD_HTTP_SERVICE_UNAVAILABLE);
    MHD_run(server->daemon); /* lets the answers out */
    loop_close_free((uv_handle_t *) server->poll);
    server->poll = NULL;
}

static void fill_in(HttpServerOptions *options)
{
    options->address = NULL;
    options->connections = options->connections > 0 ? options->connections : 64;
    options->timeout_s = options->timeout_s > 0 ? options->timeout_s : 30;
    options->body_max = options->body_max > 0 ? options->body_max : (size_t) 64 * 1024;
    options->held_max = options->held_max > 0 ? options->held_max : 64;
    if (options->held_max > HTTP_SERVER_HELD_MAX)
        options->held_max = HTTP_SERVER_HELD_MAX;
    options->held_timeout_ms = options->held_timeout_ms > 0 ? options->held_timeout_ms : 5000;
    options->held_status = options->held_status > 0 ? options->held_status : MHD_HTTP_SERVICE_UNAVAILABLE;
}

HttpServer *http_server_start(const HttpServerOptions *options, Err *err)
{
    HttpServer *server = calloc(1, sizeof *server);
    int fd = -1;

    if (server == NULL) {
        err_set(err, ERR_MEMORY, "no memory for a listener");
        return NULL;
    }
    server->options = *options;
    fill_in(&server->options);
    pthread_mutex_init(&server->tls_mutex, NULL);
    if (!listen_on(options, &fd, &server->port, err)) {
        free_server(server);
        return NULL;
    }
    server->tls = options->tls;
    server->daemon = start_daemon(server, fd); /* owns the socket from here on */
    if (server->daemon == NULL) {
        err_set(err, ERR_NET, "libmicrohttpd cannot start%s on port %u on %s",
                options->tls != NULL ? " with TLS" : "", server->port, options->address);
        server->tls = NULL;
        free_server(server);
        return NULL;
    }
    if (server->options.loop != NULL && !join_loop(server, err)) {
        MHD_stop_daemon(server->daemon);
        server->tls = NULL;
        free_server(server);
        return NULL;
    }
    return server;
}

void http_server_stop(HttpServer *server)
{
    if (server == NULL)
        return;
    server->stopping = true;
    if (server->poll != NULL)
        leave_loop(server);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    free_server(server);
}

/* A daemon speaks TLS or does not, from its start on. Who connects meanwhile waits in the socket's queue. */
static bool exchange_daemon(HttpServer *server, Err *err)
{
    if (server->poll != NULL)
        leave_loop(server);
    int fd = server->daemon != NULL ? MHD_quiesce_daemon(server->daemon) : -1;

    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    server->yields = false; /* the next thread begins with the priority of this one */
    server->daemon = fd >= 0 ? start_daemon(server, fd) : NULL;
    if (server->daemon != NULL)
        return server->options.loop == NULL || watch_daemon(server, err);
    if (fd >= 0)
        close(fd);
    return err_set(err, ERR_NET, "libmicrohttpd cannot start again on port %u", server->port);
}

bool http_server_set_tls(HttpServer *server, HttpTls *tls, Err *err)
{
    bool changes = (server->tls == NULL) != (tls == NULL);

    pthread_mutex_lock(&server->tls_mutex);
    HttpTls *old = server->tls;
    server->tls = tls;
    pthread_mutex_unlock(&server->tls_mutex);
    bool ok = !changes || exchange_daemon(server, err);
    http_tls_free(old);
    return ok;
}

const HttpServerCounters *http_server_counters(const HttpServer *server)
{
    return &server->counters;
}

uint16_t http_server_port(const HttpServer *server)
{
    return server->port;
}
