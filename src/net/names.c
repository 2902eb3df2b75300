/*
 * names.c: a table of names, one lookup at a time.
 *
 * The lookup's request is on the heap and outlives the table if need be: a thread of libuv's pool works on
 * it.
 */
#include "net/names.h"

#include "base/str.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 4 /* of a name; more are not kept */
#define ROWS_FIRST    32
#define FRESH_US      (60 * US_PER_SEC)
#define TRY_AGAIN_US  (2 * US_PER_SEC) /* after a failure */

typedef struct Name {
    char host[NAMES_HOST_LEN]; /* "": free */
    char address[ADDRESSES_MAX][NAMES_ADDRESS_LEN];
    int count, current; /* addresses; the one that is given out */
    bool looked_up;
    bool wanted; /* waits for its lookup */
    Clock at;    /* of the last lookup's end */
    int64_t good_us;
} Name;

typedef struct Lookup {
    uv_getaddrinfo_t uv; /* first: freed by its address */
    Names *names;        /* NULL: the table is gone */
    int index;
} Lookup;

struct Names {
    uv_loop_t *loop;
    void (*on_change)(void *arg);
    void *arg;
    Lookup *lookup; /* under way, or NULL */
    Name *name;
    int count; /* rows; more are made as they are needed, up to NAMES_MAX */
};

Names *names_new(uv_loop_t *loop, void (*on_change)(void *arg), void *arg)
{
    Names *names = calloc(1, sizeof *names);

    if (names != NULL)
        *names = (Names){.loop = loop, .on_change = on_change, .arg = arg};
    return names;
}

void names_free(Names *names)
{
    if (names == NULL)
        return;
    if (names->lookup != NULL) {
        names->lookup->names = NULL;
        uv_cancel((uv_req_t *) &names->lookup->uv);
    }
    free(names->name);
    free(names);
}

static void begin_lookup(Names *names);

/* Takes over what was found; the address in use stays in use if it is among it. */
static void take_found(Name *name, const struct addrinfo *found)
{
    Name old = *name;
    char text[INET6_ADDRSTRLEN];

    name->count = name->current = 0;
    for (; found != NULL && name->count < ADDRESSES_MAX; found = found->ai_next) {
        char *address = name->address[name->count];
        if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        snprintf(address, NAMES_ADDRESS_LEN, found->ai_family == AF_INET6 ? "[%s]" : "%s", text);
        if (old.count > 0 && strcmp(address, old.address[old.current]) == 0)
            name->current = name->count;
        name->count++;
    }
    name->good_us = name->count > 0 ? FRESH_US : TRY_AGAIN_US;
    if (name->count > 0)
        return;
    memcpy(name->address, old.address, sizeof old.address);
    name->count = old.count;
    name->current = old.current;
}

static void on_lookup(uv_getaddrinfo_t *uv, int status, struct addrinfo *found)
{
    Lookup *lookup = (Lookup *) uv;
    Names *names = lookup->names;

    if (names != NULL) {
        Name *name = &names->name[lookup->index];
        name->wanted = false;
        name->looked_up = true;
        name->at = clock_now();
        take_found(name, status == 0 ? found : NULL);
        names->lookup = NULL;
        begin_lookup(names);
    }
    uv_freeaddrinfo(found);
    free(lookup);
    if (names != NULL)
        names->on_change(names->arg);
}

/* The next name that waits, if none is looked up now. */
static void begin_lookup(Names *names)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

    for (int i = 0; i < names->count && names->lookup == NULL; i++) {
        if (!names->name[i].wanted)
            continue;
        Lookup *lookup = calloc(1, sizeof *lookup);
        if (lookup == NULL)
            return;
        lookup->names = names;
        lookup->index = i;
        if (uv_getaddrinfo(names->loop, &lookup->uv, on_lookup, names->name[i].host, NULL, &hints) == 0) {
            names->lookup = lookup;
            return;
        }
        free(lookup);
        names->name[i].wanted = false;
    }
}

static bool is_numeric(const char *host, char *ret_address)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, host, &address) == 1)
        return str_copy(ret_address, NAMES_ADDRESS_LEN, host);
    if (inet_pton(AF_INET6, host, &address) != 1)
        return false;
    snprintf(ret_address, NAMES_ADDRESS_LEN, "[%s]", host);
    return true;
}

/* As many rows again. False: there are as many as may be, or memory ran out. */
static bool grow(Names *names)
{
    int count = names->count > 0 ? 2 * names->count : ROWS_FIRST;

    if (count > NAMES_MAX)
        return false;
    Name *rows = realloc(names->name, (size_t) count * sizeof *rows);
    if (rows == NULL)
        return false;
    memset(rows + names->count, 0, (size_t) (count - names->count) * sizeof *rows);
    names->name = rows;
    names->count = count;
    return true;
}

/* The row of a host, or a new one in a free place or that of the longest not looked up; NULL: none to spare.
 */
static Name *row_of(Names *names, const char *host)
{
    Name *oldest = NULL;
    int used = 0;

    while (used < names->count && names->name[used].host[0] != '\0') {
        Name *name = &names->name[used++];
        if (strcmp(name->host, host) == 0)
            return name;
        if (!name->wanted && (oldest == NULL || name->at.boot_us < oldest->at.boot_us))
            oldest = name;
    }
    if (used < names->count || grow(names))
        oldest = &names->name[used];
    if (oldest == NULL)
        return NULL;
    *oldest = (Name){0};
    str_copy(oldest->host, sizeof oldest->host, host);
    return oldest;
}

NamesFound names_find(Names *names, const char *host, char *ret_address)
{
    if (is_numeric(host, ret_address))
        return NAMES_KNOWN;
    if (host[0] == '\0' || strlen(host) >= NAMES_HOST_LEN)
        return NAMES_FAILED;
    Name *name = row_of(names, host);
    if (name == NULL)
        return NAMES_FAILED;
    Clock now = clock_now();
    if (!name->wanted && (!name->looked_up || clock_elapsed_most(&name->at, &now) >= name->good_us)) {
        name->wanted = true;
        begin_lookup(names);
    }
    if (name->count > 0) {
        str_copy(ret_address, NAMES_ADDRESS_LEN, name->address[name->current]);
        return NAMES_KNOWN;
    }
    return name->wanted ? NAMES_PENDING : NAMES_FAILED;
}

void names_unreachable(Names *names, const char *host, const char *address)
{
    for (int i = 0; i < names->count; i++) {
        Name *name = &names->name[i];
        if (name->count > 1 && strcmp(name->host, host) == 0 &&
            strcmp(name->address[name->current], address) == 0)
            name->current = (name->current + 1) % name->count;
    }
}
