/*
 * check_notify.c: what the sections [notify NAME] need on this machine: folders, programs, sockets, files.
 *
 * Nothing is sent and nothing is run: pgvigil notify does that.
 */
#include "agent/start.h"
#include "cli/check.h"
#include "sys/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_folder(Check *check, const char *subject, const char *folder)
{
    struct stat st;

    if (stat(folder, &st) != 0)
        check_line(check, CHECK_FAIL, subject, "make it, owned by the user that pgvigil runs as", "%s: %s",
                   folder, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        check_line(check, CHECK_FAIL, subject, "name a folder", "%s is no folder", folder);
    else if (access(folder, W_OK | X_OK) != 0)
        check_line(check, CHECK_FAIL, subject, "give it to the user that pgvigil runs as", "%s: %s", folder,
                   strerror(errno));
    else
        check_line(check, CHECK_OK, subject, NULL, "alert files in %s", folder);
}

/* A host by UDP cannot be looked at. */
static void check_socket(Check *check, const char *subject, const char *path)
{
    struct stat st;

    if (path[0] != '/')
        check_line(check, CHECK_OK, subject, NULL, "by UDP to %s", path);
    else if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        check_line(check, CHECK_WARN, subject, "start the daemon that makes it, or name another address",
                   "%s is not there, or no socket", path);
    else if (access(path, W_OK) != 0)
        check_line(check, CHECK_FAIL, subject, "let the user that pgvigil runs as write to it", "%s: %s",
                   path, strerror(errno));
    else
        check_line(check, CHECK_OK, subject, NULL, "%s is there", path);
}

/* As the daemon opens it. */
static bool can_open(const Check *check, const ConfigNotify *section, Err *err)
{
    NotifySpec specs[CONFIG_NOTIFY_MAX];
    NotifyOptions options;
    uv_loop_t loop;

    uv_loop_init(&loop);
    start_notify_options(check->config, specs, &options);
    bool ok = notify_check(&loop, &options, (int) (section - check->config->notify), err);
    loop_end(&loop);
    return ok;
}

static void check_section(Check *check, const ConfigNotify *section)
{
    char subject[64];
    Err err = {0};

    snprintf(subject, sizeof subject, "notify %s", section->named.name);
    if (!can_open(check, section, &err)) {
        check_line(check, CHECK_FAIL, subject, "correct its section; until then it tells nothing", "%s",
                   err.text);
        return;
    }
    if (section->ca_file != NULL && access(section->ca_file, R_OK) != 0)
        check_line(check, CHECK_FAIL, subject, "put it there, readable by the user that pgvigil runs as",
                   "%s: %s", section->ca_file, strerror(errno));
    switch (section->kind) {
    case NOTIFY_ALERT_FILE: check_folder(check, subject, section->folder); break;
    case NOTIFY_HOOK: check_program(check, subject, section->command.item[0]); break;
    case NOTIFY_SYSLOG:
        check_socket(check, subject, section->address != NULL ? section->address : "/dev/log");
        break;
    case NOTIFY_JOURNALD:
        check_socket(check, subject,
                     section->address != NULL ? section->address : "/run/systemd/journal/socket");
        break;
    case NOTIFY_MAIL:
    case NOTIFY_STATSD:
        check_line(check, CHECK_OK, subject, NULL, "to %s port %u; try it: pgvigil notify %s", section->host,
                   section->port, section->named.name);
        break;
    default:
        check_line(check, CHECK_OK, subject, NULL, "to its url%s; try it: pgvigil notify %s",
                   section->secret_text != NULL ? ", signed" : "", section->named.name);
        break;
    }
    if (section->insecure)
        check_line(check, CHECK_WARN, subject, "name the server's authority by ca_file instead",
                   "the server's certificate is not checked");
}

void check_notify(Check *check)
{
    for (int i = 0; i < check->config->notify_count; i++)
        check_section(check, &check->config->notify[i]);
}
