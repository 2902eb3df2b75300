/*
 * curl_loop.h: libcurl's multi interface on libuv; for src/net, and for mail in src/notify.
 */
#ifndef PGVIGIL_NET_CURL_LOOP_H
#define PGVIGIL_NET_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

typedef struct CurlLoop CurlLoop;

/* To be the first member of the owner's struct. */
typedef struct CurlTransfer {
    CURL *easy;
} CurlTransfer;

/* Called from the loop when a transfer is over; it has to be removed then. Never from within curl_loop_add.
 */
typedef void CurlDoneFn(CurlTransfer *transfer, CURLcode code);

/* NULL if libcurl or memory fails. */
CurlLoop *curl_loop_new(uv_loop_t *loop, CurlDoneFn *on_done);

/* All transfers must have been removed. NULL: nothing. */
void curl_loop_free(CurlLoop *curl);

/*
 * Before transfers of a protocol that takes its leave are removed: libcurl says SMTP's QUIT when a connection
 * is closed, and waits for the answer on this very thread, as long as the transfer's timeout. how: SHUT_RD to
 * say it and hear nothing, SHUT_RDWR to say nothing either, where what was sent before may still be on its
 * way.
 */
void curl_loop_hang_up(CurlLoop *curl, int how);

/* Makes transfer->easy with the options that all have in common; the owner cleans it up. NULL: no memory. */
CURL *curl_loop_easy(CurlLoop *curl, CurlTransfer *transfer);

bool curl_loop_add(CurlLoop *curl, CurlTransfer *transfer);
void curl_loop_remove(CurlLoop *curl, CurlTransfer *transfer);

/* curl_global_init, once in this process; not while other threads run. */
bool curl_loop_global_init(void);

/* What every easy handle of ours has: HTTP/1.1, no proxy, no signals, no redirects. */
void curl_loop_harden(CURL *easy);

#endif
