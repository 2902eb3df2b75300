/*
 * store.h: the record that must survive a crash, in two slots that are written in turn.
 *
 * One file, no rename: a save is a pwrite and an fdatasync of the older slot. Whatever goes wrong, the other
 * slot still holds the newest record that was ever reported as saved.
 */
#ifndef PGVIGIL_STORE_STORE_H
#define PGVIGIL_STORE_STORE_H

#include "wire/codec.h"

typedef struct Store Store;

/*
 * Opens STATE_DIR/CLUSTER.state, making it and the directory (0700) if need be, and locks
 * STATE_DIR/CLUSTER.lock for this process. ERR_REFUSED if another process holds it. Blocks; at start-up only.
 * Free with store_close.
 */
bool store_open(const char *state_dir, const char *cluster, Store **ret, Err *err);

/*
 * Reads the newest record. *ret_found is false for a new file: the caller then takes a new node_uuid. One
 * damaged slot is logged and overcome. ERR_IO if both are damaged or the file cannot be read, ERR_CONFIG if a
 * newer version wrote it; the file is left as it is. Must be called, and succeed, before the first
 * store_save.
 */
bool store_load(Store *store, Persist *ret, bool *ret_found, Err *err);

/*
 * Writes and syncs the record. Blocks; any thread, one call at a time. After an error the record may or may
 * not be found by the next process; the one before it is safe, and the next store_save writes the same slot
 * again.
 */
bool store_save(Store *store, const Persist *persist, Err *err);

/*
 * False: the file was removed, or another one is in its place, and what is saved is found by nobody. True
 * also if that cannot be looked at.
 */
bool store_is_in_place(const Store *store);

/* Gives the lock back. NULL is fine. */
void store_close(Store *store);

#endif
