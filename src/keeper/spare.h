/*
 * spare.h: whether the cluster can spare this node's vote, which a rewind or a new copy takes; without
 * PostgreSQL.
 */
#ifndef PGVIGIL_KEEPER_SPARE_H
#define PGVIGIL_KEEPER_SPARE_H

#include "core/core.h"

/* All zero: nobody was heard. */
typedef struct Spare {
    struct {
        Clock at;
        bool votes;  /* with the identity that the document means */
        bool closed; /* it waits to be rewound as well */
    } word[MEMBER_MAX];
    Clock since; /* that it can be spared, without a break */
} Spare;

/* Another member's own word, of this moment; a relayed one does not tell who it is. */
void spare_hear(Spare *spare, const Core *core, MemberNo no, const Msg *msg, const Clock *now);

/*
 * True: what other members have of votes is a majority, and no other closed one goes at the same time: the
 * first of them does, the next when that one has its vote again. To be asked again and again, at least as
 * often as a heartbeat goes out: it must have been so for two leases. False, with what is waited for in
 * ret_why ("": only for that time).
 */
bool spare_can_leave(Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size);

#endif
