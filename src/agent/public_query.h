/*
 * public_query.h: the parameters of a health check, as Patroni has them, and min_lsn.
 */
#ifndef PGVIGIL_AGENT_PUBLIC_QUERY_H
#define PGVIGIL_AGENT_PUBLIC_QUERY_H

#include "base/err.h"
#include "base/types.h"
#include "config/tags.h"

typedef struct PublicQuery {
    unsigned seen; /* bits of the table in public_query.c */
    bool has_lag;
    int64_t lag; /* bytes */
    bool has_min_lsn;
    Lsn min_lsn;
    bool by_write;                    /* mode=write: what was received counts, not what was replayed */
    char replication_state[TAGS_LEN]; /* "": any that streams */
    size_t tag_count;
    struct {
        char key[TAGS_KEY_LEN];
        char value[TAGS_LEN];
    } tag[TAGS_MAX];
} PublicQuery;

/*
 * Takes one argument into *query, which was zero at first. False with ERR_PROTOCOL if it is unknown, given
 * twice, too long, or its value cannot be read; the text is for whoever asked.
 */
bool public_query_take(PublicQuery *query, const char *name, const char *value, Err *err);

#endif
