/*
 * mark.h: whether a file is still the one that was made at this place, or came with a copy; without
 * PostgreSQL.
 */
#ifndef PGVIGIL_KEEPER_MARK_H
#define PGVIGIL_KEEPER_MARK_H

#include "base/err.h"

typedef enum Mark {
    MARK_SAME,    /* the file is the one that was marked */
    MARK_OTHER,   /* it is another one, or was never marked */
    MARK_NO_FILE, /* there is nothing of that name */
    MARK_UNKNOWN, /* one of the two cannot be read: *err says why; nothing may be concluded from that */
} Mark;

/* Both are paths; the mark is a small file beside the file. Blocks. */
Mark mark_look(const char *file, const char *mark, Err *err);
/*
 * Marks the file that is there now, and syncs that; one that is marked is left as it is, since a disk that is
 * full has no room for what is there already. False with ERR_IO if it cannot be written, or if it is not
 * known whether it has to be.
 */
bool mark_settle(const char *file, const char *mark, Err *err);

#endif
