/*
 * block.h: does a disk take a write: of one block, below a server's data directory.
 *
 * It blocks for as long as the disk does: for workers, and whoever else may wait.
 */
#ifndef PGVIGIL_PG_BLOCK_H
#define PGVIGIL_PG_BLOCK_H

#include "base/err.h"

/*
 * Returns 0 when a block is on the disk below the data directory, and on that of pg_wal if it is another;
 * else errno, with the text. A data directory that was emptied under its server counts as a failed write.
 */
int block_write(const char *data_directory, Err *err);

#endif
