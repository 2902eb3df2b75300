/*
 * home.c: where term, vote and document are kept: DATA/pg_keeper/NODE.state, in the store's format.
 *
 * pg_basebackup and pg_rewind copy this folder like any other. So the file's inode stands beside it, and when
 * it was made, where the file system knows: a backup that is restored may get the very same inode. In a copy
 * they are others, and then the state is thrown away, and the node has no vote until it is known again. Not
 * the device: its number may be another one after a boot, on all nodes at once.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file.h"
#include "sys/log.h"

#define FOLDER   "pg_keeper"
#define MARK_LEN 64

static void path_of(const char *ending, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/" FOLDER "/%s.%s", DataDir, gucs_node_id, ending);
}

/* False: errno says why. */
static bool text_of(const char *path, char *ret_text, size_t size)
{
    struct statx st;

    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &st) != 0)
        return false;
    int len = snprintf(ret_text, size, "%llu", (unsigned long long) st.stx_ino);
    if ((st.stx_mask & STATX_BTIME) != 0)
        snprintf(ret_text + len, size - (size_t) len, " %lld.%09u", (long long) st.stx_btime.tv_sec,
                 (unsigned) st.stx_btime.tv_nsec);
    return true;
}

/* Names of other nodes: a copy of their data directory. */
static void remove_others(const char *folder)
{
    size_t len = strlen(gucs_node_id);
    DIR *dir = opendir(folder);
    char path[MAXPGPATH * 2];

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        bool mine = strncmp(entry->d_name, gucs_node_id, len) == 0 && entry->d_name[len] == '.';
        if (entry->d_name[0] == '.' || mine)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        log_line(LOG_LEVEL_INFO, "state_of_another", "file=%s it came with a copy, and is removed", path);
        (void) unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
}

/* Whether the state is the one that was marked, at this very place. */
static bool is_marked(const char *text)
{
    char mark[MAXPGPATH];
    Buf content = {0};

    path_of("inode", mark, sizeof mark);
    bool same = file_exists(mark) && file_read(mark, MARK_LEN, &content, NULL) && content.data != NULL &&
                content.len == strlen(text) && memcmp(content.data, text, content.len) == 0;
    buf_done(&content);
    return same;
}

bool home_prepare(char *ret_folder, size_t size, Err *err)
{
    char state[MAXPGPATH], mark[MAXPGPATH], text[MARK_LEN];

    snprintf(ret_folder, size, "%s/" FOLDER, DataDir);
    if (!dir_make(ret_folder, 0700, err))
        return false;
    remove_others(ret_folder);
    path_of("state", state, sizeof state);
    if (!text_of(state, text, sizeof text))
        return errno == ENOENT || err_set_errno(err, ERR_IO, errno, "%s cannot be looked at", state);
    if (is_marked(text))
        return true;
    log_line(LOG_LEVEL_WARN, "state_is_a_copy",
             "file=%s it is removed: this node begins anew, without a vote", state);
    if (unlink(state) != 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be removed", state);
    path_of("inode", mark, sizeof mark);
    (void) unlink(mark);
    return true;
}

bool home_is_kept(void)
{
    char state[MAXPGPATH], text[MARK_LEN];

    path_of("state", state, sizeof state);
    return text_of(state, text, sizeof text) ? is_marked(text) : errno != ENOENT;
}

bool home_settle(Err *err)
{
    char state[MAXPGPATH], mark[MAXPGPATH], text[MARK_LEN];

    path_of("state", state, sizeof state);
    path_of("inode", mark, sizeof mark);
    if (!text_of(state, text, sizeof text))
        return err_set_errno(err, ERR_IO, errno, "%s cannot be looked at", state);
    /* A disk that is full has no room for what is there already. */
    return is_marked(text) || file_write_atomic(mark, text, strlen(text), 0600, err);
}
