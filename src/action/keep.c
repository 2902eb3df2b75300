/*
 * keep.c: saving and restoring configuration files.
 *
 * The directory of kept files is made under another name and renamed, so that it is complete or not there.
 */
#include "action/keep.h"

#include "sys/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf",
                                    "pg_ident.conf"};

#define NAMES (sizeof names / sizeof names[0])

static void kept_path(const Run *run, const char *suffix, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s.kept%s", run->settings.state_directory, run->settings.cluster, suffix);
}

bool keep_save(const Run *run, Err *err)
{
    char kept[DATADIR_PATH_LEN + 64], making[DATADIR_PATH_LEN + 64];
    char from[DATADIR_PATH_LEN + 64], to[DATADIR_PATH_LEN + 128];
    bool any = false;

    kept_path(run, "", kept, sizeof kept);
    kept_path(run, ".new", making, sizeof making);
    if (file_exists(kept))
        return true;
    if (!file_remove_tree(making, err) || !dir_make(making, 0700, err))
        return false;
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(from, sizeof from, "%s/%s", run->settings.data_directory, names[i]);
        snprintf(to, sizeof to, "%s/%s", making, names[i]);
        if (!file_exists(from))
            continue;
        if (!file_copy(from, to, err))
            return false;
        any = true;
    }
    if (!any)
        return file_remove_tree(making, err);
    if (rename(making, kept) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot rename %s", making);
    return file_sync(run->settings.state_directory, err);
}

bool keep_restore(const Run *run, const char *directory, bool *ret_any, Err *err)
{
    char kept[DATADIR_PATH_LEN + 64], from[DATADIR_PATH_LEN + 128], to[DATADIR_PATH_LEN + 128];

    *ret_any = false;
    kept_path(run, "", kept, sizeof kept);
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(from, sizeof from, "%s/%s", kept, names[i]);
        snprintf(to, sizeof to, "%s/%s", directory, names[i]);
        if (!file_exists(from))
            continue;
        if (!file_copy(from, to, err))
            return false;
        *ret_any = true;
    }
    return true;
}

bool keep_discard(const Run *run, Err *err)
{
    char kept[DATADIR_PATH_LEN + 64];

    kept_path(run, "", kept, sizeof kept);
    return file_remove_tree(kept, err);
}
