/*
 * mark.c: a file's inode, and when it was made, where the file system knows: a backup that is restored may
 * get the very same inode. Not the device: its number may be another one after a boot, on all nodes at once.
 */
#include "keeper/mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sys/file.h"

#define MARK_LEN 64

/* False: errno says why. */
static bool text_of(const char *file, char *ret_text, size_t size)
{
    struct statx st;

    if (statx(AT_FDCWD, file, 0, STATX_INO | STATX_BTIME, &st) != 0)
        return false;
    int len = snprintf(ret_text, size, "%llu", (unsigned long long) st.stx_ino);
    if ((st.stx_mask & STATX_BTIME) != 0)
        snprintf(ret_text + len, size - (size_t) len, " %lld.%09u", (long long) st.stx_btime.tv_sec,
                 (unsigned) st.stx_btime.tv_nsec);
    return true;
}

/* What is no file, or too long for one, says nothing else by being read again. */
static bool is_no_mark(int cause)
{
    return cause == ENOENT || cause == EINVAL || cause == EFBIG;
}

static Mark compare(const char *text, const char *mark, Err *err)
{
    Buf content = {0};
    Mark found = MARK_OTHER;

    if (file_read(mark, MARK_LEN, &content, err)) {
        if (content.data != NULL && content.len == strlen(text) &&
            memcmp(content.data, text, content.len) == 0)
            found = MARK_SAME;
    } else if (!is_no_mark(errno)) {
        found = MARK_UNKNOWN;
    }
    buf_done(&content);
    return found;
}

static Mark look(const char *file, const char *mark, char *ret_text, Err *err)
{
    if (text_of(file, ret_text, MARK_LEN))
        return compare(ret_text, mark, err);
    if (errno == ENOENT)
        return MARK_NO_FILE;
    (void) err_set_errno(err, ERR_IO, errno, "%s cannot be looked at", file);
    return MARK_UNKNOWN;
}

Mark mark_look(const char *file, const char *mark, Err *err)
{
    char text[MARK_LEN];

    return look(file, mark, text, err);
}

bool mark_settle(const char *file, const char *mark, Err *err)
{
    char text[MARK_LEN];

    switch (look(file, mark, text, err)) {
    case MARK_SAME: return true;
    case MARK_OTHER: return file_write_atomic(mark, text, strlen(text), 0600, err);
    case MARK_NO_FILE: return err_set(err, ERR_IO, "%s is not there to be marked", file);
    case MARK_UNKNOWN: return false;
    }
    return false;
}
