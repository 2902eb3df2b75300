/*
 * file.c: whole files in one go; every step that a crash could undo is synced, the directory too.
 */
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_CHUNK 65536

/* Closes, and leaves errno to whoever reports an earlier error. */
static void close_keep_errno(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t) n;
    }
    return true;
}

/* The directory that path is in; ret_dir has room for PATH_MAX. */
static void parent_of(const char *path, char *ret_dir)
{
    char copy[PATH_MAX];

    str_copy(copy, sizeof copy, path);
    str_copy(ret_dir, PATH_MAX, dirname(copy));
}

static bool sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    close_keep_errno(fd);
    return ok;
}

static bool sync_parent(const char *path)
{
    char dir[PATH_MAX];

    parent_of(path, dir);
    return sync_path(dir);
}

bool file_sync(const char *path, Err *err)
{
    return sync_path(path) || err_set_errno(err, ERR_IO, errno, "%s cannot be synced", path);
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static bool read_open(int fd, const char *path, size_t max, Buf *ret_content, Err *err)
{
    char chunk[4096];
    struct stat st;
    size_t total = 0;

    if (fstat(fd, &st) != 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be read", path);
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return err_set(err, ERR_IO, "%s is not a regular file", path);
    }
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, ERR_IO, errno, "%s cannot be read", path);
        if (n == 0)
            break;
        total += (size_t) n;
        if (total > max) {
            errno = EFBIG;
            return err_set(err, ERR_IO, "%s is larger than %zu bytes", path, max);
        }
        buf_add(ret_content, chunk, (size_t) n);
    }
    if (ret_content->failed) {
        errno = ENOMEM;
        return err_set(err, ERR_MEMORY, "no memory to read %s", path);
    }
    return true;
}

bool file_read(const char *path, size_t max, Buf *ret_content, Err *err)
{
    /* Not blocking: opening a fifo that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be opened", path);
    bool ok = read_open(fd, path, max, ret_content, err);
    close_keep_errno(fd);
    return ok;
}

bool file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, Err *err)
{
    char temporary[PATH_MAX];
    bool ok = false;

    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int) sizeof temporary) {
        errno = ENAMETOOLONG;
        return err_set(err, ERR_IO, "the path %.100s... is too long", path);
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be written, no file can be made beside it", path);
    if (write_all(fd, data, len) && fchmod(fd, mode) == 0 && fsync(fd) == 0)
        ok = true;
    close_keep_errno(fd);
    if (ok)
        ok = rename(temporary, path) == 0;
    if (!ok) {
        int saved = errno;
        unlink(temporary);
        errno = saved;
        return err_set_errno(err, ERR_IO, saved, "%s cannot be written", path);
    }
    return sync_parent(path) ||
           err_set_errno(err, ERR_IO, errno, "the directory of %s cannot be synced", path);
}

/* True if a crash left the last line without its end. */
static bool ends_within_line(int fd)
{
    char last = '\n';
    off_t end = lseek(fd, 0, SEEK_END);

    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

bool file_append_line(const char *path, const char *line, Err *err)
{
    bool is_new = !file_exists(path);
    Buf buf = {0};
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0 && ends_within_line(fd))
        buf_puts(&buf, "\n");
    buf_puts(&buf, line);
    buf_puts(&buf, "\n");
    bool ok = fd >= 0 && !buf.failed && write_all(fd, buf.data, buf.len) && fdatasync(fd) == 0;
    close_keep_errno(fd);
    buf_done(&buf);
    if (ok && is_new)
        ok = sync_parent(path);
    return ok || err_set_errno(err, ERR_IO, errno, "%s cannot be appended to", path);
}

static bool copy_content(int in, int out)
{
    char *chunk = malloc(COPY_CHUNK);
    ssize_t n = -1;

    if (chunk == NULL)
        return false;
    for (;;) {
        n = read(in, chunk, COPY_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !write_all(out, chunk, (size_t) n))
            break;
    }
    free(chunk);
    return n == 0;
}

bool file_copy(const char *from, const char *to, Err *err)
{
    struct stat st;
    int out = -1;
    bool ok = false;
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (in < 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be opened", from);
    if (fstat(in, &st) == 0 && !S_ISREG(st.st_mode))
        errno = EINVAL;
    else
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 07777);
    if (out >= 0)
        ok = copy_content(in, out) && fchmod(out, st.st_mode & 07777) == 0 && fsync(out) == 0;
    close_keep_errno(in);
    close_keep_errno(out);
    if (ok)
        ok = sync_parent(to);
    return ok || err_set_errno(err, ERR_IO, errno, "%s cannot be copied to %s", from, to);
}

/* Who holds the lock, as far as the file says. */
static long lock_holder(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    return n > 0 ? strtol(text, NULL, 10) : 0;
}

bool file_lock(const char *path, int *ret_fd, Err *err)
{
    /* A lock of the open file, like flock(): another open in the same process does not drop it. */
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "the lock file %s cannot be opened", path);
    if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
        int cause = errno;
        long holder = lock_holder(fd);
        close(fd);
        errno = cause;
        if (cause == EAGAIN || cause == EACCES)
            return err_set(err, ERR_REFUSED, "process %ld already holds %s", holder, path);
        return err_set_errno(err, ERR_IO, cause, "the lock file %s cannot be locked", path);
    }
    int len = snprintf(text, sizeof text, "%ld\n", (long) getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t) len, 0) != len) {
        close_keep_errno(fd);
        return err_set_errno(err, ERR_IO, errno, "the lock file %s cannot be written", path);
    }
    *ret_fd = fd;
    return true;
}
