/*
 * public.c: the public listener's paths, answered from the newest snapshot.
 *
 * Read-only. A snapshot that is too old means that the agent hangs: every answer is then 503. What is 200
 * where, is Patroni's, so that what was made for Patroni goes on working; docs/http.md has it in words.
 */
#include "agent/public_query.h"
#include "agent/snapshot.h"
#include "net/http.h"
#include "sys/clock.h"

#include <stdio.h>
#include <string.h>

typedef enum Answer {
    ANSWER_BODY,
    ANSWER_PRIMARY,
    ANSWER_NEVER, /* for a kind of cluster that pgvigil does not run */
    ANSWER_REPLICA,
    ANSWER_READ_ONLY,
    ANSWER_SYNC,
    ANSWER_READ_ONLY_SYNC,
    ANSWER_ASYNC,
    ANSWER_HEALTH,
    ANSWER_READY,
    ANSWER_LIVE
} Answer;

typedef struct Path {
    const char *path;
    Answer answer;
    size_t body; /* offset of the Buf in Snapshot */
    const char *type;
} Path;

#define JSON_TYPE    "application/json"
#define METRICS_TYPE "text/plain; version=0.0.4"
#define BODY(field)  offsetof(Snapshot, field)

/* In the order in which they are listed to whoever asks for another one. */
static const Path paths[] = {
    {"/", ANSWER_PRIMARY, BODY(status), JSON_TYPE},
    {"/primary", ANSWER_PRIMARY, BODY(status), JSON_TYPE},
    {"/master", ANSWER_PRIMARY, BODY(status), JSON_TYPE},
    {"/leader", ANSWER_PRIMARY, BODY(status), JSON_TYPE},
    {"/read-write", ANSWER_PRIMARY, BODY(status), JSON_TYPE},
    {"/replica", ANSWER_REPLICA, BODY(status), JSON_TYPE},
    {"/read-only", ANSWER_READ_ONLY, BODY(status), JSON_TYPE},
    {"/sync", ANSWER_SYNC, BODY(status), JSON_TYPE},
    {"/synchronous", ANSWER_SYNC, BODY(status), JSON_TYPE},
    {"/read-only-sync", ANSWER_READ_ONLY_SYNC, BODY(status), JSON_TYPE},
    {"/read-only-synchronous", ANSWER_READ_ONLY_SYNC, BODY(status), JSON_TYPE},
    {"/quorum", ANSWER_SYNC, BODY(status), JSON_TYPE},
    {"/read-only-quorum", ANSWER_READ_ONLY_SYNC, BODY(status), JSON_TYPE},
    {"/async", ANSWER_ASYNC, BODY(status), JSON_TYPE},
    {"/asynchronous", ANSWER_ASYNC, BODY(status), JSON_TYPE},
    {"/standby-leader", ANSWER_NEVER, BODY(status), JSON_TYPE},
    {"/standby_leader", ANSWER_NEVER, BODY(status), JSON_TYPE},
    {"/health", ANSWER_HEALTH, BODY(status), JSON_TYPE},
    {"/liveness", ANSWER_LIVE, BODY(status), JSON_TYPE},
    {"/readiness", ANSWER_READY, BODY(status), JSON_TYPE},
    {"/patroni", ANSWER_BODY, BODY(status), JSON_TYPE},
    {"/cluster", ANSWER_BODY, BODY(topology), JSON_TYPE},
    {"/history", ANSWER_BODY, BODY(takeovers), JSON_TYPE},
    {"/metrics", ANSWER_BODY, BODY(metrics), METRICS_TYPE},
    {"/v1/cluster", ANSWER_BODY, BODY(cluster), JSON_TYPE},
    {"/v1/history", ANSWER_BODY, BODY(history), JSON_TYPE},
    {"/v1/explain", ANSWER_BODY, BODY(explain), JSON_TYPE},
    {"/v1/operation", ANSWER_BODY, BODY(operation), JSON_TYPE},
};

#define PATHS (sizeof paths / sizeof paths[0])

typedef struct Question {
    Publisher *publisher;
    const Snapshot *snapshot;
    const Path *path;
    PublicQuery query;
    Clock now;
    Err err;
} Question;

static const Path *find_path(const char *path)
{
    for (size_t i = 0; i < PATHS; i++)
        if (strcmp(paths[i].path, path) == 0)
            return &paths[i];
    return NULL;
}

static bool is_primary(const Question *question)
{
    return snapshot_is_primary(question->publisher, question->snapshot, &question->now);
}

/* Unknown positions are too far behind. */
static bool is_near(const Question *question, Lsn position)
{
    const PublicQuery *query = &question->query;
    Lsn primary = atomic_load(&question->publisher->primary_lsn);

    if (!query->has_lag)
        return true;
    if (primary == LSN_NONE || position == LSN_NONE)
        return false;
    return position >= primary || primary - position <= (uint64_t) query->lag;
}

