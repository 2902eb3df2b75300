/*
 * answer.c: the observer's public listener: what is seen, as JSON.
 *
 * It is answered on the loop's thread from what the last polls said: an observer decides nothing that a flood
 * of questions could delay.
 */
#include "observer/internal.h"

#include "net/http.h"
#include "sys/clock.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLUSTERS_PATH  "/v1/clusters"
#define RELOAD_PATH    "/v1/reload"
#define CHECK_LEAST_US (200 * US_PER_MS) /* between two rounds that somebody asked for */

/* With the Date, by which pglookout's nodes see how old the answer is (RFC 9110, 5.6.7). */
void answer_respond(HttpRequest *request, int status, const char *type, const Buf *body)
{
    char date[40] = "";
    struct tm when;
    time_t now = (time_t) (clock_now().wall_us / US_PER_SEC);
    const HttpHeader headers[] = {{"Date", date}, {NULL, NULL}};

    if (gmtime_r(&now, &when) != NULL)
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &when);
    if (body->failed)
        http_respond(request, 500, NULL, NULL, 0, headers);
    else
        http_respond(request, status, type, body->data, body->len, headers);
}

/* Seconds with a decimal, since that reading of the boot clock; null for 0. */
static void add_ago(Buf *out, const char *key, int64_t since_us, int64_t now_us)
{
    char text[32];

    if (since_us == 0) {
        json_add_null(out, key);
        return;
    }
    int len = snprintf(text, sizeof text, "%.1f", (double) (now_us - since_us) / (double) US_PER_SEC);
    json_add_raw(out, key, text, (size_t) len);
}

static void add_number_or_null(Buf *out, const char *key, int64_t value)
{
    if (value < 0)
        json_add_null(out, key);
    else
        json_add_number(out, key, value);
}

static void add_seconds_or_null(Buf *out, const char *key, double value)
{
    char text[48];

    if (value < 0) {
        json_add_null(out, key);
        return;
    }
    int len = snprintf(text, sizeof text, "%.3f", value);
    json_add_raw(out, key, text, (size_t) len);
}

static void add_sample(Buf *out, const Cluster *cluster, const MonitorSample *sample, int64_t now_us)
{
    bool known = sample->answered_us != 0;

    json_add_bool(out, "reachable", sample->ok);
    json_add_text(out, "role", !known ? "unknown" : sample->in_recovery ? "standby" : "primary");
    json_add_text(out, "trouble", sample->ok ? NULL : monitor_trouble_name(sample->trouble));
    json_add_text(out, "problem", sample->ok ? NULL : sample->problem);
    add_ago(out, "since_s", sample->since_us, now_us);
    add_ago(out, "answered_s", sample->answered_us, now_us);
    add_number_or_null(out, "server_version", known ? (int64_t) sample->server_version : -1);
    add_number_or_null(out, "timeline", sample->timeline != 0 ? (int64_t) sample->timeline : -1);
    if (sample->system_identifier != 0)
        json_add_big(out, "system_identifier", sample->system_identifier);
    else
        json_add_null(out, "system_identifier");
    json_add_lsn_or_null(out, "lsn",
                         !known                                     ? LSN_NONE
                         : !sample->in_recovery                     ? sample->lsn
                         : sample->receive_lsn > sample->replay_lsn ? sample->receive_lsn
                                                                    : sample->replay_lsn);
    json_add_lsn_or_null(out, "replayed", known && sample->in_recovery ? sample->replay_lsn : LSN_NONE);
    add_number_or_null(out, "lag_bytes", watched_lag_bytes(cluster, sample));
    add_seconds_or_null(out, "lag_s", watched_lag_s(sample));
}

static void add_member(Buf *out, const Cluster *cluster, int index, int64_t now_us)
{
    const ConfigMember *member = &cluster->config->member[index];
    const MonitorSample *sample = watched_sample(&cluster->server[index]);

    json_add_open(out, NULL, '{');
    json_add_text(out, "name", member->name);
    json_add_text(out, "host", member->host);
    if (member->role == MEMBER_ROLE_DATA)
        json_add_number(out, "port", member->port);
    else
        json_add_null(out, "port");
    if (sample != NULL)
        add_sample(out, cluster, sample, now_us);
    else
        json_add_text(out, "role", member->role == MEMBER_ROLE_DATA ? "unknown" : "witness");
    json_add_close(out, '}');
}

