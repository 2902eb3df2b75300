/*
 * panic.c: what assert() calls in the core: no abort() inside PostgreSQL, which would take every session
 * along.
 *
 * The fence is shut and the worker ends; the postmaster starts another one, which begins from what is on
 * disk.
 */
#include "keeper/keeper.h"

#include <assert.h>
#include <storage/ipc.h>

void __assert_fail(const char *what, const char *file, unsigned int line, const char *function)
{
    FenceFile *fence = board_fence();

    if (fence != NULL)
        fence_write(fence, &FENCE_UNKNOWN);
    ereport(LOG, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("pg_keeper: assertion failed: %s", what),
                  errdetail("%s:%u %s. The fence is closed, and the worker ends.", file, line, function)));
    proc_exit(1);
}
