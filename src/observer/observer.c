/*
 * observer.c: start, signals, end.
 */
#include "observer/observer.h"

#include "base/str.h"
#include "observer/internal.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define CALLS_MAX 256 /* to agents, under way */
#define BODY_MAX  ((size_t) 256 * 1024)

static void on_signal(uv_signal_t *handle, int number)
{
    Observer *observer = handle->data;

    if (number == SIGHUP) {
        log_line(LOG_LEVEL_INFO, "reloading", "file=%s folder=%s", observer->config->path,
                 observer->config->observer.clusters);
        reload_now(observer);
        return;
    }
#ifdef HAVE_SYSTEMD
    sd_notify(0, "STOPPING=1");
#endif
    log_line(LOG_LEVEL_INFO, "stopping", "signal=%s", number == SIGTERM ? "TERM" : "INT");
    uv_stop(&observer->loop);
}

static void on_folder_time(void *arg)
{
    folder_look(arg, false);
}

static void on_watchdog(void *arg)
{
    (void) arg;
#ifdef HAVE_SYSTEMD
    sd_notify(0, "WATCHDOG=1");
#endif
}

static void tell_systemd(Observer *observer)
{
#ifdef HAVE_SYSTEMD
    uint64_t watchdog_us = 0;

    sd_notify(0, "READY=1");
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        loop_timer_start(&observer->watchdog, (int64_t) watchdog_us / 3, (int64_t) watchdog_us / 3);
#else
    (void) observer;
#endif
}

static void start_signals(Observer *observer)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&observer->loop, &observer->signals[i]);
        observer->signals[i].data = observer;
        uv_signal_start(&observer->signals[i], on_signal, numbers[i]);
    }
}

/* The host name as far as it can be one of ours. */
static void set_name(Observer *observer)
{
    char host[256] = "";
    size_t len = 0;

    if (observer->config->observer.name != NULL) {
        str_copy(observer->name, sizeof observer->name, observer->config->observer.name);
        return;
    }
    gethostname(host, sizeof host - 1);
    for (const char *p = host; *p != '\0' && *p != '.' && len + 1 < sizeof observer->name; p++)
        if (isalnum((unsigned char) *p) || (len > 0 && (*p == '-' || *p == '_')))
            observer->name[len++] = (char) tolower((unsigned char) *p);
    if (len == 0)
        str_copy(observer->name, sizeof observer->name, "observer");
}

static bool start(Observer *observer, Err *err)
{
    if (!reload_listen(observer, err))
        return false;
    observer->client = http_client_new(&observer->loop, CALLS_MAX, BODY_MAX, err);
    if (observer->client == NULL)
        return false;
    observer->monitor = monitor_new(&observer->loop, NULL, watched_on_sample, observer);
    if (!folder_begin(observer, err))
        return false;
    loop_timer_start(&observer->folder_timer, OBSERVER_FOLDER_US, OBSERVER_FOLDER_US);
    loop_timer_start(&observer->tell_timer, OBSERVER_TICK_US, OBSERVER_TICK_US);
    return true;
}

static void done(Observer *observer)
{
    http_server_stop(observer->http);
    folder_done(observer);
    monitor_free(observer->monitor);
    http_client_free(observer->client);
    loop_timer_done(&observer->folder_timer);
    loop_timer_done(&observer->tell_timer);
    loop_timer_done(&observer->watchdog);
    loop_timer_done(&observer->reload_timer);
    whole_done(observer);
    for (int i = 0; i < 3; i++)
        uv_close((uv_handle_t *) &observer->signals[i], NULL);
    loop_end(&observer->loop);
}

int observer_run(const Config *config, Err *err)
{
    Observer *observer = calloc(1, sizeof *observer);

    if (observer == NULL) {
        err_set(err, ERR_MEMORY, "out of memory");
        return 1;
    }
    observer->config = config;
    observer->started_us = clock_now().boot_us;
    log_open(config->log.level, config->log.format);
    set_name(observer);
    uv_loop_init(&observer->loop);
    loop_timer_init(&observer->folder_timer, &observer->loop, on_folder_time, observer);
    loop_timer_init(&observer->tell_timer, &observer->loop, agents_tick, observer);
    loop_timer_init(&observer->watchdog, &observer->loop, on_watchdog, observer);
    loop_timer_init(&observer->reload_timer, &observer->loop, reload_on_time, observer);
    whole_init(observer);
    start_signals(observer);
    if (start(observer, err)) {
        log_line(LOG_LEVEL_INFO, "started", "version=%s role=observer name=%s folder=%s clusters=%d",
                 PGVIGIL_VERSION, observer->name, config->observer.clusters, observer->cluster_count);
        reload_note_unused(config);
        tell_systemd(observer);
        uv_run(&observer->loop, UV_RUN_DEFAULT);
    } else {
        observer->exit_code = err->code == ERR_CONFIG ? 2 : 1;
    }
    int code = observer->exit_code;
    done(observer);
    config_free(observer->owned);
    free(observer);
    return code;
}