static void add_agents(Buf *out, const Cluster *cluster, int64_t now_us)
{
    const AgentView *view = &cluster->agents;

    if (!view->known) {
        json_add_null(out, "agents");
        return;
    }
    json_add_open(out, "agents", '{');
    json_add_text(out, "member", view->member);
    json_add_text(out, "primary", view->primary[0] != '\0' ? view->primary : NULL);
    json_add_text(out, "leader", view->leader[0] != '\0' ? view->leader : NULL);
    json_add_bool(out, "quorum", view->quorum);
    json_add_number(out, "alarms", view->alarms);
    add_ago(out, "answered_s", view->answered_us, now_us);
    json_add_close(out, '}');
}

/* The worst first: it is what stands in a table with one line for each cluster. */
static void add_alarms(Buf *out, const Cluster *cluster)
{
    Buf text = {0};

    json_add_open(out, "alarms", '[');
    if (watched_primaries(cluster) > 1) {
        buf_puts(&text, "more than one server says that it is primary: ");
        watched_add_primaries(cluster, &text);
        json_add_text(out, NULL, text.data);
    }
    for (int i = 0; cluster->config != NULL && i < cluster->server_count; i++) {
        const MonitorSample *sample = watched_sample(&cluster->server[i]);
        if (sample == NULL || sample->ok || sample->since_us == 0)
            continue;
        text.len = 0;
        buf_printf(&text, "%s: ", cluster->config->member[i].name);
        watched_add_problem(&cluster->server[i], sample, &text);
        json_add_text(out, NULL, text.data);
    }
    for (int i = 0; cluster->peers != NULL && i < cluster->config->member_count; i++) {
        if (!peer_net_other_secret(cluster->peers, cluster->config->member[i].name))
            continue;
        text.len = 0;
        buf_printf(&text, "%s has another secret, and refuses what is told to it: [cluster] secret in %s",
                   cluster->config->member[i].name, cluster->file);
        json_add_text(out, NULL, text.data);
    }
    if (cluster->primary < 0 && cluster->config != NULL)
        json_add_text(out, NULL, "no primary has been seen yet");
    if (cluster->problem != NULL) {
        text.len = 0;
        buf_printf(&text, "the file %s cannot be used: %s", cluster->file, cluster->problem);
        json_add_text(out, NULL, text.data);
    }
    json_add_close(out, ']');
    buf_done(&text);
}

/* How old the newest answer of any of its servers is: null, if none ever came. */
static int64_t newest_us(const Cluster *cluster)
{
    int64_t newest_us = 0;

    for (int i = 0; i < cluster->server_count; i++) {
        const MonitorSample *sample = watched_sample(&cluster->server[i]);
        if (sample != NULL && sample->answered_us > newest_us)
            newest_us = sample->answered_us;
    }
    return newest_us;
}

static void add_cluster(Buf *out, const Cluster *cluster)
{
    const Config *config = cluster->config;
    int64_t now_us = clock_now().boot_us;

    json_add_open(out, NULL, '{');
    json_add_text(out, "cluster", config != NULL ? config->cluster.name : NULL);
    json_add_text(out, "file", cluster->file);
    json_add_text(out, "primary", cluster->primary >= 0 ? config->member[cluster->primary].name : NULL);
    json_add_bool(out, "sees_primary", cluster->sees);
    add_ago(out, "since_s", cluster->sees_since_us, now_us);
    add_ago(out, "age_s", newest_us(cluster), now_us);
    json_add_open(out, "members", '[');
    for (int i = 0; config != NULL && i < config->member_count; i++)
        add_member(out, cluster, i, now_us);
    json_add_close(out, ']');
    add_agents(out, cluster, now_us);
    json_add_text(out, "agents_problem", cluster->agents_problem[0] != '\0' ? cluster->agents_problem : NULL);
    add_alarms(out, cluster);
    json_add_close(out, '}');
}

static void add_stats(Buf *out, const Observer *observer)
{
    MonitorStats stats = monitor_stats(observer->monitor);

    json_add_text(out, "observer", observer->name);
    json_add_text(out, "version", PGVIGIL_VERSION);
    json_add_text(out, "problem", observer->folder_problem[0] != '\0' ? observer->folder_problem : NULL);
    json_add_number(out, "servers", stats.servers);
    json_add_number(out, "polls", (int64_t) stats.polls);
    json_add_number(out, "failed", (int64_t) stats.failed);
    json_add_number(out, "missed", (int64_t) stats.missed);
    json_add_number(out, "connecting", stats.connecting);
}

