/*
 * monitor_query.c: the monitor's SQL. Functions were renamed in PostgreSQL 10 (xlog to wal, location to lsn).
 *
 * Few columns, because their decoding is what a poll costs here. Functions that are an error in the other
 * role stand behind a CASE on one reading of pg_is_in_recovery().
 */
#include "pg/monitor_query.h"

#include "pg/conn.h"
#include "pg/heartbeat.h"

#include <stdlib.h>

enum { COL_RECOVERY = 0, COL_TIME, COL_REPLAYED, COL_LSN, COL_REPLAY, COL_TIMELINE, COLUMNS };

typedef struct Names {
    const char *flush, *insert, *file, *receive, *replay;
} Names;

static const Names old_names = {"pg_current_xlog_flush_location", "pg_current_xlog_location",
                                "pg_xlogfile_name", "pg_last_xlog_receive_location",
                                "pg_last_xlog_replay_location"};
static const Names new_names = {"pg_current_wal_flush_lsn", "pg_current_wal_lsn", "pg_walfile_name",
                                "pg_last_wal_receive_lsn", "pg_last_wal_replay_lsn"};

/* A standby's timeline: what it streams, else what its last checkpoint was on. */
#define CONTROL_TIMELINE "(SELECT timeline_id FROM pg_control_checkpoint())"
#define STREAM_TIMELINE  "(SELECT received_tli FROM pg_stat_wal_receiver)"

void monitor_query_prepare(uint32_t version, bool heartbeat, bool plain, int64_t timeout_ms, Buf *ret_sql)
{
    const Names *names = version >= 100000u ? &new_names : &old_names;

    buf_printf(ret_sql,
               "SET search_path = pg_catalog; SET statement_timeout = %lld; SET lock_timeout = 0;"
               " SET default_transaction_isolation = 'read committed'; SET synchronous_commit = off;%s",
               (long long) timeout_ms, version >= 110000u ? " SET jit = off;" : "");
    buf_printf(
        ret_sql,
        " PREPARE pgvigil_monitor AS SELECT r.rec,"
        " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"
        " CASE WHEN r.rec THEN (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint END,"
        " CASE WHEN r.rec THEN %s() ELSE %s() END,"
        " CASE WHEN r.rec THEN %s() END,"
        " CASE WHEN r.rec THEN coalesce(" STREAM_TIMELINE ", %s)"
        " ELSE ('x' || substr(%s(%s()), 1, 8))::bit(32)::int END",
        names->receive, names->flush, names->replay, plain ? "NULL" : CONTROL_TIMELINE, names->file,
        names->insert);
    buf_printf(ret_sql, "%s FROM (SELECT pg_is_in_recovery() AS rec OFFSET 0) r; SELECT %s",
               heartbeat ? ", CASE WHEN NOT r.rec THEN " HEARTBEAT_CALL " END" : "",
               plain ? "NULL" : "system_identifier FROM pg_control_system()");
}

const char *monitor_query_poll(void)
{
    return "EXECUTE pgvigil_monitor";
}

bool monitor_query_parse(const PGresult *result, MonitorSample *sample, Err *err)
{
    Lsn lsn = LSN_NONE, replay = LSN_NONE;

    if (PQntuples(result) != 1 || PQnfields(result) < COLUMNS)
        return err_set(err, ERR_PROTOCOL, "the server's answer to a poll has %d rows and %d columns",
                       PQntuples(result), PQnfields(result));
    lsn_parse(conn_value(result, COL_LSN), &lsn);
    lsn_parse(conn_value(result, COL_REPLAY), &replay);
    sample->in_recovery = conn_value(result, COL_RECOVERY)[0] == 't';
    sample->db_time_us = strtoll(conn_value(result, COL_TIME), NULL, 10);
    sample->replayed_us = strtoll(conn_value(result, COL_REPLAYED), NULL, 10);
    sample->lsn = sample->in_recovery ? LSN_NONE : lsn;
    sample->receive_lsn = sample->in_recovery ? lsn : LSN_NONE;
    sample->replay_lsn = replay;
    sample->timeline = (uint32_t) strtoul(conn_value(result, COL_TIMELINE), NULL, 10);
    return true;
}
