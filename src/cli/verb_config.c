/*
 * verb_config.c: the configuration as the daemon would read it, without a daemon.
 */
#include "cli/check.h"
#include "cli/client.h"
#include "cli/field.h"
#include "cli/show.h"
#include "cli/verb.h"
#include "config/render.h"
#include "config/value.h"
#include "front/front.h"
#include "observer/observer.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The lines of a text as an array. */
static void add_lines(Buf *out, const char *key, const char *text)
{
    json_add_open(out, key, '[');
    while (text != NULL && *text != '\0') {
        char line[1024];
        size_t len = strcspn(text, "\n");
        snprintf(line, sizeof(line), "%.*s", (int) len, text);
        json_add_text(out, NULL, line);
        text += len + (text[len] == '\n');
    }
    json_add_close(out, ']');
}

static void print_check_json(const Config *config, const char *errors, const char *warnings)
{
    Buf out = {0};

    json_add_open(&out, NULL, '{');
    json_add_bool(&out, "valid", config != NULL);
    json_add_text(&out, "path", config != NULL ? config->path : NULL);
    json_add_text(&out, "member", config != NULL && config->self >= 0 ? config_self(config)->name : NULL);
    add_lines(&out, "errors", errors);
    add_lines(&out, "warnings", warnings);
    json_add_close(&out, '}');
    buf_puts(&out, "\n");
    show_print(&out, stdout);
}

/* On a machine that is no member the file may still be one to ask and to give orders with. */
static void say_client(const Call *call)
{
    Buf errors = {0}, warnings = {0};
    Config *client = config_load_all(call->value[FLAG_CONFIG], call->value[FLAG_NODE], CONFIG_USE_CLIENT,
                                     &errors, &warnings);

    if (client != NULL && client->self < 0 && !config_is_observer(client))
        printf("Here, where %s, the file serves to ask and to give orders.\n",
               client->self_unclear ? "it is not clear which member this machine is"
                                    : "this machine is no member");
    config_free(client);
    buf_done(&errors);
    buf_done(&warnings);
}

static void print_lines(const char *kind, ShowTone tone, const char *text)
{
    ShowStyle style = show_style(stderr);
    Buf out = {0};

    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");
        show_text(&out, &style, tone, kind);
        buf_puts(&out, ": ");
        buf_add(&out, text, len);
        buf_puts(&out, "\n");
        text += len + (text[len] == '\n');
    }
    show_print(&out, stderr);
}

/* As the daemon of this machine would find it, and refuse to start; NULL if there are errors. */
static Config *load_checked(const Call *call, Buf *errors, Buf *warnings)
{
    Config *config =
        config_load_all(call->value[FLAG_CONFIG], call->value[FLAG_NODE], CONFIG_USE_RUN, errors, warnings);
    int64_t expires_s;
    Err err = {0};

    if (config != NULL && !check_tls_usable(config, &expires_s, &err))
        buf_printf(check_tls_closed(config) ? warnings : errors, "%s: [http] TLS: %s\n", config->path,
                   err.text);
    if (config != NULL && config_is_observer(config))
        observer_check(config, errors, warnings);
    if (errors->len == 0)
        return config;
    config_free(config);
    return NULL;
}

static int check(const Call *call)
{
    Buf errors = {0}, warnings = {0};
    Config *config = load_checked(call, &errors, &warnings);
    int code = config != NULL ? EXIT_DONE : EXIT_WRONG;

    if (call_has(call, FLAG_JSON)) {
        print_check_json(config, errors.data, warnings.data);
    } else {
        print_lines("warning", TONE_WARN, warnings.data);
        print_lines("error", TONE_BAD, errors.data);
        if (config != NULL && config_is_observer(config))
            printf("%s is in order. It is an observer's, of the clusters in %s.\n", config->path,
                   config->observer.clusters);
        else if (config != NULL)
            printf("%s is in order. This machine is %s, by its %s.\n", config->path,
                   config_self(config)->name, config->self_found);
        else
            say_client(call);
    }
    config_free(config);
    buf_done(&errors);
    buf_done(&warnings);
    return code;
}

static int show(const Call *call)
{
    Err err = {0};
    Buf out = {0};
    Config *config = config_load_client(call->value[FLAG_CONFIG], call->value[FLAG_NODE], &err);

    if (config == NULL)
        return call_fail(&err);
    if (call_has(call, FLAG_JSON))
        render_show_json(config, &out);
    else
        render_show(config, &out);
    show_print(&out, stdout);
    config_free(config);
    return EXIT_DONE;
}

/* What the cluster's document has of an option, as /v1/cluster names it; NULL: nothing. */
static const char *document_field(const char *key)
{
    const char *name = strncmp(key, "cluster.", 8) == 0 ? key + 8 : key;

    if (strcmp(name, "lease") == 0)
        return "lease_ms";
    return strcmp(name, "heartbeat") == 0 ? "heartbeat_ms" : NULL;
}

