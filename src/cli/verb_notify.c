/*
 * verb_notify.c: a test notification by one section, or by all, on a loop of its own.
 */
#include "agent/start.h"
#include "cli/verb.h"
#include "config/config.h"
#include "notify/notify.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_US (2 * US_PER_SEC) /* for datagrams that wait for the address of a name */

typedef struct Try {
    const ConfigNotify *section;
    uv_loop_t *loop;
    int *waiting, *failed;
} Try;

static void on_done(void *arg, bool ok, const Err *err)
{
    const Try *one = arg;
    const char *how =
        one->section->kind == NOTIFY_STATSD || one->section->kind == NOTIFY_SYSLOG ? "left" : "taken";

    if (ok)
        printf("%s: %s\n", one->section->named.name, how);
    else
        fprintf(stderr, "pgvigil: %s: %s\n", one->section->named.name, err->text);
    *one->failed += !ok;
    if (--*one->waiting == 0)
        uv_stop(one->loop);
}

static void on_linger(void *arg)
{
    uv_stop(arg);
}

static void linger(uv_loop_t *loop, const Config *config)
{
    LoopTimer timer = {0};
    bool by_name = false;

    for (int i = 0; i < config->notify_count; i++) {
        const ConfigNotify *section = &config->notify[i];
        const char *host = section->kind == NOTIFY_STATSD ? section->host : section->address;
        bool udp = section->kind == NOTIFY_STATSD || section->kind == NOTIFY_SYSLOG;
        by_name = by_name || (udp && host != NULL && host[0] != '/' &&
                              host[strspn(host, "0123456789abcdefABCDEF.:[]")] != '\0');
    }
    if (!by_name)
        return;
    loop_timer_init(&timer, loop, on_linger, loop);
    loop_timer_start(&timer, LINGER_US, 0);
    uv_run(loop, UV_RUN_DEFAULT);
    loop_timer_done(&timer);
}

static void fill_event(const Config *config, NotifyEvent *event)
{
    *event = (NotifyEvent){.kind = NOTIFY_EVENT_test, .wall_us = clock_now().wall_us};
    str_copy(event->member, sizeof event->member, config_self(config)->name);
    str_copy(event->role, sizeof event->role, "none");
    snprintf(event->text, sizeof event->text, "a test of notifications from %s, nothing has happened",
             config_self(config)->name);
}

static int try_all(const Config *config, const char *name)
{
    NotifySpec specs[CONFIG_NOTIFY_MAX];
    NotifyOptions options;
    NotifyEvent event;
    Try tries[CONFIG_NOTIFY_MAX];
    uv_loop_t loop;
    int waiting = 0, failed = 0, found = 0;

    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    start_notify_options(config, specs, &options);
    fill_event(config, &event);
    Notify *notify = notify_new(&loop, &options);
    for (int i = 0; i < config->notify_count; i++) {
        Err err = {0};
        if (name != NULL && strcmp(config->notify[i].named.name, name) != 0)
            continue;
        found++;
        tries[i] = (Try){&config->notify[i], &loop, &waiting, &failed};
        if (notify_try(notify, config->notify[i].named.name, &event, on_done, &tries[i], &err)) {
            waiting++;
        } else {
            fprintf(stderr, "pgvigil: %s: %s\n", config->notify[i].named.name, err.text);
            failed++;
        }
    }
    if (waiting > 0)
        uv_run(&loop, UV_RUN_DEFAULT);
    linger(&loop, config);
    notify_free(notify);
    loop_end(&loop);
    if (found > 0)
        return failed > 0 ? EXIT_NO : EXIT_DONE;
    fprintf(stderr, "pgvigil: there is no section [notify %s] in the configuration\n",
            name != NULL ? name : "NAME");
    return EXIT_WRONG;
}

int verb_notify(const Call *call)
{
    Err err = {0};
    Config *config = config_load(call->value[FLAG_CONFIG], call->value[FLAG_NODE], &err);

    if (config == NULL)
        return call_fail(&err);
    int code = try_all(config, call->argument_count > 0 ? call->argument[0] : NULL);
    config_free(config);
    return code;
}
