/*
 * lookout.c: pglookout: start, HTTP, signals, a new configuration.
 *
 * A configuration that is wrong at the start ends the program; one that is wrong at SIGHUP changes nothing.
 */
#include "front/lookout.h"

#include "front/front.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/json.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define CONNECTIONS 128
#define ANSWER_MAX  ((size_t) 8 << 20) /* of an observer of many clusters */
#define DRAIN_US    (5 * US_PER_SEC)

void lookout_log(Lookout *lookout, LogLevel level, const char *event, const char *format, ...)
{
    static const SyslogSeverity severities[] = {SYSLOG_DEBUG, SYSLOG_INFO, SYSLOG_WARNING, SYSLOG_ERROR};
    char text[LOG_LINE_LEN - 100], line[SYSLOG_TEXT_MAX];
    Err err = {0};
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_line(level, event, "%s", text);
    if (lookout->syslog == NULL || level < lookout->config->log_level)
        return;
    snprintf(line, sizeof line, "%s %.1900s", event, text);
    syslog_send(lookout->syslog, severities[level], event, NULL, 0, line,
                &err); /* a lost line is not worth another */
}

/* ---- HTTP ---- */

static void answer_state(Lookout *lookout, HttpRequest *request)
{
    Buf body = {0};

    json_add_open(&body, NULL, '{');
    for (int i = 0; i < lookout->node_count; i++)
        lookout_state_add(&body, lookout->node[i]->name, &lookout->node[i]->seen);
    json_add_close(&body, '}');
    front_answer_json(request, &body);
}

/* How the lease behind this front end is, for the other voters and for people. */
static void answer_lease(Lookout *lookout, HttpRequest *request)
{
    Buf body = {0};

    lookout_lease_add(lookout->lease, &body, NULL);
    front_answer_json(request, &body);
}

static void answer_check(Lookout *lookout, HttpRequest *request)
{
    int64_t now_us = clock_now().boot_us;

    if (now_us - lookout->asked_us >= LOOKOUT_CHECK_LEAST_US) {
        lookout->asked_us = now_us;
        lookout_check_begin_look(lookout, false);
    }
    http_respond(request, 204, NULL, NULL, 0, NULL);
}

static void on_request(void *arg, HttpRequest *request)
{
    static const char text[] = "pglookout answers GET /state.json, GET /pgvigil.json and POST /check\n";
    const char *method = http_request_method(request), *path = http_request_path(request);
    bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (is_get && strcmp(path, "/state.json") == 0)
        answer_state(arg, request);
    else if (is_get && strcmp(path, "/pgvigil.json") == 0)
        answer_lease(arg, request);
    else if (strcmp(method, "POST") == 0 && strcmp(path, "/check") == 0)
        answer_check(arg, request);
    else
        http_respond(request, 404, "text/plain", text, sizeof text - 1, NULL);
}

static HttpServer *listen_at(Lookout *lookout, const LookoutConfig *config, const char *address, Err *err)
{
    HttpServerOptions options = {.address = address,
                                 .port = (uint16_t) config->http_port,
                                 .loop = &lookout->loop,
                                 .connections = CONNECTIONS,
                                 .body_max = 4096,
                                 .handler = on_request,
                                 .arg = lookout};

    return http_server_start(&options, err);
}

/* "": all interfaces, also on a machine without IPv6. */
static HttpServer *start_http(Lookout *lookout, const LookoutConfig *config, Err *err)
{
    if (config->http_address[0] != '\0')
        return listen_at(lookout, config, config->http_address, err);
    HttpServer *http = listen_at(lookout, config, "::", err);
    if (http == NULL && !file_exists("/proc/net/if_inet6")) {
        *err = (Err){0};
        http = listen_at(lookout, config, "0.0.0.0", err);
    }
    return http;
}

/* ---- configuration ---- */

static void on_alert_error(void *arg, const char *name, const Err *err)
{
    char text[600];

    lookout_log(arg, LOG_LEVEL_ERROR, "alert_file_failed", "name=%s reason=%s", name,
                log_quote(err->text, text, sizeof text));
}

/* What can fail before anything of the old configuration is given up. */
typedef struct Parts {
    HttpServer *http;
    AlertFiles *alerts;
    Statsd *statsd;
    Syslog *syslog;
} Parts;

