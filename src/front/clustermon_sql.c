/*
 * clustermon_sql.c: statements to the own server, one after the other: ALTER SYSTEM has to be alone.
 *
 * Over a connection that is made for them and closed after them.
 */
#include "front/clustermon.h"

#include <stdlib.h>
#include <string.h>

struct ClustermonSql {
    Clustermon *cm;
    Buf statement[CLUSTERMON_STATEMENTS];
    int count, next;
    int64_t timeout_ms;
    void (*on_end)(Clustermon *cm, const char *failed);
};

ClustermonSql *clustermon_sql_new(Clustermon *cm)
{
    ClustermonSql *sql = calloc(1, sizeof *sql);

    if (sql == NULL)
        abort();
    sql->cm = cm;
    return sql;
}

Buf *clustermon_sql_add(ClustermonSql *sql, const char *text)
{
    Buf *statement = &sql->statement[sql->count++];

    buf_puts(statement, text);
    return statement;
}

void clustermon_sql_literal(Buf *statement, const char *value)
{
    buf_puts(statement, " E'");
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\'' || *at == '\\')
            buf_add(statement, at, 1);
        buf_add(statement, at, 1);
    }
    buf_puts(statement, "'");
}

void clustermon_sql_slot(Buf *statement, const char *name)
{
    buf_puts(statement, "SELECT pg_create_physical_replication_slot(");
    clustermon_sql_literal(statement, name);
    buf_puts(statement, ") WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name =");
    clustermon_sql_literal(statement, name);
    buf_puts(statement, ")");
}

void clustermon_sql_free(ClustermonSql *sql)
{
    if (sql == NULL)
        return;
    for (int i = 0; i < sql->count; i++) {
        if (sql->statement[i].data != NULL) /* a password may be in it */
            explicit_bzero(sql->statement[i].data, sql->statement[i].len);
        buf_done(&sql->statement[i]);
    }
    free(sql);
}

static void end(ClustermonSql *sql, const Err *err)
{
    Clustermon *cm = sql->cm;
    void (*on_end)(Clustermon *, const char *) = sql->on_end;
    char text[sizeof err->text];

    conn_close(cm->admin);
    clustermon_sql_free(sql);
    cm->sql = NULL;
    on_end(cm, err != NULL ? mask_text(&cm->mask, err->text, text, sizeof text) : NULL);
}

static void on_answer(void *arg, const ConnReply *reply)
{
    ClustermonSql *sql = arg;

    if (!reply->ok)
        end(sql, &reply->err);
    else if (sql->next == sql->count)
        end(sql, NULL);
    else
        conn_query(sql->cm->admin, sql->statement[sql->next++].data, sql->timeout_ms, on_answer, sql);
}

void clustermon_sql_run(ClustermonSql *sql, int64_t timeout_ms,
                        void (*on_end)(Clustermon *cm, const char *failed))
{
    Clustermon *cm = sql->cm;
    ConnTarget target = dsn_target(cm->peer[cm->config->own]->dsn, 0);

    for (int i = 0; i < sql->count; i++)
        if (sql->statement[i].failed)
            abort();
    sql->timeout_ms = timeout_ms;
    sql->on_end = on_end;
    cm->sql = sql;
    conn_connect(cm->admin, &target, CLUSTERMON_POLL_MS, on_answer, sql);
}
