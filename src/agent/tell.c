/*
 * tell.c: history rows, alarms, the own server's state and the gauges, as events for src/notify.
 *
 * It runs after the effects of a turn and reads only; nothing that it does can fail a decision.
 */
#include "agent/internal.h"

#include "agent/start.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <string.h>

#define GAUGES_MAX 48

void tell_start(Agent *agent)
{
    NotifySpec specs[CONFIG_NOTIFY_MAX];
    NotifyOptions options;

    start_notify_options(agent->config, specs, &options);
    agent->tell.notify = notify_new(&agent->loop, &options);
    agent->tell.primary_us = clock_now().boot_us;
}

void tell_reload(Agent *agent)
{
    NotifySpec specs[CONFIG_NOTIFY_MAX];
    NotifyOptions options;

    start_notify_options(agent->config, specs, &options);
    notify_reload(agent->tell.notify, &options);
}

void tell_done(Agent *agent)
{
    notify_free(agent->tell.notify);
    agent->tell.notify = NULL;
}

/* ---- Events ---- */

static const char *own_role(const Core *core)
{
    if (core->options.kind == MEMBER_WITNESS)
        return "witness";
    if (core->pg.state == PG_PRIMARY)
        return "primary";
    return core->pg.state == PG_STANDBY ? "replica" : "none";
}

static void fill_primary(const Agent *agent, NotifyEvent *event, MemberNo no)
{
    int index = agent_member_index(agent, no);

    if (no == MEMBER_NONE)
        return;
    str_copy(event->primary, sizeof event->primary, api_name(agent, no));
    if (index < 0)
        return;
    str_copy(event->primary_host, sizeof event->primary_host, agent->config->member[index].host);
    event->primary_port = (uint16_t) agent->config->member[index].port;
}

void tell_fill(const Agent *agent, NotifyEvent *ret_event)
{
    const Core *core = &agent->core;
    const DocEpoch *row = document_last(&core->persist.doc);

    *ret_event = (NotifyEvent){
        .wall_us = clock_now().wall_us,
        .epoch = core->persist.doc.epoch,
        .timeline = row != NULL ? row->timeline : 0,
        .lsn = api_primary_lsn(core),
    };
    str_copy(ret_event->role, sizeof ret_event->role, own_role(core));
    fill_primary(agent, ret_event, core_primary(core));
}

static void history_text(const Agent *agent, const History *history, const char *reason, NotifyEvent *event)
{
    const char *member = history->member != MEMBER_NONE ? api_name(agent, history->member) : "?";
    bool is_takeover = history->kind == HISTORY_FAILOVER || history->kind == HISTORY_SWITCHOVER;
    const char *from = history->from != MEMBER_NONE ? api_name(agent, history->from) : NULL;
    const char *link = from == NULL ? "" : is_takeover ? " in place of " : " streams from ";
    char lsn[LSN_TEXT_LEN] = "", detail[128] = "";

    if (history->lsn != LSN_NONE)
        lsn_format(history->lsn, lsn);
    if (is_takeover)
        snprintf(detail, sizeof detail, " (epoch %u, timeline %u from %s%s)", (unsigned) history->epoch,
                 (unsigned) history->timeline, lsn[0] != '\0' ? lsn : "its start",
                 history->duration_ms >= 0 ? "" : ", duration not known");
    else if (history->kind == HISTORY_LOST)
        snprintf(detail, sizeof detail, " (%llu bytes of WAL, %u transactions)",
                 (unsigned long long) history->bytes, (unsigned) history->transactions);
    snprintf(event->text, sizeof event->text, "%s: %s%s%s%s%s%s", history_name(history->kind), member, link,
             from != NULL ? from : "", reason != NULL && reason[0] != '\0' ? ": " : "",
             reason != NULL ? reason : "", detail);
}

void tell_history(Agent *agent, const History *history, const char *reason)
{
    NotifyEventKind kind = notify_event_find(history_name(history->kind));
    NotifyEvent event;

    if (kind == NOTIFY_EVENTS || agent->tell.notify == NULL)
        return;
    tell_fill(agent, &event);
    event.kind = kind;
    event.severity = notify_event_severity(kind);
    if (history->member != MEMBER_NONE)
        str_copy(event.member, sizeof event.member, api_name(agent, history->member));
    if (history->epoch != 0)
        event.epoch = history->epoch;
    if (history->timeline != 0)
        event.timeline = history->timeline;
    if (history->lsn != LSN_NONE)
        event.lsn = history->lsn;
    history_text(agent, history, reason, &event);
    notify_post(agent->tell.notify, &event);
    if (history->kind == HISTORY_REJOIN && history->member == agent->core.self)
        notify_run_hooks(agent->tell.notify, NOTIFY_AFTER_REJOIN, &event);
}

static void tell_state(Agent *agent)
{
    const Core *core = &agent->core;
    PgState before = agent->tell.state;
    NotifyEvent event;

    if (core->options.kind != MEMBER_DATA || core->pg.state == PG_UNKNOWN || core->pg.state == before)
        return;
    agent->tell.state = core->pg.state;
    if (!agent->tell.is_state_known) { /* how it was found is no news */
        agent->tell.is_state_known = true;
        return;
    }
    tell_fill(agent, &event);
    event.kind = NOTIFY_EVENT_state;
    event.severity = notify_event_severity(event.kind);
    str_copy(event.member, sizeof event.member, core->options.name);
    snprintf(event.text, sizeof event.text, "the server of %s is %s now, it was %s", core->options.name,
             pg_state_name(core->pg.state), pg_state_name(before));
    notify_post(agent->tell.notify, &event);
}

