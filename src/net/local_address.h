/*
 * local_address.h: addresses of this machine.
 */
#ifndef PGVIGIL_NET_LOCAL_ADDRESS_H
#define PGVIGIL_NET_LOCAL_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>

/*
 * Whether one of the list (getaddrinfo's; NULL: an empty one) is at an interface of this machine now. Every
 * host has loopback addresses: whoever asks which of several hosts this is leaves them out. False, too, if
 * the interfaces cannot be read.
 */
bool local_address_any(const struct addrinfo *addresses, bool with_loopback);

/* That host, as a connection string names it ("": libpq's default), is only this machine: no other can use
 * it. */
bool local_address_only(const char *host);

/* Where this machine reaches what listens at that numeric address: loopback if it listens on all of them. */
const char *local_address_reached(const char *listen);

#endif
