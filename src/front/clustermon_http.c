/*
 * clustermon_http.c: GET /status and /heartbeat: the old program's names, as JSON that it never was.
 */
#include "front/clustermon.h"

#include "front/front.h"
#include "sys/clock.h"
#include "wire/json.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS 64

static void add_node(const ClustermonPeer *peer, Buf *out)
{
    const Clustermon *cm = peer->cm;
    const ClustermonNode *node = &peer->node;
    char text[CLUSTERMON_CONNINFO];

    json_add_open(out, cm->config->server[peer->index].name, '{');
    json_add_text(out, "host", cm->config->server[peer->index].name);
    json_add_bool(out, "connected", node->connected);
    json_add_time(out, "lastSuccessfulConnectionTime", peer->answered_wall_us);
    json_add_text(out, "db_role",
                  peer->answered_wall_us == 0 ? "UNKNOWN"
                  : node->in_recovery         ? "STANDBY"
                                              : "MASTER");
    json_add_time(out, "db_time", peer->server_wall_us);
    json_add_text(out, "synchronous_standby_names", peer->names);
    json_add_number(out, "db_size_in_bytes", peer->is_sized ? peer->sizes.database_bytes : 0);
    json_add_number(out, "pg_wal_size", peer->is_sized ? peer->sizes.wal_bytes : 0);
    json_add_number(out, "pg_wal_files_count", peer->is_sized ? peer->sizes.wal_files : 0);
    json_add_text(out, "replication_position", peer->received[0] != '\0' ? peer->received : NULL);
    Lsn received = LSN_NONE;
    json_add_number(out, "replication_position_as_number",
                    lsn_parse(peer->received, &received) ? (int64_t) received : 0);
    json_add_text(out, "primary_conn_info", mask_text(&cm->mask, peer->conninfo, text, sizeof text));
    json_add_text(out, "primary_slot_name", peer->slot);
    json_add_number(out, "number_of_slots", peer->slots);
    /* What the old program did not have. */
    json_add_text(out, "problem", peer->problem[0] != '\0' ? peer->problem : NULL);
    json_add_number(out, "timeline", node->timeline);
    json_add_lsn_or_null(out, "lsn", peer->answered_wall_us != 0 ? node->position : LSN_NONE);
    json_add_close(out, '}');
}

static void answer_status(const Clustermon *cm, HttpRequest *request)
{
    Buf body = {0};

    json_add_open(&body, NULL, '{');
    for (int i = 0; i < cm->config->servers; i++)
        add_node(cm->peer[i], &body);
    json_add_close(&body, '}');
    front_answer_json(request, &body);
}

/* rule and doing tell more than that the program lives. */
static void answer_heartbeat(const Clustermon *cm, HttpRequest *request)
{
    Buf body = {0};

    json_add_open(&body, NULL, '{');
    json_add_text(&body, "state", "ok");
    json_add_time(&body, "time", clock_now().wall_us);
    json_add_text(&body, "rule", cm->told_rule);
    json_add_number(&body, "decided_ms_ago",
                    cm->decided_us != 0 ? (clock_now().boot_us - cm->decided_us) / US_PER_MS : -1);
    json_add_text(&body, "alert", cm->told_alert[0] != '\0' ? cm->told_alert : NULL);
    json_add_text(&body, "doing", cm->doing);
    json_add_text(&body, "failed", cm->failed[0] != '\0' ? cm->failed : NULL);
    json_add_close(&body, '}');
    front_answer_json(request, &body);
}

static void on_request(void *arg, HttpRequest *request)
{
    static const char text[] = "pg_cluster_monitor answers GET /status and GET /heartbeat\n";
    const char *method = http_request_method(request), *path = http_request_path(request);
    bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (is_get && strcmp(path, "/status") == 0)
        answer_status(arg, request);
    else if (is_get && strcmp(path, "/heartbeat") == 0)
        answer_heartbeat(arg, request);
    else
        http_respond(request, 404, "text/plain", text, sizeof text - 1, NULL);
}

/* At the start only, since it blocks: a name, as "localhost", to the address that it has then. */
static bool resolve(const char *name, char *ret_address, size_t size, Err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int code = getaddrinfo(name[0] != '\0' ? name : NULL, "0", &hints, &found);

    if (code == 0)
        code = getnameinfo(found->ai_addr, found->ai_addrlen, ret_address, (socklen_t) size, NULL, 0,
                           NI_NUMERICHOST);
    if (found != NULL)
        freeaddrinfo(found);
    return code == 0 ||
           err_set(err, ERR_CONFIG, "[main] webserver_address %.100s: %s", name, gai_strerror(code));
}

bool clustermon_http_start(Clustermon *cm, Err *err)
{
    char address[NI_MAXHOST];

    if (!resolve(cm->config->address, address, sizeof address, err))
        return false;
    HttpServerOptions options = {.address = address,
                                 .port = (uint16_t) cm->config->port,
                                 .loop = &cm->loop,
                                 .connections = CONNECTIONS,
                                 .body_max = 4096,
                                 .handler = on_request,
                                 .arg = cm};
    cm->http = http_server_start(&options, err);
    return cm->http != NULL || err_context(err, "[main] webserver_address, webserver_port");
}
