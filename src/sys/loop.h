/*
 * loop.h: small helpers around libuv: timers in microseconds, work in its thread pool, an orderly end.
 *
 * The structs here may be freed as soon as _done returns: the libuv handle inside is on the heap and frees
 * itself when libuv has let go of it. All calls are for the loop's thread. Out of memory ends the process.
 */
#ifndef PGVIGIL_SYS_LOOP_H
#define PGVIGIL_SYS_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef void LoopTimerFn(void *arg);

typedef struct LoopTimer {
    uv_timer_t *handle;
} LoopTimer;

/* Makes a timer that does not run yet. */
void loop_timer_init(LoopTimer *timer, uv_loop_t *loop, LoopTimerFn *on_time, void *arg);

/*
 * Calls on_time once after after_us microseconds, or again every repeat_us if that is above 0. Never early,
 * and not more than 2 ms late as far as the loop is idle. 0 or less: on the loop's next round. A running
 * timer starts anew.
 */
void loop_timer_start(LoopTimer *timer, int64_t after_us, int64_t repeat_us);

/* Does not run any more; may be started again. */
void loop_timer_stop(LoopTimer *timer);

bool loop_timer_is_running(const LoopTimer *timer);

/* Stops and lets go; the struct may be freed at once, also from within on_time. Zeroed or done already:
 * nothing. */
void loop_timer_done(LoopTimer *timer);

/*
 * Runs work(arg) in the thread pool and then done(arg) on the loop's thread. Both may be NULL: without work
 * done comes later, out of nobody's callback. work must have a bound of its own: nothing can end it.
 */
void loop_work(uv_loop_t *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* Closes a heap handle and frees it when libuv has let go of it. NULL: nothing. */
void loop_close_free(uv_handle_t *handle);

/*
 * Runs the loop until every handle is closed, then closes it. For ends of programs and tests, after all _done
 * calls. False if something is still open.
 */
bool loop_end(uv_loop_t *loop);

#endif
