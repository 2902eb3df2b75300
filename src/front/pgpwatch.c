/*
 * pgpwatch.c: the port of a pgpool host: open while poolstatus says that all is well.
 */
#include "front/front.h"
#include "front/status_parts.h"
#include "front/watch.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define STATUS_ARGS_MAX 32

const ArgsOption pgpwatch_options[] = {
    {"config", "FILE", false,
     "config.ini; default: /root/pgpwatch/config.ini, or else the one in /root/pgpoolwatch"},
    {"run-once", NULL, false, "one check and its mail, then end; exit code 0 if all is well"},
    {"mail-on-success", NULL, false, "as mail_on_success = yes"},
    {"check-period", "SECONDS", false, "instead of check_period"},
    {"success-period", "CHECKS", false, "instead of success_period"},
    {NULL},
};

static void on_status(void *arg, const ExecResult *result)
{
    Watch *watch = arg;
    bool is_own = watch->settings.poolstatus_path[0] == '\0';
    bool is_usable = is_own && result->status == POOLSTATUS_USABLE;
    Decision decision = {.open =
                             !result->timed_out && result->signal == 0 && (result->status == 0 || is_usable)};

    decision.trouble = !decision.open;
    if (decision.open) {
        snprintf(decision.reason, sizeof decision.reason, "pgpool answers, and the nodes are found%s",
                 is_usable ? "; something else lacks" : "");
    } else {
        char how[128], last[300];
        exec_describe(result, how, sizeof how);
        snprintf(decision.reason, sizeof decision.reason, "poolstatus: %s: %s", how,
                 exec_last_line(result, last, sizeof last));
    }
    watch_checked(watch, &decision, result->output);
}

static void check(Watch *watch)
{
    const char *plain[STATUS_ARGS_MAX + 4], *argv[STATUS_ARGS_MAX + 9];
    char words[SETTINGS_TEXT_LEN];
    int n = 0;
    Err err = {0};

    if (watch->settings.poolstatus_path[0] != '\0') {
        plain[n++] = watch->settings.poolstatus_path;
    } else {
        plain[n++] = watch->self;
        plain[n++] = "as";
        plain[n++] = "poolstatus";
    }
    str_copy(words, sizeof words, watch->settings.poolstatus_args);
    for (char *save = NULL, *word = strtok_r(words, " ", &save); word != NULL && n < STATUS_ARGS_MAX + 3;
         word = strtok_r(NULL, " ", &save))
        plain[n++] = word;
    plain[n] = NULL;
    watch_as_user(watch->settings.poolstatus_user, plain, argv);
    ExecSpec spec = {.argv = argv,
                     .timeout_ms = WATCH_CHECK_MS,
                     .die_with_parent = true,
                     .on_exit = on_status,
                     .arg = watch};
    if (exec_start(&watch->loop, &spec, &err) == NULL) {
        Decision decision = {.trouble = true};
        snprintf(decision.reason, sizeof decision.reason, "poolstatus: %.400s", err.text);
        watch_checked(watch, &decision, NULL);
    }
}

int pgpwatch_run(int argc, char **argv)
{
    static Watch watch = {.name = "pgpwatch", .part = SETTINGS_PGP, .check = check};
    bool help;
    Err err = {0};

    if (!args_parse(pgpwatch_options, argc, argv, false, &watch.args, &help, &err))
        return front_refuse(watch.name, &err);
    return help ? front_show(watch.name) : watch_run(&watch);
}
