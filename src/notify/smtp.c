/*
 * smtp.c: a mail as a transfer of libcurl, which makes the MIME body too.
 */
#include "notify/smtp.h"

#include "base/str.h"
#include "net/curl_loop.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define WORD_BYTES   42  /* of text in an encoded word: 56 characters of base64, within RFC 2047's 75 */
#define LINE_MAX_LEN 76  /* of a header that is plain, where a blank allows it */
#define WORD_MAX_LEN 900 /* without a blank; RFC 5321: lines have at most 998 */
#define BODY_LINE    990
#define CONNECT_PART 2 /* the connection may take this part of the whole time */

struct Smtp {
    CurlTransfer curl; /* first */
    CurlLoop *loop;
    LoopTimer free_timer; /* libcurl's loop must not be freed from within its own callback */
    struct curl_slist *receivers, *headers, *resolved;
    curl_mime *mime;
    char where[SMTP_HOST_LEN + 8];
    char reason[CURL_ERROR_SIZE];
    SmtpDoneFn *on_done;
    void *arg;
};

bool smtp_check_address(const char *address, Err *err)
{
    const char *at = strchr(address, '@');
    bool good = at != NULL && at != address && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
                strlen(address) < SMTP_ADDRESS_LEN && address[0] != '-';

    for (const char *c = address; good && *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr("<>,:;\"\\()[]", *c) != NULL)
            good = false;
    if (!good)
        return err_set(err, ERR_CONFIG, "\"%.100s\" is no mail address; write it as name@example.com",
                       address);
    return true;
}

static bool is_plain(const char *text)
{
    size_t word = 0;

    for (const char *c = text; *c != '\0'; c++) {
        word = *c == ' ' ? 0 : word + 1;
        if (*c < ' ' || *c > '~' || word > WORD_MAX_LEN)
            return false;
    }
    return strstr(text, "=?") == NULL;
}

/* As it is, so that filters and people find what is in it; long ones go on in the next line at a blank. */
static bool fold(const char *text, char *ret_text, size_t size)
{
    Buf out = {0};
    size_t in_line = sizeof "Subject:";

    while (*text != '\0') {
        size_t blanks = strspn(text, " "), len = blanks + strcspn(text + blanks, " ");
        if (in_line + len > LINE_MAX_LEN && blanks > 0 && blanks < len && out.len > 0) {
            buf_puts(&out, "\r\n");
            in_line = 0;
        }
        buf_add(&out, text, len);
        in_line += len;
        text += len;
    }
    bool fits = !out.failed && str_copy(ret_text, size, out.data != NULL ? out.data : "");
    buf_done(&out);
    return fits;
}

bool smtp_encode_header(const char *text, char *ret_text, size_t size)
{
    size_t len = strlen(text), at = 0;
    Buf out = {0};

    if (is_plain(text))
        return fold(text, ret_text, size);
    while (at < len) {
        char word[WORD_BYTES];
        size_t n = len - at < WORD_BYTES ? len - at : WORD_BYTES;
        while (at + n < len && n > 1 && ((unsigned char) text[at + n] & 0xC0u) == 0x80u)
            n--; /* a character is in one word */
        for (size_t i = 0; i < n; i++)
            word[i] = (unsigned char) text[at + i] < ' ' || text[at + i] == 0x7F ? ' ' : text[at + i];
        gnutls_datum_t in = {.data = (unsigned char *) word, .size = (unsigned) n}, base64;
        if (gnutls_base64_encode2(&in, &base64) != 0) {
            out.failed = true;
            break;
        }
        buf_printf(&out, "%s=?UTF-8?B?%.*s?=", at > 0 ? "\r\n " : "", (int) base64.size,
                   (char *) base64.data);
        gnutls_free(base64.data);
        at += n;
    }
    bool fits = !out.failed && out.data != NULL && str_copy(ret_text, size, out.data);
    buf_done(&out);
    return fits;
}

static void free_all(Smtp *smtp, int hang_up)
{
    if (smtp->curl.easy != NULL) {
        curl_loop_hang_up(smtp->loop, hang_up);
        curl_loop_remove(smtp->loop, &smtp->curl);
        curl_easy_cleanup(smtp->curl.easy);
    }
    curl_mime_free(smtp->mime);
    curl_slist_free_all(smtp->receivers);
    curl_slist_free_all(smtp->headers);
    curl_slist_free_all(smtp->resolved);
    curl_loop_free(smtp->loop);
    loop_timer_done(&smtp->free_timer);
    free(smtp);
}

static void on_free(void *arg)
{
    free_all(arg, SHUT_RD);
}

