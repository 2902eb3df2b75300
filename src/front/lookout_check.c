/*
 * lookout_check.c: facts for the policy, its verdict, and what follows from that.
 *
 * A failover is decided twice: the second time after every server and observer was asked once more.
 */
#include "front/lookout.h"

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdlib.h>
#include <string.h>

#define QUIET_POLLS 3 /* WAL that came within so many polls is a sign of life */

static LookoutServer *server_facts(const Lookout *lookout)
{
    const LookoutConfig *config = lookout->config;
    LookoutServer *servers = calloc((size_t) lookout->node_count + 1, sizeof *servers);

    if (servers == NULL)
        abort();
    for (int i = 0; i < lookout->node_count; i++) {
        const char *name = lookout->node[i]->name;
        const LookoutSeen *seen = &lookout->node[i]->seen;
        servers[i] = (LookoutServer){.name = name,
                                     .connected = seen->connected,
                                     .known = seen->known,
                                     .in_recovery = seen->in_recovery,
                                     .polled_us = seen->polled_us,
                                     .contact_us = seen->contact_us,
                                     .moved_us = seen->moved_us,
                                     .receive = seen->receive,
                                     .replay = seen->replay,
                                     .lag_us = seen->replication.lag_us,
                                     .min_lag_us = seen->replication.min_lag_us,
                                     .replicates_us = seen->replication.since_us,
                                     .never_promote = lookout_config_has(&config->never_promote, name),
                                     .known_gone = lookout_config_has(&config->known_gone, name),
                                     .priority = lookout_config_priority(config, name)};
    }
    return servers;
}

/* One whose newest answer is too old says nothing any more. */
static bool is_current(const LookoutWatch *watch, int64_t now_us)
{
    return watch->connected && now_us - watch->answered_us < LOOKOUT_POSITION_US;
}

static LookoutFacts facts_of(const Lookout *lookout, const LookoutServer *servers, bool confirmed)
{
    const LookoutConfig *config = lookout->config;
    int64_t quiet_us = QUIET_POLLS * config->db_poll_us;
    LookoutFacts facts = {.now_us = clock_now().boot_us,
                          .started_us = lookout->started_us,
                          .changed_us = lookout->changed_us,
                          .server = servers,
                          .server_count = lookout->node_count,
                          .own = config->own,
                          .observers = lookout->watch_count,
                          .had_primary = lookout->primary[0] != '\0',
                          .primary_known_gone = lookout_config_has(&config->known_gone, lookout->primary),
                          .maintenance = file_exists(config->maintenance_mode_file),
                          .busy = lookout->busy,
                          .has_command =
                              config->failover_command.argv[0] != NULL || lookout_lease_is_on(lookout->lease),
                          .confirmed = confirmed,
                          .failover_on_disconnect = config->failover_on_disconnect,
                          .warning_us = config->warning_us,
                          .failover_us = config->failover_us,
                          .missing_us = config->missing_us,
                          .catchup_us = config->catchup_us,
                          .quiet_us = quiet_us};

    for (int i = 0; i < lookout->watch_count; i++) {
        const LookoutWatch *watch = lookout->watch[i];
        if (!is_current(watch, facts.now_us))
            continue;
        facts.connected++;
        if (watch->sees[0] != '\0')
            facts.seen_by = watch->name;
    }
    return facts;
}

/* The one that answers; of two, the one on the newer timeline, which was promoted later. */
static const LookoutNode *find_primary(const Lookout *lookout)
{
    const LookoutNode *best = NULL;

    for (int i = 0; i < lookout->node_count; i++) {
        const LookoutNode *node = lookout->node[i];
        const LookoutSeen *seen = &node->seen;
        if (!seen->known || seen->in_recovery)
            continue;
        if (best == NULL || seen->connected > best->seen.connected ||
            (seen->connected == best->seen.connected && seen->timeline > best->seen.timeline))
            best = node;
    }
    return best;
}

static void take_primary(Lookout *lookout, const LookoutVerdict *verdict)
{
    const LookoutNode *primary = find_primary(lookout);

    if (lookout->config->own < 0 && verdict->primaries > 1) {
        lookout->primary[0] = '\0'; /* an observer of several clusters has no one primary */
        return;
    }
    if (primary == NULL)
        return;
    if (verdict->primaries == 1 && primary->seen.connected &&
        strcmp(primary->name, lookout->config->own_db) == 0)
        lookout->own_held = true;
    if (strcmp(primary->name, lookout->primary) == 0 || (verdict->primaries > 1 && lookout->own_held))
        return;
    lookout_log(lookout, LOG_LEVEL_INFO, "primary", "db=%s before=%s", primary->name,
                lookout->primary[0] != '\0' ? lookout->primary : "-");
    str_copy(lookout->primary, sizeof lookout->primary, primary->name);
    lookout_follow_due(lookout->follow);
}

static void tell(Lookout *lookout, const LookoutFacts *facts, const LookoutVerdict *verdict)
{
    const char *furthest = verdict->furthest >= 0 ? facts->server[verdict->furthest].name : "-";

    if (strcmp(lookout->told_rule, verdict->rule) == 0)
        return;
    str_copy(lookout->told_rule, sizeof lookout->told_rule, verdict->rule);
    bool is_news = verdict->move != LOOKOUT_NONE || (verdict->primaries != 1 && facts->own >= 0);
    lookout_log(lookout, is_news ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "decision",
                "rule=%s primary=%s known=%d/%d furthest=%s seen_by=%s reason=\"%s\"", verdict->rule,
                lookout->primary[0] != '\0' ? lookout->primary : "-", verdict->known, verdict->total,
                furthest, facts->seen_by != NULL ? facts->seen_by : "-", verdict->text);
}

