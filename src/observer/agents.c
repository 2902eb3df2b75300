/*
 * agents.c: the cluster's agents are told whether the primary is seen from here, and asked what they know.
 *
 * Telling is authenticated as messages between members are, on a path of its own: an opinion is no vote, and
 * an observer no member.
 */
#include "observer/internal.h"

#include "net/auth.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TIMEOUT_MS 2000
#define DOUBLINGS  3

static void on_told(void *arg, bool ok, const char *body, size_t len)
{
    Cluster *cluster = arg;

    if (ok && cluster->deaf > 1)
        cluster->told_us = 0; /* one is back: all are told */
    if (ok)
        cluster->deaf = 0; /* a failure peer.c has logged */
    (void) body;
    (void) len;
}

void agents_open(Cluster *cluster)
{
    const Config *config = cluster->config;
    PeerMember members[CONFIG_MEMBER_MAX];
    uint64_t inc = 0;
    Err err = {0};

    cluster->told_us = 0;
    cluster->asked_member = 0;
    cluster->agents = (AgentView){0};
    if (config->secret == NULL || !cluster->observer->config->observer.opinions)
        return;
    if (config_find_member(config, cluster->observer->name) >= 0) {
        log_line(
            LOG_LEVEL_ERROR, "opinions_off",
            "cluster=%s reason=\"a member is called %s, too\" cure=\"give the observer another [observer] name\"",
            watched_name(cluster), cluster->observer->name);
        return;
    }
    for (int i = 0; i < config->member_count; i++)
        members[i] = (PeerMember){.name = config->member[i].name,
                                  .host = config->member[i].host,
                                  .agent_port = (uint16_t) config->member[i].agent_port};
    bool random = getrandom(&inc, sizeof inc, 0) == (ssize_t) sizeof inc;
    PeerNetOptions options = {.cluster = config->cluster.name,
                              .self = cluster->observer->name,
                              .secret = config->secret,
                              .secret_len = config->secret_len,
                              .inc = inc | 1,
                              .members = members,
                              .member_count = config->member_count,
                              .client = cluster->observer->client};
    cluster->peers = random ? peer_net_start(&cluster->observer->loop, &options, &err) : NULL;
    if (cluster->peers == NULL)
        log_line(LOG_LEVEL_ERROR, "opinions_off", "cluster=%s reason=\"%s\"", watched_name(cluster),
                 random ? err.text : "there are no random numbers");
}

void agents_close(Cluster *cluster)
{
    peer_net_stop(cluster->peers);
    cluster->peers = NULL;
}

void agents_tell(Cluster *cluster)
{
    int64_t now_us = clock_now().boot_us;
    Buf body = {0};
    bool all = true;
    unsigned sent = 0, count = (unsigned) cluster->config->member_count;
    bool one = cluster->deaf > 0 && cluster->told_us != 0; /* nobody answered: whether one is back */

    if (cluster->peers == NULL || cluster->primary < 0)
        return;
    json_add_open(&body, NULL, '{');
    json_add_text(&body, "primary", cluster->config->member[cluster->primary].name);
    json_add_bool(&body, "sees", cluster->sees);
    json_add_number(&body, "since_ms", (now_us - cluster->sees_since_us) / US_PER_MS);
    json_add_close(&body, '}');
    for (unsigned i = 0; i < (one ? 1 : count); i++) {
        unsigned member = one ? cluster->deaf % count : i;
        bool ok = peer_send(cluster->peers, (int) member, body.data, body.len, TIMEOUT_MS, on_told, cluster);
        sent += ok;
        all = all && ok;
    }
    buf_done(&body);
    cluster->deaf += sent > 0; /* too many may be under way */
    cluster->told_us = all ? now_us : 0;
}

/* ---- Asking ---- */

/* The members know who is primary; we may have come after it was lost. */
static void take_primary(Cluster *cluster)
{
    int index = config_find_member(cluster->config, cluster->agents.primary);

    if (cluster->primary >= 0 || index < 0)
        return;
    cluster->primary = index;
    cluster->sees = false;
    cluster->sees_since_us = clock_now().boot_us;
    agents_tell(cluster);
}

