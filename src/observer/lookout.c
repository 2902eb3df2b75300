/*
 * lookout.c: what is seen in the words of pglookout's /state.json, so that its nodes can have us as observer.
 *
 * There the names of servers are the keys, of all clusters together. A name that several clusters use would
 * stand for another cluster's server: it is written as CLUSTER.NAME.
 */
#include "observer/internal.h"

#include "sys/clock.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

static void add_lag(Buf *out, const MonitorSample *sample)
{
    char text[48];
    double lag = watched_lag_s(sample);

    if (lag < 0)
        return;
    int len = snprintf(text, sizeof text, "%.6f", lag);
    json_add_raw(out, "replication_time_lag", text, (size_t) len);
}

/* When the newest poll was over, on the wall clock. */
static int64_t fetched_us(const MonitorSample *sample)
{
    Clock now = clock_now();

    return sample->ok ? sample->answered_wall_us : now.wall_us - (now.boot_us - sample->asked_us);
}

static void add_server(Buf *out, const char *name, const MonitorSample *sample)
{
    json_add_open(out, name, '{');
    json_add_time_us(out, "fetch_time", sample->asked_us != 0 ? fetched_us(sample) : 0);
    json_add_bool(out, "connection", sample->ok);
    if (sample->answered_us != 0) {
        json_add_time_us(out, "db_time", sample->db_time_us);
        json_add_bool(out, "pg_is_in_recovery", sample->in_recovery);
        json_add_time_us(out, "pg_last_xact_replay_timestamp", sample->replayed_us);
        json_add_lsn_or_null(out, "pg_last_xlog_receive_location", sample->receive_lsn);
        json_add_lsn_or_null(out, "pg_last_xlog_replay_location", sample->replay_lsn);
        add_lag(out, sample);
    }
    json_add_close(out, '}');
}

static bool is_unique(const Observer *observer, const Cluster *cluster, const char *name)
{
    for (int i = 0; i < observer->cluster_count; i++) {
        const Cluster *other = observer->cluster[i];
        if (other != cluster && other->config != NULL && config_find_member(other->config, name) >= 0)
            return false;
    }
    return true;
}

static void add_cluster(const Observer *observer, const Cluster *cluster, bool all, Buf *out)
{
    char key[2 * MEMBER_NAME_LEN + 2];

    for (int i = 0; i < cluster->server_count; i++) {
        const char *name = cluster->config->member[i].name;
        const MonitorSample *sample = watched_sample(&cluster->server[i]);
        if (sample == NULL)
            continue;
        if (!all || is_unique(observer, cluster, name))
            snprintf(key, sizeof key, "%.31s", name);
        else
            snprintf(key, sizeof key, "%.31s.%.31s", watched_name(cluster), name);
        add_server(out, key, sample);
    }
}

void lookout_add_state(const Observer *observer, const Cluster *only, Buf *out)
{
    json_add_open(out, NULL, '{');
    for (int i = 0; i < observer->cluster_count; i++)
        if (observer->cluster[i]->config != NULL && (only == NULL || only == observer->cluster[i]))
            add_cluster(observer, observer->cluster[i], only == NULL, out);
    json_add_close(out, '}');
}
