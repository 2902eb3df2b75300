/*
 * slots.h: physical replication slots for the other data members, on every data node.
 *
 * The primary's slots are moved by the standbys that use them. A standby keeps slots too, so that whoever is
 * promoted holds the WAL that the others still need; nobody uses those, so they are advanced here.
 */
#ifndef PGVIGIL_ACTION_SLOTS_H
#define PGVIGIL_ACTION_SLOTS_H

#include "action/action.h"

#define SLOTS_PREFIX "pgvigil_"

typedef struct SlotsMember {
    const char *name;
    bool self;
    Lsn lsn; /* that member's own position as it says; LSN_NONE: unknown, its slot is not advanced */
} SlotsMember;

/*
 * To be called every few seconds with all data members. Compares them with the slots in poll_status and sends
 * what there is to do (create, advance, drop those that were kept here for a member that is gone, replace
 * lost ones); usually nothing. A slot that only looks like ours is left alone. Does nothing while the server
 * does not run, an earlier call is still at work, or use_slots is off.
 */
void slots_maintain(Actions *actions, const SlotsMember *members, size_t count);

/*
 * The name of a member's slot: SLOTS_PREFIX and the name in lower case, other characters as '_' and then with
 * a hash behind it, so that two names never share a slot. ret_name has room for PG_NAME_LEN.
 */
void slots_name(const char *member, char *ret_name);

/* Forgets what is under way; for actions_free. */
void slots_forget(Actions *actions);

#endif
