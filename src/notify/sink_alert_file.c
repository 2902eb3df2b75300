/*
 * sink_alert_file.c: a file for each condition that holds, and one that stays for what happened once.
 *
 * A condition that ended while nobody was here to see it has left its file behind: a while after the start
 * those that nobody set are removed.
 */
#include "notify/alert_file.h"
#include "notify/sink.h"
#include "sys/log.h"
#include "sys/loop.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_NAME      "test-"
#define STALE_AFTER_MS 10000 /* behind hold */

typedef struct Folder {
    AlertFiles *files;
    LoopTimer timer;
    struct Scan *scan;
    char sending[ALERT_FILE_NAME_LEN]; /* "": nothing */
} Folder;

/* The worker's; outlives the sink. */
typedef struct Scan {
    Sink *sink; /* NULL: gone */
    char folder[1024];
    char name[ALERT_FILE_MAX][ALERT_FILE_NAME_LEN];
    int count;
} Scan;

/* "EVENT", "EVENT-MEMBER" or "EVENT-MEMBER-SUBJECT"; no event has a '-' in it. */
static void name_of(const NotifyEvent *event, char *ret_name, size_t size)
{
    snprintf(ret_name, size, "%.32s%s%.40s%s%.48s", notify_event_name(event->kind),
             event->member[0] != '\0' ? "-" : "", event->member, event->subject[0] != '\0' ? "-" : "",
             event->subject);
    for (char *c = ret_name; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", *c) == NULL)
            *c = '_';
}

static bool is_condition_of(const SinkView *view, const char *name)
{
    char event[32];
    size_t len = strcspn(name, "-");

    if (len >= sizeof event)
        return false;
    memcpy(event, name, len);
    event[len] = '\0';
    NotifyEventKind kind = notify_event_find(event);
    return kind != NOTIFY_EVENTS && notify_event_is_condition(kind) && (view->spec.events >> kind & 1u) != 0;
}

static void scan_folder(void *arg)
{
    Scan *scan = arg;
    DIR *dir = opendir(scan->folder);
    const struct dirent *entry;

    while (dir != NULL && scan->count < ALERT_FILE_MAX && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && str_copy(scan->name[scan->count], ALERT_FILE_NAME_LEN, entry->d_name))
            scan->count++;
    if (dir != NULL)
        closedir(dir);
}

static void on_scanned(void *arg)
{
    Scan *scan = arg;

    if (scan->sink != NULL) {
        SinkView *view = sink_view(scan->sink);
        Folder *folder = view->state;
        folder->scan = NULL;
        for (int i = 0; i < scan->count; i++)
            if (is_condition_of(view, scan->name[i]) && !alert_file_is_on(folder->files, scan->name[i])) {
                log_line(LOG_LEVEL_INFO, "alert_file_stale", "sink=%s file=%s is removed", view->spec.name,
                         scan->name[i]);
                alert_file_set(folder->files, scan->name[i], false, NULL);
            }
    }
    free(scan);
}

static void on_time(void *arg)
{
    Sink *sink = arg;
    SinkView *view = sink_view(sink);
    Folder *folder = view->state;

    folder->scan = calloc(1, sizeof *folder->scan);
    if (folder->scan == NULL)
        abort();
    folder->scan->sink = sink;
    str_copy(folder->scan->folder, sizeof folder->scan->folder, view->spec.folder);
    loop_work(view->loop, scan_folder, on_scanned, folder->scan);
}

static void end_sending(Sink *sink, const char *name, const Err *err)
{
    Folder *folder = sink_view(sink)->state;

    if (strcmp(folder->sending, name) != 0)
        return;
    folder->sending[0] = '\0';
    if (strncmp(name, TEST_NAME, strlen(TEST_NAME)) == 0)
        alert_file_set(folder->files, name, false, NULL); /* it was a try, and nothing to stay */
    sink_done(sink, err->code == ERR_NONE, err);
}

static void on_error(void *arg, const char *name, const Err *err)
{
    static LogLimit limit;

    log_limited(&limit, LOG_LEVEL_ERROR, "alert_file_failed", "sink=%s file=%s tried again reason=\"%s\"",
                sink_view(arg)->spec.name, name, err->text);
    end_sending(arg, name, err);
}

static void on_written(void *arg, const char *name, const Err *err)
{
    end_sending(arg, name, err);
}

static bool open_folder(Sink *sink, Err *err)
{
    SinkView *view = sink_view(sink);
    AlertFiles *files = alert_file_new(view->loop, view->spec.folder, on_error, sink, err);

    if (files == NULL)
        return false;
    Folder *folder = calloc(1, sizeof *folder);
    if (folder == NULL)
        abort();
    folder->files = files;
    alert_file_on_written(files, on_written);
    view->state = folder;
    loop_timer_init(&folder->timer, view->loop, on_time, sink);
    loop_timer_start(&folder->timer, (view->spec.hold_ms + STALE_AFTER_MS) * US_PER_MS, 0);
    return true;
}

static void close_folder(Sink *sink)
{
    Folder *folder = sink_view(sink)->state;

    if (folder->scan != NULL)
        folder->scan->sink = NULL;
    loop_timer_done(&folder->timer);
    alert_file_free(folder->files);
    free(folder);
}

static SinkSent send_event(Sink *sink, const NotifyEvent *event, Err *err)
{
    Folder *folder = sink_view(sink)->state;
    char name[ALERT_FILE_NAME_LEN];

    name_of(event, name, sizeof name);
    if (!alert_file_set(folder->files, name, event->state != NOTIFY_ENDED, err))
        return SINK_FAILED;
    str_copy(folder->sending, sizeof folder->sending, name);
    return SINK_BUSY;
}

const SinkKind sink_alert_file = {
    .way = NOTIFY_ALERT_FILE,
    .keeps_state = true,
    .open = open_folder,
    .close = close_folder,
    .send = send_event,
};
