/*
 * sides.c: both sides of two primaries, or of WAL that only one member has, out of /v1/cluster.
 */
#include "cli/sides.h"

#include "cli/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool sides_is_primary(const json_t *member)
{
    return strcmp(field_text(member, "kind", ""), "primary") == 0;
}

const json_t *sides_lost(const json_t *member)
{
    return json_object_get(member, "lost");
}

bool sides_ask(const json_t *member)
{
    return field_true(sides_lost(member), "asks");
}

/* "1/2A000000" as a number; 0: not known. */
static uint64_t lsn_of(const json_t *object, const char *key)
{
    unsigned high = 0, low = 0;
    const char *text = field_text(object, key, "");

    return sscanf(text, "%X/%X", &high, &low) == 2 ? (uint64_t) high << 32 | low : 0;
}

uint64_t sides_behind(const json_t *cluster, const json_t *member)
{
    const json_t *members = json_object_get(cluster, "members");
    uint64_t fork = 0;

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *lost = sides_lost(json_array_get(members, i));
        uint64_t one = lsn_of(lost, "fork");
        if (field_true(lost, "asks") && one != 0 && (fork == 0 || one < fork))
            fork = one;
    }
    uint64_t lsn = lsn_of(member, "lsn");
    return fork != 0 && lsn > fork ? lsn - fork : 0;
}

static void add_bytes(ShowTable *table, bool known, uint64_t bytes)
{
    char text[SHOW_NUMBER_LEN] = "";

    if (known)
        show_bytes(bytes, text);
    show_table_add(table, TONE_PLAIN, text);
}

static void add_side(const json_t *cluster, const json_t *member, ShowTable *table)
{
    const json_t *lost = sides_lost(member);
    bool waits = sides_ask(member), complete = field_true(lost, "complete");
    uint64_t behind = sides_behind(cluster, member);

    show_table_add(table, TONE_BOLD, field_text(member, "name", "?"));
    show_table_add(table, waits ? TONE_WARN : TONE_PLAIN, waits ? "stopped, waits" : "primary");
    show_table_addf(table, TONE_PLAIN, "%" PRId64, field_number(member, "timeline", 0));
    show_table_add(table, TONE_PLAIN, field_text(member, "timeline_start", NULL));
    show_table_add(table, TONE_PLAIN,
                   waits ? field_text(lost, "end", NULL) : field_text(member, "lsn", NULL));
    show_table_add(table, TONE_PLAIN, field_text(lost, "fork", NULL));
    add_bytes(table, waits ? complete : behind > 0,
              waits ? (uint64_t) field_number(lost, "bytes", 0) : behind);
    if (waits && complete)
        show_table_addf(table, TONE_WARN, "%" PRId64, field_number(lost, "transactions", 0));
    else
        show_table_add(table, TONE_PLAIN, waits ? "unknown" : NULL);
    show_table_add(table, TONE_PLAIN, field_text(lost, "last", NULL));
    add_bytes(table, field_number(member, "size", 0) > 0, (uint64_t) field_number(member, "size", 0));
}

bool sides_is_open(const json_t *cluster)
{
    const json_t *members = json_object_get(cluster, "members");
    int primaries = 0, waiting = 0;

    for (size_t i = 0; i < json_array_size(members); i++) {
        primaries += sides_is_primary(json_array_get(members, i));
        waiting += sides_ask(json_array_get(members, i));
    }
    return waiting > 0 || (primaries > 1 && field_number(cluster, "epoch", 0) == 0);
}

void sides_render(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {
        "Member",        "State",          ">TL",       ">Begins", ">LSN", ">Fork", ">Behind the fork",
        ">Transactions", "Last committed", ">Database", NULL};
    const json_t *members = json_object_get(cluster, "members");
    ShowTable table;

    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(members); i++)
        if (sides_is_primary(json_array_get(members, i)) || sides_ask(json_array_get(members, i)))
            add_side(cluster, json_array_get(members, i), &table);
    show_table_render(&table, style, out);
    show_table_done(&table);
}
