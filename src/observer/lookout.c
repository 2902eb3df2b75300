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
#include <stdlib.h>
#include <string.h>

/* When the newest poll was over, on the wall clock. */
static int64_t fetched_us(const MonitorSample *sample)
{
    Clock now = clock_now();

    return sample->ok ? sample->answered_wall_us : now.wall_us - (now.boot_us - sample->asked_us);
}

static void add_server(Buf *out, const char *name, const MonitorSample *sample,
                       const MonitorReplication *replication)
{
    json_add_open(out, name, '{');
    json_add_time_us(out, "fetch_time", sample->asked_us != 0 ? fetched_us(sample) : 0);
    json_add_bool(out, "connection", sample->ok);
    if (sample->answered_us != 0) {
        json_add_time_us(out, "db_time", sample->db_time_us);
        json_add_bool(out, "pg_is_in_recovery", sample->in_recovery);
        json_add_time_us(out, "pg_last_xact_replay_timestamp", sample->replayed_us);
        json_add_lsn_or_null(out, "pg_last_xlog_receive_location", sample->receive_lsn);
        /* A primary's is its own position, as there. */
        json_add_lsn_or_null(out, "pg_last_xlog_replay_location",
                             sample->in_recovery ? sample->replay_lsn : sample->lsn);
        json_add_replication(out, replication->lag_us, replication->min_lag_us, replication->since_us);
    }
    json_add_close(out, '}');
}

/* ---- Names that several clusters use ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void mark_unique(const Observer *observer, const char **name, size_t count)
{
    qsort(name, count, sizeof *name, compare);
    for (int i = 0; i < observer->cluster_count; i++)
        for (int j = 0; j < observer->cluster[i]->server_count; j++) {
            const char *own = observer->cluster[i]->config->member[j].name;
            const char **at = bsearch(&own, name, count, sizeof *name, compare);
            bool before = at > name && strcmp(at[-1], own) == 0;
            observer->cluster[i]->server[j].shared =
                before || (at + 1 < name + count && strcmp(at[1], own) == 0);
        }
}

void lookout_find_shared(Observer *observer)
{
    size_t count = 0;

    for (int i = 0; i < observer->cluster_count; i++)
        count += (size_t) observer->cluster[i]->server_count;
    const char **name = calloc(count + 1, sizeof *name);
    if (name == NULL)
        abort();
    count = 0;
    for (int i = 0; i < observer->cluster_count; i++)
        for (int j = 0; j < observer->cluster[i]->server_count; j++)
            name[count++] = observer->cluster[i]->config->member[j].name;
    mark_unique(observer, name, count);
    free(name);
}

void lookout_add(const Cluster *cluster, bool all, Buf *out)
{
    char key[2 * MEMBER_NAME_LEN + 2];

    for (int i = 0; i < cluster->server_count; i++) {
        const char *name = cluster->config->member[i].name;
        const Server *server = &cluster->server[i];
        const MonitorSample *sample = watched_sample(server);
        if (sample == NULL)
            continue;
        if (!all || !server->shared)
            snprintf(key, sizeof key, "%.31s", name);
        else
            snprintf(key, sizeof key, "%.31s.%.31s", watched_name(cluster), name);
        add_server(out, key, sample, monitor_replication(cluster->observer->monitor, server->id));
    }
}

void lookout_add_all(const Cluster *cluster, int part, Buf *out)
{
    (void) part;
    lookout_add(cluster, true, out);
}

void lookout_open(const Observer *observer, Buf *out)
{
    (void) observer;
    json_add_open(out, NULL, '{');
}

void lookout_close(const Observer *observer, Buf *out)
{
    (void) observer;
    json_add_close(out, '}');
}
