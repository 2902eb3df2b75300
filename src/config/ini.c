/*
 * ini.c: inih does the splitting; the reader that it is given counts the lines, since its handler is not told
 * them.
 */
#include "config/ini.h"

#include "base/str.h"
#include "sys/file.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

typedef struct Reading {
    const char *next; /* the rest of the file */
    int line;
    IniEntryFn *on_entry;
    IniProblemFn *on_problem;
    void *arg;
} Reading;

/* True for a blank line, a comment, or a section's heading. */
static bool needs_no_entry(const char *line)
{
    return *line == '\0' || *line == '#' || *line == ';' || (*line == '[' && strchr(line, ']') != NULL);
}

/*
 * Gives inih the next line. Indentation is taken away, since inih would take an indented line for more of the
 * value before it. A line that is too long, or is nothing that inih knows, is reported and replaced by an
 * empty one.
 */
static char *read_line(char *ret_line, int size, void *stream)
{
    Reading *reading = stream;
    const char *begin = reading->next;
    char text[120];

    if (*begin == '\0')
        return NULL;
    size_t len = strcspn(begin, "\n");
    reading->next += len + (begin[len] == '\n');
    reading->line++;
    while (len > 0 && (*begin == ' ' || *begin == '\t')) {
        begin++;
        len--;
    }
    while (len > 0 && strchr(" \t\r", begin[len - 1]) != NULL)
        len--;
    size_t max = (size_t) size - 3 < INI_LINE_MAX ? (size_t) size - 3 : INI_LINE_MAX;
    if (len > max) {
        snprintf(text, sizeof text, "the line is longer than %zu characters", max);
        reading->on_problem(reading->arg, reading->line, text);
        len = 0;
    }
    snprintf(ret_line, (size_t) size, "%.*s", (int) len, begin);
    if (!needs_no_entry(ret_line) && (*ret_line == '[' || strpbrk(ret_line, "=:") == NULL)) {
        snprintf(text, sizeof text, "\"%.60s\" is neither [section] nor key = value", ret_line);
        reading->on_problem(reading->arg, reading->line, text);
        ret_line[0] = '\0';
    }
    return ret_line;
}

static int on_ini(void *user, const char *section, const char *name, const char *value)
{
    Reading *reading = user;
    IniEntry entry = {.section = section, .key = name, .value = value, .line = reading->line};

    reading->on_entry(reading->arg, &entry);
    return 1;
}

bool ini_read(const char *path, IniEntryFn *on_entry, IniProblemFn *on_problem, void *arg, Err *err)
{
    Reading reading = {.on_entry = on_entry, .on_problem = on_problem, .arg = arg};
    Buf content = {0};
    bool ok = file_read(path, INI_FILE_MAX, &content, err);

    if (ok && content.data != NULL && strlen(content.data) != content.len)
        ok = err_set(err, ERR_CONFIG, "%s is not a text file", path);
    if (ok && content.data != NULL) {
        bool has_mark = strncmp(content.data, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0;
        reading.next = content.data + (has_mark ? strlen(BYTE_ORDER_MARK) : 0);
        ok = ini_parse_stream(read_line, &reading, on_ini, &reading) >= 0 ||
             err_set(err, ERR_MEMORY, "no memory to read %s", path);
    }
    buf_done(&content);
    return ok;
}