static bool read_view(const HttpAnswer *answer, AgentView *ret_view)
{
    AgentView view = {.known = true, .answered_us = clock_now().boot_us};
    json_t *object = answer->ok && answer->status == 200 ? json_parse(answer->body, answer->len, NULL) : NULL;
    bool ok = object != NULL && json_get_text(object, "member", view.member, sizeof view.member, NULL) &&
              json_get_text(object, "primary", view.primary, sizeof view.primary, NULL) &&
              json_get_text(object, "leader", view.leader, sizeof view.leader, NULL) &&
              json_get_bool(object, "quorum", &view.quorum, NULL);

    if (ok)
        view.alarms = (int) json_array_size(json_object_get(object, "alarms"));
    if (ok)
        *ret_view = view;
    json_decref(object);
    return ok;
}

static void on_answer(void *arg, const HttpAnswer *answer)
{
    Cluster *cluster = arg;

    cluster->asking = false;
    if (cluster->gone) {
        watched_free(cluster);
        return;
    }
    if (read_view(answer, &cluster->agents)) {
        cluster->asked_us = clock_now().boot_us;
        cluster->mute = 0;
        cluster->agents_problem[0] = '\0';
        take_primary(cluster);
        return;
    }
    snprintf(cluster->agents_problem, sizeof cluster->agents_problem, "%s: %.120s",
             cluster->config->member[cluster->asked_member % cluster->config->member_count].name,
             answer->ok ? "its answer to /v1/cluster is none of an agent's" : answer->error);
    /* The next one is asked soon; after the last one, later, and one at a time. */
    cluster->asked_member++;
    if (cluster->mute == 0 && cluster->asked_member < cluster->config->member_count)
        return;
    cluster->asked_member %= cluster->config->member_count;
    cluster->asked_us = clock_now().boot_us;
    cluster->mute++;
    cluster->agents.known = false;
}

static void ask(Cluster *cluster)
{
    const ConfigMember *member =
        &cluster->config->member[cluster->asked_member % cluster->config->member_count];
    const Config *config = cluster->config, *own = cluster->observer->config;
    /* The file's certificate is the members' own; where they ask for one, the observer's is shown. */
    bool shows = config->http.tls_client_ca != NULL;
    HttpCallTls tls = {.ca = config->http.tls_ca != NULL ? config->http.tls_ca : own->http.tls_ca,
                       .certificate = shows ? own->http.tls_certificate : NULL,
                       .key = shows ? own->http.tls_key : NULL};
    HttpCall call = {.method = "GET",
                     .tls = config->http.tls_certificate != NULL ? &tls : NULL,
                     .host = member->host,
                     .port = (uint16_t) member->http_port,
                     .path = "/v1/cluster",
                     .timeout_ms = TIMEOUT_MS,
                     .on_answer = on_answer,
                     .arg = cluster};

    cluster->asking = http_client_send(cluster->observer->client, &call, NULL);
}

/* Where no agent answers there may be none: a cluster of servers alone can be observed, too. */
static int64_t later(int64_t usual_us, unsigned failures)
{
    return usual_us << (failures < DOUBLINGS ? failures : DOUBLINGS);
}

static void tell_and_ask(Cluster *cluster, int64_t now_us)
{
    if (cluster->config == NULL || now_us - cluster->turn_us < US_PER_SEC - OBSERVER_TICK_US)
        return;
    cluster->turn_us = now_us;
    if (cluster->told_us == 0 || now_us - cluster->told_us >= later(OBSERVER_TELL_US, cluster->deaf))
        agents_tell(cluster);
    bool due = cluster->asked_us == 0 || (cluster->asked_member > 0 && cluster->mute == 0) ||
               now_us - cluster->asked_us >= later(OBSERVER_ASK_US, cluster->mute);
    if (due && !cluster->asking)
        ask(cluster);
}

/* A part of the clusters each time: a thousand calls begun at once would hold polls up, and few may be under
 * way. */
void agents_tick(void *arg)
{
    Observer *observer = arg;
    int64_t now_us = clock_now().boot_us;
    int count = observer->cluster_count, ticks = (int) (US_PER_SEC / OBSERVER_TICK_US);

    for (int i = 0; i < (count + ticks - 1) / ticks; i++)
        tell_and_ask(observer->cluster[observer->told_next++ % count], now_us);
    observer->told_next %= count > 0 ? count : 1;
}
