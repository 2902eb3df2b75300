/*
 * overview.c: one line for each cluster, as an observer sees them.
 */
#include "cli/overview.h"

#include "cli/client.h"
#include "cli/field.h"
#include "net/operator.h"

#include <inttypes.h>
#include <string.h>

#define PATH "/v1/clusters"

json_t *overview_ask(const Config *config, Err *err)
{
    const char *listen = config->observer.listen;
    const char *host = strcmp(listen, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(listen, "::") == 0    ? "::1"
                                                      : listen;
    OperatorTarget target = {
        .host = host, .port = (uint16_t) config->observer.port, .timeout_ms = CLIENT_GET_TIMEOUT_MS};
    Buf body = {0};
    int status = 0;
    json_t *json = NULL;

    if (!operator_get(&target, PATH, &status, &body, err)) {
        err_context(err, "the observer of %s does not answer", config->path);
        if (err->code == ERR_TIMEOUT)
            err->code = ERR_NET;
    } else if (status == 200) {
        json = json_loadb(body.data != NULL ? body.data : "", body.len, 0, NULL);
    }
    if (json == NULL && err->code == ERR_NONE)
        err_set(err, ERR_PROTOCOL, "%s:%u: HTTP status %d, or no JSON; is it an observer that listens there?",
                host, (unsigned) target.port, status);
    buf_done(&body);
    return json;
}

static size_t count(const json_t *cluster, const char *key, const char *value)
{
    const json_t *members = json_object_get(cluster, "members");
    size_t found = 0;

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        found += value == NULL
                     ? field_true(member, key)
                     : strcmp(field_text(member, key, ""), value) == 0 && field_true(member, "reachable");
    }
    return found;
}

static size_t servers(const json_t *cluster)
{
    const json_t *members = json_object_get(cluster, "members");
    size_t found = 0;

    for (size_t i = 0; i < json_array_size(members); i++)
        found += strcmp(field_text(json_array_get(members, i), "role", ""), "witness") != 0;
    return found;
}

static bool is_well(const json_t *cluster)
{
    return field_true(cluster, "sees_primary") && json_array_size(json_object_get(cluster, "alarms")) == 0;
}

bool overview_is_healthy(const json_t *clusters)
{
    const json_t *rows = json_object_get(clusters, "clusters");

    for (size_t i = 0; i < json_array_size(rows); i++)
        if (!is_well(json_array_get(rows, i)))
            return false;
    return field_text(clusters, "problem", NULL) == NULL;
}

static void add_lag(const json_t *cluster, ShowTable *table)
{
    const json_t *members = json_object_get(cluster, "members");
    int64_t most = -1;
    char text[SHOW_NUMBER_LEN] = "";

    for (size_t i = 0; i < json_array_size(members); i++) {
        int64_t lag = field_number(json_array_get(members, i), "lag_bytes", -1);
        most = lag > most ? lag : most;
    }
    if (most >= 0)
        show_bytes((uint64_t) most, text);
    show_table_add(table, TONE_PLAIN, text);
}

static void add_row(const json_t *cluster, ShowTable *table)
{
    const json_t *alarms = json_object_get(cluster, "alarms");
    const char *alarm = json_string_value(json_array_get(alarms, 0));
    bool sees = field_true(cluster, "sees_primary");
    size_t all = servers(cluster), up = count(cluster, "reachable", NULL);

    show_table_add(table, TONE_BOLD, field_text(cluster, "cluster", field_text(cluster, "file", "?")));
    show_table_add(table, sees ? TONE_GOOD : TONE_BAD, field_text(cluster, "primary", NULL));
    show_table_add(table, sees ? TONE_PLAIN : TONE_BAD, sees ? "yes" : "no");
    show_table_addf(table, up == all ? TONE_PLAIN : TONE_BAD, "%zu of %zu", up, all);
    show_table_addf(table, TONE_PLAIN, "%zu", count(cluster, "role", "standby"));
    add_lag(cluster, table);
    show_table_addf(table, json_array_size(alarms) > 0 ? TONE_BAD : TONE_PLAIN, "%s%s",
                    alarm != NULL ? alarm : "", json_array_size(alarms) > 1 ? ", and more" : "");
}

void overview_render(const json_t *clusters, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"Cluster",   "Primary", "Seen",  ">Servers",
                                        ">Standbys", ">Lag",    "Alarm", NULL};
    const json_t *rows = json_object_get(clusters, "clusters");
    const char *problem = field_text(clusters, "problem", NULL);
    ShowTable table;

    show_text(out, style, TONE_BOLD, field_text(clusters, "observer", "?"));
    buf_printf(out, " observes %zu clusters, %" PRId64 " servers\n", json_array_size(rows),
               field_number(clusters, "servers", 0));
    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(rows); i++)
        add_row(json_array_get(rows, i), &table);
    show_table_render(&table, style, out);
    show_table_done(&table);
    if (problem != NULL) {
        buf_puts(out, "Alarm: ");
        show_text(out, style, TONE_BAD, problem);
        buf_puts(out, "\n");
    }
}
