/*
 * upstream.h: what an operator wrote into primary_conninfo beside who and where: TLS, keepalives and the
 * like.
 *
 * It has to outlive a time without an upstream (primary_conninfo = ''), and a copy of another server's
 * configuration: so it is noted in the state directory.
 */
#ifndef PGVIGIL_ACTION_UPSTREAM_H
#define PGVIGIL_ACTION_UPSTREAM_H

#include "action/run.h"

#define UPSTREAM_KEPT_LEN 1024

/* Worker: notes what the configuration has, if it names an upstream, and gives what is noted; "" if nothing.
 */
void upstream_kept(const Run *run, char *ret_kept, size_t size);

/* Worker: adds it to a connection string. */
void upstream_add(const Run *run, char *conninfo, size_t size);

#endif
