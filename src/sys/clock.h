/*
 * clock.h: the one place that reads the time.
 *
 * Decisions use raw and boot only; wall is for people (and for noticing that a hypervisor stopped the
 * others).
 */
#ifndef PGVIGIL_SYS_CLOCK_H
#define PGVIGIL_SYS_CLOCK_H

#include "base/types.h"

#define CLOCK_TEXT_LEN 32

/* CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME and CLOCK_REALTIME, read one after the other. Cannot fail. */
Clock clock_now(void);

/* Milliseconds from then to now by CLOCK_BOOTTIME; for waits of the command line. */
int64_t clock_ms_since(const Clock *then);

/* Sleeps in the calling thread, never on the loop's: for the command line. A signal may end it earlier. */
void clock_sleep_ms(int64_t ms);

/*
 * Writes wall_us (microseconds since 1970) as ISO 8601 in UTC with milliseconds: 2026-11-20T20:59:31.123Z.
 * size is at least CLOCK_TEXT_LEN. Years outside 0..9999 are written as "?".
 */
void clock_format_utc(int64_t wall_us, char *ret_text, size_t size);

#endif
