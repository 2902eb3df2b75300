/*
 * query.h: the SQL that is sent to the watched server, by server version.
 *
 * One prepared query per poll fetches in one row everything that changes; settings are fetched anew only
 * after a reload. Agents support PostgreSQL 12 and later: before that there is no standby.signal, and what is
 * needed to follow is no setting.
 */
#ifndef PGVIGIL_PG_QUERY_H
#define PGVIGIL_PG_QUERY_H

#include "base/err.h"
#include "pg/status.h"

#include <libpq-fe.h>

#define QUERY_VERSION_LEAST 120000u

/* ERR_REFUSED with the reason for a server that is too old; version as PQserverVersion. */
bool query_supports(uint32_t version, Err *err);

/* Sent once on each connection: session settings, and the poll query is prepared. */
const char *query_prepare(uint32_t version);

/* One row with all that changes. */
const char *query_poll(void);

/* What a poll's row has that is of use to the poller only. */
typedef struct QueryExtra {
    uint32_t stream_timeline; /* of what the walreceiver writes; 0: it does not stream */
    bool at_end;              /* the startup process waits for new WAL: all there was is replayed */
    char reloaded[40];        /* when that backend last read the configuration */
} QueryExtra;

/* Reads the row into *status (the fields that it has; others stay). ERR_PROTOCOL if it is not of that form.
 */
bool query_parse_poll(const PGresult *result, PgStatus *status, QueryExtra *ret_extra, Err *err);

/* Rows of settings, and which of them wait for a restart. */
const char *query_settings(void);
bool query_parse_settings(const PGresult *result, PgStatus *status, Err *err);

#endif
