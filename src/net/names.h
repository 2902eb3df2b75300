/*
 * names.h: host names to numeric addresses, remembered for a minute; for src/net and src/notify.
 *
 * An address that was known once serves on until a newer one is found: a name server that is down must not
 * take a cluster apart. One name is looked up at a time, because each lookup can block a thread of libuv's
 * pool.
 */
#ifndef PGVIGIL_NET_NAMES_H
#define PGVIGIL_NET_NAMES_H

#include <stdbool.h>
#include <uv.h>

#define NAMES_MAX         4096 /* at a time; further ones take the place of those not looked up for longest */
#define NAMES_HOST_LEN    256
#define NAMES_ADDRESS_LEN 64

typedef struct Names Names;

/* on_change: an address was found, or is known not to be there. NULL when memory ran out. */
Names *names_new(uv_loop_t *loop, void (*on_change)(void *arg), void *arg);

/* Returns at once; a lookup under way ends by itself. NULL: nothing. */
void names_free(Names *names);

typedef enum NamesFound {
    NAMES_KNOWN,   /* ret_address is filled in */
    NAMES_PENDING, /* a lookup is under way or due; on_change follows */
    NAMES_FAILED,  /* no address is known; it is tried again after some seconds */
} NamesFound;

/* ret_address: as in a URL, IPv6 in brackets; NAMES_ADDRESS_LEN bytes. A numeric host is known at once. */
NamesFound names_find(Names *names, const char *host, char *ret_address);

/*
 * Nobody was reached there: if the name has more addresses, the next one is given out from now on. A name of
 * IPv6 and IPv4 addresses need not have somebody listen on both.
 */
void names_unreachable(Names *names, const char *host, const char *address);

#endif
