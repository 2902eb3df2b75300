/*
 * clustermon.c: pg_cluster_monitor: start, signals, end.
 *
 * What is under way when it ends: a start and a promotion go on, since they must not stop half-way; a rewind
 * and a copy end, and are begun anew by the next start.
 */
#include "front/clustermon.h"

#include "front/front.h"
#include "pg/conninfo.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define NAME         "pg_cluster_monitor"
#define TELL_US      (60 * US_PER_SEC)
#define STOP_US      (3 * US_PER_SEC) /* for a command to end in order */
#define STOP_LOOK_US (100 * US_PER_MS)

const ArgsOption clustermon_options[] = {
    {"config", "FILE", false, "config.ini; else the one in the working directory"},
    {"check", NULL, false, "only say whether the file is in order"},
    {NULL},
};

static void on_signal(uv_signal_t *handle, int number)
{
    if (number == SIGHUP) {
        log_line(LOG_LEVEL_WARN, "signal", "signal=HUP a changed config.ini is taken in by a restart");
        return;
    }
    log_line(LOG_LEVEL_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
    uv_stop(handle->loop);
}

/* Every wait shows that it goes on. */
static void on_tell(void *arg)
{
    const Clustermon *cm = arg;

    if (cm->doing != NULL && clock_now().boot_us - cm->doing_us >= TELL_US)
        log_line(LOG_LEVEL_INFO, "under_way", "doing=\"%s\" for=%llds", cm->doing,
                 (long long) ((clock_now().boot_us - cm->doing_us) / US_PER_SEC));
}

static void mask_passwords(Clustermon *cm)
{
    for (int i = 0; i < cm->config->servers; i++) {
        ClustermonPlace place;
        clustermon_config_place(cm->config->server[i].conninfo, &place);
        cm->secrets[i] = strdup(place.password);
        mask_add(&cm->mask, cm->secrets[i]);
        explicit_bzero(&place, sizeof place);
    }
}

static void share_keyword(void *arg, const char *keyword, const char *value)
{
    static const char *const names[][2] = {{"sslmode", "PGSSLMODE"},
                                           {"sslrootcert", "PGSSLROOTCERT"},
                                           {"sslcert", "PGSSLCERT"},
                                           {"sslkey", "PGSSLKEY"}};

    (void) arg;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(keyword, names[i][0]) == 0)
            setenv(names[i][1], value, 0);
}

/*
 * What asks the primary for the saving of WAL takes host, port, user and passfile: the rest as libpq's
 * default. Before there is a second thread.
 */
static void share_encryption(const ClustermonConfig *config)
{
    for (int i = 0; i < config->servers; i++)
        if (i != config->own)
            conninfo_each(config->server[i].conninfo, share_keyword, NULL);
}

static void say(const char *warnings)
{
    char line[300], text[620];

    for (const char *at = warnings; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int) len, at);
        log_line(LOG_LEVEL_WARN, "configuration", "problem=%s", log_quote(line, text, sizeof text));
        at += len + (at[len] != '\0');
    }
}

static bool start(Clustermon *cm, Err *err)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    Buf warnings = {0};

    cm->config = clustermon_config_load(cm->config_path, &warnings, err);
    if (cm->config == NULL) {
        buf_done(&warnings);
        return false;
    }
    log_open(cm->config->log_level, LOG_FORMAT_PLAIN);
    say(warnings.data);
    buf_done(&warnings);
    mask_passwords(cm);
    if (!dir_make(cm->config->state_directory, 0700, err))
        return err_context(err, "[pgvigil] state_directory");
    cm->network = true;
    cm->slot_owed = cm->config->slot[0] != '\0';
    str_copy(cm->names_set, sizeof cm->names_set, "-");
    share_encryption(cm->config);
    if (!clustermon_http_start(cm, err))
        return false;
    clustermon_poll_new(cm);
    cm->admin = conn_new(&cm->loop);
    loop_timer_init(&cm->scan_timer, &cm->loop, clustermon_look_on_time, cm);
    loop_timer_init(&cm->wait_timer, &cm->loop, clustermon_act_on_wait, cm);
    loop_timer_init(&cm->tell_timer, &cm->loop, on_tell, cm);
    loop_timer_start(&cm->tell_timer, TELL_US, TELL_US);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&cm->loop, &cm->signals[i]);
        cm->signals[i].data = cm;
        uv_signal_start(&cm->signals[i], on_signal, numbers[i]);
    }
    log_line(LOG_LEVEL_INFO, "started", "node=%s nodes=%d listen=%s:%lld", cm->config->own_name,
             cm->config->servers, cm->config->address, (long long) cm->config->port);
#ifdef HAVE_SYSTEMD
    sd_notify(0, "READY=1");
#endif
    loop_timer_start(&cm->scan_timer, 0, cm->config->scan_us);
    return true;
}

static void stop(Clustermon *cm)
{
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    cm->ending = true;
    loop_timer_stop(&cm->scan_timer);
    clustermon_downgrade_done(cm);
    clustermon_sql_free(cm->sql);
    conn_free(cm->admin);
    clustermon_command_stop(cm, false);
    loop_timer_start(&cm->wait_timer, 0, STOP_LOOK_US);
    for (int64_t until_us = clock_now().boot_us + STOP_US;
         cm->command != NULL && clock_now().boot_us < until_us;)
        uv_run(&cm->loop, UV_RUN_ONCE);
    clustermon_command_stop(cm, true);
    http_server_stop(cm->http);
    clustermon_poll_done(cm);
    for (int i = 0; i < cm->config->servers; i++) {
        if (cm->secrets[i] != NULL)
            explicit_bzero(cm->secrets[i], strlen(cm->secrets[i]));
        free(cm->secrets[i]);
    }
}

static int check_file(const char *path)
{
    Buf warnings = {0};
    Err err = {0};
    ClustermonConfig *config = clustermon_config_load(path, &warnings, &err);

    if (config == NULL) {
        buf_done(&warnings);
        return front_refuse(NAME, &err);
    }
    printf("%s%s is in order\n", warnings.data != NULL ? warnings.data : "", path);
    buf_done(&warnings);
    clustermon_config_free(config);
    return EXIT_SUCCESS;
}

int clustermon_run(int argc, char **argv)
{
    static Clustermon cm;
    Args args;
    bool help = false;
    Err err = {0};

    if (!args_parse(clustermon_options, argc, argv, false, &args, &help, &err))
        return front_refuse(NAME, &err);
    if (help)
        return front_show(NAME);
    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&cm.loop) != 0)
        abort();
    cm.config_path = args_value(&args, "config") != NULL ? args_value(&args, "config") : "config.ini";
    if (args_value(&args, "check") != NULL)
        return check_file(cm.config_path);
    bool started = start(&cm, &err);
    int code = started ? EXIT_SUCCESS : front_refuse(NAME, &err);
    if (started) {
        uv_run(&cm.loop, UV_RUN_DEFAULT);
        stop(&cm);
    }
    return code; /* the loop's memory goes with us */
}
