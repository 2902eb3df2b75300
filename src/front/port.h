/*
 * port.h: a TCP port that says yes by being open; private to src/front.
 *
 * Closed means that a connect is refused: the listening socket is gone. Who is connected is held until it
 * leaves, without a word, and reset when the port closes.
 */
#ifndef PGVIGIL_FRONT_PORT_H
#define PGVIGIL_FRONT_PORT_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

#define PORT_HELD_MAX 64 /* one more lets go of the oldest */

typedef struct PortConnection PortConnection;

typedef struct Port {
    uv_loop_t *loop;
    uv_tcp_t *listener; /* NULL: closed */
    PortConnection *held;
    int held_count;
} Port;

void port_init(Port *port, uv_loop_t *loop);

/* Listens on all IPv4 addresses. Open already: nothing. ERR_NET: in use, or not allowed. */
bool port_open(Port *port, uint16_t number, Err *err);

/* Refuses from now on, resets who is held. */
void port_close(Port *port);

bool port_is_open(const Port *port);

#endif
