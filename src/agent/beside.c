/*
 * beside.c: what the extension's views show: /v1/cluster and /v1/history as files beside the fence file.
 *
 * Files, because a backend must not wait for an agent that hangs, and because they say by themselves how old
 * they are. Only where the server has loaded the extension.
 */
#include "agent/internal.h"

#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODE 0640

struct Beside {
    Agent *agent; /* NULL: it has ended meanwhile */
    Snapshot *snapshot;
    char base[FENCE_PATH_LEN];
    bool history; /* it has changed */
    bool ok;
    Err err;
};

static bool write_one(Beside *beside, const char *kind, const Buf *text)
{
    char path[FENCE_PATH_LEN + 16];

    snprintf(path, sizeof path, "%s.%s.json", beside->base, kind);
    return text->data != NULL && file_write_atomic(path, text->data, text->len, MODE, &beside->err);
}

static void write_all(void *arg)
{
    Beside *beside = arg;
    const Snapshot *snapshot = beside->snapshot;

    beside->ok = write_one(beside, "cluster", &snapshot->cluster) &&
                 (!beside->history || write_one(beside, "history", &snapshot->history));
}

static void on_written(void *arg)
{
    static LogLimit limit;
    Beside *beside = arg;
    Agent *agent = beside->agent;

    if (!beside->ok)
        log_limited(&limit, LOG_LEVEL_WARN, "views_not_written", "reason=\"%s\"", beside->err.text);
    if (agent != NULL) {
        agent->beside = NULL;
        if (!beside->ok)
            agent->beside_history = SIZE_MAX; /* again, with all */
    }
    snapshot_release(beside->snapshot);
    free(beside);
}

void beside_publish(Agent *agent)
{
    if (agent->poll == NULL || !poll_status(agent->poll)->fence.loaded || agent->beside != NULL)
        return;
    Beside *beside = calloc(1, sizeof *beside);
    if (beside == NULL)
        return;
    beside->snapshot = snapshot_take(&agent->publisher);
    beside->agent = agent;
    str_copy(beside->base, sizeof beside->base, agent->deadline.path);
    *strrchr(beside->base, '.') = '\0'; /* .fence */
    beside->history = agent->beside_history != agent->history_total + 1;
    agent->beside_history = agent->history_total + 1;
    agent->beside = beside;
    loop_work(&agent->loop, write_all, on_written, beside);
}

void beside_done(Agent *agent)
{
    if (agent->beside != NULL)
        agent->beside->agent = NULL;
    agent->beside = NULL;
}
