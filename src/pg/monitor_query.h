/*
 * monitor_query.h: what the monitor sends, by version and rights, and the reading of the row; private to
 * src/pg.
 */
#ifndef PGVIGIL_PG_MONITOR_QUERY_H
#define PGVIGIL_PG_MONITOR_QUERY_H

#include "base/str.h"
#include "pg/monitor.h"

#include <libpq-fe.h>

#define MONITOR_VERSION_LEAST 90600u

/*
 * Appends what is sent once on a connection: session settings, the prepared poll, and a row with the system
 * identifier. plain: without the functions that read the control file, for users who may not call them.
 */
void monitor_query_prepare(uint32_t version, bool heartbeat, bool plain, int64_t timeout_ms, Buf *ret_sql);

/* Reads a poll's row into the sample. ERR_PROTOCOL if it is not of that form; the sample is untouched then.
 */
bool monitor_query_parse(const PGresult *result, MonitorSample *sample, Err *err);

/* Sent at each poll. */
const char *monitor_query_poll(void);

#endif
