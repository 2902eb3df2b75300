/*
 * history.c: merging histories.
 *
 * Each member writes down what it did or saw, so that the same failover can be in two of them, a little apart
 * in time.
 */
#include "cli/history.h"

#include "cli/field.h"

#include <stdlib.h>
#include <string.h>

#define SAME_WITHIN_MS 60000

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(field_text(a, key, ""), field_text(b, key, "")) == 0;
}

static bool is_same(const json_t *a, const json_t *b)
{
    int64_t apart = llabs(field_time_ms(a, "time") - field_time_ms(b, "time"));

    return apart <= SAME_WITHIN_MS && same_text(a, b, "kind") && same_text(a, b, "member") &&
           same_text(a, b, "lsn") && field_number(a, "epoch", 0) == field_number(b, "epoch", 0);
}

void history_merge(json_t *merged, const json_t *answer)
{
    const json_t *entries = json_object_get(answer, "entries");
    size_t before = json_array_size(merged);

    for (size_t i = 0; i < json_array_size(entries); i++) {
        json_t *entry = json_array_get(entries, i);
        bool known = !json_is_object(entry);
        /* Only another member can tell of the same thing: two alike from one member happened twice. */
        for (size_t j = 0; j < before && !known; j++)
            known = is_same(json_array_get(merged, j), entry);
        if (!known)
            json_array_append(merged, entry);
    }
}

static int compare(const void *a, const void *b)
{
    const json_t *const *left = a, *const *right = b;
    return strcmp(field_text(*left, "time", ""), field_text(*right, "time", ""));
}

json_t *history_sorted(const json_t *merged, size_t most)
{
    size_t count = json_array_size(merged);
    json_t **entry = calloc(count + 1, sizeof(*entry));
    json_t *sorted = json_array();

    if (entry == NULL)
        return sorted;
    for (size_t i = 0; i < count; i++)
        entry[i] = json_array_get(merged, i);
    qsort(entry, count, sizeof(*entry), compare);
    for (size_t i = most > 0 && count > most ? count - most : 0; i < count; i++)
        json_array_append(sorted, entry[i]);
    free(entry);
    return sorted;
}
