/*
 * wal.h: the files in pg_wal: names, ranges, what is genuine, where a record ends.
 *
 * wal_list and wal_range block on the disk (workers only). A segment's name tells timeline and number;
 * recycled files have the name of a future segment and the content of a past one, which only the page header
 * tells.
 */
#ifndef PGVIGIL_PG_WAL_H
#define PGVIGIL_PG_WAL_H

#include "base/err.h"
#include "base/types.h"

#define WAL_NAME_LEN            25 /* 24 hexadecimal digits and the end */
#define WAL_SEGMENT_SIZE_NORMAL ((uint32_t) 16 << 20)

/* File name of a segment; ret_name has room for WAL_NAME_LEN. */
void wal_name(uint32_t timeline, uint64_t segment, uint32_t segment_size, char *ret_name);

/* Reads a segment's name; false if it is none (history, partial and backup files are not). */
bool wal_parse_name(const char *name, uint32_t segment_size, uint32_t *ret_timeline, uint64_t *ret_segment);

/*
 * Where a record of len bytes ("len (rec/tot)", the second) that starts at lsn ends: page headers counted and
 * rounded up as PostgreSQL does, for pages of 8 KiB.
 */
Lsn wal_record_end(Lsn lsn, uint32_t len, uint32_t segment_size);

typedef struct WalList {
    uint32_t newest_timeline; /* the highest that has a segment with the byte before lsn; 0: none has */
    Lsn oldest;               /* start of the oldest segment from which on none is missing up to the newest */
} WalList;

/* Lists pg_wal. With LSN_NONE newest_timeline is the highest there is. */
bool wal_list(const char *data_directory, uint32_t segment_size, Lsn lsn, WalList *ret_list, Err *err);

typedef struct WalRange {
    uint64_t first, last; /* segment numbers; the range has no gap and ends with the newest genuine segment */
    uint32_t count;       /* 0: there is none */
    uint32_t highest_timeline; /* of any segment */
} WalRange;

/* The genuine segments of one timeline: their first page bears the right address. */
bool wal_range(const char *data_directory, uint32_t segment_size, uint32_t timeline, WalRange *ret_range,
               Err *err);

#endif
