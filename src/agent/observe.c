/*
 * observe.c: what the poller says of the local server, in the core's terms.
 */
#include "agent/internal.h"

#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same list in both enums, but for PG_NONE, which only a witness has. */
static PgState state_of(ServerState state)
{
    switch (state) {
    case SERVER_EMPTY: return PG_EMPTY;
    case SERVER_STOPPED: return PG_STOPPED;
    case SERVER_CRASHED: return PG_CRASHED;
    case SERVER_STARTING: return PG_STARTING;
    case SERVER_STANDBY: return PG_STANDBY;
    case SERVER_PRIMARY: return PG_PRIMARY;
    case SERVER_UNKNOWN: break;
    }
    return PG_UNKNOWN;
}

static MemberNo find_server(const Agent *agent, const char *host, uint16_t port)
{
    for (int i = 0; i < agent->config->member_count; i++) {
        const ConfigMember *member = &agent->config->member[i];
        if (host[0] != '\0' && strcmp(member->host, host) == 0 && member->port == port)
            return agent_member_slot(agent, i);
    }
    return MEMBER_NONE;
}

/* The number in NAME_eEPOCH, which only a primary_conninfo that we wrote has. */
static uint32_t epoch_in(const char *application_name)
{
    const char *mark = strrchr(application_name, '_');

    if (mark == NULL || mark[1] != 'e')
        return 0;
    return (uint32_t) strtoul(mark + 2, NULL, 10);
}

static uint16_t count_members(const PgStatus *status)
{
    uint16_t count = 0;

    for (uint32_t i = 0; i < status->standby_count; i++)
        if (strcmp(status->standby[i].state, "streaming") == 0 &&
            epoch_in(status->standby[i].application_name) != 0)
            count++;
    return count;
}

/*
 * The server keeps its commits to the very file that this agent writes: proved by device and inode, since a
 * path can lead to another one in another mount or after a copy of the configuration.
 */
static bool is_fenced(Agent *agent, const FenceState *fence)
{
    static LogLimit limit;
    Err err = {0};
    bool changed;

    if (!deadline_reopen(&agent->deadline, &changed, &err))
        log_limited(&limit, LOG_LEVEL_ERROR, "fence_file", "reason=\"%s\"", err.text);
    else if (changed) {
        log_line(LOG_LEVEL_WARN, "fence_file", "path=%s was removed or replaced, and made again",
                 agent->deadline.path);
        agent->publisher.fence = agent->deadline.file;
        gates_renew(agent);
    }
    if (!fence->loaded)
        return false;
    if (fence->layout == FENCE_VERSION && deadline_is(&agent->deadline, fence->device, fence->inode))
        return true;
    log_limited(
        &limit, LOG_LEVEL_WARN, "fence_not_ours",
        "the server's extension reads another fence file, or another layout of it: layout=%u expected=%u "
        "pgvigil.fence_file should be %s, from the server's next start on",
        fence->layout, FENCE_VERSION, agent->deadline.path);
    return false;
}

/* A line of ours that says '' is told apart from no line at all: that is whatever else may be configured. */
static Names names_of(const Agent *agent, const PgStatus *status)
{
    Names names = {.generation = status->generation};

    if (!status->names_known)
        return names;
    names.kind = NAMES_FOREIGN;
    if (status->names_in_auto && status->generation != 0 && status->names[0] == '\0')
        names.kind = NAMES_NONE;
    else if (status->names_in_auto && status->generation != 0)
        names = syncset_names_read(status->names, &agent->core.persist.doc);
    names.generation = status->generation;
    return names;
}

/* By the extension, or because this process saw to it that no process has older ones. */
static bool names_are_effective(const Agent *agent, const PgStatus *status)
{
    if (!status->names_known || status->generation == 0)
        return false;
    if (status->fence.loaded && (status->state == SERVER_PRIMARY || status->state == SERVER_STANDBY))
        return status->fence.generation == status->generation &&
               status->fence.defined == (status->names[0] != '\0');
    return actions_names_done(agent->actions) == status->generation;
}

static void fill_confirmed(const Agent *agent, const PgStatus *status, Observation *pg)
{
    char name[MEMBER_NAME_LEN + 16];
    const Document *doc = &agent->core.persist.doc;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (doc->member[no].kind != MEMBER_DATA)
            continue;
        snprintf(name, sizeof name, "%s_e%u", doc->member[no].name, (unsigned) doc->epoch);
        for (uint32_t i = 0; i < status->standby_count; i++) {
            const PgStandby *row = &status->standby[i];
            if (strcmp(row->state, "streaming") == 0 && strcmp(row->application_name, name) == 0 &&
                row->flush > pg->confirmed[no])
                pg->confirmed[no] = row->flush;
        }
    }
}

