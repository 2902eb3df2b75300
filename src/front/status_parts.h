/*
 * status_parts.h: how poolstatus prints rows, and what it asks in SQL; private to src/front.
 */
#ifndef PGVIGIL_FRONT_STATUS_PARTS_H
#define PGVIGIL_FRONT_STATUS_PARTS_H

#include "front/args.h"
#include "front/repmgr.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>

/* As psql's aligned form. */
void status_print_table(FILE *file, const PGresult *rows);

/* Parameter | value, one block for each row. */
void status_print_blocks(FILE *file, const PGresult *rows);

/* The per cent in use of the last line of `df -P`; ret_text is left alone if there is none. */
void status_parse_disk(const char *text, char *ret_text, size_t size);

/* Position and whether WAL's process runs, in PostgreSQL 10's names or in those before. */
const char *status_sql_position(bool is_new, bool is_primary);

/* All events and those of a day, of repmgr 3 or of 4 and 5. */
const char *status_sql_events(int version);

/* The exit code of poolstatus for: pgpool, a primary and a standby are found, but something else lacks. */
#define POOLSTATUS_USABLE 3

extern const ArgsOption poolstatus_options[];
int poolstatus_run(int argc, char **argv);

#endif
