/*
 * sessions.c: ends processes of this server that are in the way.
 */
#include "keeper/body.h"

#include <miscadmin.h>
#include <storage/proc.h>

#include <signal.h>

int sessions_end(bool (*is_in_the_way)(const PGPROC *proc))
{
    int ended = 0;

    for (int i = 0; i < MaxBackends; i++) {
        const PGPROC *proc = &ProcGlobal->allProcs[i];
        int pid = proc->pid;
        if (pid != 0 && pid != MyProcPid && is_in_the_way(proc))
            ended += kill(pid, SIGTERM) == 0;
    }
    return ended;
}
