/*
 * value.c: numbers with units, words and yes/no, from text and back.
 *
 * Numbers are read exactly: digits, and a fraction that has to come out even in the smallest unit.
 */
#include "config/value.h"

#include "base/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FRACTION_SCALE_MAX 1000000 /* six digits behind the point */

typedef struct Unit {
    const char *name;
    int64_t factor;
} Unit;

/* Largest first: formatting takes the first that is exact. */
static const Unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const Unit size_units[] = {
    {"TB", (int64_t) 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}, {NULL, 0},
};
static const Unit ppm_units[] = {{"%", 10000}, {"ppm", 1}, {NULL, 0}};

typedef void FormatFn(int64_t value, char *ret_text, size_t size);

static const Unit *find_unit(const Unit *units, const char *name)
{
    for (; units->name != NULL; units++)
        if (strcasecmp(units->name, name) == 0)
            return units;
    return NULL;
}

/* "ms, s, min, h or d", smallest first. */
static void unit_names(const Unit *units, char *ret_text, size_t size)
{
    size_t count = 0, used = 0;

    while (units[count].name != NULL)
        count++;
    ret_text[0] = '\0';
    for (size_t i = count; i-- > 0 && used < size;) {
        const char *separator = i == count - 1 ? "" : i == 0 ? " or " : ", ";
        used += (size_t) snprintf(ret_text + used, size - used, "%s%s", separator, units[i].name);
    }
}

/* Reads digits[.digits] as value / 10^digits. False for anything else, and for what overflows. */
static bool read_decimal(const char **text, int64_t *ret_value, int64_t *ret_scale)
{
    int64_t value = 0, scale = 1;
    bool fraction = false, any = false;
    const char *p = *text;

    for (; isdigit((unsigned char) *p) || (*p == '.' && !fraction && any); p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (fraction && scale >= FRACTION_SCALE_MAX)
            return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *p - '0', &value))
            return false;
        scale *= fraction ? 10 : 1;
        any = true;
    }
    if (!any || p[-1] == '.')
        return false;
    *text = p;
    *ret_value = value;
    *ret_scale = scale;
    return true;
}

static bool out_of_range(const char *text, int64_t least, int64_t most, FormatFn *format, Err *err)
{
    char low[32], high[32];

    format(least, low, sizeof low);
    format(most, high, sizeof high);
    return err_set(err, ERR_CONFIG, "\"%.60s\" is out of range, allowed is %s to %s", text, low, high);
}

static bool parse_with_unit(const char *text, const Unit *units, const char *kind, int64_t least,
                            int64_t most, FormatFn *format, int64_t *ret_value, Err *err)
{
    const char *at = text;
    int64_t value, scale;
    char names[64];

    unit_names(units, names, sizeof names);
    if (!read_decimal(&at, &value, &scale))
        return err_set(err, ERR_CONFIG, "\"%.60s\" is not %s, write a number with %s", text, kind, names);
    while (*at == ' ')
        at++;
    if (*at == '\0' && value != 0)
        return err_set(err, ERR_CONFIG, "\"%.60s\" has no unit, write it with %s", text, names);
    const Unit *unit = *at == '\0' ? &units[0] : find_unit(units, at);
    if (unit == NULL)
        return err_set(err, ERR_CONFIG, "\"%.60s\": unknown unit \"%.20s\", known are %s", text, at, names);
    if (__builtin_mul_overflow(value, unit->factor, &value))
        return out_of_range(text, least, most, format, err);
    if (value % scale != 0)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is finer than the smallest unit", text);
    value /= scale;
    if (value < least || value > most)
        return out_of_range(text, least, most, format, err);
    *ret_value = value;
    return true;
}

bool value_parse_duration(const char *text, int64_t least_ms, int64_t most_ms, int64_t *ret_ms, Err *err)
{
    return parse_with_unit(text, duration_units, "a duration", least_ms, most_ms, value_format_duration,
                           ret_ms, err);
}

bool value_parse_size(const char *text, int64_t least, int64_t most, int64_t *ret_bytes, Err *err)
{
    return parse_with_unit(text, size_units, "a size", least, most, value_format_size, ret_bytes, err);
}

bool value_parse_ppm(const char *text, int64_t least, int64_t most, int64_t *ret_ppm, Err *err)
{
    return parse_with_unit(text, ppm_units, "a share", least, most, value_format_ppm, ret_ppm, err);
}

static void format_number(int64_t value, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%lld", (long long) value);
}

bool value_parse_number(const char *text, int64_t least, int64_t most, int64_t *ret_number, Err *err)
{
    const char *at = text;
    int64_t value, scale;

    if (!read_decimal(&at, &value, &scale) || *at != '\0' || scale != 1)
        return err_set(err, ERR_CONFIG, "\"%.60s\" is not a number from %lld to %lld", text,
                       (long long) least, (long long) most);
    if (value < least || value > most)
        return out_of_range(text, least, most, format_number, err);
    *ret_number = value;
    return true;
}

bool value_parse_bool(const char *text, bool *ret_value, Err *err)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *ret_value = i % 2 == 1;
            return true;
        }
    return err_set(err, ERR_CONFIG, "\"%.60s\" is neither yes nor no", text);
}

/* The next word of "a|b|c": its length; *choices moves behind it. */
static size_t next_choice(const char **choices, const char **ret_word)
{
    size_t len = strcspn(*choices, "|");

    *ret_word = *choices;
    *choices += len;
    if (**choices == '|')
        (*choices)++;
    return len;
}

bool value_parse_choice(const char *text, const char *choices, int *ret_index, Err *err)
{
    const char *rest = choices, *word;
    char allowed[128];

    for (int i = 0; *rest != '\0'; i++) {
        size_t len = next_choice(&rest, &word);
        if (strlen(text) == len && strncasecmp(text, word, len) == 0) {
            *ret_index = i;
            return true;
        }
    }
    value_format_choices(choices, allowed, sizeof allowed);
    return err_set(err, ERR_CONFIG, "\"%.60s\" is not %s", text, allowed);
}

static void format_with_unit(int64_t value, const Unit *units, char *ret_text, size_t size)
{
    const Unit *unit = units;

    while (unit->factor > 1 && (value == 0 || value % unit->factor != 0))
        unit++;
    snprintf(ret_text, size, "%lld%s", (long long) (value / unit->factor), value == 0 ? "" : unit->name);
}

void value_format_duration(int64_t ms, char *ret_text, size_t size)
{
    format_with_unit(ms, duration_units, ret_text, size);
}

void value_format_size(int64_t bytes, char *ret_text, size_t size)
{
    format_with_unit(bytes, size_units, ret_text, size);
}

void value_format_ppm(int64_t ppm, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%lldppm", (long long) ppm);
}

void value_format_choice(const char *choices, int index, char *ret_text, size_t size)
{
    const char *rest = choices, *word;

    str_copy(ret_text, size, "?");
    for (int i = 0; *rest != '\0'; i++) {
        size_t len = next_choice(&rest, &word);
        if (i == index)
            snprintf(ret_text, size, "%.*s", (int) len, word);
    }
}

void value_format_choices(const char *choices, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (const char *rest = choices, *word; *rest != '\0' && used < size;) {
        const char *separator = rest == choices ? "" : strchr(rest, '|') == NULL ? " or " : ", ";
        size_t len = next_choice(&rest, &word);
        used += (size_t) snprintf(ret_text + used, size - used, "%s%.*s", separator, (int) len, word);
    }
}
