/*
 * http_tls.c: GnuTLS credentials that a listener can exchange while it runs.
 *
 * libmicrohttpd takes certificate and key once, at its start. So it is given none that anybody could use, and
 * every new connection's session is told here, before its handshake, which ones to go by.
 */
#include "net/http_tls.h"

#include "net/http_internal.h"
#include "sys/file.h"

#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#define FILE_MAX  ((size_t) 1024 * 1024)
#define CHAIN_MAX 16

struct HttpTls {
    atomic_int references;
    gnutls_certificate_credentials_t credentials;
    bool wants_client; /* a client without a certificate of client_ca's is turned away */
    int64_t expires;
};

static void forget(Buf *secret)
{
    if (secret->data != NULL)
        gnutls_memset(secret->data, 0, secret->len);
    buf_done(secret);
}

static gnutls_datum_t datum(const Buf *content)
{
    return (gnutls_datum_t){.data = (unsigned char *) content->data, .size = (unsigned) content->len};
}

static bool read_pem(const char *path, Buf *ret_content, Err *err)
{
    if (!file_read(path, FILE_MAX, ret_content, err)) {
        if (err != NULL)
            err->code = ERR_CONFIG;
        return false;
    }
    return ret_content->len > 0 || err_set(err, ERR_CONFIG, "%s is empty: PEM is needed", path);
}

/* The first one's date of expiry, so that it can be watched. */
static bool check_certificate(HttpTls *tls, const char *path, const Buf *pem, Err *err)
{
    gnutls_x509_crt_t chain[CHAIN_MAX];
    unsigned count = CHAIN_MAX;
    gnutls_datum_t data = datum(pem);
    int result = gnutls_x509_crt_list_import(chain, &count, &data, GNUTLS_X509_FMT_PEM,
                                             GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);

    if (result < 0)
        return err_set(err, ERR_CONFIG, "%s holds no certificate in PEM that can be read: %s", path,
                       gnutls_strerror(result));
    tls->expires = (int64_t) gnutls_x509_crt_get_expiration_time(chain[0]);
    for (int i = 0; i < result; i++)
        gnutls_x509_crt_deinit(chain[i]);
    return true;
}

static bool check_key(const char *path, const Buf *pem, Err *err)
{
    gnutls_x509_privkey_t key;
    gnutls_datum_t data = datum(pem);
    int result = gnutls_x509_privkey_init(&key);

    if (result >= 0) {
        result = gnutls_x509_privkey_import2(key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
        gnutls_x509_privkey_deinit(key);
    }
    if (result == GNUTLS_E_DECRYPTION_FAILED)
        return err_set(err, ERR_CONFIG, "%s has a password: write the key without one (openssl pkey -in %s)",
                       path, path);
    return result >= 0 || err_set(err, ERR_CONFIG, "%s holds no private key in PEM that can be read: %s",
                                  path, gnutls_strerror(result));
}

static bool load_pair(HttpTls *tls, const HttpTlsFiles *files, Err *err)
{
    Buf certificate = {0}, key = {0};
    bool ok = false;

    if (!read_pem(files->certificate, &certificate, err) || !read_pem(files->key, &key, err) ||
        !check_certificate(tls, files->certificate, &certificate, err) || !check_key(files->key, &key, err))
        goto out;
    gnutls_datum_t pem = datum(&certificate), secret = datum(&key);
    int result =
        gnutls_certificate_set_x509_key_mem2(tls->credentials, &pem, &secret, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        err_set(err, ERR_CONFIG, "%s is not the key of the certificate in %s (its first one counts)",
                files->key, files->certificate);
    else if (result < 0)
        err_set(err, ERR_CONFIG, "%s and %s cannot be used together: %s", files->certificate, files->key,
                gnutls_strerror(result));
    ok = result >= 0;
out:
    forget(&key);
    buf_done(&certificate);
    return ok;
}

static bool load_client_ca(HttpTls *tls, const char *path, Err *err)
{
    Buf content = {0};

    if (!read_pem(path, &content, err))
        return false;
    gnutls_datum_t pem = datum(&content);
    int result = gnutls_certificate_set_x509_trust_mem(tls->credentials, &pem, GNUTLS_X509_FMT_PEM);
    buf_done(&content);
    tls->wants_client = true;
    return result > 0 || err_set(err, ERR_CONFIG, "%s holds no certificate in PEM that can be read: %s", path,
                                 result < 0 ? gnutls_strerror(result) : "there is none");
}

HttpTls *http_tls_load(const HttpTlsFiles *files, Err *err)
{
    HttpTls *tls = calloc(1, sizeof *tls);

    if (tls == NULL || gnutls_certificate_allocate_credentials(&tls->credentials) < 0) {
        free(tls);
        err_set(err, ERR_MEMORY, "no memory for TLS");
        return NULL;
    }
    atomic_store(&tls->references, 1);
    if (!load_pair(tls, files, err) ||
        (files->client_ca != NULL && !load_client_ca(tls, files->client_ca, err))) {
        http_tls_free(tls);
        return NULL;
    }
    return tls;
}

HttpTls *http_tls_ref(HttpTls *tls)
{
    if (tls != NULL)
        atomic_fetch_add(&tls->references, 1);
    return tls;
}

void http_tls_free(HttpTls *tls)
{
    if (tls == NULL || atomic_fetch_sub(&tls->references, 1) != 1)
        return;
    gnutls_certificate_free_credentials(tls->credentials);
    free(tls);
}

int64_t http_tls_expires(const HttpTls *tls)
{
    return tls->expires;
}

bool http_tls_begin(const HttpTls *tls, struct MHD_Connection *connection)
{
    static gnutls_typed_vdata_st client = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                           .data = (unsigned char *) GNUTLS_KP_TLS_WWW_CLIENT};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_session_t session = info != NULL ? info->tls_session : NULL;

    if (session == NULL || gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0)
        return false;
    if (!tls->wants_client)
        return true;
    /* libmicrohttpd would ask for a certificate and not look at it: the handshake itself has to fail. */
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert2(session, &client, 1, 0);
    return true;
}
