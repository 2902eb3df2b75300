/*
 * test_loop.c: timers that are never early, their end from within, work in the pool.
 */
#include "sys/clock.h"
#include "sys/loop.h"
#include "unit.h"

#include <pthread.h>

static uv_loop_t loop;
static LoopTimer timer;
static int fired;
static Clock fired_at;

static int setup(void **state)
{
    (void) state;
    fired = 0;
    return uv_loop_init(&loop);
}

static int teardown(void **state)
{
    (void) state;
    return loop_end(&loop) ? 0 : -1;
}

static void on_time(void *arg)
{
    int *until = arg;

    fired++;
    fired_at = clock_now();
    if (until != NULL && fired == *until)
        loop_timer_done(&timer);
}

static void never_early(void **state)
{
    (void) state;
    loop_timer_init(&timer, &loop, on_time, NULL);
    assert_false(loop_timer_is_running(&timer));
    for (int64_t us = 1; us < 20000; us = us * 3 + 100) {
        Clock then = clock_now();
        int before = fired;
        loop_timer_start(&timer, us, 0);
        assert_true(loop_timer_is_running(&timer));
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(fired, before + 1);
        assert_true(clock_elapsed_least(&then, &fired_at) >= us);
    }
    loop_timer_done(&timer);
    loop_timer_done(&timer); /* again: nothing */
}

static void repeats_and_ends_from_within(void **state)
{
    int until = 3;

    (void) state;
    loop_timer_init(&timer, &loop, on_time, &until);
    loop_timer_start(&timer, 0, 1000);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fired, 3);
    assert_null(timer.handle);
}

static void stops(void **state)
{
    LoopTimer none = {0};

    (void) state;
    loop_timer_init(&timer, &loop, on_time, NULL);
    loop_timer_start(&timer, 1000, 1000);
    loop_timer_stop(&timer);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(fired, 0);
    loop_timer_done(&timer);
    loop_timer_done(&none);
    loop_timer_stop(&none);
    assert_false(loop_timer_is_running(&none));
}

static pthread_t worked_in, done_in;

static void work(void *arg)
{
    worked_in = pthread_self();
    *(int *) arg += 1;
}

static void done(void *arg)
{
    done_in = pthread_self();
    *(int *) arg += 10;
}

static void works_in_the_pool(void **state)
{
    int value = 0;

    (void) state;
    loop_work(&loop, work, done, &value);
    loop_work(&loop, work, NULL, &value);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(value, 12);
    assert_true(pthread_equal(done_in, pthread_self()));
    assert_false(pthread_equal(worked_in, pthread_self()));
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LOOP(never_early),
        ON_LOOP(repeats_and_ends_from_within),
        ON_LOOP(stops),
        ON_LOOP(works_in_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
