/*
 * clustermon_files.c: the data directory of a server that is down; for workers.
 */
#include "front/clustermon.h"

#include "pg/datadir.h"
#include "pg/timeline.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_MAX ((size_t) 64 << 10)

bool clustermon_files_is_quiet(const char *directory, Err *err)
{
    static const char *const programs[] = {"pg_rewind", "pg_basebackup"};
    PidFile pidfile;
    pid_t pid;
    bool runs = false;

    if (!datadir_read_pidfile(directory, &pidfile, &runs, err))
        return false;
    if (runs || proc_list_in(directory, &pid, 1) > 0)
        return err_set(err, ERR_PG, "a process of the local server still runs in %s", directory);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        if (proc_runs_for(programs[i], directory))
            return err_set(err, ERR_PG, "a %s still works in %s", programs[i], directory);
    return true;
}

/* FNV-1a. */
bool clustermon_files_stamp(const char *directory, uint64_t *ret_stamp, Err *err)
{
    char path[PATH_MAX];
    Buf text = {0};

    snprintf(path, sizeof path, "%s/global/pg_control", directory);
    *ret_stamp = 14695981039346656037u;
    bool ok = file_read(path, CONTROL_MAX, &text, err);
    for (size_t i = 0; i < text.len; i++)
        *ret_stamp = (*ret_stamp ^ (unsigned char) text.data[i]) * 1099511628211u;
    buf_done(&text);
    return ok;
}

bool clustermon_files_make_standby(const char *directory, uint32_t rewound_to, uint32_t segment_size,
                                   Err *err)
{
    char path[PATH_MAX];
    struct stat st;

    if (rewound_to != 0 && !timeline_trim_later(directory, segment_size, rewound_to, err))
        return false;
    snprintf(path, sizeof path, "%s/standby.signal", directory);
    if (file_exists(path))
        return true;
    if (!datadir_set_standby(directory, true, err))
        return false;
    if (stat(directory, &st) == 0 && geteuid() == 0 && lchown(path, st.st_uid, st.st_gid) != 0)
        return err_set_errno(err, ERR_IO, errno, "cannot give %s to the server's user", path);
    return true;
}
