/*
 * lookout_standby.c: standby.signal and postgresql.auto.conf from PostgreSQL 12 on, recovery.conf before.
 */
#include "front/lookout_standby.h"

#include "front/lookout_follow.h"
#include "pg/autoconf.h"
#include "sys/file.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNAL_SINCE 12 /* standby.signal */
#define RELOAD_SINCE 13 /* primary_conninfo by a reload */
#define CONF_MAX     ((size_t) 4 << 20)

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

/* libpq's error text may have a part of the string in it. */
static PQconninfoOption *parse(const char *text)
{
    char *problem = NULL;
    PQconninfoOption *options = PQconninfoParse(text, &problem);

    PQfreemem(problem);
    return options;
}

static bool is_place(const char *keyword)
{
    static const char *const places[] = {"host", "hostaddr", "port", "dbname", "replication"};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strcmp(keyword, places[i]) == 0)
            return true;
    return false;
}

bool lookout_follow_conninfo(const char *template, const char *primary, char *ret_text, size_t size, Err *err)
{
    static const char *const from_primary[] = {"host", "hostaddr", "port"};
    PQconninfoOption *ours = parse(template), *theirs = parse(primary);
    const char *host = value_of(theirs, "host"), *hostaddr = value_of(theirs, "hostaddr");
    bool done = false;

    ret_text[0] = '\0';
    if (ours == NULL || theirs == NULL) {
        err_set(err, ERR_CONFIG, "%s is no connection string that libpq understands",
                ours == NULL ? "primary_conninfo_template" : "the primary's in remote_conns");
        goto out;
    }
    if ((host == NULL || host[0] == '/') && hostaddr == NULL) {
        err_set(err, ERR_CONFIG,
                "the primary's connection string in remote_conns has no host that others can reach");
        goto out;
    }
    done = true;
    for (PQconninfoOption *o = ours; o->keyword != NULL && done; o++)
        if (o->val != NULL && o->val[0] != '\0' && !is_place(o->keyword))
            done = conninfo_add(ret_text, size, o->keyword, o->val);
    for (size_t i = 0; i < sizeof from_primary / sizeof from_primary[0] && done; i++) {
        const char *value = value_of(theirs, from_primary[i]);
        if (value != NULL && value[0] != '\0')
            done = conninfo_add(ret_text, size, from_primary[i], value);
    }
    if (!done)
        err_set(err, ERR_CONFIG, "primary_conninfo_template is too long");
out:
    PQconninfoFree(ours);
    PQconninfoFree(theirs);
    return done;
}

bool lookout_follow_is_same(const char *current, const char *wanted)
{
    PQconninfoOption *is = parse(current), *should = parse(wanted);
    bool same = is != NULL && should != NULL;

    for (const PQconninfoOption *o = should; same && o->keyword != NULL; o++) {
        const char *value = o->val, *other = value_of(is, o->keyword);
        if (strcmp(o->keyword, "port") == 0) {
            value = value != NULL ? value : "5432";
            other = other != NULL ? other : "5432";
        }
        if (strcmp(o->keyword, "hostaddr") == 0)
            value = value != NULL ? value : ""; /* one that only the old string has leads elsewhere */
        if (value != NULL)
            same = strcmp(value, other != NULL ? other : "") == 0;
    }
    PQconninfoFree(is);
    PQconninfoFree(should);
    return same;
}

static bool read_from(const LookoutStandby *standby, const char *name, char *ret_value, size_t size)
{
    char path[DATADIR_PATH_LEN + 40];
    Buf text = {0};
    Err err = {0};

    snprintf(path, sizeof path, "%s/%s", standby->directory, name);
    bool found = file_exists(path) && file_read(path, CONF_MAX, &text, &err) && text.data != NULL &&
                 autoconf_find(text.data, "primary_conninfo", ret_value, size);
    buf_done(&text);
    return found;
}

static bool is_followed(const LookoutStandby *standby)
{
    char current[AUTOCONF_VALUE_LEN] = "";
    bool found = standby->major < SIGNAL_SINCE
                     ? read_from(standby, "recovery.conf", current, sizeof current)
                     : read_from(standby, AUTOCONF_NAME, current, sizeof current) ||
                           read_from(standby, "postgresql.conf", current, sizeof current);
    bool same = found && lookout_follow_is_same(current, standby->conninfo);

    explicit_bzero(current, sizeof current);
    return same;
}

static bool has(const LookoutStandby *standby, const char *name)
{
    char path[DATADIR_PATH_LEN + 40];

    snprintf(path, sizeof path, "%s/%s", standby->directory, name);
    return file_exists(path);
}

