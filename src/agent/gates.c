/*
 * gates.c: starting the porter, the messages to it and from it, and watching that it lives.
 */
#include "agent/gates.h"

#include "agent/internal.h"
#include "agent/porter_vip.h"
#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCH_US   (US_PER_SEC / 2)
#define SILENT_US  (2 * US_PER_SEC) /* it reports twice a second */
#define STARTED_US (3 * US_PER_SEC) /* what a new one may need */
/* An address outlives a porter that cannot renew it by so much; the kernel counts in seconds. */
#define LIFETIME_LEAST_S 3

struct Gates {
    Agent *agent;
    PorterSpec spec;
    PorterReport report;
    bool heard; /* of this porter */
    bool told;  /* it was told facts, since the agent's start */
    Clock heard_at;
    Clock begun_at;
    int fd; /* to the porter, -1: none */
    uv_poll_t *poll;
    pid_t pid;
    ProcWatch watch;
    LoopTimer timer;
};

/* ---- Capabilities ---- */

static const int wanted[] = {CAP_NET_ADMIN, CAP_NET_RAW};

void gates_keep_capabilities(void)
{
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* What the agent has not been given cannot be raised: the porter then says what it lacks. */
static void raise_capabilities(void)
{
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, wanted[i], 0, 0);
}

/* ---- What there shall be ---- */

static void copy_gate(const ConfigGate *from, PorterGate *ret)
{
    str_copy(ret->name, sizeof ret->name, from->named.name);
    str_copy(ret->address, sizeof ret->address, from->address != NULL ? from->address : "");
    str_copy(ret->open_when, sizeof ret->open_when, from->open_when);
    ret->port = (uint16_t) from->port;
    ret->condition = from->condition;
    ret->target_count = from->target_count;
    memcpy(ret->target, from->target, sizeof ret->target);
}

/* A witness has no server that an address could lead to. */
static void make_spec(const Config *config, PorterSpec *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = PORTER_SPEC;
    ret->log_level = config->log.level;
    ret->log_format = config->log.format;
    ret->lifetime_s = LIFETIME_LEAST_S + (config->cluster.lease_ms + 999) / 1000;
    ret->gate_count = config->gate_count;
    for (int i = 0; i < config->gate_count; i++)
        copy_gate(&config->gate[i], &ret->gate[i]);
    ret->vip_count = config_is_witness(config) ? 0 : config->virtual_count;
    for (int i = 0; i < ret->vip_count; i++)
        porter_vip_copy(&config->virtual_address[i], &ret->vip[i]);
}

static bool has_something(const PorterSpec *spec)
{
    return spec->gate_count > 0 || spec->vip_count > 0;
}

/* ---- The porter ---- */

