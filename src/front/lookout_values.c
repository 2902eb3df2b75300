/*
 * lookout_values.c: the values of pglookout's JSON file.
 */
#include "front/lookout_values.h"

#include "pg/conninfo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(const LookoutValue *value, const char *wanted, Err *err)
{
    return err_set(err, ERR_CONFIG, "%.150s: it has to be %s", value->name, wanted);
}

bool lookout_values_flag(const LookoutValue *value, bool *ret, Err *err)
{
    if (!json_is_boolean(value->json))
        return refuse(value, "true or false", err);
    *ret = json_is_true(value->json);
    return true;
}

bool lookout_values_number(const LookoutValue *value, double least, double most, double *ret, Err *err)
{
    double number = json_number_value(value->json);
    char wanted[100], *end = NULL;

    if (json_is_string(value->json))
        number = strtod(json_string_value(value->json), &end);
    bool is_number =
        json_is_number(value->json) || (end != NULL && *end == '\0' && end != json_string_value(value->json));
    if (!is_number || !isfinite(number) || number < least || number > most) {
        snprintf(wanted, sizeof wanted, "a number from %g to %.9g", least, most);
        return refuse(value, wanted, err);
    }
    *ret = number;
    return true;
}

bool lookout_values_text(const LookoutValue *value, const char **ret, Err *err)
{
    if (!json_is_string(value->json))
        return refuse(value, "a text", err);
    *ret = arena_strdup(value->arena, json_string_value(value->json));
    return *ret != NULL || err_set(err, ERR_MEMORY, "memory ran out");
}

bool lookout_values_scalar(const LookoutValue *value, const char **ret, Err *err)
{
    if (json_is_string(value->json))
        return lookout_values_text(value, ret, err);
    if (json_is_boolean(value->json))
        *ret = json_is_true(value->json) ? "yes" : "no";
    else if (json_is_integer(value->json))
        *ret = arena_printf(value->arena, "%lld", (long long) json_integer_value(value->json));
    else
        return refuse(value, "a text, a whole number, or true or false", err);
    return *ret != NULL || err_set(err, ERR_MEMORY, "memory ran out");
}

static bool add_word(const LookoutValue *value, LookoutCommand *command, int *count, const char *word,
                     size_t len, Err *err)
{
    if (*count == LOOKOUT_CONFIG_WORDS) {
        char wanted[60];
        snprintf(wanted, sizeof wanted, "a command of at most %d words", LOOKOUT_CONFIG_WORDS);
        return refuse(value, wanted, err);
    }
    command->argv[(*count)++] = arena_strndup(value->arena, word, len);
    return true;
}

bool lookout_values_command(const LookoutValue *value, LookoutCommand *ret, Err *err)
{
    int count = 0;
    size_t i;
    json_t *item;

    if (json_is_string(value->json)) {
        for (const char *at = json_string_value(value->json); *at != '\0';) {
            size_t len = strcspn(at, " \t\n");
            if (len > 0 && !add_word(value, ret, &count, at, len, err))
                return false;
            at += len + (at[len] != '\0');
        }
        return true;
    }
    if (!json_is_array(value->json))
        return refuse(value, "a text, or an array of texts", err);
    json_array_foreach(value->json, i, item) if (!json_is_string(item)) return refuse(
        value, "a text, or an array of texts", err);
    else if (!add_word(value, ret, &count, json_string_value(item), json_string_length(item),
                       err)) return false;
    return true;
}

bool lookout_values_names(const LookoutValue *value, LookoutNames *ret, Err *err)
{
    size_t i;
    json_t *item;
    char wanted[60];

    snprintf(wanted, sizeof wanted, "an array of at most %d names", LOOKOUT_CONFIG_NAMES);
    if (!json_is_array(value->json) || json_array_size(value->json) > LOOKOUT_CONFIG_NAMES)
        return refuse(value, wanted, err);
    json_array_foreach(value->json, i, item)
    {
        if (!json_is_string(item))
            return refuse(value, wanted, err);
        ret->name[ret->count++] = arena_strdup(value->arena, json_string_value(item));
    }
    return true;
}

bool lookout_values_conninfo(const LookoutValue *value, const char **ret, Err *err)
{
    static const char wanted[] = "a connection string, or an object of its keywords with texts or numbers";
    char text[CONNINFO_LEN] = "";
    const char *keyword;
    json_t *item;

    if (json_is_string(value->json))
        return lookout_values_text(value, ret, err);
    if (!json_is_object(value->json))
        return refuse(value, wanted, err);
    json_object_foreach((json_t *) value->json, keyword, item)
    {
        char number[32] = "";
        if (json_is_integer(item))
            snprintf(number, sizeof number, "%lld", (long long) json_integer_value(item));
        else if (json_is_boolean(item))
            snprintf(number, sizeof number, "%d", json_is_true(item));
        else if (!json_is_string(item))
            return refuse(value, wanted, err);
        /* psycopg2's name of dbname. */
        const char *name = strcmp(keyword, "database") == 0 ? "dbname" : keyword;
        if (!conninfo_add(text, sizeof text, name, number[0] != '\0' ? number : json_string_value(item)))
            return refuse(value, "shorter: 2000 bytes at most", err);
    }
    *ret = arena_strdup(value->arena, text);
    explicit_bzero(text, sizeof text);
    return *ret != NULL || err_set(err, ERR_MEMORY, "memory ran out");
}

bool lookout_values_url(const LookoutValue *value, const char **ret_host, uint16_t *ret_port,
                        const char **ret_path, Err *err)
{
    static const char wanted[] = "a URL as \"http://10.0.0.5:15000\"";
    const char *text = json_string_value(value->json);
    char *end;

    if (text == NULL || strncmp(text, "http://", 7) != 0)
        return refuse(value, wanted, err);
    text += 7;
    size_t len = strcspn(text, "/"), host = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":/");
    if (host == 0 || host > len || memchr(text, '@', len) != NULL || memchr(text, '?', len) != NULL)
        return refuse(value, wanted, err);
    *ret_host = text[0] == '[' ? arena_strndup(value->arena, text + 1, host - 2)
                               : arena_strndup(value->arena, text, host);
    long port = 80;
    if (text[host] == ':') {
        port = strtol(text + host + 1, &end, 10);
        if (end != text + len || port < 1 || port > 65535)
            return refuse(value, wanted, err);
    } else if (host != len) {
        return refuse(value, wanted, err);
    }
    *ret_port = (uint16_t) port;
    size_t rest = strlen(text + len);
    while (rest > 0 && text[len + rest - 1] == '/')
        rest--;
    *ret_path = arena_printf(value->arena, "%.*s/state.json", (int) rest, text + len);
    return *ret_path != NULL || err_set(err, ERR_MEMORY, "memory ran out");
}