static void parts_free(Parts *parts)
{
    http_server_stop(parts->http);
    alert_file_free(parts->alerts);
    statsd_free(parts->statsd);
    syslog_free(parts->syslog);
}

static bool make_parts(Lookout *lookout, const LookoutConfig *config, Parts *parts, Err *err)
{
    const LookoutConfig *old = lookout->config;
    StatsdTag tags[LOOKOUT_CONFIG_TAGS];

    for (int i = 0; i < config->statsd_tags; i++)
        tags[i] = (StatsdTag){config->statsd_tag[i].name, config->statsd_tag[i].value};
    if (config->syslog) {
        SyslogSpec spec = {config->syslog_address, config->syslog_facility, "pglookout", SYSLOG_AUTO};
        parts->syslog = syslog_new(&lookout->loop, &spec, err);
        if (parts->syslog == NULL)
            return err_context(err, "syslog");
    }
    if (config->statsd_host != NULL) {
        parts->statsd = statsd_new(&lookout->loop, config->statsd_host, config->statsd_port, tags,
                                   config->statsd_tags, err);
        if (parts->statsd == NULL)
            return err_context(err, "statsd");
    }
    if (old == NULL || strcmp(old->alert_file_dir, config->alert_file_dir) != 0) {
        parts->alerts = alert_file_new(&lookout->loop, config->alert_file_dir, on_alert_error, lookout, err);
        if (parts->alerts == NULL)
            return err_context(err, "alert_file_dir");
    }
    if (old == NULL || old->http_port != config->http_port ||
        strcmp(old->http_address, config->http_address) != 0) {
        parts->http = start_http(lookout, config, err);
        if (parts->http == NULL)
            return err_context(err, "http_address, http_port");
    }
    return true;
}

static void say(Lookout *lookout, const char *warnings)
{
    char text[600];

    for (const char *at = warnings; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "\n");
        char line[300];
        snprintf(line, sizeof line, "%.*s", (int) len, at);
        lookout_log(lookout, LOG_LEVEL_WARN, "configuration", "problem=%s",
                    log_quote(line, text, sizeof text));
        at += len + (at[len] != '\0');
    }
}

/* All of it, or nothing; but a server that the monitor refuses to add is found out after the change. */
static bool configure(Lookout *lookout, Err *err)
{
    Buf warnings = {0};
    Parts parts = {0};
    LookoutConfig *config = lookout_config_load(lookout->config_path, &warnings, err);

    if (config == NULL || !make_parts(lookout, config, &parts, err)) {
        parts_free(&parts);
        lookout_config_free(config);
        buf_done(&warnings);
        return false;
    }
    syslog_free(lookout->syslog);
    statsd_free(lookout->statsd);
    lookout->syslog = parts.syslog;
    lookout->statsd = parts.statsd;
    if (parts.alerts != NULL) {
        alert_file_free(lookout->alerts);
        lookout->alerts = parts.alerts;
    }
    if (parts.http != NULL) {
        http_server_stop(lookout->http);
        lookout->http = parts.http;
    }
    lookout_config_free(lookout->config);
    lookout->config = config;
    log_open(config->log_level, LOG_FORMAT_PLAIN);
    lookout_config_warn(config, &warnings);
    say(lookout, warnings.data);
    buf_done(&warnings);
    loop_timer_start(&lookout->check_timer, config->check_us, config->check_us);
    lookout_follow_due(lookout->follow);
    lookout->told_rule[0] = '\0';
    /* What was asked of the old servers confirms nothing about the new ones. */
    lookout->looking = lookout->confirming = false;
    loop_timer_stop(&lookout->look_timer);
    return lookout_lease_configure(lookout->lease, err) && lookout_poll_configure(lookout, err);
}

