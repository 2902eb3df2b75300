/*
 * http_tls.h: certificate, key and the clients' authority of a listener, loaded and checked before they are
 * used.
 *
 * Credentials are counted: those that were replaced live on until the last connection that goes by them has
 * ended.
 */
#ifndef PGVIGIL_NET_HTTP_TLS_H
#define PGVIGIL_NET_HTTP_TLS_H

#include "base/err.h"

#include <stdint.h>

typedef struct HttpTls HttpTls;

/* Paths of PEM files. */
typedef struct HttpTlsFiles {
    const char *certificate; /* the server's, then those that lead to its authority */
    const char *key;         /* without a password */
    const char *client_ca;   /* NULL: clients need no certificate; else one that leads to one of these */
} HttpTlsFiles;

/*
 * Reads and checks the files; blocks as long as the disk does. NULL with ERR_CONFIG: unreadable, no PEM, a
 * key that is not the certificate's; the text names the file. An expired certificate is loaded, see
 * http_tls_expires.
 */
HttpTls *http_tls_load(const HttpTlsFiles *files, Err *err);

/* Gives one reference back. NULL: nothing. */
void http_tls_free(HttpTls *tls);

/* When the server's certificate expires, in seconds since 1970. */
int64_t http_tls_expires(const HttpTls *tls);

#endif
