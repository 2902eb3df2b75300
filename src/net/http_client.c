/*
 * http_client.c: calls and their answers; curl_loop.c keeps libcurl going.
 *
 * A call waits while its host's name is looked up, then becomes a transfer; its deadline runs all the time.
 * Calls are kept for reuse with their libcurl handle and buffers, so that a heartbeat allocates almost
 * nothing.
 */
#include "net/http_client.h"

#include "base/str.h"
#include "net/curl_loop.h"
#include "net/names.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FREE_CALLS_MAX 8
#define FREE_BODY_MAX  ((size_t) 16 * 1024) /* a larger buffer is not kept */
#define HEADERS_MAX    ((size_t) 4096)      /* of an answer; the rest is dropped */
#define RECEIVE_BUFFER 4096L
#define WAIT_TICK_US   (20 * US_PER_MS) /* how late a deadline can be noticed while a name is looked up */

typedef struct Transfer {
    CurlTransfer curl;
    HttpClient *client;
    struct Transfer *next;
    char host[NAMES_HOST_LEN];
    char address[NAMES_ADDRESS_LEN]; /* of it, that was taken */
    uint16_t port;
    Buf path;
    Buf body; /* of the request */
    bool is_post;
    struct curl_slist *headers;
    bool tls; /* its handle is not used again: what was said of certificates would stay with it */
    struct curl_slist *connect_to; /* with TLS: the address behind the name */
    Clock begun;
    int64_t timeout_ms;
    bool running; /* libcurl has it; else it waits for an address */
    HttpAnswerFn *on_answer;
    void *arg;
    Buf answer;
    Buf answer_headers;
    bool too_large;
} Transfer;

struct HttpClient {
    CurlLoop *loop;
    Names *names;
    LoopTimer wait_timer;
    Transfer *active; /* waiting and running */
    unsigned active_count;
    unsigned active_max;
    size_t body_max;
    Transfer *free;
    unsigned free_count;
    bool ending;
};

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    Transfer *transfer = arg;
    size_t len = size * count;

    if (transfer->answer.len + len > transfer->client->body_max) {
        transfer->too_large = true;
        return 0;
    }
    buf_add(&transfer->answer, data, len);
    return transfer->answer.failed ? 0 : len;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    Transfer *transfer = arg;
    size_t len = size * count;

    if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
        transfer->answer_headers.len = 0; /* an interim answer came before */
    if (transfer->answer_headers.len + len <= HEADERS_MAX)
        buf_add(&transfer->answer_headers, data, len);
    return len;
}

static Transfer *new_transfer(HttpClient *client)
{
    Transfer *transfer = calloc(1, sizeof *transfer);

    if (transfer == NULL)
        return NULL;
    CURL *easy = curl_loop_easy(client->loop, &transfer->curl);
    if (easy == NULL) {
        free(transfer);
        return NULL;
    }
    transfer->client = client;
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    return transfer;
}

static void empty(Buf *buf)
{
    if (buf->capacity > FREE_BODY_MAX)
        buf_done(buf);
    buf->len = 0;
    buf->failed = false;
}

