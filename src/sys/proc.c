/*
 * proc.c: reading /proc, and pidfds on the loop.
 *
 * A process can end between two looks: whatever cannot be read is simply not there.
 */
#include "sys/proc.h"

#include "base/str.h"
#include "sys/loop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SERVER_PROGRAM "postgres"
#define DELETED_SUFFIX " (deleted)"
#define SIGNAL_MAX     4096

typedef struct ProcWatchHandle {
    uv_poll_t uv; /* first: freed by its address */
    int fd;
    pid_t pid;
    ProcWatch *owner;
    ProcExitFn *on_exit;
    void *arg;
} ProcWatchHandle;

/* Reads /proc/PID/name from its beginning; always terminated. Returns the length, -1 if it is not there. */
static ssize_t read_entry(pid_t pid, const char *name, char *ret_text, size_t size)
{
    char path[64];
    size_t used = 0;

    snprintf(path, sizeof path, "/proc/%ld/%s", (long) pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (used < size - 1) {
        ssize_t n = read(fd, ret_text + used, size - 1 - used);
        if (n <= 0)
            break;
        used += (size_t) n;
    }
    close(fd);
    ret_text[used] = '\0';
    return (ssize_t) used;
}

static bool read_link(pid_t pid, const char *name, char *ret_text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/%s", (long) pid, name);
    ssize_t n = readlink(path, ret_text, size - 1);
    if (n < 0)
        return false;
    ret_text[n] = '\0';
    return true;
}

bool proc_program(pid_t pid, char *ret_name, size_t size)
{
    char path[PATH_MAX];

    if (!read_link(pid, "exe", path, sizeof path))
        return false;
    size_t len = strlen(path), suffix = strlen(DELETED_SUFFIX);
    if (len > suffix && strcmp(path + len - suffix, DELETED_SUFFIX) == 0)
        path[len - suffix] = '\0';
    const char *slash = strrchr(path, '/');
    return str_copy(ret_name, size, slash != NULL ? slash + 1 : path);
}

/* The fields of /proc/PID/stat behind the name, which may itself hold blanks and parentheses; the first is
 * the state. */
static const char *stat_fields(pid_t pid, char *buffer, size_t size)
{
    if (read_entry(pid, "stat", buffer, size) <= 0)
        return NULL;
    const char *end = strrchr(buffer, ')');
    return end != NULL && end[1] == ' ' ? end + 2 : NULL;
}

bool proc_is_alive(pid_t pid)
{
    char buffer[1024];
    const char *fields = stat_fields(pid, buffer, sizeof buffer);

    return fields != NULL && *fields != 'Z' && *fields != 'X';
}

/* Which processes are a server's: those that work in that directory. */
typedef struct Where {
    char path[PATH_MAX]; /* resolved; "": only place counts */
    ProcPlace place;     /* zero: the directory is not there */
} Where;

static bool same_place(const ProcPlace *place, const struct stat *st)
{
    return place->inode != 0 && place->device == st->st_dev && place->inode == st->st_ino;
}

/* Of our file system: the same path in another mount namespace is another directory. */
static bool shares_files(pid_t pid)
{
    struct stat ours, theirs;
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/ns/mnt", (long) pid);
    return stat("/proc/self/ns/mnt", &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino;
}

/* A directory that is not there any more keeps its name as long as its processes work in it. */
static bool resolve(const char *dir, Where *ret)
{
    char parent[PATH_MAX], above[PATH_MAX];
    struct stat st;

    *ret = (Where){0};
    if (realpath(dir, ret->path) != NULL) {
        if (stat(ret->path, &st) == 0)
            ret->place = (ProcPlace){st.st_dev, st.st_ino};
        return true;
    }
    if (errno != ENOENT || !str_copy(parent, sizeof parent, dir))
        return false;
    for (size_t len = strlen(parent); len > 1 && parent[len - 1] == '/'; len--)
        parent[len - 1] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash == NULL || slash[1] == '\0')
        return false;
    *slash = '\0';
    return realpath(slash == parent ? "/" : parent, above) != NULL &&
           snprintf(ret->path, sizeof ret->path, "%s/%s", strcmp(above, "/") == 0 ? "" : above, slash + 1) <
               (int) sizeof ret->path;
}

/* The directory that had this path was removed under the process; a directory may really be called so. */
static bool is_deleted(pid_t pid, const char *cwd, const char *path, const struct stat *st)
{
    struct stat named;
    size_t len = strlen(path);

    return strncmp(cwd, path, len) == 0 && strcmp(cwd + len, DELETED_SUFFIX) == 0 && shares_files(pid) &&
           (stat(cwd, &named) != 0 || named.st_dev != st->st_dev || named.st_ino != st->st_ino);
}

/* The text alone could be that of another mount namespace, where the same path is another directory. */
static bool works_in(pid_t pid, const Where *where)
{
    char cwd[PATH_MAX], link[64];
    struct stat st;

    snprintf(link, sizeof link, "/proc/%ld/cwd", (long) pid);
    if (!read_link(pid, "cwd", cwd, sizeof cwd) ||
        (where->path[0] != '\0' && strncmp(cwd, where->path, strlen(where->path)) != 0) ||
        stat(link, &st) != 0)
        return false;
    if (where->path[0] == '\0' || strcmp(cwd, where->path) == 0)
        return same_place(&where->place, &st);
    return is_deleted(pid, cwd, where->path, &st);
}

static bool is_server_process(pid_t pid, const Where *where)
{
    char program[NAME_MAX + 1];

    return proc_program(pid, program, sizeof program) && strcmp(program, SERVER_PROGRAM) == 0 &&
           works_in(pid, where) && proc_is_alive(pid);
}

bool proc_serves(pid_t pid, const char *dir)
{
    Where where;

    return pid > 0 && resolve(dir, &where) && is_server_process(pid, &where);
}

bool proc_place(pid_t pid, ProcPlace *ret_place)
{
    char link[64];
    struct stat st;

    *ret_place = (ProcPlace){0};
    snprintf(link, sizeof link, "/proc/%ld/cwd", (long) pid);
    if (pid <= 0 || stat(link, &st) != 0)
        return false;
    *ret_place = (ProcPlace){st.st_dev, st.st_ino};
    return true;
}

/* The next number in /proc that is a process; 0 behind the last. */
static pid_t next_process(DIR *proc)
{
    struct dirent *entry;

    while ((entry = readdir(proc)) != NULL)
        if (isdigit((unsigned char) entry->d_name[0]))
            return (pid_t) strtol(entry->d_name, NULL, 10);
    return 0;
}

static size_t list(const Where *where, pid_t *ret_pids, size_t max)
{
    pid_t pid;
    size_t count = 0;

    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    while ((pid = next_process(proc)) > 0) {
        if (!is_server_process(pid, where))
            continue;
        if (count < max)
            ret_pids[count] = pid;
        count++;
    }
    closedir(proc);
    return count;
}

size_t proc_list_in(const char *dir, pid_t *ret_pids, size_t max)
{
    Where where;

    return resolve(dir, &where) ? list(&where, ret_pids, max) : 0;
}

/* Through a pidfd, and looked at again behind it: the number may be a stranger's by now. */
static bool signal_safely(pid_t pid, const Where *where, int signal_number)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0u);
    bool sent = false;

    if (fd < 0)
        return false;
    if (is_server_process(pid, where))
        sent = syscall(SYS_pidfd_send_signal, fd, signal_number, NULL, 0u) == 0;
    close(fd);
    return sent;
}

