/*
 * keep.h: this member's own configuration files, kept while rewind or clone puts the source's in their place.
 *
 * They wait in the state directory, so that they survive an agent that dies in between. All calls block:
 * workers only.
 */
#ifndef PGVIGIL_ACTION_KEEP_H
#define PGVIGIL_ACTION_KEEP_H

#include "action/run.h"

/* Copies the files that the data directory has. What is kept already, from a broken-off action, is not
 * overwritten. */
bool keep_save(const Run *run, Err *err);

/* Puts them into directory. *ret_any: there were some. */
bool keep_restore(const Run *run, const char *directory, bool *ret_any, Err *err);

/* They are in place again. */
bool keep_discard(const Run *run, Err *err);

#endif
