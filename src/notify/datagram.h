/*
 * datagram.h: one text to one place by UDP or by a local socket, without waiting; private to src/notify.
 *
 * A name is resolved by the loop and again each minute; what is sent until then is kept, up to a bound. What
 * a full buffer or a missing receiver refuses is an error at once: nothing is tried again here.
 */
#ifndef PGVIGIL_NOTIFY_DATAGRAM_H
#define PGVIGIL_NOTIFY_DATAGRAM_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define DATAGRAM_MAX      8192 /* bytes; more is refused */
#define DATAGRAM_HOST_LEN 256
#define DATAGRAM_KEPT     32 /* while a name is being looked up */

typedef struct Datagram Datagram;

/* host: an address, a name, or the absolute path of a local socket, which takes no port. NULL with *err. */
Datagram *datagram_new(uv_loop_t *loop, const char *host, uint16_t port, Err *err);

/* The socket is closed and what waits for a name is dropped. NULL: nothing. */
void datagram_free(Datagram *datagram);

/*
 * Sends, or keeps it until the name is known. False if it went nowhere: too long, nobody at the local socket,
 * no address for the name (which is then looked up again), too much waits already. By UDP, true says no more
 * than that it left.
 */
bool datagram_send(Datagram *datagram, const void *data, size_t len, Err *err);

#endif
