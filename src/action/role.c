/*
 * role.c: freeze, follow: whom a running standby follows.
 *
 * Order matters in both. A frozen server must have it on disk that it follows nobody before its position is
 * read.
 */
#include "action/role.h"

#include "action/slots.h"
#include "action/upstream.h"
#include "pg/conninfo.h"
#include "pg/wal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_AGAIN_MS      10      /* where no walreceiver was seen: one may have been about to start */
#define RELOADABLE_VERSION 130000u /* primary_conninfo can be reloaded from then on */

typedef struct RoleData {
    pid_t startup, walreceiver;
    int quiet_looks; /* in a row without a walreceiver, after the settings were written */
    uint32_t segment_size;
    bool changed;                /* settings had to be written */
    int wakes;                   /* how many times the startup process was told to look again */
    char name[PG_NAME_LEN + 16]; /* application_name that is to be seen */
} RoleData;

/* ---- Settings ---- */

void role_add(RoleSettings *role, const char *name, const char *value)
{
    if (role->count < ROLE_SETTINGS_MAX)
        role->setting[role->count++] = (Setting){name, value};
}

void role_conninfo(const Run *run, const char *user, const char *database, const char *application_name,
                   char *ret_conninfo, size_t size)
{
    char port[8];

    ret_conninfo[0] = '\0';
    snprintf(port, sizeof port, "%u", (unsigned) run->request.port);
    conninfo_add(ret_conninfo, size, "host", run->host);
    conninfo_add(ret_conninfo, size, "port", port);
    conninfo_add(ret_conninfo, size, "user", user);
    if (database != NULL)
        conninfo_add(ret_conninfo, size, "dbname", database);
    conninfo_add(ret_conninfo, size, "application_name", application_name);
    conninfo_add(ret_conninfo, size, "connect_timeout", "5");
    if (run->settings.passfile[0] != '\0')
        conninfo_add(ret_conninfo, size, "passfile", run->settings.passfile);
}

static void epoch_name(const Run *run, char *ret_name, size_t size)
{
    snprintf(ret_name, size, "%s_e%u", run->settings.name, (unsigned) run->request.epoch);
}

void role_settings(const Run *run, bool follow, RoleSettings *ret_role)
{
    const ActionSettings *s = &run->settings;
    char name[PG_NAME_LEN + 16], kept[UPSTREAM_KEPT_LEN];

    *ret_role = (RoleSettings){0};
    role_add(ret_role, "restart_after_crash", "off"); /* a crash is decided about elsewhere */
    role_add(ret_role, "recovery_target_timeline", "latest");
    if (follow && run->host[0] != '\0') {
        epoch_name(run, name, sizeof name);
        role_conninfo(run, s->replication_user, NULL, name, ret_role->conninfo, sizeof ret_role->conninfo);
        upstream_add(run, ret_role->conninfo, sizeof ret_role->conninfo);
        if (s->use_slots)
            slots_name(s->name, ret_role->slot);
    } else {
        upstream_kept(run, kept, sizeof kept); /* noted before it is gone */
    }
    role_add(ret_role, "primary_conninfo", ret_role->conninfo);
    role_add(ret_role, "primary_slot_name", ret_role->slot[0] != '\0' ? ret_role->slot : NULL);
    if (run->request.names != NULL)
        role_add_names(run, ret_role);
}

/* The generation behind the names: whoever has it has them. */
void role_add_names(const Run *run, RoleSettings *role)
{
    snprintf(role->generation, sizeof role->generation, "%u", (unsigned) run->request.generation);
    role_add(role, "synchronous_standby_names", run->request.names);
    role_add(role, "pgvigil.generation", role->generation);
}

void role_keep_upstream(RoleSettings *role)
{
    size_t count = 0;

    for (size_t i = 0; i < role->count; i++)
        if (strncmp(role->setting[i].name, "primary_", 8) != 0)
            role->setting[count++] = role->setting[i];
    role->count = count;
}

void role_add_port(const Run *run, RoleSettings *role)
{
    if (run->settings.port == 0)
        return;
    snprintf(role->port, sizeof role->port, "%u", (unsigned) run->settings.port);
    role_add(role, "port", role->port);
}

void role_add_fence(const Run *run, RoleSettings *role)
{
    if (run->settings.fence_file[0] != '\0')
        role_add(role, "pgvigil.fence_file", run->settings.fence_file);
}

