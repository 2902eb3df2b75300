/*
 * relations.c: asks the primary what relations are called. Their file nodes are the same there, as far as
 * they are from before the fork and were not rewritten since.
 */
#include "action/relations.h"

#include "action/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASES_QUERY                                                                                      \
    "SELECT oid, datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY oid LIMIT 1000"
#define NAMES_QUERY_BEGIN "SELECT v.t, v.f, pg_catalog.format('%I.%I', n.nspname, c.relname) FROM (VALUES "
#define NAMES_QUERY_END                                                                                       \
    ") AS v (t, f) JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.pg_filenode_relation(v.t::oid, v.f::oid)" \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"

static RelationsData *data_of(Run *run)
{
    InspectData *data = run->data;

    return &data->relations;
}

static void done(Run *run)
{
    if (run->conn != NULL)
        conn_close(run->conn);
    data_of(run)->then(run);
}

static void connect_to(Run *run, const char *database, RunStep *then)
{
    const ActionSettings *s = &run->settings;
    ConnTarget target = {.host = run->host,
                         .port = run->request.port,
                         .user = s->user,
                         .database = database,
                         .passfile = s->passfile};

    run_connect(run, &target, 2 * ACT_QUERY_MS, then);
}

static void ask_next(Run *run);

static void on_names(Run *run)
{
    RelationsData *data = data_of(run);
    const PGresult *result = run->ok ? run->reply->result : NULL;

    for (int row = 0; result != NULL && row < PQntuples(result); row++)
        buf_printf(&data->text, "relation=%s/%u/%s database=%s name=%s\n", PQgetvalue(result, row, 0),
                   (unsigned) data->database[data->at].oid, PQgetvalue(result, row, 1),
                   data->database[data->at].name, PQgetvalue(result, row, 2));
    data->at++;
    ask_next(run);
}

static void on_database(Run *run)
{
    RelationsData *data = data_of(run);
    Buf sql = {0};
    int rows = 0;

    if (!run->ok) { /* one that lets nobody in is no reason not to ask the others */
        data->at++;
        ask_next(run);
        return;
    }
    buf_puts(&sql, NAMES_QUERY_BEGIN);
    for (size_t i = 0; i < data->count; i++)
        if (data->relation[i].database == data->database[data->at].oid)
            buf_printf(&sql, "%s(%u, %u)", rows++ > 0 ? ", " : "", (unsigned) data->relation[i].tablespace,
                       (unsigned) data->relation[i].node);
    buf_puts(&sql, NAMES_QUERY_END);
    run_query(run, sql.data != NULL ? sql.data : "", ACT_QUERY_MS, on_names);
    buf_done(&sql);
}

static void ask_next(Run *run)
{
    RelationsData *data = data_of(run);

    if (data->at < data->databases)
        connect_to(run, data->database[data->at].name, on_database);
    else
        done(run);
}

static bool is_touched(const RelationsData *data, uint32_t database)
{
    for (size_t i = 0; i < data->count; i++)
        if (data->relation[i].database == database)
            return true;
    return false;
}

static void on_databases(Run *run)
{
    RelationsData *data = data_of(run);
    const PGresult *result = run->ok ? run->reply->result : NULL;

    for (int row = 0; result != NULL && row < PQntuples(result) && data->databases < RELATIONS_DATABASES_MAX;
         row++) {
        uint32_t oid = (uint32_t) strtoul(PQgetvalue(result, row, 0), NULL, 10);
        if (!is_touched(data, oid) || !str_copy(data->database[data->databases].name,
                                                sizeof data->database[0].name, PQgetvalue(result, row, 1)))
            continue;
        data->database[data->databases++].oid = oid;
    }
    ask_next(run);
}

static void on_connected(Run *run)
{
    if (run->ok)
        run_query(run, DATABASES_QUERY, ACT_QUERY_MS, on_databases);
    else
        done(run);
}

void relations_name(Run *run, RelationsData *data, const LostReport *report, RunStep *then)
{
    data->then = then;
    data->count = lost_relations(report, data->relation);
    if (data->count == 0 || run->host[0] == '\0')
        then(run);
    else
        connect_to(run, run->settings.database, on_connected);
}
