/*
 * lookout_poll.c: asks the servers, by the monitor, and the observers, by HTTP.
 */
#include "front/lookout.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void node_free(LookoutNode *node)
{
    if (node->id >= 0)
        monitor_remove(node->lookout->monitor, node->id);
    free(node->name);
    free(node);
}

static LookoutNode *find_node(const Lookout *lookout, const char *name)
{
    for (int i = 0; i < lookout->node_count; i++)
        if (strcmp(lookout->node[i]->name, name) == 0)
            return lookout->node[i];
    return NULL;
}

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* Also those that stay are added anew: address, password and interval may be other ones. */
static bool configure_nodes(Lookout *lookout, Err *err)
{
    const LookoutConfig *config = lookout->config;
    LookoutNode **nodes = need(calloc((size_t) config->conn_count + 1, sizeof *nodes));
    bool is_other = config->conn_count != lookout->node_count, done = true;

    for (int i = 0; i < config->conn_count; i++) {
        LookoutNode *node = find_node(lookout, config->conn[i].name);
        if (node == NULL) {
            is_other = true;
            node = need(calloc(1, sizeof *node));
            *node = (LookoutNode){.lookout = lookout, .name = need(strdup(config->conn[i].name)), .id = -1};
            node->seen.replication.lag_us = node->seen.replication.min_lag_us = -1;
        }
        node->listed = true;
        nodes[i] = node;
    }
    for (int i = 0; i < lookout->node_count; i++)
        if (!lookout->node[i]->listed)
            node_free(lookout->node[i]);
    free(lookout->node);
    lookout->node = nodes;
    lookout->node_count = config->conn_count;
    for (int i = 0; i < config->conn_count; i++) {
        LookoutNode *node = nodes[i];
        MonitorTarget target = {.name = node->name,
                                .conninfo = config->conn[i].value,
                                .interval_ms = config->db_poll_us / US_PER_MS,
                                .timeout_ms = LOOKOUT_POLL_TIMEOUT_MS,
                                .heartbeat = true};
        node->listed = false;
        if (node->id >= 0)
            monitor_remove(lookout->monitor, node->id);
        node->id = monitor_add(lookout->monitor, &target, node, err);
        done = done && node->id >= 0;
    }
    if (is_other)
        lookout->changed_us = clock_now().boot_us;
    return done || err_context(err, "remote_conns");
}

static void watch_free(LookoutWatch *watch)
{
    if (watch->busy) {
        watch->gone = true; /* the answer frees it */
        return;
    }
    json_decref(watch->state);
    free(watch->name);
    free(watch);
}

/* What an observer said before is of no use for another address. */
static void configure_watches(Lookout *lookout)
{
    const LookoutConfig *config = lookout->config;

    for (int i = 0; i < lookout->watch_count; i++)
        watch_free(lookout->watch[i]);
    lookout->watch_count = 0;
    for (int i = 0; i < config->observer_count; i++) {
        const LookoutObserver *observer = &config->observer[i];
        if (config->own < 0 && strcmp(observer->name, config->lease.witness) == 0)
            continue; /* an observer that votes has itself in the list, as all others have it */
        LookoutWatch *watch = need(calloc(1, sizeof *watch));
        *watch =
            (LookoutWatch){.lookout = lookout, .observer = observer, .name = need(strdup(observer->name))};
        lookout->watch[lookout->watch_count++] = watch;
    }
    loop_timer_start(&lookout->watch_timer, 0, config->db_poll_us);
}

bool lookout_poll_configure(Lookout *lookout, Err *err)
{
    configure_watches(lookout);
    return configure_nodes(lookout, err);
}

static void tell_change(LookoutNode *node, const LookoutSeen *before, const MonitorSample *sample)
{
    char text[MONITOR_PROBLEM_LEN + 16];
    bool lost = before->polled_us == 0 || before->connected || before->trouble != sample->trouble;

    if (!sample->ok && lost)
        lookout_log(node->lookout, LOG_LEVEL_WARN, "server_lost", "db=%s trouble=%s reason=%s", node->name,
                    monitor_trouble_name(sample->trouble), log_quote(sample->problem, text, sizeof text));
    if (sample->ok && (!before->connected || before->in_recovery != sample->in_recovery))
        lookout_log(node->lookout, LOG_LEVEL_INFO, "server", "db=%s role=%s", node->name,
                    sample->in_recovery ? "standby" : "primary");
}

