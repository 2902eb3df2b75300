/*
 * file.h: reading and writing whole files so that a crash leaves the old one or the new one, never half.
 *
 * All calls block: at start-up, in a worker (loop_work) or in a process of its own only. Every descriptor is
 * close-on-exec. After a failure errno still holds the cause.
 */
#ifndef PGVIGIL_SYS_FILE_H
#define PGVIGIL_SYS_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <sys/types.h>

/* Appends the file's content to ret_content. Fails if it is longer than max bytes, no regular file, or
 * unreadable. */
bool file_read(const char *path, size_t max, Buf *ret_content, Err *err);

/*
 * Replaces the file by data: temporary file beside it, fsync, rename, fsync of the directory. A file that is
 * there keeps its owner only as far as the caller is that owner; its mode becomes mode.
 */
bool file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, Err *err);

/* Appends line and a newline in one write, then fdatasync. Creates the file with mode 0600. A last line
 * that has no end gets one first. */
bool file_append_line(const char *path, const char *line, Err *err);

/* True if something of that name is there, be it a dangling link. */
bool file_exists(const char *path);

/* *ret_empty: whether the directory has no entries, or does not exist. Fails if it cannot be read or is no
 * directory. */
bool dir_is_empty(const char *path, bool *ret_empty, Err *err);

/* Makes the directory and those above it, as mkdir -p does; new ones get mode. One that is there is left as
 * it is. */
bool dir_make(const char *path, mode_t mode, Err *err);

/*
 * Removes path and all below it. Symbolic links are removed, never followed; what is mounted below is left
 * alone and makes it fail. Nothing there is success. The path itself must not be a link.
 */
bool file_remove_tree(const char *path, Err *err);

/* Like file_remove_tree for what is in the directory; the directory itself stays. */
bool file_empty_dir(const char *path, Err *err);

/* Copies a regular file to a new or truncated one of the same mode, then fsync of it and of its directory. */
bool file_copy(const char *from, const char *to, Err *err);

/* fsync of a file or directory. */
bool file_sync(const char *path, Err *err);

/*
 * Takes the lock file for this process, without waiting, and writes the process's id into it. The lock lives
 * as long as *ret_fd. Held by somebody else: ERR_REFUSED, the text names the holder's process id.
 */
bool file_lock(const char *path, int *ret_fd, Err *err);

#endif