void smtp_cancel(Smtp *smtp)
{
    if (smtp != NULL)
        free_all(smtp, SHUT_RDWR);
}

/* What of libcurl's code helps the one who reads it at night. */
static void explain(Smtp *smtp, CURLcode code, Err *err)
{
    const char *reason = smtp->reason[0] != '\0' ? smtp->reason : curl_easy_strerror(code);

    if (code == CURLE_LOGIN_DENIED)
        err_set(
            err, ERR_REFUSED,
            "the mail server %s refused the login (%s); check user and password in [notify] (of sendmail: --user and "
            "--password)",
            smtp->where, reason);
    else if (code == CURLE_USE_SSL_FAILED)
        err_set(
            err, ERR_PROTOCOL,
            "the mail server %s offers no STARTTLS, and nothing is sent without (%s); turn it on there, or "
            "take its port with TLS from the first byte: in [notify] server = HOST:465 (of sendmail: --port 465)",
            smtp->where, reason);
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        err_set(
            err, ERR_PROTOCOL,
            "the certificate of the mail server %s is not trusted (%s); name its "
            "authority by ca_file in [notify], or do not check it: insecure = yes (of sendmail: --ca-file, --insecure)",
            smtp->where, reason);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        err_set(
            err, ERR_TIMEOUT,
            "the mail server %s did not take the mail in time (%s); check server in [notify] (of sendmail: "
            "--server and --port), and firewalls in between",
            smtp->where, reason);
    else
        err_set(err, ERR_NET, "the mail server %s did not take the mail: %s", smtp->where, reason);
}

static void on_transfer(CurlTransfer *transfer, CURLcode code)
{
    Smtp *smtp = (Smtp *) transfer;
    Err err = {0};

    if (code != CURLE_OK)
        explain(smtp, code, &err);
    loop_timer_start(&smtp->free_timer, 0, 0);
    smtp->on_done(smtp->arg, code == CURLE_OK, &err);
}

static void add_header(Smtp *smtp, const char *name, const char *value)
{
    Buf line = {0};

    buf_printf(&line, "%s: %s", name, value);
    struct curl_slist *more = line.data != NULL ? curl_slist_append(smtp->headers, line.data) : NULL;
    if (more != NULL)
        smtp->headers = more;
    buf_done(&line);
}

/* RFC 5322's form; independent of the locale. */
static void add_date(Smtp *smtp)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t) (clock_now().wall_us / 1000000);
    struct tm tm;
    char text[80];

    gmtime_r(&now, &tm);
    snprintf(text, sizeof text, "%s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    add_header(smtp, "Date", text);
}

static bool add_receivers(Smtp *smtp, const SmtpMail *mail, Err *err)
{
    Buf to = {0};

    for (int i = 0; i < mail->receiver_count; i++) {
        char envelope[SMTP_ADDRESS_LEN + 2];
        if (!smtp_check_address(mail->receivers[i], err)) {
            buf_done(&to);
            return err_context(err, "receivers in [notify] (of sendmail: --receivers)");
        }
        snprintf(envelope, sizeof envelope, "<%s>", mail->receivers[i]);
        struct curl_slist *more = curl_slist_append(smtp->receivers, envelope);
        if (more != NULL)
            smtp->receivers = more;
        buf_printf(&to, "%s%s", i > 0 ? ",\r\n " : "", mail->receivers[i]);
    }
    if (to.data == NULL)
        return err_set(
            err, ERR_CONFIG,
            "no receivers; receivers in [notify] (of sendmail: --receivers) takes one or more mail addresses");
    add_header(smtp, "To", to.data);
    buf_done(&to);
    return true;
}

/* Plain ASCII in lines that a mail may have goes as it is, with a mail's line ends; all else as base64. */
static bool add_body(Smtp *smtp, const SmtpMail *mail)
{
    const char *body = mail->body;
    Buf out = {0};
    bool is_ascii = true;

    while (*body != '\0' && is_ascii) {
        size_t len = strcspn(body, "\n"), text = len > 0 && body[len - 1] == '\r' ? len - 1 : len;
        is_ascii = len <= BODY_LINE;
        for (size_t i = 0; i < text; i++)
            is_ascii = is_ascii && ((body[i] >= ' ' && body[i] <= '~') || body[i] == '\t');
        buf_add(&out, body, text);
        buf_puts(&out, "\r\n");
        body += len + (body[len] == '\n');
    }
    is_ascii = is_ascii && out.len > 0 && !out.failed;
    curl_mimepart *part = smtp->mime != NULL ? curl_mime_addpart(smtp->mime) : NULL;
    bool ok = part != NULL &&
              curl_mime_data(part, is_ascii ? out.data : mail->body, CURL_ZERO_TERMINATED) == CURLE_OK &&
              curl_mime_type(part, mail->is_plain ? "text/plain; charset=utf-8"
                                                  : "text/html; charset=utf-8") == CURLE_OK &&
              curl_mime_encoder(part, is_ascii ? "7bit" : "base64") == CURLE_OK;
    buf_done(&out);
    return ok;
}

