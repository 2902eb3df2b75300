/*
 * sizes.c: the row of the query for sizes.
 */
#include "pg/sizes.h"

#include "pg/conn.h"

#include <stdlib.h>

static int64_t number(const PGresult *result, int column)
{
    return strtoll(conn_value(result, column), NULL, 10);
}

Sizes sizes_read(const PGresult *result)
{
    return (Sizes){.server_us = number(result, 0),
                   .database_bytes = number(result, 1),
                   .wal_files = number(result, 2),
                   .wal_bytes = number(result, 3),
                   .slots = number(result, 4),
                   .primary_conninfo = conn_value(result, 5)};
}
