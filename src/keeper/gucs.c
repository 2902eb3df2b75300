/*
 * gucs.c: pg_keeper's settings, under its own names and the older ones, and those that the fence needs.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>
#include <utils/guc.h>

#include <limits.h>
#include <string.h>

#define SECONDS_MOST 60 /* a longer lease is no lease any more */

char *gucs_node_name;
char *gucs_my_conninfo, *gucs_partner_conninfo;
char gucs_node_id[MEMBER_NAME_LEN];
char *gucs_database;
char *gucs_after_command;
char *gucs_rejoin_command;
char *gucs_upstream;
bool gucs_resync = true;
int gucs_prefer = PREFER_PRIMARY;

static const struct config_enum_entry prefers[] = {
    {"primary", PREFER_PRIMARY, false}, {"standby", PREFER_STANDBY, false}, {NULL, 0, false}};
bool gucs_waited;

/* As ext.h has them. */
const char gucs_teller[] = "pgkeeper.node_info in the database of the extension, or this server's log,";
const char gucs_names_cure[] =
    "Set synchronous_standby_names in postgresql.conf or by ALTER SYSTEM, not on the command line, and reload; "
    "pg_keeper puts its own names over it in postgresql.auto.conf.";
int gucs_wait_ms = 2000;
int gucs_generation;

static int keepalive_time = 5, keepalive_count = 1;
static int freeze;
static char *wanted_names; /* look.c has it from the file, where it can be told from none */
static int keepalives_time = 0, keepalives_count = 0; /* the older spellings; 0: not set */

uint32 gucs_lease_ms(void)
{
    int64 seconds = (int64) (keepalives_time > 0 ? keepalives_time : keepalive_time) *
                    (keepalives_count > 0 ? keepalives_count : keepalive_count);

    return (uint32) (seconds < SECONDS_MOST ? seconds : SECONDS_MOST) * 1000;
}

static void on_generation(int value, void *extra)
{
    (void) extra;
    shared_stamp(value);
}

/*
 * Behind an empty primary_conninfo in the same file, so that the startup process has read that, too. It alone
 * asks for a walreceiver, and with nobody to follow it asks for none any more.
 */
static void on_freeze(int value, void *extra)
{
    (void) extra;
    if (AmStartupProcess())
        board_stamp_freeze((uint32) value);
}

static void check_name(void)
{
    if (gucs_node_name[0] == '\0')
        ereport(
            FATAL,
            (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("pg_keeper.node_name is not set"),
             errhint("Set it in postgresql.conf to the name of this node, another one on each server; or, "
                     "with two servers, pg_keeper.my_conninfo and pg_keeper.partner_conninfo.")));
    if (!name_is_valid(gucs_node_name))
        ereport(FATAL,
                (errcode(ERRCODE_CONFIG_FILE_ERROR),
                 errmsg("pg_keeper.node_name \"%s\" is not a name that a node can have", gucs_node_name),
                 errhint("1 to %d bytes of UTF-8, without control characters.", NODE_NAME_LEN - 1)));
    name_make_id(gucs_node_name, gucs_node_id);
    if (gucs_lease_ms() == SECONDS_MOST * 1000)
        ereport(LOG, (errmsg("pg_keeper.keepalive_time times keepalive_count counts as %d s at most",
                             SECONDS_MOST)));
}

