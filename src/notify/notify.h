/*
 * notify.h: what is to be told goes into queues with a bound, and from there to its sinks, on the loop.
 *
 * Nothing here blocks, and nothing waits for it: a sink that is slow, dead or wrong loses what does not fit
 * into its queue, the least important first, and says so in the log.
 */
#ifndef PGVIGIL_NOTIFY_NOTIFY_H
#define PGVIGIL_NOTIFY_NOTIFY_H

#include "base/err.h"
#include "notify/event.h"

#include <uv.h>

#define NOTIFY_SINKS         16
#define NOTIFY_QUEUE_MAX     64  /* for each sink */
#define NOTIFY_CONDITIONS    128 /* that are kept count of, for each sink */
#define NOTIFY_WORDS         32
#define NOTIFY_RETRY_MS      1000 /* the first pause between tries; each is twice as long as the one before */
#define NOTIFY_RETRY_MOST_MS 60000

/* A section [notify NAME]. Strings are copied; lists end with NULL and may be NULL. */
typedef struct NotifySpec {
    const char *name;
    const char *broken; /* why it cannot be opened, NULL: it can */
    NotifyWay way;
    uint64_t events;  /* a bit for each NotifyEventKind */
    uint32_t actions; /* hook: a bit for each NotifyAction; 0: for events */
    const char *const *members;
    NotifySeverity severity;
    bool from_leader; /* told only while notify_set_role says that this member speaks for the cluster */
    int64_t hold_ms, repeat_ms, timeout_ms, retry_ms;
    const char *host; /* mail, statsd */
    uint16_t port;
    const char *sender;
    const char *const *receivers;
    const char *user, *password, *ca_file;
    bool insecure;
    const char *folder;
    const char *const *tags;
    const char *prefix;
    int64_t every_ms;
    const char *address, *facility;
    NotifySyslogForm format;
    const char *url, *secret;
    const char *const *command;
    bool may_refuse;
} NotifySpec;

/* What goes with every message. */
typedef struct NotifyOptions {
    const char *cluster;
    const char *reporter;       /* this member */
    const char *data_directory; /* for hooks; "" or NULL: none */
    uint16_t port;              /* of this member's server; 0: none */
    const NotifySpec *specs;
    int spec_count;
} NotifyOptions;

typedef struct Notify Notify;

/* Opens what can be opened; a sink that cannot is logged and left out. Never NULL. */
Notify *notify_new(uv_loop_t *loop, const NotifyOptions *options);

/* Whether the section of that index can be opened; nothing is sent. */
bool notify_check(uv_loop_t *loop, const NotifyOptions *options, int index, Err *err);

/* Forgets all, and ends hooks that run: for the end of the process. NULL: nothing. */
void notify_free(Notify *notify);

/* Takes another configuration: sinks whose section has not changed keep their queues and what they told. */
void notify_reload(Notify *notify, const NotifyOptions *options);

/* Whether this member speaks for the cluster. */
void notify_set_speaker(Notify *notify, bool is_speaker);

/* Tells what happened once. Returns at once. */
void notify_post(Notify *notify, const NotifyEvent *event);

/*
 * All conditions that hold now; those that are not among them have ended. To be called as often as one likes.
 * Sinks with hold and repeat decide what of it is told, and when.
 */
void notify_conditions(Notify *notify, const NotifyEvent *events, int count);

/* One value for statsd, of that member ("" : of the cluster), sent with the next round. At most 64 a round.
 */
typedef struct NotifyGauge {
    const char *name;
    const char *member;
    double value;
} NotifyGauge;
/* True if some sink wants them now, so that they need not be made otherwise. */
bool notify_wants_gauges(const Notify *notify);
void notify_gauges(Notify *notify, const NotifyGauge *gauges, int count);

/* ---- Hooks around actions ---- */

/* allowed: no hook refused; else err says which and why. */
typedef void NotifyHookFn(void *arg, bool allowed, const Err *err);

/* True if some hook is to be run then. */
bool notify_has_hook(const Notify *notify, NotifyAction action);

/*
 * Runs the hooks of a before_ action, all at once, and calls on_done when all have ended or run into their
 * deadlines; never from within this call. about: role, primary, epoch, timeline and lsn are told. One at a
 * time: while one is under way, the next forgets the callback of the one before.
 */
void notify_before(Notify *notify, NotifyAction action, const NotifyEvent *about, NotifyHookFn *on_done,
                   void *arg);
void notify_forget_before(Notify *notify);

/* Runs the hooks of any action; nobody waits. Those of one section run one after the other, in order. */
void notify_run_hooks(Notify *notify, NotifyAction action, const NotifyEvent *about);

/* ---- What became of it ---- */

typedef struct NotifyCounters {
    const char *name; /* the section's */
    uint64_t sent, failed, dropped, left_out;
    int waiting;
} NotifyCounters;

/* Of the sink of that index; false past the last. */
bool notify_counters(const Notify *notify, int index, NotifyCounters *ret_counters);

/* One try of the sink of that name with that event, past all filters; on_done once, from the loop. False:
 * there is no such sink, or it could not be opened. */
bool notify_try(Notify *notify, const char *name, const NotifyEvent *event, NotifyHookFn *on_done, void *arg,
                Err *err);

#endif
