/*
 * porter_vip.h: a virtual address as the porter has it; private to src/agent.
 */
#ifndef PGVIGIL_AGENT_PORTER_VIP_H
#define PGVIGIL_AGENT_PORTER_VIP_H

#include "agent/porter.h"

typedef struct PorterVip {
    PorterState state;
    bool may_be_there; /* it was put there, or may have been, and was not seen to be gone since */
    bool stays;        /* the last removal failed */
    int64_t again_us;  /* boot clock: not before */
    int64_t since_us;  /* put there */
    size_t announced;
} PorterVip;

/*
 * Holds the address if wanted, and then renews and announces it; removes it if not, also where it was never
 * ours to put there: who does not hold the lease must not have it. reason: why it is not wanted. True: its
 * state is another one.
 */
bool porter_vip_look(PorterVip *held, const Vip *vip, uint32_t lifetime_s, bool wanted, const char *reason,
                     const Clock *now);

/* The configuration's address in the terms of net. */
void porter_vip_copy(const ConfigVip *from, Vip *ret);

#endif
