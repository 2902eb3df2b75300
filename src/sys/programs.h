/*
 * programs.h: where postgres, pg_ctl, pg_rewind and the others are. One answer for the daemon and for check.
 */
#ifndef PGVIGIL_SYS_PROGRAMS_H
#define PGVIGIL_SYS_PROGRAMS_H

#include "base/err.h"

#include <stddef.h>

/*
 * The directory of PostgreSQL's programs: configured, if it is neither NULL nor ""; else that of the version
 * in PG_VERSION of the data directory (NULL: none), as Debian and Red Hat lay them out; without a PG_VERSION
 * the newest there is; else where PATH finds postgres. ERR_CONFIG with the cure if there is none, and
 * *ret_path is then of no meaning. Blocks on the disk.
 */
bool programs_find(const char *configured, const char *data_directory, char *ret_path, size_t size, Err *err);

/*
 * What execvp would run: the program itself if its name has a slash, else the first in PATH. False if there
 * is none that this user may run, or its path does not fit.
 */
bool programs_in_path(const char *program, char *ret_path, size_t size);

#endif
