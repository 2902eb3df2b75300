/*
 * check_server.c: the own server's settings, roles and slots, as far as it runs.
 */
#include "cli/check.h"
#include "cli/show.h"

#include "base/fence.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void setting(Check *check, const char *name, char *ret_value, size_t size)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "SELECT current_setting('%s', true)", name);
    check_query(check->server, sql, NULL, ret_value, size);
}

/* A setting that should have one of up to two values. */
static void want_setting(Check *check, CheckGrade grade, const char *name, const char *one, const char *other,
                         const char *why)
{
    char value[128], cure[160];

    setting(check, name, value, sizeof(value));
    if (strcmp(value, one) == 0 || (other != NULL && strcmp(value, other) == 0)) {
        check_line(check, CHECK_OK, name, NULL, "%s", value);
        return;
    }
    snprintf(cure, sizeof(cure), "ALTER SYSTEM SET %s = '%s'", name, one);
    check_line(check, grade, name, cure, "%s: %s", value, why);
}

/* A number that should be at least so much. */
static void want_number(Check *check, const char *name, int least, int comfortable, const char *why)
{
    char value[32], cure[160];

    setting(check, name, value, sizeof(value));
    int number = atoi(value);
    snprintf(cure, sizeof(cure), "ALTER SYSTEM SET %s = %d, and a restart", name,
             comfortable < 10 ? 10 : comfortable);
    if (number < least)
        check_line(check, CHECK_FAIL, name, cure, "%d: %s (%d)", number, why, least);
    else if (number < comfortable)
        check_line(check, CHECK_WARN, name, cure, "%d: just enough, none to spare for a clone or a backup",
                   number);
    else
        check_line(check, CHECK_OK, name, NULL, "%d", number);
}

static void check_settings(Check *check)
{
    int data_members = 0;

    for (int i = 0; i < check->config->member_count; i++)
        data_members += check->config->member[i].role == MEMBER_ROLE_DATA;
    int others = data_members - 1;
    want_setting(check, CHECK_FAIL, "wal_level", "replica", "logical",
                 "standbys cannot follow; needs a restart");
    want_setting(check, CHECK_FAIL, "hot_standby", "on", NULL, "a standby cannot be asked; needs a restart");
    want_setting(check, CHECK_FAIL, "full_page_writes", "on", NULL,
                 "pg_rewind and a safe crash recovery need it");
    want_setting(check, CHECK_WARN, "fsync", "on", NULL, "a crash of the machine can destroy the data");
    want_setting(
        check, CHECK_WARN, "restart_after_crash", "off", NULL,
        "after a crash of one backend the server restarts itself; pgvigil turns this off once it runs");
    want_number(check, "max_wal_senders", others, others + 2, "each other data member needs one");
    if (check->config->postgresql.use_slots)
        want_number(check, "max_replication_slots", others, others, "each other data member needs one");
}

static void check_rewind(Check *check)
{
    char checksums[16], hints[16];

    if (!check->config->postgresql.rewind)
        return;
    setting(check, "data_checksums", checksums, sizeof(checksums));
    setting(check, "wal_log_hints", hints, sizeof(hints));
    if (strcmp(checksums, "on") == 0 || strcmp(hints, "on") == 0)
        check_line(check, CHECK_OK, "rewind", NULL, "possible: %s",
                   strcmp(checksums, "on") == 0 ? "data checksums" : "wal_log_hints");
    else
        check_line(
            check, CHECK_WARN, "rewind",
            "ALTER SYSTEM SET wal_log_hints = on and a restart, or pg_checksums --enable while it is stopped",
            "not possible without data checksums or wal_log_hints: a diverged member is cloned instead");
}

/* What synchronous mode promises is kept by the agents; three ways around it only the extension closes. */
static void check_waiting(Check *check)
{
    char state[256];

    check_query(check->server, "SELECT coalesce(current_setting('pgvigil.state', true), '')", NULL, state,
                sizeof(state));
    if (state[0] != '\0')
        check_line(check, CHECK_OK, "synchronous mode", NULL, "a commit waits for %u standbys",
                   check->config->cluster.standbys_per_commit);
    else
        check_line(
            check, CHECK_WARN, "synchronous mode",
            "load the extension: shared_preload_libraries = 'pgvigil', and a restart",
            "without the extension a transaction can ask for less (synchronous_commit), a cancelled wait looks like "
            "success, and after a crash rows can be read that no standby has");
}

