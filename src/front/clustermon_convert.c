/*
 * clustermon_convert.c: `pgvigil config convert pg_cluster_monitor CONFIG.ini`: the native configuration,
 * and what became of each key that has no equal there.
 */
#include "front/clustermon.h"

#include "config/value.h"
#include "net/local_address.h"

#include <stdio.h>
#include <string.h>

typedef struct Note {
    const char *key, *text;
} Note;

/* Of keys that are not printed as options; in the order of the file's document. */
static const Note notes[] = {
    {"local_node_host_name",
     "the file is the same on all machines: each finds its own line by its address, or by [node] name"},
    {"cmd_create_db_directories",
     "pgvigil copies beside the data directory, and puts the copy into its place when it is whole"},
    {"cmd_remove_db_directories", "the same"},
    {"replication_slot_name",
     "each member has a slot of its own, which is made and removed as members come and go"},
    {"cluster_scan_period_sec",
     "an agent asks its own server each [postgresql] poll_interval, and decides within milliseconds"},
    {"timeout_to_failover_sec",
     "a failover comes when a majority has not heard the primary for [cluster] lease"},
    {"timeout_to_check_replication_status_after_start_sec",
     "an operation ends when the standby is seen to stream, and is told if it does not"},
    {"cmd_get_db_status_string", "pgvigil sees the server's processes itself"},
    {"cmd_promote_standby_to_master", "pgvigil promotes itself, or by [commands] promote"},
    {"cmd_pg_rewind_command", "pgvigil rewinds itself, or by [commands] rewind"},
    {"cmd_pg_basebackup_command", "pgvigil copies itself, or by [commands] clone"},
    {"cmd_start_db", "pgvigil starts it itself, or by [commands] start"},
    {"cmd_stop_db", "pgvigil stops it itself, or by [commands] stop"},
    {"webserver_address, webserver_port",
     "status, health checks and metrics are at the member's http_port (docs/http.md), pgvigil status at the console"},
};

static bool add_members(const ClustermonConfig *config, Buf *out, ClustermonPlace *ret_own, Err *err)
{
    buf_puts(out, "\n[members]\n# from [cluster]; their passwords belong into [postgresql] passfile\n");
    for (int i = 0; i < config->servers; i++) {
        ClustermonPlace place;
        const char *name = config->server[i].name;
        if (!clustermon_config_place(config->server[i].conninfo, &place))
            return err_set(err, ERR_CONFIG, "[cluster] %.60s: it cannot be taken apart", name);
        if (i == config->own)
            *ret_own = place;
        /* The local line had to lead to the local server even without a network. */
        bool here = local_address_only(place.host);
        if (here)
            buf_printf(out, "# it said %s, which others cannot reach: its name, as the other files have it\n",
                       place.host[0] != '\0' ? place.host : "no host");
        buf_printf(out, "%s = host=%s port=%u\n", name, here ? name : place.host, (unsigned) place.port);
    }
    return true;
}

/* The folder of the pg_ctl in the start command, if that has one. */
static void add_bin_directory(const ClustermonConfig *config, Buf *out)
{
    const char *line = config->command[CLUSTERMON_CMD_START], *end = strstr(line, "/pg_ctl");
    const char *begin = end;

    while (begin != NULL && begin > line && begin[-1] != ' ' && begin[-1] != '"' && begin[-1] != '\'')
        begin--;
    if (begin != NULL && *begin == '/')
        buf_printf(out, "# from cmd_start_db\nbin_directory = %.*s\n", (int) (end - begin), begin);
}

static void add_network(const ClustermonConfig *config, Buf *out)
{
    static const char folder[] = "/sys/class/net/";
    const char *line = config->command[CLUSTERMON_CMD_NETWORK], *at = strstr(line, folder);
    size_t len = at != NULL ? strcspn(at + sizeof folder - 1, "/ \"'") : 0;

    if (line[0] == '\0')
        return;
    buf_puts(out, "\n[network]\n");
    if (len > 0)
        buf_printf(out, "# from cmd_get_network_status_string\nlinks = %.*s\n", (int) len,
                   at + sizeof folder - 1);
    else
        buf_puts(
            out,
            "# from cmd_get_network_status_string: links = NAMES, gateway = ADDRESS, or [commands] network "
            "(docs/commands.md)\n");
}

static void add_text(const ClustermonConfig *config, const ClustermonPlace *own, Buf *out)
{
    char time[32];

    buf_puts(out, "\n[cluster]\n");
    buf_printf(out, "# from [pgvigil] cluster, or its default\nname = %s\n", config->cluster);
    buf_puts(
        out,
        "# to be made once, and copied to every member: (umask 077; openssl rand -hex 32 > FILE)\n"
        "secret = file:/etc/pgvigil/secret\n"
        "# in the place of '' and '*': in an order in which no acknowledged commit is lost by a failover\n"
        "synchronous = on\n");
    value_format_duration(config->downgrade_us / US_PER_MS, time, sizeof time);
    buf_printf(out, "# from timeout_to_downgrade_master_sec\nresolve_after = %s\n", time);
    buf_puts(out, "\n[postgresql]\n");
    buf_printf(out, "# from pg_data_path\ndata_directory = %s\n", config->data_path);
    if (own->user[0] != '\0')
        buf_printf(out, "# from the user of the local line in [cluster]\nuser = %s\n", own->user);
    if (own->passfile[0] != '\0')
        buf_printf(out, "# from the local line in [cluster]\npassfile = %s\n", own->passfile);
    add_bin_directory(config, out);
    if (strstr(config->command[CLUSTERMON_CMD_START], "-o ") != NULL)
        buf_puts(
            out,
            "# cmd_start_db starts the server with options of its own (-o). pgvigil does not: BEFORE it takes over, write\n"
            "# them into postgresql.conf, the port above all, or it comes up elsewhere at its next start.\n");
    if (strstr(config->command[CLUSTERMON_CMD_START], "-l ") != NULL)
        buf_puts(out, "# cmd_start_db names a log (-l):\n# server_log = FILE\n");
    add_network(config, out);
}

bool clustermon_convert(int argc, char **argv, Buf *out, Err *err)
{
    ClustermonPlace own = {0};
    Buf warnings = {0};
    Args args;
    bool help = false;

    if (!args_parse(clustermon_options, argc, argv, true, &args, &help, err))
        return false;
    const char *path = args.rest != NULL ? args.rest : args_value(&args, "config");
    if (help || path == NULL)
        return err_set(err, ERR_CONFIG, "a configuration is wanted: pgvigil config convert %s CONFIG.ini",
                       argv[0]);
    ClustermonConfig *config = clustermon_config_load(path, &warnings, err);
    bool ok = config != NULL;
    if (ok) {
        buf_puts(
            out,
            "# What pgClusterMonitor did, natively, by members that vote. The same file for all machines.\n");
        ok = add_members(config, out, &own, err);
    }
    if (ok) {
        add_text(config, &own, out);
        if (strstr(config->command[CLUSTERMON_CMD_START], "docker") != NULL)
            buf_puts(
                out,
                "\n# The server is in a container: pgvigil has to see its processes and its data directory, see\n"
                "# \"In a container\" in docs/commands.md, and [commands] there.\n");
        buf_puts(out, "\n# Keys without an equal:\n");
        for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
            buf_printf(out, "# %s: %s.\n", notes[i].key, notes[i].text);
        if (config->servers < 3)
            buf_puts(out,
                     "# Fewer than three members: add a witness, else nobody takes over when one is lost.\n");
    }
    buf_done(&warnings);
    clustermon_config_free(config);
    args_done(&args);
    return ok;
}
