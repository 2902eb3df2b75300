/*
 * agent.c: the daemon: start, the turn (queue, core_step, effects), signals, reload, end.
 *
 * Ending leaves PostgreSQL and the guard as they are, so that an agent can be restarted or upgraded
 * unnoticed: if it is back within the lease it leads on.
 */
#include "agent/internal.h"

#include "agent/agent.h"
#include "agent/start.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

/* ---- The queue and the turn ---- */

int agent_member_index(const Agent *agent, MemberNo no)
{
    return no >= 0 ? config_find_member(agent->config, agent->core.persist.doc.member[no].name) : -1;
}

MemberNo agent_member_slot(const Agent *agent, int index)
{
    return document_find(&agent->core.persist.doc, agent->config->member[index].name);
}

Queued *agent_enqueue(Agent *agent, EventKind kind)
{
    static LogLimit limit;

    /* The end of an action and of a write are told once, and there is one of each at a time: they always have
     * room. */
    bool must = kind == EVENT_ACTION_DONE || kind == EVENT_PERSISTED;
    if (agent->queue_len >= (must ? QUEUE_MAX : QUEUE_MAX - QUEUE_KEPT)) {
        log_limited(&limit, LOG_LEVEL_ERROR, "queue_full", "an event was dropped");
        return NULL;
    }
    Queued *queued = &agent->queue[(agent->queue_first + agent->queue_len++) % QUEUE_MAX];
    memset(&queued->event, 0, sizeof queued->event);
    queued->event.kind = kind;
    return queued;
}

static void on_tick(void *arg)
{
    Agent *agent = arg;

    agent_enqueue(agent, EVENT_TICK);
    agent_turn(agent);
}

/* Anything that others see of this member has changed, or it is time to say that it has not. */
static void publish(Agent *agent, bool changed)
{
    Clock now = clock_now();

    api_positions(agent);
    if (!changed && clock_elapsed_most(&agent->published_at, &now) < PUBLISH_EVERY_US)
        return;
    agent->published_at = now;
    api_publish(agent);
    gates_publish(agent);
    proxies_look(agent);
    beside_publish(agent);
    tell_look(agent);
}

/* What a member shows of another is not older than what that one was told of it. */
static bool is_news_of_peer(const Report *before, const Report *now)
{
    return before->pg.state != now->pg.state || before->pg.streaming != now->pg.streaming ||
           before->failures != now->failures;
}

static bool is_news(const Agent *agent, const Core *before)
{
    const Core *core = &agent->core;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (is_news_of_peer(&before->peer[no].report, &core->peer[no].report))
            return true;
    return before->role != core->role || before->rule != core->rule || before->leader != core->leader ||
           before->pg.state != core->pg.state || before->op.state != core->op.state ||
           before->plan.step != core->plan.step || before->pg.streaming != core->pg.streaming ||
           before->doc_in_force != core->doc_in_force ||
           (before->fence_until.boot_us == 0) != (core->fence_until.boot_us == 0) ||
           before->persist.doc.id.version != core->persist.doc.id.version || before->op.id != core->op.id;
}

void agent_turn(Agent *agent)
{
    static Core before;
    bool news = false;

    if (agent->turning || agent->stopping)
        return;
    agent->turning = true;
    while (agent->queue_len > 0 && !agent->stopping) {
        Queued *queued = &agent->queue[agent->queue_first];
        queued->event.now = clock_now();
        before = agent->core;
        core_step(&agent->core, &queued->event, &agent->effects);
        agent->queue_first = (agent->queue_first + 1) % QUEUE_MAX;
        agent->queue_len--;
        effects_run(agent, &agent->effects);
        news = is_news(agent, &before) || news;
    }
    agent->turning = false;
    if (agent->stopping)
        return;
    deadline_touch(&agent->deadline, &agent->core.now);
    if (news && agent->poll != NULL)
        observe_slots(agent);
    publish(agent, news);
    loop_timer_start(&agent->tick, core_wake_us(&agent->core), 0);
}

/* ---- Start and end ---- */

void agent_stop(Agent *agent, int code)
{
    agent->stopping = true;
    agent->exit_code = code;
    uv_stop(&agent->loop);
}

static void list_peers(const Config *config, PeerMember *ret_members)
{
    for (int i = 0; i < config->member_count; i++)
        ret_members[i] = (PeerMember){
            .name = config->member[i].name,
            .host = config->member[i].host,
            .agent_port = (uint16_t) config->member[i].agent_port,
        };
}