/* The value that counts, in milliseconds; -1 with *err: no member could be asked, or it does not say. */
static int64_t ask_document(const Config *config, const char *field, Err *err)
{
    /* The client borrows the configuration, which the caller owns. */
    Client client = {.config = (Config *) config, .pinned = -1, .answered = -1};

    if (!client_ask_cluster(&client, err))
        return -1;
    const json_t *document = json_object_get(client.cluster, "document");
    int64_t ms = field_number(document, "term", 0) > 0 ? field_number(document, field, -1) : -1;
    if (ms < 0)
        err_set(err, ERR_REFUSED, "the cluster is not made yet, or %s is of an older version",
                field_text(client.cluster, "member", "?"));
    json_decref(client.cluster);
    return ms;
}

/* The file's value stands in the text before: said is also whether it is the one that counts. */
static void add_document(const Config *config, const char *field, Buf *out)
{
    bool lease = strcmp(field, "lease_ms") == 0;
    int64_t file_ms = lease ? config->cluster.lease_ms : config->cluster.heartbeat_ms;
    char value[40];
    Err err = {0};
    int64_t ms = ask_document(config, field, &err);

    if (ms < 0) {
        buf_printf(out, "    cluster: not known: %s\n", err.text);
        return;
    }
    value_format_duration(ms, value, sizeof(value));
    buf_printf(out, "    cluster: %s%s\n", value,
               ms == file_ms
                   ? ", the same"
                   : "; this counts, since the cluster was made with it, and not what the file says");
}

static void add_document_json(const Config *config, const char *field, Buf *out)
{
    Err err = {0};
    int64_t ms = ask_document(config, field, &err);
    json_t *json = json_loadb(out->data != NULL ? out->data : "", out->len, 0, NULL);

    if (json == NULL)
        return;
    json_object_set_new(json, "cluster_ms", ms >= 0 ? json_integer(ms) : json_null());
    char *text = json_dumps(json, JSON_COMPACT);
    if (text != NULL) {
        buf_done(out);
        buf_printf(out, "%s\n", text);
    }
    free(text);
    json_decref(json);
}

/* The value is shown too if there is a configuration; the explanation needs none. */
static int explain(const Call *call)
{
    Err err = {0};
    Buf out = {0};

    if (call->argument_count < 2) {
        err_set(&err, ERR_CONFIG,
                "config explain needs a key, like cluster.lease; pgvigil config reference lists all");
        return call_fail(&err);
    }
    Config *config = config_load_client(call->value[FLAG_CONFIG], call->value[FLAG_NODE], &err);
    if (config == NULL && call_has(call, FLAG_CONFIG))
        return call_fail(&err);
    err.code = ERR_NONE;
    bool found = call_has(call, FLAG_JSON) ? render_explain_json(config, call->argument[1], &out, &err)
                                           : render_explain(config, call->argument[1], &out, &err);
    const char *field = document_field(call->argument[1]);
    if (found && config != NULL && field != NULL && call_has(call, FLAG_JSON))
        add_document_json(config, field, &out);
    else if (found && config != NULL && field != NULL)
        add_document(config, field, &out);
    if (found)
        show_print(&out, stdout);
    else
        buf_done(&out);
    config_free(config);
    return found ? EXIT_DONE : call_fail(&err);
}

static int reference(const Call *call)
{
    Buf out = {0};

    if (call_has(call, FLAG_MARKDOWN))
        render_markdown(&out);
    else
        render_help(&out);
    show_print(&out, stdout);
    return EXIT_DONE;
}

/* The words behind the name are the old program's own: "--" stands before those that begin with one. */
static int convert(const Call *call)
{
    char *argv[CALL_ARGUMENT_MAX + 1] = {NULL};
    Err err = {0};
    Buf out = {0};
    int argc = 0;
    const FrontEnd *front = call->argument_count > 1 ? front_find(call->argument[1]) : NULL;

    if (front == NULL || front->convert == NULL) {
        err_set(
            &err, ERR_CONFIG,
            "config convert needs the name of a program that pgvigil replaces; pgvigil as --help lists them");
        return call_fail(&err);
    }
    for (int i = 1; i < call->argument_count; i++)
        argv[argc++] = (char *) call->argument[i]; /* main's own */
    if (!front->convert(argc, argv, &out, &err)) {
        buf_done(&out);
        return call_fail(&err);
    }
    show_print(&out, stdout);
    return EXIT_DONE;
}

int verb_config(const Call *call)
{
    static const struct {
        const char *name;
        int (*run)(const Call *call);
        int arguments;
    } kinds[] = {{"check", check, 1},
                 {"show", show, 1},
                 {"explain", explain, 2},
                 {"reference", reference, 1},
                 {"convert", convert, CALL_ARGUMENT_MAX}};
    Err err = {0};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(call->argument[0], kinds[i].name) == 0 && call->argument_count <= kinds[i].arguments)
            return kinds[i].run(call);
    }
    err_set(&err, ERR_CONFIG, "config: %s is wanted, not \"%.60s\"; see: pgvigil help config",
            call->verb->arguments, call->argument[call->argument_count - 1]);
    return call_fail(&err);
}
