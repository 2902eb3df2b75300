/*
 * history.c: appends and reads JSON lines. A crash can leave half a line; the next one then begins on a line
 * of its own, and reading leaves the half out.
 */
#include "store/history.h"

#include "sys/file.h"
#include "wire/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The file named in ret_path, which has room for PATH_MAX. */
static bool path_of(const char *state_dir, const char *cluster, const char *suffix, char *ret_path, Err *err)
{
    return snprintf(ret_path, PATH_MAX, "%s/%s.history%s", state_dir, cluster, suffix) < PATH_MAX ||
           err_set(err, ERR_CONFIG, "the path %.100s... is too long", ret_path);
}

bool history_append(const char *state_dir, const char *cluster, const char *line, Err *err)
{
    char path[PATH_MAX], older[PATH_MAX];
    size_t len = strlen(line);
    struct stat st;

    if (len > HISTORY_LINE_MAX || strchr(line, '\n') != NULL)
        return err_set(err, ERR_IO, "a history entry of %zu bytes is longer than %d, or not one line", len,
                       HISTORY_LINE_MAX);
    if (!path_of(state_dir, cluster, "", path, err) || !path_of(state_dir, cluster, ".1", older, err))
        return false;
    bool full = stat(path, &st) == 0 && st.st_size + (off_t) len + 1 > HISTORY_FILE_MAX;
    if (full && rename(path, older) != 0)
        return err_set_errno(err, ERR_IO, errno, "%s cannot be renamed to %s", path, older);
    return file_append_line(path, line, err);
}

/* A file that is not there is empty. Twice the limit: the line that went past it is there too. */
static bool read_all(const char *path, Buf *ret, Err *err)
{
    return !file_exists(path) || file_read(path, (size_t) 2 * HISTORY_FILE_MAX, ret, err);
}

static bool is_entry(const char *line, size_t len)
{
    json_t *entry = len <= HISTORY_LINE_MAX ? json_parse(line, len, NULL) : NULL;
    bool ok = entry != NULL;

    json_decref(entry);
    return ok;
}

/* Finds the line that ends before *end, moves *end to its start. False if there is none. */
static bool previous_line(const char *text, size_t *end, const char **ret_line, size_t *ret_len)
{
    if (*end == 0)
        return false;
    size_t stop = text[*end - 1] == '\n' ? *end - 1 : *end, start = stop;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    *ret_line = text + start;
    *ret_len = stop - start;
    *end = start;
    return true;
}

/* Where in text the newest entries begin, at most *left of them; takes from *left what it found. */
static size_t find_newest(const Buf *text, size_t *left)
{
    size_t end = text->len, begin = text->len, len;
    const char *line;

    while (*left > 0 && previous_line(text->data, &end, &line, &len)) {
        if (is_entry(line, len)) {
            begin = end;
            (*left)--;
        }
    }
    return begin;
}

static void add_entries(const Buf *text, size_t begin, Buf *out)
{
    while (begin < text->len) {
        const char *line = text->data + begin;
        const char *end = memchr(line, '\n', text->len - begin);
        size_t len = end != NULL ? (size_t) (end - line) : text->len - begin;
        if (is_entry(line, len))
            json_add_raw(out, NULL, line, len);
        begin += len + 1;
    }
}

bool history_read(const char *state_dir, const char *cluster, size_t max_lines, Buf *out, Err *err)
{
    char path[PATH_MAX], older_path[PATH_MAX];
    Buf newer = {0}, older = {0};
    size_t left = max_lines;

    bool ok = path_of(state_dir, cluster, "", path, err) &&
              path_of(state_dir, cluster, ".1", older_path, err) && read_all(path, &newer, err);
    size_t newer_begin = ok ? find_newest(&newer, &left) : 0;
    if (ok && left > 0)
        ok = read_all(older_path, &older, err);
    size_t older_begin = ok ? find_newest(&older, &left) : 0;
    if (ok) {
        buf_puts(out, "[");
        add_entries(&older, older_begin, out);
        add_entries(&newer, newer_begin, out);
        buf_puts(out, "]");
        ok = !out->failed || err_set(err, ERR_MEMORY, "no memory to read the history");
    }
    buf_done(&newer);
    buf_done(&older);
    return ok;
}
