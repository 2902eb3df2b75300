/*
 * vip.h: putting an address on a device, announcing it, and taking it away.
 *
 * By netlink and raw sockets; needs CAP_NET_ADMIN, and CAP_NET_RAW to announce. The kernel answers netlink at
 * once, but these calls wait for it: not for the agent's loop.
 */
#ifndef PGVIGIL_NET_VIP_H
#define PGVIGIL_NET_VIP_H

#include "base/err.h"

#include <stdint.h>

typedef struct Vip {
    char text[64]; /* "10.0.0.100/24", for people */
    char device[16];
    uint8_t family; /* AF_INET, AF_INET6 */
    uint8_t prefix;
    uint8_t byte[16]; /* IPv4: the first four */
} Vip;

/*
 * Puts it there, or renews it: after lifetime_s seconds the kernel removes it by itself, whatever has become
 * of us. IPv6 without duplicate address detection: it is usable at once.
 */
bool vip_add(const Vip *vip, uint32_t lifetime_s, Err *err);

/* Not there is success; *ret_removed says whether it was. */
bool vip_remove(const Vip *vip, bool *ret_removed, Err *err);

/* Tells the machines of the network where it is now. It has to be there. */
bool vip_announce(const Vip *vip, Err *err);

#endif
