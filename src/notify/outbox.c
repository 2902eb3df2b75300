/*
 * outbox.c: what one sink is to tell: its filters, its queue, its tries, and how often a condition is told.
 *
 * The head of the queue is what is being sent; it stays until it was sent or is given up.
 */
#include "notify/internal.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A member that does not speak for the cluster takes it for told by the one that does when it has lasted for
 * so much longer than hold. */
#define SPEAKER_MS 10000
/* A condition that begins again is told anew, so often in a row; from then on once in each pause. */
#define BURST    5
#define PAUSE_US (60 * US_PER_SEC)

/* ---- Filters ---- */

static bool wants_member(const Sink *sink, const char *member)
{
    const char *const *word = sink->view.spec.members;

    if (member[0] == '\0' || word == NULL || *word == NULL)
        return true;
    for (; *word != NULL; word++)
        if (strcmp(*word, "all") == 0 || strcmp(*word, member) == 0 ||
            (strcmp(*word, "self") == 0 && strcmp(member, sink->view.reporter) == 0))
            return true;
    return false;
}

bool outbox_wants(const Sink *sink, const NotifyEvent *event)
{
    const NotifySpec *spec = &sink->view.spec;

    if (spec->way == NOTIFY_HOOK && spec->actions != 0)
        return false; /* it is run around actions, and not for events */
    return (spec->events >> event->kind & 1u) != 0 && event->severity >= spec->severity &&
           wants_member(sink, event->member);
}

/* ---- The queue ---- */

static void drop(Sink *sink, int index)
{
    free(sink->queue[index]);
    sink->queue_len--;
    memmove(&sink->queue[index], &sink->queue[index + 1],
            sizeof sink->queue[0] * (size_t) (sink->queue_len - index));
}

/* The oldest of the least important; what is being sent stays. */
static void make_room(Sink *sink)
{
    int victim = sink->is_busy ? 1 : 0;

    for (int i = victim + 1; i < sink->queue_len; i++)
        if (sink->queue[i]->event.severity < sink->queue[victim]->event.severity)
            victim = i;
    sink->dropped++;
    log_line(LOG_LEVEL_WARN, "notification_dropped", "sink=%s event=%s %d wait already", sink->view.spec.name,
             notify_event_name(sink->queue[victim]->event.kind), NOTIFY_QUEUE_MAX);
    if (victim == 0)
        sink->tries = 0;
    drop(sink, victim);
}

static void wake(Sink *sink, int64_t after_ms)
{
    loop_timer_start(&sink->timer, after_ms * US_PER_MS, 0);
}

void outbox_add(Sink *sink, const NotifyEvent *event)
{
    static uint64_t last_id;
    Item *item = calloc(1, sizeof *item);

    if (item == NULL)
        abort();
    if (sink->queue_len == NOTIFY_QUEUE_MAX)
        make_room(sink);
    item->event = *event;
    item->queued_at = clock_now();
    /* Above all ids of former processes, and different from each other. */
    last_id = last_id < (uint64_t) item->queued_at.wall_us ? (uint64_t) item->queued_at.wall_us : last_id + 1;
    item->event.id = last_id;
    sink->queue[sink->queue_len++] = item;
    if (!sink->is_busy && sink->tries == 0)
        wake(sink, 0);
}

static int64_t pause_ms(int tries)
{
    int64_t ms = NOTIFY_RETRY_MS;

    for (int i = 1; i < tries && ms < NOTIFY_RETRY_MOST_MS; i++)
        ms *= 2;
    return ms < NOTIFY_RETRY_MOST_MS ? ms : NOTIFY_RETRY_MOST_MS;
}

static void end_try(Sink *sink, bool ok, const Err *err)
{
    NotifyHookFn *on_tried = sink->on_tried;

    sink->on_tried = NULL;
    if (on_tried != NULL)
        on_tried(sink->tried_arg, ok, err);
}

