/*
 * query.c: the poll query and the reading of its row.
 *
 * Lists come as one text each: fields parted by chr(31), rows by chr(30). Functions that are an error in the
 * other role stand behind a CASE on one reading of pg_is_in_recovery(), so that a promotion in between does
 * no harm.
 */
#include "pg/query.h"

#include "base/str.h"
#include "pg/autoconf.h"
#include "pg/conn.h"
#include "pg/conninfo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MARK '\x1f'
#define ROW_MARK   '\x1e'

/* What a poller's session must not leave to the configuration: no JIT, no time limit, no lines in the log. */
#define SESSION                                                                                              \
    "SET statement_timeout = 0; SET lock_timeout = 0; SET jit = off; SET search_path = pg_catalog;"          \
    "SET log_statement = 'none'; SET log_duration = off; SET log_min_duration_statement = -1;"               \
    "SET default_transaction_isolation = 'read committed'; SET synchronous_commit = 'local';"

#define POLL_QUERY(WAL_STATUS)                                                                                         \
    "PREPARE pgvigil_poll AS SELECT"                                                                                   \
    " r.rec,"                                                                                                          \
    " cs.system_identifier, cc.checkpoint_lsn, cc.timeline_id,"                                                        \
    " CASE WHEN NOT r.rec THEN pg_current_wal_flush_lsn() END,"                                                        \
    " CASE WHEN NOT r.rec THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,"                               \
    " CASE WHEN r.rec THEN pg_last_wal_receive_lsn() END,"                                                             \
    " CASE WHEN r.rec THEN pg_last_wal_replay_lsn() END,"                                                              \
    " CASE WHEN r.rec AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn() THEN"                    \
    "  least(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 2147483647)::bigint END," \
    " w.status, w.received_tli,"                                                                                       \
    " current_setting('primary_conninfo'), current_setting('primary_slot_name'),"                                      \
    " pg_conf_load_time(),"                                                                                            \
    " CASE WHEN r.rec THEN pg_is_wal_replay_paused() END,"                                                             \
    " CASE WHEN r.rec THEN (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint END,"               \
    " (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,"                                             \
    " s.wait_event,"                                                                                                   \
    " current_setting('pgvigil.state', true),"                                                                         \
    " (SELECT string_agg(concat_ws(chr(31), coalesce(application_name, ''), coalesce(state, ''),"                      \
    "   coalesce(flush_lsn, '0/0'), coalesce(usename, ''), coalesce(host(client_addr), ''),"                           \
    "   coalesce(sync_state, ''), coalesce(sync_priority, 0)), chr(30))"                                               \
    "   FROM (SELECT * FROM pg_stat_replication"                                                                       \
    "     ORDER BY coalesce(application_name, '') ~ '_e[0-9]+$' DESC, state DESC, pid LIMIT 16) x),"                   \
    " (SELECT string_agg(concat_ws(chr(31), slot_name, coalesce(restart_lsn, '0/0'), active, " WAL_STATUS              \
    "),"                                                                                                               \
    "   chr(30)) FROM (SELECT * FROM pg_replication_slots WHERE slot_type = 'physical'"                                \
    "   ORDER BY slot_name NOT LIKE 'pgvigil%', slot_name LIMIT 33) x)"                                                \
    " FROM (SELECT pg_is_in_recovery() AS rec OFFSET 0) r"                                                             \
    " CROSS JOIN pg_control_system() cs CROSS JOIN pg_control_checkpoint() cc"                                         \
    " LEFT JOIN pg_stat_wal_receiver w ON true"                                                                        \
    " LEFT JOIN (SELECT wait_event FROM pg_stat_get_activity(NULL) WHERE backend_type = 'startup') s"                  \
    "  ON true LIMIT 1"

