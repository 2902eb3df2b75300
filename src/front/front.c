/*
 * front.c: the table of the old programs' names.
 */
#include "front/front.h"

#include "front/mail.h"
#include "front/signalctl.h"
#include "front/status_parts.h"
#include "front/watch.h"

#include <stddef.h>
#include <string.h>

const FrontEnd front_table[] = {
    {"pg_signalctl", signalctl_run, "answer load balancers whether this server is a primary that is up",
     "pg_signalctl --port=NUMBER --pgport=NUMBER --user=NAME --password=TEXT|--passfile=FILE|--nopass [OPTION]...",
     "Answers every GET, HEAD and OPTIONS with one HTTP status while the PostgreSQL server on this machine takes connections and is no "
     "standby, and with another one otherwise. Needs no configuration. It looks in the background and answers from memory; a server "
     "that ends is noticed at once. It stays in the foreground, logs to standard error, and ends with SIGTERM.",
     signalctl_options, signalctl_convert},
    {"pgpwatch", pgpwatch_run, "pgpoolwatch: a TCP port that is open while pgpool is well"},
    {"poolstatus", poolstatus_run, "pgpoolwatch: a report on pgpool and on the nodes of repmgr"},
    {"repmgrwatch", repmgrwatch_run,
     "pgpoolwatch: a TCP port that is open on the primary while no pgpool is alive"},
    {"sendmail", sendmail_run, "pgpoolwatch: send one HTML mail"},
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

void front_help(FILE *file, const FrontEnd *front)
{
    args_help(file, front->usage, front->text, front->options);
}
