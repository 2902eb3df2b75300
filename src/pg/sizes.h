/*
 * sizes.h: what is slow to find out of a big server: the size of its databases and of pg_wal.
 *
 * To be asked seldom, over a connection of its own: the query sets a statement timeout for it. For superusers
 * and members of pg_monitor; PostgreSQL 10 and later.
 */
#ifndef PGVIGIL_PG_SIZES_H
#define PGVIGIL_PG_SIZES_H

#include <libpq-fe.h>
#include <stdint.h>

#define SIZES_STATEMENT_MS 30000

#define SIZES_QUERY                                                                                          \
    "SET statement_timeout = 30000; SET lock_timeout = 5000;"                                                \
    " SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"                                     \
    " (SELECT sum(pg_database_size(oid))::bigint FROM pg_database),"                                         \
    " w.files, w.bytes, (SELECT count(*) FROM pg_replication_slots),"                                        \
    " current_setting('primary_conninfo', true)"                                                             \
    " FROM (SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM pg_ls_waldir()) w"

typedef struct Sizes {
    int64_t server_us; /* the server's own clock then */
    int64_t database_bytes, wal_files, wal_bytes, slots;
    const char *primary_conninfo; /* the result's; it may have a password in it. "": none */
} Sizes;

/* Reads the row of the query. */
Sizes sizes_read(const PGresult *result);

#endif
