/*
 * check_tls.c: whether the listener's certificate and key can be used: an agent that is started with others
 * does not start.
 */
#include "cli/check.h"

#include "net/http_tls.h"
#include "sys/clock.h"

#include <errno.h>
#include <unistd.h>

#define SOON_S ((int64_t) 14 * 86400)

bool check_tls_usable(const Config *config, int64_t *ret_expires_s, Err *err)
{
    HttpTlsFiles files = {.certificate = config->http.tls_certificate,
                          .key = config->http.tls_key,
                          .client_ca = config->http.tls_client_ca};

    *ret_expires_s = 0;
    if (files.certificate == NULL)
        return true;
    HttpTls *tls = http_tls_load(&files, err);
    if (tls == NULL)
        return false;
    *ret_expires_s = http_tls_expires(tls);
    http_tls_free(tls);
    return true;
}

bool check_tls_closed(const Config *config)
{
    const char *const files[] = {config->http.tls_certificate, config->http.tls_key,
                                 config->http.tls_client_ca};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] != NULL && access(files[i], R_OK) != 0 && errno == EACCES)
            return true;
    return false;
}

void check_tls(Check *check)
{
    const char *file = check->config->http.tls_certificate;
    int64_t expires_s, now_s = clock_now().wall_us / US_PER_SEC;
    Err err = {0};

    if (file == NULL)
        return;
    if (!check_tls_usable(check->config, &expires_s, &err))
        check_line(check, CHECK_FAIL, "TLS", "mend the file before pgvigil is started again", "%s", err.text);
    else if (expires_s <= now_s)
        check_line(check, CHECK_FAIL, "TLS", "renew it, then pgvigil reload",
                   "%s has expired: nobody trusts it, pgvigil's own commands neither", file);
    else if (expires_s - now_s < SOON_S)
        check_line(check, CHECK_WARN, "TLS", "renew it, then pgvigil reload", "%s expires in %lld days", file,
                   (long long) ((expires_s - now_s) / 86400));
    else
        check_line(check, CHECK_OK, "TLS", NULL, "%s and its key, for %lld days more", file,
                   (long long) ((expires_s - now_s) / 86400));
}
