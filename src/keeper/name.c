/*
 * name.c: what a node is called by its user, and inside: the one place that makes the second of the first.
 *
 * The core, its files and PostgreSQL's application_name take few letters, and synchronous_standby_names
 * compares without case. So a name of other letters has an id that is made of it: 'A' and 'a' are two nodes.
 */
#include "keeper/name.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-_"
#define KEPT    20 /* of the name's letters; the rest of an id is "-" and the hash */

bool name_is_valid(const char *name)
{
    size_t len = strlen(name), letter;

    if (len == 0 || len >= NODE_NAME_LEN)
        return false;
    for (const char *c = name; *c != '\0'; c += letter) {
        const unsigned char *byte = (const unsigned char *) c;
        letter = str_utf8_len(c);
        if (letter == 0 || *byte < ' ' || *byte == 0x7f ||
            (byte[0] == 0xc2 && byte[1] < 0xa0)) /* the last are U+0080 to U+009F */
            return false;
    }
    return true;
}

/* FNV-1a: nobody has to be kept from finding two names of one hash, since add_node refuses the second. */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char) *c) * UINT64_C(0x100000001b3);
    return hash >> 24;
}

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

void name_make_id(const char *name, char *ret_id)
{
    size_t len = strspn(name, LETTERS), kept = 0;

    if (len > 0 && len < MEMBER_NAME_LEN && name[len] == '\0') {
        memcpy(ret_id, name, len + 1);
        return;
    }
    for (const char *c = name; *c != '\0' && kept < KEPT; c++) {
        bool fits = strchr(LETTERS, small(*c)) != NULL;
        if (fits || kept == 0 || ret_id[kept - 1] != '-')
            ret_id[kept++] = fits ? small(*c) : '-';
    }
    snprintf(ret_id + kept, MEMBER_NAME_LEN - kept, "-%010llx", (unsigned long long) hash_of(name));
}

bool name_of_place(const char *host, const char *port, char *ret_name)
{
    int len = snprintf(ret_name, NODE_NAME_LEN, "%s-%s", host, port);

    for (char *c = ret_name; *c != '\0'; c++) {
        *c = small(*c);
        if (strchr(LETTERS, *c) == NULL)
            *c = '-';
    }
    return len < NODE_NAME_LEN;
}
