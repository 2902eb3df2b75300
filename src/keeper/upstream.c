/*
 * upstream.c: settings that pg_keeper writes into postgresql.auto.conf: whom to follow, and whom commits wait
 * for.
 *
 * Written under the server's own lock for that file, and as a file: ALTER SYSTEM would want a transaction,
 * and a standby that is about to vote has no time for one that may wait.
 */
#include "keeper/body.h"

#include <access/xlog.h>
#include <miscadmin.h>
#include <replication/syncrep.h>
#include <replication/walreceiver.h>
#include <storage/lwlock.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "pg/autoconf.h"
#include "pg/conninfo.h"

#define SETTINGS_MAX 7

typedef struct Settings {
    Setting setting[SETTINGS_MAX];
    size_t count;
    char generation[16], freeze[16], wanted[AUTOCONF_VALUE_LEN];
} Settings;

static void put(Settings *settings, const char *name, const char *value)
{
    Assert(settings->count < SETTINGS_MAX);
    settings->setting[settings->count++] = (Setting){name, value};
}

bool upstream_lock(void)
{
    return LWLockConditionalAcquire(AutoFileLock, LW_EXCLUSIVE);
}

void upstream_unlock(void)
{
    LWLockRelease(AutoFileLock);
}

static bool write_settings(const Settings *settings, Err *err)
{
    Assert(LWLockHeldByMe(AutoFileLock));
    return autoconf_write(DataDir, settings->setting, settings->count, NULL, err);
}

/*
 * What people have set by ALTER SYSTEM makes room and stays wanted. The generation is behind the names: by
 * that they are known for pg_keeper's (look.c).
 */
static void put_names(Settings *settings, const UpstreamNames *names)
{
    if (names == NULL || names->names == NULL)
        return;
    bool wanted = look_wanted_here(settings->wanted, sizeof settings->wanted);
    snprintf(settings->generation, sizeof settings->generation, "%u", (unsigned) names->generation);
    put(settings, "pg_keeper.wanted_names", wanted ? settings->wanted : NULL);
    put(settings, "synchronous_standby_names", names->names);
    put(settings, "pg_keeper.generation", settings->generation);
}

/* Credentials come from what the user configured, or from what is there. */
static const char *base(void)
{
    return PrimaryConnInfo != NULL && PrimaryConnInfo[0] != '\0' ? PrimaryConnInfo : gucs_upstream;
}

bool upstream_write_nobody(uint32_t freeze, Err *err)
{
    Settings settings = {0};

    put(&settings, "primary_conninfo", "");
    if (base() != NULL && base()[0] != '\0')
        put(&settings, "pg_keeper.upstream", base());
    snprintf(settings.freeze, sizeof settings.freeze, "%u", (unsigned) freeze);
    put(&settings, "pg_keeper.freeze", settings.freeze); /* behind the others: gucs.c */
    return write_settings(&settings, err);
}

typedef struct Target {
    char *conninfo;
    size_t size;
    bool fits;
} Target;

static void add(Target *target, const char *keyword, const char *value)
{
    target->fits = conninfo_add(target->conninfo, target->size, keyword, value) && target->fits;
}

/* All but where and under which name. */
static void keep_word(void *arg, const char *keyword, const char *value)
{
    static const char *const replaced[] = {"host",   "hostaddr",   "port", "application_name",
                                           "dbname", "replication"};

    for (size_t i = 0; i < lengthof(replaced); i++)
        if (strcmp(keyword, replaced[i]) == 0)
            return;
    add(arg, keyword, value);
}

typedef struct Place {
    const KeeperNode *node;
    bool host, port;
} Place;

static void compare_place(void *arg, const char *keyword, const char *value)
{
    Place *place = arg;

    if (strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0)
        place->host = place->host || strcmp(value, place->node->host) == 0;
    else if (strcmp(keyword, "port") == 0)
        place->port = strcmp(value, place->node->port) == 0;
}

/* Another server has no slot of that name, and a standby that asks for it would never stream. One that works
 * stays: without its standby it would keep all WAL. */
static bool slot_works(const KeeperNode *node)
{
    Place place = {.node = node, .port = strcmp(node->port, "5432") == 0};

    (void) conninfo_each(base(), compare_place, &place);
    return place.host && place.port && WalRcvStreaming();
}

static void take_place(void *arg, const char *keyword, const char *value)
{
    if (strcmp(keyword, "host") == 0 || strcmp(keyword, "hostaddr") == 0 || strcmp(keyword, "port") == 0)
        add(arg, keyword, value);
}

bool upstream_write(const KeeperNode *node, uint32_t epoch, const UpstreamNames *names, char *ret_conninfo,
                    size_t size, Err *err)
{
    char name[NAMEDATALEN];
    Target target = {.conninfo = ret_conninfo, .size = size, .fits = true};
    Settings settings = {0};

    ret_conninfo[0] = '\0';
    snprintf(name, sizeof name, "%s_e%u", gucs_node_id, (unsigned) epoch);
    bool known = conninfo_each(node->conninfo, take_place, &target);
    if (!known) { /* a URI: host and port were read from it */
        add(&target, "host", node->host);
        add(&target, "port", node->port);
    }
    if (base() == NULL || base()[0] == '\0')
        return err_set(err, ERR_CONFIG,
                       "no primary_conninfo says as whom to follow: set it, as for any standby");
    (void) conninfo_each(base(), keep_word, &target);
    add(&target, "application_name", name);
    if (!target.fits)
        return err_set(err, ERR_CONFIG, "primary_conninfo would be longer than %zu bytes", size - 1);
    put(&settings, "primary_conninfo", ret_conninfo);
    put(&settings, "pg_keeper.upstream", base());
    put(&settings, "recovery_target_timeline", "latest");
    if (!slot_works(node))
        put(&settings, "primary_slot_name", "");
    put_names(&settings, names);
    return write_settings(&settings, err);
}

bool upstream_write_waited(bool waited, Err *err)
{
    Settings settings = {0};

    put(&settings, "pg_keeper.waited", waited ? "on" : NULL);
    return write_settings(&settings, err);
}

bool upstream_write_names(const UpstreamNames *names, Err *err)
{
    Settings settings = {0};

    put_names(&settings, names);
    return settings.count == 0 || write_settings(&settings, err);
}

/* Names as syncset_names_write makes them, of members that no document has any more. */
void upstream_forget_names(void)
{
    UpstreamNames none = {.names = "", .generation = (uint32_t) gucs_generation + 1};
    Err err = {0};

    if (gucs_generation == 0 || strncmp(SyncRepStandbyNames, "ANY ", 4) != 0 ||
        strstr(SyncRepStandbyNames, "_e") == NULL)
        return;
    bool locked = upstream_lock();
    bool written = locked ? upstream_write_names(&none, &err)
                          : err_set(&err, ERR_PG, "a session holds postgresql.auto.conf");
    if (locked)
        upstream_unlock();
    if (!written)
        ereport(LOG,
                (errmsg("pg_keeper: synchronous_standby_names of before cannot be taken away: %s", err.text),
                 errhint("ALTER SYSTEM RESET synchronous_standby_names, and reload.")));
    else
        (void) kill(PostmasterPid, SIGHUP);
}
