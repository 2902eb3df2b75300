/*
 * archive.h: a server without an archive until its next start, where the start command takes no options.
 *
 * pg_ctl is given restore_command= on its command line, and the next start has nothing of it. A service
 * manager takes no options: then it is written into postgresql.auto.conf, what stood there is noted in the
 * state directory, and the next start puts it back.
 */
#ifndef PGVIGIL_ACTION_ARCHIVE_H
#define PGVIGIL_ACTION_ARCHIVE_H

#include "action/role.h"

#define ARCHIVE_SETTINGS 2

typedef struct Archive {
    bool noted, off;
    bool found[ARCHIVE_SETTINGS];
    char value[ARCHIVE_SETTINGS][AUTOCONF_VALUE_LEN];
} Archive;

/* Worker: adds to role what turns the archive off, or what brings it back if it was; nothing if neither.
 * archive must live as long as role does. */
bool archive_prepare(const Run *run, bool off, Archive *archive, RoleSettings *role, Err *err);

/* Worker: role was written. */
void archive_done(const Run *run, const Archive *archive);

#endif
