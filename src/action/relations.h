/*
 * relations.h: names for the relations in a report of lost transactions; for save.c.
 */
#ifndef PGVIGIL_ACTION_RELATIONS_H
#define PGVIGIL_ACTION_RELATIONS_H

#include "action/lost.h"
#include "action/run.h"

/* A reasonable list for people; the lines of the report have all numbers. */
#define RELATIONS_DATABASES_MAX 8

typedef struct RelationsData {
    LostRelation relation[LOST_RELATIONS_MAX];
    size_t count;
    struct {
        uint32_t oid;
        char name[64];
    } database[RELATIONS_DATABASES_MAX];
    int databases, at; /* at: the one that is being asked in */
    RunStep *then;
    Buf text; /* a line each: relation=, database=, name= */
} RelationsData;

/*
 * Asks the server at the request's host, database by database, what the first LOST_RELATIONS_MAX relations of
 * the report are called there, fills data->text, and goes on, whatever became of it: without a host, without
 * an answer, or for a relation that is not there any more, there is no line. The caller frees data->text.
 */
void relations_name(Run *run, RelationsData *data, const LostReport *report, RunStep *then);

#endif
