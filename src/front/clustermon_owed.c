/*
 * clustermon_owed.c: a file that says that the data directory is half rewound, or half copied, and which one.
 *
 * It outlives this program: whatever starts next must not take what is there for a server.
 */
#include "front/clustermon.h"

#include "sys/file.h"
#include "sys/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME     "clone_owed"
#define MARK_MAX 8192

static const char *const words[] = {"nothing", "rewind", "copy"};

static void path_of(const char *folder, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/" NAME, folder);
}

bool clustermon_owed_read(const char *folder, const char *data_directory, ClustermonOwed *ret_owed, Err *err)
{
    char path[PATH_MAX];
    Buf text = {0};

    *ret_owed = CLUSTERMON_OWED_NOTHING;
    path_of(folder, path, sizeof path);
    if (!file_exists(path))
        return true;
    if (!file_read(path, MARK_MAX, &text, err))
        return false;
    const char *mark = text.data != NULL ? text.data : "";
    size_t word = strcspn(mark, " \n");
    const char *directory = mark[word] == ' ' ? mark + word + 1 : "";
    size_t len = strcspn(directory, "\n");
    bool ours = len == strlen(data_directory) && strncmp(directory, data_directory, len) == 0;
    /* One that was cut off says as much as a rewind: the primary is copied. */
    *ret_owed =
        word == strlen(words[CLUSTERMON_OWED_COPY]) && strncmp(mark, words[CLUSTERMON_OWED_COPY], word) == 0
            ? CLUSTERMON_OWED_COPY
            : CLUSTERMON_OWED_REWIND;
    if (directory[0] != '\0' && !ours)
        err_set(err, ERR_REFUSED, "%s is of the data directory %.*s: pg_data_path has changed; remove it",
                path, (int) (len < 200 ? len : 200), directory);
    bool ok = directory[0] == '\0' || ours;
    buf_done(&text);
    return ok;
}

bool clustermon_owed_write(const char *folder, const char *data_directory, ClustermonOwed owed, Err *err)
{
    char path[PATH_MAX];
    Buf text = {0};

    path_of(folder, path, sizeof path);
    buf_printf(&text, "%s %s\n", words[owed], data_directory);
    bool ok = text.failed ? err_set(err, ERR_MEMORY, "memory ran out")
                          : file_write_atomic(path, text.data, text.len, 0600, err);
    buf_done(&text);
    return ok;
}

bool clustermon_owed_remove(const char *folder, Err *err)
{
    char path[PATH_MAX];

    path_of(folder, path, sizeof path);
    return unlink(path) == 0 || errno == ENOENT ||
           err_set_errno(err, ERR_IO, errno, "cannot remove %s", path);
}

static void forget(void *arg)
{
    Err err = {0};

    if (!clustermon_owed_remove(arg, &err))
        log_line(LOG_LEVEL_ERROR, "mark_stays", "reason=\"%s\"", err.text);
}

void clustermon_owed_forget(Clustermon *cm)
{
    log_line(LOG_LEVEL_INFO, "whole_again", "somebody has made the data directory whole: no copy is owed");
    loop_work(&cm->loop, forget, NULL, (void *) cm->config->state_directory);
}
