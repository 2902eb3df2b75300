/*
 * status_parts.c: poolstatus's tables and SQL.
 */
#include "front/status_parts.h"

#include "base/str.h"

#include <string.h>

static int width(const PGresult *rows, int column)
{
    int most = (int) strlen(PQfname(rows, column));

    for (int i = 0; i < PQntuples(rows); i++)
        if (PQgetlength(rows, i, column) > most)
            most = PQgetlength(rows, i, column);
    return most;
}

void status_print_table(FILE *file, const PGresult *rows)
{
    int columns = PQnfields(rows);

    for (int c = 0; c < columns; c++) {
        int space = width(rows, c) - (int) strlen(PQfname(rows, c));
        fprintf(file, "%s %*s%s%*s ", c > 0 ? "|" : "", space / 2, "", PQfname(rows, c), space - space / 2,
                "");
    }
    fputs("\n", file);
    for (int c = 0; c < columns; c++) {
        fputs(c > 0 ? "+" : "", file);
        for (int i = width(rows, c) + 2; i > 0; i--)
            fputs("-", file);
    }
    fputs("\n", file);
    for (int i = 0; i < PQntuples(rows); i++, fputs("\n", file))
        for (int c = 0; c < columns; c++)
            fprintf(file, "%s %-*s ", c > 0 ? "|" : "", width(rows, c), PQgetvalue(rows, i, c));
    fprintf(file, "(%d row%s)\n", PQntuples(rows), PQntuples(rows) == 1 ? "" : "s");
}

void status_print_blocks(FILE *file, const PGresult *rows)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        fputs("- Parameter        | Value\n--------------------------------------------------\n", file);
        for (int c = 0; c < PQnfields(rows); c++)
            fprintf(file, "- %-16s | %s\n", PQfname(rows, c), PQgetvalue(rows, i, c));
        fputs("\n", file);
    }
    if (PQntuples(rows) == 0)
        fputs("no standby is connected\n\n", file);
}

void status_parse_disk(const char *text, char *ret_text, size_t size)
{
    const char *sign = text != NULL ? strrchr(text, '%') : NULL, *at = sign;
    char digits[8];

    while (at != NULL && at > text && at[-1] >= '0' && at[-1] <= '9')
        at--;
    if (at == sign || sign - at > 3)
        return;
    memcpy(digits, at, (size_t) (sign - at));
    digits[sign - at] = '\0';
    str_copy(ret_text, size, digits);
}

const char *status_sql_position(bool is_new, bool is_primary)
{
    if (is_primary)
        return is_new ? "select pg_current_wal_lsn(), exists (select from pg_stat_replication)"
                      : "select pg_current_xlog_location(), exists (select 1 from pg_stat_replication)";
    return is_new
               ? "select coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), exists (select from "
                 "pg_stat_wal_receiver)"
               : "select coalesce(pg_last_xlog_receive_location(), pg_last_xlog_replay_location()), exists (select 1 "
                 "from pg_stat_wal_receiver)";
}

const char *status_sql_events(int version)
{
    return version == 3
               ? "select count(*), count(*) filter (where event_timestamp > now() - interval '1 day') from "
                 "repl_events"
               : "select count(*), count(*) filter (where event_timestamp > now() - interval '1 day') from "
                 "repmgr.events";
}
