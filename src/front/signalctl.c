/*
 * signalctl.c: pg_signalctl: one HTTP answer for load balancers: is this server a primary that is up?
 *
 * In its default mode the listener has a thread of its own that reads one number, so that no flood of
 * requests delays the look at the server, and a look that hangs turns the answer bad by its age.
 */
#include "front/signalctl.h"

#include "front/front.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define CONNECTIONS       256
#define IDLE_S            30
#define HELD_TIMEOUT_MS   10000
#define HTTP_NO_CONTENT   204
#define HTTP_NOT_MODIFIED 304
#define HTTP_BAD_METHOD   405

void signalctl_tell(Signalctl *signalctl, bool good, const char *reason)
{
    const char *health = good ? "good" : "bad";
    char text[1024];
    const char *quoted = log_quote(reason, text, sizeof text);

    log_line(LOG_LEVEL_DEBUG, "looked", "health=%s reason=%s", health, quoted);
    if (signalctl->told && signalctl->told_good == good && strcmp(signalctl->told_reason, reason) == 0)
        return;
    signalctl->told = true;
    signalctl->told_good = good;
    str_copy(signalctl->told_reason, sizeof signalctl->told_reason, reason);
    log_line(good ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "health", "health=%s reason=%s", health, quoted);
}

void signalctl_respond(const Signalctl *signalctl, HttpRequest *request, bool good)
{
    const SignalctlOptions *options = &signalctl->options;
    int status = good ? options->good_status : options->bad_status;
    const char *text = good ? options->good_text : options->bad_text;
    bool bare = status == HTTP_NO_CONTENT || status == HTTP_NOT_MODIFIED;

    http_respond(request, status, bare ? NULL : "text/html", bare ? NULL : text, bare ? 0 : strlen(text),
                 NULL);
}

static bool is_good(Signalctl *signalctl)
{
    int64_t good_us = atomic_load(&signalctl->good_boot_us);

    return good_us != 0 && clock_now().boot_us - good_us <= signalctl->options.max_age_ms * US_PER_MS;
}

typedef struct Front {
    Signalctl signalctl;
    SignalctlWatch *watch; /* one of the two */
    SignalctlEach *each;
    uv_signal_t on_term, on_int;
} Front;

static void on_request(void *arg, HttpRequest *request)
{
    static const HttpHeader allow[] = {{"Allow", "GET, HEAD, OPTIONS"}, {NULL, NULL}};
    static const char text[] = "only GET, HEAD and OPTIONS\n";
    Front *front = arg;
    const char *method = http_request_method(request);

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0)
        http_respond(request, HTTP_BAD_METHOD, "text/plain", text, sizeof text - 1, allow);
    else if (front->each != NULL)
        signalctl_each_take(front->each, request);
    else
        signalctl_respond(&front->signalctl, request, is_good(&front->signalctl));
}

static void on_signal(uv_signal_t *handle, int number)
{
    log_line(LOG_LEVEL_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
    uv_stop(handle->loop);
}

/* From now on all lines go there, debug lines too. */
static bool open_log(const char *path, Err *err)
{
    if (path == NULL)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "--log: cannot write to %.300s", path);
    bool done = dup2(fd, STDERR_FILENO) >= 0;
    close(fd);
    log_open(LOG_LEVEL_DEBUG, LOG_FORMAT_PLAIN);
    return done || err_set_errno(err, ERR_CONFIG, errno, "--log: cannot write to %.300s", path);
}

static bool start_server(Front *front, Err *err)
{
    const SignalctlOptions *options = &front->signalctl.options;
    bool by_request = options->each || options->agent_host[0] != '\0';
    HttpServerOptions server = {.address = options->address,
                                .port = options->port,
                                .loop = by_request ? &front->signalctl.loop : NULL,
                                .connections = CONNECTIONS,
                                .timeout_s = IDLE_S,
                                .body_max = 4096,
                                .held_max = HTTP_SERVER_HELD_MAX,
                                .held_timeout_ms = HELD_TIMEOUT_MS,
                                .held_status = options->bad_status,
                                .handler = on_request,
                                .arg = front};

    if (by_request) {
        front->each = signalctl_each_new(&front->signalctl, err);
        if (front->each == NULL)
            return false;
    }
    front->signalctl.server = http_server_start(&server, err);
    if (front->signalctl.server == NULL)
        return false;
    if (!by_request)
        front->watch = signalctl_watch_new(&front->signalctl);
    return true;
}

static bool start(Front *front, Err *err)
{
    const SignalctlOptions *options = &front->signalctl.options;

    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(&front->signalctl.loop, &front->on_term);
    uv_signal_init(&front->signalctl.loop, &front->on_int);
    uv_signal_start(&front->on_term, on_signal, SIGTERM);
    uv_signal_start(&front->on_int, on_signal, SIGINT);
    if (!start_server(front, err) || !open_log(options->log, err))
        return false;
    if (options->agent_host[0] != '\0')
        log_line(LOG_LEVEL_INFO, "started", "listen=%s:%u agent=%s:%u", options->address, options->port,
                 options->agent_host, options->agent_port);
    else
        log_line(LOG_LEVEL_INFO, "started", "listen=%s:%u server=%s:%u user=%s%s%s", options->address,
                 options->port, options->target.host, options->target.port, options->target.user,
                 options->each ? " check=each" : "", options->majority ? " usemajority" : "");
#ifdef HAVE_SYSTEMD
    sd_notify(0, "READY=1");
#endif
    return true;
}

static void stop(Front *front)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    http_server_stop(front->signalctl.server);
    front->signalctl.server = NULL;
    signalctl_watch_free(front->watch);
    signalctl_each_free(front->each);
    uv_close((uv_handle_t *) &front->on_term, NULL);
    uv_close((uv_handle_t *) &front->on_int, NULL);
    loop_end(&front->signalctl.loop);
    signalctl_options_done(&front->signalctl.options);
}

static int fail(const Err *err)
{
    int code = front_refuse("pg_signalctl", err);

    return err->code == ERR_CONFIG ? code : EXIT_FAILURE;
}

int signalctl_run(int argc, char **argv)
{
    static Front front;
    bool help = false;
    Err err = {0};

    if (!signalctl_options_parse(argc, argv, &front.signalctl.options, &help, &err)) {
        signalctl_options_done(&front.signalctl.options);
        return fail(&err);
    }
    if (help)
        return front_show("pg_signalctl");
    if (uv_loop_init(&front.signalctl.loop) != 0)
        abort();
    bool started = start(&front, &err);
    int code = started ? EXIT_SUCCESS : fail(&err);
    if (started)
        uv_run(&front.signalctl.loop, UV_RUN_DEFAULT);
    stop(&front);
    return code;
}
