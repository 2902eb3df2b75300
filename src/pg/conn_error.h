/*
 * conn_error.h: libpq's messages as one line and an SQLSTATE; private to src/pg.
 */
#ifndef PGVIGIL_PG_CONN_ERROR_H
#define PGVIGIL_PG_CONN_ERROR_H

#include "pg/conn.h"

/* Makes the reply a failure. message: libpq's, verbose or not; it becomes one line without source location.
 */
void conn_error_set(ConnReply *reply, ErrCode code, const char *message);

#endif
