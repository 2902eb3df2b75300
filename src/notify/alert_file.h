/*
 * alert_file.h: files that are there while something is wrong, for monitoring that looks for files.
 *
 * Each has the content "alert" and nothing else. Needs a loop and nothing of the agent; the disk is touched
 * in libuv's pool, and a folder that hangs holds up only its own files.
 */
#ifndef PGVIGIL_NOTIFY_ALERT_FILE_H
#define PGVIGIL_NOTIFY_ALERT_FILE_H

#include "base/err.h"

#include <uv.h>

#define ALERT_FILE_NAME_LEN 128
#define ALERT_FILE_MAX      64 /* names in one folder */
#define ALERT_FILE_CONTENT  "alert"

typedef struct AlertFiles AlertFiles;

/* One that could not be written or removed; from the loop. It is tried again after ten seconds. */
typedef void AlertFileFn(void *arg, const char *name, const Err *err);

/* 1 to 127 of letters, digits, '-', '_' and '.', not beginning with '.'. */
bool alert_file_check_name(const char *name, Err *err);

/* folder: absolute; it is not made. on_error may be NULL. NULL with ERR_CONFIG. */
AlertFiles *alert_file_new(uv_loop_t *loop, const char *folder, AlertFileFn *on_error, void *arg, Err *err);

/* For who wants to know of those that were written or removed, too; err is none then. */
void alert_file_on_written(AlertFiles *files, AlertFileFn *on_written);

/*
 * From soon on the file is there, or is not. To be called with each change, or as often as one likes: a file
 * that somebody removed comes back, and one that is there is not written again. The last word for a name
 * counts. False with *err for a bad name or more than ALERT_FILE_MAX of them.
 */
bool alert_file_set(AlertFiles *files, const char *name, bool is_on, Err *err);

/* Whether that name was set to be there last. */
bool alert_file_is_on(const AlertFiles *files, const char *name);

/*
 * What was set already still reaches the disk; the files stay as they are. NULL: nothing. The callback does
 * not come any more.
 */
void alert_file_free(AlertFiles *files);

#endif