/* Whoever the file names may speak; whether he belongs is the document's to say. */
static void update_peers(Agent *agent)
{
    PeerMember members[CONFIG_MEMBER_MAX];
    Err err = {0};

    list_peers(agent->config, members);
    if (!peer_net_update_members(agent->peers, members, agent->config->member_count, &err))
        log_line(LOG_LEVEL_ERROR, "members_kept", "reason=\"%s\"", err.text);
}

/* A member without a line could not be spoken to any more: whoever goes leaves the cluster first. */
static bool keeps_members(const Agent *agent, const Config *fresh, Err *err)
{
    const Document *doc = &agent->core.persist.doc;

    for (MemberNo no = 0; doc->id.term > 0 && no < MEMBER_MAX; no++)
        if (agent_member_index(agent, no) >= 0 && config_find_member(fresh, doc->member[no].name) < 0)
            return err_set(
                err, ERR_CONFIG,
                "%s: [members]: %s is not there any more, and still a member: pgvigil member remove %s, "
                "before its line goes",
                fresh->path, doc->member[no].name, doc->member[no].name);
    return true;
}

bool agent_reload(Agent *agent, Err *err)
{
    Buf applied = {0}, refused = {0}, kept = {0};
    ConfigDiff diff = {.applied = &applied, .refused = &refused, .kept = &kept};
    Config *fresh = config_reload(agent->config, &diff, err);
    HttpTls *tls = NULL;

    if (fresh != NULL && (!keeps_members(agent, fresh, err) || !web_load_certificates(fresh, &tls, err))) {
        config_free(fresh);
        fresh = NULL;
    }
    if (fresh != NULL) {
        log_line(LOG_LEVEL_INFO, "reloaded", "applied=\"%s\" needs_restart=\"%s\" never_changes=\"%s\"",
                 applied.data != NULL ? applied.data : "", refused.data != NULL ? refused.data : "",
                 kept.data != NULL ? kept.data : "");
        Config *old = agent->owned;
        agent->config = agent->owned = fresh;
        log_open(fresh->log.level, fresh->log.format);
        update_peers(agent);
        web_take_certificates(agent, tls);
        if (agent->actions != NULL) {
            ActionsOptions options = start_actions_options(fresh);
            PollOptions poll = start_poll_options(fresh);
            actions_set_options(agent->actions, &options);
            poll_set_options(agent->poll, &poll);
            elsewhere_reload(agent->elsewhere);
            netcheck_reload(agent->netcheck);
            figures_reload(agent->figures);
        }
        Queued *queued = agent_enqueue(agent, EVENT_OPTIONS);
        if (queued != NULL) {
            queued->data.options = start_core_options(fresh);
            queued->event.options = &queued->data.options;
        }
        gates_reload(agent);
        tell_reload(agent);
        heartbeat_reload(agent->heartbeat);
        config_free(old);
        agent_turn(agent);
    }
    buf_done(&applied);
    buf_done(&refused);
    buf_done(&kept);
    return fresh != NULL;
}

static void on_signal(uv_signal_t *handle, int number)
{
    Agent *agent = handle->data;
    Err err = {0};

    if (number == SIGHUP) {
        if (!agent_reload(agent, &err))
            log_line(LOG_LEVEL_ERROR, "reload_failed", "the old configuration stays in force reason=\"%s\"",
                     err.text);
        return;
    }
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    log_line(LOG_LEVEL_INFO, "stopping", "signal=%s PostgreSQL goes on", number == SIGTERM ? "TERM" : "INT");
    agent_stop(agent, 0);
}

static void on_guard_exit(void *arg, pid_t pid);

static bool start_guard(Agent *agent, Err *err)
{
    agent->guard = deadline_start_guard(&agent->deadline, agent->config->postgresql.data_directory, err);
    return agent->guard > 0 &&
           proc_watch_start(&agent->guard_watch, &agent->loop, agent->guard, on_guard_exit, agent, err);
}

static void on_guard_exit(void *arg, pid_t pid)
{
    Agent *agent = arg;

    log_line(LOG_LEVEL_ERROR, "guard_ended", "pid=%d it is started again", (int) pid);
    loop_timer_start(&agent->guard_timer, GUARD_AGAIN_US, 0);
}

static void on_guard_time(void *arg)
{
    Agent *agent = arg;
    Err err = {0};

    if (start_guard(agent, &err))
        return;
    log_line(LOG_LEVEL_ERROR, "guard_failed", "reason=\"%s\"", err.text);
    loop_timer_start(&agent->guard_timer, GUARD_AGAIN_US, 0);
}

