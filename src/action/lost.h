/*
 * lost.h: the transactions in WAL that the cluster does not have, read from what pg_waldump prints.
 */
#ifndef PGVIGIL_ACTION_LOST_H
#define PGVIGIL_ACTION_LOST_H

#include "base/str.h"

#include <stdint.h>

typedef struct LostReport LostReport;

#define LOST_RELATIONS_MAX 64

typedef struct LostRelation {
    uint32_t tablespace, database, node; /* node: its file's, as PostgreSQL's relfilenode */
} LostRelation;

typedef struct LostTotals {
    uint32_t commits;
    int64_t last_us; /* when the last commit was made, wall clock; 0: none */
} LostTotals;

/* Never NULL. Takes about a megabyte while transactions are under way. */
LostReport *lost_new(void);
void lost_free(LostReport *report); /* NULL: nothing */

/* "2026-11-20 21:05:11.123456 UTC", also with T in the middle; 0 if it is none. */
int64_t lost_parse_time(const char *text);

/* A line of pg_waldump's (LC_ALL=C, TZ=UTC), in the order of the WAL; others than records are passed over. */
void lost_line(LostReport *report, const char *line);

/*
 * The transactions that were committed, one line each: commit time, XID, position, bytes of its records and
 * relations as TABLESPACE/DATABASE/RELFILENODE; at most 4 MiB of it, then "... and more".
 */
const Buf *lost_text(const LostReport *report);
LostTotals lost_totals(const LostReport *report);

/* The relations that committed transactions touched, in the order of the WAL: the first LOST_RELATIONS_MAX.
 */
size_t lost_relations(const LostReport *report, LostRelation *ret_relations);

#endif