void lookout_poll_on_sample(void *arg, int id, void *tag, const MonitorSample *sample)
{
    LookoutNode *node = tag;
    LookoutSeen before = node->seen;
    Clock now = clock_now();

    (void) id;
    lookout_state_update(&node->seen, sample, &now);
    node->lookout->polled_us = now.boot_us;
    if ((!sample->ok || sample->in_recovery) && strcmp(node->name, node->lookout->config->own_db) == 0)
        node->lookout->own_held = false;
    tell_change(node, &before, sample);
    if (!sample->ok)
        lookout_act_count(node->lookout, "pg.connection_failed", node->name);
    lookout_check_answered(arg);
}

static bool is_ours(void *arg, const char *name)
{
    const Lookout *lookout = arg;

    return find_node(lookout, name) != NULL || strcmp(lookout->primary, name) == 0;
}

static void take(LookoutWatch *watch, const HttpAnswer *answer)
{
    Lookout *lookout = watch->lookout;
    int64_t date_us = clock_now().wall_us;
    char date[64], text[300];
    Err err = {0};
    json_t *state = NULL;

    if (!answer->ok)
        err_set(&err, ERR_NET, "%s", answer->error);
    else if (answer->status != 200)
        err_set(&err, ERR_PROTOCOL, "it answers with status %d", answer->status);
    else
        state = lookout_state_parse(answer->body, answer->len, &err);
    if (state == NULL) {
        if (watch->connected || watch->answered_us == 0)
            lookout_log(lookout, LOG_LEVEL_WARN, "observer_lost", "observer=%s reason=%s", watch->name,
                        log_quote(err.text, text, sizeof text));
        lookout_act_count(lookout, "observer.connection_failed", watch->name);
        watch->connected = false;
        watch->sees[0] = '\0';
        watch->answered_us = clock_now().boot_us;
        return;
    }
    if (http_client_header(answer, "Date", date, sizeof date) && !lookout_state_parse_date(date, &date_us))
        date_us = clock_now().wall_us;
    if (!watch->connected)
        lookout_log(lookout, LOG_LEVEL_INFO, "observer", "observer=%s", watch->name);
    json_decref(watch->state);
    watch->state = state;
    watch->connected = true;
    watch->answered_us = clock_now().boot_us;
    const char *sees = lookout_state_primary(state, date_us, is_ours, lookout);
    str_copy(watch->sees, sizeof watch->sees, sees != NULL ? sees : "");
}

static void ask(LookoutWatch *watch);

static void on_answer(void *arg, const HttpAnswer *answer)
{
    LookoutWatch *watch = arg;

    watch->busy = false;
    if (watch->gone) {
        watch_free(watch);
        return;
    }
    take(watch, answer);
    if (watch->again)
        ask(watch);
    lookout_check_answered(watch->lookout);
}

static void ask(LookoutWatch *watch)
{
    Lookout *lookout = watch->lookout;
    const LookoutObserver *observer = watch->observer;
    HttpCall call = {.method = "GET",
                     .host = observer->host,
                     .port = observer->port,
                     .path = observer->path,
                     .timeout_ms = LOOKOUT_POLL_TIMEOUT_MS,
                     .on_answer = on_answer,
                     .arg = watch};
    Err err = {0};

    if (watch->busy)
        return;
    watch->again = false;
    watch->asked_wall_us = clock_now().wall_us;
    watch->busy = http_client_send(lookout->client, &call, &err);
    if (!watch->busy)
        watch->connected = false;
}

/* With poll_observers_on_warning_only they are asked while something is wrong: else nobody is there to ask.
 */
void lookout_poll_watches(void *arg)
{
    Lookout *lookout = arg;
    bool is_calm = !lookout->was_warning;
    bool has_primary = false;

    for (int i = 0; i < lookout->node_count; i++)
        has_primary =
            has_primary || (lookout->node[i]->seen.connected && !lookout->node[i]->seen.in_recovery);
    if (!lookout->config->poll_observers_on_warning_only || !is_calm || !has_primary)
        for (int i = 0; i < lookout->watch_count; i++)
            ask(lookout->watch[i]);
}

void lookout_poll_now(Lookout *lookout)
{
    monitor_now(lookout->monitor, -1);
    lookout_poll_watches(lookout);
}

void lookout_poll_done(Lookout *lookout)
{
    http_client_free(lookout->client); /* their callbacks come with that */
    for (int i = 0; i < lookout->watch_count; i++)
        watch_free(lookout->watch[i]);
    for (int i = 0; i < lookout->node_count; i++)
        node_free(lookout->node[i]);
    free(lookout->node);
    monitor_free(lookout->monitor);
}
