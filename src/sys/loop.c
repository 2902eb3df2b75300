/*
 * loop.c: heap handles behind small structs, so that owners need not wait for libuv's asynchronous close.
 */
#include "sys/loop.h"

#include <stdlib.h>

typedef struct TimerHandle {
    uv_timer_t uv; /* first: the struct is freed by its address */
    LoopTimerFn *on_time;
    void *arg;
} TimerHandle;

typedef struct Work {
    uv_work_t uv;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
} Work;

static void *must_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL)
        abort();
    return memory;
}

void loop_timer_init(LoopTimer *timer, uv_loop_t *loop, LoopTimerFn *on_time, void *arg)
{
    TimerHandle *handle = must_alloc(sizeof *handle);

    handle->on_time = on_time;
    handle->arg = arg;
    uv_timer_init(loop, &handle->uv);
    timer->handle = &handle->uv;
}

static void on_uv_timer(uv_timer_t *uv)
{
    TimerHandle *handle = (TimerHandle *) uv;
    handle->on_time(handle->arg);
}

/* libuv's notion of now is cut to whole milliseconds: one more, or a timer could fire early. */
static uint64_t round_up_ms(int64_t us)
{
    return us <= 0 ? 0 : (uint64_t) ((us + 999) / 1000) + 1;
}

void loop_timer_start(LoopTimer *timer, int64_t after_us, int64_t repeat_us)
{
    uint64_t repeat = repeat_us <= 0 ? 0 : (uint64_t) ((repeat_us + 999) / 1000);

    uv_update_time(timer->handle->loop);
    uv_timer_start(timer->handle, on_uv_timer, round_up_ms(after_us), repeat);
}

void loop_timer_stop(LoopTimer *timer)
{
    if (timer->handle != NULL)
        uv_timer_stop(timer->handle);
}

bool loop_timer_is_running(const LoopTimer *timer)
{
    return timer->handle != NULL && uv_is_active((const uv_handle_t *) timer->handle);
}

void loop_timer_done(LoopTimer *timer)
{
    loop_close_free((uv_handle_t *) timer->handle);
    timer->handle = NULL;
}

static void on_work(uv_work_t *uv)
{
    Work *work = (Work *) uv;
    if (work->work != NULL)
        work->work(work->arg);
}

static void on_work_done(uv_work_t *uv, int status)
{
    Work *work = (Work *) uv;

    (void) status; /* never cancelled */
    if (work->done != NULL)
        work->done(work->arg);
    free(work);
}

void loop_work(uv_loop_t *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    Work *request = must_alloc(sizeof *request);

    request->work = work;
    request->done = done;
    request->arg = arg;
    if (uv_queue_work(loop, &request->uv, on_work, on_work_done) != 0)
        abort();
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_close_free(uv_handle_t *handle)
{
    if (handle != NULL)
        uv_close(handle, on_closed);
}

bool loop_end(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0;
}
