/*
 * json.h: JSON in and out: typed getters on jansson that name the key when they complain, and adders to a
 * Buf.
 *
 * 64-bit numbers that may exceed 2^53 travel as decimal strings ("big"), WAL positions as "X/Y".
 */
#ifndef PGVIGIL_WIRE_JSON_H
#define PGVIGIL_WIRE_JSON_H

#include "base/err.h"
#include "base/str.h"
#include "base/types.h"

#include <jansson.h>

/* A longer text is refused. */
#define JSON_TEXT_MAX 65536

/* The largest whole number that no JSON reader takes for another: 2^53 - 1 (RFC 7493). */
#define JSON_NUMBER_MAX (((int64_t) 1 << 53) - 1)

/*
 * Reads one JSON object of at most JSON_TEXT_MAX bytes; the caller frees it with json_decref. NULL with
 * ERR_PROTOCOL if it is anything else, has a key twice, or a text in it is not UTF-8 or holds a NUL.
 */
json_t *json_parse(const char *text, size_t len, Err *err);

/* ERR_PROTOCOL if the key is absent or null. */
bool json_require(const json_t *object, const char *key, Err *err);

/*
 * Each leaves *ret alone and succeeds when the key is absent or null, and fails with ERR_PROTOCOL when the
 * value is of another kind or out of range. Without err they fail all the same.
 */
bool json_get_bool(const json_t *object, const char *key, bool *ret, Err *err);
/* A whole number from min to max, both included. */
bool json_get_number(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret, Err *err);
/* A decimal string. */
bool json_get_big(const json_t *object, const char *key, uint64_t *ret, Err *err);
/* ret has size bytes, the terminating NUL included; a longer text is an error. The rest is filled with zeros.
 */
bool json_get_text(const json_t *object, const char *key, char *ret, size_t size, Err *err);
bool json_get_uuid(const json_t *object, const char *key, Uuid *ret, Err *err);
bool json_get_lsn(const json_t *object, const char *key, Lsn *ret, Err *err);
/* *ret is borrowed from object. */
bool json_get_object(const json_t *object, const char *key, const json_t **ret, Err *err);
/* *ret is borrowed from object; more than max elements are an error. */
bool json_get_array(const json_t *object, const char *key, size_t max, const json_t **ret, Err *err);

/*
 * Writing. Commas are put where they belong; key is NULL inside an array and outside everything. The bracket
 * is
 * '{' or '[' for json_add_open, '}' or ']' for json_add_close.
 */
void json_add_open(Buf *out, const char *key, char bracket);
void json_add_close(Buf *out, char bracket);
void json_add_null(Buf *out, const char *key);
void json_add_bool(Buf *out, const char *key, bool value);
void json_add_number(Buf *out, const char *key, int64_t value);
void json_add_big(Buf *out, const char *key, uint64_t value);
/* Escaped; NULL is written as null. Bytes that are not UTF-8 (a text that was cut off) become '?'. */
void json_add_text(Buf *out, const char *key, const char *text);
void json_add_uuid(Buf *out, const char *key, const Uuid *uuid);
void json_add_lsn(Buf *out, const char *key, Lsn lsn);
/* The same; null for LSN_NONE. */
void json_add_lsn_or_null(Buf *out, const char *key, Lsn lsn);
/* JSON that is there already. */
void json_add_raw(Buf *out, const char *key, const char *json, size_t len);

/* ISO 8601 in UTC with milliseconds, of microseconds since 1970; null for 0. */
void json_add_time(Buf *out, const char *key, int64_t wall_us);
/* The same with microseconds, as Python writes it and pglookout reads it. */
void json_add_time_us(Buf *out, const char *key, int64_t wall_us);

/*
 * What pglookout tells of a standby, in seconds: the age of what it replayed, the least of that since it
 * replicates (-1: unknown), and since when it does (0: unknown), on a clock that never jumps.
 */
void json_add_replication(Buf *out, int64_t lag_us, int64_t min_lag_us, int64_t since_us);

#endif
