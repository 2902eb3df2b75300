/*
 * explain.c: the decision of a member, with the facts it was made of.
 *
 * An answer has the facts by name; what a name means is in the core's table, and a name that it does not
 * have, from a member of another version, stands alone.
 */
#include "cli/explain.h"

#include "cli/field.h"
#include "core/core.h"

#include <string.h>

#define PLAIN_WIDTH 100 /* where there is no terminal */
#define INDENT      4

static void add_why(const json_t *rule, ShowTable *table)
{
    const char *missing = field_text(rule, "missing", NULL);
    const char *forbidden = field_text(rule, "forbidden", NULL);

    if (field_true(rule, "decisive"))
        show_table_add(table, TONE_GOOD, "matches: this is done");
    else if (field_true(rule, "matched"))
        show_table_add(table, TONE_DIM, "matches too, but comes later");
    else if (missing != NULL)
        show_table_addf(table, TONE_DIM, "needs %s", missing);
    else if (forbidden != NULL)
        show_table_addf(table, TONE_DIM, "not with %s", forbidden);
    else
        show_table_add(table, TONE_DIM, "does not match");
}

static void add_rules(const json_t *rules, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"", "Rule", "Action", "Decided by", "Meaning", NULL};
    ShowTable table;

    show_table_init(&table, heads);
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        bool decisive = field_true(rule, "decisive");
        show_table_add(&table, TONE_GOOD, decisive ? "*" : " ");
        show_table_add(&table, decisive ? TONE_BOLD : TONE_PLAIN, field_text(rule, "name", "?"));
        show_table_add(&table, TONE_PLAIN, field_text(rule, "action", NULL));
        add_why(rule, &table);
        show_table_add(&table, TONE_PLAIN, field_text(rule, "text", NULL));
    }
    show_table_render(&table, style, out);
    show_table_done(&table);
}

static const char *fact_text(const char *name)
{
    for (int fact = 0; fact < FACTS; fact++)
        if (strcmp(facts_name((Fact) fact), name) == 0)
            return facts_text((Fact) fact);
    return NULL;
}

/* Adds "name: text", wrapped; its control characters go as in show_text. */
static void add_paragraph(Buf *out, const ShowStyle *style, size_t indent, const char *name, const char *text)
{
    static const ShowStyle plain;
    Buf line = {0};

    show_text(&line, &plain, TONE_PLAIN, name);
    if (text != NULL) {
        buf_puts(&line, ": ");
        show_text(&line, &plain, TONE_PLAIN, text);
    }
    show_wrapped(out, line.data != NULL ? line.data : "", indent,
                 style->width > 0 ? (size_t) style->width : PLAIN_WIDTH);
    buf_done(&line);
}

static const json_t *decisive_rule(const json_t *rules)
{
    for (size_t i = 0; i < json_array_size(rules); i++)
        if (field_true(json_array_get(rules, i), "decisive"))
            return json_array_get(rules, i);
    return NULL;
}

static void add_decision(const json_t *rules, const ShowStyle *style, Buf *out)
{
    const json_t *rule = decisive_rule(rules);
    const char *action = field_text(rule, "action", NULL);
    bool acts = action != NULL && strcmp(action, "none") != 0;
    char name[120];

    if (rule == NULL)
        return;
    buf_puts(out, "\nThe rule that decides:\n");
    snprintf(name, sizeof(name), "%.60s (%s%.40s)", field_text(rule, "name", "?"), acts ? "action: " : "",
             acts ? action : "no action");
    add_paragraph(out, style, INDENT, name, field_text(rule, "text", NULL));
}

static void add_facts(const json_t *facts, const ShowStyle *style, Buf *out)
{
    buf_puts(out, json_array_size(facts) > 0 ? "\nWhat holds:\n" : "\nWhat holds: nothing\n");
    for (size_t i = 0; i < json_array_size(facts); i++) {
        const char *fact = json_string_value(json_array_get(facts, i));
        if (fact != NULL)
            add_paragraph(out, style, INDENT, fact, fact_text(fact));
    }
}

/* A member of an older version does not say. */
static void add_problems(const json_t *problems, const ShowStyle *style, Buf *out)
{
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const char *problem = json_string_value(json_array_get(problems, i));
        buf_puts(out, i == 0 ? "\nWhat goes wrong:\n" : "");
        if (problem != NULL)
            add_paragraph(out, style, INDENT, problem, NULL);
    }
}

void explain_render(const json_t *explain, const ShowStyle *style, bool all, Buf *out)
{
    const json_t *rules = json_object_get(explain, "rules");

    add_paragraph(out, style, 0, field_text(explain, "member", "?"),
                  field_text(explain, "election", "says nothing of an election"));
    add_decision(rules, style, out);
    add_problems(json_object_get(explain, "problems"), style, out);
    add_facts(json_object_get(explain, "facts"), style, out);
    if (all) {
        buf_puts(out, "\nAll rules in their order:\n");
        add_rules(rules, style, out);
    }
}
