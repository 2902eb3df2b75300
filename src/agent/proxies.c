/*
 * proxies.c: for each runtime socket: ask for a backend's servers, then say which are up.
 *
 * Two requests for each of two backends, one after the other, each with a deadline; tried again some times,
 * then left to HAProxy's own checks.
 */
#include "agent/proxies.h"

#include "agent/internal.h"
#include "net/haproxy.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 2000
#define AGAIN_US   (US_PER_SEC / 2)
#define TRIES      5

typedef struct Proxy {
    Proxies *proxies;
    char path[128];
    bool replicas; /* the backend of the standbys is next */
    bool changed;  /* something was set in this run */
    int tries;
    HaproxyRequest *request;
    LoopTimer timer;
} Proxy;

struct Proxies {
    Agent *agent;
    MemberNo told; /* the newest that was ready */
    MemberNo before;
    Proxy proxy[CONFIG_SOCKET_MAX];
};

static void ask_list(Proxy *proxy);

static const char *backend_of(const Proxy *proxy)
{
    const Config *config = proxy->proxies->agent->config;

    return proxy->replicas ? config->haproxy.backend_replica : config->haproxy.backend_primary; /* or NULL */
}

static const char *primary_name(const Proxy *proxy)
{
    const Agent *agent = proxy->proxies->agent;

    return proxy->proxies->told >= 0 ? agent->core.persist.doc.member[proxy->proxies->told].name : "-";
}

static void on_time(void *arg)
{
    ask_list(arg);
}

/* The next backend, or the end of the run. */
static void go_on(Proxy *proxy)
{
    if (!proxy->replicas) {
        proxy->replicas = true;
        ask_list(proxy);
        return;
    }
    if (proxy->changed)
        log_line(LOG_LEVEL_INFO, "haproxy", "socket=%s primary=%s it was told", proxy->path,
                 primary_name(proxy));
}

/* One line when it is given up, none for each try. */
static void fail(Proxy *proxy, const char *reason)
{
    char quoted[600];

    if (++proxy->tries < TRIES) {
        loop_timer_start(&proxy->timer, AGAIN_US, 0);
        return;
    }
    log_line(LOG_LEVEL_WARN, "haproxy_not_told",
             "socket=%s backend=%s primary=%s reason=%s its own checks find the primary", proxy->path,
             proxy->replicas ? "replica" : "primary", primary_name(proxy),
             log_quote(reason, quoted, sizeof quoted));
    proxy->tries = 0;
    go_on(proxy);
}

/* A word that HAProxy has for success is an empty line. */
static void on_set(void *arg, const char *answer, const Err *err)
{
    Proxy *proxy = arg;
    char text[256];

    proxy->request = NULL;
    if (err != NULL) {
        fail(proxy, err->text);
        return;
    }
    answer += strspn(answer, "\n \t");
    if (*answer != '\0') {
        snprintf(text, sizeof text, "%.*s", (int) strcspn(answer, "\n"), answer);
        fail(proxy, text);
        return;
    }
    proxy->changed = true;
    go_on(proxy);
}

/* The member that a server of a backend is, or -1; by its name, else by host and port. */
static int member_of(const Config *config, const HaproxyServer *server)
{
    int index = config_find_member(config, server->name);

    for (int i = 0; index < 0 && i < config->member_count; i++)
        if (config->member[i].role == MEMBER_ROLE_DATA &&
            strcmp(config->member[i].host, server->address) == 0 && config->member[i].port == server->port)
            index = i;
    return index;
}

/*
 * What has to be said about one server; an empty command behind the last would be an error. In the primary's
 * backend all others go down, in the standbys' only the primary does: whether a standby is fit, the checks
 * know better. Sessions end even if the checks were faster, unless nothing has changed.
 */
static void add_commands(const Proxy *proxy, const HaproxyServer *server, bool is_primary, Buf *out)
{
    const Proxies *proxies = proxy->proxies;
    const char *backend = backend_of(proxy);
    bool wanted = is_primary != proxy->replicas;

    if (proxy->replicas && !is_primary)
        return;
    if (wanted && !server->up)
        buf_printf(out, "%sset server %s/%s health up", out->len > 0 ? ";" : "", backend, server->name);
    if (!wanted && server->up)
        buf_printf(out, "%sset server %s/%s health down", out->len > 0 ? ";" : "", backend, server->name);
    if (!wanted && (server->up || proxies->before != MEMBER_NONE))
        buf_printf(out, "%sshutdown sessions server %s/%s", out->len > 0 ? ";" : "", backend, server->name);
}

