/*
 * conninfo.h: libpq's connection strings, read without libpq.
 *
 * The server's libpq may be newer than ours: PQconninfoParse refuses a string with a keyword that it does not
 * know, and `pg_basebackup -R` writes all of them. (PostgreSQL's documentation, libpq, Connection Strings.)
 */
#ifndef PGVIGIL_PG_CONNINFO_H
#define PGVIGIL_PG_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

#define CONNINFO_LEN 2048

typedef void ConninfoFn(void *arg, const char *keyword, const char *value);

/*
 * Calls each for every keyword in turn; a URI is left to libpq. False if the string is broken, or longer than
 * CONNINFO_LEN allows: what came before that was told.
 */
bool conninfo_each(const char *conninfo, ConninfoFn *each, void *arg);

/* Appends keyword=value, quoted, to a string of that size; false, and nothing is appended, if it does not
 * fit. */
bool conninfo_add(char *conninfo, size_t size, const char *keyword, const char *value);

/*
 * What of a standby's primary_conninfo has to stay when it follows another server: all but who, where, and
 * how it is authenticated. A keyword that does not fit is left out.
 */
void conninfo_keep(const char *conninfo, char *ret_kept, size_t size);

#endif
