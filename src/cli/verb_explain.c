/*
 * verb_explain.c: why a member acts, or does not: asked of it, or read from a recorded answer.
 */
#include "cli/client.h"
#include "cli/explain.h"
#include "cli/field.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

static bool read_state(const char *path, json_t **ret_json, Err *err)
{
    json_error_t error;

    *ret_json = strcmp(path, "-") == 0 ? json_loadf(stdin, 0, &error) : json_load_file(path, 0, &error);
    if (*ret_json == NULL)
        return err_set(err, ERR_CONFIG, "%s: %s (line %d)", path, error.text, error.line);
    if (json_is_array(json_object_get(*ret_json, "rules")))
        return true;
    json_decref(*ret_json);
    *ret_json = NULL;
    return err_set(err, ERR_CONFIG, "%s is no answer of /v1/explain: it has no \"rules\"", path);
}

static bool ask(const Call *call, json_t **ret_json, Err *err)
{
    Client client;

    if (!client_open(&client, call, err))
        return false;
    bool answered = client_get_any(&client, "/v1/explain", ret_json, NULL, err);
    client_done(&client);
    return answered;
}

int verb_explain(const Call *call)
{
    Err err = {0};
    json_t *explain = NULL;
    const char *path = call->value[FLAG_STATE];

    if (!(path != NULL ? read_state(path, &explain, &err) : ask(call, &explain, &err)))
        return call_fail(&err);
    if (call_has(call, FLAG_JSON)) {
        field_print(explain, false);
    } else {
        ShowStyle style = show_style(stdout);
        Buf out = {0};
        explain_render(explain, &style, call_has(call, FLAG_ALL), &out);
        show_print(&out, stdout);
    }
    json_decref(explain);
    return EXIT_DONE;
}