/* Bytes of all databases: for the choice between two primaries that have the same WAL, and asked for only
 * then. */
static uint64_t size_of(const Agent *agent, const PgStatus *status)
{
    bool wanted = agent->core.persist.doc.epoch == 0 && core_primaries(&agent->core) != 0;

    return wanted && status->state == SERVER_PRIMARY ? figures_database_bytes(agent->figures) : 0;
}

static Observation observation_of(Agent *agent, const PgStatus *status)
{
    Observation pg = {
        .state = state_of(status->state),
        .responsive = status->responsive || status->connections_full,
        .disk_stuck = status->disk_stuck,
        .disk_full = status->disk_full,
        .processes_left = status->processes_left,
        .streaming = status->streaming,
        .can_rewind = status->can_rewind,
        .pending_restart = status->pending_restart,
        .self_restarts = status->restart_after_crash,
        .system_identifier = status->system_identifier,
        .server_version = status->server_version,
        .timeline = status->timeline,
        .timeline_start = status->timeline_start,
        .checkpoint_timeline = status->checkpoint_timeline,
        .lsn = status->lsn,
        .replay_lsn = status->replay_lsn,
        .oldest_lsn = status->oldest_lsn,
        .upstream = find_server(agent, status->upstream.host, status->upstream.port),
        .upstream_epoch = epoch_in(status->upstream.application_name),
        .replay_lag_ms = status->replay_lag_ms,
        .standbys = count_members(status),
        .fenced = is_fenced(agent, &status->fence),
        .names = names_of(agent, status),
        .names_effective = names_are_effective(agent, status),
        .size = size_of(agent, status),
    };

    fill_confirmed(agent, status, &pg);

    /* What initdb is filling is no server yet, and no crashed one. */
    if (agent->core.action.kind == ACTION_INITDB && (pg.state == PG_STOPPED || pg.state == PG_CRASHED))
        pg.state = PG_EMPTY;
    /* A restarted standby says less than it has until it has replayed all of it. */
    if (pg.state == PG_STANDBY && !status->position_known)
        pg.lsn = LSN_NONE;
    return pg;
}

ConnTarget observe_server(const Agent *agent)
{
    const PgStatus *status = poll_status(agent->poll);

    return (ConnTarget){.host = status->socket_directory[0] != '\0' ? status->socket_directory : "127.0.0.1",
                        .port = status->port,
                        .user = agent->config->postgresql.user,
                        .database = agent->config->postgresql.database,
                        .passfile = agent->config->postgresql.passfile};
}

void observe_on_status(void *arg, const PgStatus *status)
{
    static LogLimit limit;
    Agent *agent = arg;
    Queued *queued;

    elsewhere_on_status(agent->elsewhere, status);
    if (status->responsive)
        figures_answered(agent->figures);
    /* A data directory that is being replaced is in no state to be complained of. */
    if (status->problem[0] != '\0' && !agent->core.persist.rewinding)
        log_limited(&limit, LOG_LEVEL_WARN, "server_problem", "reason=\"%s\"", status->problem);
    queued = agent_enqueue(agent, EVENT_OBSERVED);
    if (queued == NULL)
        return;
    queued->data.pg = observation_of(agent, status);
    queued->event.pg = &queued->data.pg;
    queued->event.looked_us = status->looked_us;
    queued->event.cut_off = netcheck_cut_off(agent->netcheck);
    queued->event.progress = actions_progress(agent->actions);
    agent_turn(agent);
}

void observe_slots(void *arg)
{
    Agent *agent = arg;
    SlotsMember members[CONFIG_MEMBER_MAX];
    size_t count = 0;
    const Core *core = &agent->core;

    if (!agent->config->postgresql.use_slots || core->persist.doc.epoch == 0 || core->leader == MEMBER_NONE)
        return;
    for (int i = 0; i < agent->config->member_count; i++) {
        const ConfigMember *member = &agent->config->member[i];
        MemberNo no = agent_member_slot(agent, i);
        if (member->role != MEMBER_ROLE_DATA || no == MEMBER_NONE)
            continue;
        members[count++] = (SlotsMember){
            .name = member->name,
            .self = i == agent->config->self,
            .lsn = core->peer[no].heard ? core->peer[no].report.pg.lsn : LSN_NONE,
        };
    }
    slots_maintain(agent->actions, members, count);
}