static bool write_recovery_conf(const LookoutStandby *standby, Err *err)
{
    const Setting settings[] = {{"standby_mode", "on"},
                                {"primary_conninfo", standby->conninfo},
                                {"recovery_target_timeline", "latest"}};
    char path[DATADIR_PATH_LEN + 40];
    Buf before = {0}, after = {0};

    snprintf(path, sizeof path, "%s/recovery.conf", standby->directory);
    bool done = (!file_exists(path) || file_read(path, CONF_MAX, &before, err)) &&
                autoconf_edit(before.data != NULL ? before.data : "", settings, 3, &after, err) &&
                file_write_atomic(path, after.data, after.len, 0600, err);
    buf_done(&before);
    buf_done(&after);
    return done;
}

static bool write_settings(const LookoutStandby *standby, Err *err)
{
    const Setting settings[] = {{"primary_conninfo", standby->conninfo},
                                {"recovery_target_timeline", "latest"}};

    if (standby->major < SIGNAL_SINCE)
        return write_recovery_conf(standby, err);
    return datadir_set_standby(standby->directory, true, err) &&
           autoconf_write(standby->directory, settings, 2, NULL, err);
}

static bool secure(const LookoutStandby *standby, Err *err)
{
    return standby->major < SIGNAL_SINCE ? write_recovery_conf(standby, err)
                                         : datadir_set_standby(standby->directory, true, err);
}

/* What must hold before a data directory is touched. */
static bool may_touch(LookoutStandby *standby, bool *ret_running, Err *err)
{
    DatadirKind kind;
    PidFile pidfile;
    ControlState state;
    uint64_t system_identifier = 0;
    uint32_t control_version;

    if (!datadir_kind(standby->directory, &kind, err))
        return false;
    if (kind != DATADIR_CLUSTER)
        return err_set(err, ERR_REFUSED, "pg_data_directory %.300s has no database cluster in it",
                       standby->directory);
    if (!datadir_check_owner(standby->directory, err) ||
        !datadir_version(standby->directory, &standby->major, err) ||
        !datadir_read_control(standby->directory, &state, &system_identifier, &control_version, err) ||
        !datadir_read_pidfile(standby->directory, &pidfile, ret_running, err))
        return false;
    standby->postmaster = pidfile.pid;
    if (standby->system_identifier != 0 && system_identifier != 0 &&
        standby->system_identifier != system_identifier)
        return err_set(err, ERR_REFUSED, "pg_data_directory is of another database cluster than the primary");
    if (standby->state == LOOKOUT_OWN_DOWN && *ret_running)
        return err_set(
            err, ERR_REFUSED,
            "the own server answers nothing, and its postmaster (process %d) runs: it is left alone",
            (int) pidfile.pid);
    if (standby->state != LOOKOUT_OWN_DOWN && !*ret_running)
        return err_set(
            err, ERR_REFUSED,
            "own_db answers, but no postmaster runs in pg_data_directory %.300s: is that the right folder?",
            standby->directory);
    return true;
}

void lookout_standby_look(LookoutStandby *standby)
{
    bool running;
    Err err = {0};

    standby->todo = LOOKOUT_STANDBY_NOTHING;
    if (!may_touch(standby, &running, &err)) {
        standby->err = err;
        return;
    }
    err = (Err){0};
    bool is_marked = has(standby, standby->major < SIGNAL_SINCE ? "recovery.conf" : "standby.signal");
    if (standby->state == LOOKOUT_OWN_STANDBY) {
        /* A standby whose mark was removed would come back writable from its next restart. */
        if (!is_marked && !secure(standby, &err)) {
            standby->err = err;
            return;
        }
        if (!is_followed(standby))
            standby->todo = standby->major >= RELOAD_SINCE ? LOOKOUT_STANDBY_RELOAD : LOOKOUT_STANDBY_RESTART;
        return;
    }
    if (standby->state == LOOKOUT_OWN_DOWN && is_marked && is_followed(standby) && !standby->owed)
        return; /* somebody stopped a standby, which is theirs to start */
    if (secure(standby, &err))
        standby->todo = LOOKOUT_STANDBY_RESTART;
    else
        standby->err = err;
}

void lookout_standby_write(LookoutStandby *standby)
{
    PidFile pidfile;
    bool running = false;
    Err err = {0}; /* a file that is not there leaves a text in it and is no failure */

    if (!datadir_read_pidfile(standby->directory, &pidfile, &running, &err)) {
        standby->err = err;
        return;
    }
    if (standby->todo == LOOKOUT_STANDBY_RESTART && running) {
        err_set(&standby->err, ERR_PG, "after pg_stop_command the server still runs (process %d)",
                (int) pidfile.pid);
        return;
    }
    if (standby->todo == LOOKOUT_STANDBY_RELOAD && !running) {
        err_set(&standby->err, ERR_PG, "the server ended meanwhile");
        return;
    }
    standby->postmaster = pidfile.pid;
    err = (Err){0};
    if (!write_settings(standby, &err))
        standby->err = err;
}
