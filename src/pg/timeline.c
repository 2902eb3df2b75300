/*
 * timeline.c: reading history files, and putting placeholders for numbers that somebody else claimed.
 *
 * A placeholder is known by its reason, so that one that nothing was built upon can be removed again.
 */
#include "pg/timeline.h"

#include "base/str.h"
#include "pg/wal.h"
#include "sys/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HISTORY_FILE_MAX ((size_t) 1 << 20)
#define CLAIM_REASON     "claimed elsewhere"
#define CLAIMS_MAX       4096

static void history_path(const char *data_directory, uint32_t timeline, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/pg_wal/%08X.history", data_directory, (unsigned) timeline);
}

int timeline_parse(const char *text, TimelineEntry *ret_entries, int max)
{
    int count = 0;
    uint32_t last = 0;

    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        unsigned timeline, high, low;
        size_t blank = strspn(line, " \t\r");
        if (blank < len && line[blank] != '#') {
            if (sscanf(line, "%u %X/%X", &timeline, &high, &low) != 3 || timeline <= last)
                return -1;
            last = timeline;
            if (count == max) {
                memmove(ret_entries, ret_entries + 1, (size_t) (max - 1) * sizeof *ret_entries);
                count--;
            }
            ret_entries[count++] = (TimelineEntry){timeline, (Lsn) high << 32 | low};
        }
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    return count;
}

bool timeline_read(const char *data_directory, uint32_t timeline, TimelineEntry *ret_entries, int max,
                   int *ret_count, Err *err)
{
    char path[4096];
    Buf text = {0};

    *ret_count = timeline <= 1 ? 0 : -1;
    if (timeline <= 1)
        return true;
    history_path(data_directory, timeline, path, sizeof path);
    if (!file_read(path, HISTORY_FILE_MAX, &text, err)) {
        buf_done(&text);
        return errno == ENOENT;
    }
    *ret_count = timeline_parse(text.data != NULL ? text.data : "", ret_entries, max);
    buf_done(&text);
    if (*ret_count < 0)
        return err_set(err, ERR_PG, "%s is malformed", path);
    return true;
}

int timeline_common(const TimelineEntry *a, int a_count, const TimelineEntry *b, int b_count, uint32_t newest)
{
    int common = -1;

    for (int i = 0; i < a_count && i < b_count; i++) {
        bool same_begin = i == 0 || a[i - 1].end == b[i - 1].end;
        if (a[i].timeline != b[i].timeline || !same_begin || a[i].timeline > newest)
            break;
        common = i;
    }
    return common;
}

bool timeline_start(const char *data_directory, uint32_t timeline, Lsn *ret_start, Err *err)
{
    TimelineEntry entries[TIMELINE_MAX];
    int count;

    *ret_start = LSN_NONE;
    if (!timeline_read(data_directory, timeline, entries, TIMELINE_MAX, &count, err))
        return false;
    if (count > 0)
        *ret_start = entries[count - 1].end;
    return true;
}

bool timeline_claim(const char *data_directory, uint32_t timeline, uint32_t parent, bool *ret_made, Err *err)
{
    char path[4096], text[64];

    history_path(data_directory, timeline, path, sizeof path);
    *ret_made = false;
    if (file_exists(path))
        return true;
    int len = snprintf(text, sizeof text, "%u\t0/1\t" CLAIM_REASON "\n", (unsigned) parent);
    *ret_made = file_write_atomic(path, text, (size_t) len, 0600, err);
    return *ret_made;
}

/* Whether the file is one of ours. */
static bool is_claim(const char *path)
{
    Buf text = {0};
    bool ours = file_read(path, HISTORY_FILE_MAX, &text, NULL) && text.data != NULL &&
                strstr(text.data, "\t0/1\t" CLAIM_REASON "\n") != NULL && text.len < 64;

    buf_done(&text);
    return ours;
}