static bool load_state(Agent *agent, Persist *ret_persist, Err *err)
{
    const Config *config = agent->config;
    bool found;

    if (!store_open(config->node.state_directory, config->cluster.name, &agent->store, err) ||
        !store_load(agent->store, ret_persist, &found, err)) {
        err->code = ERR_CONFIG;
        return false;
    }
    if (found)
        return true;
    memset(ret_persist, 0, sizeof *ret_persist);
    ret_persist->doc.primary = MEMBER_NONE;
    if (!start_random(&ret_persist->node_uuid, sizeof ret_persist->node_uuid, err))
        return false;
    return store_save(agent->store, ret_persist, err);
}

static bool start_core(Agent *agent, uint64_t *ret_inc, Err *err)
{
    CoreOptions options = start_core_options(agent->config);
    Persist persist;
    uint64_t seed;
    Clock now;

    if (!load_state(agent, &persist, err) || !start_random(ret_inc, sizeof *ret_inc, err) ||
        !start_random(&seed, sizeof seed, err) || !start_random(&agent->op_next, sizeof agent->op_next, err))
        return false;
    /* Operations of other members, and of former processes, have other numbers. */
    agent->op_next &= INT32_MAX;
    *ret_inc |= 1; /* never zero */
    now = clock_now();
    core_init(&agent->core, &options, &persist, *ret_inc, seed, &now, &agent->deadline.fence.until);
    /* Not believed, or past and of a cluster that this state knows nothing of: no reason for the guard to
     * act. */
    bool unbelieved = agent->core.grace_until.boot_us == 0 && agent->deadline.fence.until.boot_us != 0;
    if (unbelieved || (persist.doc.epoch == 0 && !agent->core.forgot))
        deadline_set(&agent->deadline, &(Fence){0});
    if (persist.doc.id.term != 0 &&
        (persist.doc.lease_ms != options.lease_ms || persist.doc.heartbeat_ms != options.heartbeat_ms))
        log_line(
            LOG_LEVEL_WARN, "document_counts",
            "lease_ms=%u heartbeat_ms=%u are the cluster's since it was made; those of the file do not count",
            persist.doc.lease_ms, persist.doc.heartbeat_ms);
    agent->published_at = now;
    if (agent->core.self == MEMBER_NONE)
        return err_set(err, ERR_CONFIG,
                       "%s is not a member of the cluster %s as its document says; remove %s/%s.state "
                       "if this machine shall join anew",
                       options.name, agent->config->cluster.name, agent->config->node.state_directory,
                       agent->config->cluster.name);
    return true;
}

static bool start_listeners(Agent *agent, uint64_t inc, Err *err)
{
    const Config *config = agent->config;
    const ConfigMember *self = config_self(config);
    PeerMember members[CONFIG_MEMBER_MAX];

    list_peers(config, members);
    PeerNetOptions peer_options = {
        .cluster = config->cluster.name,
        .self = self->name,
        .secret = config->secret,
        .secret_len = config->secret_len,
        .inc = inc,
        .listen = config->node.listen,
        .port = (uint16_t) self->agent_port,
        .members = members,
        .member_count = config->member_count,
        .on_message = inbox_on_message,
        .on_command = inbox_on_command,
        .on_opinion = opinions_on_message,
        .arg = agent,
    };
    agent->peers = peer_net_start(&agent->loop, &peer_options, err);
    if (agent->peers == NULL)
        return false;
    return web_start(agent, err);
}

/* As the fence has it, which everybody goes by. */
static bool has_lease(void *arg)
{
    const Agent *agent = arg;
    Clock now = clock_now();

    return fence_is_open(&agent->deadline.fence, &now);
}

/* The core hears of it with the next look at the server. */
static void on_network(void *arg)
{
    Agent *agent = arg;

    poll_now(agent->poll);
}

static bool start_server_side(Agent *agent, Err *err)
{
    if (config_is_witness(agent->config))
        return true;
    PollOptions poll_options = start_poll_options(agent->config);
    ActionsOptions options = start_actions_options(agent->config);
    agent->poll = poll_new(&agent->loop, &poll_options, observe_on_status, agent);
    agent->actions = actions_new(&agent->loop, &options, agent->poll);
    actions_set_permit(agent->actions, has_lease, agent);
    agent->elsewhere = elsewhere_new(agent);
    agent->netcheck = netcheck_new(agent, on_network, agent);
    agent->figures = figures_new(agent);
    loop_timer_init(&agent->slots_timer, &agent->loop, observe_slots, agent);
    loop_timer_start(&agent->slots_timer, SLOTS_EVERY_US, SLOTS_EVERY_US);
    streaming_start(agent);
    agent->heartbeat = heartbeat_new(agent);
    loop_timer_init(&agent->guard_timer, &agent->loop, on_guard_time, agent);
    return start_guard(agent, err);
}