static bool write_nobody(Run *run, Err *err)
{
    RoleSettings role;
    RoleData *data = run->data;

    role_settings(run, false, &role);
    return autoconf_write(run->settings.data_directory, role.setting, role.count, &data->changed, err);
}

static bool write_upstream(Run *run, Err *err)
{
    RoleSettings role;
    RoleData *data = run->data;

    role_settings(run, true, &role);
    return autoconf_write(run->settings.data_directory, role.setting, role.count, &data->changed, err);
}

/* ---- Freeze ---- */

#define PROCESSES_QUERY                                                                                      \
    "SELECT max(pid) FILTER (WHERE backend_type = 'startup'),"                                               \
    " max(pid) FILTER (WHERE backend_type = 'walreceiver'), pg_is_in_recovery(),"                            \
    " greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()),"                                        \
    " max(wait_event) FILTER (WHERE backend_type = 'startup') FROM pg_stat_get_activity(NULL)"

static void freeze_look(Run *run);

static pid_t pid_value(const Run *run, int column)
{
    return (pid_t) strtol(conn_value(run->reply->result, column), NULL, 10);
}

static bool find_timeline(Run *run, Err *err)
{
    const RoleData *data = run->data;
    WalList list;

    if (!wal_list(run->settings.data_directory, data->segment_size, run->outcome.lsn, &list, err))
        return false;
    if (list.newest_timeline == 0)
        return err_set(err, ERR_PG, "no WAL segment holds its position");
    run->outcome.timeline = list.newest_timeline;
    return true;
}

static void on_frozen_timeline(Run *run)
{
    if (!run->ok)
        run_end_error(run, "frozen, but its timeline is not known");
    else
        run_end_ok(run, "%s", "");
}

/* Whether everything that was received before a restart has been replayed; before that the position is too
 * low. */
static bool position_is_known(const Run *run)
{
    const char *wait = conn_value(run->reply->result, 4);

    return run_status(run)->position_known || strncmp(wait, "RecoveryWal", 11) == 0 ||
           strcmp(wait, "RecoveryRetrieveRetryInterval") == 0;
}

static void on_frozen_look(Run *run)
{
    RoleData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "frozen, but its position cannot be read");
        return;
    }
    pid_t walreceiver = pid_value(run, 1);
    if (walreceiver != 0) {
        data->quiet_looks = 0;
        run_signal(walreceiver, SIGTERM);
        run_wait_exit(run, walreceiver, run->settings.freeze_timeout_ms, freeze_look);
        return;
    }
    /* None from the start: one may have been about to start, unless the server has long followed nobody. */
    bool was_frozen = !data->changed && run_status(run)->upstream.host[0] == '\0';
    data->quiet_looks++;
    if (data->walreceiver == 0 && !was_frozen && data->quiet_looks < 2) {
        run_sleep(run, LOOK_AGAIN_MS, freeze_look);
        return;
    }
    if (!position_is_known(run)) {
        run_sleep(run, LOOK_AGAIN_MS, freeze_look);
        return;
    }
    if (!lsn_parse(conn_value(run->reply->result, 3), &run->outcome.lsn) ||
        strcmp(conn_value(run->reply->result, 2), "t") != 0) {
        run_end_failed(run, "frozen, but it is no standby or has no position");
        return;
    }
    run_signal(run_status(run)->postmaster,
               SIGHUP); /* only now: our own session would read its settings first */
    run_work(run, find_timeline, on_frozen_timeline);
}

static void freeze_look(Run *run)
{
    run_ask(run, PROCESSES_QUERY, run->settings.freeze_timeout_ms, on_frozen_look);
}

/*
 * The startup process reads its settings before it can ask for another walreceiver, because its signal is
 * sent before this one ends. Reload alone would not do: under a recovery conflict it is not read for up to 30
 * s.
 */
static void on_nobody_written(Run *run)
{
    RoleData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "cannot write primary_conninfo = ''");
        return;
    }
    run_signal(data->startup, SIGHUP);
    if (data->walreceiver != 0 && run_signal(data->walreceiver, SIGTERM))
        run_wait_exit(run, data->walreceiver, run->settings.freeze_timeout_ms, freeze_look);
    else
        freeze_look(run);
}

static void on_nobody_written_12(Run *run)
{
    if (!run->ok)
        run_end_error(run, "cannot write primary_conninfo = ''");
    else
        start_restart(run, freeze_look);
}

