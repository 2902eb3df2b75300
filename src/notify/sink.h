/*
 * sink.h: a way of telling: one row of a table, and what each row's functions see; private to src/notify.
 */
#ifndef PGVIGIL_NOTIFY_SINK_H
#define PGVIGIL_NOTIFY_SINK_H

#include "notify/notify.h"

typedef enum SinkSent {
    SINK_SENT,
    SINK_FAILED, /* err says why; tried again unless it is ERR_CONFIG */
    SINK_BUSY,   /* sink_done follows */
} SinkSent;

typedef struct Sink Sink;

typedef struct SinkKind {
    NotifyWay way;
    bool keeps_state; /* shows conditions as they are: nothing is repeated */
    bool no_retry;
    bool (*open)(Sink *sink, Err *err);
    /* Gives up what is under way, without sink_done. */
    void (*close)(Sink *sink);
    SinkSent (*send)(Sink *sink, const NotifyEvent *event, Err *err);
    void (*gauges)(Sink *sink, const NotifyGauge *gauges, int count); /* or NULL */
} SinkKind;

/* What a sink's functions know. state is theirs. */
typedef struct SinkView {
    uv_loop_t *loop;
    NotifySpec spec; /* copies, that live as long as the sink */
    char cluster[64], reporter[64];
    char data_directory[512];
    uint16_t port;
    void *state;
} SinkView;

/* The first member of Sink. */
SinkView *sink_view(Sink *sink);

/* The end of a SINK_BUSY; not from within send. */
void sink_done(Sink *sink, bool ok, const Err *err);

extern const SinkKind sink_mail, sink_alert_file, sink_statsd, sink_syslog, sink_journald, sink_webhook,
    sink_hook;

/* hook.c: one run of the command. done may be NULL. False with *err: it could not be started. */
typedef void HookDoneFn(void *arg, bool ok, const Err *err);
typedef struct HookRun HookRun;
HookRun *hook_run(SinkView *view, const char *action, const NotifyEvent *event, HookDoneFn *done, void *arg,
                  Err *err);
/* The child goes on; the callback does not come. */
void hook_forget(HookRun *run);
/* For the process's end, which would wait for them. */
void hook_kill_all(void);

#endif
