/*
 * datadir.c: what a data directory tells without its server.
 *
 * The three numbers taken straight from global/pg_control (identifier, version, state) have stood at the same
 * place since PostgreSQL 8; everything else in that file is pg_controldata's to read.
 */
#include "pg/datadir.h"

#include "base/str.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_FILE_MAX ((size_t) 64 << 10)

static void join(char *ret_path, size_t size, const char *directory, const char *name)
{
    int len = snprintf(ret_path, size, "%s/%s", directory, name);

    /* Cut off, it would name another file. */
    if (len < 0 || (size_t) len >= size)
        ret_path[0] = '\0';
}

bool datadir_kind(const char *directory, DatadirKind *ret_kind, Err *err)
{
    char path[DATADIR_PATH_LEN];
    bool any = false, other = false, wal = false, label = false;

    DIR *dir = opendir(directory);
    if (dir == NULL && errno == ENOENT) {
        *ret_kind = DATADIR_EMPTY;
        return true;
    }
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read the data directory %s", directory);
    for (struct dirent *entry; errno = 0, (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, "lost+found") == 0)
            continue;
        any = true;
        wal = wal || strcmp(entry->d_name, "pg_wal") == 0;
        label = label || strcmp(entry->d_name, "backup_label") == 0;
        other = other || strcmp(entry->d_name, "pg_wal") != 0;
    }
    int broken = errno;
    closedir(dir);
    if (broken != 0) /* else a disk that fails would look like an empty one */
        return err_set_errno(err, ERR_IO, broken, "cannot read the data directory %s", directory);
    *ret_kind = DATADIR_EMPTY;
    if (any) {
        join(path, sizeof path, directory, "PG_VERSION");
        bool version = file_exists(path);
        join(path, sizeof path, directory, "global/pg_control");
        /* A base backup brings pg_wal, then tablespaces, then backup_label, PG_VERSION somewhere, pg_control
         * last. */
        bool control = file_exists(path), begun = wal && (label || !other) && !control;
        *ret_kind = !version && !begun ? DATADIR_FOREIGN : control ? DATADIR_CLUSTER : DATADIR_PARTIAL;
    }
    return true;
}

bool datadir_version(const char *directory, uint32_t *ret_major, Err *err)
{
    char path[DATADIR_PATH_LEN];
    Buf text = {0};
    unsigned major = 0;

    join(path, sizeof path, directory, "PG_VERSION");
    bool ok = file_read(path, SMALL_FILE_MAX, &text, err);
    if (ok && (text.data == NULL || sscanf(text.data, "%u", &major) != 1 || major == 0))
        ok = err_set(err, ERR_PG, "%s holds no version", path);
    buf_done(&text);
    *ret_major = major;
    return ok;
}

bool datadir_check_owner(const char *directory, Err *err)
{
    struct stat st;

    if (stat(directory, &st) != 0)
        return errno == ENOENT || err_set_errno(err, ERR_IO, errno, "cannot look at %s", directory);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_REFUSED, "data_directory %s is no directory", directory);
    if (st.st_uid != geteuid())
        return err_set(err, ERR_REFUSED,
                       "data directory %s belongs to user id %u, and this runs as %u: run it as the owner "
                       "(usually postgres)",
                       directory, (unsigned) st.st_uid, (unsigned) geteuid());
    return true;
}

/* Copies one line of text into a field; moves *text past it. False at the end of the text. */
static bool take_line(const char **text, char *ret_line, size_t size)
{
    if (**text == '\0')
        return false;
    size_t len = strcspn(*text, "\n");
    size_t copied = len < size ? len : size - 1;
    memcpy(ret_line, *text, copied);
    while (copied > 0 && isspace((unsigned char) ret_line[copied - 1]))
        copied--;
    ret_line[copied] = '\0';
    *text += len + ((*text)[len] == '\n' ? 1 : 0);
    return true;
}