static void free_transfer(Transfer *transfer)
{
    curl_easy_cleanup(transfer->curl.easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    buf_done(&transfer->path);
    buf_done(&transfer->body);
    buf_done(&transfer->answer);
    buf_done(&transfer->answer_headers);
    free(transfer);
}

/* Takes it out of the active ones and keeps it for the next call. */
static void retire(Transfer *transfer)
{
    HttpClient *client = transfer->client;

    for (Transfer **t = &client->active; *t != NULL; t = &(*t)->next) {
        if (*t == transfer) {
            *t = transfer->next;
            client->active_count--;
            break;
        }
    }
    if (client->free_count >= FREE_CALLS_MAX || client->ending || transfer->tls) {
        free_transfer(transfer);
        return;
    }
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    empty(&transfer->path);
    empty(&transfer->body);
    empty(&transfer->answer);
    empty(&transfer->answer_headers);
    transfer->next = client->free;
    client->free = transfer;
    client->free_count++;
}

/* The callback comes last but one: its texts are the transfer's. error NULL: all is well. */
static void finish(Transfer *transfer, const char *error)
{
    long status = 0;

    if (transfer->running)
        curl_loop_remove(transfer->client->loop, &transfer->curl);
    transfer->running = false;
    if (error == NULL)
        curl_easy_getinfo(transfer->curl.easy, CURLINFO_RESPONSE_CODE, &status);
    buf_add(&transfer->answer_headers, "", 1); /* an end for the search */
    HttpAnswer answer = {.ok = error == NULL,
                         .status = (int) status,
                         .body = error == NULL && transfer->answer.len > 0 ? transfer->answer.data : "",
                         .len = error == NULL ? transfer->answer.len : 0,
                         .error = error != NULL ? error : "",
                         .headers_ =
                             transfer->answer_headers.data != NULL ? transfer->answer_headers.data : ""};
    transfer->on_answer(transfer->arg, &answer);
    retire(transfer);
}

static void on_done(CurlTransfer *curl, CURLcode code)
{
    Transfer *transfer = (Transfer *) curl;
    long sent = 0;

    curl_easy_getinfo(curl->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (code == CURLE_COULDNT_CONNECT || (code == CURLE_OPERATION_TIMEDOUT && sent == 0))
        names_unreachable(transfer->client->names, transfer->host, transfer->address);
    if (transfer->too_large)
        finish(transfer, "the answer is too large");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        finish(transfer, "no answer in time");
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        finish(transfer, "its certificate is not trusted: has it expired, is [http] tls_ca its authority, "
                         "does it name this host?");
    else if (code == CURLE_SSL_CACERT_BADFILE)
        finish(transfer, "the file of [http] tls_ca cannot be read, or holds no certificate in PEM");
    else
        finish(transfer, code == CURLE_OK ? NULL : curl_easy_strerror(code));
}

/* The host is that address itself, which stands in brackets if it is IPv6. */
static bool is_same(const char *host, const char *address)
{
    size_t len = strlen(host);

    return strcmp(host, address) == 0 ||
           (address[0] == '[' && strncmp(address + 1, host, len) == 0 && address[1 + len] == ']');
}

/* A certificate is for a name: that stays in the URL, and libcurl is told the address behind it. */
static bool connect_to(Transfer *transfer, const char *address)
{
    char text[NAMES_ADDRESS_LEN + 16];

    snprintf(text, sizeof text, "::%s:%u", address, (unsigned) transfer->port);
    transfer->connect_to = curl_slist_append(NULL, text);
    return transfer->connect_to != NULL &&
           curl_easy_setopt(transfer->curl.easy, CURLOPT_CONNECT_TO, transfer->connect_to) == CURLE_OK;
}

/* Gives it to libcurl with what is left of its time. False: it is finished already. */
static void run(Transfer *transfer, const char *address)
{
    CURL *easy = transfer->curl.easy;
    Clock now = clock_now();
    int64_t left_ms = transfer->timeout_ms - clock_elapsed_most(&transfer->begun, &now) / US_PER_MS;
    Buf url = {0};

    str_copy(transfer->address, sizeof transfer->address, address);
    bool by_name = transfer->tls && !is_same(transfer->host, address) && connect_to(transfer, address);
    buf_printf(&url, "%s://%s:%u", transfer->tls ? "https" : "http", by_name ? transfer->host : address,
               (unsigned) transfer->port);
    buf_add(&url, transfer->path.data, transfer->path.len);
    if (transfer->is_post) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body.len > 0 ? transfer->body.data : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body.len);
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) (left_ms > 0 ? left_ms : 1));
    transfer->running = true;
    if (url.failed || curl_easy_setopt(easy, CURLOPT_URL, url.data) != CURLE_OK ||
        !curl_loop_add(transfer->client->loop, &transfer->curl)) {
        transfer->running = false;
        transfer->timeout_ms = 0; /* ends at the next tick: never from within http_client_send */
    }
    buf_done(&url);
}

/* Looks at all calls that wait: an address may have come, a deadline may have passed. */
static void serve_waiting(HttpClient *client)
{
    Clock now = clock_now();
    bool waiting = false, again = true;

    /* A callback may begin or end calls: start over after each. */
    while (again) {
        again = waiting = false;
        for (Transfer *t = client->active; t != NULL && !again; t = t->next) {
            char address[NAMES_ADDRESS_LEN];
            if (t->running)
                continue;
            waiting = true;
            if (clock_elapsed_most(&t->begun, &now) >= t->timeout_ms * US_PER_MS) {
                finish(t, t->timeout_ms > 0 ? "the host's name was not found in time" : "it could not begin");
                again = true;
                continue;
            }
            NamesFound found = names_find(client->names, t->host, address);
            if (found == NAMES_KNOWN) {
                run(t, address);
            } else if (found == NAMES_FAILED) {
                finish(t, "the host's name is not known");
                again = true;
            }
        }
    }
    if (waiting)
        loop_timer_start(&client->wait_timer, WAIT_TICK_US, 0);
}

