/*
 * internal.h: a sink with its queue and the conditions it knows of; private to src/notify.
 */
#ifndef PGVIGIL_NOTIFY_INTERNAL_H
#define PGVIGIL_NOTIFY_INTERNAL_H

#include "base/arena.h"
#include "notify/sink.h"
#include "sys/loop.h"

#define GAUGES_MAX 64

/* A condition as it is, and as it was told. */
typedef struct Known {
    NotifyEvent event;
    bool holds, was_told;
    bool was_told_here; /* by this member, and not taken for told by the one that speaks */
    bool is_held_back;  /* it holds, and is not told for it came too often */
    bool is_listed;     /* among those of the newest notify_conditions */
    Clock since;        /* when holds changed */
    Clock told_at;      /* zero: never */
    int64_t paid_us;    /* boot clock: each time that it was told anew moves this one pause on */
    uint32_t left_out;
} Known;

typedef struct Item {
    NotifyEvent event;
    Clock queued_at;
} Item;

struct Sink {
    SinkView view; /* first */
    Notify *notify;
    const SinkKind *kind;
    char *signature; /* all of the spec, to be compared on reload */
    Arena arena;     /* of the spec's copies */
    Item *queue[NOTIFY_QUEUE_MAX];
    int queue_len;
    bool is_busy; /* with queue[0] */
    int tries;
    LoopTimer timer; /* the next try */
    Known known[NOTIFY_CONDITIONS];
    int known_count;
    uint64_t sent, failed, dropped, left_out;
    Clock gauges_at;
    NotifyHookFn *on_tried; /* notify_try */
    void *tried_arg;
};

struct Notify {
    uv_loop_t *loop;
    char cluster[64], reporter[64], data_directory[512];
    uint16_t port;
    bool is_speaker;
    Clock silent_since; /* when is_speaker became false */
    Sink *sink[NOTIFY_SINKS];
    int sink_count;
    struct Before *before; /* hooks that an action waits for */
};

/* ---- spec.c ---- */

/* Copies what spec points to. False: memory. */
bool spec_copy(const NotifySpec *spec, Arena *arena, NotifySpec *ret_copy);
/* Everything that is in it, as a text; the caller frees it. NULL: memory. */
char *spec_signature(const NotifySpec *spec);

/* ---- outbox.c ---- */

/* Whether the sink's filters let it pass. */
bool outbox_wants(const Sink *sink, const NotifyEvent *event);
/* Copies the event into the queue; where there is no room the oldest of the least important goes. */
void outbox_add(Sink *sink, const NotifyEvent *event);
void outbox_init(Sink *sink);
void outbox_done(Sink *sink);
/* Takes the conditions that hold, and tells what is due. */
void outbox_conditions(Sink *sink, const NotifyEvent *events, int count);

#endif