static void on_signal(uv_signal_t *handle, int number)
{
    Lookout *lookout = handle->data;
    const LookoutConfig *before = lookout->config; /* compared only: it may be gone */
    Err err = {0};
    char text[600];

    if (number != SIGHUP) {
        lookout_log(lookout, LOG_LEVEL_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
        uv_stop(handle->loop);
        return;
    }
    if (configure(lookout, &err))
        lookout_log(lookout, LOG_LEVEL_INFO, "reloaded", "servers=%d observers=%d", lookout->node_count,
                    lookout->watch_count);
    else
        lookout_log(lookout, LOG_LEVEL_ERROR, "reload_failed", "kept=\"%s\" reason=%s",
                    before != lookout->config ? "the new one, as far as it could be"
                                              : "the old configuration",
                    log_quote(err.text, text, sizeof text));
}

/* ---- start and end ---- */

static bool start(Lookout *lookout, Err *err)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    LoopTimerFn *late = lookout_check_on_late;

    signal(SIGPIPE, SIG_IGN);
    lookout->started_us = clock_now().boot_us;
    loop_timer_init(&lookout->check_timer, &lookout->loop, lookout_check_on_time, lookout);
    loop_timer_init(&lookout->watch_timer, &lookout->loop, lookout_poll_watches, lookout);
    loop_timer_init(&lookout->look_timer, &lookout->loop, late, lookout);
    loop_timer_init(&lookout->state_timer, &lookout->loop, lookout_act_write_state, lookout);
    loop_timer_init(&lookout->sleep_timer, &lookout->loop, lookout_act_on_slept, lookout);
    lookout->follow = lookout_follow_new(lookout);
    lookout->lease = lookout_lease_new(lookout);
    lookout->monitor = monitor_new(&lookout->loop, &(MonitorOptions){0}, lookout_poll_on_sample, lookout);
    lookout->client = http_client_new(&lookout->loop, 2 * LOOKOUT_CONFIG_OBSERVERS, ANSWER_MAX, err);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&lookout->loop, &lookout->signals[i]);
        lookout->signals[i].data = lookout;
        uv_signal_start(&lookout->signals[i], on_signal, numbers[i]);
    }
    if (lookout->client == NULL || !configure(lookout, err))
        return false;
    loop_timer_start(&lookout->state_timer, LOOKOUT_STATE_US, LOOKOUT_STATE_US);
    lookout_check_begin_look(lookout, false); /* the first check comes with the first answers */
    lookout_log(lookout, LOG_LEVEL_INFO, "started", "listen=%s:%lld own_db=%s servers=%d observers=%d",
                lookout->config->http_address[0] != '\0' ? lookout->config->http_address : "*",
                (long long) lookout->config->http_port,
                lookout->config->own_db[0] != '\0' ? lookout->config->own_db : "-", lookout->node_count,
                lookout->watch_count);
#ifdef HAVE_SYSTEMD
    sd_notify(0, "READY=1");
#endif
    return true;
}

/* failover_command lives on when we end: a promotion must not stop half-way. */
static void stop(Lookout *lookout)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    lookout->busy = true; /* nothing is decided any more */
    lookout_lease_stop(lookout->lease);
    http_server_stop(lookout->http);
    lookout_poll_done(lookout);
    lookout_lease_free(lookout->lease);
    alert_file_free(lookout->alerts);
    statsd_free(lookout->statsd);
    syslog_free(lookout->syslog);
    lookout->syslog = NULL;
}

const ArgsOption lookout_options[] = {{"version", NULL, false, "print the version of pgvigil, and end"},
                                      {NULL}};

int lookout_run(int argc, char **argv)
{
    static Lookout lookout;
    Args args;
    bool help = false;
    Err err = {0};

    if (!args_parse(lookout_options, argc, argv, true, &args, &help, &err))
        return front_refuse("pglookout", &err);
    if (help)
        return front_show("pglookout");
    if (args_value(&args, "version") != NULL) {
        puts("pglookout of pgvigil " PGVIGIL_VERSION);
        return EXIT_SUCCESS;
    }
    if (args.rest == NULL) {
        err_set(&err, ERR_CONFIG, "it wants the path of its configuration: pglookout CONFIG.json");
        return front_refuse("pglookout", &err);
    }
    if (uv_loop_init(&lookout.loop) != 0)
        abort();
    lookout.config_path = args.rest;
    bool started = start(&lookout, &err);
    int code = started ? EXIT_SUCCESS : front_refuse("pglookout", &err);
    if (started) {
        uv_run(&lookout.loop, UV_RUN_DEFAULT);
        stop(&lookout);
    }
    return code; /* the loop's memory goes with us */
}
