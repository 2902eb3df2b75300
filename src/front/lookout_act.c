/*
 * lookout_act.c: what pglookout does to the world: commands, alert files, statistics, the state file.
 */
#include "front/lookout.h"

#include "sys/clock.h"
#include "sys/exec.h"
#include "sys/file.h"
#include "sys/log.h"
#include "wire/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void on_line(void *arg, const char *line)
{
    char text[EXEC_LINE_MAX + 64];

    lookout_log(arg, LOG_LEVEL_INFO, "command_says", "line=%s", log_quote(line, text, sizeof text));
}

void lookout_act_on_slept(void *arg)
{
    Lookout *lookout = arg;

    lookout->busy = false;
    lookout->told_rule[0] = '\0';
    lookout_poll_now(lookout);
}

static void has_happened(Lookout *lookout)
{
    lookout_act_alert(lookout, "failover_has_happened", true);
    lookout_act_count(lookout, "failover", NULL);
}

/* The program could not even be begun (exec.h): nothing has happened. */
static bool was_not_run(const ExecResult *result)
{
    char last[300];

    exec_last_line(result, last, sizeof last);
    return result->status == 127 && strstr(last, ": cannot be run: ") != NULL;
}

static void on_failover_end(void *arg, const ExecResult *result)
{
    Lookout *lookout = arg;
    bool ordered = lookout_lease_is_on(lookout->lease);
    char how[100], text[110];

    exec_describe(result, how, sizeof how);
    lookout_log(lookout, result->status == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
                ordered ? "failover_order_ended" : "failover_command_ended", "result=%s duration=%lldms",
                log_quote(how, text, sizeof text), (long long) result->duration_ms);
    if (ordered && result->status == 0)
        has_happened(lookout);
    if (!ordered && lookout->alerted && was_not_run(result))
        lookout_act_alert(lookout, "failover_has_happened", false);
    loop_timer_start(&lookout->sleep_timer, lookout->config->failover_sleep_us, 0);
}

void lookout_act_failover(Lookout *lookout)
{
    const char *const *order = lookout_lease_order(lookout->lease);
    const char *const *argv = order != NULL ? order : lookout->config->failover_command.argv;
    ExecSpec spec = {.argv = argv,
                     .timeout_ms = LOOKOUT_COMMAND_MS,
                     .new_session = true,
                     .on_line = on_line,
                     .on_exit = on_failover_end,
                     .arg = lookout};
    Err err = {0};
    char text[600];

    lookout_log(lookout, LOG_LEVEL_WARN, "failover", "%s=%s", order != NULL ? "ordered" : "command",
                log_quote(order != NULL ? lookout->config->own_db : argv[0], text, sizeof text));
    if (exec_start(&lookout->loop, &spec, &err) == NULL) {
        lookout_log(lookout, LOG_LEVEL_ERROR, "failover_failed", "reason=%s",
                    log_quote(err.text, text, sizeof text));
        return;
    }
    lookout->busy = true;
    lookout->alerted = order == NULL && !alert_file_is_on(lookout->alerts, "failover_has_happened");
    if (order == NULL)
        has_happened(lookout);
}

static void on_warning_end(void *arg, const ExecResult *result)
{
    Lookout *lookout = arg;
    char how[100], text[110];

    lookout->warning_command = false;
    exec_describe(result, how, sizeof how);
    lookout_log(lookout, LOG_LEVEL_INFO, "over_warning_limit_command_ended", "result=%s",
                log_quote(how, text, sizeof text));
}

void lookout_act_warning_command(Lookout *lookout)
{
    const char *const *argv = lookout->config->over_warning_limit_command.argv;
    ExecSpec spec = {.argv = argv,
                     .timeout_ms = LOOKOUT_COMMAND_MS,
                     .new_session = true,
                     .on_line = on_line,
                     .on_exit = on_warning_end,
                     .arg = lookout};
    Err err = {0};
    char text[600];

    if (argv[0] == NULL || lookout->warning_command)
        return;
    lookout->warning_command = exec_start(&lookout->loop, &spec, &err) != NULL;
    if (!lookout->warning_command)
        lookout_log(lookout, LOG_LEVEL_ERROR, "over_warning_limit_command_failed", "reason=%s",
                    log_quote(err.text, text, sizeof text));
}

void lookout_act_alert(Lookout *lookout, const char *name, bool is_on)
{
    Err err = {0};
    bool was_on = alert_file_is_on(lookout->alerts, name);

    if (is_on != was_on)
        lookout_log(lookout, is_on ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "alert", "name=%s is=%s", name,
                    is_on ? "on" : "off");
    alert_file_set(lookout->alerts, name, is_on, &err); /* the names are fixed, and few: it cannot fail */
}

void lookout_act_count(Lookout *lookout, const char *name, const char *db)
{
    StatsdTag tag = {"db", db};
    Err err = {0};

    if (lookout->statsd != NULL)
        statsd_count(lookout->statsd, name, 1, db != NULL ? &tag : NULL, db != NULL ? 1 : 0, &err);
}

/* ---- the state file ---- */

typedef struct Write {
    Lookout *lookout;
    Buf text;
    char *path;
    Err err;
} Write;

static void work(void *arg)
{
    Write *write = arg;

    file_write_atomic(write->path, write->text.data, write->text.len, 0644, &write->err);
}

static void on_written(void *arg)
{
    static LogLimit limit;
    Write *write = arg;
    Lookout *lookout = write->lookout;
    char text[600];

    if (write->err.code != ERR_NONE)
        log_limited(&limit, LOG_LEVEL_ERROR, "state_file_failed", "reason=%s",
                    log_quote(write->err.text, text, sizeof text));
    buf_done(&write->text);
    free(write->path);
    free(write);
    lookout->writing = false;
    if (lookout->write_again)
        lookout_act_write_state(lookout);
}

static void add_state(const Lookout *lookout, Buf *out)
{
    json_add_open(out, NULL, '{');
    json_add_open(out, "db_nodes", '{');
    for (int i = 0; i < lookout->node_count; i++)
        lookout_state_add(out, lookout->node[i]->name, &lookout->node[i]->seen);
    json_add_close(out, '}');
    json_add_open(out, "observer_nodes", '{');
    for (int i = 0; i < lookout->watch_count; i++) {
        const LookoutWatch *watch = lookout->watch[i];
        lookout_state_add_watch(out, watch->name, watch->connected, watch->asked_wall_us, watch->state);
    }
    json_add_close(out, '}');
    json_add_text(out, "current_master", lookout->primary[0] != '\0' ? lookout->primary : NULL);
    lookout_lease_add(lookout->lease, out, "pgvigil");
    json_add_close(out, '}');
}

/* One at a time; what changes meanwhile is in the next. */
void lookout_act_write_state(void *arg)
{
    Lookout *lookout = arg;

    lookout->write_again = lookout->writing;
    if (lookout->writing)
        return;
    Write *write = calloc(1, sizeof *write);
    if (write == NULL)
        abort();
    write->lookout = lookout;
    write->path = strdup(lookout->config->state_file);
    add_state(lookout, &write->text);
    if (write->path == NULL || write->text.failed)
        abort();
    lookout->writing = true;
    loop_work(&lookout->loop, work, on_written, write);
}
