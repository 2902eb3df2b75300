/*
 * local_address.c: addresses of this machine.
 */
#include "net/local_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static bool is_same(const struct sockaddr *a, const struct sockaddr *b)
{
    if (b == NULL || a->sa_family != b->sa_family) /* an interface without an address has none */
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *) a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *) b)->sin_addr.s_addr;
    return a->sa_family == AF_INET6 && memcmp(&((const struct sockaddr_in6 *) a)->sin6_addr,
                                              &((const struct sockaddr_in6 *) b)->sin6_addr, 16) == 0;
}

bool local_address_any(const struct addrinfo *addresses, bool with_loopback)
{
    struct ifaddrs *interfaces = NULL;
    bool found = false;

    if (getifaddrs(&interfaces) != 0)
        return false;
    for (const struct addrinfo *a = addresses; a != NULL && !found; a = a->ai_next)
        for (const struct ifaddrs *i = interfaces; i != NULL && !found; i = i->ifa_next)
            found = (with_loopback || (i->ifa_flags & IFF_LOOPBACK) == 0) && is_same(a->ai_addr, i->ifa_addr);
    freeifaddrs(interfaces);
    return found;
}

const char *local_address_reached(const char *listen)
{
    if (strcmp(listen, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(listen, "::") == 0 ? "::1" : listen;
}

bool local_address_only(const char *host)
{
    return host[0] == '\0' || host[0] == '/' || host[0] == '@' || strcmp(host, "localhost") == 0 ||
           strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}
