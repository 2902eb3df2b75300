/*
 * tcp_check.h: whether somebody listens on the ports of others, found out in the background.
 *
 * Each target is connected to once a second, with a deadline; names are resolved by the loop, and one that
 * answers at any of its addresses is there. Only two failures in a row count as silence: one lost packet must
 * not open a gate.
 */
#ifndef PGVIGIL_NET_TCP_CHECK_H
#define PGVIGIL_NET_TCP_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define TCP_CHECK_HOST_LEN 128
#define TCP_CHECK_MAX      128

typedef enum TcpCheckState {
    TCP_CHECK_UNKNOWN, /* not found out yet, or its name leads to no address */
    TCP_CHECK_ANSWERS,
    TCP_CHECK_SILENT, /* refuses, or does not answer */
} TcpCheckState;

typedef struct TcpChecks TcpChecks;

/* on_change: some target's state is another one. Out of memory ends the process. */
TcpChecks *tcp_check_new(uv_loop_t *loop, void (*on_change)(void *arg), void *arg);

/* The number of that target, new or known already; -1 if there are TCP_CHECK_MAX. */
int tcp_check_add(TcpChecks *checks, const char *host, uint16_t port);

TcpCheckState tcp_check_state(const TcpChecks *checks, int number);

/* Ends what is under way. NULL: nothing. */
void tcp_check_free(TcpChecks *checks);

#endif
