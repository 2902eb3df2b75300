/*
 * value.h: values of options from text and back.
 *
 * The error of a parse function says what was there and what is allowed, without naming the option: the
 * caller knows that (err_context). least and most are inclusive.
 */
#ifndef PGVIGIL_CONFIG_VALUE_H
#define PGVIGIL_CONFIG_VALUE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A number with ms, s, min, h or d; decimals are allowed ("1.5s"); 0 needs no unit. Milliseconds. */
bool value_parse_duration(const char *text, int64_t least_ms, int64_t most_ms, int64_t *ret_ms, Err *err);

/* A number with B, kB, MB, GB or TB, by 1024 as PostgreSQL does; 0 needs no unit. Bytes. */
bool value_parse_size(const char *text, int64_t least, int64_t most, int64_t *ret_bytes, Err *err);

/* A number with ppm or %. Parts per million. */
bool value_parse_ppm(const char *text, int64_t least, int64_t most, int64_t *ret_ppm, Err *err);

bool value_parse_number(const char *text, int64_t least, int64_t most, int64_t *ret_number, Err *err);

/* yes, no; on, off, true, false, 1, 0 as well. */
bool value_parse_bool(const char *text, bool *ret_value, Err *err);

/* One word of "a|b|c"; its place from 0. */
bool value_parse_choice(const char *text, const char *choices, int *ret_index, Err *err);

/* The largest unit that is exact: 1500 -> "1500ms", 60000 -> "1min". */
void value_format_duration(int64_t ms, char *ret_text, size_t size);
void value_format_size(int64_t bytes, char *ret_text, size_t size);
void value_format_ppm(int64_t ppm, char *ret_text, size_t size);

/* The word of that place in "a|b|c"; "?" if there is none. */
void value_format_choice(const char *choices, int index, char *ret_text, size_t size);

/* "a|b|c" as "a, b or c". */
void value_format_choices(const char *choices, char *ret_text, size_t size);

#endif
