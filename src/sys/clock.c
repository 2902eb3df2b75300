/*
 * clock.c: three clocks at once, and the wall clock as people read it.
 */
#include "sys/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t) ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000;
}

Clock clock_now(void)
{
    return (Clock){
        .raw_us = read_us(CLOCK_MONOTONIC_RAW),
        .boot_us = read_us(CLOCK_BOOTTIME),
        .wall_us = read_us(CLOCK_REALTIME),
    };
}

int64_t clock_ms_since(const Clock *then)
{
    return (read_us(CLOCK_BOOTTIME) - then->boot_us) / US_PER_MS;
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

void clock_format_utc(int64_t wall_us, char *ret_text, size_t size)
{
    int64_t ms = wall_us >= 0 ? wall_us / US_PER_MS : -((-wall_us + US_PER_MS - 1) / US_PER_MS);
    int64_t rest = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t) ((ms - rest) / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) {
        snprintf(ret_text, size, "?");
        return;
    }
    snprintf(ret_text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) rest);
}
