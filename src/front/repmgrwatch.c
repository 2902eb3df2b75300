/*
 * repmgrwatch.c: the port of a repmgr node: asks repmgr and the pgpools' ports, then decide.c's rule.
 *
 * The steps of a check, one after the other: the table, --csv, the primary's address, the pgpools' ports.
 */
#include "front/front.h"
#include "front/repmgr.h"
#include "front/watch.h"

#include "base/str.h"
#include "base/types.h"
#include "net/local_address.h"
#include "sys/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONNECT_US (3000 * US_PER_MS)

const ArgsOption repmgrwatch_options[] = {
    {"config", "FILE", false,
     "config.ini; default: /root/pgpwatch/config.ini, or else the one in /root/pgpoolwatch"},
    {"run-once", NULL, false, "one check and its mail, then end; exit code 0 if all is well"},
    {"check-period", "SECONDS", false, "instead of check_period"},
    {NULL},
};

/* One TCP check of a pgpool. */
typedef struct Asking {
    Watch *watch;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    struct addrinfo *found, *next; /* its name's addresses, and the one to try after this */
    uv_tcp_t *tcp;
    LoopTimer timer;
    bool over;
} Asking;

static struct {
    RepmgrCluster cluster;
    DecideFacts facts;
    char names[256];
    const RepmgrNode *primary;
    Asking asking[DECIDE_PGPOOLS_MAX];
    int left;
} now; /* the check under way; there is never a second */

static void decide(Watch *watch)
{
    Decision decision;

    decide_open(&now.facts, &decision);
    watch_checked(watch, &decision, NULL);
}

static void decide_problem(Watch *watch, const char *problem)
{
    now.facts.problem = problem;
    decide(watch);
}

static void asked(Asking *asking, PgpoolState state)
{
    if (asking->over)
        return;
    asking->over = true;
    now.facts.pgpool[asking - now.asking] = state;
    loop_timer_done(&asking->timer);
    if (asking->tcp != NULL)
        loop_close_free((uv_handle_t *) asking->tcp);
    asking->tcp = NULL;
    uv_freeaddrinfo(asking->found);
    asking->found = NULL;
    if (--now.left == 0)
        decide(asking->watch);
}

static void try_next(Asking *asking);

static void on_connect(uv_connect_t *connect, int status)
{
    if (status == 0)
        asked(connect->data, PGPOOL_OPEN);
    else if (status != UV_ECANCELED)
        try_next(connect->data);
}

/* It is alive if it answers at one of its addresses. */
static void try_next(Asking *asking)
{
    if (asking->tcp != NULL)
        loop_close_free((uv_handle_t *) asking->tcp);
    asking->tcp = NULL;
    while (!asking->over && asking->next != NULL) {
        const struct addrinfo *at = asking->next;
        asking->next = at->ai_next;
        asking->tcp = calloc(1, sizeof *asking->tcp);
        if (asking->tcp == NULL)
            abort();
        uv_tcp_init(&asking->watch->loop, asking->tcp);
        asking->connect.data = asking;
        if (uv_tcp_connect(&asking->connect, asking->tcp, at->ai_addr, on_connect) == 0)
            return;
        loop_close_free((uv_handle_t *) asking->tcp);
        asking->tcp = NULL;
    }
    asked(asking, PGPOOL_CLOSED);
}

static void on_late(void *arg)
{
    Asking *asking = arg;

    if (asking->found == NULL)
        uv_cancel((uv_req_t *) &asking->lookup);
    else
        asked(asking, PGPOOL_CLOSED);
}

static void on_pgpool_address(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    Asking *asking = lookup->data;

    if (status != 0 || found == NULL) {
        asked(asking, PGPOOL_UNKNOWN);
        return;
    }
    asking->found = asking->next = found;
    try_next(asking);
}

static void ask_pgpools(Watch *watch)
{
    const Settings *settings = &watch->settings;
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char port[8];

    now.facts.force_open = settings->force_open;
    if (settings->pgp_server[0][0] != '\0')
        now.facts.pgpools = strcmp(settings->pgp_server[0], settings->pgp_server[1]) == 0 ? 1 : 2;
    if (!now.facts.is_self || now.facts.pgpools == 0 || now.facts.force_open) {
        decide(watch);
        return;
    }
    snprintf(port, sizeof port, "%d", (int) settings->check_port);
    now.left = now.facts.pgpools;
    for (int i = 0, n = now.left; i < n; i++) {
        Asking *asking = &now.asking[i];
        *asking = (Asking){.watch = watch, .lookup.data = asking};
        loop_timer_init(&asking->timer, &watch->loop, on_late, asking);
        loop_timer_start(&asking->timer, CONNECT_US, 0);
        if (uv_getaddrinfo(&watch->loop, &asking->lookup, on_pgpool_address, settings->pgp_server[i], port,
                           &hints) != 0)
            asked(asking, PGPOOL_UNKNOWN);
    }
}

