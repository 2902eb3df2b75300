/*
 * render.c: a loaded configuration for people and programs: `config show` and `config explain`.
 */
#include "config/render.h"

#include "config/suggest.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

#define MASK "(not shown)"

/* "default", "/etc/pgvigil/pgvigil.conf:12" or "--node". */
static void format_origin(const Config *config, OptionId id, char *ret_text, size_t size)
{
    switch (config->origin[id].from) {
    case CONFIG_FROM_FILE: snprintf(ret_text, size, "%s:%d", config->path, config->origin[id].line); return;
    case CONFIG_FROM_ARGUMENT: str_copy(ret_text, size, "--node"); return;
    case CONFIG_FROM_DEFAULT: break;
    }
    if (id == OPTION_node_name && config->self >= 0)
        snprintf(ret_text, size, "found by %s", config->self_found);
    else
        str_copy(ret_text, size, "default");
}

/* The value as people may see it: where a secret comes from, but not the secret. */
static void shown_value(const void *base, const Option *option, char *ret_text, size_t size)
{
    options_format(option, base, ret_text, size);
    bool names_source = strncmp(ret_text, "file:", 5) == 0 || strncmp(ret_text, "env:", 4) == 0;
    if ((option->flags & OPTION_SECRET) != 0 && ret_text[0] != '\0' && !names_source)
        str_copy(ret_text, size, MASK);
}

static void show_option(const Config *config, OptionId id, Buf *ret_text)
{
    const Option *option = options_at(id);
    char value[2048], line[2200], origin[2200];

    shown_value(config, option, value, sizeof value);
    format_origin(config, id, origin, sizeof origin);
    snprintf(line, sizeof line, "%s = %s", option->name, value);
    buf_printf(ret_text, "%-48s ; %s%s\n", line, origin,
               options_change(option) == OPTION_CHANGE_NEVER ? ", counts when the cluster is made" : "");
}

static void show_member(const Config *config, const ConfigMember *member, Buf *ret_text)
{
    const Option *option;
    char value[512], line[1024];
    size_t used = (size_t) snprintf(line, sizeof line, "%s =", member->name);

    for (size_t i = 0; (option = options_member_key(i)) != NULL && used < sizeof line; i++) {
        options_format(option, member, value, sizeof value);
        used += (size_t) snprintf(line + used, sizeof line - used, " %s=%s", option->name, value);
    }
    buf_printf(ret_text, "%s ; %s:%d%s\n", line, config->path, member->line,
               config->self >= 0 && member == config_self(config) ? ", this machine" : "");
}

static void show_named(const Config *config, const OptionKind *kind, int index, Buf *ret_text)
{
    const ConfigNamed *named = config_named(config, kind, index);
    char value[2048], line[2200];

    buf_printf(ret_text, "\n[%s %s]\n", kind->name, named->name);
    for (size_t i = 0; i < kind->key_count; i++) {
        shown_value(named, &kind->key[i], value, sizeof value);
        snprintf(line, sizeof line, "%s = %s", kind->key[i].name, value);
        if ((named->seen >> i & 1u) != 0)
            buf_printf(ret_text, "%-48s ; %s:%d\n", line, config->path, named->line);
        else
            buf_printf(ret_text, "%-48s ; default\n", line);
    }
}

static void show_all_named(const Config *config, Buf *ret_text)
{
    const OptionKind *kind;

    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++)
        for (int i = 0; i < config_named_count(config, kind); i++)
            show_named(config, kind, i, ret_text);
}

void render_show(const Config *config, Buf *ret_text)
{
    const char *section;

    for (size_t s = 0; (section = options_section(s, NULL)) != NULL; s++) {
        buf_printf(ret_text, "%s[%s]\n", s > 0 ? "\n" : "", section);
        for (int i = 0; i < OPTION_COUNT; i++)
            if (strcmp(options_at((OptionId) i)->section, section) == 0)
                show_option(config, (OptionId) i, ret_text);
        if (s > 0)
            continue;
        buf_puts(ret_text, "\n[members]\n");
        for (int i = 0; i < config->member_count; i++)
            show_member(config, &config->member[i], ret_text);
    }
    show_all_named(config, ret_text);
}

static const char *origin_word(const Config *config, OptionId id)
{
    switch (config->origin[id].from) {
    case CONFIG_FROM_FILE: return "file";
    case CONFIG_FROM_ARGUMENT: return "argument";
    case CONFIG_FROM_DEFAULT: break;
    }
    return id == OPTION_node_name && config->self >= 0 ? "found" : "default";
}

