/*
 * command.c: the commands of the configuration, in processes of their own: the worker never waits for them.
 *
 * pg_keeper has always given them to a shell. So nothing that anybody else can write is part of the text:
 * what they are told stands in their environment.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/log.h"

#define FILES_MOST 65536
#define PREFIX     "PG_KEEPER_"

static void close_files(void)
{
    struct rlimit limit;
    rlim_t most =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FILES_MOST ? limit.rlim_cur : FILES_MOST;

    for (int fd = 3; fd < (int) most; fd++)
        (void) close(fd);
}

/* The child: only what is safe there. */
static void become(const char *text, char **environment)
{
    static const int normal[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP, SIGUSR1,
                                 SIGUSR2, SIGPIPE, SIGCHLD, SIGALRM};
    sigset_t none;
    char *const argv[] = {"sh", "-c", (char *) text, NULL};

    (void) setsid();
    for (size_t i = 0; i < sizeof normal / sizeof normal[0]; i++)
        (void) signal(normal[i], SIG_DFL);
    sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        (void) dup2(null, 0);
    close_files();
    (void) execve("/bin/sh", argv, environment);
    _exit(127);
}

/* The server's own, which may be a rejoin_command's, and the three of now. */
static char **environment_with(char *const *added, size_t count)
{
    extern char **environ;
    size_t have = 0;

    while (environ[have] != NULL)
        have++;
    char **all = palloc((have + count + 1) * sizeof *all);
    memcpy(all, added, count * sizeof *all);
    for (size_t i = 0; i < have; i++)
        if (strncmp(environ[i], PREFIX, strlen(PREFIX)) != 0)
            all[count++] = environ[i];
    all[count] = NULL;
    return all;
}

void command_start(KeeperCommand *command, const char *text, const char *primary,
                   const char *primary_conninfo, uint32 limit_ms)
{
    if (text == NULL || text[0] == '\0')
        return;
    if (command->pid != 0) {
        log_line(LOG_LEVEL_WARN, "command_runs", "option=%s it still runs and is not started again",
                 command->option);
        return;
    }
    char *added[] = {psprintf(PREFIX "NODE=%s", gucs_node_name), psprintf(PREFIX "PRIMARY=%s", primary),
                     psprintf(PREFIX "PRIMARY_CONNINFO=%s", primary_conninfo)};
    char **environment = environment_with(added, lengthof(added));
    command->done = false;
    pid_t pid = fork();
    if (pid == 0)
        become(text, environment);
    if (pid < 0)
        log_line(LOG_LEVEL_ERROR, "command_failed", "option=%s reason=\"%s\"", command->option,
                 strerror(errno));
    else
        log_line(LOG_LEVEL_INFO, "command_started", "option=%s pid=%d", command->option, (int) pid);
    command->pid = pid > 0 ? pid : 0;
    command->until_us = limit_ms > 0 ? clock_now().boot_us + (int64) limit_ms * US_PER_MS : 0;
    pfree(environment);
    for (size_t i = 0; i < lengthof(added); i++)
        pfree(added[i]);
}

void command_look(KeeperCommand *command)
{
    int status;

    if (command->pid == 0)
        return;
    pid_t ended = waitpid(command->pid, &status, WNOHANG);
    if (ended == 0 && command->until_us != 0 && clock_now().boot_us > command->until_us) {
        log_line(LOG_LEVEL_ERROR, "command_ended", "option=%s it took too long and is ended",
                 command->option);
        (void) kill(-command->pid, SIGKILL);
        command->until_us = 0;
    }
    if (ended == 0)
        return;
    command->done = ended == command->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (command->done)
        log_line(LOG_LEVEL_INFO, "command_done", "option=%s", command->option);
    else
        log_line(LOG_LEVEL_ERROR, "command_failed", "option=%s status=%d", command->option,
                 ended == command->pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    command->pid = 0;
}
