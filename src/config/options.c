/*
 * options.c: the rows of options.def as data, and values read into and printed from the structs they
 * describe.
 *
 * A row knows its type and its place in the struct; nothing here knows a single option by name.
 */
#include "config/options.h"

#include "base/str.h"
#include "config/config.h"
#include "config/value.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(OnCrash) == sizeof(int) && sizeof(Failover) == sizeof(int) &&
                   sizeof(Synchronous) == sizeof(int) && sizeof(LogLevel) == sizeof(int) &&
                   sizeof(LogFormat) == sizeof(int) && sizeof(MemberRole) == sizeof(int) &&
                   sizeof(NotifyWay) == sizeof(int) && sizeof(NotifySeverity) == sizeof(int) &&
                   sizeof(NotifyFrom) == sizeof(int) && sizeof(NotifySyslogForm) == sizeof(int) &&
                   sizeof(NetworkPeers) == sizeof(int),
               "enums are read and written as int");

/* clang-format off */
#define ROW(in_section, in_name, in_type, in_flags, in_help, in_offset, ...) \
    {.section = #in_section, .name = #in_name, .type = OPTION_TYPE_##in_type, .flags = (in_flags), \
     .help = in_help, .offset = in_offset, __VA_ARGS__},
#define IN_CONFIG(section, field) offsetof(Config, section.field)
#define RANGE(low, high, value) .least = (low), .most = (high), .standard = (value)

#define OPTION_STRING(section, name, value, flags, help) \
    ROW(section, name, STRING, flags, help, IN_CONFIG(section, name), .text_default = value)
#define OPTION_LIST(section, name, value, flags, help) \
    ROW(section, name, LIST, flags, help, IN_CONFIG(section, name), .text_default = value)
