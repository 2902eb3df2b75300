/*
 * public.c: the public listener's paths, answered from the newest snapshot.
 *
 * Read-only. A snapshot that is too old means that the agent hangs: every answer is then 503.
 */
#include "agent/snapshot.h"
#include "net/http.h"
#include "sys/clock.h"

#include <string.h>

typedef enum Answer {
    ANSWER_BODY,
    ANSWER_PRIMARY,
    ANSWER_REPLICA,
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

#define JSON_TYPE   "application/json"
#define BODY(field) offsetof(Snapshot, field)

static const Path PATHS[] = {
    {"/primary", ANSWER_PRIMARY, BODY(state), JSON_TYPE},
    {"/replica", ANSWER_REPLICA, BODY(state), JSON_TYPE},
    {"/health", ANSWER_HEALTH, BODY(state), JSON_TYPE},
    {"/readiness", ANSWER_READY, BODY(state), JSON_TYPE},
    {"/liveness", ANSWER_LIVE, BODY(state), JSON_TYPE},
    {"/v1/cluster", ANSWER_BODY, BODY(cluster), JSON_TYPE},
    {"/v1/history", ANSWER_BODY, BODY(history), JSON_TYPE},
    {"/v1/explain", ANSWER_BODY, BODY(explain), JSON_TYPE},
    {"/v1/operation", ANSWER_BODY, BODY(operation), JSON_TYPE},
    {"/metrics", ANSWER_BODY, BODY(metrics), "text/plain; version=0.0.4"},
};

static const Path *find_path(const char *path)
{
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++)
        if (strcmp(PATHS[i].path, path) == 0)
            return &PATHS[i];
    return NULL;
}

static bool holds(const Publisher *publisher, const Snapshot *snapshot, Answer answer)
{
    Clock now = clock_now();

    if (!snapshot_is_fresh(snapshot, &now))
        return false;
    switch (answer) {
    case ANSWER_PRIMARY: return snapshot_is_primary(publisher, snapshot, &now);
    case ANSWER_REPLICA: return snapshot->replica;
    case ANSWER_HEALTH: return snapshot->healthy;
    case ANSWER_READY: return snapshot->ready || snapshot_is_primary(publisher, snapshot, &now);
    case ANSWER_LIVE:
    case ANSWER_BODY: return true;
    }
    return false;
}

static void refuse(HttpRequest *request, int status, const char *text)
{
    http_respond(request, status, "text/plain", text, strlen(text), NULL);
}

void public_on_request(void *arg, HttpRequest *request)
{
    Publisher *publisher = arg;
    const char *method = http_request_method(request);
    const Path *path = find_path(http_request_path(request));

    if (path == NULL) {
        refuse(
            request, 404,
            "no such path; there are /primary /replica /health /liveness /readiness /v1/cluster /v1/history "
            "/v1/explain /v1/operation /metrics\n");
        return;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "OPTIONS") != 0) {
        static const HttpHeader allow[] = {{"Allow", "GET, HEAD, OPTIONS"}, {NULL, NULL}};
        http_respond(request, 405, "text/plain", "only GET, HEAD and OPTIONS\n", 27, allow);
        return;
    }
    Snapshot *snapshot = snapshot_take(publisher);
    if (snapshot == NULL) {
        refuse(request, 503, "the agent is starting\n");
        return;
    }
    const Buf *body = (const Buf *) (const void *) ((const char *) snapshot + path->body);
    http_respond(request, holds(publisher, snapshot, path->answer) ? 200 : 503, path->type,
                 body->data != NULL ? body->data : "", body->len, NULL);
    snapshot_release(snapshot);
}
