/*
 * resolve.h: the address of a name, for all of src/notify together; private to src/notify.
 *
 * One name is looked up at a time whatever asks, because a name server that hangs holds a thread of libuv's
 * pool, in which votes are written too.
 */
#ifndef PGVIGIL_NOTIFY_RESOLVE_H
#define PGVIGIL_NOTIFY_RESOLVE_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

/* Each user opens once and closes once; all are of one loop. */
void resolve_open(uv_loop_t *loop);
void resolve_close(void);

typedef struct ResolveAsk ResolveAsk;

/* address: numeric, IPv6 in brackets; NULL: none was found in time, err says so. */
typedef void ResolveFn(void *arg, const char *address, const Err *err);

/* on_found is called once, from the loop, never from within this call; the ask is gone then. */
ResolveAsk *resolve_ask(uv_loop_t *loop, const char *host, int64_t timeout_ms, ResolveFn *on_found,
                        void *arg);

/* Without the callback. NULL: nothing. */
void resolve_cancel(ResolveAsk *ask);

#endif
