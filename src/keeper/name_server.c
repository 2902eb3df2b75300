/*
 * name_server.c: names from and to the encoding of the database; inside they are UTF-8.
 */
#include "keeper/keeper.h"

#include <mb/pg_wchar.h>

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
