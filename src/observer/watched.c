/*
 * watched.c: one cluster's servers, which of them was last seen as primary, and whether it is seen now.
 */
#include "observer/internal.h"

#include "pg/conninfo.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *watched_name(const Cluster *cluster)
{
    return cluster->config != NULL ? cluster->config->cluster.name : "-";
}

Cluster *watched_find(const Observer *observer, const char *name)
{
    for (int i = 0; i < observer->cluster_count; i++)
        if (observer->cluster[i]->config != NULL && strcmp(watched_name(observer->cluster[i]), name) == 0)
            return observer->cluster[i];
    return NULL;
}

const MonitorSample *watched_sample(const Server *server)
{
    return server->id >= 0 ? monitor_sample(server->cluster->observer->monitor, server->id) : NULL;
}

static bool is_primary(const MonitorSample *sample)
{
    return sample != NULL && sample->ok && !sample->in_recovery;
}

int watched_primaries(const Cluster *cluster)
{
    int count = 0;

    for (int i = 0; i < cluster->server_count; i++)
        count += is_primary(watched_sample(&cluster->server[i]));
    return count;
}

void watched_add_primaries(const Cluster *cluster, Buf *out)
{
    const char *between = "";

    for (int i = 0; i < cluster->server_count; i++)
        if (is_primary(watched_sample(&cluster->server[i]))) {
            buf_printf(out, "%s%s", between, cluster->config->member[i].name);
            between = ", ";
        }
}

void watched_add_problem(const Server *server, const MonitorSample *sample, Buf *out)
{
    const char *passfile = server->cluster->config->postgresql.passfile;

    buf_puts(out, sample->problem);
    /* Without an SQLSTATE it is libpq that has no password; it does not say why. */
    if (sample->trouble == MONITOR_AUTHENTICATION && sample->sqlstate[0] == '\0')
        buf_printf(out, "; [postgresql] passfile: %s has to be there with a line for this server, mode 0600",
                   passfile != NULL ? passfile : "none is set, and the user's own ~/.pgpass");
}

double watched_lag_s(const MonitorSample *sample)
{
    if (!sample->ok || !sample->in_recovery || sample->replayed_us == 0)
        return -1;
    /* By two clocks: one that is behind must not hide a lag. As monitor_replication_update has it. */
    return (double) llabs(sample->db_time_us - sample->replayed_us) / (double) US_PER_SEC;
}

int64_t watched_lag_bytes(const Cluster *cluster, const MonitorSample *sample)
{
    const MonitorSample *primary =
        cluster->primary >= 0 ? watched_sample(&cluster->server[cluster->primary]) : NULL;

    if (!is_primary(primary) || !sample->ok || !sample->in_recovery || sample->replay_lsn == LSN_NONE)
        return -1;
    return primary->lsn > sample->replay_lsn ? (int64_t) (primary->lsn - sample->replay_lsn) : 0;
}

/* ---- What is seen ---- */

static void set_seen(Cluster *cluster, int primary, bool sees)
{
    const MonitorSample *sample = primary >= 0 ? watched_sample(&cluster->server[primary]) : NULL;
    char quoted[2 * MONITOR_PROBLEM_LEN];

    if (cluster->primary == primary && cluster->sees == sees)
        return;
    cluster->primary = primary;
    cluster->sees = sees;
    cluster->sees_since_us = clock_now().boot_us;
    cluster->told_us = 0;
    if (sees)
        log_line(LOG_LEVEL_INFO, "primary_seen", "cluster=%s primary=%s", watched_name(cluster),
                 cluster->config->member[primary].name);
    else if (primary >= 0)
        log_line(LOG_LEVEL_WARN, "primary_lost", "cluster=%s primary=%s reason=%s", watched_name(cluster),
                 cluster->config->member[primary].name,
                 log_quote(sample != NULL && sample->ok ? "it is a standby now"
                           : sample != NULL             ? sample->problem
                                                        : NULL,
                           quoted, sizeof quoted));
    agents_tell(cluster);
}

/* The newest timeline's, where several say that they are. */
static void look(Cluster *cluster)
{
    const MonitorSample *known =
        cluster->primary >= 0 ? watched_sample(&cluster->server[cluster->primary]) : NULL;
    int best = is_primary(known) ? cluster->primary : -1;
    bool unasked = known != NULL && known->since_us == 0; /* nothing is known of it, which is no loss */

    for (int i = 0; i < cluster->server_count; i++) {
        const MonitorSample *sample = watched_sample(&cluster->server[i]);
        if (is_primary(sample) &&
            (best < 0 || sample->timeline > watched_sample(&cluster->server[best])->timeline))
            best = i;
    }
    if (best >= 0)
        set_seen(cluster, best, true);
    else if (cluster->primary >= 0 && !unasked)
        set_seen(cluster, cluster->primary, false);
}

/* Of the primary set_seen tells. */
static void note_server(Server *server, const MonitorSample *sample)
{
    const Cluster *cluster = server->cluster;
    const char *name = cluster->config->member[server->member].name;
    char quoted[3 * MONITOR_PROBLEM_LEN];
    Buf problem = {0};

    if (server->lost == !sample->ok)
        return;
    server->lost = !sample->ok;
    if (server->member == cluster->primary)
        return;
    if (sample->ok) {
        log_line(LOG_LEVEL_INFO, "server_seen", "cluster=%s member=%s role=%s", watched_name(cluster), name,
                 sample->in_recovery ? "standby" : "primary");
        return;
    }
    watched_add_problem(server, sample, &problem);
    log_line(LOG_LEVEL_WARN, "server_lost", "cluster=%s member=%s reason=%s", watched_name(cluster), name,
             log_quote(problem.data, quoted, sizeof quoted));
    buf_done(&problem);
}