static void on_freeze_processes(Run *run)
{
    RoleData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "cannot ask the server");
        return;
    }
    if (strcmp(conn_value(run->reply->result, 2), "t") != 0) {
        run_end_failed(run, "it is no standby");
        return;
    }
    data->startup = pid_value(run, 0);
    data->walreceiver = pid_value(run, 1);
    run_work(run, write_nobody,
             run_status(run)->server_version < RELOADABLE_VERSION ? on_nobody_written_12 : on_nobody_written);
}

void role_freeze(Run *run)
{
    const PgStatus *status = run_status(run);
    RoleData *data = run_alloc_data(run, sizeof *data);
    bool restarts = status->server_version != 0 && status->server_version < RELOADABLE_VERSION;

    data->segment_size = status->wal_segment_size != 0 ? status->wal_segment_size : WAL_SEGMENT_SIZE_NORMAL;
    if (status->state != SERVER_STANDBY) {
        run_end_failed(run, "it does not run as a standby (%s)", status_state_name(status->state));
        return;
    }
    run_set_deadline(run, run->settings.freeze_timeout_ms + (restarts ? run->settings.stop_timeout_ms : 0));
    run_ask(run, PROCESSES_QUERY, run->settings.freeze_timeout_ms, on_freeze_processes);
}

/* ---- Follow ---- */

static bool sees_upstream(const Run *run, const PgStatus *status)
{
    const RoleData *data = run->data;

    return strcmp(status->upstream.application_name, data->name) == 0 &&
           strcmp(status->upstream.host, run->host) == 0 && status->upstream.port == run->request.port;
}

/*
 * A startup process that takes its new settings between two tries sleeps for wal_retrieve_retry_interval,
 * five seconds as a rule, before it uses them. A signal ends its sleep. If the upstream does not take
 * connections yet that does no harm, and the core tries again later.
 */
#define WAKES_MAX 4
#define WAKE_MS   100

static bool streams(const Run *run, const PgStatus *status)
{
    (void) run;
    return status->streaming;
}

static void on_follows(Run *run);

static void on_wake_processes(Run *run)
{
    if (run->ok)
        run_signal(pid_value(run, 0), SIGHUP);
    run_settle(run, streams, WAKE_MS, on_follows);
}

static void on_follows(Run *run)
{
    RoleData *data = run->data;

    if (run_status(run)->streaming || data->wakes++ == WAKES_MAX)
        run_end_ok(run, "%s", "");
    else
        run_ask(run, PROCESSES_QUERY, ACT_QUERY_MS, on_wake_processes);
}

static void on_upstream_seen(Run *run)
{
    run_settle(run, streams, WAKE_MS, on_follows);
}

static void on_follow_processes(Run *run)
{
    pid_t startup = run->ok ? pid_value(run, 0) : 0, walreceiver = run->ok ? pid_value(run, 1) : 0;

    run_signal(run_status(run)->postmaster, SIGHUP);
    run_signal(startup, SIGHUP);
    /* A startup process in a recovery conflict would leave it with the old upstream for as long as that
     * lasts. */
    if (walreceiver != 0 && !sees_upstream(run, run_status(run)))
        run_signal(walreceiver, SIGTERM);
    run_settle(run, sees_upstream, 500, on_upstream_seen);
}

static void on_upstream_written(Run *run)
{
    const RoleData *data = run->data;

    if (!run->ok)
        run_end_error(run, "cannot write primary_conninfo");
    else if (run_status(run)->server_version >= RELOADABLE_VERSION)
        run_ask(run, PROCESSES_QUERY, ACT_QUERY_MS, on_follow_processes);
    else if (data->changed || !sees_upstream(run, run_status(run)))
        start_restart(run, on_follows);
    else
        on_follows(run);
}

void role_follow(Run *run)
{
    const PgStatus *status = run_status(run);
    RoleData *data = run_alloc_data(run, sizeof *data);

    epoch_name(run, data->name, sizeof data->name);
    data->name[PG_NAME_LEN - 1] = '\0'; /* as the status has it */
    run_set_deadline(run, ACT_PROGRAM_MS + run->settings.stop_timeout_ms + run->settings.start_timeout_ms);
    if (run->host[0] == '\0')
        run_end_failed(run, "nobody to follow was named");
    else if (status->state != SERVER_STANDBY && status->state != SERVER_STARTING)
        run_end_failed(run, "it does not run as a standby (%s)", status_state_name(status->state));
    else
        run_work(run, write_upstream, on_upstream_written);
}