void answer_open(const Observer *observer, Buf *out)
{
    json_add_open(out, NULL, '{');
    add_stats(out, observer);
    json_add_open(out, "clusters", '[');
}

void answer_add(const Cluster *cluster, int part, Buf *out)
{
    (void) part;
    add_cluster(out, cluster);
}

void answer_close(const Observer *observer, Buf *out)
{
    (void) observer;
    json_add_close(out, ']');
    json_add_close(out, '}');
}

static void answer_all(Observer *observer, HttpRequest *request)
{
    whole_answer(observer, WHOLE_CLUSTERS, request);
}

static void answer_metrics(Observer *observer, HttpRequest *request)
{
    whole_answer(observer, WHOLE_METRICS, request);
}

static void answer_health(Observer *observer, HttpRequest *request)
{
    Buf out = {0};

    json_add_open(&out, NULL, '{');
    add_stats(&out, observer);
    json_add_number(&out, "clusters", observer->cluster_count);
    json_add_close(&out, '}');
    answer_respond(request, 200, ANSWER_JSON, &out);
    buf_done(&out);
}

void answer_text(HttpRequest *request, int status, const char *text)
{
    Buf out = {0};

    buf_puts(&out, text);
    answer_respond(request, status, "text/plain", &out);
    buf_done(&out);
}

static void answer_cluster(const Observer *observer, HttpRequest *request)
{
    const Cluster *cluster = watched_find(observer, http_request_path(request) + strlen(CLUSTERS_PATH "/"));
    Buf out = {0};

    if (cluster == NULL) {
        answer_text(request, 404, "there is no cluster of that name here; all of them: " CLUSTERS_PATH "\n");
        return;
    }
    add_cluster(&out, cluster);
    answer_respond(request, 200, ANSWER_JSON, &out);
    buf_done(&out);
}

static void answer_state(Observer *observer, HttpRequest *request)
{
    const char *name = http_request_argument(request, "cluster");
    const Cluster *cluster = name != NULL ? watched_find(observer, name) : NULL;
    Buf out = {0};

    if (name != NULL && cluster == NULL) {
        answer_text(request, 404, "there is no cluster of that name here; all of them: " CLUSTERS_PATH "\n");
        return;
    }
    if (cluster == NULL) {
        whole_answer(observer, WHOLE_STATE, request);
        return;
    }
    lookout_open(observer, &out);
    lookout_add(cluster, false, &out);
    lookout_close(observer, &out);
    answer_respond(request, 200, ANSWER_JSON, &out);
    buf_done(&out);
}

/* As pglookout's: 204, and a round begins. */
static void answer_check(Observer *observer, HttpRequest *request)
{
    int64_t now_us = clock_now().boot_us;
    Buf nothing = {0};

    if (now_us - observer->checked_us >= CHECK_LEAST_US) {
        observer->checked_us = now_us;
        monitor_now(observer->monitor, -1);
    }
    answer_respond(request, 204, NULL, &nothing);
}

static const struct {
    const char *path;
    void (*answer)(Observer *observer, HttpRequest *request);
} paths[] = {
    {"/", answer_health},        {"/health", answer_health},   {"/liveness", answer_health},
    {CLUSTERS_PATH, answer_all}, {"/metrics", answer_metrics}, {"/state.json", answer_state},
};

void answer_on_request(void *arg, HttpRequest *request)
{
    Observer *observer = arg;
    const char *path = http_request_path(request), *method = http_request_method(request);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (strcmp(path, "/check") == 0) {
        if (strcmp(method, "POST") == 0)
            answer_check(observer, request);
        else
            answer_text(request, 405, "/check wants POST\n");
        return;
    }
    if (strcmp(path, RELOAD_PATH) == 0) {
        if (strcmp(method, "POST") == 0)
            reload_on_request(observer, request);
        else
            answer_text(request, 405, RELOAD_PATH " wants POST\n");
        return;
    }
    if (!get) {
        answer_text(request, 405, "only GET and HEAD, and POST to /check and " RELOAD_PATH "\n");
        return;
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strcmp(paths[i].path, path) == 0) {
            paths[i].answer(observer, request);
            return;
        }
    }
    if (strncmp(path, CLUSTERS_PATH "/", strlen(CLUSTERS_PATH "/")) == 0)
        answer_cluster(observer, request);
    else
        answer_text(request, 404,
                    "there are /health, " CLUSTERS_PATH ", " CLUSTERS_PATH
                    "/NAME, /metrics, /state.json and, by POST, "
                    "/check and " RELOAD_PATH "\n");
}
