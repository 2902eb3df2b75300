/*
 * lookout_values.h: the values of pglookout's JSON file, by kind; private to src/front.
 *
 * Each fails with ERR_CONFIG that names the key, and never with a value that may have a password in it.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_VALUES_H
#define PGVIGIL_FRONT_LOOKOUT_VALUES_H

#include "front/lookout_config.h"

#include <jansson.h>

typedef struct LookoutValue {
    const char *name; /* of the key, for errors */
    const json_t *json;
    Arena *arena; /* for what is returned */
} LookoutValue;

bool lookout_values_flag(const LookoutValue *value, bool *ret, Err *err);
/* A number, or a text that is one: in the old document statsd's port is written as a text. */
bool lookout_values_number(const LookoutValue *value, double least, double most, double *ret, Err *err);
bool lookout_values_text(const LookoutValue *value, const char **ret, Err *err);
/* A text, a whole number, or true and false as "yes" and "no"; returned as a text. */
bool lookout_values_scalar(const LookoutValue *value, const char **ret, Err *err);
/* A text that is split on blanks, or an array of texts. */
bool lookout_values_command(const LookoutValue *value, LookoutCommand *ret, Err *err);
bool lookout_values_names(const LookoutValue *value, LookoutNames *ret, Err *err);
/* A connection string, a URI, or an object of keywords with values; returned as keywords with values. */
bool lookout_values_conninfo(const LookoutValue *value, const char **ret, Err *err);
/* http://HOST[:PORT][/PATH]; ret_path is where its state is. */
bool lookout_values_url(const LookoutValue *value, const char **ret_host, uint16_t *ret_port,
                        const char **ret_path, Err *err);

#endif
