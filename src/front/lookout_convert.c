/*
 * lookout_convert.c: `pgvigil config convert pglookout CONFIG.json`: the native configuration, and what
 * became of each key that has no equal there.
 */
#include "front/lookout.h"

#include "front/args.h"
#include "front/lookout_native.h"
#include "sys/file.h"

#include <jansson.h>
#include <string.h>

typedef struct Note {
    const char *key, *text;
} Note;

/* Only keys that need a word; the test sees to it that each key of the file has an option or a word. */
static const Note notes[] = {
    {"own_db",
     "the file is the same on all machines: each finds its own line by its address, or by [node] name"},
    {"observers",
     "an observer natively has its own file with [observer] (docs/observers.md); it tells what it sees "
     "and does not vote"},
    {"db_poll_interval", "an agent asks its own server only, each [postgresql] poll_interval"},
    {"replication_state_check_interval", "decided is whenever something happens, within milliseconds"},
    {"http_port", "status, health checks and metrics are at the member's http_port (docs/http.md)"},
    {"failover_sleep_time", "one operation at a time, and none is decided before its end is seen"},
    {"maintenance_mode_file", "pgvigil pause --reason TEXT, and pgvigil resume, for the whole cluster"},
    {"missing_master_from_config_timeout",
     "a primary is taken out by a switchover and pgvigil member remove"},
    {"known_gone_nodes", "a member that is gone for good is taken out by pgvigil member remove"},
    {"json_state_file_path", "pgvigil status --json, or GET /v1/cluster"},
    {"max_failover_replication_time_lag",
     "a failover does not wait for it but for [cluster] lease, and a standby that lacks more than [cluster] "
     "maximum_lag does not take over by itself"},
    {"failover_on_disconnect",
     "what counts is the lease: the primary is lost when a majority has not heard it"},
    {"never_promote_these_nodes", "[node] no_failover = yes, in the files of those machines only"},
    {"autofollow", "always: a standby follows the primary, and one that is back is made to"},
    {"primary_conninfo_template",
     "pgvigil makes primary_conninfo itself; a password belongs into [postgresql] passfile. Further keywords that "
     "stand there stay"},
    {"failover_priorities", "earlier lines of [members] win ties"},
    {"poll_observers_on_warning_only", "observers ask; they are not asked"},
    {"cluster_monitor_health_timeout_seconds",
     "an agent that hangs is ended by systemd (WatchdogSec), and its guard keeps the lease's deadline"},
    {"pgvigil_secret", "the secret is not printed: put it into the file that [cluster] secret names"},
    {"pgvigil_directory",
     "[node] state_directory is a new one here; both ways must not run at the same time"},
};

/* Of the keys that the file has; known ones only, the others were warned of. */
static bool add_notes(const char *path, Buf *out, Err *err)
{
    Buf text = {0};
    bool ok = file_read(path, LOOKOUT_CONFIG_FILE_MAX, &text, err);
    json_t *root = ok ? json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL) : NULL;

    buf_puts(out, "\n# Keys without an equal:\n");
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        if (json_object_get(root, notes[i].key) != NULL)
            buf_printf(out, "# %s: %s.\n", notes[i].key, notes[i].text);
    json_decref(root);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return ok;
}

static void add_warnings(const char *warnings, Buf *out)
{
    for (const char *at = warnings; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "\n");
        buf_printf(out, "# %.*s\n", (int) len, at);
        at += len + (at[len] != '\0');
    }
}

/* It has nothing of a server's; as a member's file it would name a data directory that is not there. */
static bool refuse_observer(const LookoutConfig *config, const char *path, Err *err)
{
    if (config->own >= 0)
        return true;
    if (config->lease.witness[0] != '\0')
        return err_set(
            err, ERR_CONFIG,
            "%.150s has no own_db: it is an observer's, and as pgvigil_witness a member whose file is "
            "the same as that of all nodes: convert a node's",
            path);
    return err_set(
        err, ERR_CONFIG,
        "%.150s has no own_db: it is an observer's. Natively its own file has [observer] clusters = "
        "FOLDER, and FOLDER a file for each cluster with [cluster] name, [members] and [postgresql] user "
        "(docs/observers.md); a node's file is converted to that of the members, which will do there",
        path);
}

bool lookout_convert(int argc, char **argv, Buf *out, Err *err)
{
    static const ArgsOption none[] = {{NULL}};
    LookoutVoters voters;
    Buf warnings = {0};
    Args args;
    bool help = false;

    if (!args_parse(none, argc, argv, true, &args, &help, err))
        return false;
    if (help || args.rest == NULL)
        return err_set(err, ERR_CONFIG, "a configuration is wanted: pgvigil config convert %s CONFIG.json",
                       argv[0]);
    LookoutConfig *config = lookout_config_load(args.rest, &warnings, err);
    bool ok = config != NULL && refuse_observer(config, args.rest, err) &&
              lookout_native_voters(config, &voters, err);
    if (ok) {
        buf_puts(out,
                 "# What pglookout did, natively, by members that vote. The same file for all machines; what "
                 "is of one machine says so.\n");
        ok = lookout_native_convert(config, &voters, out, err) && add_notes(args.rest, out, err);
        add_warnings(warnings.data, out);
    }
    if (ok && voters.count < 3)
        buf_puts(out,
                 "# Fewer than three members: add a witness, else nobody takes over when one is lost.\n");
    buf_done(&warnings);
    lookout_config_free(config);
    args_done(&args);
    return ok;
}