static void on_primary_address(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    Watch *watch = lookup->data;

    free(lookup);
    if (status != 0) {
        decide_problem(watch, "the primary's host name in its connection string has no address");
        return;
    }
    now.facts.is_self |= local_address_any(found, false);
    uv_freeaddrinfo(found);
    ask_pgpools(watch);
}

static bool is_host_name(const char *name)
{
    char host[256] = "";

    gethostname(host, sizeof host - 1);
    return host[0] != '\0' && strcasecmp(name, host) == 0;
}

static void find_self(Watch *watch)
{
    const RepmgrNode *node = now.primary;
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

    if (watch->settings.node_name[0] != '\0' || node->host[0] == '\0' || node->host[0] == '/') {
        now.facts.is_self = watch->settings.node_name[0] != '\0'
                                ? strcmp(watch->settings.node_name, node->name) == 0
                                : is_host_name(node->name);
        ask_pgpools(watch);
        return;
    }
    if (is_host_name(node->host)) {
        now.facts.is_self = true;
        ask_pgpools(watch);
        return;
    }
    uv_getaddrinfo_t *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        abort();
    lookup->data = watch;
    if (uv_getaddrinfo(&watch->loop, lookup, on_primary_address, node->host, NULL, &hints) != 0) {
        free(lookup);
        decide_problem(watch, "the primary's host name cannot be looked up");
    }
}

static void count_primaries(Watch *watch)
{
    for (int i = 0; i < now.cluster.count; i++) {
        const RepmgrNode *node = &now.cluster.nodes[i];
        size_t len = strlen(now.names);
        if (!node->is_primary)
            continue;
        snprintf(now.names + len, sizeof now.names - len, "%s%s", now.facts.primaries > 0 ? ", " : "",
                 node->name);
        now.primary = node;
        now.facts.primaries++;
    }
    now.facts.names = now.names;
    if (now.facts.primaries == 1)
        find_self(watch);
    else
        decide(watch);
}

static void run_repmgr(Watch *watch, bool csv, void (*on_exit)(void *arg, const ExecResult *result))
{
    const Settings *settings = &watch->settings;
    const char *plain[8], *argv[16];
    Err err = {0};
    int n = 0;

    plain[n++] = settings->repmgr_path;
    if (settings->repmgr_config[0] != '\0') {
        plain[n++] = "-f";
        plain[n++] = settings->repmgr_config;
    }
    plain[n++] = "cluster";
    plain[n++] = "show";
    if (csv)
        plain[n++] = "--csv";
    plain[n] = NULL;
    watch_as_user(settings->repmgr_user, plain, argv);
    ExecSpec spec = {.argv = argv,
                     .timeout_ms = WATCH_CHECK_MS,
                     .die_with_parent = true,
                     .on_exit = on_exit,
                     .arg = watch};
    if (exec_start(&watch->loop, &spec, &err) == NULL)
        decide_problem(watch, err.text);
}

/* repmgr ends with a code above 0 too when a node is down: its output counts. */
static void on_csv(void *arg, const ExecResult *result)
{
    Err err = {0};

    if (result->timed_out || result->output_cut)
        decide_problem(arg, "repmgr cluster show --csv does not end, or says too much");
    else if (!repmgr_parse_csv(result->output, &now.cluster, &err))
        decide_problem(arg, err.text);
    else
        count_primaries(arg);
}

static void on_table(void *arg, const ExecResult *result)
{
    Err err = {0};

    if (result->timed_out || result->output_cut)
        decide_problem(arg, "repmgr cluster show does not end, or says too much");
    else if (!repmgr_parse_table(result->output, &now.cluster, &err))
        decide_problem(arg, err.text);
    else if (now.cluster.version == 3)
        count_primaries(arg);
    else
        run_repmgr(arg, true, on_csv);
}

/* Said once for each start and each other path: the reason of a check has repmgr's own words only. */
static void warn_of_path(const char *path)
{
    static char told[SETTINGS_TEXT_LEN];

    if (access(path, X_OK) == 0 || strcmp(path, told) == 0)
        return;
    str_copy(told, sizeof told, path);
    log_line(
        LOG_LEVEL_WARN, "no_repmgr",
        "path=%s cure=\"set [repmgr] repmgr_path; on Debian it is /usr/lib/postgresql/VERSION/bin/repmgr\"",
        path);
}

static void check(Watch *watch)
{
    now.facts = (DecideFacts){0};
    now.names[0] = '\0';
    warn_of_path(watch->settings.repmgr_path);
    run_repmgr(watch, false, on_table);
}

int repmgrwatch_run(int argc, char **argv)
{
    static Watch watch = {.name = "repmgrwatch", .part = SETTINGS_REPMGR, .check = check};
    bool help;
    Err err = {0};

    if (!args_parse(repmgrwatch_options, argc, argv, false, &watch.args, &help, &err))
        return front_refuse(watch.name, &err);
    return help ? front_show(watch.name) : watch_run(&watch);
}
