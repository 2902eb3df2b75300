/*
 * log.c: sys/log.h for code that runs inside PostgreSQL: lines go to the server's log.
 */
#include "sys/log.h"

#include <postgres.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void say(LogLevel level, const char *event, const char *tail, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

/* Always LOG: log_min_messages = error would leave a WARNING out. */
static void say(LogLevel level, const char *event, const char *tail, const char *format, va_list args)
{
    int saved = errno;
    char text[1024];

    vsnprintf(text, sizeof text, format, args);
    ereport(level == LOG_LEVEL_DEBUG ? DEBUG1 : LOG,
            (errmsg_internal("pg_keeper: %s%s %s%s", level >= LOG_LEVEL_WARN ? "warning: " : "", event, text,
                             tail),
             errhidestmt(true), errhidecontext(true)));
    errno = saved;
}

void log_line(LogLevel level, const char *event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(level, event, "", format, args);
    va_end(args);
}

void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    char tail[LOG_TAIL_LEN];
    va_list args;

    if (!log_limit_passes(limit, tail))
        return;
    va_start(args, format);
    say(level, event, tail, format, args);
    va_end(args);
}
