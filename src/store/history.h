/*
 * history.h: what happened to the cluster, one JSON object a line in STATE_DIR/CLUSTER.history.
 *
 * At 1 MiB the file becomes CLUSTER.history.1 and a new one begins; so there is always at least the newest
 * MiB.
 */
#ifndef PGVIGIL_STORE_HISTORY_H
#define PGVIGIL_STORE_HISTORY_H

#include "base/err.h"
#include "base/str.h"

#define HISTORY_FILE_MAX (1024 * 1024)
#define HISTORY_LINE_MAX 4096

/* Appends one line (as codec_history_line makes it) and syncs. Blocks; in a worker, one call at a time. */
bool history_append(const char *state_dir, const char *cluster, const char *line, Err *err);

/*
 * Appends the newest max_lines entries, oldest first, as a JSON array. Lines that a crash cut off are left
 * out; no file is no entries. Blocks; any thread but the loop's.
 */
bool history_read(const char *state_dir, const char *cluster, size_t max_lines, Buf *out, Err *err);

#endif
