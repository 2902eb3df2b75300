/*
 * clustermon_look.c: one look at everything there is to see, the decision by it, and who carries that out.
 *
 * What discards data or makes a second primary is decided twice, the second time after everybody was asked
 * once more.
 */
#include "front/clustermon.h"

#include "pg/conninfo.h"
#include "pg/datadir.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <stdio.h>
#include <string.h>

/* ---- the data directory ---- */

static void look_work(void *arg)
{
    ClustermonLook *look = arg;
    DatadirKind kind;
    ControlState state;
    PidFile pidfile;
    uint32_t control_version;
    char path[sizeof look->directory + 32];
    Err err = {0};

    look->visible =
        datadir_kind(look->directory, &kind, &err) && kind == DATADIR_CLUSTER &&
        datadir_read_control(look->directory, &state, &look->system_identifier, &control_version, &err) &&
        datadir_read_pidfile(look->directory, &pidfile, &look->runs, &err);
    snprintf(path, sizeof path, "%s/standby.signal", look->directory);
    look->is_standby = file_exists(path);
}

static void on_look_done(void *arg)
{
    ClustermonLook *look = arg;

    clustermon_look_answered(look->cm);
}

/* ---- facts ---- */

typedef struct Place {
    char host[256], port[16], user[128];
} Place;

static void take_place(void *arg, const char *keyword, const char *value)
{
    Place *place = arg;

    if (strcmp(keyword, "host") == 0)
        str_copy(place->host, sizeof place->host, value);
    else if (strcmp(keyword, "port") == 0)
        str_copy(place->port, sizeof place->port, value);
    else if (strcmp(keyword, "user") == 0)
        str_copy(place->user, sizeof place->user, value);
}

/* Host, port and user, as the old program compared them; a password that changed is no other primary. */
static bool is_followed(const Clustermon *cm, int primary)
{
    Place ours = {.port = "5432"}, theirs = {.port = "5432"};

    return conninfo_each(cm->peer[cm->config->own]->conninfo, take_place, &ours) &&
           conninfo_each(cm->config->server[primary].conninfo, take_place, &theirs) &&
           strcmp(ours.host, theirs.host) == 0 && strcmp(ours.port, theirs.port) == 0 &&
           strcmp(ours.user, theirs.user) == 0;
}

static void keep_time(int64_t *since_us, bool is_so, int64_t now_us)
{
    if (!is_so)
        *since_us = 0;
    else if (*since_us == 0)
        *since_us = now_us;
}

static void count(Clustermon *cm, int64_t now_us, int *ret_primary)
{
    int primaries = 0;

    for (int i = 0; i < cm->config->servers; i++) {
        const ClustermonNode *node = &cm->peer[i]->node;
        if (!node->connected || node->in_recovery)
            continue;
        primaries++;
        *ret_primary = i;
    }
    cm->had_primary = cm->had_primary || primaries > 0;
    keep_time(&cm->no_primary_us, primaries == 0, now_us);
    keep_time(&cm->several_us, primaries > 1, now_us);
    if (primaries != 1)
        *ret_primary = -1;
}

static void decide(Clustermon *cm, bool confirmed, ClustermonVerdict *ret_verdict)
{
    const ClustermonConfig *config = cm->config;
    const ClustermonLook *look = &cm->look;
    ClustermonNode nodes[CLUSTERMON_CONFIG_NODES];
    int64_t now_us = clock_now().boot_us;
    int primary = -1;

    count(cm, now_us, &primary);
    for (int i = 0; i < config->servers; i++)
        nodes[i] = cm->peer[i]->node;
    if (look->visible)
        nodes[config->own].system_identifier = look->system_identifier;
    ClustermonFacts facts = {
        .now_us = now_us,
        .node = nodes,
        .nodes = config->servers,
        .own = config->own,
        .local = cm->local == CLUSTERMON_DOWN && look->visible && look->runs ? CLUSTERMON_UNKNOWN : cm->local,
        .files = !look->visible     ? CLUSTERMON_FILES_UNSEEN
                 : look->is_standby ? CLUSTERMON_FILES_STANDBY
                                    : CLUSTERMON_FILES_PRIMARY,
        .clone_owed = cm->clone_owed,
        .network = cm->network,
        .busy = cm->doing != NULL,
        .had_primary = cm->had_primary,
        .follows = primary >= 0 && is_followed(cm, primary),
        .may_discard = look->visible || config->discard_unsaved,
        .confirmed = confirmed,
        .no_primary_us = cm->no_primary_us,
        .several_us = cm->several_us,
        .streaming = (int) cm->peer[config->own]->streaming,
        .failover_us = config->failover_us,
        .downgrade_us = config->downgrade_us};
    clustermon_decide(&facts, ret_verdict);
}

