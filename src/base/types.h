/*
 * types.h: the few types that every part of pgvigil shares.
 *
 * Times are microseconds in int64_t, lengths of time in options are milliseconds. A Clock is read once per
 * event by the caller: nothing below src/sys ever asks for the time.
 */
#ifndef PGVIGIL_BASE_TYPES_H
#define PGVIGIL_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A position in the WAL, as PostgreSQL counts it (pg_lsn): bytes since the beginning. */
typedef uint64_t Lsn;
#define LSN_NONE     ((Lsn) 0)
#define LSN_TEXT_LEN 24 /* "FFFFFFFF/FFFFFFFF" and its end, rounded up */

/* Seven members and two joiners; more voters make elections slower and no safer. */
#define MEMBER_MAX      9
#define MEMBER_NAME_LEN 32 /* with the terminating NUL */

/* A member's slot in the document, or MEMBER_NONE. */
typedef int8_t MemberNo;
#define MEMBER_NONE ((MemberNo) -1)

/* A set of slots, one bit each. */
typedef uint16_t MemberSet;

typedef struct Uuid {
    uint8_t byte[16];
} Uuid;
#define UUID_TEXT_LEN 37 /* 8-4-4-4-12 hexadecimal digits and the end */

/*
 * One reading of the clocks, taken together. raw and boot never jump; raw stands still while the host is
 * suspended and boot does not. wall is for people, and for noticing that a hypervisor stopped the other two.
 */
typedef struct Clock {
    int64_t raw_us;  /* CLOCK_MONOTONIC_RAW */
    int64_t boot_us; /* CLOCK_BOOTTIME */
    int64_t wall_us; /* CLOCK_REALTIME, since 1970 */
} Clock;

typedef enum LogLevel { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR } LogLevel;

#define US_PER_MS  ((int64_t) 1000)
#define US_PER_SEC ((int64_t) 1000000)

bool uuid_is_zero(const Uuid *uuid);
bool uuid_equal(const Uuid *a, const Uuid *b);

/* Writes the usual 8-4-4-4-12 form; ret_text has room for UUID_TEXT_LEN. */
void uuid_format(const Uuid *uuid, char *ret_text);

/* Reads the usual form, upper or lower case. False, and *ret_uuid untouched, if it is anything else. */
bool uuid_parse(const char *text, Uuid *ret_uuid);

/* Writes "X/Y" as pg_lsn prints it; ret_text has room for LSN_TEXT_LEN. */
void lsn_format(Lsn lsn, char *ret_text);

/* Reads "X/Y", each one to eight hexadecimal digits. False, and *ret_lsn untouched, if it is anything else.
 */
bool lsn_parse(const char *text, Lsn *ret_lsn);

/*
 * Time from then to now by the two clocks, in microseconds. _most is for whoever must stop in time (a leader,
 * the fence), _least for whoever promised to wait (a voter): a clock that stood still then errs to the safe
 * side.
 */
int64_t clock_elapsed_most(const Clock *then, const Clock *now);
int64_t clock_elapsed_least(const Clock *then, const Clock *now);

#endif
