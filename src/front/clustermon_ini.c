/*
 * clustermon_ini.c: sections, keys, values that go on, comments.
 */
#include "front/clustermon_ini.h"

#include "base/str.h"

#include <ctype.h>
#include <string.h>

typedef struct Reading {
    Arena *arena;
    ClustermonIniFn *on_entry;
    void *arg;
    ClustermonIniEntry entry; /* key NULL: none is open */
    Buf value;
} Reading;

static const char *trim(const char *text, size_t *len)
{
    while (*len > 0 && isspace((unsigned char) text[*len - 1]))
        (*len)--;
    while (*len > 0 && isspace((unsigned char) *text)) {
        text++;
        (*len)--;
    }
    return text;
}

/* %% is a per cent sign for configparser. One that stands alone is its error, and here what it is. */
static char *fill_in(Reading *reading, Err *err)
{
    const char *text = reading->value.data != NULL ? reading->value.data : "";
    char *value = arena_alloc(reading->arena, strlen(text) + 1);
    size_t len = 0;

    if (value == NULL || reading->value.failed) {
        err_set(err, ERR_MEMORY, "memory ran out");
        return NULL;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == '(') {
            err_set(err, ERR_CONFIG, "line %d: %s: %%(name)s is not filled in here: write the value itself",
                    reading->entry.line, reading->entry.key);
            return NULL;
        }
        value[len++] = *at;
        at += at[0] == '%' && at[1] == '%';
    }
    value[len] = '\0';
    return value;
}

/* The open key has all of its lines. */
static bool end_entry(Reading *reading, Err *err)
{
    bool ok = true;

    if (reading->entry.key != NULL) {
        reading->entry.value = fill_in(reading, err);
        ok = reading->entry.value != NULL && reading->on_entry(reading->arg, &reading->entry, err);
    }
    reading->entry.key = NULL;
    if (reading->value.data != NULL)
        explicit_bzero(reading->value.data, reading->value.len);
    reading->value.len = 0;
    return ok;
}

static bool begin_section(Reading *reading, const char *line, size_t len, int number, Err *err)
{
    const char *end = memchr(line, ']', len);

    if (end == NULL)
        return err_set(err, ERR_CONFIG, "line %d: the section's ] is missing", number);
    reading->entry.section = arena_strndup(reading->arena, line + 1, (size_t) (end - line - 1));
    return reading->entry.section != NULL || err_set(err, ERR_MEMORY, "memory ran out");
}

static bool begin_entry(Reading *reading, const char *line, size_t len, int number, Err *err)
{
    size_t at = 0;

    while (at < len && line[at] != '=' && line[at] != ':')
        at++;
    if (at == len || at == 0)
        return err_set(err, ERR_CONFIG, "line %d: neither a [section], nor key = value, nor a # comment",
                       number);
    if (reading->entry.section == NULL)
        return err_set(err, ERR_CONFIG, "line %d: a key before the first [section]", number);
    size_t key_len = at;
    const char *key = trim(line, &key_len);
    char *lower = arena_strndup(reading->arena, key, key_len);
    if (lower == NULL)
        return err_set(err, ERR_MEMORY, "memory ran out");
    for (char *c = lower; *c != '\0'; c++)
        *c = (char) tolower((unsigned char) *c);
    reading->entry.key = lower;
    reading->entry.line = number;
    size_t value_len = len - at - 1;
    const char *value = trim(line + at + 1, &value_len);
    buf_add(&reading->value, value, value_len);
    return true;
}

static bool take_line(Reading *reading, const char *line, size_t len, int number, Err *err)
{
    bool indented = len > 0 && isspace((unsigned char) *line);

    line = trim(line, &len);
    if (len == 0 || *line == '#' || *line == ';')
        return true;
    if (indented && reading->entry.key != NULL) {
        buf_puts(&reading->value, "\n");
        buf_add(&reading->value, line, len);
        return true;
    }
    if (!end_entry(reading, err))
        return false;
    return *line == '[' ? begin_section(reading, line, len, number, err)
                        : begin_entry(reading, line, len, number, err);
}

bool clustermon_ini_read(const char *text, size_t len, Arena *arena, ClustermonIniFn *on_entry, void *arg,
                         Err *err)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of UTF-8, as editors on Windows put it there */
    Reading reading = {.arena = arena, .on_entry = on_entry, .arg = arg};
    bool ok = memchr(text, '\0', len) == NULL || err_set(err, ERR_CONFIG, "it is no text");
    int number = 0;

    if (len >= 3 && memcmp(text, mark, 3) == 0) {
        text += 3;
        len -= 3;
    }
    while (ok && len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t line_len = end != NULL ? (size_t) (end - text) : len;
        ok = take_line(&reading, text, line_len, ++number, err);
        text += line_len + (end != NULL);
        len -= line_len + (end != NULL);
    }
    ok = ok && end_entry(&reading, err);
    buf_done(&reading.value);
    return ok;
}