/* A porter that takes no more has its messages dropped, reports no more, and is ended for that. */
static void tell(Gates *gates, const void *message, size_t len)
{
    if (gates->fd >= 0)
        (void) !send(gates->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hang_up(Gates *gates)
{
    if (gates->poll != NULL) {
        uv_poll_stop(gates->poll);
        loop_close_free((uv_handle_t *) gates->poll);
    }
    gates->poll = NULL;
    if (gates->fd >= 0)
        close(gates->fd);
    gates->fd = -1;
}

static void on_report(uv_poll_t *poll, int status, int events)
{
    static PorterReport report;
    Gates *gates = poll->data;
    ssize_t len;

    (void) status;
    (void) events;
    while ((len = recv(gates->fd, &report, sizeof report, MSG_DONTWAIT)) > 0)
        if (len == (ssize_t) sizeof report && report.kind == PORTER_REPORT) {
            gates->report = report;
            gates->heard = true;
            gates->heard_at = clock_now();
        }
    if (len == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up(gates); /* its end is told by the watch */
}

static void on_exit_of_porter(void *arg, pid_t pid)
{
    Gates *gates = arg;

    hang_up(gates);
    gates->pid = 0;
    gates->heard = false;
    if (has_something(&gates->spec))
        log_line(LOG_LEVEL_ERROR, "porter_ended", "pid=%d it is started again", (int) pid);
}

static pid_t spawn(const Agent *agent, int fd, Err *err)
{
    char mark[FENCE_PATH_LEN + 16];
    char *const argv[] = {"pgvigil", "porter", mark, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    pid_t pid;

    porter_mark(agent->deadline.path, mark);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    raise_capabilities();
    /* The running program, even if an upgrade has replaced the file. */
    int number = posix_spawn(&pid, "/proc/self/exe", &actions, &attr, argv, environ);
    gates_keep_capabilities();
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (number == 0)
        return pid;
    err_set_errno(err, ERR_IO, number, "cannot start the porter");
    return -1;
}

static bool start_porter(Gates *gates, Err *err)
{
    Agent *agent = gates->agent;
    int pair[2], size = 4 * (int) sizeof(PorterSpec);

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot make a channel to the porter");
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    gates->fd = pair[0];
    gates->pid = spawn(agent, pair[1], err);
    close(pair[1]);
    if (gates->pid < 0) {
        gates->pid = 0;
        hang_up(gates);
        return false;
    }
    gates->begun_at = clock_now();
    gates->heard = false;
    gates->poll = calloc(1, sizeof *gates->poll);
    if (gates->poll == NULL || uv_poll_init(&agent->loop, gates->poll, gates->fd) != 0)
        abort();
    gates->poll->data = gates;
    uv_poll_start(gates->poll, UV_READABLE | UV_DISCONNECT, on_report);
    tell(gates, &gates->spec, sizeof gates->spec);
    if (!proc_watch_start(&gates->watch, &agent->loop, gates->pid, on_exit_of_porter, gates, err)) {
        gates->pid = 0;
        hang_up(gates);
        return false;
    }
    gates_publish(agent);
    return true;
}

/* One that reports no more is stopped or hangs: its ports go with it. */
static void check_porter(Gates *gates)
{
    Clock now = clock_now();
    const Clock *since = gates->heard ? &gates->heard_at : &gates->begun_at;

    if (clock_elapsed_least(since, &now) < (gates->heard ? SILENT_US : STARTED_US))
        return;
    log_line(LOG_LEVEL_ERROR, "porter_silent", "pid=%d it is ended, and started again", (int) gates->pid);
    kill(gates->pid, SIGKILL); /* our child, not waited for yet: nobody else has its number */
    gates->begun_at = now;
    gates->heard = false;
}

static void on_time(void *arg)
{
    static LogLimit limit;
    Gates *gates = arg;
    Err err = {0};

    if (gates->pid != 0)
        check_porter(gates);
    else if (has_something(&gates->spec) && !start_porter(gates, &err))
        log_limited(&limit, LOG_LEVEL_ERROR, "porter_failed", "reason=\"%s\"", err.text);
}

void gates_start(Agent *agent)
{
    Gates *gates = calloc(1, sizeof *gates);

    if (gates == NULL)
        abort();
    agent->gates = gates;
    gates->agent = agent;
    gates->fd = -1;
    make_spec(agent->config, &gates->spec);
    loop_timer_init(&gates->timer, &agent->loop, on_time, gates);
    loop_timer_start(&gates->timer, 0, WATCH_US);
}

void gates_reload(Agent *agent)
{
    Gates *gates = agent->gates;

    make_spec(agent->config, &gates->spec);
    tell(gates, &gates->spec, sizeof gates->spec);
    gates_publish(agent);
    if (!has_something(&gates->spec))
        hang_up(gates); /* it closes what it has, and ends */
    on_time(gates);
}

void gates_renew(Agent *agent)
{
    if (agent->gates != NULL && agent->gates->pid != 0)
        kill(agent->gates->pid, SIGKILL);
}

const PorterReport *gates_report(const Agent *agent)
{
    const Gates *gates = agent->gates;

    return gates != NULL && gates->heard ? &gates->report : NULL;
}

void gates_done(Agent *agent)
{
    Gates *gates = agent->gates;

    if (gates == NULL)
        return;
    hang_up(gates);
    proc_watch_stop(&gates->watch);
    loop_timer_done(&gates->timer);
    free(gates);
    agent->gates = NULL;
}

/* ---- How things are ---- */

static void set_fact(ConditionFacts *facts, ConditionWord word, bool holds)
{
    facts->known |= 1u << word;
    if (holds)
        facts->holds |= 1u << word;
}

static ConditionFacts make_facts(const Agent *agent, const Snapshot *snapshot)
{
    const Core *core = &agent->core;
    bool witness = core->options.kind == MEMBER_WITNESS, hears = core->leader != MEMBER_NONE;
    const char *sync = core->self != MEMBER_NONE ? api_sync_of(core, core->self) : NULL;
    Lsn primary = api_primary_lsn(core);
    ConditionFacts facts = {0};

    set_fact(&facts, CONDITION_PRIMARY, snapshot->primary);
    set_fact(&facts, CONDITION_REPLICA, snapshot->replica);
    set_fact(&facts, CONDITION_SYNC, snapshot->replica && sync != NULL && strcmp(sync, "sync") == 0);
    set_fact(&facts, CONDITION_HEALTHY, snapshot->healthy);
    set_fact(&facts, CONDITION_LEADER, core->role == ROLE_LEADER);
    set_fact(&facts, CONDITION_WITNESS, witness);
    set_fact(&facts, CONDITION_QUORUM,
             core->role == ROLE_LEADER ? core_lease_holds(core, &core->now) : hears);
    if (core->doc_in_force || hears)
        set_fact(&facts, CONDITION_PAUSED, core->persist.doc.paused);
    facts.lag_known = !witness && snapshot->healthy && primary != LSN_NONE && core->pg.lsn != LSN_NONE;
    if (facts.lag_known)
        facts.lag = primary > core->pg.lsn ? primary - core->pg.lsn : 0;
    return facts;
}

/* It has just begun and hears no leader yet, which is soon another: conditions on the cluster would be false.
 */
static bool is_deaf(const Agent *agent)
{
    const Core *core = &agent->core;

    return core->leader == MEMBER_NONE && clock_elapsed_least(&core->started_at, &core->now) <
                                              (int64_t) agent->config->http.freshness_ms * US_PER_MS;
}

void gates_publish(Agent *agent)
{
    Gates *gates = agent->gates;
    const Core *core = &agent->core;
    PorterFacts facts = {.kind = PORTER_FACTS};

    if (gates == NULL || gates->fd < 0)
        return;
    /* An agent that has just begun has not looked at its server yet. What the one before it said counts until
     * then, as long as it is fresh. */
    if (!gates->told &&
        ((core->options.kind == MEMBER_DATA && core->pg.state == PG_UNKNOWN) || is_deaf(agent)))
        return;
    Snapshot *snapshot = snapshot_take(&agent->publisher);
    if (snapshot == NULL)
        return;
    gates->told = true;
    facts.at = snapshot->made_at;
    facts.fresh_us = snapshot->fresh_us;
    facts.facts = make_facts(agent, snapshot);
    snapshot_release(snapshot);
    tell(gates, &facts, sizeof facts);
}
