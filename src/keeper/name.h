/*
 * name.h: a node's name, and its id, which is what it is called in the core.
 */
#ifndef PGVIGIL_KEEPER_NAME_H
#define PGVIGIL_KEEPER_NAME_H

#include <stdbool.h>

#include "base/types.h"

#define NODE_NAME_LEN 64 /* with its end */

/* ---- name.c ---- */

/* UTF-8 that can be printed, and not too long. */
bool name_is_valid(const char *name);
/* The name itself if it is 1 to 31 of a-z, 0-9, - and _. ret_id has room for MEMBER_NAME_LEN. */
void name_make_id(const char *name, char *ret_id);
/*
 * The name of a node that has none: "db1.example.com", "5432" is db1-example-com-5432. ret_name has room for
 * NODE_NAME_LEN; false: it was cut off.
 */
bool name_of_place(const char *host, const char *port, char *ret_name);

/* ---- name_server.c ---- */

/* From and to the encoding of the database, in a transaction; ERROR if a letter is not in it. */
char *name_from_server(char *text);
char *name_to_server(char *text);

#endif
