/*
 * verb_check.c: is this server fit. Runs the groups of checks and prints their lines.
 */
#include "cli/check.h"
#include "cli/field.h"
#include "cli/show.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

#define INDENT 29 /* of the texts: grade and subject stand before them */

/* One line for each line of the text. */
static void add_lines(Check *check, CheckGrade grade, const char *subject, const char *text)
{
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, "\n");
        if (len > 0)
            check_line(check, grade, subject, NULL, "%.*s", (int) len, text);
        text += len + (text[len] == '\n');
    }
}

static Config *check_configuration(Check *check, const char *path, const char *node)
{
    Buf errors = {0}, warnings = {0};
    Config *config = config_load_all(path, node, CONFIG_USE_RUN, &errors, &warnings);

    add_lines(check, CHECK_FAIL, "configuration", errors.data);
    add_lines(check, CHECK_WARN, "configuration", warnings.data);
    buf_done(&errors);
    buf_done(&warnings);
    if (config != NULL && config_is_observer(config)) {
        check_line(check, CHECK_FAIL, "configuration",
                   "pgvigil config check reads it and the files of its folder",
                   "%s is an observer's: check is for members", config->path);
        config_free(config);
        return NULL;
    }
    if (config == NULL)
        return NULL;
    check->config = config;
    check->self = config_self(config);
    check_line(check, CHECK_OK, "configuration", NULL, "%s; this machine is %s, by its %s", config->path,
               check->self->name, config->self_found);
    check_line(check, CHECK_OK, "secret", NULL, "%zu bytes", config->secret_len);
    return config;
}

static ShowTone grade_tone(const char *grade)
{
    switch (grade[0]) {
    case 'O': return TONE_GOOD;
    case 'I': return TONE_PLAIN;
    case 'W': return TONE_WARN;
    default: return TONE_BAD;
    }
}

static void render(const Check *check, const ShowStyle *style, Buf *out)
{
    size_t width = style->width > 60 ? (size_t) style->width : 100;

    for (size_t i = 0; i < json_array_size(check->lines); i++) {
        const json_t *line = json_array_get(check->lines, i);
        const char *grade = field_text(line, "grade", "");
        const char *cure = field_text(line, "cure", NULL);
        Buf text = {0};
        show_text(out, style, grade_tone(grade), grade);
        buf_printf(out, "%*s%-22s ", (int) (6 - strlen(grade)), "", field_text(line, "subject", ""));
        show_wrapped(&text, field_text(line, "text", ""), INDENT, width);
        buf_puts(out, text.data != NULL && text.len > INDENT ? text.data + INDENT : "\n");
        if (cure != NULL) {
            Buf advice = {0};
            buf_printf(&advice, "-> %s", cure);
            show_wrapped(out, advice.data, INDENT, width);
            buf_done(&advice);
        }
        buf_done(&text);
    }
    buf_printf(out, "%d ok, %d to look at, %d failed\n", check->count[CHECK_OK], check->count[CHECK_WARN],
               check->count[CHECK_FAIL]);
}

int verb_check(const Call *call)
{
    Check check = {.lines = json_array()};
    Config *config = check_configuration(&check, call->value[FLAG_CONFIG], call->value[FLAG_NODE]);

    if (config != NULL) {
        check_machine(&check);
        check_front(&check);
        check_tls(&check);
        check_commands(&check);
        check_notify(&check);
        if (check.self->role == MEMBER_ROLE_DATA) {
            check_data(&check);
            check_server(&check);
        }
        check_peers(&check);
        PQfinish(check.server);
    }
    if (call_has(call, FLAG_JSON)) {
        json_t *json = json_pack("{s:s?, s:b, s:O}", "member", config != NULL ? check.self->name : NULL,
                                 "fit", check.count[CHECK_FAIL] == 0, "lines", check.lines);
        field_print(json, false);
        json_decref(json);
    } else {
        ShowStyle style = show_style(stdout);
        Buf out = {0};
        render(&check, &style, &out);
        show_print(&out, stdout);
    }
    json_decref(check.lines);
    config_free(config);
    return config == NULL ? EXIT_WRONG : check.count[CHECK_FAIL] > 0 ? EXIT_NO : EXIT_DONE;
}
