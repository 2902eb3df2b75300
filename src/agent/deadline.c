/*
 * deadline.c: opening and writing the fence file, starting the guard.
 */
#include "agent/deadline.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool map_file(Deadline *deadline, Err *err)
{
    struct stat st;
    int fd = open(deadline->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open the fence file %s", deadline->path);
    if (ftruncate(fd, (off_t) sizeof(FenceFile)) != 0 || fstat(fd, &st) != 0) {
        err_set_errno(err, ERR_IO, errno, "cannot size the fence file %s", deadline->path);
        close(fd);
        return false;
    }
    void *map = mmap(NULL, sizeof(FenceFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return err_set_errno(err, ERR_IO, errno, "cannot map the fence file %s", deadline->path);
    deadline->file = map;
    deadline->device = (uint64_t) st.st_dev;
    deadline->inode = (uint64_t) st.st_ino;
    deadline->file->agent_pid = (int32_t) getpid();
    return true;
}

bool deadline_open(Deadline *ret, const char *run_directory, const char *cluster, const char *member,
                   Err *err)
{
    memset(ret, 0, sizeof *ret);
    fence_path(run_directory, cluster, member, ret->path);
    if (!dir_make(run_directory, 0750, err)) {
        err_context(err, "[node] run_directory");
        return false;
    }
    if (!map_file(ret, err))
        return false;
    ret->readable = fence_read(ret->file, &ret->fence);
    if (!ret->readable)
        ret->fence = (Fence){0};
    return true;
}

bool deadline_is(const Deadline *deadline, uint64_t device, uint64_t inode)
{
    return deadline->device == device && deadline->inode == inode;
}

bool deadline_reopen(Deadline *deadline, bool *ret_changed, Err *err)
{
    FenceFile *old = deadline->file;
    struct stat st;

    *ret_changed =
        stat(deadline->path, &st) != 0 || !deadline_is(deadline, (uint64_t) st.st_dev, (uint64_t) st.st_ino);
    if (!*ret_changed)
        return true;
    if (!map_file(deadline, err))
        return false;
    old->guard_pid = 0; /* a guard that goes on reading it would see a deadline that nobody moves on */
    if (deadline->readable)
        fence_write(deadline->file, &deadline->fence);
    return true;
}

void deadline_set(Deadline *deadline, const Fence *fence)
{
    if (deadline->readable && fence_equal(&deadline->fence, fence))
        return;
    deadline->readable = true;
    fence_write(deadline->file, fence);
    deadline->fence = *fence;
}

void deadline_touch(Deadline *deadline, const Clock *now)
{
    fence_touch(deadline->file, now);
}

void deadline_done(Deadline *deadline)
{
    if (deadline->file != NULL)
        munmap(deadline->file, sizeof(FenceFile));
    deadline->file = NULL;
}

pid_t deadline_start_guard(const Deadline *deadline, const char *data_directory, Err *err)
{
    char agent[16];
    pid_t pid;
    posix_spawnattr_t attr;
    char *const argv[] = {"pgvigil", "guard", (char *) deadline->path, (char *) data_directory, agent, NULL};

    snprintf(agent, sizeof agent, "%d", (int) getpid());
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    /* The running program, even if an upgrade has replaced the file. */
    int number = posix_spawn(&pid, "/proc/self/exe", NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (number != 0) {
        err_set_errno(err, ERR_IO, number, "cannot start the guard");
        return -1;
    }
    return pid;
}
