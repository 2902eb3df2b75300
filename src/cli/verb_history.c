/*
 * verb_history.c: what happened to the cluster, from all members that answer.
 */
#include "cli/client.h"
#include "cli/field.h"
#include "cli/history.h"
#include "cli/show.h"
#include "cli/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_MOST 100000

static void add_lost(const json_t *entry, ShowTable *table)
{
    int64_t bytes = field_number(entry, "bytes", 0);
    int64_t transactions = field_number(entry, "transactions", 0);
    char text[SHOW_NUMBER_LEN];

    if (bytes <= 0) {
        show_table_add(table, TONE_PLAIN, NULL);
        return;
    }
    show_bytes((uint64_t) bytes, text);
    show_table_addf(table, TONE_WARN, "%s, %" PRId64 " transaction%s", text, transactions,
                    transactions == 1 ? "" : "s");
}

/* A pause has its end before its reason. */
static void add_reason(const json_t *entry, ShowTable *table)
{
    const char *until = field_text(entry, "until", NULL), *reason = field_text(entry, "reason", NULL);

    if (until == NULL)
        show_table_add(table, TONE_PLAIN, reason);
    else
        show_table_addf(table, TONE_PLAIN, "until %s%s%s", until, reason != NULL ? ": " : "",
                        reason != NULL ? reason : "");
}

static void add_entry(const json_t *entry, ShowTable *table)
{
    int64_t duration = field_number(entry, "duration_ms", -1);
    int64_t epoch = field_number(entry, "epoch", 0);
    int64_t timeline = field_number(entry, "timeline", 0);
    char text[SHOW_NUMBER_LEN] = "";

    show_table_add(table, TONE_PLAIN, field_text(entry, "time", NULL));
    show_table_add(table, TONE_BOLD, field_text(entry, "kind", NULL));
    show_table_add(table, TONE_PLAIN, field_text(entry, "member", NULL));
    show_table_add(table, TONE_PLAIN, field_text(entry, "from", NULL));
    snprintf(text, sizeof(text), "%" PRId64, epoch);
    show_table_add(table, TONE_PLAIN, epoch > 0 ? text : NULL);
    snprintf(text, sizeof(text), "%" PRId64, timeline);
    show_table_add(table, TONE_PLAIN, timeline > 0 ? text : NULL);
    show_table_add(table, TONE_PLAIN, field_text(entry, "lsn", NULL));
    text[0] = '\0';
    if (duration >= 0)
        show_duration(duration, text);
    show_table_add(table, TONE_PLAIN, text);
    add_lost(entry, table);
    add_reason(entry, table);
}

static void print(const Call *call, const json_t *entries)
{
    static const char *const heads[] = {"Time", "Event", "Member", "From",   ">Epoch", ">TL",
                                        ">LSN", ">Took", "Saved",  "Reason", NULL};
    ShowTable table;
    ShowStyle style = show_style(stdout);
    Buf out = {0};

    if (call_has(call, FLAG_JSON)) {
        field_print(entries, false);
        return;
    }
    if (json_array_size(entries) == 0) {
        puts("Nothing has happened yet.");
        return;
    }
    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(entries); i++)
        add_entry(json_array_get(entries, i), &table);
    show_table_render(&table, &style, &out);
    show_table_done(&table);
    show_print(&out, stdout);
}

/* Asks every member, or --member's only; returns how many answered. */
static int gather(const Client *client, json_t *merged, Err *ret_first)
{
    int answered = 0;

    for (int i = 0; i < client->config->member_count; i++) {
        json_t *answer = NULL;
        Err err = {0};
        if (client->pinned >= 0 && client->pinned != i)
            continue;
        if (client_get(client, i, "/v1/history", &answer, &err)) {
            history_merge(merged, answer);
            json_decref(answer);
            answered++;
        } else if (ret_first->code == ERR_NONE) {
            *ret_first = err;
        }
    }
    return answered;
}

int verb_history(const Call *call)
{
    Client client;
    Err err = {0};
    int64_t limit = 0;

    if (!call_number(call, FLAG_LIMIT, 1, LIMIT_MOST, 0, &limit, &err) || !client_open(&client, call, &err))
        return call_fail(&err);
    json_t *merged = json_array();
    int answered = gather(&client, merged, &err);
    int asked = client.pinned >= 0 ? 1 : client.config->member_count;
    if (answered > 0) {
        json_t *entries = history_sorted(merged, (size_t) limit);
        print(call, entries);
        json_decref(entries);
    }
    if (answered > 0 && answered < asked)
        fprintf(stderr, "pgvigil: %d of %d members answered; what only the others know is missing: %s\n",
                answered, asked, err.text);
    json_decref(merged);
    client_done(&client);
    return answered > 0 ? EXIT_DONE : call_fail(&err);
}