static void check_synchronous(Check *check)
{
    char names[256], most[SHOW_NUMBER_LEN];

    if (check->config->cluster.synchronous != SYNCHRONOUS_OFF) {
        check_waiting(check);
        return;
    }
    show_bytes(check->config->cluster.maximum_lag_bytes, most);
    setting(check, "synchronous_standby_names", names, sizeof(names));
    if (names[0] != '\0')
        check_line(
            check, CHECK_WARN, "synchronous mode",
            "ALTER SYSTEM RESET synchronous_standby_names and [cluster] synchronous = on, unless it is meant to be kept "
            "by hand",
            "synchronous_standby_names = \"%s\": pgvigil neither changes nor counts on it, and after a failover "
            "commits may wait for a standby that is not there",
            names);
    else
        check_line(
            check, CHECK_OK, "synchronous mode", NULL,
            "asynchronous: a failover may lose up to %s of WAL (cluster.maximum_lag) and what came after the "
            "primary's last report",
            most);
}

/* Whether the query, about the role as $1, says so. */
static bool role_has(Check *check, const char *role, const char *sql)
{
    char value[8];

    check_query(check->server, sql, role, value, sizeof(value));
    return strcmp(value, "t") == 0;
}

static void check_roles(Check *check)
{
    const char *user = check->config->postgresql.user;
    const char *replication = check->config->postgresql.replication_user;
    char cure[300];

    snprintf(cure, sizeof(cure), "ALTER ROLE \"%s\" SUPERUSER", user);
    if (role_has(check, user, "SELECT rolsuper FROM pg_roles WHERE rolname = $1"))
        check_line(check, CHECK_OK, "role", NULL, "%s is a superuser", user);
    else
        check_line(check, CHECK_FAIL, "role", cure,
                   "%s is no superuser: pgvigil cannot change settings nor promote", user);
    snprintf(cure, sizeof(cure), "ALTER ROLE \"%s\" REPLICATION", replication);
    if (role_has(check, replication, "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = $1"))
        check_line(check, CHECK_OK, "replication role", NULL, "%s may replicate", replication);
    else
        check_line(check, CHECK_FAIL, "replication role", cure, "%s is not there or may not replicate",
                   replication);
}

/* PostgreSQL 12 has no such limit: there the setting is not known. */
static void check_slot_limit(Check *check)
{
    char limit[32];

    setting(check, "max_slot_wal_keep_size", limit, sizeof(limit));
    if (!check->config->postgresql.use_slots || limit[0] == '\0')
        return;
    if (strcmp(limit, "-1") == 0)
        check_line(
            check, CHECK_WARN, "max_slot_wal_keep_size",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '...', as much as the disk under pg_wal can spare",
            "-1, no limit: the slot of a member that stays away keeps WAL until the disk is full");
    else
        check_line(check, CHECK_OK, "max_slot_wal_keep_size", NULL, "%s", limit);
}

static void check_slots(Check *check)
{
    char count[32];

    check_slot_limit(check);
    check_query(check->server, "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'", NULL,
                count, sizeof(count));
    if (atoi(count) > 0)
        check_line(check, CHECK_WARN, "logical slots", "make them again on the new primary after a failover",
                   "%s logical slots are here only: they do not move with a failover", count);
    check_query(
        check->server,
        "SELECT string_agg(slot_name, ', ') FROM pg_replication_slots WHERE NOT active AND slot_type = "
        "'physical' AND restart_lsn IS NOT NULL AND pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN "
        "pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) > 1073741824",
        NULL, count, sizeof(count));
    if (count[0] != '\0')
        check_line(check, CHECK_WARN, "slots",
                   "SELECT pg_drop_replication_slot(...), if nobody needs it any more",
                   "unused slots hold more than 1 GB of WAL: %s", count);
}

/* pgvigil starts it with the file of config_directory: another one means other settings after the next start.
 */
