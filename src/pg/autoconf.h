/*
 * autoconf.h: settings in postgresql.auto.conf, the file that ALTER SYSTEM writes and that overrides
 * postgresql.conf.
 *
 * Only lines with our keys are touched: comments, foreign settings and even lines that PostgreSQL would
 * refuse stay as they are. The edit functions are pure; autoconf_write and autoconf_read block (workers
 * only). ALTER SYSTEM at the very same moment can undo the change, or the change it: there is no lock to
 * share with the server.
 */
#ifndef PGVIGIL_PG_AUTOCONF_H
#define PGVIGIL_PG_AUTOCONF_H

#include "base/err.h"
#include "base/str.h"

#define AUTOCONF_NAME      "postgresql.auto.conf"
#define AUTOCONF_FILE_MAX  ((size_t) 4 << 20)
#define AUTOCONF_VALUE_LEN 2048

typedef struct Setting {
    const char *name;
    const char *value; /* NULL: the key is removed */
} Setting;

/*
 * Appends to *ret_text the text with every occurrence of the keys taken out (names compare without case, as
 * PostgreSQL does) and the new ones, quoted, at the end. ERR_CONFIG if a name is none or a value has a line
 * break.
 */
bool autoconf_edit(const char *text, const Setting *settings, size_t count, Buf *ret_text, Err *err);

/* The value that counts (the last). False if the key is not there, its line is broken, or size is too small.
 */
bool autoconf_find(const char *text, const char *name, char *ret_value, size_t size);

/*
 * Edits the file of a data directory durably (atomic rename, fsync). *ret_changed, if not NULL, says whether
 * anything had to be written. A file that is missing counts as empty.
 */
bool autoconf_write(const char *data_directory, const Setting *settings, size_t count, bool *ret_changed,
                    Err *err);

/* Reads one value; *ret_found says whether it is there. ERR_IO if the file cannot be read. */
bool autoconf_read(const char *data_directory, const char *name, char *ret_value, size_t size,
                   bool *ret_found, Err *err);

#endif
