/*
 * past.c: the history: the newest entries in memory for answers, all of them in the file, one line each.
 */
#include "agent/internal.h"

#include "base/str.h"
#include "store/history.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/codec.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct Append {
    Agent *agent;
    char directory[512], cluster[128]; /* copies: a reload may free the configuration meanwhile */
    char *line;
    Err err;
    bool ok;
} Append;

static void keep(Agent *agent, char *line)
{
    if (line == NULL)
        return;
    if (agent->history_len == HISTORY_KEEP) {
        free(agent->history[0]);
        memmove(&agent->history[0], &agent->history[1], sizeof agent->history[0] * (HISTORY_KEEP - 1));
        agent->history_len--;
    }
    agent->history[agent->history_len++] = line;
}

void past_load(Agent *agent)
{
    Buf text = {0};
    Err err = {0};

    if (!history_read(agent->config->node.state_directory, agent->config->cluster.name, HISTORY_KEEP, &text,
                      &err))
        log_line(LOG_LEVEL_WARN, "history_unreadable", "reason=\"%s\"", err.text);
    json_t *array = text.data != NULL ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    for (size_t i = 0; i < json_array_size(array); i++)
        keep(agent, json_dumps(json_array_get(array, i), JSON_COMPACT | JSON_PRESERVE_ORDER));
    json_decref(array);
    buf_done(&text);
}

static void append(void *arg)
{
    Append *job = arg;

    job->ok = history_append(job->directory, job->cluster, job->line, &job->err);
}

static void write_next(Agent *agent);

static void on_appended(void *arg)
{
    Append *job = arg;
    Agent *agent = job->agent;

    if (!job->ok)
        log_line(LOG_LEVEL_ERROR, "history_failed", "reason=\"%s\"", job->err.text);
    free(job->line);
    free(job);
    agent->history_busy = false;
    write_next(agent);
}

/* One line at a time, in order. */
static void write_next(Agent *agent)
{
    size_t behind = agent->history_total - agent->history_written;

    if (agent->history_busy || behind == 0)
        return;
    if (behind > agent->history_len) { /* the disk was stuck for longer than memory reaches */
        log_line(LOG_LEVEL_ERROR, "history_lost", "entries=%zu they are in this log only",
                 behind - agent->history_len);
        behind = agent->history_len;
        agent->history_written = agent->history_total - behind;
    }
    Append *job = calloc(1, sizeof *job);
    char *line = strdup(agent->history[agent->history_len - behind]);
    if (job == NULL || line == NULL) {
        free(job);
        free(line);
        return; /* with the next entry */
    }
    job->agent = agent;
    job->line = line;
    str_copy(job->directory, sizeof job->directory, agent->config->node.state_directory);
    str_copy(job->cluster, sizeof job->cluster, agent->config->cluster.name);
    agent->history_written++;
    agent->history_busy = true;
    loop_work(&agent->loop, append, on_appended, job);
}

void past_add(Agent *agent, const History *history, const char *reason)
{
    Buf line = {0};

    codec_history_line(history, &agent->core.persist.doc, clock_now().wall_us, reason, &line);
    if (line.data == NULL)
        return;
    log_line(LOG_LEVEL_INFO, "history", "%s", line.data);
    keep(agent, line.data);
    agent->history_total++;
    write_next(agent);
    tell_history(agent, history, reason);
}

void past_done(Agent *agent)
{
    for (size_t i = 0; i < agent->history_len; i++)
        free(agent->history[i]);
    agent->history_len = 0;
    buf_done(&agent->takeovers);
}
