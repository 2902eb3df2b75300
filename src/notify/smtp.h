/*
 * smtp.h: one mail by SMTP on the loop: STARTTLS, login, an HTML body, several receivers.
 *
 * The connection is always encrypted; the certificate is checked unless the settings say otherwise.
 */
#ifndef PGVIGIL_NOTIFY_SMTP_H
#define PGVIGIL_NOTIFY_SMTP_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

#define SMTP_RECEIVERS_MAX   32
#define SMTP_ADDRESS_LEN     256
#define SMTP_HOST_LEN        256
#define SMTP_SUBJECT_LEN     998
#define SMTP_BODY_MAX        (256 * 1024)
#define SMTP_PORT_TLS_ALWAYS 465 /* TLS from the first byte (RFC 8314); on other ports STARTTLS */

typedef struct SmtpServer {
    char host[SMTP_HOST_LEN]; /* a name or an address */
    uint16_t port;
    const char *address; /* numeric, of the host: nothing is looked up then. NULL: libcurl does, in a thread
                            that it may wait for, so not on a loop that must not stand still */
    const char *user;    /* NULL or "": no login */
    const char *password;
    const char *ca_file; /* NULL: the system's certificates */
    bool insecure;       /* the certificate is not checked */
} SmtpServer;

typedef struct SmtpMail {
    char sender[SMTP_ADDRESS_LEN];
    char receivers[SMTP_RECEIVERS_MAX][SMTP_ADDRESS_LEN];
    int receiver_count;
    const char *subject; /* UTF-8; control characters become blanks */
    const char *body;    /* HTML in UTF-8, or plain text; at most SMTP_BODY_MAX bytes */
    bool is_plain;
} SmtpMail;

typedef struct Smtp Smtp;

/* sent, or why not. Called once, from the loop. The Smtp frees itself afterwards. */
typedef void SmtpDoneFn(void *arg, bool sent, const Err *err);

/*
 * Begins to send; everything that is pointed to may go away afterwards. NULL with *err, and no callback, if
 * the settings are wrong: ERR_CONFIG. The whole must be over within timeout_ms. The password is in no error.
 */
Smtp *smtp_send(uv_loop_t *loop, const SmtpServer *server, const SmtpMail *mail, int64_t timeout_ms,
                SmtpDoneFn *on_done, void *arg, Err *err);

/* Gives up without the callback. Not from within it. NULL: nothing. */
void smtp_cancel(Smtp *smtp);

/*
 * An address that is safe in an envelope and a header: printable, one @, nothing of blanks and <>,:;"\()[].
 */
bool smtp_check_address(const char *address, Err *err);

/*
 * A header's value from UTF-8: itself if it is printable ASCII, else encoded words (RFC 2047); folded.
 * Control characters, and so every line break, become blanks. False if it does not fit.
 */
bool smtp_encode_header(const char *text, char *ret_text, size_t size);

#endif
