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

static void add_value(const Cluster *cluster, int which, Buf *out)
{
    double value;

    for (int i = 0; i < cluster->server_count; i++) {
        const MonitorSample *sample = watched_sample(&cluster->server[i]);
        if (sample == NULL || sample->since_us == 0 || !values[which].get(cluster, sample, &value))
            continue;
        buf_printf(out, "%s{cluster=\"%s\",member=\"%s\"} %.15g\n", values[which].name, watched_name(cluster),
                   cluster->config->member[i].name, value);
    }
}

/* ---- Of a cluster; -1: nothing is said ---- */

static int sees_primary(const Cluster *cluster)
{
    return cluster->primary >= 0 ? cluster->sees : -1;
}

static const struct {
    const char *name, *help;
    int (*get)(const Cluster *cluster);
} facts[] = {
    {"pgvigil_observer_sees_primary", "The primary that was seen last answers, and is primary.",
     sees_primary},
    {"pgvigil_observer_primaries", "Servers that say that they are primary.", watched_primaries},
};

#define VALUES ((int) (sizeof values / sizeof values[0]))
#define FACTS  ((int) (sizeof facts / sizeof facts[0]))

_Static_assert(VALUES + FACTS + 1 == METRICS_PARTS, "a part for each, and one for the files");

#define BROKEN_NAME "pgvigil_observer_file_broken"
#define BROKEN_HELP "The file cannot be used as it is now. Without a cluster: it never could."

void metrics_begin(int part, Buf *out)
{
    int fact = part - VALUES;
    const char *name = part < VALUES ? values[part].name : fact < FACTS ? facts[fact].name : BROKEN_NAME;
    const char *help = part < VALUES ? values[part].help : fact < FACTS ? facts[fact].help : BROKEN_HELP;

    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* One row for each file, whether or not it ever was of a cluster: nothing else has those that were not. */
static void add_broken(const Cluster *cluster, Buf *out)
{
    buf_puts(out, BROKEN_NAME "{");
    if (cluster->config != NULL)
        buf_printf(out, "cluster=\"%s\",", watched_name(cluster));
    buf_puts(out, "file=\"");
    for (const char *at = cluster->file; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || *at == '\n')
            buf_puts(out, "\\");
        buf_add(out, *at == '\n' ? "n" : at, 1);
    }
    buf_printf(out, "\"} %d\n", cluster->problem != NULL);
}

void metrics_add(const Cluster *cluster, int part, Buf *out)
{
    if (part == VALUES + FACTS) {
        add_broken(cluster, out);
        return;
    }
    if (cluster->config == NULL)
        return;
    if (part < VALUES) {
        add_value(cluster, part, out);
        return;
    }
    int value = facts[part - VALUES].get(cluster);
    if (value >= 0)
        buf_printf(out, "%s{cluster=\"%s\"} %d\n", facts[part - VALUES].name, watched_name(cluster), value);
}

static void add_number(Buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, value);
}

void metrics_close(const Observer *observer, Buf *out)
{
    MonitorStats stats = monitor_stats(observer->monitor);

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