static void define_times(void)
{
    DefineCustomIntVariable("pg_keeper.keepalive_time",
                            "Seconds after which a primary that is not heard counts as lost, for each count.",
                            NULL, &keepalive_time, 5, 1, SECONDS_MOST, PGC_POSTMASTER, GUC_UNIT_S, NULL, NULL,
                            NULL);
    DefineCustomIntVariable("pg_keeper.keepalive_count", "How many times keepalive_time that takes.", NULL,
                            &keepalive_count, 1, 1, SECONDS_MOST, PGC_POSTMASTER, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("pg_keeper.keepalives_time",
                            "Older name of pg_keeper.keepalive_time; 0: not set.", NULL, &keepalives_time, 0,
                            0, SECONDS_MOST, PGC_POSTMASTER, GUC_UNIT_S, NULL, NULL, NULL);
    DefineCustomIntVariable("pg_keeper.keepalives_count",
                            "Older name of pg_keeper.keepalive_count; 0: not set.", NULL, &keepalives_count,
                            0, 0, SECONDS_MOST, PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void define_commands(void)
{
    DefineCustomStringVariable("pg_keeper.after_command", "Shell command that is run after a promotion.",
                               NULL, &gucs_after_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL,
                               NULL);
    DefineCustomStringVariable(
        "pg_keeper.rejoin_command",
        "Shell command that makes a standby again of a server that has lost its place.",
        "It is run in a session of its own, again after a minute while the server is closed, and has to stop it.",
        &gucs_rejoin_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

void gucs_define(void)
{
    DefineCustomStringVariable("pg_keeper.node_name", "Name of this node.",
                               "1 to 63 bytes of UTF-8; another one on each server.", &gucs_node_name, "",
                               PGC_POSTMASTER, 0, NULL, NULL, NULL);
    DefineCustomStringVariable("pg_keeper.my_conninfo",
                               "With two nodes, instead of their registration: how the other finds this one.",
                               NULL, &gucs_my_conninfo, "", PGC_POSTMASTER, GUC_SUPERUSER_ONLY, NULL, NULL,
                               NULL);
    DefineCustomStringVariable("pg_keeper.partner_conninfo",
                               "With two nodes, instead of their registration: how to find the other one.",
                               NULL, &gucs_partner_conninfo, "", PGC_POSTMASTER, GUC_SUPERUSER_ONLY, NULL,
                               NULL, NULL);
    DefineCustomStringVariable("pg_keeper.database", "Database with the extension pg_keeper in it.", NULL,
                               &gucs_database, "postgres", PGC_POSTMASTER, 0, NULL, NULL, NULL);
    define_times();
    define_commands();
    DefineCustomBoolVariable("pg_keeper.resync",
                             "Go back to synchronous replication when standbys are there again.", NULL,
                             &gucs_resync, true, PGC_SIGHUP, 0, NULL, NULL, NULL);
    DefineCustomEnumVariable(
        "pg_keeper.prefer", "With two nodes: which of them goes on without the other.",
        "primary: it goes on alone, and is replaced by hand. standby: it takes over by itself, and commits "
        "wait for it.",
        &gucs_prefer, PREFER_PRIMARY, prefers, PGC_SIGHUP, 0, NULL, NULL, NULL);
    DefineCustomIntVariable("pg_keeper.commit_wait",
                            "How long a commit waits for this server's lease before it is refused.", NULL,
                            &gucs_wait_ms, 2000, 0, 600000, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
    DefineCustomIntVariable(
        "pg_keeper.generation", "How often pg_keeper has set synchronous_standby_names; not for editing.",
        NULL, &gucs_generation, 0, 0, INT_MAX, PGC_SIGHUP, GUC_NOT_IN_SAMPLE, NULL, on_generation, NULL);
    DefineCustomStringVariable(
        "pg_keeper.wanted_names",
        "The synchronous_standby_names set by ALTER SYSTEM, whose place pg_keeper's own took; not for editing.",
        NULL, &wanted_names, "", PGC_SIGHUP, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
    DefineCustomBoolVariable("pg_keeper.waited", "Commits have waited for standbys; not for editing.", NULL,
                             &gucs_waited, false, PGC_SIGHUP, GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
    DefineCustomIntVariable("pg_keeper.freeze", "The newest freeze for a vote; not for editing.", NULL,
                            &freeze, 0, 0, INT_MAX, PGC_SIGHUP, GUC_NOT_IN_SAMPLE, NULL, on_freeze, NULL);
    DefineCustomStringVariable(
        "pg_keeper.upstream", "The primary_conninfo that this standby came from; not for editing.", NULL,
        &gucs_upstream, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
    version_reserve_prefix("pg_keeper");
    pair_check();
    check_name();
}