static size_t signal_all(const Where *where, int signal_number)
{
    size_t sent = 0;
    pid_t *pids = malloc(SIGNAL_MAX * sizeof *pids);

    if (pids != NULL) {
        size_t count = list(where, pids, SIGNAL_MAX);
        for (size_t i = 0; i < count && i < SIGNAL_MAX; i++)
            sent += signal_safely(pids[i], where, signal_number);
    }
    free(pids);
    return sent;
}

bool proc_signal(pid_t pid, const char *dir, int signal_number)
{
    Where where;

    return pid > 0 && resolve(dir, &where) && signal_safely(pid, &where, signal_number);
}

size_t proc_signal_in(const char *dir, int signal_number)
{
    Where where;

    return resolve(dir, &where) ? signal_all(&where, signal_number) : 0;
}

size_t proc_signal_at(const ProcPlace *place, int signal_number)
{
    Where where = {.place = *place};

    return place->inode != 0 ? signal_all(&where, signal_number) : 0;
}

/* within: the text may be a part of the argument. */
static bool has_argument(pid_t pid, const char *text, bool within)
{
    char line[16384];
    ssize_t len = read_entry(pid, "cmdline", line, sizeof line);

    for (ssize_t at = 0; at < len; at += (ssize_t) strlen(line + at) + 1)
        if (within ? strstr(line + at, text) != NULL : strcmp(line + at, text) == 0)
            return true;
    return false;
}

static bool is_program(pid_t pid, const char *program)
{
    char name[NAME_MAX + 1];

    return proc_program(pid, name, sizeof name) && strcmp(name, program) == 0;
}

