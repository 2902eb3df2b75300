/*
 * clustermon_look.c: one look at everything there is to see, the decision by it, and who carries that out.
 *
 * What discards data or makes a second primary is decided twice, the second time after everybody was asked
 * once more.
 */
#include "front/clustermon.h"

#include "pg/datadir.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/proc.h"

#include <stdio.h>
#include <string.h>

#define LATE_US       (60 * US_PER_SEC)
#define IDLE_LOOKS    3 /* a standby may connect anew at any time */
#define START_SEEN_US (5 * US_PER_SEC)

/* ---- the data directory ---- */

static bool see(ClustermonLook *look, Err *err)
{
    DatadirKind kind;
    ControlState state;
    PidFile pidfile;
    ClustermonOwed owed;
    uint32_t control_version;
    char path[sizeof look->directory + 32];
    pid_t pid;

    /* Nothing is there, or something else: a container has it elsewhere. */
    if (!clustermon_owed_read(look->cm->config->state_directory, look->directory, &owed, err) ||
        !datadir_kind(look->directory, &kind, err))
        return false;
    look->owed = owed != CLUSTERMON_OWED_NOTHING;
    look->owed_copy = owed == CLUSTERMON_OWED_COPY;
    if (kind != DATADIR_CLUSTER)
        return true;
    look->visible = true;
    if (!datadir_read_control(look->directory, &state, &look->system_identifier, &control_version, err) ||
        !datadir_read_pidfile(look->directory, &pidfile, &look->runs, err))
        return false;
    look->runs = look->runs || proc_list_in(look->directory, &pid, 1) > 0;
    snprintf(path, sizeof path, "%s/standby.signal", look->directory);
    look->is_standby = file_exists(path);
    return true;
}

static void look_work(void *arg)
{
    ClustermonLook *look = arg;
    Err err = {0}; /* a file that is not there can leave a text in it and is no failure */

    look->broken = !see(look, &err);
    if (look->broken)
        str_copy(look->problem, sizeof look->problem, err.text);
}

static void on_look_done(void *arg)
{
    ClustermonLook *look = arg;

    clustermon_look_answered(look->cm);
}

/* ---- facts ---- */

/* Host, port and user, as the old program compared them; a password that changed is no other primary. */
static bool is_followed(const Clustermon *cm, int primary)
{
    ClustermonPlace ours, theirs;
    bool same = clustermon_config_place(cm->peer[cm->config->own]->conninfo, &ours) &&
                clustermon_config_place(cm->config->server[primary].conninfo, &theirs) &&
                strcmp(ours.host, theirs.host) == 0 && ours.port == theirs.port &&
                strcmp(ours.user, theirs.user) == 0;

    explicit_bzero(&ours, sizeof ours);
    explicit_bzero(&theirs, sizeof theirs);
    return same;
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
    for (int i = 0; i < cm->config->servers && primaries == 1; i++) {
        ClustermonPeer *peer = cm->peer[i];
        bool idle = clustermon_poll_is_standby(peer) && !clustermon_poll_streams(peer);
        peer->idle_looks = idle ? peer->idle_looks + 1 : 0;
        peer->node.strayed = peer->idle_looks >= IDLE_LOOKS;
    }
}

/* What others found out, or did, since the last look. */
static void take_look(Clustermon *cm, int64_t now_us)
{
    const ClustermonLook *look = &cm->look;
    static LogLimit limit;
    bool answers = cm->peer[cm->config->own]->node.connected;

    if (look->broken) {
        log_limited(&limit, LOG_LEVEL_ERROR, "data_directory_unknown", "reason=\"%s\"", look->problem);
        cm->local = CLUSTERMON_UNKNOWN;
    } else if (cm->local == CLUSTERMON_DOWN && look->visible && look->runs) {
        cm->local = CLUSTERMON_UNKNOWN;
    }
    keep_time(&cm->down_us, cm->local == CLUSTERMON_DOWN && !answers, now_us);
    if (answers)
        cm->unsaved = false;
    /* A server that answers is whole, and so is a copy that has its control file, which comes last. */
    if (cm->doing == NULL && look->owed && (answers || (look->owed_copy && look->visible))) {
        cm->look.owed = false;
        clustermon_owed_forget(cm);
    }
}

