/*
 * reconcile.h: the table of nodes and the document; without PostgreSQL.
 */
#ifndef PGVIGIL_KEEPER_RECONCILE_H
#define PGVIGIL_KEEPER_RECONCILE_H

#include "core/core.h"
#include "keeper/nodes.h"

/* Who is to be added or removed next, one at a time; NULL: nobody now. Only a leader has something to do. */
const char *reconcile_next(const Core *core, const KeeperNodes *nodes, CommandKind *ret_kind);

/* Whoever left the table is a member until the document says that he is none, and has to be talked to. */
void reconcile_keep(const Core *core, const KeeperNodes *before, KeeperNodes *nodes);

#endif