/* The head is over, or waits for its next try. */
static void settle(Sink *sink, bool ok, const Err *err)
{
    const Item *item = sink->queue[0];
    const NotifySpec *spec = &sink->view.spec;
    int64_t pause = pause_ms(++sink->tries);
    char quoted[2 * sizeof err->text];
    bool is_last = sink->kind->no_retry || err == NULL || err->code == ERR_CONFIG || sink->on_tried != NULL ||
                   clock_ms_since(&item->queued_at) + pause > spec->retry_ms;

    if (!ok && !is_last) {
        if (sink->tries == 1)
            log_line(LOG_LEVEL_WARN, "notification_failed", "sink=%s event=%s tried again reason=%s",
                     spec->name, notify_event_name(item->event.kind),
                     log_quote(err->text, quoted, sizeof quoted));
        wake(sink, pause);
        return;
    }
    if (ok) {
        sink->sent++;
    } else {
        sink->failed++;
        log_line(LOG_LEVEL_ERROR, "notification_lost", "sink=%s event=%s tries=%d reason=%s", spec->name,
                 item->event.action != NULL ? item->event.action : notify_event_name(item->event.kind),
                 sink->tries, log_quote(err != NULL ? err->text : "", quoted, sizeof quoted));
    }
    drop(sink, 0);
    sink->tries = 0;
    if (sink->queue_len > 0)
        wake(sink, 0);
    end_try(sink, ok, err);
}

static void on_time(void *arg)
{
    Sink *sink = arg;
    Err err = {0};

    if (sink->is_busy || sink->queue_len == 0)
        return;
    sink->is_busy = true;
    SinkSent sent = sink->kind->send(sink, &sink->queue[0]->event, &err);
    if (sent == SINK_BUSY)
        return;
    sink->is_busy = false;
    settle(sink, sent == SINK_SENT, &err);
}

void sink_done(Sink *sink, bool ok, const Err *err)
{
    sink->is_busy = false;
    settle(sink, ok, err);
}

void outbox_init(Sink *sink)
{
    loop_timer_init(&sink->timer, sink->notify->loop, on_time, sink);
}

void outbox_done(Sink *sink)
{
    loop_timer_done(&sink->timer);
    if (sink->queue_len > 0)
        log_line(LOG_LEVEL_WARN, "notifications_left", "sink=%s waiting=%d they are not sent any more",
                 sink->view.spec.name, sink->queue_len);
    while (sink->queue_len > 0)
        drop(sink, sink->queue_len - 1);
}

/* ---- Conditions ---- */

static Known *find(Sink *sink, const NotifyEvent *event)
{
    for (int i = 0; i < sink->known_count; i++)
        if (event_is_same(&sink->known[i].event, event))
            return &sink->known[i];
    return NULL;
}

static Known *add(Sink *sink, const NotifyEvent *event)
{
    static LogLimit limit;

    if (sink->known_count == NOTIFY_CONDITIONS) {
        log_limited(&limit, LOG_LEVEL_WARN, "conditions_full", "sink=%s event=%s %d are known already",
                    sink->view.spec.name, notify_event_name(event->kind), NOTIFY_CONDITIONS);
        return NULL;
    }
    Known *known = &sink->known[sink->known_count++];
    *known = (Known){.event = *event};
    return known;
}

static void tell(Sink *sink, Known *known, const Clock *now)
{
    NotifyEvent event = known->event;

    event.state = known->holds ? NOTIFY_BEGAN : NOTIFY_ENDED;
    if (!known->holds)
        snprintf(event.text, sizeof event.text, "over: %.*s", NOTIFY_TEXT_LEN - 8, known->event.text);
    event.left_out = known->left_out;
    known->left_out = 0;
    known->was_told = known->was_told_here = known->holds;
    if (known->holds)
        known->told_at = *now;
    outbox_add(sink, &event);
}

