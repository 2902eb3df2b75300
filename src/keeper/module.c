/*
 * module.c: where PostgreSQL enters the module pg_keeper.
 */
#include "keeper/keeper.h"

#include <fmgr.h>
#include <miscadmin.h>

PG_MODULE_MAGIC;

void _PG_init(void);

void _PG_init(void)
{
    if (!process_shared_preload_libraries_in_progress)
        return; /* the functions of CREATE EXTENSION say so when they are called */
    hooks_claim("pg_keeper");
    gucs_define();
    board_init();
    shared_init();
    check_init();
    resolve_init();
    worker_register();
    hooks_init();
}
