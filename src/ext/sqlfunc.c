/*
 * sqlfunc.c: what the SQL functions of the extension call: the fence, and the documents that the agent leaves
 * beside the fence file.
 */
#include "ext/ext.h"

#include <catalog/pg_type.h>
#include <fmgr.h>
#include <funcapi.h>
#include <mb/pg_wchar.h>
#include <storage/fd.h>
#include <utils/builtins.h>
#include <utils/timestamp.h>

#include "sys/clock.h"

/* The agent keeps far below. */
#define DOCUMENT_MOST (4 * 1024 * 1024)
#define FENCE_ENDING  ".fence"

PG_FUNCTION_INFO_V1(pgvigil_fence);
PG_FUNCTION_INFO_V1(pgvigil_document);

static Datum interval_of(int64 us)
{
    Interval *interval = palloc0(sizeof *interval);

    interval->time = us;
    return IntervalPGetDatum(interval);
}

/* loaded, open, reason, epoch, remaining, agent_seen, waits, refusals, cut */
Datum pgvigil_fence(PG_FUNCTION_ARGS)
{
    enum { LOADED, OPEN, REASON, EPOCH, REMAINING, AGENT_SEEN, WAITS, REFUSALS, CUT, COLUMNS };
    bool loaded = gucs_fence_file != NULL;
    Datum values[COLUMNS] = {0};
    bool nulls[COLUMNS] = {0};
    TupleDesc row;
    Fence fence;

    if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE || row->natts != COLUMNS)
        ereport(ERROR, (errmsg("pgvigil.fence() is declared otherwise than this library has it"),
                        errhint("ALTER EXTENSION pgvigil UPDATE")));
    Clock now = clock_now();
    Closed closed = check_fence(&fence, true);
    int64 untouched_us = map_untouched_us(&now);

    values[LOADED] = BoolGetDatum(loaded);
    values[OPEN] = BoolGetDatum(loaded && closed == CLOSED_NOT);
    values[REASON] = CStringGetTextDatum(
        loaded ? check_text(closed)
               : "The library is not loaded: shared_preload_libraries has to name pgvigil.");
    values[EPOCH] = Int32GetDatum((int32) fence.epoch);
    values[REMAINING] = interval_of(fence_is_open(&fence, &now) ? fence.until.boot_us - now.boot_us : 0);
    nulls[AGENT_SEEN] = untouched_us < 0;
    if (!nulls[AGENT_SEEN])
        values[AGENT_SEEN] = TimestampTzGetDatum(GetCurrentTimestamp() - untouched_us);
    values[WAITS] = Int64GetDatum((int64) shared_count(COUNT_WAITS));
    values[REFUSALS] = Int64GetDatum((int64) shared_count(COUNT_REFUSALS));
    values[CUT] = Int64GetDatum((int64) shared_count(COUNT_CUTS));
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls)));
}

/* The path of the fence file with another ending; false: there is none. */
static bool path_of(const char *kind, char *ret_path, size_t size)
{
    const char *fence = gucs_fence_file;
    size_t len = fence != NULL ? strlen(fence) : 0;

    if (len < sizeof FENCE_ENDING || strcmp(fence + len - strlen(FENCE_ENDING), FENCE_ENDING) != 0)
        return false;
    snprintf(ret_path, size, "%.*s.%s.json", (int) (len - strlen(FENCE_ENDING)), fence, kind);
    return true;
}

/* document(kind text): what the agent wrote last, as JSON; NULL if there is nothing. */
Datum pgvigil_document(PG_FUNCTION_ARGS)
{
    char *kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
    char path[MAXPGPATH];

    if (strcmp(kind, "cluster") != 0 && strcmp(kind, "history") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("there is no document \"%s\"", kind),
                        errhint("\"cluster\" or \"history\"")));
    if (!path_of(kind, path, sizeof path))
        PG_RETURN_NULL();
    FILE *file = AllocateFile(path, "r");
    if (file == NULL)
        PG_RETURN_NULL();
    char *document = palloc(DOCUMENT_MOST);
    size_t len = fread(document, 1, DOCUMENT_MOST, file);
    bool whole = len < DOCUMENT_MOST && ferror(file) == 0;
    FreeFile(file);
    if (!whole || len == 0)
        PG_RETURN_NULL();
    document[len] = '\0';
    /* An operator's reason can be in any language; the agent writes UTF-8. */
    PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(document, (int) len, PG_UTF8)));
}
