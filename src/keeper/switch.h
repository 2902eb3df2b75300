/*
 * switch.h: the order for a planned switchover, on its way from the session that gives it to the worker and
 * back.
 */
#ifndef PGVIGIL_KEEPER_SWITCH_H
#define PGVIGIL_KEEPER_SWITCH_H

#include "keeper/body.h"

/* ---- The shared memory, as board.c makes it ---- */

Size switch_size(void);
void switch_startup(void); /* with AddinShmemInitLock held */

/* ---- The worker ---- */

/* At its start: nobody knows any more what became of an order that the worker before had taken. */
void switch_attach(void);
/*
 * Somebody has ordered a switchover to a member: the core is to be told, by that token, and the id. What
 * cannot be told to it is answered here. core: NULL if there is none.
 */
bool switch_due(const Core *core, const KeeperNodes *nodes, uint32 token, char *ret_id);
/* The core does not carry it out; false: that was another order. */
bool switch_refused(uint32 token, const char *why);
/* Looks whether it has ended. */
void switch_look(const Core *core);

#endif
