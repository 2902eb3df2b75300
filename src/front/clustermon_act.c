/*
 * clustermon_act.c: start, promotion, another primary to follow, names for synchronous replication.
 */
#include "front/clustermon.h"

#include "pg/conninfo.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <string.h>

#define WAIT_US       (500 * US_PER_MS)
#define PAUSE_US      (30 * US_PER_SEC)
#define PAUSE_MOST_US (10 * 60 * US_PER_SEC)
#define RELOADS_SINCE 130000 /* primary_conninfo by a reload; before, the server has to be started anew */
#define RELOAD        "SELECT pg_reload_conf()"

void clustermon_act_begin(Clustermon *cm, const char *doing)
{
    cm->doing = doing;
    cm->doing_us = clock_now().boot_us;
    log_line(LOG_LEVEL_WARN, "begin", "doing=\"%s\"", doing);
}

static void finish(Clustermon *cm, const char *failed)
{
    char text[700];
    long long ms = (long long) ((clock_now().boot_us - cm->doing_us) / US_PER_MS);

    if (failed != NULL)
        log_line(LOG_LEVEL_ERROR, "failed", "doing=\"%s\" duration=%lldms reason=%s", cm->doing, ms,
                 log_quote(failed, text, sizeof text));
    else
        log_line(LOG_LEVEL_WARN, "done", "doing=\"%s\" duration=%lldms", cm->doing, ms);
    cm->doing = NULL;
    cm->start_seen_us = 0;
    loop_timer_stop(&cm->wait_timer);
    str_copy(cm->failed, sizeof cm->failed, failed != NULL ? failed : "");
    /* A copy that fails each time would fill the primary's disk with WAL. */
    cm->pause_us = failed == NULL ? 0 : cm->pause_us == 0 ? PAUSE_US : 2 * cm->pause_us;
    if (cm->pause_us > PAUSE_MOST_US)
        cm->pause_us = PAUSE_MOST_US;
    cm->again_us = failed != NULL && cm->costly ? clock_now().boot_us + cm->pause_us : 0;
    cm->costly = false;
}

/* What failed is tried again with the next scan, and not before. */
void clustermon_act_end(Clustermon *cm, const char *failed)
{
    finish(cm, failed);
    if (failed == NULL)
        clustermon_look_begin(cm, false);
}

void clustermon_act_wait(Clustermon *cm, int64_t limit_us, bool (*is_there)(const Clustermon *cm),
                         void (*on_end)(Clustermon *cm, bool there))
{
    cm->wait_until_us = clock_now().boot_us + limit_us;
    cm->is_there = is_there;
    cm->on_waited = on_end;
    loop_timer_start(&cm->wait_timer, 0, WAIT_US);
}

void clustermon_act_on_wait(void *arg)
{
    Clustermon *cm = arg;

    if (cm->ending)
        return; /* the loop only has to wake */
    bool there = cm->is_there(cm), late = clock_now().boot_us >= cm->wait_until_us;

    if (!there && !late) {
        clustermon_poll_ask(cm->peer[cm->config->own]);
        return;
    }
    loop_timer_stop(&cm->wait_timer);
    cm->on_waited(cm, there);
}

/* ---- start ---- */

static void on_started(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) result;
    clustermon_act_end(cm, ok ? NULL : text);
}

void clustermon_act_start(Clustermon *cm)
{
    clustermon_act_begin(cm, "start");
    clustermon_command_run(cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS, on_started);
}

/* ---- promotion ---- */

static void on_settled(Clustermon *cm, const char *failed)
{
    cm->slot_owed = cm->slot_owed && failed != NULL;
    cm->checkpoint_owed = cm->checkpoint_owed && failed != NULL;
    clustermon_act_end(cm, failed);
}

/*
 * As the old program did after a promotion: a checkpoint, so that pg_rewind finds the new timeline, and the
 * slot that the standbys stream from; this one also of a primary that was found.
 */
static void settle(Clustermon *cm)
{
    ClustermonSql *sql = clustermon_sql_new(cm);

    if (cm->checkpoint_owed)
        clustermon_sql_add(sql, "CHECKPOINT");
    if (cm->slot_owed)
        clustermon_sql_slot(clustermon_sql_add(sql, ""), cm->config->slot);
    clustermon_sql_run(sql, CLUSTERMON_CHECKPOINT_MS, on_settled);
}

void clustermon_act_settle(Clustermon *cm)
{
    clustermon_act_begin(cm, cm->checkpoint_owed ? "checkpoint and slot" : "slot");
    settle(cm);
}

