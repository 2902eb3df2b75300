/*
 * field.c: see field.h.
 */
#include "cli/field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *field_text(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

int64_t field_number(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? (int64_t) json_number_value(value) : fallback;
}

int64_t field_time_ms(const json_t *object, const char *key)
{
    struct tm tm = {0};
    const char *rest = strptime(field_text(object, key, ""), "%Y-%m-%dT%H:%M:%S", &tm);

    if (rest == NULL)
        return -1;
    return (int64_t) timegm(&tm) * 1000 + (rest[0] == '.' ? strtol(rest + 1, NULL, 10) : 0);
}

bool field_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const json_t *field_member(const json_t *cluster, const char *name)
{
    const json_t *members = json_object_get(cluster, "members");

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        if (strcmp(field_text(member, "name", ""), name) == 0)
            return member;
    }
    return NULL;
}

void field_print(const json_t *json, bool compact)
{
    json_dumpf(json, stdout, (compact ? JSON_COMPACT : JSON_INDENT(2)) | JSON_ENSURE_ASCII);
    putchar('\n');
    fflush(stdout);
}
