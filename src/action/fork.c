/*
 * fork.c: asks the primary for its timeline's history: the last point that it has in common with the one here
 * is the fork, as pg_rewind finds it (findCommonAncestorTimeline).
 *
 * Numbers of timelines are no proof: the core says up to which one they are to be believed. What cannot be
 * told is left open, and the caller goes on without it.
 */
#include "action/fork.h"

#include "action/inspect.h"
#include "sys/log.h"

#include <stdio.h>
#include <string.h>

/* The timeline's number as in names of files, and its history; NULL: it has none. encode() cannot fail. */
#define HISTORY_QUERY                                                                                         \
    "SELECT tli, pg_catalog.encode(pg_catalog.pg_read_binary_file('pg_wal/' || tli || '.history', 0, 65536, " \
    "true), 'escape') FROM (SELECT pg_catalog.substr(pg_catalog.pg_walfile_name("                             \
    "pg_catalog.pg_current_wal_insert_lsn()), 1, 8) AS tli) AS t"
#define HISTORY_MAX 65536

static void say_unknown(const Run *run, const char *reason)
{
    log_line(LOG_LEVEL_WARN, "fork_unknown", "id=%u source=%s:%u reason=\"%s\"", (unsigned) run->request.id,
             run->host, (unsigned) run->request.port, reason);
}

static bool compare(Run *run, Err *err)
{
    const InspectData *data = run->data;
    ActionOutcome *o = &run->outcome;
    TimelineEntry mine[TIMELINE_MAX];
    int count;

    if (!timeline_read(run->settings.data_directory, run->request.timeline, mine, TIMELINE_MAX - 1, &count,
                       err))
        return false;
    /* One that is missing, or too long to be whole, proves nothing. */
    if (count < 0 || count == TIMELINE_MAX - 1)
        return err_set(err, ERR_PG, "the history of timeline %u is missing here, or too long",
                       (unsigned) run->request.timeline);
    mine[count++] = (TimelineEntry){run->request.timeline, UINT64_MAX};
    int common = timeline_common(mine, count, data->theirs, data->theirs_count, run->request.shared);
    if (common < 0)
        return err_set(err, ERR_PG, "the histories of both have nothing in common that can be relied upon");
    o->fork_known = true;
    o->fork_timeline = mine[common].timeline;
    o->fork = mine[common].end < data->theirs[common].end ? mine[common].end : data->theirs[common].end;
    /* It looks at the two newest numbers first, and believes that they are one timeline. */
    bool same_number =
        common + 1 < count && mine[count - 1].timeline == data->theirs[data->theirs_count - 1].timeline;
    o->numbers_lie =
        same_number || timeline_common(mine, count, data->theirs, data->theirs_count, UINT32_MAX) != common;
    return true;
}

static void on_compared(Run *run)
{
    char fork[LSN_TEXT_LEN];
    const ActionOutcome *o = &run->outcome;
    InspectData *data = run->data;

    if (run->ok) {
        lsn_format(o->fork, fork);
        log_line(LOG_LEVEL_INFO, "fork", "id=%u source=%s:%u timeline=%u lsn=%s", (unsigned) run->request.id,
                 run->host, (unsigned) run->request.port, (unsigned) o->fork_timeline,
                 o->fork == UINT64_MAX ? "-" : fork);
        run->request.fork = o->fork;
    } else {
        say_unknown(run, run->err.text);
    }
    data->then_fork(run);
}

/* The primary's list, its present timeline last. */
static bool read_reply(InspectData *data, const PGresult *result)
{
    const char *tli = conn_value(result, 0), *text = conn_value(result, 1);
    unsigned timeline;

    if (strlen(tli) != 8 || sscanf(tli, "%8X", &timeline) != 1 || timeline == 0 ||
        (timeline > 1 && text[0] == '\0') || strlen(text) >= HISTORY_MAX)
        return false;
    int count = timeline > 1 ? timeline_parse(text, data->theirs, TIMELINE_MAX - 1) : 0;
    if (count < 0 || count == TIMELINE_MAX - 1)
        return false;
    data->theirs[count] = (TimelineEntry){timeline, UINT64_MAX};
    data->theirs_count = count + 1;
    return true;
}

static void on_history(Run *run)
{
    InspectData *data = run->data;
    bool told = run->ok && run->reply->result != NULL && read_reply(data, run->reply->result);

    if (!run->ok)
        say_unknown(run, run->err.text);
    else if (!told)
        say_unknown(run, "the primary's history cannot be read, or is too long");
    conn_close(run->conn);
    if (told)
        run_work(run, compare, on_compared);
    else
        data->then_fork(run);
}

static void on_connected(Run *run)
{
    InspectData *data = run->data;

    if (run->ok) {
        run_query(run, HISTORY_QUERY, 5 * ACT_QUERY_MS, on_history);
        return;
    }
    say_unknown(run, run->err.text);
    data->then_fork(run);
}

void fork_ask(Run *run, RunStep *then)
{
    const ActionSettings *s = &run->settings;
    InspectData *data = run->data;
    ConnTarget target = {.host = run->host,
                         .port = run->request.port,
                         .user = s->user,
                         .database = s->database,
                         .passfile = s->passfile};

    data->then_fork = then;
    run_connect(run, &target, 5 * ACT_QUERY_MS, on_connected);
}
