/*
 * log.c: a line is put together on the stack and written in one go, so that threads need no lock.
 */
#include "sys/log.h"

#include "base/str.h"
#include "sys/clock.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_WAIT_MS 2 /* for a reader that is slow */

static _Atomic int least_level = LOG_LEVEL_INFO;
static _Atomic int line_format = LOG_FORMAT_PLAIN;
static atomic_bool to_journal;
static _Atomic uint64_t dropped_lines;

_Static_assert(LOG_LINE_LEN <= PIPE_BUF, "a line is written at once or not at all");

static const struct {
    const char *name;
    int priority; /* syslog's */
} level_table[] = {
    [LOG_LEVEL_DEBUG] = {"DEBUG", 7},
    [LOG_LEVEL_INFO] = {"INFO", 6},
    [LOG_LEVEL_WARN] = {"WARN", 4},
    [LOG_LEVEL_ERROR] = {"ERROR", 3},
};

/* JOURNAL_STREAM is inherited by everybody; only if it names our standard error is the journal reading it. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(LogLevel least, LogFormat format)
{
    atomic_store(&least_level, (int) least);
    atomic_store(&line_format, (int) format);
    atomic_store(&to_journal, stderr_is_journal());
}

static bool is_enabled(LogLevel level)
{
    return (int) level >= atomic_load(&least_level);
}

/* Appends to a line, cut off so that the end still fits. Control characters would break the line: blanks. */
static size_t add_text(char *line, size_t used, const char *text, bool json)
{
    for (; *text != '\0' && used < LOG_LINE_LEN - 8; text++) {
        unsigned char c = (unsigned char) *text;
        if (json && (c == '"' || c == '\\'))
            line[used++] = '\\';
        line[used++] = c < 0x20 || c == 0x7f ? ' ' : (char) c;
    }
    return used;
}

/*
 * A reader that hangs (the journal, a pipe nobody empties) must not hang us: what it does not take within
 * moments is dropped and counted. A pipe or socket that polls as writable takes a line of PIPE_BUF bytes
 * without waiting. Once lines are dropped, the next ones do not even wait for moments.
 */
static bool can_write(void)
{
    struct pollfd poll_fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    int wait_ms = atomic_load(&dropped_lines) == 0 ? LOG_WAIT_MS : 0;

    return poll(&poll_fd, 1, wait_ms) > 0 && (poll_fd.revents & POLLOUT) != 0;
}

static void put_line(const char *line, size_t len)
{
    if (write(STDERR_FILENO, line, len) < 0)
        atomic_fetch_add(&dropped_lines, 1);
}

static void write_line(LogLevel level, const char *event, const char *text)
{
    char line[LOG_LINE_LEN], time[CLOCK_TEXT_LEN], head[160];
    bool json = atomic_load(&line_format) == LOG_FORMAT_JSON;
    const char *name = level_table[level].name;
    size_t used = 0;

    clock_format_utc(clock_now().wall_us, time, sizeof time);
    if (atomic_load(&to_journal))
        used = (size_t) snprintf(line, sizeof line, "<%d>", level_table[level].priority);
    if (json)
        snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"text\":\"", time,
                 name, event);
    else
        snprintf(head, sizeof head, "%s %s %s%s", time, name, event, *text != '\0' ? " " : "");
    used = add_text(line, used, head, false);
    used = add_text(line, used, text, json);
    if (json) {
        line[used++] = '"';
        line[used++] = '}';
    }
    line[used++] = '\n';
    put_line(line, used);
}

static void log_va(LogLevel level, const char *event, const char *tail, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static void log_va(LogLevel level, const char *event, const char *tail, const char *format, va_list args)
{
    char text[LOG_LINE_LEN];

    if (!can_write()) {
        atomic_fetch_add(&dropped_lines, 1);
        return;
    }
    uint64_t dropped = atomic_exchange(&dropped_lines, 0);
    vsnprintf(text, sizeof text, format, args);
    size_t used = strlen(text);
    str_copy(text + used, sizeof text - used, tail);
    used = strlen(text);
    if (dropped > 0)
        snprintf(text + used, sizeof text - used, " dropped_lines=%llu", (unsigned long long) dropped);
    write_line(level, event, text);
}

/* TIME LEVEL EVENT: for the journal the level becomes the priority. */
static int priority_in(const char *line)
{
    const char *level = line + strcspn(line, " ");

    for (size_t i = 0; i < sizeof level_table / sizeof level_table[0]; i++) {
        size_t len = strlen(level_table[i].name);
        if (level[0] == ' ' && strncmp(level + 1, level_table[i].name, len) == 0 && level[1 + len] == ' ')
            return level_table[i].priority;
    }
    return level_table[LOG_LEVEL_INFO].priority;
}

void log_copy(const char *line)
{
    char copy[LOG_LINE_LEN];
    size_t used = 0;

    if (!can_write()) {
        atomic_fetch_add(&dropped_lines, 1);
        return;
    }
    if (atomic_load(&to_journal))
        used = (size_t) snprintf(copy, sizeof copy, "<%d>", priority_in(line));
    used = add_text(copy, used, line, false);
    copy[used++] = '\n';
    put_line(copy, used);
}

void log_line(LogLevel level, const char *event, const char *format, ...)
{
    int saved = errno;
    va_list args;

    if (!is_enabled(level))
        return;
    va_start(args, format);
    log_va(level, event, "", format, args);
    va_end(args);
    errno = saved;
}

void log_limited(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    int saved = errno;
    char tail[LOG_TAIL_LEN];
    va_list args;

    if (!is_enabled(level) || !log_limit_passes(limit, tail))
        return;
    va_start(args, format);
    log_va(level, event, tail, format, args);
    va_end(args);
    errno = saved;
}

static bool is_plain_word(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (isspace((unsigned char) *text) || *text == '"' || *text == '=' || *text == '\\')
            return false;
    return true;
}

const char *log_quote(const char *text, char *ret_text, size_t size)
{
    size_t used = 0;

    if (text == NULL)
        return "-";
    if (is_plain_word(text) || size < 4)
        return text;
    ret_text[used++] = '"';
    for (; *text != '\0' && used + 4 <= size; text++) {
        if (*text == '"' || *text == '\\')
            ret_text[used++] = '\\';
        ret_text[used++] = *text;
    }
    ret_text[used++] = '"';
    ret_text[used] = '\0';
    return ret_text;
}
