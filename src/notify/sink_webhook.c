/*
 * sink_webhook.c: an event as JSON by POST, signed, so that the receiver knows who it is from.
 *
 * The signature is HMAC-SHA-256 over "TIMESTAMP.BODY": what was recorded cannot be sent again much later.
 */
#include "net/curl_loop.h"
#include "notify/resolve.h"
#include "notify/sink.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_LEN     256
#define ANSWER_MAX   65536 /* bytes that are read, and thrown away */
#define MAC_BYTES    32
#define HEADER_LEN   160
#define CONNECT_PART 2 /* connecting may take this part of the whole time */

typedef struct Webhook {
    CurlTransfer transfer; /* first */
    Sink *sink;
    CurlLoop *curl;
    char host[HOST_LEN];
    unsigned port;
    ResolveAsk *ask;
    struct curl_slist *headers, *resolved;
    Buf body;
    NotifyEvent event;
    size_t read;
    char reason[CURL_ERROR_SIZE];
} Webhook;

static void end_transfer(Webhook *hook)
{
    if (hook->transfer.easy != NULL) {
        curl_loop_remove(hook->curl, &hook->transfer);
        curl_easy_cleanup(hook->transfer.easy);
        hook->transfer.easy = NULL;
    }
    curl_slist_free_all(hook->headers);
    curl_slist_free_all(hook->resolved);
    hook->headers = hook->resolved = NULL;
    buf_done(&hook->body);
}

/* With what cures it, as far as that is known. */
static void explain(const Webhook *hook, CURLcode code, Err *err)
{
    bool is_late = code == CURLE_OPERATION_TIMEDOUT;
    const char *cure = "";

    if (is_late)
        cure = "; check its url, and firewalls in between";
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        cure = "; name the authority of its certificate by ca_file";
    err_set(err, is_late ? ERR_TIMEOUT : ERR_NET, "the webhook at %s port %u: %s%s", hook->host, hook->port,
            hook->reason[0] != '\0' ? hook->reason : curl_easy_strerror(code), cure);
}

static void on_transfer(CurlTransfer *transfer, CURLcode code)
{
    Webhook *hook = (Webhook *) transfer;
    long status = 0;
    Err err = {0};

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    /* With the status line it was taken, however the rest of the answer ends. */
    bool taken = status >= 200 && status <= 299;
    if (!taken && code != CURLE_OK)
        explain(hook, code, &err);
    else if (!taken)
        err_set(&err, ERR_REFUSED, "the webhook at %s port %u answered %ld; 200 to 299 say that it was taken",
                hook->host, hook->port, status);
    end_transfer(hook);
    sink_done(hook->sink, err.code == ERR_NONE, &err);
}

/* Host and port, so that the address can be found without libcurl. */
static bool read_url(Webhook *hook, const char *text, Err *err)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    bool ok = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              str_copy(hook->host, sizeof hook->host, host);
    size_t len = ok ? strlen(hook->host) : 0;

    if (len > 2 && hook->host[0] == '[') { /* an IPv6 address: whoever looks it up wants it bare */
        hook->host[len - 1] = '\0';
        memmove(hook->host, hook->host + 1, len - 1);
    }
    if (ok)
        hook->port = (unsigned) atoi(port);
    else
        err_set(err, ERR_CONFIG, "the url of the webhook cannot be read; write http(s)://HOST[:PORT]/PATH");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

static bool open_webhook(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);
    Webhook *hook = calloc(1, sizeof *hook);

    if (hook == NULL)
        abort();
    hook->sink = sink;
    if (!read_url(hook, view->spec.url, err))
        goto fail;
    if (!curl_loop_global_init() || (hook->curl = curl_loop_new(view->loop, on_transfer)) == NULL) {
        err_set(err, ERR_MEMORY, "libcurl cannot be set up");
        goto fail;
    }
    resolve_open(view->loop);
    view->state = hook;
    return true;
fail:
    free(hook);
    return false;
}

static void close_webhook(Sink *sink)
{
    Webhook *hook = sink_view(sink)->state;

    resolve_cancel(hook->ask);
    end_transfer(hook);
    curl_loop_free(hook->curl);
    resolve_close();
    free(hook);
}