static void set_servers(Proxy *proxy, const HaproxyServer *servers, int count)
{
    Agent *agent = proxy->proxies->agent;
    int primary = agent_member_index(agent, proxy->proxies->told);
    Buf commands = {0};
    Err err = {0};
    bool found = false;

    for (int i = 0; i < count; i++) {
        int member = member_of(agent->config, &servers[i]);
        found = found || (member >= 0 && member == primary);
        if (member >= 0)
            add_commands(proxy, &servers[i], member == primary, &commands);
    }
    if (!found && !proxy->replicas) {
        /* Taking the others down would leave nobody. */
        fail(proxy, "no server of it is the primary, neither by its name nor by address and port");
    } else if (commands.len == 0) {
        go_on(proxy);
    } else {
        proxy->request =
            haproxy_ask(&agent->loop, proxy->path, commands.data, TIMEOUT_MS, on_set, proxy, &err);
        if (proxy->request == NULL)
            fail(proxy, err.text);
    }
    buf_done(&commands);
}

static void on_list(void *arg, const char *answer, const Err *err)
{
    HaproxyServer servers[2 * CONFIG_MEMBER_MAX];
    Proxy *proxy = arg;
    Err problem = {0};
    int count;

    proxy->request = NULL;
    if (err != NULL) {
        fail(proxy, err->text);
        return;
    }
    if (backend_of(proxy) == NULL) { /* by a reload meanwhile */
        go_on(proxy);
        return;
    }
    count = haproxy_servers(answer, servers, 2 * CONFIG_MEMBER_MAX, &problem);
    if (count < 0)
        fail(proxy, problem.text);
    else
        set_servers(proxy, servers, count);
}

static void ask_list(Proxy *proxy)
{
    char command[128];
    Err err = {0};

    if (proxy->proxies->told == MEMBER_NONE)
        return;
    if (backend_of(proxy) == NULL) {
        go_on(proxy);
        return;
    }
    snprintf(command, sizeof command, "show servers state %.100s", backend_of(proxy));
    proxy->request =
        haproxy_ask(&proxy->proxies->agent->loop, proxy->path, command, TIMEOUT_MS, on_list, proxy, &err);
    if (proxy->request == NULL)
        fail(proxy, err.text);
}

/* A run that is under way is about another primary by now. */
static void begin(Proxy *proxy, const char *path)
{
    haproxy_cancel(proxy->request);
    proxy->request = NULL;
    loop_timer_stop(&proxy->timer);
    str_copy(proxy->path, sizeof proxy->path, path);
    proxy->replicas = proxy->changed = false;
    proxy->tries = 0;
    /* The file is the same on all machines, and not all of them have an HAProxy. */
    if (access(path, F_OK) == 0)
        ask_list(proxy);
}

/* The primary by the document, once its server can write; here it is the lease that counts. */
static MemberNo ready_primary(const Agent *agent)
{
    const Core *core = &agent->core;
    MemberNo no = core_primary(core);

    if (no == MEMBER_NONE || (no == core->self && !core_lease_holds(core, &core->now)))
        return MEMBER_NONE;
    return api_primary_lsn(core) != LSN_NONE ? no : MEMBER_NONE;
}

void proxies_start(Agent *agent)
{
    Proxies *proxies = calloc(1, sizeof *proxies);

    if (proxies == NULL)
        abort();
    *proxies = (Proxies){.agent = agent, .told = MEMBER_NONE, .before = MEMBER_NONE};
    agent->proxies = proxies;
    for (int i = 0; i < CONFIG_SOCKET_MAX; i++) {
        proxies->proxy[i].proxies = proxies;
        loop_timer_init(&proxies->proxy[i].timer, &agent->loop, on_time, &proxies->proxy[i]);
    }
}

void proxies_look(Agent *agent)
{
    Proxies *proxies = agent->proxies;
    const OptionList *sockets = &agent->config->haproxy.socket;
    MemberNo ready = ready_primary(agent);

    if (proxies == NULL || sockets->count == 0 || ready == MEMBER_NONE || ready == proxies->told)
        return;
    proxies->before = proxies->told;
    proxies->told = ready;
    for (size_t i = 0; i < sockets->count && i < CONFIG_SOCKET_MAX; i++)
        begin(&proxies->proxy[i], sockets->item[i]);
}

void proxies_done(Agent *agent)
{
    Proxies *proxies = agent->proxies;

    if (proxies == NULL)
        return;
    for (int i = 0; i < CONFIG_SOCKET_MAX; i++) {
        haproxy_cancel(proxies->proxy[i].request);
        loop_timer_done(&proxies->proxy[i].timer);
    }
    free(proxies);
    agent->proxies = NULL;
}