static void tell_begin(Sink *sink, Known *known, const Clock *now)
{
    bool is_bound = !sink->kind->keeps_state;

    known->is_held_back = is_bound && known->paid_us - now->boot_us > (BURST - 1) * PAUSE_US;
    if (known->is_held_back)
        return;
    known->paid_us = (known->paid_us > now->boot_us ? known->paid_us : now->boot_us) + PAUSE_US;
    tell(sink, known, now);
}

/* The end of what was told here is told here: whoever speaks now need not have seen it begin, nor see it. */
static void look_silent(Sink *sink, Known *known, const Clock *now, int64_t lasted_ms)
{
    const NotifySpec *spec = &sink->view.spec;
    int64_t silent_ms = (now->boot_us - sink->notify->silent_since.boot_us) / US_PER_MS;

    if (!known->holds && known->was_told_here) {
        if (lasted_ms >= spec->hold_ms)
            tell(sink, known, now);
        return;
    }
    /* Who speaks has to have been there for as long, or it was told by nobody. */
    if (silent_ms < lasted_ms)
        lasted_ms = silent_ms;
    if (known->holds != known->was_told && lasted_ms >= spec->hold_ms + SPEAKER_MS) {
        known->was_told = known->holds;
        known->is_held_back = false;
        known->told_at = *now;
    }
}

static void look(Sink *sink, Known *known, const Clock *now)
{
    const NotifySpec *spec = &sink->view.spec;
    int64_t lasted_ms = (now->boot_us - known->since.boot_us) / US_PER_MS;
    bool repeats = spec->repeat_ms > 0 && !sink->kind->keeps_state;

    if (spec->from_leader && !sink->notify->is_speaker)
        look_silent(sink, known, now, lasted_ms);
    else if (known->holds != known->was_told && lasted_ms < spec->hold_ms)
        return;
    else if (known->holds && !known->was_told)
        tell_begin(sink, known, now);
    else if (!known->holds && known->was_told)
        tell(sink, known, now);
    else if (known->holds && repeats &&
             (now->boot_us - known->told_at.boot_us) / US_PER_MS >= spec->repeat_ms)
        tell(sink, known, now);
}

/* It begins or ends. */
static void change(Sink *sink, Known *known, bool holds, const Clock *now)
{
    if (known->is_held_back && !holds) {
        known->left_out++;
        sink->left_out++;
    }
    known->is_held_back = false;
    known->holds = holds;
    known->since = *now;
}

static void forget_old(Sink *sink, const Clock *now)
{
    int64_t repeat_us = sink->view.spec.repeat_ms * US_PER_MS;
    int64_t keep_us = repeat_us > BURST * PAUSE_US ? repeat_us : BURST * PAUSE_US;
    int kept = 0;

    for (int i = 0; i < sink->known_count; i++) {
        const Known *known = &sink->known[i];
        if (known->holds || known->was_told ||
            (known->told_at.boot_us != 0 && now->boot_us - known->told_at.boot_us < keep_us))
            sink->known[kept++] = *known;
    }
    sink->known_count = kept;
}

void outbox_conditions(Sink *sink, const NotifyEvent *events, int count)
{
    Clock now = clock_now();

    for (int i = 0; i < sink->known_count; i++)
        sink->known[i].is_listed = false;
    for (int i = 0; i < count; i++) {
        if (!outbox_wants(sink, &events[i]))
            continue;
        Known *known = find(sink, &events[i]);
        if (known == NULL && (known = add(sink, &events[i])) == NULL)
            continue;
        known->is_listed = true;
        int64_t began_us = known->holds ? known->event.wall_us : now.wall_us;
        if (!known->holds)
            change(sink, known, true, &now);
        known->event = events[i];
        known->event.wall_us = began_us;
    }
    for (int i = 0; i < sink->known_count; i++) {
        Known *known = &sink->known[i];
        if (!known->is_listed && known->holds) {
            change(sink, known, false, &now);
            known->event.wall_us = now.wall_us;
        }
        look(sink, known, &now);
    }
    forget_old(sink, &now);
}