enum {
    COL_RECOVERY = 0,
    COL_SYSTEM_IDENTIFIER,
    COL_CHECKPOINT,
    COL_CHECKPOINT_TIMELINE,
    COL_FLUSH,
    COL_TIMELINE,
    COL_RECEIVE,
    COL_REPLAY,
    COL_LAG,
    COL_RECEIVER_STATUS,
    COL_RECEIVER_TIMELINE,
    COL_CONNINFO,
    COL_SLOT_NAME,
    COL_RELOADED,
    COL_REPLAY_PAUSED,
    COL_REPLAYED,
    COL_STARTED,
    COL_STARTUP_WAIT,
    COL_FENCE,
    COL_STANDBYS,
    COL_SLOTS,
    COLUMNS
};

bool query_supports(uint32_t version, Err *err)
{
    if (version >= QUERY_VERSION_LEAST)
        return true;
    return err_set(
        err, ERR_REFUSED,
        "PostgreSQL %u is too old: agents need 12 or later (before that there is no standby.signal "
        "and primary_conninfo is no setting); upgrade it, or observe it only",
        (unsigned) (version / 10000));
}

const char *query_prepare(uint32_t version)
{
    return version >= 130000u ? SESSION POLL_QUERY("coalesce(wal_status, '')") : SESSION POLL_QUERY("''");
}

const char *query_poll(void)
{
    return "EXECUTE pgvigil_poll";
}

static Lsn lsn_value(const PGresult *result, int column)
{
    Lsn lsn = LSN_NONE;

    lsn_parse(conn_value(result, column), &lsn);
    return lsn;
}

static uint32_t u32_value(const PGresult *result, int column, int base)
{
    return (uint32_t) strtoul(conn_value(result, column), NULL, base);
}

/* Copies the next field of a row into ret_field; moves *text past its mark. */
static void take_field(const char **text, char *ret_field, size_t size)
{
    size_t len = 0, copied;

    while ((*text)[len] != '\0' && (*text)[len] != FIELD_MARK && (*text)[len] != ROW_MARK)
        len++;
    copied = len < size ? len : size - 1;
    memcpy(ret_field, *text, copied);
    ret_field[copied] = '\0';
    *text += len + ((*text)[len] == FIELD_MARK ? 1 : 0);
}

static Lsn take_lsn(const char **text)
{
    char field[LSN_TEXT_LEN];
    Lsn lsn = LSN_NONE;

    take_field(text, field, sizeof field);
    lsn_parse(field, &lsn);
    return lsn;
}

static void parse_standbys(const char *text, PgStatus *status)
{
    char priority[12];

    status->standby_count = 0;
    while (*text != '\0' && status->standby_count < PG_STANDBYS_MAX) {
        PgStandby *row = &status->standby[status->standby_count++];
        take_field(&text, row->application_name, sizeof row->application_name);
        take_field(&text, row->state, sizeof row->state);
        row->flush = take_lsn(&text);
        take_field(&text, row->user, sizeof row->user);
        take_field(&text, row->client, sizeof row->client);
        take_field(&text, row->sync_state, sizeof row->sync_state);
        take_field(&text, priority, sizeof priority);
        row->sync_priority = (uint32_t) strtoul(priority, NULL, 10);
        if (*text == ROW_MARK)
            text++;
    }
}

static void parse_slots(const char *text, PgStatus *status)
{
    char active[8];

    status->slot_count = 0;
    while (*text != '\0' && status->slot_count < PG_SLOTS_MAX) {
        PgSlot *row = &status->slots[status->slot_count++];
        take_field(&text, row->name, sizeof row->name);
        row->restart = take_lsn(&text);
        take_field(&text, active, sizeof active);
        row->active = active[0] == 't';
        take_field(&text, row->wal_status, sizeof row->wal_status);
        if (*text == ROW_MARK)
            text++;
    }
    status->slots_complete = *text == '\0';
}

