/*
 * signalctl_watch.c: looks at the server in the background.
 *
 * Two looks: over a connection that stays, every interval, and over a new one, every few seconds, because a
 * live old one hides a postmaster that takes no new ones. Both have to be good. When the connection that
 * stays is lost a new one is made at once; if that is not good within moments the answer turns bad.
 */
#include "front/signalctl.h"

#include "sys/clock.h"
#include "sys/log.h"
#include "sys/loop.h"

#include <stdlib.h>

/* A lost connection may be only that (an administrator ended it): so long the old answer holds. */
#define SUSPECT_US (70 * US_PER_MS)
/* A role that was refused is not tried twice a second: each try is a line in the server's log. */
#define REFUSED_US (5 * US_PER_SEC)

struct SignalctlWatch {
    Signalctl *signalctl;
    SignalctlCheck *kept, *fresh;
    LoopTimer next, suspect;
    int64_t kept_begun_us, fresh_due_us; /* boot clock */
    bool kept_good, fresh_good;
    char fresh_reason[SIGNALCTL_REASON_LEN];
};

static int64_t now_us(void)
{
    return clock_now().boot_us;
}

static void publish(SignalctlWatch *watch, int64_t good_us)
{
    atomic_store(&watch->signalctl->good_boot_us, good_us);
}

static void turn_bad(SignalctlWatch *watch, const char *reason)
{
    publish(watch, 0);
    signalctl_tell(watch->signalctl, false, reason);
}

static void judge(SignalctlWatch *watch, const char *reason)
{
    if (!watch->kept_good)
        turn_bad(watch, reason);
    else if (!watch->fresh_good)
        turn_bad(watch, watch->fresh_reason);
    else {
        publish(watch, watch->kept_begun_us);
        signalctl_tell(watch->signalctl, true, reason);
    }
}

/* After what was begun at begun_us: at the next beat, so that looks are an interval apart however long one
 * takes. */
static void wait_next(SignalctlWatch *watch, const SignalctlVerdict *verdict)
{
    int64_t interval_us = watch->signalctl->options.interval_ms * US_PER_MS;
    int64_t left_us = watch->kept_begun_us + interval_us - now_us();

    if (verdict->refused && left_us < REFUSED_US)
        left_us = REFUSED_US;
    loop_timer_start(&watch->next, left_us > US_PER_MS ? left_us : US_PER_MS, 0);
}

/* A bad one is tried again at the next beat. */
static void set_fresh_due(SignalctlWatch *watch, const SignalctlVerdict *verdict)
{
    int64_t every_us = watch->signalctl->options.fresh_ms * US_PER_MS;

    watch->fresh_due_us = now_us() + (verdict->good ? every_us : verdict->refused ? REFUSED_US : 0);
}

static void on_kept(void *arg, const SignalctlVerdict *verdict)
{
    SignalctlWatch *watch = arg;

    loop_timer_stop(&watch->suspect);
    watch->kept_good = verdict->good;
    if (verdict->connected_new && verdict->good) {
        watch->fresh_good = true;
        set_fresh_due(watch, verdict);
    }
    judge(watch, verdict->reason);
    wait_next(watch, verdict);
}

static void on_fresh(void *arg, const SignalctlVerdict *verdict)
{
    SignalctlWatch *watch = arg;

    signalctl_check_close(watch->fresh);
    watch->fresh_good = verdict->good;
    set_fresh_due(watch, verdict);
    if (verdict->good)
        return; /* the next look over the old connection says so, within an interval */
    str_copy(watch->fresh_reason, sizeof watch->fresh_reason, verdict->reason);
    watch->kept_good = false;
    turn_bad(watch, watch->fresh_reason);
    /* A server that is to stop when all have gone (smart) would wait for the old connection for ever. */
    signalctl_check_close(watch->kept);
    loop_timer_stop(&watch->suspect);
    watch->kept_begun_us = now_us();
    wait_next(watch, verdict);
}

static void begin_kept(SignalctlWatch *watch)
{
    watch->kept_begun_us = now_us();
    signalctl_check_begin(watch->kept);
}

/* As long as the old one is bad it makes new connections itself. */
static void begin_fresh_if_due(SignalctlWatch *watch)
{
    if (watch->kept_good && !signalctl_check_is_busy(watch->fresh) && now_us() >= watch->fresh_due_us)
        signalctl_check_begin(watch->fresh);
}

static void on_next(void *arg)
{
    SignalctlWatch *watch = arg;

    begin_fresh_if_due(watch);
    if (!signalctl_check_is_busy(watch->kept))
        begin_kept(watch);
}

static void on_lost(void *arg, const char *reason)
{
    SignalctlWatch *watch = arg;
    char quoted[1024];

    log_line(LOG_LEVEL_DEBUG, "connection_lost", "reason=%s", log_quote(reason, quoted, sizeof quoted));
    loop_timer_start(&watch->suspect, SUSPECT_US, 0);
    begin_kept(watch);
}

static void on_suspect(void *arg)
{
    SignalctlWatch *watch = arg;

    watch->kept_good = false;
    turn_bad(watch, "the server closed its connection, and no new one was had at once");
}

SignalctlWatch *signalctl_watch_new(Signalctl *signalctl)
{
    SignalctlWatch *watch = calloc(1, sizeof *watch);
    const SignalctlOptions *options = &signalctl->options;

    if (watch == NULL)
        abort();
    watch->signalctl = signalctl;
    watch->kept = signalctl_check_new(&signalctl->loop, options, on_kept, watch);
    watch->fresh = signalctl_check_new(&signalctl->loop, options, on_fresh, watch);
    str_copy(watch->fresh_reason, sizeof watch->fresh_reason, "a new connection has not been tried yet");
    signalctl_check_watch(watch->kept, on_lost);
    loop_timer_init(&watch->next, &signalctl->loop, on_next, watch);
    loop_timer_init(&watch->suspect, &signalctl->loop, on_suspect, watch);
    begin_kept(watch);
    return watch;
}

void signalctl_watch_free(SignalctlWatch *watch)
{
    if (watch == NULL)
        return;
    loop_timer_done(&watch->next);
    loop_timer_done(&watch->suspect);
    signalctl_check_free(watch->kept);
    signalctl_check_free(watch->fresh);
    free(watch);
}
