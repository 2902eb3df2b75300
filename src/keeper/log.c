/*
 * log.c: sys/log.h for code that runs inside PostgreSQL: lines go to the server's log.
 */
#include "sys/log.h"

#include <postgres.h>

#include <stdarg.h>
#include <stdio.h>

#include "sys/clock.h"

static void say(LogLevel level, const char *event, const char *text)
{
    int elevel = level == LOG_LEVEL_DEBUG ? DEBUG1 : level == LOG_LEVEL_INFO ? LOG : WARNING;

    ereport(elevel == WARNING ? LOG : elevel,
            (errmsg_internal("pg_keeper: %s%s %s", level >= LOG_LEVEL_WARN ? "warning: " : "", event, text),
             errhidestmt(true), errhidecontext(true)));
}

void log_line(LogLevel level, const char *event, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(level, event, text);
}

void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    char text[1024];
    va_list args;
    Clock now = clock_now();

    if (now.boot_us < limit->next_us) {
        limit->suppressed++;
        return;
    }
    limit->next_us = now.boot_us + 60 * US_PER_SEC;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(level, event, text);
}