/* At a switchover it looks so for a moment, since what each has said is up to an interval old. */
static void note_doubled(Cluster *cluster)
{
    int64_t now_us = clock_now().boot_us;
    int64_t settle_us = 2 * (int64_t) cluster->observer->config->observer.interval_ms * US_PER_MS;
    Buf names = {0};

    if (watched_primaries(cluster) < 2) {
        if (cluster->doubled_logged)
            log_line(LOG_LEVEL_INFO, "primaries_single", "cluster=%s", watched_name(cluster));
        cluster->doubled_us = 0;
        cluster->doubled_logged = false;
        return;
    }
    if (cluster->doubled_us == 0)
        cluster->doubled_us = now_us;
    if (cluster->doubled_logged || now_us - cluster->doubled_us < settle_us)
        return;
    cluster->doubled_logged = true;
    watched_add_primaries(cluster, &names);
    log_line(LOG_LEVEL_ERROR, "primaries_doubled", "cluster=%s primaries=\"%s\" each says that it is primary",
             watched_name(cluster), names.data);
    buf_done(&names);
}

void watched_on_sample(void *arg, int id, void *tag, const MonitorSample *sample)
{
    Server *server = tag;

    (void) arg;
    (void) id;
    note_server(server, sample);
    look(server->cluster);
    note_doubled(server->cluster);
}

/* ---- The configuration ---- */

static void forget_servers(Cluster *cluster)
{
    for (int i = 0; i < cluster->server_count; i++)
        if (cluster->server[i].id >= 0)
            monitor_remove(cluster->observer->monitor, cluster->server[i].id);
    cluster->server_count = 0;
}

static bool write_conninfo(const Config *config, const ConfigMember *member, char *ret_text, size_t size)
{
    char port[8];

    ret_text[0] = '\0';
    snprintf(port, sizeof port, "%u", (unsigned) member->port);
    return conninfo_add(ret_text, size, "host", member->host) && conninfo_add(ret_text, size, "port", port) &&
           conninfo_add(ret_text, size, "user", config->postgresql.user) &&
           conninfo_add(ret_text, size, "dbname", config->postgresql.database) &&
           (config->postgresql.passfile == NULL ||
            conninfo_add(ret_text, size, "passfile", config->postgresql.passfile));
}

static void watch_member(Cluster *cluster, int member)
{
    const Config *config = cluster->config, *own = cluster->observer->config;
    char conninfo[CONNINFO_LEN];
    Server *server = &cluster->server[cluster->server_count++];
    MonitorTarget target = {.name = config->member[member].name,
                            .conninfo = conninfo,
                            .interval_ms = own->observer.interval_ms,
                            .timeout_ms = own->observer.timeout_ms,
                            .heartbeat = own->observer.heartbeat};
    Err err = {0};

    *server = (Server){.cluster = cluster, .member = member, .id = -1};
    if (config->member[member].role == MEMBER_ROLE_WITNESS)
        return;
    if (write_conninfo(config, &config->member[member], conninfo, sizeof conninfo))
        server->id = monitor_add(cluster->observer->monitor, &target, server, &err);
    else
        err_set(&err, ERR_CONFIG, "its connection string is longer than %d bytes", CONNINFO_LEN);
    if (server->id < 0)
        log_line(LOG_LEVEL_ERROR, "server_not_observed", "cluster=%s member=%s reason=\"%s\"",
                 watched_name(cluster), target.name, err.text);
}

void watched_set(Cluster *cluster)
{
    const Config *own = cluster->observer->config;

    for (int i = 0; i < cluster->server_count; i++)
        if (cluster->server[i].id >= 0)
            monitor_set(cluster->observer->monitor, cluster->server[i].id, own->observer.interval_ms,
                        own->observer.timeout_ms, own->observer.heartbeat);
}

void watched_take(Cluster *cluster, Config *config)
{
    static const ConfigDiff nothing;
    char primary[MEMBER_NAME_LEN] = "";
    bool is_new = cluster->config == NULL;

    if (!is_new && config_reload_diff(cluster->config, config, &nothing) == 0) {
        config_free(config); /* read anew, and the same: connections and what is known stay */
        return;
    }
    if (cluster->primary >= 0)
        snprintf(primary, sizeof primary, "%s", cluster->config->member[cluster->primary].name);
    cluster->doubled_us = 0;
    cluster->doubled_logged = false;
    agents_close(cluster);
    forget_servers(cluster);
    config_free(cluster->config);
    cluster->config = config;
    cluster->primary = primary[0] != '\0' ? config_find_member(config, primary) : -1;
    if (cluster->primary < 0)
        cluster->sees = false;
    for (int i = 0; i < config->member_count; i++)
        watch_member(cluster, i);
    agents_open(cluster);
    log_line(LOG_LEVEL_INFO, is_new ? "cluster_added" : "cluster_changed", "file=%s cluster=%s members=%d",
             cluster->file, watched_name(cluster), config->member_count);
}

void watched_free(Cluster *cluster)
{
    if (cluster->file != NULL) {
        agents_close(cluster);
        forget_servers(cluster);
        config_free(cluster->config);
        free(cluster->file);
        free(cluster->problem);
        free(cluster->warning);
        cluster->config = NULL;
        cluster->file = cluster->problem = cluster->warning = NULL;
    }
    cluster->gone = true;
    if (!cluster->asking)
        free(cluster);
}
