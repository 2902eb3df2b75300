/*
 * file_tree.c: directories: making, looking into, removing with all below.
 *
 * Removal goes by open directory descriptors and never follows a link, so that a link put there meanwhile
 * cannot lead it out of the tree.
 */
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Deeper than any data directory goes; a descriptor is open for each level. */
#define TREE_DEPTH_MAX 64

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool dir_is_empty(const char *path, bool *ret_empty, Err *err)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    *ret_empty = true;
    if (dir == NULL && errno == ENOENT)
        return true;
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "the directory %s cannot be read", path);
    errno = 0;
    while (*ret_empty && (entry = readdir(dir)) != NULL)
        *ret_empty = is_dot(entry->d_name);
    int cause = errno;
    closedir(dir);
    errno = cause;
    return cause == 0 || err_set_errno(err, ERR_IO, cause, "the directory %s cannot be read", path);
}

static bool make_one(const char *path, mode_t mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return true;
    if (errno != EEXIST)
        return false;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    errno = ENOTDIR;
    return false;
}

bool dir_make(const char *path, mode_t mode, Err *err)
{
    char part[PATH_MAX];
    bool ok = str_copy(part, sizeof part, path);

    if (!ok)
        errno = ENAMETOOLONG;
    for (char *p = part + 1; ok && part[0] != '\0' && *p != '\0'; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        ok = make_one(part, mode);
        *p = '/';
    }
    ok = ok && make_one(part, mode);
    return ok || err_set_errno(err, ERR_IO, errno, "the directory %s cannot be made", path);
}

static bool empty_fd(int fd, dev_t device, int depth);

/* Removes one entry of the open directory, with all below it. */
static bool remove_entry(int parent, const char *name, dev_t device, int depth)
{
    struct stat st;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    bool ok = fstat(fd, &st) == 0;
    if (ok && st.st_dev != device) {
        errno = EXDEV;
        ok = false;
    }
    ok = ok && empty_fd(fd, device, depth + 1);
    int cause = errno;
    close(fd);
    errno = cause;
    return ok && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

/* Removes what is in the open directory. Goes on after a failure, so that as much as possible is gone; errno
 * is the first cause. */
static bool empty_fd(int fd, dev_t device, int depth)
{
    int own = depth > TREE_DEPTH_MAX ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    struct dirent *entry;
    int cause = 0;

    if (dir == NULL) {
        if (own >= 0)
            close(own);
        if (depth > TREE_DEPTH_MAX)
            errno = ELOOP;
        return false;
    }
    while ((entry = readdir(dir)) != NULL)
        if (!is_dot(entry->d_name) && !remove_entry(fd, entry->d_name, device, depth) && cause == 0)
            cause = errno;
    closedir(dir);
    errno = cause;
    return cause == 0;
}

/* Opens the tree's top; a link in its place is refused. *ret_fd is -1 if nothing is there. */
static bool open_top(const char *path, int *ret_fd, dev_t *ret_device)
{
    struct stat st;

    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0)
        return errno == ENOENT;
    if (fstat(*ret_fd, &st) != 0)
        return false;
    *ret_device = st.st_dev;
    return true;
}

static bool empty_top(const char *path, bool *ret_there)
{
    dev_t device = 0;
    int fd;
    bool ok = open_top(path, &fd, &device);

    *ret_there = fd >= 0;
    if (fd < 0)
        return ok;
    ok = ok && empty_fd(fd, device, 0);
    int cause = errno;
    close(fd);
    errno = cause;
    return ok;
}

bool file_empty_dir(const char *path, Err *err)
{
    bool there;

    return empty_top(path, &there) || err_set_errno(err, ERR_IO, errno, "%s cannot be emptied", path);
}

bool file_remove_tree(const char *path, Err *err)
{
    struct stat st;
    bool there = false;
    bool ok;

    if (lstat(path, &st) != 0)
        return errno == ENOENT || err_set_errno(err, ERR_IO, errno, "%s cannot be removed", path);
    if (S_ISDIR(st.st_mode))
        ok = empty_top(path, &there) && (!there || rmdir(path) == 0);
    else if (S_ISLNK(st.st_mode)) {
        errno = ELOOP;
        ok = false;
    } else
        ok = unlink(path) == 0;
    return ok || err_set_errno(err, ERR_IO, errno, "%s cannot be removed", path);
}
