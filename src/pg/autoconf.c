/*
 * autoconf.c: editing postgresql.auto.conf line by line.
 *
 * The grammar is PostgreSQL's guc-file.l: name, optional '=', a value that is quoted ('' and backslash
 * escapes) or a bare word, optional comment. A line that starts with one of our keys is ours even if the rest
 * of it is broken.
 */
#include "pg/autoconf.h"

#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Length of the setting's name at the start of the line (blanks skipped into *ret_name), 0 if there is none.
 */
static size_t line_name(const char *line, const char *end, const char **ret_name)
{
    while (line < end && isspace((unsigned char) *line))
        line++;
    *ret_name = line;
    const char *p = line;
    if (p < end && (isalpha((unsigned char) *p) || *p == '_' || *p >= 0x7f || *p < 0))
        while (p < end && (isalnum((unsigned char) *p) || *p == '_' || *p == '$' || *p == '.' || *p < 0))
            p++;
    return (size_t) (p - line);
}

static bool names_equal(const char *name, size_t len, const char *key)
{
    return strlen(key) == len && strncasecmp(name, key, len) == 0;
}

static bool is_ours(const char *line, const char *end, const Setting *settings, size_t count)
{
    const char *name;
    size_t len = line_name(line, end, &name);

    for (size_t i = 0; len > 0 && i < count; i++)
        if (names_equal(name, len, settings[i].name))
            return true;
    return false;
}

static bool setting_is_valid(const Setting *setting, Err *err)
{
    const char *name;
    size_t len = strlen(setting->name);

    if (len == 0 || line_name(setting->name, setting->name + len, &name) != len)
        return err_set(err, ERR_CONFIG, "'%.60s' is no name of a setting", setting->name);
    if (setting->value != NULL && strpbrk(setting->value, "\r\n") != NULL)
        return err_set(err, ERR_CONFIG, "the value of %s must not have a line break", setting->name);
    if (setting->value != NULL && strlen(setting->value) >= AUTOCONF_VALUE_LEN)
        return err_set(err, ERR_CONFIG, "the value of %s is longer than %d bytes", setting->name,
                       AUTOCONF_VALUE_LEN - 1);
    return true;
}

static void add_setting(Buf *buf, const Setting *setting)
{
    buf_printf(buf, "%s = '", setting->name);
    for (const char *p = setting->value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\')
            buf_add(buf, p, 1);
        buf_add(buf, p, 1);
    }
    buf_puts(buf, "'\n");
}

bool autoconf_edit(const char *text, const Setting *settings, size_t count, Buf *ret_text, Err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!setting_is_valid(&settings[i], err))
            return false;

    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        bool ended = line[len] == '\n';
        if (!is_ours(line, line + len, settings, count)) {
            buf_add(ret_text, line, len);
            buf_puts(ret_text, "\n"); /* also where the file was cut off in its last line */
        }
        line += len + (ended ? 1 : 0);
    }
    for (size_t i = 0; i < count; i++)
        if (settings[i].value != NULL)
            add_setting(ret_text, &settings[i]);
    if (ret_text->failed)
        return err_set(err, ERR_MEMORY, "no memory for %s", AUTOCONF_NAME);
    return true;
}

/* One escaped character; moves *p past it. */
static char read_escape(const char **p, const char *end)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = **p;
    const char *known = c != '\0' ? strchr(from, c) : NULL;

    if (c >= '0' && c <= '7') {
        int value = 0;
        for (int n = 0; n < 3 && *p < end && **p >= '0' && **p <= '7'; n++, (*p)++)
            value = value * 8 + (**p - '0');
        return (char) value;
    }
    (*p)++;
    return known != NULL ? to[known - from] : c;
}

static bool read_quoted(const char *p, const char *end, char *ret_value, size_t size)
{
    size_t n = 0;

    while (p < end) {
        char c = *p++;
        if (c == '\'') {
            if (p >= end || *p != '\'') {
                ret_value[n] = '\0';
                return true;
            }
            p++;
        } else if (c == '\\') {
            if (p >= end)
                return false;
            c = read_escape(&p, end);
        }
        if (n + 1 >= size)
            return false;
        ret_value[n++] = c;
    }
    return false; /* the closing quote is missing */
}

static bool read_value(const char *p, const char *end, char *ret_value, size_t size)
{
    while (p < end && isspace((unsigned char) *p))
        p++;
    if (p < end && *p == '=')
        p++;
    while (p < end && isspace((unsigned char) *p))
        p++;
    if (p < end && *p == '\'')
        return read_quoted(p + 1, end, ret_value, size);
    size_t n = 0;
    while (p + n < end && !isspace((unsigned char) p[n]) && p[n] != '#')
        n++;
    if (n == 0 || n >= size)
        return false;
    memcpy(ret_value, p, n);
    ret_value[n] = '\0';
    return true;
}

bool autoconf_find(const char *text, const char *name, char *ret_value, size_t size)
{
    bool found = false;

    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        const char *key;
        size_t key_len = line_name(line, line + len, &key);
        if (key_len > 0 && names_equal(key, key_len, name))
            found = read_value(key + key_len, line + len, ret_value, size);
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    if (!found && size > 0)
        ret_value[0] = '\0';
    return found;
}

/* Reads the file; one that is missing gives an empty text. */
static bool read_text(const char *data_directory, Buf *ret_text, Err *err)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", data_directory, AUTOCONF_NAME);
    if (!file_read(path, AUTOCONF_FILE_MAX, ret_text, err) && errno != ENOENT)
        return false;
    buf_puts(ret_text, ""); /* an empty text, not NULL */
    if (ret_text->failed)
        return err_set(err, ERR_MEMORY, "no memory for %s", path);
    return true;
}

bool autoconf_write(const char *data_directory, const Setting *settings, size_t count, bool *ret_changed,
                    Err *err)
{
    char path[4096];
    struct stat st;
    Buf old = {0}, new = {0};
    bool ok = false, changed = false;

    if (!read_text(data_directory, &old, err) || !autoconf_edit(old.data, settings, count, &new, err))
        goto out;
    changed = new.len != old.len || (new.len > 0 && memcmp(new.data, old.data, new.len) != 0);
    snprintf(path, sizeof path, "%s/%s", data_directory, AUTOCONF_NAME);
    mode_t mode =
        stat(path, &st) == 0 ? st.st_mode & 0777 : 0600; /* 0640 where the group may read the cluster */
    ok = !changed || file_write_atomic(path, new.len > 0 ? new.data : "", new.len, mode, err);
out:
    if (ret_changed != NULL)
        *ret_changed = ok && changed;
    buf_done(&old);
    buf_done(&new);
    return ok;
}

bool autoconf_read(const char *data_directory, const char *name, char *ret_value, size_t size,
                   bool *ret_found, Err *err)
{
    Buf text = {0};
    bool ok = read_text(data_directory, &text, err);

    *ret_found = ok && autoconf_find(text.data, name, ret_value, size);
    buf_done(&text);
    return ok;
}
