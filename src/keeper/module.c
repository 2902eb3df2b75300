/*
 * module.c: where PostgreSQL enters the module pg_keeper.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>

PG_MODULE_MAGIC;

void _PG_init(void);

const char *const wait_names[WAITS] = {
    [WAIT_MAIN] = "PgKeeperMain",
    [WAIT_LEASE] = "PgKeeperLease",
    [WAIT_CONFIRM] = "PgKeeperConfirm",
    [WAIT_EXCHANGE] = "PgKeeperExchange",
    [WAIT_SWITCHOVER] = "PgKeeperSwitchover",
    [WAIT_POLLING] = "PgKeeperPolling",
    [WAIT_NAMES] = "PgKeeperNames",
};

void _PG_init(void)
{
    static const PGFunction read_nothing[] = {pgkeeper_exchange, pgkeeper_status, NULL};

    if (!process_shared_preload_libraries_in_progress)
        return; /* the functions of CREATE EXTENSION say so when they are called */
    if (IsBinaryUpgrade)
        return; /* pg_upgrade's own server is no node of any cluster, and talks to none */
    hooks_claim("pg_keeper");
    gucs_define();
    board_init();
    shared_init();
    check_init();
    resolve_init();
    worker_register();
    confirm_spare(read_nothing);
    feed_init();
    hooks_init();
}
