/*
 * block.c: writes a block to the disk that a server writes to. The file has no name: nothing is left behind,
 * and nothing of it gets into a backup. A server goes on with what it has open or in memory when its files
 * are taken away: so one of them is looked for, too.
 */
#include "pg/block.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_LEN 8192

/* A file system that has no files without a name (NFS) gets one with a name, which is taken away at once. */
static int open_unnamed(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    snprintf(path, sizeof path, "%s/pgvigil.probe", directory);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void) unlink(path);
    return fd;
}

/* Returns errno, or 0 when the block is on the disk. */
static int write_one(const char *directory, Err *err)
{
    static const char block[BLOCK_LEN];
    int fd = open_unnamed(directory);
    ssize_t written = fd >= 0 ? write(fd, block, sizeof block) : -1;
    int failure = written < 0 ? errno : written < BLOCK_LEN ? ENOSPC : 0;

    if (failure == 0 && fsync(fd) != 0)
        failure = errno;
    if (fd >= 0)
        (void) close(fd);
    if (failure != 0)
        err_set_errno(err, ERR_IO, failure, "a block cannot be written below %s", directory);
    return failure;
}

static bool is_elsewhere(const char *directory, const char *wal)
{
    struct stat here, there;

    return stat(directory, &here) == 0 && stat(wal, &there) == 0 && here.st_dev != there.st_dev;
}

/* Returns errno, or 0 if the file is there that no server can do without. */
static int look_for_control(const char *directory, Err *err)
{
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/global/pg_control", directory);
    if (stat(path, &st) == 0)
        return 0;
    int failure = errno;
    err_set_errno(err, ERR_IO, failure, "the server runs, but %s cannot be read", path);
    return failure;
}

int block_write(const char *data_directory, Err *err)
{
    char wal[PATH_MAX];
    int failure = look_for_control(data_directory, err);

    snprintf(wal, sizeof wal, "%s/pg_wal", data_directory);
    if (failure == 0)
        failure = write_one(data_directory, err);
    if (failure == 0 && is_elsewhere(data_directory, wal))
        failure = write_one(wal, err);
    return failure;
}
