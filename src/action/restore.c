/*
 * restore.c: looking for a restore_command that hangs.
 *
 * One look at a time. Its struct outlives the actions while a worker has it.
 */
#include "action/restore.h"

#include "sys/clock.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE_MAX  32 /* processes of one command */
#define CHILD_MAX 1024

typedef struct RestoreWatch {
    Actions *actions; /* NULL: freed meanwhile */
    char directory[DATADIR_PATH_LEN];
    pid_t program, found; /* a look's question and answer */
    bool looking;
    uint32_t run_id; /* whom it looks for */
    pid_t command;   /* seen last; 0: none */
    int64_t since_us, looked_us;
    int held[TREE_MAX]; /* pidfds */
    size_t held_count;
} RestoreWatch;

/* The server's startup process, by its title: "postgres: NAME: startup recovering ...". */
static pid_t find_startup(const char *directory)
{
    pid_t children[CHILD_MAX];
    PidFile file;
    bool running;

    if (!datadir_read_pidfile(directory, &file, &running, NULL) || !running)
        return 0;
    size_t count = proc_children(file.pid, children, CHILD_MAX);
    for (size_t i = 0; i < count && i < CHILD_MAX; i++)
        if (proc_title_has(children[i], ": startup"))
            return children[i];
    return 0;
}

static pid_t find_command(const char *directory, pid_t program)
{
    pid_t child = 0;
    pid_t parent = program != 0 ? program : find_startup(directory);

    return parent != 0 && proc_children(parent, &child, 1) > 0 ? child : 0;
}

static void look(void *arg)
{
    RestoreWatch *watch = arg;

    watch->found = find_command(watch->directory, watch->program);
}

static void on_looked(void *arg)
{
    RestoreWatch *watch = arg;

    if (watch->actions == NULL) {
        free(watch);
        return;
    }
    watch->looking = false;
    watch->looked_us = clock_now().raw_us;
    if (watch->found != watch->command)
        watch->since_us = watch->looked_us;
    watch->command = watch->found;
}

static RestoreWatch *get(Run *run)
{
    Actions *actions = run->actions;

    if (actions->restore == NULL)
        actions->restore = calloc(1, sizeof *actions->restore);
    if (actions->restore == NULL)
        abort();
    actions->restore->actions = actions;
    return actions->restore;
}

bool restore_hangs(Run *run, pid_t program, int64_t limit_ms)
{
    RestoreWatch *watch = get(run);
    int64_t now_us = clock_now().raw_us;

    if (!watch->looking && watch->run_id != run->request.id) {
        watch->run_id = run->request.id;
        watch->command = 0;
    }
    if (!watch->looking && now_us - watch->looked_us >= RESTORE_LOOK_MS * US_PER_MS) {
        watch->looking = true;
        watch->program = program;
        str_copy(watch->directory, sizeof watch->directory, run->settings.data_directory);
        loop_work(run->actions->loop, look, on_looked, watch);
    }
    return watch->run_id == run->request.id && watch->command != 0 &&
           now_us - watch->since_us > limit_ms * US_PER_MS;
}

static void hold(RestoreWatch *watch, pid_t pid)
{
    pid_t children[TREE_MAX];
    int fd = watch->held_count < TREE_MAX ? (int) syscall(SYS_pidfd_open, pid, 0u) : -1;

    if (fd < 0)
        return;
    watch->held[watch->held_count++] = fd;
    size_t count = proc_children(pid, children, TREE_MAX);
    for (size_t i = 0; i < count && i < TREE_MAX; i++)
        hold(watch, children[i]);
}

bool restore_note(Run *run, Err *err)
{
    RestoreWatch *watch = run->actions->restore;
    pid_t command = find_command(run->settings.data_directory, 0);

    (void) err;
    if (watch != NULL && command != 0)
        hold(watch, command);
    return true;
}

void restore_end(Run *run)
{
    RestoreWatch *watch = run->actions->restore;

    while (watch != NULL && watch->held_count > 0) {
        int fd = watch->held[--watch->held_count];
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u);
        close(fd);
    }
}

void restore_forget(Actions *actions)
{
    RestoreWatch *watch = actions->restore;

    actions->restore = NULL;
    if (watch == NULL)
        return;
    while (watch->held_count > 0)
        close(watch->held[--watch->held_count]);
    if (watch->looking)
        watch->actions = NULL;
    else
        free(watch);
}
