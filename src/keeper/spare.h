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
        Clock answered; /* it has a vote, with the identity that the document means */
        Clock asked;    /* it is closed, and wants to be rewound as well */
    } word[MEMBER_MAX];
    Clock since;  /* that it can be spared, without a break */
    Clock looked; /* spare_can_leave, last */
} Spare;

/*
 * What another member says of itself, at this moment: MSG_HELLO, by which a closed one asks, counts as that,
 * and MSG_HELLO_ACK as a vote; nothing else counts. To be told all the time, also while this node is not
 * closed.
 */
void spare_hear(Spare *spare, const Core *core, MemberNo no, const Msg *msg, const Clock *now);

/*
 * True: of other members a majority answers, not counting those in earlier slots that ask: they go first, and
 * the next when they have their votes again, or ask no more. It must have been so for two leases, in which
 * this is called, and MSG_HELLO sent to all, at least as often as a heartbeat goes out; after a pause they
 * begin anew. False, with what is waited for and the cure in ret_why ("": only for that time). Who goes says
 * nothing more.
 */
bool spare_can_leave(Spare *spare, const Core *core, const Clock *now, char *ret_why, size_t size);

#endif
