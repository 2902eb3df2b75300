/*
 * front.c: the table of the old programs' names.
 */
#include "front/front.h"

#include "front/clustermon.h"
#include "front/lookout.h"
#include "front/mail.h"
#include "front/signalctl.h"
#include "front/status_parts.h"
#include "front/watch.h"

#include <stddef.h>
#include <string.h>

static const ArgsOption no_options[] = {{NULL}};

const FrontEnd front_table[] = {
    {"pg_signalctl", signalctl_run, "answer load balancers whether this server is a primary that is up",
     "pg_signalctl --port=NUMBER --pgport=NUMBER --user=NAME --password=TEXT|--passfile=FILE|--nopass [OPTION]...",
     "Answers every GET, HEAD and OPTIONS with one HTTP status while the PostgreSQL server on this machine takes connections and is no "
     "standby, and with another one otherwise. Needs no configuration. It looks in the background and answers from memory; a server "
     "that ends is noticed at once. It stays in the foreground, logs to standard error, and ends with SIGTERM.",
     signalctl_options, signalctl_convert},
    {"pg_cluster_monitor", clustermon_run, "pgClusterMonitor: an agent on each node, by commands",
     "pg_cluster_monitor [--config FILE] [--check]",
     "Starts the local server, promotes it when the primary is gone, makes it a standby again when there is another primary, and sets "
     "synchronous_standby_names, all by the commands in pgClusterMonitor's config.ini. Answers GET /status and GET /heartbeat. Exit code "
     "2: the file is wrong, or the port is taken.",
     clustermon_options, clustermon_convert},
    {"pglookout", lookout_run, "replication monitor, failover daemon and observer",
     "pglookout CONFIG.json | --version",
     "Watches the servers in remote_conns and, on a database node (own_db), runs failover_command when the primary is gone, more than "
     "half of the nodes' and observers' states are known and this node is the furthest. Without own_db it is an observer and acts on "
     "nothing. Answers GET /state.json and POST /check. With pgvigil_secret_file and three voters an agent runs behind it, and nobody is promoted without a majority and the lease. SIGHUP reads the file again. Exit code 2: the file is wrong, or the port is "
     "taken.",
     lookout_options, lookout_convert},
    {"pglookout_current_master", lookout_current_run,
     "pglookout: the name of the primary, out of its state file", "pglookout_current_master CONFIG.json",
     "Prints the name of the primary. Exit code 255: the state file cannot be read, is older than 60 s or names none.",
     no_options, NULL},
    {"pgpwatch", pgpwatch_run, "pgpoolwatch: a TCP port that is open while pgpool is well",
     "pgpwatch [OPTION]...",
     "Holds a TCP port open while pgpool and its nodes are well, as poolstatus says. Reads pgpoolwatch's config.ini; mails what changes.",
     pgpwatch_options, watch_convert_pgp},
    {"poolstatus", poolstatus_run, "pgpoolwatch: a report on pgpool and on the nodes of repmgr",
     "poolstatus [OPTION]...",
     "Reports on pgpool and on repmgr's nodes. Exit code 0: all is well; 3: pgpool, a primary and a standby are found, but something "
     "else lacks; 1: not even that; 2: wrong use.",
     poolstatus_options, NULL},
    {"repmgrwatch", repmgrwatch_run,
     "pgpoolwatch: a TCP port that is open on the primary while no pgpool is alive",
     "repmgrwatch [OPTION]...",
     "Holds a TCP port open while this host is repmgr's one primary and no pgpool is alive. Reads pgpoolwatch's config.ini; mails what "
     "changes.",
     repmgrwatch_options, watch_convert_repmgr},
    {"sendmail", sendmail_run, "pgpoolwatch: send one HTML mail", "sendmail [@FILE] [OPTION]...",
     "Sends one HTML mail. @FILE has arguments, one a line; those on the command line go before. The connection is always encrypted.",
     sendmail_options, NULL},
    {NULL},
};

const FrontEnd *front_find(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);

    if (len > 3 && strcmp(name + len - 3, ".py") == 0)
        len -= 3;
    for (const FrontEnd *front = front_table; front->name != NULL; front++)
        if (strlen(front->name) == len && memcmp(front->name, name, len) == 0)
            return front;
    return NULL;
}

int front_show(const char *name)
{
    const FrontEnd *front = front_find(name);

    args_help(stdout, front->usage, front->text, front->options);
    return 0;
}

int front_refuse(const char *name, const Err *err)
{
    fprintf(stderr, "%s: %s\n", name, err->text);
    return 2;
}

void front_answer_json(HttpRequest *request, Buf *body)
{
    if (body->failed)
        http_respond(request, 503, "text/plain", "memory ran out\n", 15, NULL);
    else
        http_respond(request, 200, "application/json", body->data, body->len, NULL);
    buf_done(body);
}