/* What is above the critical limit is above the other one as well: that it gets worse is no end of it. */
static bool is_warning_too(const Agent *agent, const Alarm *alarm)
{
    return alarm->kind == NOTIFY_EVENT_lag_critical &&
           (agent->config->lag.warning_ms > 0 || agent->config->lag.warning_bytes_bytes > 0);
}

static void tell_alarms(Agent *agent)
{
    static NotifyEvent events[ALARMS_MAX + MEMBER_MAX];
    const Alarms *alarms = &agent->alarms;
    int count = alarms->count;

    for (int i = 0; i < alarms->count; i++) {
        const Alarm *alarm = &alarms->alarm[i];
        NotifyEvent *event = &events[i];
        if (i == 0)
            tell_fill(agent, event);
        else
            *event = events[0];
        event->kind = alarm->kind;
        event->state = NOTIFY_BEGAN;
        event->severity = notify_event_severity(alarm->kind);
        str_copy(event->member, sizeof event->member,
                 alarm->member != MEMBER_NONE ? api_name(agent, alarm->member) : "");
        str_copy(event->subject, sizeof event->subject, alarm->subject);
        str_copy(event->text, sizeof event->text, alarm->text);
        if (is_warning_too(agent, alarm)) {
            events[count] = *event;
            events[count].kind = NOTIFY_EVENT_lag_warning;
            events[count++].severity = notify_event_severity(NOTIFY_EVENT_lag_warning);
        }
    }
    notify_conditions(agent->tell.notify, events, count);
}

/* ---- Gauges ---- */

static void add_gauge(NotifyGauge *gauges, int *count, const char *name, const char *member, double value)
{
    if (*count < GAUGES_MAX)
        gauges[(*count)++] = (NotifyGauge){.name = name, .member = member, .value = value};
}

static void tell_gauges(Agent *agent)
{
    const Core *core = &agent->core;
    NotifyGauge gauges[GAUGES_MAX];
    int count = 0;

    if (!notify_wants_gauges(agent->tell.notify))
        return;
    add_gauge(gauges, &count, "alarms", "", agent->alarms.count);
    add_gauge(gauges, &count, "leader_known", "", core->leader != MEMBER_NONE);
    add_gauge(gauges, &count, "epoch", "", core->persist.doc.epoch);
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const LagMember *lag = &agent->lag.member[no];
        const char *name = core->persist.doc.member[no].name;
        if (core->persist.doc.member[no].kind == MEMBER_FREE)
            continue;
        add_gauge(gauges, &count, "reachable", name, api_is_reachable(core, no));
        add_gauge(gauges, &count, "primary", name, no == core_primary(core));
        if (lag->level == LAG_UNKNOWN)
            continue;
        add_gauge(gauges, &count, "replay_lag_bytes", name, (double) lag->bytes);
        add_gauge(gauges, &count, "behind_seconds", name, (double) lag->ms / 1000);
    }
    notify_gauges(agent->tell.notify, gauges, count);
}

void tell_metrics(const Agent *agent, Buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
        {"notify_sent_total", "counter", "Messages that the sink took."},
        {"notify_failed_total", "counter", "Messages that were given up after all tries."},
        {"notify_dropped_total", "counter", "Messages for which there was no room in the queue."},
        {"notify_left_out_total", "counter", "Conditions not told because they came and went too often."},
        {"notify_waiting", "gauge", "Messages that wait."},
    };
    NotifyCounters counters;

    for (size_t row = 0; agent->tell.notify != NULL && row < sizeof rows / sizeof *rows; row++) {
        api_metrics_head(out, rows[row].name, rows[row].type, rows[row].help);
        for (int i = 0; notify_counters(agent->tell.notify, i, &counters); i++) {
            const uint64_t values[] = {counters.sent, counters.failed, counters.dropped, counters.left_out,
                                       (uint64_t) counters.waiting};
            buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\",sink=\"%s\"} %llu\n", rows[row].name,
                       agent->config->cluster.name, agent->core.options.name, counters.name,
                       (unsigned long long) values[row]);
        }
    }
}

/* ---- All of it ---- */

static bool has_primary(const Core *core)
{
    MemberNo no = core_primary(core);

    if (no == MEMBER_NONE || !api_is_reachable(core, no) || api_report(core, no).pg.state != PG_PRIMARY)
        return false;
    return core->role != ROLE_LEADER || core_lease_holds(core, &core->now);
}

bool tell_lacks_primary(const Agent *agent)
{
    int64_t us = agent->core.now.boot_us - agent->tell.primary_us;

    return agent->tell.primary_us != 0 && us >= (int64_t) agent->config->alarms.no_primary_ms * US_PER_MS;
}

void tell_look(Agent *agent)
{
    const Core *core = &agent->core;

    if (agent->tell.notify == NULL)
        return;
    if (has_primary(core))
        agent->tell.primary_us = core->now.boot_us;
    notify_set_speaker(agent->tell.notify, core->role == ROLE_LEADER || core->leader == MEMBER_NONE ||
                                               !api_is_reachable(core, core->leader));
    tell_state(agent);
    tell_alarms(agent);
    tell_gauges(agent);
    hold_look(agent);
}
