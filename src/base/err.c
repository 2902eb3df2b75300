/*
 * err.c: error texts, cut off at their end rather than overflowing.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The text, and after a colon what it was about; more NULL: nothing. */
static void set_text(Err *err, const char *more, const char *format, va_list args)
{
    vsnprintf(err->text, sizeof err->text, format, args);
    size_t used = strlen(err->text);
    if (more != NULL)
        snprintf(err->text + used, sizeof err->text - used, ": %s", more);
}

bool err_set(Err *err, ErrCode code, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return false;
    err->code = code;
    va_start(args, format);
    set_text(err, NULL, format, args);
    va_end(args);
    return false;
}

bool err_set_errno(Err *err, ErrCode code, int number, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return false;
    err->code = code;
    va_start(args, format);
    set_text(err, strerror(number), format, args);
    va_end(args);
    return false;
}

bool err_context(Err *err, const char *format, ...)
{
    va_list args;
    char old[sizeof err->text];

    if (err == NULL)
        return false;
    memcpy(old, err->text, sizeof old);
    va_start(args, format);
    set_text(err, old, format, args);
    va_end(args);
    return false;
}