/* A standby that answers and may be given work, and all that the parameters ask for besides tags. */
static bool is_replica(const Question *question)
{
    const Snapshot *snapshot = question->snapshot;
    const PublicQuery *query = &question->query;
    Lsn replayed = atomic_load(&question->publisher->replayed_lsn);

    if (!snapshot->standby || snapshot->no_load_balance)
        return false;
    if (query->replication_state[0] != '\0' &&
        strcmp(query->replication_state, snapshot->replication_state) != 0)
        return false;
    if (query->has_min_lsn && (replayed == LSN_NONE || replayed < query->min_lsn))
        return false;
    return is_near(question, query->by_write ? atomic_load(&question->publisher->received_lsn) : replayed);
}

static bool is_ready(const Question *question)
{
    const Publisher *publisher = question->publisher;
    Lsn position =
        atomic_load(question->query.by_write ? &publisher->received_lsn : &publisher->replayed_lsn);

    return is_primary(question) || (question->snapshot->ready && is_near(question, position));
}

static bool has_tags(const Question *question)
{
    const Snapshot *snapshot = question->snapshot;

    for (size_t i = 0; i < question->query.tag_count; i++) {
        size_t at = 0;
        while (at < snapshot->tag_count && strcmp(snapshot->tag[at].key, question->query.tag[i].key) != 0)
            at++;
        if (at == snapshot->tag_count || strcmp(snapshot->tag[at].value, question->query.tag[i].value) != 0)
            return false;
    }
    return true;
}

static bool holds(const Question *question)
{
    const Snapshot *snapshot = question->snapshot;
    bool in_sync = snapshot->in_sync_set;

    if (!snapshot_is_fresh(snapshot, &question->now))
        return false;
    switch (question->path->answer) {
    case ANSWER_PRIMARY: return is_primary(question);
    case ANSWER_NEVER: return false;
    case ANSWER_REPLICA: return is_replica(question) && has_tags(question);
    case ANSWER_READ_ONLY: return (is_primary(question) || is_replica(question)) && has_tags(question);
    case ANSWER_SYNC: return in_sync && is_replica(question) && has_tags(question);
    case ANSWER_READ_ONLY_SYNC:
        return (is_primary(question) || (in_sync && is_replica(question))) && has_tags(question);
    case ANSWER_ASYNC: return !in_sync && is_replica(question) && has_tags(question);
    case ANSWER_HEALTH: return snapshot->healthy && has_tags(question);
    case ANSWER_READY: return is_ready(question);
    case ANSWER_LIVE:
    case ANSWER_BODY: return true;
    }
    return false;
}

static void refuse(HttpRequest *request, int status, const char *text)
{
    http_respond(request, status, "text/plain", text, strlen(text), NULL);
}

static void refuse_path(HttpRequest *request)
{
    Buf text = {0};

    buf_puts(&text, "no such path; there are");
    for (size_t i = 0; i < PATHS; i++)
        buf_printf(&text, " %s", paths[i].path);
    buf_puts(&text, "\n");
    refuse(request, 404, text.failed ? "no such path\n" : text.data);
    buf_done(&text);
}

static bool on_argument(void *arg, const char *name, const char *value)
{
    Question *question = arg;

    return public_query_take(&question->query, name, value, &question->err);
}

/* Those who ask for a text may ask with what they like, such as the parameters of a scrape. */
static bool read_query(HttpRequest *request, Question *question)
{
    char text[sizeof question->err.text + 2];

    if (question->path->answer == ANSWER_BODY)
        return true;
    http_request_arguments(request, on_argument, question);
    if (question->err.code == ERR_NONE)
        return true;
    snprintf(text, sizeof text, "%s\n", question->err.text);
    refuse(request, 400, text);
    return false;
}

void public_on_request(void *arg, HttpRequest *request)
{
    Question question = {.publisher = arg, .path = find_path(http_request_path(request))};
    const char *method = http_request_method(request);

    if (question.path == NULL) {
        refuse_path(request);
        return;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0) {
        static const HttpHeader allow[] = {{"Allow", "GET, HEAD, OPTIONS"}, {NULL, NULL}};
        http_respond(request, 405, "text/plain", "only GET, HEAD and OPTIONS\n", 27, allow);
        return;
    }
    if (!read_query(request, &question))
        return;
    Snapshot *snapshot = snapshot_take(question.publisher);
    if (snapshot == NULL) {
        refuse(request, 503, "the agent is starting\n");
        return;
    }
    question.snapshot = snapshot;
    question.now = clock_now();
    const Buf *body = (const Buf *) (const void *) ((const char *) snapshot + question.path->body);
    http_respond(request, holds(&question) ? 200 : 503, question.path->type,
                 body->data != NULL ? body->data : "", body->len, NULL);
    snapshot_release(snapshot);
}
