/*
 * statsd.h: gauges and counters to a statsd daemon by UDP, with tags as Telegraf takes them.
 *
 * One datagram a value: "name,tag=value:N|g". Needs a loop and nothing of the agent. Nothing waits and
 * nothing is tried again: what is lost is replaced by the next value.
 */
#ifndef PGVIGIL_NOTIFY_STATSD_H
#define PGVIGIL_NOTIFY_STATSD_H

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

#define STATSD_PORT     8125
#define STATSD_TAG_MAX  16
#define STATSD_LINE_MAX 1024 /* more is not sent: one datagram is to fit into one packet */

/* Characters that mean something in a line (, = : | @ # and blanks) become '_' in names, tags and values. */
typedef struct StatsdTag {
    const char *name;
    const char *value;
} StatsdTag;

typedef struct Statsd Statsd;

/* host: a name or an address. The tags, at most STATSD_TAG_MAX, go with every value; they are copied. */
Statsd *statsd_new(uv_loop_t *loop, const char *host, uint16_t port, const StatsdTag *tags, int tag_count,
                   Err *err);
void statsd_free(Statsd *statsd);

/*
 * tags besides those of statsd_new; one of the same name replaces it. False with *err if the value went
 * nowhere (see datagram_send) or has no finite number. A gauge below zero is set to 0 first, as the protocol
 * takes
 * "-5" for "less by five".
 */
bool statsd_gauge(Statsd *statsd, const char *name, double value, const StatsdTag *tags, int tag_count,
                  Err *err);
bool statsd_count(Statsd *statsd, const char *name, int64_t by, const StatsdTag *tags, int tag_count,
                  Err *err);
bool statsd_timing(Statsd *statsd, const char *name, double ms, const StatsdTag *tags, int tag_count,
                   Err *err);

#endif
