/*
 * wal.c: listing pg_wal and the arithmetic of WAL positions.
 *
 * Formats: PostgreSQL's xlog_internal.h (segment names, XLogPageHeaderData), unchanged from 12 to 18.
 */
#include "pg/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAL_PAGE         8192u
#define WAL_PAGE_HEADER  24u /* SizeOfXLogShortPHD */
#define WAL_FIRST_HEADER 40u /* SizeOfXLogLongPHD, on a segment's first page */
#define WAL_FILES_MAX    (1u << 20)

static uint64_t segments_per_id(uint32_t segment_size)
{
    return ((uint64_t) 1 << 32) / segment_size;
}

void wal_name(uint32_t timeline, uint64_t segment, uint32_t segment_size, char *ret_name)
{
    uint64_t per_id = segments_per_id(segment_size);

    snprintf(ret_name, WAL_NAME_LEN, "%08X%08X%08X", (unsigned) timeline, (unsigned) (segment / per_id),
             (unsigned) (segment % per_id));
}

bool wal_parse_name(const char *name, uint32_t segment_size, uint32_t *ret_timeline, uint64_t *ret_segment)
{
    unsigned timeline, high, low;

    if (strlen(name) != WAL_NAME_LEN - 1 || strspn(name, "0123456789ABCDEF") != WAL_NAME_LEN - 1 ||
        sscanf(name, "%08X%08X%08X", &timeline, &high, &low) != 3 || low >= segments_per_id(segment_size))
        return false;
    *ret_timeline = timeline;
    *ret_segment = (uint64_t) high * segments_per_id(segment_size) + low;
    return true;
}

Lsn wal_record_end(Lsn lsn, uint32_t len, uint32_t segment_size)
{
    uint64_t rest = ((uint64_t) len + 7) & ~(uint64_t) 7;

    for (;;) {
        uint64_t room = WAL_PAGE - lsn % WAL_PAGE;
        if (rest <= room)
            return lsn + rest;
        rest -= room;
        lsn += room;
        lsn += lsn % segment_size == 0 ? WAL_FIRST_HEADER : WAL_PAGE_HEADER;
    }
}

typedef struct Segment {
    uint64_t number;
    uint32_t timeline;
} Segment;

static int compare_segments(const void *a, const void *b)
{
    const Segment *x = a, *y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->timeline < y->timeline ? -1 : x->timeline > y->timeline;
}

/* All segments by number, then timeline; the caller frees *ret_segments. */
static bool read_segments(const char *data_directory, uint32_t segment_size, Segment **ret_segments,
                          size_t *ret_count, Err *err)
{
    char path[4096];
    size_t count = 0, capacity = 0;
    Segment *segments = NULL;

    snprintf(path, sizeof path, "%s/pg_wal", data_directory);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return err_set_errno(err, ERR_IO, errno, "cannot read %s", path);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL && count < WAL_FILES_MAX;) {
        Segment segment;
        if (!wal_parse_name(entry->d_name, segment_size, &segment.timeline, &segment.number))
            continue;
        if (count == capacity) {
            capacity = capacity > 0 ? capacity * 2 : 64;
            Segment *more = realloc(segments, capacity * sizeof *segments);
            if (more == NULL) {
                closedir(dir);
                free(segments);
                return err_set(err, ERR_MEMORY, "no memory to list %s", path);
            }
            segments = more;
        }
        segments[count++] = segment;
    }
    closedir(dir);
    if (count > 0)
        qsort(segments, count, sizeof *segments, compare_segments);
    *ret_segments = segments;
    *ret_count = count;
    return true;
}

bool wal_list(const char *data_directory, uint32_t segment_size, Lsn lsn, WalList *ret_list, Err *err)
{
    Segment *segments;
    size_t count;

    *ret_list = (WalList){0};
    if (!read_segments(data_directory, segment_size, &segments, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if ((lsn == LSN_NONE || segments[i].number == (lsn - 1) / segment_size) &&
            segments[i].timeline > ret_list->newest_timeline)
            ret_list->newest_timeline = segments[i].timeline;
    if (count > 0) {
        /* Back from the newest needed one: recycled files ahead of it do not matter, a gap does. */
        size_t i = count - 1;
        while (i > 0 && lsn != LSN_NONE && segments[i].number > (lsn - 1) / segment_size)
            i--;
        while (i > 0 && segments[i - 1].number + 1 >= segments[i].number)
            i--;
        ret_list->oldest = segments[i].number * segment_size;
    }
    free(segments);
    return true;
}

/* Whether the segment's first page says that it is that segment. The page's timeline may be an ancestor's. */
static bool is_genuine(const char *data_directory, uint32_t timeline, uint64_t segment, uint32_t segment_size)
{
    char path[4096], name[WAL_NAME_LEN];
    unsigned char page[16];
    uint64_t address;
    uint32_t page_timeline;

    wal_name(timeline, segment, segment_size, name);
    snprintf(path, sizeof path, "%s/pg_wal/%s", data_directory, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = pread(fd, page, sizeof page, 0) == (ssize_t) sizeof page;
    close(fd);
    if (!ok)
        return false;
    memcpy(&page_timeline, page + 4, sizeof page_timeline);
    memcpy(&address, page + 8, sizeof address);
    return address == segment * segment_size && page_timeline > 0 && page_timeline <= timeline;
}

bool wal_range(const char *data_directory, uint32_t segment_size, uint32_t timeline, WalRange *ret_range,
               Err *err)
{
    Segment *segments;
    size_t count;

    *ret_range = (WalRange){0};
    if (!read_segments(data_directory, segment_size, &segments, &count, err))
        return false;
    for (size_t i = count; i-- > 0;) {
        if (segments[i].timeline > ret_range->highest_timeline &&
            is_genuine(data_directory, segments[i].timeline, segments[i].number, segment_size))
            ret_range->highest_timeline = segments[i].timeline;
        if (segments[i].timeline != timeline)
            continue;
        if (ret_range->count > 0 && segments[i].number + 1 != ret_range->first)
            break;
        if (!is_genuine(data_directory, timeline, segments[i].number, segment_size)) {
            if (ret_range->count > 0)
                break;
            continue;
        }
        if (ret_range->count++ == 0)
            ret_range->last = segments[i].number;
        ret_range->first = segments[i].number;
    }
    free(segments);
    return true;
}
