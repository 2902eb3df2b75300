/*
 * operator.c: one request at a time with libcurl's easy interface.
 *
 * Each process of the command line is an incarnation of its own, so the first order to a member is always
 * challenged: two round trips.
 */
#include "net/operator.h"

#include "net/auth.h"
#include "net/curl_loop.h"
#include "sys/clock.h"

#include <curl/curl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct Exchange {
    const OperatorTarget *target;
    const char *path;
    bool is_post;
    const char *body;
    size_t len;
    struct curl_slist *headers;
    Clock begun;
    int status;
    bool was_sent;
    bool was_connected;
    bool too_large;
    Buf answer;
    char why[CURL_ERROR_SIZE]; /* libcurl's own words; "" if it has none */
    char mac[AUTH_HEX_LEN];
    char nonce[AUTH_NONCE_LEN];
} Exchange;

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;

    exchange->too_large = exchange->answer.len + size * count > OPERATOR_BODY_MAX;
    if (exchange->too_large)
        return 0;
    buf_add(&exchange->answer, data, size * count);
    return exchange->answer.failed ? 0 : size * count;
}

/* Copies the value if the line is that header; one that does not fit is left empty. */
static void take_header(const char *line, size_t len, const char *name, char *ret_value, size_t size)
{
    size_t name_len = strlen(name), begin = name_len + 1;

    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
        return;
    while (begin < len && line[begin] == ' ')
        begin++;
    while (len > begin && (line[len - 1] == '\r' || line[len - 1] == '\n'))
        len--;
    if (len - begin >= size)
        return;
    memcpy(ret_value, line + begin, len - begin);
    ret_value[len - begin] = '\0';
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    Exchange *exchange = arg;

    take_header(data, size * count, AUTH_HEADER_MAC, exchange->mac, sizeof exchange->mac);
    take_header(data, size * count, AUTH_HEADER_NONCE, exchange->nonce, sizeof exchange->nonce);
    return size * count;
}

static bool explain(const Exchange *exchange, CURLcode code, Err *err)
{
    const OperatorTarget *target = exchange->target;

    if (exchange->too_large)
        return err_set(err, ERR_PROTOCOL, "the answer of %s port %u is longer than %zu bytes", target->host,
                       target->port, OPERATOR_BODY_MAX);
    if (code == CURLE_OPERATION_TIMEDOUT && exchange->is_post && exchange->was_sent)
        return err_set(
            err, ERR_TIMEOUT,
            "%s port %u did not answer within %d ms; it may have taken the order: see pgvigil status",
            target->host, target->port, target->timeout_ms);
    if (code == CURLE_OPERATION_TIMEDOUT && exchange->was_connected)
        return err_set(
            err, ERR_NET,
            "%s port %u accepts connections and gave no answer within %d ms: its agent hangs or is "
            "stopped, or another program has the port",
            target->host, target->port, target->timeout_ms);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_NET,
                       "no answer from %s port %u within %d ms; is pgvigil up there, and the port open?",
                       target->host, target->port, target->timeout_ms);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(
            err, ERR_NET,
            "the certificate of %s port %u is not trusted: has it expired, is [http] tls_ca its authority, does it "
            "name this host? pgvigil check there says; renew it, and send SIGHUP to pgvigil (%s)",
            target->host, target->port, exchange->why[0] != '\0' ? exchange->why : curl_easy_strerror(code));
    return err_set(err, ERR_NET, "%s port %u cannot be reached: %s", target->host, target->port,
                   exchange->why[0] != '\0' ? exchange->why : curl_easy_strerror(code));
}

/* Host and certificate are checked, which is libcurl's default. */
static void set_tls(CURL *easy, const OperatorTls *tls)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    if (tls->ca != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
    if (tls->certificate != NULL && tls->key != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    }
}

static void set_options(CURL *easy, Exchange *exchange, const char *url, long left_ms)
{
    curl_loop_harden(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->why);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    if (exchange->target->tls != NULL)
        set_tls(easy, exchange->target->tls);
    if (exchange->is_post) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) exchange->len);
    }
}

/* One request and its answer. */
static bool run(CURL *easy, Exchange *exchange, Err *err)
{
    const OperatorTarget *target = exchange->target;
    bool is_v6 = strchr(target->host, ':') != NULL;
    Clock now = clock_now();
    int64_t left_ms = target->timeout_ms - clock_elapsed_most(&exchange->begun, &now) / US_PER_MS;
    long status = 0, request_size = 0;
    curl_off_t connect_us = 0;
    Buf url = {0};

    exchange->answer.len = 0;
    exchange->why[0] = '\0';
    exchange->mac[0] = exchange->nonce[0] = '\0';
    buf_printf(&url, is_v6 ? "%s://[%s]:%u%s" : "%s://%s:%u%s", target->tls != NULL ? "https" : "http",
               target->host, target->port, exchange->path);
    if (url.failed)
        return err_set(err, ERR_MEMORY, "no memory for a request");
    set_options(easy, exchange, url.data, left_ms > 0 ? (long) left_ms : 1);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_size);
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    exchange->status = (int) status;
    exchange->was_sent = request_size > 0;
    exchange->was_connected = connect_us > 0;
    buf_done(&url);
    return code == CURLE_OK || explain(exchange, code, err);
}

static CURL *make_easy(Err *err)
{
    CURL *easy = curl_loop_global_init() ? curl_easy_init() : NULL;

    if (easy == NULL)
        err_set(err, ERR_MEMORY, "libcurl cannot be set up");
    return easy;
}