#define OPTION_DURATION(section, name, value, low, high, flags, help) \
    ROW(section, name, DURATION, flags, help, IN_CONFIG(section, name##_ms), RANGE(low, high, value))
#define OPTION_SIZE(section, name, value, low, high, flags, help) \
    ROW(section, name, SIZE, flags, help, IN_CONFIG(section, name##_bytes), RANGE(low, high, value))
#define OPTION_PPM(section, name, value, low, high, flags, help) \
    ROW(section, name, PPM, flags, help, IN_CONFIG(section, name##_ppm), RANGE(low, high, value))
#define OPTION_NUMBER(section, name, value, low, high, flags, help) \
    ROW(section, name, NUMBER, flags, help, IN_CONFIG(section, name), RANGE(low, high, value))
#define OPTION_BOOL(section, name, value, flags, help) \
    ROW(section, name, BOOL, flags, help, IN_CONFIG(section, name), .standard = (value))
#define OPTION_ENUM(section, name, c_type, words, value, flags, help) \
    ROW(section, name, ENUM, flags, help, IN_CONFIG(section, name), .choices = words, .standard = (value))

static const Option option_table[] = {
#include "config/options.def"
};

#define MEMBER_STRING(name, value, flags, help) \
    ROW(members, name, STRING, flags, help, offsetof(ConfigMember, name), .text_default = value)
#define MEMBER_NUMBER(name, value, low, high, flags, help) \
    ROW(members, name, NUMBER, flags, help, offsetof(ConfigMember, name), RANGE(low, high, value))
#define MEMBER_ENUM(name, c_type, words, value, flags, help) \
    ROW(members, name, ENUM, flags, help, offsetof(ConfigMember, name), .choices = words, .standard = (value))

static const Option member_table[] = {
#include "config/options.def"
};

#define GATE_STRING(name, value, flags, help) \
    ROW(gate, name, STRING, flags, help, offsetof(ConfigGate, name), .text_default = value)
#define GATE_LIST(name, value, flags, help) \
    ROW(gate, name, LIST, flags, help, offsetof(ConfigGate, name), .text_default = value)
#define GATE_NUMBER(name, value, low, high, flags, help) \
    ROW(gate, name, NUMBER, flags, help, offsetof(ConfigGate, name), RANGE(low, high, value))

static const Option gate_table[] = {
#include "config/options.def"
};

#define NOTIFY_STRING(name, value, flags, help) \
    ROW(notify, name, STRING, flags, help, offsetof(ConfigNotify, name), .text_default = value)
#define NOTIFY_LIST(name, value, flags, help) \
    ROW(notify, name, LIST, flags, help, offsetof(ConfigNotify, name), .text_default = value)
#define NOTIFY_DURATION(name, value, low, high, flags, help) \
    ROW(notify, name, DURATION, flags, help, offsetof(ConfigNotify, name##_ms), RANGE(low, high, value))
#define NOTIFY_ENUM(name, c_type, words, value, flags, help) \
    ROW(notify, name, ENUM, flags, help, offsetof(ConfigNotify, name), .choices = words, .standard = (value))
#define NOTIFY_BOOL(name, value, flags, help) \
    ROW(notify, name, BOOL, flags, help, offsetof(ConfigNotify, name), .standard = (value))

static const Option notify_table[] = {
#include "config/options.def"
};

#define NAMED(kind, high, text) \
    {.name = #kind, .help = text, .key = kind##_table, .key_count = COUNT(kind##_table), .most = (high), \
     .size = sizeof ((Config *) NULL)->kind[0], .offset = offsetof(Config, kind), \
     .count_offset = offsetof(Config, kind##_count)},
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const OptionKind kind_table[] = {
#include "config/options.def"
};

#define SETTING_START   OPTION_SERVER
#define SETTING_RELOAD  OPTION_RELOADABLE
#define SETTING_SESSION OPTION_SESSION
#define SETTING_STRING(name, value, context, help) \
    ROW(pgvigil, name, STRING, context, help, 0, .text_default = value)
#define SETTING_DURATION(name, value, low, high, context, help) \
    ROW(pgvigil, name, DURATION, context, help, 0, RANGE(low, high, value))
#define SETTING_NUMBER(name, value, low, high, context, help) \
    ROW(pgvigil, name, NUMBER, context, help, 0, RANGE(low, high, value))

static const Option setting_table[] = {
#include "config/options.def"
};

#define SECTION(section, help) {#section, help},

static const struct {
    const char *name, *help;
} section_table[] = {
#include "config/options.def"
};

#define NAMED(kind, high, text) kind##_most = (high),

enum {
#include "config/options.def"
};
/* clang-format on */

_Static_assert(gate_most == CONFIG_GATE_MAX, "as many as the table says");
_Static_assert(notify_most == CONFIG_NOTIFY_MAX, "as many as the table says");
_Static_assert(COUNT(option_table) == OPTION_COUNT, "one row for each option");

const Option *options_at(OptionId id)
{
    return &option_table[id];
}

const Option *options_find(const char *section, const char *name, OptionId *ret_id)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const Option *option = &option_table[i];
        if (strcmp(option->section, section) != 0 || strcmp(option->name, name) != 0)
            continue;
        if (ret_id != NULL)
            *ret_id = (OptionId) i;
        return option;
    }
    return NULL;
}

OptionChange options_change(const Option *option)
{
    if ((option->flags & OPTION_CLUSTER) != 0)
        return OPTION_CHANGE_NEVER;
    if ((option->flags & OPTION_SERVER) != 0)
        return OPTION_CHANGE_SERVER;
    if ((option->flags & OPTION_SESSION) != 0)
        return OPTION_CHANGE_SESSION;
    return (option->flags & OPTION_RELOADABLE) != 0 ? OPTION_CHANGE_RELOAD : OPTION_CHANGE_RESTART;
}

const char *options_change_name(const Option *option)
{
    static const char *const names[] = {
        [OPTION_CHANGE_SERVER] = "restart of PostgreSQL",
        [OPTION_CHANGE_SESSION] = "session",
        [OPTION_CHANGE_RELOAD] = "reload",
        [OPTION_CHANGE_RESTART] = "restart",
        [OPTION_CHANGE_NEVER] = "never",
    };
    return names[options_change(option)];
}

const char *options_section(size_t index, const char **ret_help)
{
    if (index >= COUNT(section_table))
        return NULL;
    if (ret_help != NULL)
        *ret_help = section_table[index].help;
    return section_table[index].name;
}

const Option *options_setting(size_t index)
{
    return index < COUNT(setting_table) ? &setting_table[index] : NULL;
}

const Option *options_member_key(size_t index)
{
    return index < COUNT(member_table) ? &member_table[index] : NULL;
}

const OptionKind *options_kind(size_t index)
{
    return index < COUNT(kind_table) ? &kind_table[index] : NULL;
}

static void *place(const Option *option, void *base)
{
    return (char *) base + option->offset;
}

static const void *const_place(const Option *option, const void *base)
{
    return (const char *) base + option->offset;
}

static int64_t get_number(const Option *option, const void *base)
{
    const void *at = const_place(option, base);

    switch (option->type) {
    case OPTION_TYPE_SIZE: return (int64_t) ((const uint64_t *) at)[0];
    case OPTION_TYPE_BOOL: return *(const bool *) at;
    case OPTION_TYPE_ENUM: return *(const int *) at;
    default: return *(const uint32_t *) at;
    }
}

static void set_number(const Option *option, void *base, int64_t value)
{
    void *at = place(option, base);

    switch (option->type) {
    case OPTION_TYPE_SIZE: *(uint64_t *) at = (uint64_t) value; break;
    case OPTION_TYPE_BOOL: *(bool *) at = value != 0; break;
    case OPTION_TYPE_ENUM: *(int *) at = (int) value; break;
    default: *(uint32_t *) at = (uint32_t) value; break;
    }
}

/* Cuts text at its blanks into words, in one array that ends with NULL. */
static bool set_list(OptionList *list, const char *text, Arena *arena)
{
    size_t len = strlen(text), count = 0;
    char *copy = arena_strdup(arena, text), *rest = NULL;
    const char **item = arena_alloc(arena, (len / 2 + 2) * sizeof *item);

    if (copy == NULL || item == NULL)
        return false;
    for (char *word = strtok_r(copy, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest))
        item[count++] = word;
    *list = (OptionList){.item = item, .count = count};
    return true;
}

static bool set_text(const Option *option, void *base, const char *text, Arena *arena)
{
    if (option->type == OPTION_TYPE_LIST)
        return set_list(place(option, base), text != NULL ? text : "", arena);
    const char **field = place(option, base);
    *field = text != NULL ? arena_strdup(arena, text) : NULL;
    return text == NULL || *field != NULL;
}

static bool parse_text(const Option *option, const char *text, void *base, Arena *arena, Err *err)
{
    if (option->type == OPTION_TYPE_STRING && *text == '\0')
        return err_set(err, ERR_CONFIG, "the value is empty, write one or leave the line out");
    return set_text(option, base, text, arena) || err_set(err, ERR_MEMORY, "no memory");
}

bool options_parse(const Option *option, const char *text, void *base, Arena *arena, Err *err)
{
    int64_t number = 0;
    bool flag = false, ok = false;
    int choice = 0;

    switch (option->type) {
    case OPTION_TYPE_STRING:
    case OPTION_TYPE_LIST: return parse_text(option, text, base, arena, err);
    case OPTION_TYPE_DURATION:
        ok = value_parse_duration(text, option->least, option->most, &number, err);
        break;
    case OPTION_TYPE_SIZE: ok = value_parse_size(text, option->least, option->most, &number, err); break;
    case OPTION_TYPE_PPM: ok = value_parse_ppm(text, option->least, option->most, &number, err); break;
    case OPTION_TYPE_NUMBER: ok = value_parse_number(text, option->least, option->most, &number, err); break;
    case OPTION_TYPE_BOOL:
        ok = value_parse_bool(text, &flag, err);
        number = flag;
        break;
    case OPTION_TYPE_ENUM:
        ok = value_parse_choice(text, option->choices, &choice, err);
        number = choice;
        break;
    }
    if (ok)
        set_number(option, base, number);
    return ok;
}

void options_set_default(const Option *option, void *base, Arena *arena)
{
    if (option->type == OPTION_TYPE_STRING || option->type == OPTION_TYPE_LIST)
        set_text(option, base, option->text_default, arena);
    else
        set_number(option, base, option->standard);
}

void options_copy(const Option *option, const void *from, void *to, Arena *arena)
{
    if (option->type == OPTION_TYPE_STRING) {
        set_text(option, to, *(const char *const *) const_place(option, from), arena);
    } else if (option->type == OPTION_TYPE_LIST) {
        char text[2048];
        options_format(option, from, text, sizeof text);
        set_text(option, to, text, arena);
    } else {
        set_number(option, to, get_number(option, from));
    }
}

bool options_equal(const Option *option, const void *a, const void *b)
{
    char text_a[2048], text_b[2048];

    if (option->type != OPTION_TYPE_STRING && option->type != OPTION_TYPE_LIST)
        return get_number(option, a) == get_number(option, b);
    options_format(option, a, text_a, sizeof text_a);
    options_format(option, b, text_b, sizeof text_b);
    return strcmp(text_a, text_b) == 0;
}

static void format_number(const Option *option, int64_t value, char *ret_text, size_t size)
{
    switch (option->type) {
    case OPTION_TYPE_DURATION: value_format_duration(value, ret_text, size); break;
    case OPTION_TYPE_SIZE: value_format_size(value, ret_text, size); break;
    case OPTION_TYPE_PPM: value_format_ppm(value, ret_text, size); break;
    case OPTION_TYPE_BOOL: str_copy(ret_text, size, value != 0 ? "yes" : "no"); break;
    case OPTION_TYPE_ENUM: value_format_choice(option->choices, (int) value, ret_text, size); break;
    default: snprintf(ret_text, size, "%lld", (long long) value); break;
    }
}

void options_format(const Option *option, const void *base, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    if (option->type == OPTION_TYPE_STRING) {
        const char *text = *(const char *const *) const_place(option, base);
        str_copy(ret_text, size, text != NULL ? text : "");
    } else if (option->type == OPTION_TYPE_LIST) {
        const OptionList *list = const_place(option, base);
        for (size_t i = 0; i < list->count && used < size; i++)
            used += (size_t) snprintf(ret_text + used, size - used, "%s%s", i > 0 ? " " : "", list->item[i]);
    } else {
        format_number(option, get_number(option, base), ret_text, size);
    }
}

void options_format_default(const Option *option, char *ret_text, size_t size)
{
    if (option->type == OPTION_TYPE_STRING || option->type == OPTION_TYPE_LIST)
        str_copy(ret_text, size, option->text_default != NULL ? option->text_default : "");
    else
        format_number(option, option->standard, ret_text, size);
}

void options_format_range(const Option *option, char *ret_text, size_t size)
{
    char least[32], most[32];

    switch (option->type) {
    case OPTION_TYPE_STRING: str_copy(ret_text, size, "text"); return;
    case OPTION_TYPE_LIST: str_copy(ret_text, size, "words"); return;
    case OPTION_TYPE_BOOL: str_copy(ret_text, size, "yes or no"); return;
    case OPTION_TYPE_ENUM: value_format_choices(option->choices, ret_text, size); return;
    default: break;
    }
    format_number(option, option->least, least, sizeof least);
    format_number(option, option->most, most, sizeof most);
    snprintf(ret_text, size, "%s to %s", least, most);
}