/* Wait events of a startup process that has nothing left to replay; 12 named two of them otherwise. */
static bool waits_for_wal(const char *wait_event)
{
    return strcmp(wait_event, "RecoveryWalStream") == 0 || strcmp(wait_event, "RecoveryWalAll") == 0 ||
           strcmp(wait_event, "RecoveryRetrieveRetryInterval") == 0;
}

static void take_keyword(void *arg, const char *keyword, const char *value)
{
    PgUpstream *upstream = arg;

    if (strcmp(keyword, "host") == 0)
        str_copy(upstream->host, sizeof upstream->host, value);
    else if (strcmp(keyword, "hostaddr") == 0 && upstream->host[0] == '\0')
        str_copy(upstream->host, sizeof upstream->host, value);
    else if (strcmp(keyword, "port") == 0)
        upstream->port = (uint16_t) strtoul(value, NULL, 10);
    else if (strcmp(keyword, "application_name") == 0)
        str_copy(upstream->application_name, sizeof upstream->application_name, value);
}

/* Host, port and application_name of a primary_conninfo. An unreadable one gives an empty upstream. */
static void parse_conninfo(const char *conninfo, PgUpstream *ret_upstream)
{
    *ret_upstream = (PgUpstream){0};
    if (!conninfo_each(conninfo, take_keyword, ret_upstream))
        *ret_upstream = (PgUpstream){0};
    if (ret_upstream->host[0] != '\0' && ret_upstream->port == 0)
        ret_upstream->port = 5432;
}

static void parse_standby(const PGresult *result, PgStatus *status, QueryExtra *extra)
{
    const char *lag = conn_value(result, COL_LAG);

    status->receive_lsn = lsn_value(result, COL_RECEIVE);
    status->replay_lsn = lsn_value(result, COL_REPLAY);
    status->lsn = status->receive_lsn > status->replay_lsn ? status->receive_lsn : status->replay_lsn;
    status->replay_lag_ms = lag[0] != '\0' ? (int32_t) strtol(lag, NULL, 10) : -1;
    /* The query's upper bound stands for a server that has replayed nothing yet. */
    if (status->replay_lag_ms == INT32_MAX)
        status->replay_lag_ms = -1;
    if (status->replay_lag_ms < -1)
        status->replay_lag_ms = 0;
    status->replay_paused = conn_value(result, COL_REPLAY_PAUSED)[0] == 't';
    status->replayed_us = strtoll(conn_value(result, COL_REPLAYED), NULL, 10);
    status->streaming = strcmp(conn_value(result, COL_RECEIVER_STATUS), "streaming") == 0;
    if (status->streaming)
        extra->stream_timeline = u32_value(result, COL_RECEIVER_TIMELINE, 10);
    extra->at_end = waits_for_wal(conn_value(result, COL_STARTUP_WAIT));
    /* After a crash what was "received" begins anew, below what was replayed: nothing is missing all the
     * same. */
    if (extra->at_end || (status->streaming && status->receive_lsn <= status->replay_lsn))
        status->replay_lag_ms = -1;
}

bool query_parse_poll(const PGresult *result, PgStatus *status, QueryExtra *ret_extra, Err *err)
{
    *ret_extra = (QueryExtra){0};
    if (PQntuples(result) != 1 || PQnfields(result) != COLUMNS)
        return err_set(err, ERR_PROTOCOL, "the server's answer to a poll has %d rows and %d columns",
                       PQntuples(result), PQnfields(result));

    bool recovery = conn_value(result, COL_RECOVERY)[0] == 't';
    status->state = recovery ? SERVER_STANDBY : SERVER_PRIMARY;
    status->system_identifier = strtoull(conn_value(result, COL_SYSTEM_IDENTIFIER), NULL, 10);
    status->checkpoint_lsn = lsn_value(result, COL_CHECKPOINT);
    status->checkpoint_timeline = u32_value(result, COL_CHECKPOINT_TIMELINE, 10);
    status->receive_lsn = status->replay_lsn = LSN_NONE;
    status->replay_lag_ms = -1;
    status->streaming = status->replay_paused = false;
    status->replayed_us = 0;
    status->started_us = strtoll(conn_value(result, COL_STARTED), NULL, 10);
    if (recovery) {
        parse_standby(result, status, ret_extra);
    } else {
        status->lsn = lsn_value(result, COL_FLUSH);
        status->timeline = u32_value(result, COL_TIMELINE, 16);
    }
    parse_conninfo(conn_value(result, COL_CONNINFO), &status->upstream);
    str_copy(status->slot, sizeof status->slot, conn_value(result, COL_SLOT_NAME));
    str_copy(ret_extra->reloaded, sizeof ret_extra->reloaded, conn_value(result, COL_RELOADED));
    fence_state_parse(conn_value(result, COL_FENCE), &status->fence);
    parse_standbys(conn_value(result, COL_STANDBYS), status);
    parse_slots(conn_value(result, COL_SLOTS), status);
    return true;
}

