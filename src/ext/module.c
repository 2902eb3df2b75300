/*
 * module.c: where PostgreSQL enters the library.
 */
#include "ext/ext.h"

#include <fmgr.h>
#include <miscadmin.h>

PG_MODULE_MAGIC;

void _PG_init(void);

const char *const wait_names[WAITS] = {
    [WAIT_MAIN] = "PgvigilMain",
    [WAIT_LEASE] = "PgvigilLease",
    [WAIT_CONFIRM] = "PgvigilConfirm",
};

void _PG_init(void)
{
    if (!process_shared_preload_libraries_in_progress)
        return; /* CREATE EXTENSION's functions work all the same, and say that there is no fence */
    if (IsBinaryUpgrade)
        return; /* pg_upgrade's own server has no agent, nor clients */
    hooks_claim("pgvigil");
    gucs_define();
    map_init();
    shared_init();
    check_init();
    worker_init();
    hooks_init();
}
