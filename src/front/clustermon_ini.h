/*
 * clustermon_ini.h: lines as Python's configparser reads them; private to src/front.
 */
#ifndef PGVIGIL_FRONT_CLUSTERMON_INI_H
#define PGVIGIL_FRONT_CLUSTERMON_INI_H

#include "base/arena.h"
#include "base/err.h"

typedef struct ClustermonIniEntry {
    const char *section; /* as it stands */
    const char *key;     /* in small letters */
    const char *value;   /* continued lines with a newline between them; %% is one per cent sign */
    int line;            /* from 1, of the key */
} ClustermonIniEntry;

/* entry and err as in the file; false ends the reading. The texts are the arena's. */
typedef bool ClustermonIniFn(void *arg, const ClustermonIniEntry *entry, Err *err);

/*
 * Calls on_entry for each key in order. ERR_CONFIG with the line: one that is neither section, key nor
 * comment, a key before the first section, %(name)s.
 */
bool clustermon_ini_read(const char *text, size_t len, Arena *arena, ClustermonIniFn *on_entry, void *arg,
                         Err *err);

#endif