static size_t on_answer(char *data, size_t size, size_t count, void *arg)
{
    Webhook *hook = arg;

    (void) data;
    hook->read += size * count;
    return hook->read <= ANSWER_MAX ? size * count : 0;
}

static void add_header(Webhook *hook, const char *name, const char *value)
{
    char line[HEADER_LEN + 64];

    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(hook->headers, line);
    if (more != NULL)
        hook->headers = more;
}

static bool sign(Webhook *hook, const char *secret, const char *timestamp)
{
    gnutls_hmac_hd_t hmac;
    unsigned char mac[MAC_BYTES];
    char value[HEADER_LEN] = "sha256=";

    if (gnutls_hmac_init(&hmac, GNUTLS_MAC_SHA256, secret, strlen(secret)) != 0)
        return false;
    bool ok = gnutls_hmac(hmac, timestamp, strlen(timestamp)) == 0 && gnutls_hmac(hmac, ".", 1) == 0 &&
              gnutls_hmac(hmac, hook->body.data, hook->body.len) == 0;
    gnutls_hmac_deinit(hmac, mac);
    for (size_t i = 0, at = strlen(value); i < MAC_BYTES; i++, at += 2)
        snprintf(value + at, sizeof value - at, "%02x", mac[i]);
    add_header(hook, "X-Pgvigil-Signature", value);
    return ok;
}

static bool fill_in(Webhook *hook, const char *address)
{
    const SinkView *view = sink_view(hook->sink);
    char value[HEADER_LEN], entry[HOST_LEN + 96];
    CURL *easy = hook->transfer.easy;

    event_json(&hook->event, view->cluster, view->reporter, &hook->body);
    if (hook->body.failed)
        return false;
    add_header(hook, "Content-Type", "application/json");
    add_header(hook, "X-Pgvigil-Event", notify_event_name(hook->event.kind));
    event_id(&hook->event, view->reporter, value, sizeof value);
    add_header(hook, "X-Pgvigil-Id", value);
    snprintf(value, sizeof value, "%lld", (long long) (clock_now().wall_us / US_PER_SEC));
    add_header(hook, "X-Pgvigil-Timestamp", value);
    add_header(hook, "Expect", "");
    if (view->spec.secret != NULL && !sign(hook, view->spec.secret, value))
        return false;
    if (strchr(hook->host, ':') == NULL) { /* with a numeric IPv6 there is nothing to look up */
        snprintf(entry, sizeof entry, "%s:%u:%s", hook->host, hook->port, address);
        hook->resolved = curl_slist_append(NULL, entry);
        curl_easy_setopt(easy, CURLOPT_RESOLVE, hook->resolved);
    }
    curl_easy_setopt(easy, CURLOPT_URL, view->spec.url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, hook->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "pgvigil/" PGVIGIL_VERSION);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) hook->body.len);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, hook->body.data);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, hook);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, hook->reason);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) view->spec.timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) (view->spec.timeout_ms / CONNECT_PART));
    if (view->spec.ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, view->spec.ca_file);
    if (view->spec.insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return true;
}

static void on_found(void *arg, const char *address, const Err *cause)
{
    Webhook *hook = arg;
    Err err = *cause;

    hook->ask = NULL;
    hook->read = 0;
    hook->reason[0] = '\0';
    if (address != NULL) {
        if (curl_loop_easy(hook->curl, &hook->transfer) != NULL && fill_in(hook, address) &&
            curl_loop_add(hook->curl, &hook->transfer))
            return;
        err_set(&err, ERR_MEMORY, "out of memory for a webhook");
        end_transfer(hook);
    }
    sink_done(hook->sink, false, &err);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    const SinkView *view = sink_view(sink);
    Webhook *hook = view->state;

    (void) err;
    hook->event = *event;
    hook->ask = resolve_ask(view->loop, hook->host, view->spec.timeout_ms, on_found, hook);
    return SINK_BUSY;
}

const SinkKind sink_webhook = {
    .way = NOTIFY_WEBHOOK,
    .open = open_webhook,
    .close = close_webhook,
    .send = send_event,
};
