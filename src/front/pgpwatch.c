/*
 * pgpwatch.c: the port of a pgpool host: open while poolstatus says that all is well.
 */
#include "front/watch.h"

#include <stdio.h>

static const ArgsOption options[] = {
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
    Decision decision = {.open = result->status == 0 && !result->timed_out};

    decision.trouble = !decision.open;
    if (decision.open) {
        snprintf(decision.reason, sizeof decision.reason, "pgpool answers, and the nodes are found");
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
    const char *own[] = {watch->self, "as", "poolstatus", NULL};
    const char *users[] = {watch->settings.poolstatus_path, NULL};
    const char *argv[8];
    Err err = {0};

    watch_as_user(watch->settings.poolstatus_user, users[0][0] != '\0' ? users : own, argv);
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

    if (!args_parse(options, argc, argv, false, &watch.args, &help, &err)) {
        fprintf(stderr, "pgpwatch: %s\n", err.text);
        return 2;
    }
    if (help) {
        args_help(stdout, "pgpwatch [OPTION]...",
                  "Holds a TCP port open while pgpool and its nodes are well.", options);
        return 0;
    }
    return watch_run(&watch);
}
