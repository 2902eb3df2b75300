/*
 * dsn.h: a libpq connection string taken apart, so that its hosts can be tried one after the other.
 *
 * libpq would resolve names while everybody waits, and would wait for a silent host for as long as it takes:
 * here each host is a target of its own for conn_connect, with its own deadline.
 */
#ifndef PGVIGIL_PG_DSN_H
#define PGVIGIL_PG_DSN_H

#include "base/err.h"
#include "pg/conn.h"

#define DSN_HOSTS_MAX 8
#define DSN_LEN_MAX   4096

typedef struct Dsn Dsn;

/*
 * Reads a URI or keywords with values (PostgreSQL's documentation, libpq, Connection Strings). NULL with
 * ERR_CONFIG: what is wrong, without a password. What the string does not say, the environment may (PGHOST
 * and the like), as ever with libpq; service= is refused, because its file may name another host.
 */
Dsn *dsn_parse(const char *text, Err *err);

/* 1 to DSN_HOSTS_MAX. */
int dsn_hosts(const Dsn *dsn);

/* The host-th, with all else that the string says; valid until dsn_free. */
ConnTarget dsn_target(const Dsn *dsn, int host);

/* "db1:5432", for people; no host: the socket. */
void dsn_host_name(const Dsn *dsn, int host, char *ret_text, size_t size);

/* Wipes it. NULL: nothing. */
void dsn_free(Dsn *dsn);

#endif
