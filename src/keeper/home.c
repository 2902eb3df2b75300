/*
 * home.c: where term, vote and document are kept: DATA/pg_keeper/NODE.state, in the store's format.
 *
 * pg_basebackup and pg_rewind copy this folder like any other. So a mark stands beside the state (mark.h),
 * NODE.inode. In a copy it does not fit, and then the state is thrown away, and the node has no vote until it
 * is known again.
 */
#include "keeper/keeper.h"
#include "keeper/mark.h"

#include <miscadmin.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/file.h"
#include "sys/log.h"

#define FOLDER "pg_keeper"

static void path_of(const char *ending, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/" FOLDER "/%s.%s", DataDir, gucs_node_id, ending);
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

bool home_prepare(char *ret_folder, size_t size, Err *err)
{
    char state[MAXPGPATH], mark[MAXPGPATH];
    Err why = {0};

    snprintf(ret_folder, size, "%s/" FOLDER, DataDir);
    if (!dir_make(ret_folder, 0700, err))
        return false;
    remove_others(ret_folder);
    path_of("state", state, sizeof state);
    path_of("inode", mark, sizeof mark);
    switch (mark_look(state, mark, &why)) {
    case MARK_SAME:
    case MARK_NO_FILE: return true;
    case MARK_UNKNOWN:
        return err_set(
            err, ERR_IO,
            "%.300s: whether the state in %s is a copy is not known, and it is left as it is; what is wrong "
            "there has to be mended",
            why.text, ret_folder);
    case MARK_OTHER: break;
    }
    log_line(LOG_LEVEL_WARN, "state_is_a_copy",
             "file=%s it is removed: this node begins anew, without a vote", state);
    if (unlink(state) != 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be removed", state);
    (void) unlink(mark);
    return true;
}

bool home_settle(Err *err)
{
    char state[MAXPGPATH], mark[MAXPGPATH];

    path_of("state", state, sizeof state);
    path_of("inode", mark, sizeof mark);
    return mark_settle(state, mark, err);
}
