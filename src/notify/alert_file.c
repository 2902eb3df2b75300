/*
 * alert_file.c: what each file should be, and one worker at a time that makes it so.
 *
 * The worker has a copy of all that is to be done; what is set meanwhile waits for the next round.
 */
#include "notify/alert_file.h"

#include "base/str.h"
#include "base/types.h"
#include "sys/file.h"
#include "sys/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALERT_FILE_MODE 0644
#define AGAIN_US        (10 * US_PER_SEC)

typedef struct One {
    char name[ALERT_FILE_NAME_LEN];
    bool is_on;
    bool is_due, is_failed;
    Err err; /* in the worker's copy */
} One;

struct AlertFiles {
    uv_loop_t *loop;
    char folder[PATH_MAX / 2];
    AlertFileFn *on_error, *on_written;
    void *arg;
    One one[ALERT_FILE_MAX];
    size_t count;
    One at_work[ALERT_FILE_MAX]; /* the worker's */
    size_t at_work_count;
    bool is_busy;
    bool is_freed;
    LoopTimer timer; /* until those that failed are tried again */
};

bool alert_file_check_name(const char *name, Err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (name[0] == '\0' || name[0] == '.' || strlen(name) >= ALERT_FILE_NAME_LEN ||
        name[strspn(name, allowed)] != '\0')
        return err_set(err, ERR_CONFIG,
                       "\"%.60s\" is no name for an alert file: 1 to %d of letters, digits, - _ and ., not "
                       "beginning with a dot",
                       name, ALERT_FILE_NAME_LEN - 1);
    return true;
}

static void on_again(void *arg);

AlertFiles *alert_file_new(uv_loop_t *loop, const char *folder, AlertFileFn *on_error, void *arg, Err *err)
{
    AlertFiles *files = calloc(1, sizeof *files);

    if (files == NULL)
        abort();
    if (folder[0] != '/' || !str_copy(files->folder, sizeof files->folder, folder)) {
        err_set(err, ERR_CONFIG, "\"%.200s\" is no absolute path of a folder for alert files", folder);
        free(files);
        return NULL;
    }
    files->loop = loop;
    loop_timer_init(&files->timer, loop, on_again, files);
    files->on_error = on_error;
    files->arg = arg;
    return files;
}

void alert_file_on_written(AlertFiles *files, AlertFileFn *on_written)
{
    files->on_written = on_written;
}

static void apply(const char *folder, One *one)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", folder, one->name);
    if (one->is_on) {
        if (!file_exists(path) && !file_write_atomic(path, ALERT_FILE_CONTENT, strlen(ALERT_FILE_CONTENT),
                                                     ALERT_FILE_MODE, &one->err))
            return;
    } else if (unlink(path) != 0 && errno != ENOENT) {
        err_set_errno(&one->err, ERR_IO, errno, "could not remove the alert file %s", path);
    }
}

static void work(void *arg)
{
    AlertFiles *files = arg;

    for (size_t i = 0; i < files->at_work_count; i++)
        apply(files->folder, &files->at_work[i]);
}

static One *find(const AlertFiles *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->one[i].name, name) == 0)
            return (One *) &files->one[i];
    return NULL;
}

static bool begin(AlertFiles *files);

static void on_worked(void *arg)
{
    AlertFiles *files = arg;

    for (size_t i = 0; i < files->at_work_count; i++) { /* still busy: the callback may set and free */
        One *one = &files->at_work[i];
        if (files->is_freed)
            break;
        if (one->err.code == ERR_NONE) {
            if (files->on_written != NULL)
                files->on_written(files->arg, one->name, &one->err);
            continue;
        }
        find(files, one->name)->is_failed = true;
        loop_timer_start(&files->timer, AGAIN_US, 0);
        if (files->on_error != NULL)
            files->on_error(files->arg, one->name, &one->err);
    }
    files->is_busy = false;
    if (!begin(files) && files->is_freed)
        free(files);
}

/* False if there is nothing to do. */
static bool begin(AlertFiles *files)
{
    files->at_work_count = 0;
    for (size_t i = 0; i < files->count; i++)
        if (files->one[i].is_due) {
            files->one[i].is_due = files->one[i].is_failed = false;
            files->at_work[files->at_work_count] = files->one[i];
            files->at_work[files->at_work_count++].err = (Err){0};
        }
    if (files->at_work_count == 0)
        return false;
    files->is_busy = true;
    loop_work(files->loop, work, on_worked, files);
    return true;
}

static void on_again(void *arg)
{
    AlertFiles *files = arg;

    for (size_t i = 0; i < files->count; i++)
        files->one[i].is_due = files->one[i].is_due || files->one[i].is_failed;
    if (!files->is_busy)
        begin(files);
}

bool alert_file_set(AlertFiles *files, const char *name, bool is_on, Err *err)
{
    One *one = find(files, name);

    if (one == NULL) {
        if (!alert_file_check_name(name, err))
            return false;
        if (files->count == ALERT_FILE_MAX)
            return err_set(err, ERR_CONFIG, "%s: there are %d alert files already", name, ALERT_FILE_MAX);
        one = &files->one[files->count++];
        str_copy(one->name, sizeof one->name, name);
    }
    one->is_on = is_on;
    one->is_due = true;
    if (!files->is_busy)
        begin(files);
    return true;
}

bool alert_file_is_on(const AlertFiles *files, const char *name)
{
    const One *one = find(files, name);

    return one != NULL && one->is_on;
}

void alert_file_free(AlertFiles *files)
{
    if (files == NULL)
        return;
    files->is_freed = true;
    loop_timer_done(&files->timer);
    if (!files->is_busy)
        free(files);
}
