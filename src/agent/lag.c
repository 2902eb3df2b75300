/*
 * lag.c: the standbys measured by the primary's positions, and what is told of it.
 */
#include "agent/internal.h"

#include "wire/json.h"

#include <inttypes.h>
#include <string.h>

/* What everybody has replayed is not asked for again. */
static void forget_passed(Lag *lag, Lsn least)
{
    int passed = 0;

    while (passed + 1 < lag->count && lag->sample[passed + 1].lsn <= least)
        passed++;
    lag->count -= passed;
    memmove(&lag->sample[0], &lag->sample[passed], sizeof lag->sample[0] * (size_t) lag->count);
}

static bool is_above(int64_t value, uint64_t limit)
{
    return limit > 0 && value >= 0 && (uint64_t) value > limit;
}

static LagLevel judge(const Config *config, LagMember *member, int64_t now_us)
{
    LagLevel level = LAG_OK;

    if (is_above(member->ms, config->lag.critical_ms) ||
        is_above(member->bytes, config->lag.critical_bytes_bytes))
        level = LAG_CRITICAL;
    else if (is_above(member->ms, config->lag.warning_ms) ||
             is_above(member->bytes, config->lag.warning_bytes_bytes))
        level = LAG_WARNING;
    member->was_good = member->was_good || level == LAG_OK;
    bool grace = now_us - member->from_us < (int64_t) config->lag.grace_ms * US_PER_MS;
    return level != LAG_OK && !member->was_good && grace ? LAG_CATCHING_UP : level;
}

static void look_at(Agent *agent, MemberNo no, Lsn primary)
{
    const Core *core = &agent->core;
    LagMember *member = &agent->lag.member[no];
    Report report = api_report(core, no);
    bool standby = core->persist.doc.member[no].kind == MEMBER_DATA && no != core->persist.doc.primary &&
                   report.pg.state == PG_STANDBY && api_is_reachable(core, no);
    Lsn at = report.pg.replay_lsn != LSN_NONE ? report.pg.replay_lsn : report.pg.lsn;

    if (!standby || at == LSN_NONE) {
        /* Gone for a while it is still the same one; another server state is a start. */
        bool restarts = api_is_reachable(core, no) || core->persist.doc.member[no].kind != MEMBER_DATA;
        member->is_known = member->is_known && !restarts;
        member->level = LAG_UNKNOWN;
        member->ms = member->bytes = -1;
        return;
    }
    if (!member->is_known) {
        member->is_known = true;
        member->was_good = false;
        member->from_us = core->now.boot_us;
    }
    if (primary == LSN_NONE) { /* nobody writes: what is known of it stays */
        member->level = LAG_UNKNOWN;
        member->ms = member->bytes = -1;
        return;
    }
    member->bytes = primary > at ? (int64_t) (primary - at) : 0;
    member->ms = lag_behind_us(&agent->lag, at, core->now.boot_us) / US_PER_MS;
    member->level = judge(agent->config, member, core->now.boot_us);
}

void lag_look(Agent *agent)
{
    const Core *core = &agent->core;
    Lsn primary = api_primary_lsn(core), least = primary;

    if (agent->lag.epoch != core->persist.doc.epoch) {
        agent->lag.epoch = core->persist.doc.epoch;
        agent->lag.count = 0;
    }
    if (primary != LSN_NONE)
        lag_note(&agent->lag, primary, core->now.boot_us);
    for (MemberNo i = 0; i < MEMBER_MAX; i++) {
        look_at(agent, i, primary);
        const LagMember *member = &agent->lag.member[i];
        if (member->bytes > 0 && primary - (Lsn) member->bytes < least)
            least = primary - (Lsn) member->bytes;
    }
    if (primary != LSN_NONE)
        forget_passed(&agent->lag, least);
}

static const char *level_name(LagLevel level)
{
    static const char *const names[] = {NULL, "ok", "catching_up", "warning", "critical"};
    return names[level];
}

void lag_add(const Agent *agent, Buf *out, MemberNo no)
{
    const LagMember *member = &agent->lag.member[no];

    json_add_text(out, "lag", level_name(member->level));
    if (member->level != LAG_UNKNOWN) {
        json_add_number(out, "replay_lag_bytes", member->bytes);
        json_add_number(out, "behind_ms", member->ms);
    } else {
        json_add_null(out, "replay_lag_bytes");
        json_add_null(out, "behind_ms");
    }
}

static void add_metric(const Agent *agent, Buf *out, const char *name, const char *help,
                       void (*value)(Buf *out, const LagMember *member))
{
    api_metrics_head(out, name, "gauge", help);
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (agent->lag.member[no].level == LAG_UNKNOWN)
            continue;
        buf_printf(out, "pgvigil_%s{cluster=\"%s\",member=\"%s\",peer=\"%s\"} ", name,
                   agent->config->cluster.name, agent->core.options.name,
                   agent->core.persist.doc.member[no].name);
        value(out, &agent->lag.member[no]);
        buf_puts(out, "\n");
    }
}

static void put_bytes(Buf *out, const LagMember *member)
{
    buf_printf(out, "%" PRId64, member->bytes);
}

static void put_seconds(Buf *out, const LagMember *member)
{
    buf_printf(out, "%" PRId64 ".%03d", member->ms / 1000, (int) (member->ms % 1000));
}

static void put_level(Buf *out, const LagMember *member)
{
    buf_printf(out, "%d", member->level == LAG_CRITICAL ? 2 : member->level == LAG_WARNING ? 1 : 0);
}

void lag_metrics(const Agent *agent, Buf *out)
{
    add_metric(agent, out, "member_replay_lag_bytes",
               "WAL that the primary has and that standby has not replayed.", put_bytes);
    add_metric(agent, out, "member_behind_seconds",
               "How long ago the primary wrote what that standby has not replayed.", put_seconds);
    add_metric(agent, out, "member_lag_level",
               "1 above the warning limit of [lag], 2 above the critical one.", put_level);
}

void lag_alarm(const Agent *agent, Alarms *alarms, MemberNo no)
{
    const LagMember *member = &agent->lag.member[no];
    bool critical = member->level == LAG_CRITICAL;

    if (member->level != LAG_WARNING && !critical)
        return;
    alarms_add(alarms, critical ? NOTIFY_EVENT_lag_critical : NOTIFY_EVENT_lag_warning, no,
               "%s lags by %" PRId64 ".%" PRId64 " s and %" PRId64
               " bytes of WAL, above the limit of [lag] for %s",
               agent->core.persist.doc.member[no].name, member->ms / 1000, member->ms % 1000 / 100,
               member->bytes, critical ? "critical" : "warning");
}