bool datadir_parse_pidfile(const char *text, PidFile *ret_file)
{
    char line[DATADIR_PATH_LEN];
    unsigned long key, id;

    *ret_file = (PidFile){.shm_id = -1};
    for (int number = 1; take_line(&text, line, sizeof line); number++) {
        switch (number) {
        case 1: ret_file->pid = (pid_t) strtol(line, NULL, 10); break;
        case 4: ret_file->port = (uint16_t) strtoul(line, NULL, 10); break;
        case 5: str_copy(ret_file->socket_directory, sizeof ret_file->socket_directory, line); break;
        case 6:
            if (strcmp(line, "*") == 0 || strcmp(line, "0.0.0.0") == 0)
                str_copy(line, sizeof line, "127.0.0.1");
            else if (strcmp(line, "::") == 0)
                str_copy(line, sizeof line, "::1");
            str_copy(ret_file->listen_address, sizeof ret_file->listen_address, line);
            break;
        case 7:
            if (sscanf(line, "%lu %lu", &key, &id) == 2) {
                ret_file->shm_key = key;
                ret_file->shm_id = (int) id;
            }
            break;
        case 8: str_copy(ret_file->status, sizeof ret_file->status, line); break;
        default: break;
        }
    }
    return ret_file->pid > 0;
}

bool datadir_read_pidfile(const char *directory, PidFile *ret_file, bool *ret_running, Err *err)
{
    char path[DATADIR_PATH_LEN];
    Buf text = {0};

    *ret_running = false;
    *ret_file = (PidFile){.shm_id = -1};
    join(path, sizeof path, directory, "postmaster.pid");
    if (!file_read(path, SMALL_FILE_MAX, &text, err)) {
        int cause = errno;
        buf_done(&text);
        return cause == ENOENT || cause == ENOTDIR;
    }
    if (datadir_parse_pidfile(text.data != NULL ? text.data : "", ret_file))
        *ret_running = proc_serves(ret_file->pid, directory);
    buf_done(&text);
    return true;
}

bool datadir_read_control(const char *directory, ControlState *ret_state, uint64_t *ret_system_identifier,
                          uint32_t *ret_control_version, Err *err)
{
    static const ControlState states[] = {CONTROL_STARTING_UP,           CONTROL_SHUT_DOWN,
                                          CONTROL_SHUT_DOWN_IN_RECOVERY, CONTROL_SHUTTING_DOWN,
                                          CONTROL_IN_CRASH_RECOVERY,     CONTROL_IN_ARCHIVE_RECOVERY,
                                          CONTROL_IN_PRODUCTION};
    char path[DATADIR_PATH_LEN];
    unsigned char head[20];
    uint32_t state;

    join(path, sizeof path, directory, "global/pg_control");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "cannot open %s", path);
    ssize_t len = pread(fd, head, sizeof head, 0);
    close(fd);
    if (len != (ssize_t) sizeof head)
        return err_set(err, ERR_IO, "%s is too short", path);
    memcpy(ret_system_identifier, head, sizeof *ret_system_identifier);
    memcpy(ret_control_version, head + 8, sizeof *ret_control_version);
    memcpy(&state, head + 16, sizeof state);
    *ret_state = state < sizeof states / sizeof states[0] ? states[state] : CONTROL_UNKNOWN;
    return true;
}

/* Removes a file of the directory; *changed becomes true if it was there. */
static bool remove_signal(const char *directory, const char *name, bool *changed, Err *err)
{
    char path[DATADIR_PATH_LEN];

    join(path, sizeof path, directory, name);
    if (unlink(path) == 0)
        *changed = true;
    else if (errno != ENOENT)
        return err_set_errno(err, ERR_IO, errno, "cannot remove %s", path);
    return true;
}

bool datadir_set_standby(const char *directory, bool standby, Err *err)
{
    char path[DATADIR_PATH_LEN];
    bool changed = false;

    join(path, sizeof path, directory, "standby.signal");
    if (standby && !file_exists(path) && !file_write_atomic(path, "", 0, 0600, err))
        return false;
    if (!standby && !remove_signal(directory, "standby.signal", &changed, err))
        return false;
    if (!remove_signal(directory, "recovery.signal", &changed, err))
        return false;
    return !changed || file_sync(directory, err);
}
