/*
 * web.c: the public listener's start, and its certificates.
 *
 * Certificates are loaded again with every reload, whether or not their names changed: those who renew them
 * write the new ones over the old ones.
 */
#include "agent/internal.h"

#include "sys/clock.h"
#include "sys/log.h"

static HttpTls *load(const Config *config, Err *err)
{
    HttpTlsFiles files = {.certificate = config->http.tls_certificate,
                          .key = config->http.tls_key,
                          .client_ca = config->http.tls_client_ca};
    HttpTls *tls = http_tls_load(&files, err);

    if (tls == NULL)
        err_context(err, "[http] TLS");
    return tls;
}

static void note_expiry(Agent *agent, const HttpTls *tls)
{
    agent->certificate_expires = http_tls_expires(tls);
    if (agent->certificate_expires <= clock_now().wall_us / US_PER_SEC)
        log_line(LOG_LEVEL_WARN, "certificate_expired", "file=%s renew it, then pgvigil reload",
                 agent->config->http.tls_certificate);
}

bool web_start(Agent *agent, Err *err)
{
    const Config *config = agent->config;
    HttpServerOptions options = {
        .address = config->node.http_listen,
        .port = (uint16_t) config_self(config)->http_port,
        .connections = config->http.connections,
        .handler = public_on_request,
        .arg = &agent->publisher,
    };

    if (config->http.tls_certificate != NULL && (options.tls = load(config, err)) == NULL)
        return false;
    if (options.tls != NULL)
        note_expiry(agent, options.tls);
    agent->http = http_server_start(&options, err);
    if (agent->http == NULL)
        http_tls_free(options.tls);
    return agent->http != NULL;
}

bool web_load_certificates(const Config *fresh, HttpTls **ret_tls, Err *err)
{
    *ret_tls = NULL;
    if (fresh->http.tls_certificate == NULL)
        return true;
    *ret_tls = load(fresh, err);
    return *ret_tls != NULL;
}

void web_take_certificates(Agent *agent, HttpTls *tls)
{
    Err err = {0};

    agent->certificate_expires = 0;
    if (tls != NULL)
        note_expiry(agent, tls);
    if (!http_server_set_tls(agent->http, tls, &err))
        log_line(LOG_LEVEL_ERROR, "listener_lost",
                 "reason=\"%s\" cure=\"restart pgvigil; PostgreSQL goes on\"", err.text);
}
