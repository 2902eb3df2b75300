/*
 * watch.c: a check every check_period, the port after it, a mail where something changed.
 *
 * Checks and mails are children with deadlines: what hangs in them never holds the port. The port closes when
 * a check has no answer in time, because its deadline is an answer.
 */
#include "front/watch.h"
#include "front/front.h"
#include "front/mail.h"

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAILS_MAX 4 /* at a time; one more is dropped, and that is logged */
#define MAIL_MS   90000
#define BODY_MAX  60000 /* an argument of a program may have 128 KiB */

static bool is_given(const Watch *watch, const char *name)
{
    return args_value(&watch->args, name) != NULL;
}

void watch_as_user(const char *user, const char *const *argv, const char **ret_argv)
{
    int n = 0;

    if (geteuid() == 0 && user[0] != '\0' && strcmp(user, "root") != 0) {
        ret_argv[n++] = "runuser";
        ret_argv[n++] = "-u";
        ret_argv[n++] = user;
        ret_argv[n++] = "--";
    }
    while (*argv != NULL)
        ret_argv[n++] = *argv++;
    ret_argv[n] = NULL;
}

static void finish(Watch *watch)
{
    watch->ending = true;
    gate_close(watch->port);
    loop_timer_done(&watch->timer);
    loop_timer_done(&watch->deadline);
    uv_stop(&watch->loop);
}

static void on_mailed(void *arg, const ExecResult *result)
{
    Watch *watch = arg;

    watch->mails--;
    if (result->status != 0 || result->signal != 0) {
        Err err = {0};
        char text[600];
        exec_error(result, "sendmail", &err);
        log_line(LOG_LEVEL_ERROR, "mail_failed", "reason=%s", log_quote(err.text, text, sizeof text));
    }
    if (is_given(watch, "run-once") && watch->mails == 0 && !watch->checking)
        finish(watch);
}

static void send_mail(Watch *watch, const Decision *decision, const char *details)
{
    const Settings *settings = &watch->settings;
    char host[256] = "?", at[SETTINGS_TEXT_LEN + 1], subject[256];
    Buf body = {0};
    Err err = {0};
    const char *argv[8];
    int n = 0;

    if (!settings->sendmail)
        return;
    gethostname(host, sizeof host - 1);
    snprintf(at, sizeof at, "@%s", settings->sendmail_settings_path);
    snprintf(subject, sizeof subject, "--subject=%s on %s: %s, port %lld %s", watch->name, host,
             decision->trouble ? "FAILURE" : "ok", (long long) settings->open_port[watch->part],
             decision->open ? "open" : "closed");
    buf_puts(&body, "--body=<p>");
    mail_add_html(&body, decision->reason, BODY_MAX);
    buf_puts(&body, "</p>\n<pre>");
    mail_add_html(&body, details != NULL ? details : "", BODY_MAX);
    buf_puts(&body, "</pre>");
    if (settings->sendmail_path[0] != '\0') {
        argv[n++] = settings->sendmail_path;
    } else {
        argv[n++] = watch->self;
        argv[n++] = "as";
        argv[n++] = "sendmail";
    }
    argv[n++] = at;
    argv[n++] = subject;
    argv[n++] = body.data;
    argv[n] = NULL;
    ExecSpec spec = {.argv = argv, .timeout_ms = MAIL_MS, .on_exit = on_mailed, .arg = watch};
    if (watch->mails >= MAILS_MAX)
        log_line(LOG_LEVEL_ERROR, "mail_dropped", "reason=\"%d mails are on their way already\"",
                 watch->mails);
    else if (exec_start(&watch->loop, &spec, &err) == NULL)
        log_line(LOG_LEVEL_ERROR, "mail_failed", "reason=%s", log_quote(err.text, subject, sizeof subject));
    else
        watch->mails++;
    buf_done(&body);
}

static void begin_check(void *arg)
{
    Watch *watch = arg;

    if (watch->checking || watch->ending)
        return; /* the one before takes longer than check_period */
    watch->checking = true;
    loop_timer_start(&watch->deadline, watch->settings.check_timeout_ms * US_PER_MS, 0);
    watch->check(watch);
}

static MailRule mail_rule(const Watch *watch)
{
    const Settings *settings = &watch->settings;
    bool on_success =
        watch->part == SETTINGS_PGP && (settings->mail_on_success || is_given(watch, "mail-on-success"));

    return (MailRule){.repeat_us = settings->mail_repeat_ms * US_PER_MS,
                      .success_period = on_success ? settings->success_period : 0};
}