static void decide(Clustermon *cm, bool confirmed, ClustermonVerdict *ret_verdict)
{
    const ClustermonConfig *config = cm->config;
    const ClustermonLook *look = &cm->look;
    ClustermonNode nodes[CLUSTERMON_CONFIG_NODES];
    int64_t now_us = clock_now().boot_us;
    int primary = -1;

    take_look(cm, now_us);
    count(cm, now_us, &primary);
    for (int i = 0; i < config->servers; i++)
        nodes[i] = cm->peer[i]->node;
    if (look->visible)
        nodes[config->own].system_identifier = look->system_identifier;
    ClustermonFacts facts = {.now_us = now_us,
                             .node = nodes,
                             .nodes = config->servers,
                             .own = config->own,
                             .local = cm->local,
                             .files = !look->visible     ? CLUSTERMON_FILES_UNSEEN
                                      : look->is_standby ? CLUSTERMON_FILES_STANDBY
                                                         : CLUSTERMON_FILES_PRIMARY,
                             .clone_owed = look->owed,
                             .network = cm->network,
                             .busy = cm->doing != NULL || now_us < cm->again_us,
                             .had_primary = cm->had_primary,
                             .follows = primary >= 0 && is_followed(cm, primary),
                             .may_discard = (look->visible && !cm->unsaved) || config->discard_unsaved,
                             .confirmed = confirmed,
                             .no_primary_us = cm->no_primary_us,
                             .several_us = cm->several_us,
                             .down_us = cm->down_us,
                             .streaming = (int) cm->peer[config->own]->streaming,
                             .failover_us = config->failover_us,
                             .downgrade_us = config->downgrade_us};
    clustermon_decide(&facts, ret_verdict);
    cm->decided_us = now_us;
}

/* ---- what follows ---- */

static void tell(Clustermon *cm, const ClustermonVerdict *verdict)
{
    const ClustermonPeer *own = cm->peer[cm->config->own];
    bool idle = clustermon_poll_is_standby(own) && !clustermon_poll_streams(own);
    bool is_alone =
        verdict->standbys == 0 || (own->node.connected && !own->node.in_recovery && own->streaming == 0);
    const char *alert = verdict->primaries > 1    ? "several_primaries"
                        : verdict->primaries == 0 ? "no_primary"
                        : is_alone                ? "no_standby"
                        : idle                    ? "not_streaming"
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

/* Once: a value on the server's command line wins over what is set. */
static void set_names(Clustermon *cm, const char *names)
{
    const char *are = cm->peer[cm->config->own]->names;
    static LogLimit limit;

    if (strcmp(are, names) == 0)
        str_copy(cm->names_set, sizeof cm->names_set, "-");
    else if (strcmp(cm->names_set, names) != 0)
        clustermon_act_names(cm, names);
    else
        log_limited(&limit, LOG_LEVEL_ERROR, "names_overridden",
                    "synchronous_standby_names were set to \"%s\" and are \"%s\": is there a value on the "
                    "server's command line?",
                    names, are);
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
    if (cm->slot_owed || cm->checkpoint_owed)
        clustermon_act_settle(cm);
    else
        set_names(cm, names);
}

/* A start command may hang although the server runs: it is held up no longer than this. */
static void see_start(Clustermon *cm)
{
    int64_t now_us = clock_now().boot_us;
    bool seen = cm->command != NULL && cm->command_name == CLUSTERMON_CMD_START &&
                cm->peer[cm->config->own]->node.connected;

    keep_time(&cm->start_seen_us, seen, now_us);
    if (seen && now_us - cm->start_seen_us >= START_SEEN_US)
        clustermon_command_is_done(cm);
}

void clustermon_look_answered(Clustermon *cm)
{
    ClustermonVerdict verdict;
    bool confirming = cm->confirming;

    if (--cm->pending > 0 || cm->ending)
        return;
    bool looked = cm->looking;
    cm->looking = cm->confirming = false;
    if (!looked)
        return;
    see_start(cm);
    decide(cm, confirming, &verdict);
    tell(cm, &verdict);
    carry_out(cm, &verdict);
}

void clustermon_look_begin(Clustermon *cm, bool confirming)
{
    if (cm->ending || cm->pending > 0)
        return;
    cm->looking = true;
    cm->looked_us = clock_now().boot_us;
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

/* A disk that hangs holds a look up for ever: nothing is decided then, and it is said. */
void clustermon_look_on_time(void *arg)
{
    Clustermon *cm = arg;
    static LogLimit limit;

    if (cm->looking && clock_now().boot_us - cm->looked_us > LATE_US)
        log_limited(
            &limit, LOG_LEVEL_ERROR, "look_late",
            "not everything has answered, and nothing is decided: pg_data_path may be on a disk that hangs");
    clustermon_look_begin(cm, false);
}
