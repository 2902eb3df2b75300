/*
 * look.c: what the disk and /proc tell of a server that does not, or not yet, speak for itself.
 */
#include "pg/look.h"

#include "base/str.h"
#include "pg/query.h"
#include "pg/timeline.h"
#include "sys/programs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Makes a number that changes when the file is replaced or written. */
static uint64_t stamp_of(const char *directory)
{
    char path[DATADIR_PATH_LEN + 32];
    struct stat st;

    snprintf(path, sizeof path, "%s/global/pg_control", directory);
    if (stat(path, &st) != 0)
        return 0;
    return ((uint64_t) st.st_mtim.tv_sec * 1000000000u + (uint64_t) st.st_mtim.tv_nsec) ^
           ((uint64_t) st.st_ino << 40) ^ 1u;
}

static void look_at_cluster(Look *look)
{
    Err err = {0};
    uint32_t control_version;

    look->control_stamp = stamp_of(look->data_directory);
    if (!datadir_version(look->data_directory, &look->major, &err) ||
        !datadir_read_control(look->data_directory, &look->control_state, &look->system_identifier,
                              &control_version, &err) ||
        !programs_find(look->configured_bin, look->data_directory, look->bin, sizeof look->bin, &err) ||
        !query_supports(look->major * 10000u, &err))
        str_copy(look->problem, sizeof look->problem, err.text);
}

static void look_at_directory(Look *look)
{
    Err err = {0};

    if (!datadir_check_owner(look->data_directory, &err) ||
        !datadir_kind(look->data_directory, &look->kind, &err)) {
        str_copy(look->problem, sizeof look->problem, err.text);
        return;
    }
    look->readable = true;
    switch (look->kind) {
    case DATADIR_EMPTY: break;
    case DATADIR_CLUSTER: look_at_cluster(look); break;
    case DATADIR_PARTIAL:
        snprintf(look->problem, sizeof look->problem,
                 "%.150s is incomplete (no global/pg_control): an interrupted initdb or clone",
                 look->data_directory);
        break;
    case DATADIR_FOREIGN:
        snprintf(
            look->problem, sizeof look->problem,
            "%.120s is not empty and no data directory (no PG_VERSION): move its content away, or correct "
            "data_directory",
            look->data_directory);
        break;
    }
    if (!datadir_read_pidfile(look->data_directory, &look->pidfile, &look->running, &err))
        str_copy(look->problem, sizeof look->problem, err.text);
    if (look->running)
        proc_place(look->pidfile.pid, &look->place);
}

static void look_at_processes(Look *look)
{
    pid_t pid;
    PidFile file;
    bool running;

    look->processes =
        proc_list_in(look->data_directory, &pid, 1) > 0 || proc_signal_at(&look->known_place, 0) > 0;
    if (look->processes)
        return;
    look->processes = proc_memory_in_use(look->known_shm_id, look->known_shm_key);
    if (!look->processes && datadir_read_pidfile(look->data_directory, &file, &running, NULL))
        look->processes = proc_memory_in_use(file.shm_id, file.shm_key);
}

static void look_at_wal(Look *look)
{
    WalList list;
    uint32_t size = look->segment_size != 0 ? look->segment_size : WAL_SEGMENT_SIZE_NORMAL;

    look->wal_ok = wal_list(look->data_directory, size, look->lsn, &list, NULL);
    if (!look->wal_ok)
        return;
    look->oldest = list.oldest;
    look->timeline = look->known_timeline;
    if (look->timeline == 0)
        look->timeline =
            list.newest_timeline > look->least_timeline ? list.newest_timeline : look->least_timeline;
    look->wal_ok = timeline_start(look->data_directory, look->timeline, &look->timeline_start, NULL);
}

void look_run(Look *look)
{
    look->pidfile.shm_id = -1;
    if ((look->what & LOOK_DIRECTORY) != 0)
        look_at_directory(look);
    if ((look->what & LOOK_PROCESSES) != 0)
        look_at_processes(look);
    if ((look->what & LOOK_WAL) != 0)
        look_at_wal(look);
}