static void on_wait(void *arg)
{
    serve_waiting(arg);
}

HttpClient *http_client_new(uv_loop_t *loop, unsigned active_max, size_t body_max, Err *err)
{
    HttpClient *client = calloc(1, sizeof *client);

    if (client == NULL) {
        err_set(err, ERR_MEMORY, "no memory for the HTTP client");
        return NULL;
    }
    client->active_max = active_max;
    client->body_max = body_max;
    client->loop = curl_loop_new(loop, on_done);
    client->names = names_new(loop, on_wait, client);
    loop_timer_init(&client->wait_timer, loop, on_wait, client);
    if (client->loop == NULL || client->names == NULL) {
        err_set(err, ERR_NET, "libcurl cannot be set up");
        http_client_free(client);
        return NULL;
    }
    return client;
}

void http_client_free(HttpClient *client)
{
    if (client == NULL)
        return;
    client->ending = true;
    while (client->active != NULL)
        finish(client->active, "the client ends");
    while (client->free != NULL) {
        Transfer *next = client->free->next;
        free_transfer(client->free);
        client->free = next;
    }
    loop_timer_done(&client->wait_timer);
    names_free(client->names);
    curl_loop_free(client->loop);
    free(client);
}

/* libcurl copies what it is told here. */
static void set_tls(Transfer *transfer, const HttpCallTls *tls)
{
    CURL *easy = transfer->curl.easy;

    transfer->tls = tls != NULL;
    if (tls == NULL)
        return;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    if (tls->ca != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
    if (tls->certificate != NULL && tls->key != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->certificate);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key);
    }
}

static bool fill_in(Transfer *transfer, const HttpCall *call)
{
    Buf line = {0};
    bool ok = str_copy(transfer->host, sizeof transfer->host, call->host);

    transfer->port = call->port;
    transfer->timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : 1;
    transfer->on_answer = call->on_answer;
    transfer->arg = call->arg;
    transfer->is_post = strcmp(call->method, "POST") == 0;
    transfer->too_large = false;
    transfer->running = false;
    set_tls(transfer, call->tls);
    buf_puts(&transfer->path, call->path);
    if (call->len > 0)
        buf_add(&transfer->body, call->body, call->len);
    ok = ok && !transfer->path.failed && !transfer->body.failed;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no waiting for a 100 */
    for (int i = 0; list != NULL && ok && call->headers != NULL && call->headers[i].name != NULL; i++) {
        line.len = 0;
        buf_printf(&line, "%s: %s", call->headers[i].name, call->headers[i].value);
        struct curl_slist *longer = line.failed ? NULL : curl_slist_append(list, line.data);
        ok = longer != NULL && i < HTTP_CLIENT_HEADERS_MAX;
        list = longer != NULL ? longer : list;
    }
    buf_done(&line);
    transfer->headers = list;
    return ok && list != NULL;
}

bool http_client_send(HttpClient *client, const HttpCall *call, Err *err)
{
    char address[NAMES_ADDRESS_LEN];

    if (client->ending || client->active_count >= client->active_max)
        return err_set(err, ERR_REFUSED, "%u requests are under way", client->active_count);
    Transfer *transfer = client->free;
    if (transfer != NULL) {
        client->free = transfer->next;
        client->free_count--;
    } else if ((transfer = new_transfer(client)) == NULL) {
        return err_set(err, ERR_MEMORY, "no memory for a request");
    }
    transfer->next = client->active;
    client->active = transfer;
    client->active_count++;
    if (!fill_in(transfer, call)) {
        retire(transfer);
        return err_set(err, ERR_MEMORY, "no memory for a request, or its host or headers are too long");
    }
    transfer->begun = clock_now();
    if (names_find(client->names, transfer->host, address) == NAMES_KNOWN)
        run(transfer, address);
    if (!transfer->running && !loop_timer_is_running(&client->wait_timer))
        loop_timer_start(&client->wait_timer, 0, 0);
    return true;
}

bool http_client_header(const HttpAnswer *answer, const char *name, char *ret_value, size_t size)
{
    size_t name_len = strlen(name);

    for (const char *line = answer->headers_; *line != '\0';) {
        size_t len = strcspn(line, "\r\n");
        if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0) {
            const char *value = line + name_len + 1;
            size_t blanks = strspn(value, " \t");
            size_t value_len = len - name_len - 1;
            if (value_len - blanks >= size || blanks > value_len)
                return false;
            memcpy(ret_value, value + blanks, value_len - blanks);
            ret_value[value_len - blanks] = '\0';
            return true;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return false;
}
