/*
 * lookout_standby.h: the files that make a server a standby of a certain primary; private to src/front.
 *
 * Both functions block on the disk: workers only.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_STANDBY_H
#define PGVIGIL_FRONT_LOOKOUT_STANDBY_H

#include "base/err.h"
#include "pg/conninfo.h"
#include "pg/datadir.h"

typedef enum LookoutOwn { LOOKOUT_OWN_STANDBY, LOOKOUT_OWN_PRIMARY, LOOKOUT_OWN_DOWN } LookoutOwn;

typedef enum LookoutTodo {
    LOOKOUT_STANDBY_NOTHING, /* it follows that primary already */
    LOOKOUT_STANDBY_RELOAD,  /* write, then SIGHUP to the postmaster */
    LOOKOUT_STANDBY_RESTART, /* stop, write, start */
} LookoutTodo;

typedef struct LookoutStandby {
    char directory[DATADIR_PATH_LEN];
    char conninfo[CONNINFO_LEN]; /* the one that is wanted */
    LookoutOwn state;            /* as the polls show it */
    uint64_t system_identifier;  /* the primary's; 0: unknown */
    bool owed;                   /* it is down because we stopped it: whatever its files say, it is started */
    LookoutTodo todo;
    uint32_t major;
    pid_t postmaster;
    Err err;
} LookoutStandby;

/*
 * Sets todo, postmaster and err. A former primary, and a server that is down, get their standby.signal (or
 * recovery.conf) at once, before anything stops or starts.
 */
void lookout_standby_look(LookoutStandby *standby);

/* Writes the rest; err if the server should be down by now and is not. */
void lookout_standby_write(LookoutStandby *standby);

#endif