static void json_change(const Option *option, Buf *out)
{
    json_add_bool(out, "reloadable", options_change(option) == OPTION_CHANGE_RELOAD);
    json_add_text(out, "change", options_change_name(option));
}

static void json_value(const Config *config, OptionId id, Buf *out)
{
    char value[2048];

    shown_value(config, options_at(id), value, sizeof value);
    json_add_text(out, "value", value);
    json_add_text(out, "origin", origin_word(config, id));
    if (config->origin[id].from == CONFIG_FROM_FILE)
        json_add_number(out, "line", config->origin[id].line);
}

static void json_option(const Config *config, OptionId id, Buf *out)
{
    const Option *option = options_at(id);
    char key[80];

    snprintf(key, sizeof key, "%s.%s", option->section, option->name);
    json_add_open(out, NULL, '{');
    json_add_text(out, "key", key);
    json_value(config, id, out);
    json_change(option, out);
    json_add_close(out, '}');
}

static void json_member(const Config *config, int index, Buf *out)
{
    const ConfigMember *member = &config->member[index];

    json_add_open(out, NULL, '{');
    json_add_text(out, "name", member->name);
    json_add_text(out, "host", member->host);
    json_add_number(out, "port", member->port);
    json_add_number(out, "agent_port", member->agent_port);
    json_add_number(out, "http_port", member->http_port);
    json_add_text(out, "role", member->role == MEMBER_ROLE_WITNESS ? "witness" : "data");
    json_add_number(out, "line", member->line);
    json_add_bool(out, "self", index == config->self);
    json_add_close(out, '}');
}

/* {"gate": [{"name", "line", key: value, ...}]}, all values as they would be written. */
static void json_named(const Config *config, Buf *out)
{
    const OptionKind *kind;
    char value[2048];

    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++) {
        json_add_open(out, kind->name, '[');
        for (int i = 0; i < config_named_count(config, kind); i++) {
            const ConfigNamed *named = config_named(config, kind, i);
            json_add_open(out, NULL, '{');
            json_add_text(out, "name", named->name);
            json_add_number(out, "line", named->line);
            for (size_t key = 0; key < kind->key_count; key++) {
                shown_value(named, &kind->key[key], value, sizeof value);
                json_add_text(out, kind->key[key].name, value);
            }
            json_add_close(out, '}');
        }
        json_add_close(out, ']');
    }
}

void render_show_json(const Config *config, Buf *ret_text)
{
    json_add_open(ret_text, NULL, '{');
    json_add_text(ret_text, "path", config->path);
    json_add_text(ret_text, "member", config->self >= 0 ? config_self(config)->name : NULL);
    json_add_open(ret_text, "options", '[');
    for (int i = 0; i < OPTION_COUNT; i++)
        json_option(config, (OptionId) i, ret_text);
    json_add_close(ret_text, ']');
    json_add_open(ret_text, "members", '[');
    for (int i = 0; i < config->member_count; i++)
        json_member(config, i, ret_text);
    json_add_close(ret_text, ']');
    json_named(config, ret_text);
    json_add_close(ret_text, '}');
    buf_puts(ret_text, "\n");
}

/* ---- explain ---- */

/* "section.name", or a name that only one section has; OPTION_COUNT if it is neither. */
static OptionId find_option(const char *key, bool *ret_ambiguous)
{
    OptionId found = OPTION_COUNT;
    char full[80];

    *ret_ambiguous = false;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const Option *option = options_at((OptionId) i);
        snprintf(full, sizeof full, "%s.%s", option->section, option->name);
        if (strcmp(full, key) == 0)
            return (OptionId) i;
        if (strcmp(option->name, key) != 0)
            continue;
        *ret_ambiguous = found != OPTION_COUNT;
        found = (OptionId) i;
    }
    return found;
}

static bool report_unknown(const char *key, bool ambiguous, Err *err)
{
    Suggest suggest = suggest_for(strchr(key, '.') != NULL ? strchr(key, '.') + 1 : key);

    if (ambiguous)
        return err_set(err, ERR_CONFIG, "%.60s is in more than one section; write SECTION.%.60s", key, key);
    for (int i = 0; i < OPTION_COUNT; i++)
        suggest_offer(&suggest, options_at((OptionId) i)->name);
    const char *best = suggest_best(&suggest);
    if (best != NULL)
        return err_set(err, ERR_CONFIG, "there is no option %.60s; did you mean %s?", key, best);
    return err_set(err, ERR_CONFIG, "there is no option %.60s; all of them: pgvigil help config", key);
}

