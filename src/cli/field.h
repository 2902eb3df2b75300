/*
 * field.h: reading answers leniently: what is missing or of another kind gives the fallback.
 *
 * A member of another version may say more or less than this program knows; what is there is shown.
 */
#ifndef PGVIGIL_CLI_FIELD_H
#define PGVIGIL_CLI_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The text under key; null, absent or no text: fallback. */
const char *field_text(const json_t *object, const char *key, const char *fallback);

int64_t field_number(const json_t *object, const char *key, int64_t fallback);

/* Milliseconds since 1970 of a time as the members write it, "2026-11-20T20:59:31.123Z"; -1 if it is none. */
int64_t field_time_ms(const json_t *object, const char *key);

/* True only for true. */
bool field_true(const json_t *object, const char *key);

/* The row of that name in cluster's "members", or NULL. */
const json_t *field_member(const json_t *cluster, const char *name);

/* Prints an object and a newline to standard output; compact: on one line. */
void field_print(const json_t *json, bool compact);

#endif