static void check_config_file(Check *check)
{
    char runs[PATH_MAX], ours[PATH_MAX], real[PATH_MAX], cure[PATH_MAX + 64];

    setting(check, "config_file", runs, sizeof(runs));
    snprintf(ours, sizeof(ours), "%.4000s/postgresql.conf", check->config->postgresql.config_directory);
    if (runs[0] == '\0' || strcmp(realpath(ours, real) != NULL ? real : ours, runs) == 0) {
        check_line(check, CHECK_OK, "config_file", NULL, "%.200s", runs);
        return;
    }
    snprintf(cure, sizeof(cure), "[postgresql] config_directory = %.*s", (int) (strrchr(runs, '/') - runs),
             runs);
    check_line(check, CHECK_FAIL, "config_file", cure,
               "the server runs with %.200s; pgvigil would start it with %.200s, and without those settings",
               runs, ours);
}

static void check_pending(Check *check)
{
    char names[300];

    check_query(check->server, "SELECT string_agg(name, ', ') FROM pg_settings WHERE pending_restart", NULL,
                names, sizeof(names));
    if (names[0] != '\0')
        check_line(check, CHECK_WARN, "pending restart", "pgvigil restart --pending", "%s", names);
}

static void check_fence(Check *check)
{
    char state[400] = "", path[FENCE_PATH_LEN], file[300];

    if (check->server != NULL)
        check_query(check->server, "SELECT current_setting('pgvigil.state', true)", NULL, state,
                    sizeof(state));
    if (check->server == NULL) {
        check_line(check, CHECK_INFO, "fence", "start pgvigil, which starts it, and check again",
                   "whether the extension is loaded cannot be seen while the server does not run");
        return;
    }
    if (state[0] == '\0') {
        check_line(
            check, CHECK_INFO, "fence",
            "shared_preload_libraries = 'pgvigil' on all data members, then pgvigil restart, standbys first",
            "the extension is not loaded: a primary that loses its lease is kept from acknowledging by the end "
            "of its server. This stays open: a machine that stands still as a whole (a paused virtual machine) "
            "can, when it wakes, acknowledge commits for the moment until its server is ended, and these are "
            "lost; and in synchronous mode a wait for a standby that is cancelled looks like success");
        return;
    }
    fence_path(check->config->node.run_directory, check->config->cluster.name, check->self->name, path);
    setting(check, "pgvigil.fence_file", file, sizeof(file));
    if (strcmp(file, path) != 0)
        check_line(check, CHECK_FAIL, "fence",
                   "pgvigil restart: it writes the setting before the server starts",
                   "the extension reads %s, the agent writes %s: commits are refused", file, path);
    else
        check_line(check, CHECK_OK, "fence", NULL, "commits are checked in the server: %s", state);
}

void check_server(Check *check)
{
    char text[300];

    if (check->address[0] == '\0') {
        check_line(check, CHECK_WARN, "server", "start pgvigil, which starts it, and check again",
                   "it does not run: its settings, roles and slots were not checked");
        check_fence(check);
        return;
    }
    check->server = check_connect(check, check->address, check->port, check->config->postgresql.user, false);
    if (PQstatus(check->server) != CONNECTION_OK) {
        check_line(check, CHECK_FAIL, "server",
                   "pg_hba.conf: let that role in over the socket; or postgresql.passfile",
                   "no connection as %s through %s, port %s: %s", check->config->postgresql.user,
                   check->address, check->port, check_pg_error(check->server, text, sizeof(text)));
        PQfinish(check->server);
        check->server = NULL;
        return;
    }
    check_query(check->server, "SELECT pg_is_in_recovery()", NULL, text, sizeof(text));
    check_line(check, CHECK_OK, "server", NULL, "PostgreSQL %s, a %s, port %s",
               PQparameterStatus(check->server, "server_version"), text[0] == 't' ? "standby" : "primary",
               check->port);
    if (atoi(check->port) != (int) check->self->port)
        check_line(check, CHECK_FAIL, "port", "the same port in [members] and in postgresql.conf",
                   "the server listens on port %s, [members] says %u", check->port, check->self->port);
    check_query(check->server, "SELECT system_identifier FROM pg_control_system()", NULL,
                check->system_identifier, sizeof(check->system_identifier));
    check_config_file(check);
    check_settings(check);
    check_rewind(check);
    check_synchronous(check);
    check_roles(check);
    check_slots(check);
    check_pending(check);
    check_fence(check);
}