static bool fill_in(Smtp *smtp, const SmtpMail *mail, Err *err)
{
    char subject[SMTP_SUBJECT_LEN * 4];

    if (!smtp_check_address(mail->sender, err))
        return err_context(err, "sender in [notify] (of sendmail: --sender)");
    if (!smtp_encode_header(mail->subject, subject, sizeof subject))
        return err_set(err, ERR_CONFIG, "the subject is too long; at most %d bytes", SMTP_SUBJECT_LEN);
    if (strlen(mail->body) > SMTP_BODY_MAX)
        return err_set(err, ERR_CONFIG, "the body is too long; at most %d bytes", SMTP_BODY_MAX);
    add_date(smtp);
    add_header(smtp, "From", mail->sender);
    if (!add_receivers(smtp, mail, err))
        return false;
    add_header(smtp, "Subject", subject);
    add_header(smtp, "Auto-Submitted", "auto-generated"); /* so that no absence note answers (RFC 3834) */
    smtp->mime = curl_mime_init(smtp->curl.easy);
    if (!add_body(smtp, mail))
        return err_set(err, ERR_MEMORY, "out of memory for a mail");
    return true;
}

static bool set_server(Smtp *smtp, const SmtpServer *server, Err *err)
{
    CURL *easy = smtp->curl.easy;
    bool is_v6 = strchr(server->host, ':') != NULL;
    char url[SMTP_HOST_LEN + 32];

    if (server->host[0] == '\0' ||
        server->host[strspn(server->host,
                            "0123456789.:-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0')
        return err_set(
            err, ERR_CONFIG,
            "\"%.100s\" is no mail server; server in [notify] (of sendmail: --server) takes a host name or an address",
            server->host);
    snprintf(smtp->where, sizeof smtp->where, is_v6 ? "[%s]:%u" : "%s:%u", server->host, server->port);
    snprintf(url, sizeof url, "%s://%s", server->port == SMTP_PORT_TLS_ALWAYS ? "smtps" : "smtp",
             smtp->where);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    if (server->address != NULL && !is_v6) {
        char entry[SMTP_HOST_LEN + 96];
        snprintf(entry, sizeof entry, "%s:%u:%s", server->host, server->port, server->address);
        smtp->resolved = curl_slist_append(NULL, entry);
        curl_easy_setopt(easy, CURLOPT_RESOLVE, smtp->resolved);
    }
    curl_easy_setopt(easy, CURLOPT_USE_SSL, (long) CURLUSESSL_ALL);
    if (server->user != NULL && server->user[0] != '\0') {
        curl_easy_setopt(easy, CURLOPT_USERNAME, server->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, server->password != NULL ? server->password : "");
    }
    if (server->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, server->ca_file);
    if (server->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return true;
}

Smtp *smtp_send(uv_loop_t *loop, const SmtpServer *server, const SmtpMail *mail, int64_t timeout_ms,
                SmtpDoneFn *on_done, void *arg, Err *err)
{
    Smtp *smtp = calloc(1, sizeof *smtp);

    if (smtp == NULL)
        abort();
    smtp->on_done = on_done;
    smtp->arg = arg;
    loop_timer_init(&smtp->free_timer, loop, on_free, smtp);
    smtp->loop = curl_loop_new(loop, on_transfer);
    CURL *easy = smtp->loop != NULL ? curl_loop_easy(smtp->loop, &smtp->curl) : NULL;
    if (easy == NULL) {
        err_set(err, ERR_MEMORY, "out of memory for a mail");
        goto fail;
    }
    if (!set_server(smtp, server, err) || !fill_in(smtp, mail, err))
        goto fail;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, smtp->reason);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) (timeout_ms / CONNECT_PART));
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, mail->sender);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, smtp->receivers);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, smtp->headers);
    curl_easy_setopt(easy, CURLOPT_MIMEPOST, smtp->mime);
    if (!curl_loop_add(smtp->loop, &smtp->curl)) {
        err_set(err, ERR_MEMORY, "out of memory for a mail");
        goto fail;
    }
    return smtp;
fail:
    free_all(smtp, SHUT_RDWR);
    return NULL;
}
