/*
 * overview.c: one line for each cluster, as an observer sees them.
 */
#include "cli/overview.h"

#include "cli/client.h"
#include "cli/field.h"
#include "net/local_address.h"
#include "net/operator.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH        "/v1/clusters"
#define RELOAD_PATH "/v1/reload"
#define AGE_WARN_S  10.0

/* Where this file's observer listens. ret_tls has room for what is needed for TLS. */
static OperatorTarget target_of(const Config *config, bool by_tls, OperatorTls *ret_tls)
{
    bool shows = config->http.tls_client_ca != NULL;

    *ret_tls = (OperatorTls){.ca = config->http.tls_ca,
                             .certificate = shows ? config->http.tls_certificate : NULL,
                             .key = shows ? config->http.tls_key : NULL};
    return (OperatorTarget){.host = local_address_reached(config->observer.listen),
                            .port = (uint16_t) config->observer.port,
                            .tls = by_tls ? ret_tls : NULL,
                            .timeout_ms = CLIENT_GET_TIMEOUT_MS};
}

static bool no_answer(const Config *config, Err *err)
{
    err_context(err, "the observer of %s does not answer", config->path);
    if (err->code == ERR_TIMEOUT)
        err->code = ERR_NET;
    return false;
}

static json_t *read_answer(const OperatorTarget *target, int status, const Buf *body, Err *err)
{
    json_t *json =
        status == 200 ? json_loadb(body->data != NULL ? body->data : "", body->len, 0, NULL) : NULL;

    if (json == NULL && status == 422)
        err_set(err, ERR_CONFIG, "%.*s", (int) body->len, body->data != NULL ? body->data : "");
    else if (json == NULL)
        err_set(err, ERR_PROTOCOL, "%s:%u: HTTP status %d, or no JSON; is it an observer that listens there?",
                target->host, (unsigned) target->port, status);
    return json;
}

static json_t *talk(const Config *config, bool posts, const char *path, bool by_tls, Err *err)
{
    OperatorTls tls;
    OperatorTarget target = target_of(config, by_tls, &tls);
    Buf body = {0};
    int status = 0;
    json_t *json = NULL;
    bool answered = posts ? operator_post_open(&target, path, &status, &body, err)
                          : operator_get(&target, path, &status, &body, err);

    if (answered)
        json = read_answer(&target, status, &body, err);
    else
        no_answer(config, err);
    buf_done(&body);
    return json;
}

json_t *overview_ask(const Config *config, Err *err)
{
    return talk(config, false, PATH, config->http.tls_certificate != NULL, err);
}

json_t *overview_reload(const Config *config, Err *err)
{
    bool by_tls = config->http.tls_certificate != NULL;
    json_t *json = talk(config, true, RELOAD_PATH, by_tls, err);
    size_t used = strlen(err->text);

    if (json != NULL || err->code != ERR_NET)
        return json;
    /* What is to be read may be that TLS begins or ends: until then it listens the other way. */
    Err other = {0};
    json = talk(config, true, RELOAD_PATH, !by_tls, &other);
    if (json == NULL && other.code != ERR_NET)
        *err = other;
    else if (json == NULL)
        snprintf(
            err->text + used, sizeof err->text - used,
            "; where address, port or TLS are others in the file than when it was read last: send SIGHUP");
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

/* How old what is shown is at best. */
static void add_age(const json_t *cluster, ShowTable *table)
{
    const json_t *age = json_object_get(cluster, "age_s");

    if (json_is_number(age))
        show_table_addf(table, json_number_value(age) > AGE_WARN_S ? TONE_BAD : TONE_PLAIN, "%.1f s",
                        json_number_value(age));
    else
        show_table_add(table, TONE_PLAIN, NULL);
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
    add_age(cluster, table);
    show_table_addf(table, json_array_size(alarms) > 0 ? TONE_BAD : TONE_PLAIN, "%s%s",
                    alarm != NULL ? alarm : "", json_array_size(alarms) > 1 ? "; more below" : "");
}

/* Those for which the table had no room. */
static void add_more_alarms(const json_t *rows, const ShowStyle *style, Buf *out)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *cluster = json_array_get(rows, i), *alarms = json_object_get(cluster, "alarms");
        for (size_t k = 1; k < json_array_size(alarms); k++) {
            show_text(out, style, TONE_BOLD,
                      field_text(cluster, "cluster", field_text(cluster, "file", "?")));
            buf_puts(out, ": ");
            show_text(out, style, TONE_BAD, json_string_value(json_array_get(alarms, k)));
            buf_puts(out, "\n");
        }
    }
}

void overview_render(const json_t *clusters, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"Cluster", "Primary", "Seen",  ">Servers", ">Standbys",
                                        ">Lag",    ">Age",    "Alarm", NULL};
    const json_t *rows = json_object_get(clusters, "clusters");
    const char *problem = field_text(clusters, "problem", NULL);
    size_t row_count = json_array_size(rows);
    int64_t server_count = field_number(clusters, "servers", 0);
    ShowTable table;

    show_text(out, style, TONE_BOLD, field_text(clusters, "observer", "?"));
    buf_printf(out, " observes %zu cluster%s, %" PRId64 " server%s\n", row_count, row_count == 1 ? "" : "s",
               server_count, server_count == 1 ? "" : "s");
    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(rows); i++)
        add_row(json_array_get(rows, i), &table);
    show_table_render(&table, style, out);
    show_table_done(&table);
    add_more_alarms(rows, style, out);
    if (problem != NULL) {
        buf_puts(out, "Alarm: ");
        show_text(out, style, TONE_BAD, problem);
        buf_puts(out, "\n");
    }
}
