/*
 * lookout_warn.c: what is right in pglookout's file and does nothing, as it stands on this machine.
 *
 * Looked at when the file is read, and not again: a program that goes away later is told when it is run.
 */
#include "front/lookout_config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool may_run(const char *path)
{
    struct stat file;

    return stat(path, &file) == 0 && S_ISREG(file.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* As execvp looks for it. */
static bool is_found(const char *program)
{
    const char *rest = getenv("PATH");
    char path[PATH_MAX];

    if (strchr(program, '/') != NULL || rest == NULL)
        return may_run(program);
    while (*rest != '\0') {
        size_t len = strcspn(rest, ":");
        if (snprintf(path, sizeof path, "%.*s/%s", (int) len, rest, program) < (int) sizeof path &&
            may_run(path))
            return true;
        rest += len + (rest[len] == ':');
    }
    return false;
}

static void warn_program(const char *key, const LookoutCommand *command, Buf *warnings)
{
    if (command->argv[0] != NULL && !is_found(command->argv[0]))
        buf_printf(warnings, "%s: there is no program %.150s that this user could run\n", key,
                   command->argv[0]);
}

static bool is_server(const LookoutConfig *config, const char *name)
{
    for (int i = 0; i < config->conn_count; i++)
        if (strcmp(config->conn[i].name, name) == 0)
            return true;
    return false;
}

static void warn_name(const LookoutConfig *config, const char *key, const char *name, Buf *warnings)
{
    if (!is_server(config, name))
        buf_printf(warnings, "%s: \"%.100s\" is not in remote_conns, and does nothing\n", key, name);
}

void lookout_config_warn(const LookoutConfig *config, Buf *ret_warnings)
{
    struct stat file;

    if (config->own >= 0) {
        warn_program("failover_command", &config->failover_command, ret_warnings);
        warn_program("over_warning_limit_command", &config->over_warning_limit_command, ret_warnings);
        warn_program("pg_start_command", &config->pg_start_command, ret_warnings);
        warn_program("pg_stop_command", &config->pg_stop_command, ret_warnings);
    }
    /* known_gone_nodes may well name who was taken out. */
    for (int i = 0; i < config->never_promote.count; i++)
        warn_name(config, "never_promote_these_nodes", config->never_promote.name[i], ret_warnings);
    for (int i = 0; i < config->priority_count; i++)
        warn_name(config, "failover_priorities", config->priority[i].name, ret_warnings);
    if (config->syslog && config->syslog_address[0] == '/' && stat(config->syslog_address, &file) != 0)
        buf_printf(ret_warnings, "syslog_address: there is no %.150s, and what is sent there is lost\n",
                   config->syslog_address);
}