/* Writes the history file of an ancestor: the lines before it in its descendant's. */
static bool write_ancestor(const char *data_directory, const TimelineEntry *entries, int count, Err *err)
{
    char path[4096], lsn[LSN_TEXT_LEN];
    Buf text = {0};

    history_path(data_directory, entries[count].timeline, path, sizeof path);
    for (int i = 0; i < count; i++) {
        lsn_format(entries[i].end, lsn);
        buf_printf(&text, "%u\t%s\tfrom a later history\n", (unsigned) entries[i].timeline, lsn);
    }
    bool ok = file_write_atomic(path, text.data != NULL ? text.data : "", text.len, 0600, err);
    buf_done(&text);
    return ok;
}

bool timeline_fill(const char *data_directory, uint32_t timeline, Err *err)
{
    TimelineEntry entries[TIMELINE_MAX];
    char path[4096];
    int count, at = 0;
    bool made;

    if (!timeline_read(data_directory, timeline, entries, TIMELINE_MAX, &count, err))
        return false;
    if (count <= 0 || count == TIMELINE_MAX) /* cut off at its old end: better none than wrong ones */
        return true;
    for (uint32_t n = 2; n < timeline; n++) {
        while (at < count && entries[at].timeline < n)
            at++;
        history_path(data_directory, n, path, sizeof path);
        if (file_exists(path))
            continue;
        bool ancestor = at < count && entries[at].timeline == n && at > 0;
        if (ancestor ? !write_ancestor(data_directory, entries, at, err)
                     : !timeline_claim(data_directory, n, entries[0].timeline, &made, err))
            return false;
    }
    return true;
}

/* The number in a history file's name; 0 if it is none. */
static uint32_t history_number(const char *name)
{
    unsigned number;

    if (strlen(name) != 16 || strcmp(name + 8, ".history") != 0 || sscanf(name, "%8X", &number) != 1)
        return 0;
    return number;
}

bool timeline_trim_claims(const char *data_directory, uint32_t segment_size, Err *err)
{
    char path[4096], wal[4000];
    uint32_t claimed[CLAIMS_MAX], newest;
    size_t count = 0;
    WalList list;
    bool removed = false, ok = true;

    if (!wal_list(data_directory, segment_size, LSN_NONE, &list, err))
        return false;
    newest = list.newest_timeline;
    snprintf(wal, sizeof wal, "%s/pg_wal", data_directory);
    DIR *dir = opendir(wal);
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", wal);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        uint32_t number = history_number(entry->d_name);
        if (number == 0)
            continue;
        history_path(data_directory, number, path, sizeof path);
        if (!is_claim(path))
            newest = number > newest ? number : newest;
        else if (count < CLAIMS_MAX)
            claimed[count++] = number;
    }
    closedir(dir);
    for (size_t i = 0; ok && i < count; i++) {
        if (claimed[i] <= newest)
            continue;
        history_path(data_directory, claimed[i], path, sizeof path);
        if (unlink(path) != 0)
            ok = err_set_errno(err, ERR_IO, errno, "cannot remove %s", path);
        removed = true;
    }
    return ok && (!removed || file_sync(wal, err));
}

bool timeline_trim_later(const char *data_directory, uint32_t segment_size, uint32_t newest, Err *err)
{
    char path[4096], wal[4000];
    bool removed = false, ok = true;

    snprintf(wal, sizeof wal, "%s/pg_wal", data_directory);
    DIR *dir = opendir(wal);
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", wal);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        uint32_t number = history_number(entry->d_name);
        uint64_t segment;
        if (number == 0 && !wal_parse_name(entry->d_name, segment_size, &number, &segment))
            continue;
        if (number <= newest)
            continue;
        snprintf(path, sizeof path, "%s/%.80s", wal, entry->d_name);
        if (unlink(path) != 0 && errno != ENOENT)
            ok = err_set_errno(err, ERR_IO, errno, "cannot remove %s", path);
        removed = true;
    }
    closedir(dir);
    return ok && (!removed || file_sync(wal, err));
}
