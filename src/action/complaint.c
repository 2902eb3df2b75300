/*
 * complaint.c: why the server ended, by its own log: the one that it was started with, or those that it
 * names.
 */
#include "action/complaint.h"

#include "action/server.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The last line in text that says why the server ended; false, and *ret_line is left alone, if none does. */
static bool find_complaint(char *text, char *ret_line, size_t size)
{
    /* as in a log for people, in CSV, in JSON */
    static const char *const marks[] = {"FATAL:",
                                        "PANIC:",
                                        "ERROR:",
                                        "FATAL,",
                                        "PANIC,",
                                        "\"error_severity\":\"FATAL\"",
                                        "\"error_severity\":\"PANIC\""};
    bool found = false;

    for (char *line = text; line != NULL && *line != '\0';) {
        char *newline = strchr(line, '\n');
        if (newline != NULL)
            *newline = '\0';
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
            const char *mark = strstr(line, marks[i]);
            if (mark != NULL) {
                str_copy(ret_line, size, mark);
                found = true;
            }
        }
        line = newline != NULL ? newline + 1 : NULL;
    }
    return found;
}

/* Looks at the end of a log, from an offset on. */
static bool read_log(ServerData *data, const char *path, off_t from)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < from) /* another file by now */
        from = 0;
    if (end - from > SERVER_LOG_TAIL)
        from = end - SERVER_LOG_TAIL;
    ssize_t len = pread(fd, data->tail, SERVER_LOG_TAIL, from);
    close(fd);
    data->tail[len > 0 ? len : 0] = '\0';
    str_copy(data->log, sizeof data->log, path);
    return find_complaint(data->tail, data->complaint, sizeof data->complaint);
}

/* With logging_collector the server names its logs ("stderr log/name") from the moment that it writes to them
 * instead of to us. */
static void read_collected(Run *run)
{
    ServerData *data = run->server;
    const char *directory = run->settings.data_directory;
    char path[DATADIR_PATH_LEN * 2];
    Buf names = {0};

    snprintf(path, sizeof path, "%s/current_logfiles", directory);
    if (file_read(path, SERVER_LOG_TAIL, &names, NULL) && names.data != NULL) {
        for (char *line = names.data; *line != '\0';) {
            size_t len = strcspn(line, "\n");
            bool last = line[len] == '\0';
            line[len] = '\0';
            const char *name = strchr(line, ' ');
            if (name != NULL) {
                snprintf(path, sizeof path, "%s%s%s", name[1] == '/' ? "" : directory,
                         name[1] == '/' ? "" : "/", name + 1);
                if (read_log(data, path, 0))
                    break;
            }
            line += len + (last ? 0 : 1);
        }
    }
    buf_done(&names);
}

/* The last line in the server's log that says why it ended: first in what this start wrote. */
bool complaint_read(Run *run, Err *err)
{
    ServerData *data = run->server;

    (void) err;
    data->complaint[0] = '\0';
    if (!read_log(data, run->settings.server_log, data->log_begins))
        read_collected(run);
    return true;
}