static bool ask(const OperatorTarget *target, const char *path, bool is_post, int *ret_status, Buf *ret_body,
                Err *err)
{
    Exchange exchange = {
        .target = target, .path = path, .is_post = is_post, .body = "", .begun = clock_now()};
    CURL *easy = make_easy(err);

    bool ok = easy != NULL && run(easy, &exchange, err);
    if (ok) {
        *ret_status = exchange.status;
        buf_add(ret_body, exchange.answer.len > 0 ? exchange.answer.data : "", exchange.answer.len);
    }
    curl_easy_cleanup(easy);
    buf_done(&exchange.answer);
    return ok;
}

bool operator_get(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body, Err *err)
{
    return ask(target, path, false, ret_status, ret_body, err);
}

bool operator_post_open(const OperatorTarget *target, const char *path, int *ret_status, Buf *ret_body,
                        Err *err)
{
    return ask(target, path, true, ret_status, ret_body, err);
}

/* False if memory runs out: then there is no list. */
static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[2 * AUTH_NAME_LEN];

    if (value == NULL)
        return true;
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

/* Signs the order with the next number, as the answer to a challenge if nonce is not NULL. */
static bool sign(const AuthKeys *keys, Exchange *exchange, uint64_t seq, const char *nonce,
                 AuthSigned *ret_signed, Err *err)
{
    AuthContent content = {"POST", exchange->path, exchange->body, exchange->len};
    const AuthStamp *stamp = &ret_signed->stamp;

    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
    if (auth_sign(keys, exchange->target->member, seq, nonce, &content, ret_signed) &&
        add_header(&exchange->headers, "Content-Type", "application/json") &&
        add_header(&exchange->headers, AUTH_HEADER_CLUSTER, stamp->cluster) &&
        add_header(&exchange->headers, AUTH_HEADER_SENDER, stamp->sender) &&
        add_header(&exchange->headers, AUTH_HEADER_RECEIVER, stamp->receiver) &&
        add_header(&exchange->headers, AUTH_HEADER_INC, stamp->inc) &&
        add_header(&exchange->headers, AUTH_HEADER_SEQ, stamp->seq) &&
        add_header(&exchange->headers, AUTH_HEADER_NONCE, stamp->nonce) &&
        add_header(&exchange->headers, AUTH_HEADER_MAC, stamp->mac))
        return true;
    return err_set(err, ERR_MEMORY, "the order cannot be signed");
}

/* What the member means by its 403, and the cure. */
static bool refused(const Exchange *exchange, Err *err)
{
    const OperatorTarget *target = exchange->target;
    char reason[24];

    snprintf(reason, sizeof reason, "%.*s", (int) (exchange->answer.len < 20 ? exchange->answer.len : 20),
             exchange->answer.data != NULL ? exchange->answer.data : "");
    const char *cure = "see the log of that member";
    if (strcmp(reason, "mac") == 0)
        cure = "its secret is another than the one here ([cluster] secret)";
    else if (strcmp(reason, "cluster") == 0)
        cure = "it belongs to another cluster ([cluster] name)";
    else if (strcmp(reason, "receiver") == 0)
        cure = "it bears another name ([node] name there, [members] here)";
    return err_set(err, ERR_REFUSED, "%s at %s port %u refused the order: %s", target->member, target->host,
                   target->port, cure);
}

/* Up to two requests: the second answers the challenge. */
static bool exchange_signed(CURL *easy, const AuthKeys *keys, Exchange *exchange, Err *err)
{
    const OperatorTarget *target = exchange->target;
    char nonce[AUTH_NONCE_LEN] = "";

    for (uint64_t seq = 1; seq <= 2; seq++) {
        AuthSigned signature;
        if (!sign(keys, exchange, seq, nonce[0] != '\0' ? nonce : NULL, &signature, err) ||
            !run(easy, exchange, err))
            return false;
        if (exchange->status == 403)
            return refused(exchange, err);
        /* These two are signed by nobody: the agent's listener answers in its place. */
        bool is_late = exchange->status == 204, is_full = exchange->status == 503;
        if (!auth_check_answer(keys, signature.mac, exchange->status, exchange->nonce, exchange->answer.data,
                               exchange->answer.len, exchange->mac)) {
            if (is_late)
                return err_set(err, ERR_TIMEOUT,
                               "%s took the order but gave no answer in time; see pgvigil status",
                               target->member);
            if (is_full)
                return err_set(err, ERR_NET, "%s has too many orders and messages to answer; try again",
                               target->member);
            return err_set(err, ERR_PROTOCOL,
                           "the answer of %s port %u (HTTP %d) is not that of %s: another program?",
                           target->host, target->port, exchange->status, target->member);
        }
        if (exchange->status != 401)
            return true;
        memcpy(nonce, exchange->nonce, sizeof nonce);
    }
    return err_set(err, ERR_REFUSED, "%s port %u did not take the answer to its challenge", target->host,
                   target->port);
}

bool operator_post(const OperatorTarget *target, const char *path, const char *body, size_t len,
                   int *ret_status, Buf *ret_body, Err *err)
{
    Exchange exchange = {
        .target = target, .path = path, .is_post = true, .body = body, .len = len, .begun = clock_now()};
    AuthKeys keys = {.secret = target->secret,
                     .secret_len = target->secret_len,
                     .cluster = target->cluster,
                     .self = AUTH_OPERATOR};

    if (gnutls_rnd(GNUTLS_RND_NONCE, &keys.inc, sizeof keys.inc) != 0)
        return err_set(err, ERR_IO, "no random numbers to sign the order with");
    CURL *easy = make_easy(err);
    bool ok = easy != NULL && exchange_signed(easy, &keys, &exchange, err);
    if (ok) {
        *ret_status = exchange.status;
        buf_add(ret_body, exchange.answer.len > 0 ? exchange.answer.data : "", exchange.answer.len);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(exchange.headers);
    buf_done(&exchange.answer);
    return ok;
}