static void alert(Lookout *lookout, const LookoutVerdict *verdict)
{
    const LookoutConfig *config = lookout->config;
    bool refused = false;

    for (int i = 0; i < lookout->node_count; i++)
        refused = refused || (!lookout->node[i]->seen.connected &&
                              lookout->node[i]->seen.trouble == MONITOR_AUTHENTICATION);
    lookout_act_alert(lookout, "authentication_error", refused);
    if (config->own < 0)
        return;
    const LookoutSeen *own = &lookout->node[config->own]->seen;
    lookout_act_alert(lookout, "multiple_master_warning", verdict->primaries > 1);
    lookout_act_alert(lookout, "replication_delay_warning", verdict->is_warning);
    if (verdict->is_warning != lookout->was_warning) {
        lookout_log(lookout, LOG_LEVEL_WARN, verdict->is_warning ? "lag_over_warning" : "lag_below_warning",
                    "lag=%.3fs limit=%.3fs",
                    own->replication.lag_us > 0 ? (double) own->replication.lag_us / 1e6 : 0.0,
                    (double) config->warning_us / 1e6);
        lookout->was_warning = verdict->is_warning;
        if (verdict->is_warning)
            lookout_act_warning_command(lookout);
    }
    Err err = {0};
    if (lookout->statsd != NULL && own->known && own->in_recovery && own->replication.lag_us >= 0 &&
        !verdict->is_catching_up)
        statsd_gauge(lookout->statsd, "pg.replication_lag", (double) own->replication.lag_us / 1e6, NULL, 0,
                     &err);
}

/* Polls that do not come to an end would leave everything as it was, in silence. */
static void check_health(Lookout *lookout)
{
    static LogLimit limit;
    int64_t now_us = clock_now().boot_us;
    int64_t since_us = lookout->polled_us > lookout->started_us ? lookout->polled_us : lookout->started_us;

    if (lookout->node_count == 0 || now_us - since_us <= lookout->config->health_us)
        return;
    lookout_act_count(lookout, "cluster_monitor_health_timeout", NULL);
    log_limited(&limit, LOG_LEVEL_ERROR, "monitor_late", "no_poll_for=%.1fs limit=%.1fs",
                (double) (now_us - since_us) / 1e6, (double) lookout->config->health_us / 1e6);
}

void lookout_check(Lookout *lookout, bool confirmed)
{
    LookoutServer *servers = server_facts(lookout);
    LookoutFacts facts = facts_of(lookout, servers, confirmed);
    LookoutVerdict verdict;

    lookout_decide(&facts, &verdict);
    take_primary(lookout, &verdict);
    tell(lookout, &facts, &verdict);
    alert(lookout, &verdict);
    check_health(lookout);
    if (verdict.move == LOOKOUT_LOOK_AGAIN)
        lookout_check_begin_look(lookout, true);
    else if (verdict.move == LOOKOUT_FAILOVER)
        lookout_act_failover(lookout);
    else if (!lookout->busy && !lookout_lease_is_on(lookout->lease)) /* the agent sees to that */
        lookout_follow_check(lookout->follow);
    free(servers);
    lookout_lease_check(lookout->lease);
    lookout_act_write_state(lookout);
}

void lookout_check_on_time(void *arg)
{
    Lookout *lookout = arg;

    if (!lookout->confirming)
        lookout_check(lookout, false);
}

void lookout_check_begin_look(Lookout *lookout, bool confirming)
{
    lookout->confirming = lookout->confirming || confirming;
    if (lookout->looking && !confirming)
        return;
    lookout->looking = true;
    lookout->look_us = clock_now().boot_us;
    for (int i = 0; i < lookout->watch_count; i++)
        lookout->watch[i]->again = lookout->watch[i]->busy;
    loop_timer_start(&lookout->look_timer, LOOKOUT_LOOK_US, 0);
    lookout_poll_now(lookout);
}

static bool all_answered(const Lookout *lookout)
{
    for (int i = 0; i < lookout->node_count; i++)
        if (lookout->node[i]->seen.polled_us < lookout->look_us)
            return false;
    for (int i = 0; i < lookout->watch_count; i++)
        if (lookout->watch[i]->busy)
            return false;
    return true;
}

void lookout_check_answered(Lookout *lookout)
{
    bool confirmed = lookout->confirming;

    if (!lookout->looking || !all_answered(lookout))
        return;
    lookout->looking = lookout->confirming = false;
    loop_timer_stop(&lookout->look_timer);
    lookout_check(lookout, confirmed);
}

/* Not every server could be asked: nothing follows from that, and the next check begins anew. */
void lookout_check_on_late(void *arg)
{
    Lookout *lookout = arg;

    lookout_log(lookout, LOG_LEVEL_WARN, "look_late",
                "reason=\"not all servers and observers were asked in time\"");
    lookout->looking = lookout->confirming = false;
    lookout->told_rule[0] = '\0';
}
