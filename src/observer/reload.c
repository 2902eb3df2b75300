/*
 * reload.c: the listener, its certificates, and the observer's own file read again while it runs.
 *
 * By SIGHUP, or by POST /v1/reload from this machine itself (pgvigil reload), which is told what came of it.
 * Certificates are loaded again each time, whether or not their names changed: those who renew them write the
 * new ones over the old ones.
 */
#include "observer/internal.h"

#include "net/http_tls.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/json.h"

static bool load_tls(const Config *config, HttpTls **ret_tls, Err *err)
{
    HttpTlsFiles files = {.certificate = config->http.tls_certificate,
                          .key = config->http.tls_key,
                          .client_ca = config->http.tls_client_ca};

    *ret_tls = NULL;
    if (files.certificate == NULL)
        return true;
    *ret_tls = http_tls_load(&files, err);
    return *ret_tls != NULL || err_context(err, "[http] TLS");
}

static void note_expiry(const Config *config, const HttpTls *tls)
{
    if (tls != NULL && http_tls_expires(tls) <= clock_now().wall_us / US_PER_SEC)
        log_line(LOG_LEVEL_WARN, "certificate_expired", "file=%s renew it, then pgvigil reload",
                 config->http.tls_certificate);
}

void reload_note_unused(const Config *config)
{
    for (int i = 0; i < config->notify_count; i++)
        log_line(LOG_LEVEL_WARN, "notify_unused",
                 "section=%s it does nothing here: an observer notifies nobody, the members do",
                 config->notify[i].named.name);
}

bool reload_listen(Observer *observer, Err *err)
{
    const Config *config = observer->config;
    HttpServerOptions options = {.address = config->observer.listen,
                                 .port = (uint16_t) config->observer.port,
                                 .loop = &observer->loop,
                                 .connections = config->http.connections,
                                 .held_max = HTTP_SERVER_HELD_MAX,
                                 .handler = answer_on_request,
                                 .arg = observer};

    if (!load_tls(config, &options.tls, err))
        return false;
    note_expiry(config, options.tls);
    observer->http = http_server_start(&options, err);
    if (observer->http == NULL)
        http_tls_free(options.tls);
    return observer->http != NULL;
}

static void take(Observer *observer, Config *fresh)
{
    const Config *old = observer->config;
    bool opinions = old->observer.opinions != fresh->observer.opinions;
    bool polls = old->observer.interval_ms != fresh->observer.interval_ms ||
                 old->observer.timeout_ms != fresh->observer.timeout_ms ||
                 old->observer.heartbeat != fresh->observer.heartbeat;

    observer->config = fresh;
    log_open(fresh->log.level, fresh->log.format);
    for (int i = 0; i < observer->cluster_count; i++) {
        if (observer->cluster[i]->config == NULL)
            continue;
        if (polls)
            watched_set(observer->cluster[i]);
        if (opinions) {
            agents_close(observer->cluster[i]);
            agents_open(observer->cluster[i]);
        }
    }
    config_free(observer->owned);
    observer->owned = fresh;
}

static void add_result(Buf *out, const char *applied, const char *refused)
{
    json_add_open(out, NULL, '{');
    json_add_text(out, "applied", applied);
    json_add_text(out, "needs_restart", refused);
    json_add_close(out, '}');
}

/* ret_tls: what the listener goes by from now on, for take_tls. */
static bool reload(Observer *observer, Buf *ret_result, HttpTls **ret_tls, Err *err)
{
    Buf applied = {0}, refused = {0}, kept = {0};
    ConfigDiff diff = {.applied = &applied, .refused = &refused, .kept = &kept};
    Config *fresh = config_reload(observer->config, &diff, err);
    bool ok = fresh != NULL && load_tls(fresh, ret_tls, err);

    if (ok) {
        const char *changed = applied.len > 0 ? applied.data : "",
                   *fixed = refused.len > 0 ? refused.data : "";
        log_line(LOG_LEVEL_INFO, "reloaded", "applied=\"%s\" needs_restart=\"%s\"", changed, fixed);
        if (refused.len > 0)
            log_line(LOG_LEVEL_WARN, "needs_restart",
                     "options=\"%s\" they keep their old values until pgvigil is restarted", fixed);
        add_result(ret_result, changed, fixed);
        note_expiry(fresh, *ret_tls);
        reload_note_unused(fresh);
        take(observer, fresh);
        folder_look(observer, true);
    } else {
        log_line(LOG_LEVEL_ERROR, "reload_failed", "the old configuration stays in force reason=\"%s\"",
                 err->text);
        config_free(fresh);
    }
    buf_done(&applied);
    buf_done(&refused);
    buf_done(&kept);
    return ok;
}

static void take_tls(Observer *observer, HttpTls *tls)
{
    Err err = {0};

    if (http_server_set_tls(observer->http, tls, &err))
        return;
    log_line(LOG_LEVEL_ERROR, "listener_lost", "reason=\"%s\" the observer ends, so that it is started again",
             err.text);
    observer->exit_code = 1;
    uv_stop(&observer->loop);
}

void reload_now(Observer *observer)
{
    Err err = {0};
    Buf result = {0};
    HttpTls *tls = NULL;

    if (reload(observer, &result, &tls, &err))
        take_tls(observer, tls);
    else
        folder_look(observer, true); /* its files may be right */
    buf_done(&result);
}

/* Behind the handler's return, because the listener may be exchanged. */
void reload_on_time(void *arg)
{
    Observer *observer = arg;
    HttpRequest *request = http_request_held(observer->http, observer->reload_token);
    Err err = {0};
    Buf result = {0};
    HttpTls *tls = NULL;
    bool ok = reload(observer, &result, &tls, &err);

    observer->reload_token = 0;
    if (request != NULL && ok)
        answer_respond(request, 200, ANSWER_JSON, &result);
    else if (request != NULL)
        answer_text(request, 422, err.text);
    if (ok)
        take_tls(observer, tls);
    else
        folder_look(observer, true);
    buf_done(&result);
}

void reload_on_request(Observer *observer, HttpRequest *request)
{
    if (!http_request_is_local(request)) {
        answer_text(request, 403, "a reload is asked for on the observer's own machine: pgvigil reload\n");
        return;
    }
    uint32_t token = observer->reload_token == 0 ? http_request_hold(request) : 0;
    if (token == 0) {
        answer_text(request, 503, "a reload is under way: ask again\n");
        return;
    }
    observer->reload_token = token;
    loop_timer_start(&observer->reload_timer, 0, 0);
}
