/*
 * wait.c: what this module's waits are called in pg_stat_activity.
 *
 * Making a number takes a lock of the server's, and that lock may be with a frozen session: nothing for a
 * commit, nor for a worker with a lease. So the postmaster makes them all, with the shared memory that they
 * are in, and its children inherit them.
 */
#include "ext/ext.h"

static uint32 events[WAITS];

void wait_startup(void)
{
    for (int i = 0; i < WAITS; i++)
        if (wait_names[i] != NULL)
            events[i] = version_wait_event(wait_names[i]);
}

uint32 wait_event(Wait wait)
{
    return events[wait];
}
