/*
 * load.c: the report that loading makes: lines of errors and warnings, each with its place in the file.
 */
#include "config/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add_line(Buf *buf, const Load *load, int line, const char *section, const char *key,
                     const char *text)
{
    if (line != LOAD_NO_PLACE)
        buf_puts(buf, load->config->path);
    if (line > 0)
        buf_printf(buf, ":%d", line);
    if (line != LOAD_NO_PLACE)
        buf_puts(buf, ": ");
    if (section != NULL)
        buf_printf(buf, "[%.60s] ", section);
    if (key != NULL)
        buf_printf(buf, "%.60s: ", key);
    buf_printf(buf, "%s\n", text);
}

void load_error(Load *load, int line, const char *section, const char *key, const char *format, ...)
{
    char text[512];
    va_list args;

    if (load->error_count++ >= CONFIG_PROBLEM_MAX)
        return;
    load->error_line[load->error_count - 1] = line;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *end; (end = strchr(text, '\n')) != NULL;)
        *end = ' '; /* one line each */
    add_line(&load->errors, load, line, section, key, text);
}

void load_warning(Load *load, int line, const char *section, const char *key, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    add_line(&load->warnings, load, line, section, key, text);
}

/* The order of two errors: by line, and as they were found where that is the same. */
static bool comes_before(int line, int other)
{
    return line > 0 && (other <= 0 || line < other);
}

void load_sort(Load *load)
{
    int kept = load->error_count < CONFIG_PROBLEM_MAX ? load->error_count : CONFIG_PROBLEM_MAX;
    int order[CONFIG_PROBLEM_MAX];
    size_t begin[CONFIG_PROBLEM_MAX + 1] = {0};
    const char *text = load->errors.data;
    Buf sorted = {0};

    if (text == NULL)
        return;
    for (int i = 0; i < kept; i++) {
        begin[i + 1] = begin[i] + strcspn(text + begin[i], "\n") + 1;
        int at = i;
        for (; at > 0 && comes_before(load->error_line[i], load->error_line[order[at - 1]]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (int i = 0; i < kept; i++)
        buf_add(&sorted, text + begin[order[i]], begin[order[i] + 1] - begin[order[i]]);
    buf_done(&load->errors);
    load->errors = sorted;
}

int load_line(const Load *load, OptionId id)
{
    return load->config->origin[id].from == CONFIG_FROM_FILE ? load->config->origin[id].line : 0;
}
