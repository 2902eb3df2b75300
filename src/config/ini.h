/*
 * ini.h: the sections, keys and values of an INI file with their lines.
 *
 * Comments begin with # or ; at the start of a line, or with " ;" behind a value. Indentation means nothing,
 * a value is on one line.
 */
#ifndef PGVIGIL_CONFIG_INI_H
#define PGVIGIL_CONFIG_INI_H

#include "base/err.h"

#define INI_FILE_MAX (256 * 1024)
#define INI_LINE_MAX 197 /* inih's */

/* One line with a key. Texts are valid during the call only. */
typedef struct IniEntry {
    const char *section; /* "" before the first */
    const char *key;
    const char *value;
    int line; /* from 1 */
} IniEntry;

typedef void IniEntryFn(void *arg, const IniEntry *entry);
typedef void IniProblemFn(void *arg, int line, const char *text);

/*
 * Calls on_entry for each key in order, on_problem for each line that is none. False only if the file cannot
 * be read (too large, binary, not there).
 */
bool ini_read(const char *path, IniEntryFn *on_entry, IniProblemFn *on_problem, void *arg, Err *err);

#endif