static void on_promotion(Clustermon *cm, bool there)
{
    if (there)
        settle(cm);
    else
        clustermon_act_end(cm, "the server is no primary; the next scan decides anew");
}

static bool is_primary(const Clustermon *cm)
{
    const ClustermonPeer *own = cm->peer[cm->config->own];

    return own->node.connected && !own->node.in_recovery;
}

/* One that failed may have begun all the same: what the server is counts. */
static void on_promoted(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) text;
    (void) result;
    clustermon_act_wait(cm, ok ? CLUSTERMON_PROMOTE_MS * US_PER_MS : 2 * US_PER_SEC, is_primary,
                        on_promotion);
}

void clustermon_act_promote(Clustermon *cm)
{
    clustermon_act_begin(cm, "promote");
    cm->checkpoint_owed = true; /* whenever it gets there, and as soon as it is a primary */
    cm->slot_owed = cm->config->slot[0] != '\0';
    clustermon_command_run(cm, CLUSTERMON_CMD_PROMOTE, NULL, CLUSTERMON_PROMOTE_MS, on_promoted);
}

/* ---- another primary ---- */

typedef struct Conninfo {
    char *text;
    size_t size;
    bool ok;
} Conninfo;

/* Replication has no database, and host, port, user and the like are of whom it follows. */
static void add_keyword(void *arg, const char *keyword, const char *value)
{
    Conninfo *conninfo = arg;

    if (strcmp(keyword, "dbname") != 0 && strcmp(keyword, "target_session_attrs") != 0)
        conninfo->ok = conninfo->ok && conninfo_add(conninfo->text, conninfo->size, keyword, value);
}

static void on_stopped_to_follow(Clustermon *cm, bool ok, const char *text, const ExecResult *result)
{
    (void) result;
    if (ok)
        clustermon_command_run(cm, CLUSTERMON_CMD_START, NULL, CLUSTERMON_START_MS, on_started);
    else
        clustermon_act_end(cm, text);
}

static void on_conninfo_set(Clustermon *cm, const char *failed)
{
    if (failed != NULL || cm->peer[cm->config->own]->version >= RELOADS_SINCE)
        finish(cm, failed); /* a look at once could come before the server has read its files */
    else
        clustermon_command_run(cm, CLUSTERMON_CMD_STOP, NULL, CLUSTERMON_STOP_MS, on_stopped_to_follow);
}

/* Its name there is its own. */
static void add_name(void *arg, const char *keyword, const char *value)
{
    if (strcmp(keyword, "application_name") == 0)
        add_keyword(arg, keyword, value);
}

/* What the standby has beside them stays. */
void clustermon_act_follow(Clustermon *cm, int primary)
{
    char text[CLUSTERMON_CONNINFO] = "";
    Conninfo conninfo = {text, sizeof text, true};

    clustermon_act_begin(cm, "follow");
    conninfo_keep(cm->peer[cm->config->own]->conninfo, text, sizeof text);
    conninfo_each(cm->peer[cm->config->own]->conninfo, add_name, &conninfo);
    if (!conninfo_each(cm->config->server[primary].conninfo, add_keyword, &conninfo) || !conninfo.ok) {
        clustermon_act_end(cm, "the primary's connection string in [cluster] is too long");
        return;
    }
    ClustermonSql *sql = clustermon_sql_new(cm);
    clustermon_sql_literal(clustermon_sql_add(sql, "ALTER SYSTEM SET primary_conninfo TO"), text);
    clustermon_sql_add(sql, RELOAD);
    explicit_bzero(text, sizeof text);
    clustermon_sql_run(sql, CLUSTERMON_POLL_MS, on_conninfo_set);
}

/* ---- names ---- */

static void on_named(Clustermon *cm, const char *failed)
{
    if (failed != NULL)
        str_copy(cm->names_set, sizeof cm->names_set, "-");
    finish(cm, failed);
}

void clustermon_act_names(Clustermon *cm, const char *names)
{
    ClustermonSql *sql = clustermon_sql_new(cm);

    clustermon_act_begin(cm, names[0] != '\0' ? "synchronous_standby_names = '*'"
                                              : "synchronous_standby_names = ''");
    clustermon_sql_literal(clustermon_sql_add(sql, "ALTER SYSTEM SET synchronous_standby_names TO"), names);
    clustermon_sql_add(sql, RELOAD);
    str_copy(cm->names_set, sizeof cm->names_set, names);
    clustermon_sql_run(sql, CLUSTERMON_POLL_MS, on_named);
}