typedef enum SettingType { SETTING_BOOL, SETTING_INT, SETTING_GIVEN } SettingType;

static const struct {
    const char *name;
    SettingType type;
    size_t offset;
} settings[] = {
    {"data_checksums", SETTING_BOOL, offsetof(PgStatus, data_checksums)},
    {"wal_log_hints", SETTING_BOOL, offsetof(PgStatus, wal_log_hints)},
    {"restart_after_crash", SETTING_BOOL, offsetof(PgStatus, restart_after_crash)},
    {"restore_command", SETTING_GIVEN, offsetof(PgStatus, has_restore_command)},
    {"wal_segment_size", SETTING_INT, offsetof(PgStatus, wal_segment_size)},
};

#define GENERATION    "pgvigil.generation"
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

/* The generation is no setting of its own where the extension is not loaded. */
const char *query_settings(void)
{
    return "SELECT name, setting, pending_restart, coalesce(sourcefile, '') FROM pg_settings"
           " WHERE pending_restart OR name IN ('data_checksums', 'wal_log_hints', 'restart_after_crash',"
           "  'restore_command', 'wal_segment_size', 'synchronous_standby_names')"
           " UNION ALL SELECT '" GENERATION "', current_setting('" GENERATION "', true), false, ''";
}

static void set_setting(size_t i, const char *value, PgStatus *status)
{
    void *field = (char *) status + settings[i].offset;

    switch (settings[i].type) {
    case SETTING_BOOL: *(bool *) field = strcmp(value, "on") == 0; break;
    case SETTING_INT: *(int32_t *) field = (int32_t) strtol(value, NULL, 10); break;
    case SETTING_GIVEN: *(bool *) field = value[0] != '\0'; break;
    }
}

static void set_names(const char *name, const char *value, const char *file, PgStatus *status)
{
    if (strcmp(name, GENERATION) == 0)
        status->generation = (uint32_t) strtoul(value, NULL, 10);
    if (strcmp(name, "synchronous_standby_names") != 0)
        return;
    status->names_known = true;
    status->names_in_auto = strstr(file, "/" AUTOCONF_NAME) != NULL;
    str_copy(status->names, sizeof status->names, value);
}

bool query_parse_settings(const PGresult *result, PgStatus *status, Err *err)
{
    if (PQnfields(result) != 4)
        return err_set(err, ERR_PROTOCOL, "the server's answer has %d columns, not 4", PQnfields(result));
    status->pending_restart = false;
    for (int row = 0; row < PQntuples(result); row++) {
        for (size_t i = 0; i < SETTING_COUNT; i++)
            if (strcmp(settings[i].name, PQgetvalue(result, row, 0)) == 0)
                set_setting(i, PQgetvalue(result, row, 1), status);
        set_names(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1), PQgetvalue(result, row, 3), status);
        status->pending_restart = status->pending_restart || PQgetvalue(result, row, 2)[0] == 't';
    }
    status->can_rewind = status->data_checksums || status->wal_log_hints;
    return true;
}