static void settle(Watch *watch, const Decision *decision, const char *details)
{
    Decision now = *decision;
    Err err = {0};
    char text[DECIDE_TEXT_LEN + 2];

    if (!now.open) {
        gate_close(watch->port);
    } else if (!gate_open(watch->port, NULL, (uint16_t) watch->settings.open_port[watch->part], &err)) {
        now = (Decision){.open = false, .trouble = true};
        str_copy(now.reason, sizeof now.reason, err.text);
    }
    const Decision *last = &watch->mail.last;
    if (!watch->mail.begun || now.open != last->open || now.trouble != last->trouble ||
        strcmp(now.reason, last->reason) != 0)
        log_line(now.trouble ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, now.open ? "port_open" : "port_closed",
                 "port=%lld reason=%s", (long long) watch->settings.open_port[watch->part],
                 log_quote(now.reason, text, sizeof text));
    MailRule rule = mail_rule(watch);
    if (decide_mail(&watch->mail, &rule, &now, clock_now().boot_us))
        send_mail(watch, &now, details);
    watch->exit_code = now.trouble ? 1 : 0;
    if (is_given(watch, "run-once") && watch->mails == 0)
        finish(watch);
}

void watch_checked(Watch *watch, const Decision *decision, const char *details)
{
    watch->checking = false;
    if (watch->ending)
        return;
    loop_timer_stop(&watch->deadline);
    settle(watch, decision, details);
}

/* A name that does not resolve cannot be cut short: the port must not stay open for as long as that takes. */
static void on_late(void *arg)
{
    const Watch *watch = arg;
    Decision late = {.trouble = true};

    snprintf(late.reason, sizeof late.reason,
             "the check has not ended within %lld s; is a name server not answering?",
             (long long) (watch->settings.check_timeout_ms / 1000));
    settle(arg, &late, NULL);
}

static bool load(Watch *watch, Settings *ret_settings, Err *err)
{
    return settings_read(args_value(&watch->args, "config"), watch->part, ret_settings, err) &&
           args_number(&watch->args, "check-period", 1, 86400, ret_settings->check_period_s[watch->part],
                       &ret_settings->check_period_s[watch->part], err) &&
           args_number(&watch->args, "success-period", 1, 1000000000, ret_settings->success_period,
                       &ret_settings->success_period, err);
}

static void on_signal(uv_signal_t *handle, int number)
{
    Watch *watch = handle->data;
    Settings settings;
    Err err = {0};
    char text[600];

    if (number != SIGHUP) {
        log_line(LOG_LEVEL_INFO, "end", "signal=%d", number);
        watch->exit_code = 0;
        finish(watch);
        return;
    }
    if (!load(watch, &settings, &err)) {
        log_line(LOG_LEVEL_ERROR, "reload_failed", "kept=\"the old settings\" reason=%s",
                 log_quote(err.text, text, sizeof text));
        return;
    }
    if (settings.open_port[watch->part] != watch->settings.open_port[watch->part])
        gate_close(watch->port); /* the next check opens the other */
    watch->settings = settings;
    loop_timer_start(&watch->timer, 0, settings.check_period_s[watch->part] * 1000 * US_PER_MS);
    log_line(LOG_LEVEL_INFO, "reloaded", "check_period=%llds",
             (long long) settings.check_period_s[watch->part]);
}

int watch_run(Watch *watch)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    Err err = {0};
    ssize_t len = readlink("/proc/self/exe", watch->self, sizeof watch->self - 1);

    if (len <= 0)
        err_set(&err, ERR_IO, "/proc/self/exe cannot be read");
    if (len <= 0 || !load(watch, &watch->settings, &err))
        return front_refuse(watch->name, &err);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&watch->loop);
    watch->port = gate_new(&watch->loop, false);
    for (int i = 0; i < 3; i++) {
        uv_signal_init(&watch->loop, &watch->signals[i]);
        watch->signals[i].data = watch;
        uv_signal_start(&watch->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *) &watch->signals[i]);
    }
    loop_timer_init(&watch->deadline, &watch->loop, on_late, watch);
    loop_timer_init(&watch->timer, &watch->loop, begin_check, watch);
    loop_timer_start(&watch->timer, 0, watch->settings.check_period_s[watch->part] * 1000 * US_PER_MS);
    uv_run(&watch->loop, UV_RUN_DEFAULT);
    return watch->exit_code; /* children with a check go with us; the loop's memory does too */
}
