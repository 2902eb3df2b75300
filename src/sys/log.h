/*
 * log.h: one line on standard error for each change, never one for each poll.
 *
 *     2026-11-20T20:59:31.123Z INFO event key=value key="with blanks"
 *
 * Any thread may log; each line is one write(2), so that lines never mix. A reader that takes none for some
 * milliseconds makes lines be dropped and counted, never the caller wait. Before log_open: info, plain.
 */
#ifndef PGVIGIL_SYS_LOG_H
#define PGVIGIL_SYS_LOG_H

#include "base/types.h"

#include <stdatomic.h>

typedef enum LogFormat { LOG_FORMAT_PLAIN, LOG_FORMAT_JSON } LogFormat;

/* A longer line is cut off. */
#define LOG_LINE_LEN 4096

/*
 * From now on only lines of at least that level, in that format. Looks whether standard error is the journal
 * (JOURNAL_STREAM names it): then each line starts with the priority, "<6>". May be called again at any time.
 */
void log_open(LogLevel least, LogFormat format);

/*
 * One line: event is a short fixed name in snake_case, the text behind it key=value pairs. format may be ""
 * but not NULL. Control characters become blanks. With json: {"time","level","event","text"}. Keeps errno.
 */
void log_line(LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The line of a child that logs as we do, as it stands, whatever its level is. */
void log_copy(const char *line);

/* What is logged at most once a minute. Zero-initialised and static, one for each kind of line. */
typedef struct LogLimit {
    _Atomic int64_t next_us; /* boot clock */
    _Atomic uint64_t suppressed;
} LogLimit;

/* Like log_line, at most once a minute for each limit; the line then says suppressed=N if N went unsaid. */
void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define LOG_TAIL_LEN 40

/*
 * What log_limited goes by: whether it may speak now. ret_tail is what it then says at the end: "", or
 * " suppressed=N". Any thread may ask.
 */
bool log_limit_passes(LogLimit *limit, char ret_tail[LOG_TAIL_LEN]);

/*
 * A value for key=%s: text itself if it is one plain word, otherwise ret_text with text in double quotes,
 * inner quotes and backslashes escaped, cut off to fit. NULL gives "-".
 */
const char *log_quote(const char *text, char *ret_text, size_t size);

#endif
