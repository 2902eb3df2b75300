/*
 * passfile.h: libpq's password file, where a password is wanted before there is a server to ask for it.
 */
#ifndef PGVIGIL_PG_PASSFILE_H
#define PGVIGIL_PG_PASSFILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The first password in the file that is for this user, on whatever host, port and database (PostgreSQL's
 * documentation, libpq, The Password File). False if there is none, path is "" or NULL, or the file cannot be
 * read: *ret_password is "" then. Who has it clears it.
 */
bool passfile_find(const char *path, const char *user, char *ret_password, size_t size);

#endif
