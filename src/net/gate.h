/*
 * gate.h: a TCP port that is there or not: for whoever can only connect to find out.
 *
 * Closed means that nobody listens, so that a connect is refused. Nothing is ever read or sent.
 */
#ifndef PGVIGIL_NET_GATE_H
#define PGVIGIL_NET_GATE_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

#define GATE_HELD_MAX 64
#define GATE_HELD_MS  30000

typedef struct Gate Gate;

/*
 * Closed at first. Loop's thread only, as all of these. shares: the port may be another process's of ours
 * that is about to end, so that a change of process is not seen from outside. Out of memory ends the process.
 */
Gate *gate_new(uv_loop_t *loop, bool shares);

/*
 * Listens; address NULL: on all, IPv4 and IPv6. Open already: nothing, whatever the address. False with
 * ERR_NET: the port is in use, or not allowed.
 */
bool gate_open(Gate *gate, const char *address, uint16_t port, Err *err);

/* Stops listening and resets the connections that are held. */
void gate_close(Gate *gate);

bool gate_is_open(const Gate *gate);

/* Connections taken since gate_new. */
uint64_t gate_taken(const Gate *gate);

/* Closes first. NULL: nothing. */
void gate_free(Gate *gate);

#endif