static void on_watchdog(void *arg)
{
    (void) arg;
#ifdef HAVE_SYSTEMD
    sd_notify(0, "WATCHDOG=1");
#endif
}

static void tell_systemd(Agent *agent)
{
#ifdef HAVE_SYSTEMD
    uint64_t watchdog_us = 0;

    sd_notify(0, "READY=1");
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        loop_timer_start(&agent->watchdog, (int64_t) watchdog_us / 3, (int64_t) watchdog_us / 3);
#else
    (void) agent;
#endif
}

static void start_signals(Agent *agent)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&agent->loop, &agent->signals[i]);
        agent->signals[i].data = agent;
        uv_signal_start(&agent->signals[i], on_signal, numbers[i]);
    }
}

static void done(Agent *agent)
{
    beside_done(agent);
    streaming_done(agent);
    heartbeat_free(agent->heartbeat);
    tell_done(agent);
    effects_done(agent); /* a record still being written must not release them to bodies that are gone */
    gates_done(agent);
    proxies_done(agent);
    http_server_stop(agent->http);
    peer_net_stop(agent->peers);
    proc_watch_stop(&agent->guard_watch);
    elsewhere_free(agent->elsewhere);
    netcheck_free(agent->netcheck);
    figures_free(agent->figures);
    actions_free(agent->actions);
    poll_free(agent->poll);
    loop_timer_done(&agent->tick);
    loop_timer_done(&agent->slots_timer);
    loop_timer_done(&agent->guard_timer);
    loop_timer_done(&agent->watchdog);
    for (int i = 0; i < 3; i++)
        if (agent->signals[i].data != NULL)
            uv_close((uv_handle_t *) &agent->signals[i], NULL);
    loop_end(&agent->loop);
    past_done(agent);
    store_close(agent->store);
    deadline_done(&agent->deadline);
    snapshot_done(&agent->publisher);
    config_free(agent->owned);
}

static bool start(Agent *agent, Err *err)
{
    const Config *config = agent->config;
    uint64_t inc;

    if (!start_check(config, err))
        return false;
    if (!deadline_open(&agent->deadline, config->node.run_directory, config->cluster.name,
                       config_self(config)->name, err))
        return false;
    agent->publisher.fence = agent->deadline.file;
    if (!start_core(agent, &inc, err) || !start_listeners(agent, inc, err) || !start_server_side(agent, err))
        return false;
    gates_start(agent);
    proxies_start(agent);
    tell_start(agent);
    past_load(agent);
    return true;
}

int agent_run(const Config *config, const char *config_path, Err *err)
{
    Agent *agent = calloc(1, sizeof *agent);

    if (agent == NULL) {
        err_set(err, ERR_MEMORY, "out of memory");
        return 1;
    }
    agent->config = config;
    agent->err = err;
    log_open(config->log.level, config->log.format);
    gates_keep_capabilities();
    /* A vote's fsync must not wait behind copies of WAL and look-ups of names. */
    setenv("UV_THREADPOOL_SIZE", "8", 0);
    uv_loop_init(&agent->loop);
    snapshot_init(&agent->publisher);
    loop_timer_init(&agent->tick, &agent->loop, on_tick, agent);
    loop_timer_init(&agent->watchdog, &agent->loop, on_watchdog, agent);
    start_signals(agent);
    if (start(agent, err)) {
        log_line(LOG_LEVEL_INFO, "started", "version=%s cluster=%s member=%s role=%s config=%s",
                 PGVIGIL_VERSION, config->cluster.name, config_self(config)->name,
                 config_is_witness(config) ? "witness" : "agent", config_path);
        tell_systemd(agent);
        on_tick(agent);
        uv_run(&agent->loop, UV_RUN_DEFAULT);
    } else {
        agent->exit_code = err->code == ERR_CONFIG || err->code == ERR_REFUSED ? 2 : 1;
        agent->stopping = true;
    }
    int code = agent->exit_code;
    done(agent);
    free(agent);
    return code;
}
