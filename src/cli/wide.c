/*
 * wide.c: one request to each member, one row of its answer.
 */
#include "cli/wide.h"

#include "cli/field.h"

#include <inttypes.h>
#include <string.h>

/* The row that a member has of itself; *ret_answer is the caller's. NULL: it does not answer. */
static const json_t *ask(const Client *client, const char *name, json_t **ret_answer)
{
    int member = client_find(client, name, NULL);

    *ret_answer = NULL;
    if (member < 0 || !client_get(client, member, "/v1/cluster", ret_answer, NULL))
        return NULL;
    return field_member(*ret_answer, name);
}

static void add_bytes(const json_t *facts, const char *key, ShowTable *table)
{
    int64_t bytes = field_number(facts, key, -1);
    char text[SHOW_NUMBER_LEN] = "";

    if (bytes >= 0)
        show_bytes((uint64_t) bytes, text);
    show_table_add(table, TONE_PLAIN, text);
}

static void add_count(const json_t *facts, const char *key, ShowTable *table)
{
    int64_t count = field_number(facts, key, -1);

    if (count >= 0)
        show_table_addf(table, TONE_PLAIN, "%" PRId64, count);
    else
        show_table_add(table, TONE_PLAIN, NULL);
}

static void add_row(const char *name, const json_t *row, ShowTable *table)
{
    const json_t *facts = row != NULL ? json_object_get(row, "facts") : NULL;
    const char *network = row != NULL ? field_text(row, "network", NULL) : NULL;

    facts = json_is_object(facts) ? facts : NULL;
    show_table_add(table, TONE_BOLD, name);
    show_table_add(table, network != NULL && strcmp(network, "ok") != 0 ? TONE_BAD : TONE_PLAIN, network);
    add_bytes(facts, "db_bytes", table);
    add_bytes(facts, "wal_bytes", table);
    add_count(facts, "wal_files", table);
    add_count(facts, "slots", table);
    show_table_add(table, TONE_PLAIN, field_text(facts, "db_time", NULL));
    show_table_add(table, TONE_PLAIN, field_text(facts, "last_connection", NULL));
    show_table_add(table, TONE_PLAIN, field_text(facts, "primary_conninfo", NULL));
}

void wide_render(const Client *client, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"Member", "Network", ">Databases", ">pg_wal",  ">Files",
                                        ">Slots", "DB time", "Answered",   "Conninfo", NULL};
    const json_t *members = json_object_get(client->cluster, "members");
    ShowTable table;

    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        const char *name = field_text(member, "name", "?");
        json_t *answer;
        if (strcmp(field_text(member, "role", ""), "witness") == 0)
            continue;
        add_row(name, ask(client, name, &answer), &table);
        json_decref(answer);
    }
    show_table_render(&table, style, out);
    show_table_done(&table);
}