/* ---- what follows ---- */

static void tell(Clustermon *cm, const ClustermonVerdict *verdict)
{
    const char *alert = verdict->primaries > 1    ? "several_primaries"
                        : verdict->primaries == 0 ? "no_primary"
                        : verdict->standbys == 0  ? "no_standby"
                                                  : "";

    if (strcmp(alert, cm->told_alert) != 0) {
        if (cm->told_alert[0] != '\0')
            log_line(LOG_LEVEL_INFO, "alert", "name=%s is=off", cm->told_alert);
        if (alert[0] != '\0')
            log_line(LOG_LEVEL_WARN, "alert", "name=%s is=on primaries=%d standbys=%d", alert,
                     verdict->primaries, verdict->standbys);
        str_copy(cm->told_alert, sizeof cm->told_alert, alert);
    }
    if (strcmp(verdict->rule, cm->told_rule) == 0)
        return;
    str_copy(cm->told_rule, sizeof cm->told_rule, verdict->rule);
    log_line(LOG_LEVEL_INFO, "decision", "rule=%s primary=%s text=\"%s\"", verdict->rule,
             verdict->primary >= 0 ? cm->config->server[verdict->primary].name : "-", verdict->text);
}

static void carry_out(Clustermon *cm, const ClustermonVerdict *verdict)
{
    const char *names = verdict->names == CLUSTERMON_NAMES_ALL ? "*" : "";

    switch (verdict->move) {
    case CLUSTERMON_NONE: break;
    case CLUSTERMON_LOOK_AGAIN: clustermon_look_begin(cm, true); return;
    case CLUSTERMON_START: clustermon_act_start(cm); return;
    case CLUSTERMON_PROMOTE: clustermon_act_promote(cm); return;
    case CLUSTERMON_FOLLOW: clustermon_act_follow(cm, verdict->primary); return;
    case CLUSTERMON_DOWNGRADE:
    case CLUSTERMON_REJOIN:
    case CLUSTERMON_CLONE: clustermon_downgrade_begin(cm, verdict->move, verdict->primary); return;
    }
    if (verdict->names == CLUSTERMON_NAMES_KEEP || cm->doing != NULL)
        return;
    if (cm->settle_owed)
        clustermon_act_settle(cm);
    else if (strcmp(cm->peer[cm->config->own]->names, names) != 0)
        clustermon_act_names(cm, names);
}

void clustermon_look_answered(Clustermon *cm)
{
    ClustermonVerdict verdict;
    bool confirming = cm->confirming;

    if (--cm->pending > 0 || cm->ending)
        return;
    bool looked = cm->looking;
    cm->looking = cm->confirming = false;
    if (cm->again) {
        cm->again = false;
        clustermon_look_begin(cm, true);
        return;
    }
    if (!looked)
        return;
    decide(cm, confirming, &verdict);
    tell(cm, &verdict);
    carry_out(cm, &verdict);
}

void clustermon_look_begin(Clustermon *cm, bool confirming)
{
    if (cm->ending)
        return;
    if (cm->looking || cm->pending > 0) {
        cm->again = cm->again || confirming;
        return;
    }
    cm->looking = true;
    cm->confirming = confirming;
    cm->pending++; /* ours, so that no answer ends the look before all are asked */
    cm->look = (ClustermonLook){.cm = cm};
    str_copy(cm->look.directory, sizeof cm->look.directory, cm->config->data_path);
    cm->pending++;
    loop_work(&cm->loop, look_work, on_look_done, &cm->look);
    clustermon_command_ask(cm);
    for (int i = 0; i < cm->config->servers; i++)
        clustermon_poll_ask(cm->peer[i]);
    clustermon_look_answered(cm);
}

void clustermon_look_on_time(void *arg)
{
    clustermon_look_begin(arg, false);
}
