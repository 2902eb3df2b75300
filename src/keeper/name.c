/*
 * name.c: what a node is called by its user, and inside: the one place that makes the second of the first.
 *
 * The core, its files and PostgreSQL's application_name take few letters, and synchronous_standby_names
 * compares without case. So a name of other letters has an id that is made of it: 'A' and 'a' are two nodes.
 */
#include "keeper/keeper.h"

#include <mb/pg_wchar.h>

#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-_"
#define KEPT    20 /* of the name's letters; the rest of an id is "-" and the hash */

bool name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= NODE_NAME_LEN || !pg_verify_mbstr(PG_UTF8, name, (int) len, true))
        return false;
    for (const unsigned char *c = (const unsigned char *) name; *c != '\0'; c++)
        if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0)) /* the last are U+0080 to U+009F */
            return false;
    return true;
}

/* FNV-1a: nobody has to be kept from finding two names of one hash, since add_node refuses the second. */
static uint64 hash_of(const char *name)
{
    uint64 hash = UINT64CONST(0xcbf29ce484222325);

    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char) *c) * UINT64CONST(0x100000001b3);
    return hash >> 24;
}

void name_make_id(const char *name, char *ret_id)
{
    size_t len = strspn(name, LETTERS), kept = 0;

    if (len > 0 && len < MEMBER_NAME_LEN && name[len] == '\0') {
        memcpy(ret_id, name, len + 1);
        return;
    }
    for (const char *c = name; *c != '\0' && kept < KEPT; c++) {
        char small = *c >= 'A' && *c <= 'Z' ? (char) (*c - 'A' + 'a') : *c;
        bool fits = strchr(LETTERS, small) != NULL;
        if (fits || kept == 0 || ret_id[kept - 1] != '-')
            ret_id[kept++] = fits ? small : '-';
    }
    snprintf(ret_id + kept, MEMBER_NAME_LEN - kept, "-%010llx", (unsigned long long) hash_of(name));
}

/* As it is where nothing can be converted: what is wrong then is no valid name. */
static bool converts(void)
{
    return GetDatabaseEncoding() != PG_SQL_ASCII && GetDatabaseEncoding() != PG_UTF8;
}

char *name_from_server(char *text)
{
    return converts() ? pg_server_to_any(text, (int) strlen(text), PG_UTF8) : text;
}

char *name_to_server(char *text)
{
    return converts() ? pg_any_to_server(text, (int) strlen(text), PG_UTF8) : text;
}
