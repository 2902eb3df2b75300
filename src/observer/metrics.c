/*
 * metrics.c: the observer's /metrics, for Prometheus.
 */
#include "observer/internal.h"

#include "sys/clock.h"

#include <inttypes.h>

typedef bool ValueFn(const Cluster *cluster, const MonitorSample *sample, double *ret_value);

static bool get_up(const Cluster *cluster, const MonitorSample *sample, double *ret_value)
{
    (void) cluster;
    *ret_value = sample->ok;
    return true;
}

static bool get_standby(const Cluster *cluster, const MonitorSample *sample, double *ret_value)
{
    (void) cluster;
    *ret_value = sample->in_recovery;
    return sample->ok;
}

static bool get_position(const Cluster *cluster, const MonitorSample *sample, double *ret_value)
{
    (void) cluster;
    *ret_value = (double) (sample->in_recovery ? sample->replay_lsn : sample->lsn);
    return sample->ok;
}

static bool get_lag_bytes(const Cluster *cluster, const MonitorSample *sample, double *ret_value)
{
    *ret_value = (double) watched_lag_bytes(cluster, sample);
    return *ret_value >= 0;
}

static bool get_lag_s(const Cluster *cluster, const MonitorSample *sample, double *ret_value)
{
    (void) cluster;
    *ret_value = watched_lag_s(sample);
    return *ret_value >= 0;
}

static const struct {
    const char *name, *help;
    ValueFn *get;
} values[] = {
    {"pgvigil_observer_up", "The server answered the newest poll.", get_up},
    {"pgvigil_observer_standby", "It is in recovery.", get_standby},
    {"pgvigil_observer_wal_bytes", "Position in the WAL: a primary's flushed, a standby's replayed.",
     get_position},
    {"pgvigil_observer_lag_bytes", "WAL that the primary has flushed and this standby not replayed.",
     get_lag_bytes},
    {"pgvigil_observer_lag_seconds", "Age of the last transaction that this standby replayed.", get_lag_s},
};

static void add_value(const Observer *observer, size_t which, Buf *out)
{
    double value;

    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", values[which].name, values[which].help,
               values[which].name);
    for (int i = 0; i < observer->cluster_count; i++) {
        const Cluster *cluster = observer->cluster[i];
        for (int j = 0; j < cluster->server_count; j++) {
            const MonitorSample *sample = watched_sample(&cluster->server[j]);
            if (sample == NULL || sample->since_us == 0 || !values[which].get(cluster, sample, &value))
                continue;
            buf_printf(out, "%s{cluster=\"%s\",member=\"%s\"} %.15g\n", values[which].name,
                       watched_name(cluster), cluster->config->member[j].name, value);
        }
    }
}

static void add_number(Buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, value);
}

static void add_clusters(const Observer *observer, Buf *out)
{
    static const char sees[] = "pgvigil_observer_sees_primary", broken[] = "pgvigil_observer_file_broken";
    static const char primaries[] = "pgvigil_observer_primaries";

    buf_printf(out, "# HELP %s The primary that was seen last answers, and is primary.\n# TYPE %s gauge\n",
               sees, sees);
    for (int i = 0; i < observer->cluster_count; i++)
        if (observer->cluster[i]->primary >= 0)
            buf_printf(out, "%s{cluster=\"%s\"} %d\n", sees, watched_name(observer->cluster[i]),
                       observer->cluster[i]->sees);
    buf_printf(out, "# HELP %s Servers that say that they are primary.\n# TYPE %s gauge\n", primaries,
               primaries);
    for (int i = 0; i < observer->cluster_count; i++)
        if (observer->cluster[i]->config != NULL)
            buf_printf(out, "%s{cluster=\"%s\"} %d\n", primaries, watched_name(observer->cluster[i]),
                       watched_primaries(observer->cluster[i]));
    buf_printf(out, "# HELP %s The cluster's file cannot be used as it is now.\n# TYPE %s gauge\n", broken,
               broken);
    for (int i = 0; i < observer->cluster_count; i++)
        if (observer->cluster[i]->config != NULL)
            buf_printf(out, "%s{cluster=\"%s\"} %d\n", broken, watched_name(observer->cluster[i]),
                       observer->cluster[i]->problem != NULL);
}

void metrics_add(const Observer *observer, Buf *out)
{
    MonitorStats stats = monitor_stats(observer->monitor);

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        add_value(observer, i, out);
    add_clusters(observer, out);
    add_number(out, "pgvigil_observer_clusters", "gauge", "Files of the folder.",
               (uint64_t) observer->cluster_count);
    add_number(out, "pgvigil_observer_servers", "gauge", "Servers that are polled.", stats.servers);
    add_number(out, "pgvigil_observer_polls_total", "counter", "Polls that are over.", stats.polls);
    add_number(out, "pgvigil_observer_polls_failed_total", "counter", "Of these, those without an answer.",
               stats.failed);
    add_number(out, "pgvigil_observer_polls_missed_total", "counter",
               "Polls left out because the one before was still under way.", stats.missed);
    add_number(out, "pgvigil_observer_connects_total", "counter", "Connections that were begun.",
               stats.connects);
}