bool proc_runs_for(const char *program, const char *text)
{
    bool found = false;
    pid_t pid;

    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return false;
    while (!found && (pid = next_process(proc)) > 0)
        found = is_program(pid, program) && has_argument(pid, text, true) && proc_is_alive(pid);
    closedir(proc);
    return found;
}

/* Of our user and with our file system: the same path elsewhere is another directory. */
static bool is_program_with(pid_t pid, const char *program, const char *argument)
{
    char path[64];
    struct stat theirs;

    snprintf(path, sizeof path, "/proc/%ld", (long) pid);
    return shares_files(pid) && stat(path, &theirs) == 0 && theirs.st_uid == geteuid() &&
           is_program(pid, program) && has_argument(pid, argument, false) && proc_is_alive(pid);
}

size_t proc_signal_program(const char *program, const char *argument, int signal_number)
{
    pid_t pid;
    size_t sent = 0;

    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    while ((pid = next_process(proc)) > 0) {
        int fd = pid != getpid() ? (int) syscall(SYS_pidfd_open, pid, 0u) : -1;
        if (fd >= 0 && is_program_with(pid, program, argument))
            sent += syscall(SYS_pidfd_send_signal, fd, signal_number, NULL, 0u) == 0;
        if (fd >= 0)
            close(fd);
    }
    closedir(proc);
    return sent;
}

size_t proc_children(pid_t parent, pid_t *ret_pids, size_t max)
{
    pid_t pid;
    size_t count = 0;
    char buffer[1024];

    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    while ((pid = next_process(proc)) > 0) {
        const char *fields = stat_fields(pid, buffer, sizeof buffer); /* state, parent, ... */
        if (fields == NULL || *fields == 'Z' || *fields == 'X' || strtol(fields + 1, NULL, 10) != parent)
            continue;
        if (count < max)
            ret_pids[count] = pid;
        count++;
    }
    closedir(proc);
    return count;
}

bool proc_title_has(pid_t pid, const char *text)
{
    char title[4096];

    return read_entry(pid, "cmdline", title, sizeof title) > 0 && strstr(title, text) != NULL;
}

bool proc_memory_in_use(int shm_id, uint64_t shm_key)
{
    struct shmid_ds info;

    return shm_id >= 0 && shmctl(shm_id, IPC_STAT, &info) == 0 &&
           (uint32_t) info.shm_perm.__key == (uint32_t) shm_key && info.shm_nattch > 0;
}

/* ---- The watch ---- */

static void handle_close(ProcWatchHandle *handle)
{
    loop_close_free((uv_handle_t *) &handle->uv);
    close(handle->fd);
}

static void on_pidfd(uv_poll_t *uv, int status, int events)
{
    ProcWatchHandle *handle = (ProcWatchHandle *) uv;
    ProcExitFn *on_exit = handle->on_exit;
    void *arg = handle->arg;
    pid_t pid = handle->pid;

    (void) status;
    (void) events;
    handle->owner->handle = NULL;
    handle_close(handle);
    on_exit(arg, pid);
}

bool proc_watch_start(ProcWatch *watch, uv_loop_t *loop, pid_t pid, ProcExitFn *on_exit, void *arg, Err *err)
{
    ProcWatchHandle *handle;
    int status;

    proc_watch_stop(watch);
    int fd = (int) syscall(SYS_pidfd_open, pid, 0u);
    if (fd < 0)
        return err_set_errno(err, errno == ESRCH ? ERR_PG : ERR_IO, errno, "process %ld cannot be watched",
                             (long) pid);
    handle = calloc(1, sizeof *handle);
    if (handle == NULL) {
        close(fd);
        return err_set(err, ERR_MEMORY, "no memory to watch process %ld", (long) pid);
    }
    *handle = (ProcWatchHandle){.fd = fd, .pid = pid, .owner = watch, .on_exit = on_exit, .arg = arg};
    status = uv_poll_init(loop, &handle->uv, fd);
    if (status != 0) {
        close(fd);
        free(handle);
        return err_set(err, ERR_IO, "process %ld cannot be watched: %s", (long) pid, uv_strerror(status));
    }
    status = uv_poll_start(&handle->uv, UV_READABLE, on_pidfd);
    if (status != 0) {
        handle_close(handle);
        return err_set(err, ERR_IO, "process %ld cannot be watched: %s", (long) pid, uv_strerror(status));
    }
    watch->handle = handle;
    return true;
}

void proc_watch_stop(ProcWatch *watch)
{
    if (watch->handle == NULL)
        return;
    handle_close(watch->handle);
    watch->handle = NULL;
}
