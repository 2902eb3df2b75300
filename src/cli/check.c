/*
 * check.c: what all groups of checks use: adding a line, connecting, asking for one value.
 */
#include "cli/check.h"

#include "sys/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *grade_name(CheckGrade grade)
{
    static const char *const names[CHECK_GRADES] = {
        [CHECK_OK] = "OK", [CHECK_INFO] = "INFO", [CHECK_WARN] = "WARN", [CHECK_FAIL] = "FAIL"};
    return names[grade];
}

void check_line(Check *check, CheckGrade grade, const char *subject, const char *cure, const char *format,
                ...)
{
    char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(check->lines, json_pack("{s:s, s:s, s:s, s:s?}", "grade", grade_name(grade),
                                                  "subject", subject, "text", text, "cure", cure));
    check->count[grade]++;
}

PGconn *check_connect(const Check *check, const char *address, const char *port, const char *user,
                      bool replication)
{
    const char *passfile = check->config->postgresql.passfile;
    const char *names[] = {"host", "port", "user", "connect_timeout", "application_name", "options", "dbname",
                           NULL,   NULL,   NULL};
    const char *values[] = {address,
                            port,
                            user,
                            CHECK_TIMEOUT_S,
                            "pgvigil_check",
                            "-c statement_timeout=5s",
                            replication ? "replication" : check->config->postgresql.database,
                            NULL,
                            NULL,
                            NULL};
    int count = 7;

    if (replication) {
        names[count] = "replication";
        values[count++] = "true";
    }
    if (passfile != NULL && passfile[0] != '\0') {
        names[count] = "passfile";
        values[count++] = passfile;
    }
    return PQconnectdbParams(names, values, 0);
}

const char *check_pg_error(const PGconn *conn, char *ret_text, size_t size)
{
    const char *text = PQerrorMessage(conn);
    size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '\n')
        len--;
    const char *from = text;
    for (size_t i = 0; i + 1 < len; i++) {
        if (text[i] == '\n')
            from = text + i + 1;
    }
    snprintf(ret_text, size, "%.*s", (int) (text + len - from), from);
    return ret_text;
}

/* Waits until libpq has a whole result, or the time is over. */
static bool wait_for_result(PGconn *conn)
{
    Clock begun = clock_now();

    while (PQisBusy(conn)) {
        Clock now = clock_now();
        int64_t left_ms = CHECK_QUERY_MS - clock_elapsed_most(&begun, &now) / US_PER_MS;
        struct pollfd wait = {.fd = PQsocket(conn), .events = POLLIN};
        if (left_ms <= 0 || (poll(&wait, 1, (int) left_ms) < 0 && errno != EINTR) || !PQconsumeInput(conn))
            return false;
    }
    return true;
}

void check_query(PGconn *conn, const char *sql, const char *parameter, char *ret_value, size_t size)
{
    /* A walsender knows no parameters. */
    int sent = parameter == NULL ? PQsendQuery(conn, sql)
                                 : PQsendQueryParams(conn, sql, 1, NULL, &parameter, NULL, NULL, 0);
    PGresult *result;

    ret_value[0] = '\0';
    /* After a failure something is under way still: every later question then fails at once. */
    while (sent == 1 && wait_for_result(conn) && (result = PQgetResult(conn)) != NULL) {
        if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
            snprintf(ret_value, size, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
}