static const Option *find_member_key(const char *key)
{
    const Option *option;
    char full[80];

    for (size_t i = 0; (option = options_member_key(i)) != NULL; i++) {
        snprintf(full, sizeof full, "members.%s", option->name);
        if (strcmp(full, key) == 0 || strcmp(option->name, key) == 0)
            return option;
    }
    return NULL;
}

/* "gate.port"; "port" alone is the member's. */
static const Option *find_kind_key(const char *key)
{
    const OptionKind *kind;
    char full[80];

    for (size_t k = 0; (kind = options_kind(k)) != NULL; k++)
        for (size_t i = 0; i < kind->key_count; i++) {
            snprintf(full, sizeof full, "%s.%s", kind->name, kind->key[i].name);
            if (strcmp(full, key) == 0)
                return &kind->key[i];
        }
    return NULL;
}

static void explain_row(const Option *option, Buf *ret_text)
{
    static const char *const changes[] = {
        [OPTION_CHANGE_RELOAD] = "pgvigil reload, or SIGHUP",
        [OPTION_CHANGE_RESTART] = "restart of pgvigil",
        [OPTION_CHANGE_NEVER] = "none: set when the cluster is made; what the file says later does not count",
    };
    char standard[256], range[256];

    options_format_default(option, standard, sizeof standard);
    options_format_range(option, range, sizeof range);
    buf_printf(ret_text, "%s.%s\n    %s\n", option->section, option->name, option->help);
    buf_printf(ret_text, "    default: %s\n",
               (option->flags & OPTION_REQUIRED) != 0 ? "none, it is required"
               : standard[0] != '\0'                  ? standard
                                                      : "none");
    buf_printf(ret_text, "    allowed: %s\n", range);
    buf_printf(ret_text, "    change:  %s\n", changes[options_change(option)]);
    if ((option->flags & OPTION_SHARED) != 0)
        buf_puts(ret_text, "    must be the same on all members\n");
}

/* The row that key names; *ret_id is OPTION_COUNT for one of [members]. NULL with *err. */
static const Option *find_row(const char *key, OptionId *ret_id, Err *err)
{
    bool ambiguous;
    OptionId id = find_option(key, &ambiguous);
    const Option *row = id == OPTION_COUNT ? find_member_key(key) : ambiguous ? NULL : options_at(id);

    if (row == NULL)
        row = find_kind_key(key);
    *ret_id = id;
    if (row == NULL)
        report_unknown(key, ambiguous, err);
    return row;
}

bool render_explain(const Config *config, const char *key, Buf *ret_text, Err *err)
{
    OptionId id;
    const Option *row = find_row(key, &id, err);
    char value[2048], origin[2200];

    if (row == NULL)
        return false;
    explain_row(row, ret_text);
    if (config == NULL || id == OPTION_COUNT)
        return true;
    shown_value(config, row, value, sizeof value);
    format_origin(config, id, origin, sizeof origin);
    buf_printf(ret_text, "    now:     %s (%s)\n", value[0] != '\0' ? value : "nothing", origin);
    return true;
}

bool render_explain_json(const Config *config, const char *key, Buf *ret_text, Err *err)
{
    OptionId id;
    const Option *row = find_row(key, &id, err);
    char text[256];

    if (row == NULL)
        return false;
    snprintf(text, sizeof text, "%s.%s", row->section, row->name);
    json_add_open(ret_text, NULL, '{');
    json_add_text(ret_text, "key", text);
    json_add_text(ret_text, "help", row->help);
    options_format_default(row, text, sizeof text);
    json_add_text(ret_text, "default", text[0] != '\0' && (row->flags & OPTION_REQUIRED) == 0 ? text : NULL);
    json_add_bool(ret_text, "required", (row->flags & OPTION_REQUIRED) != 0);
    options_format_range(row, text, sizeof text);
    json_add_text(ret_text, "allowed", text);
    json_change(row, ret_text);
    json_add_bool(ret_text, "shared", (row->flags & OPTION_SHARED) != 0);
    if (config != NULL && id != OPTION_COUNT)
        json_value(config, id, ret_text);
    json_add_close(ret_text, '}');
    buf_puts(ret_text, "\n");
    return true;
}
