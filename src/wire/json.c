/*
 * json.c: the getters check kind and range in one place, so that nothing unchecked gets past them.
 */
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

json_t *json_parse(const char *text, size_t len, Err *err)
{
    json_error_t error;

    if (len > JSON_TEXT_MAX) {
        err_set(err, ERR_PROTOCOL, "a JSON text of %zu bytes is too long, at most %d are allowed", len,
                JSON_TEXT_MAX);
        return NULL;
    }
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL) {
        err_set(err, ERR_PROTOCOL, "line %d column %d is not JSON: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        err_set(err, ERR_PROTOCOL, "not a JSON object");
        return NULL;
    }
    return json;
}

/* NULL if there is none, or null. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

bool json_require(const json_t *object, const char *key, Err *err)
{
    return value_of(object, key) != NULL || err_set(err, ERR_PROTOCOL, "%s is missing", key);
}

bool json_get_bool(const json_t *object, const char *key, bool *ret, Err *err)
{
    const json_t *value = value_of(object, key);

    if (value == NULL)
        return true;
    if (!json_is_boolean(value))
        return err_set(err, ERR_PROTOCOL, "%s is neither true nor false", key);
    *ret = json_is_true(value);
    return true;
}

bool json_get_number(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret, Err *err)
{
    const json_t *value = value_of(object, key);

    if (value == NULL)
        return true;
    if (!json_is_integer(value))
        return err_set(err, ERR_PROTOCOL, "%s is not a whole number", key);
    int64_t number = json_integer_value(value);
    if (number < min || number > max)
        return err_set(err, ERR_PROTOCOL, "%s is %" PRId64 ", not from %" PRId64 " to %" PRId64, key, number,
                       min, max);
    *ret = number;
    return true;
}

/* A text without NUL (json_parse lets none through), or NULL. */
static bool text_of(const json_t *object, const char *key, const char **ret, Err *err)
{
    const json_t *value = value_of(object, key);

    if (value != NULL && !json_is_string(value))
        return err_set(err, ERR_PROTOCOL, "%s is not a text", key);
    *ret = value != NULL ? json_string_value(value) : NULL;
    return true;
}

bool json_get_big(const json_t *object, const char *key, uint64_t *ret, Err *err)
{
    const char *text = NULL;
    uint64_t number = 0;

    if (!text_of(object, key, &text, err))
        return false;
    if (text == NULL)
        return true;
    const char *at = text;
    do {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t) (*at - '0'), &number))
            return err_set(err, ERR_PROTOCOL, "%s is \"%.24s\", not a decimal number of at most 64 bits", key,
                           text);
    } while (*++at != '\0');
    *ret = number;
    return true;
}

bool json_get_text(const json_t *object, const char *key, char *ret, size_t size, Err *err)
{
    const char *text = NULL;

    if (!text_of(object, key, &text, err))
        return false;
    if (text == NULL)
        return true;
    if (strlen(text) >= size)
        return err_set(err, ERR_PROTOCOL, "%s has %zu bytes, at most %zu are allowed", key, strlen(text),
                       size - 1);
    memset(ret, 0, size);
    return str_copy(ret, size, text);
}

bool json_get_uuid(const json_t *object, const char *key, Uuid *ret, Err *err)
{
    const char *text = NULL;

    if (!text_of(object, key, &text, err))
        return false;
    return text == NULL || uuid_parse(text, ret) ||
           err_set(err, ERR_PROTOCOL, "%s is \"%.40s\", not a UUID", key, text);
}

bool json_get_lsn(const json_t *object, const char *key, Lsn *ret, Err *err)
{
    const char *text = NULL;

    if (!text_of(object, key, &text, err))
        return false;
    return text == NULL || lsn_parse(text, ret) ||
           err_set(err, ERR_PROTOCOL, "%s is \"%.24s\", not a WAL position as 0/3000060", key, text);
}

bool json_get_object(const json_t *object, const char *key, const json_t **ret, Err *err)
{
    const json_t *value = value_of(object, key);

    if (value == NULL)
        return true;
    if (!json_is_object(value))
        return err_set(err, ERR_PROTOCOL, "%s is not an object", key);
    *ret = value;
    return true;
}

bool json_get_array(const json_t *object, const char *key, size_t max, const json_t **ret, Err *err)
{
    const json_t *value = value_of(object, key);

    if (value == NULL)
        return true;
    if (!json_is_array(value))
        return err_set(err, ERR_PROTOCOL, "%s is not an array", key);
    if (json_array_size(value) > max)
        return err_set(err, ERR_PROTOCOL, "%s has %zu elements, at most %zu are allowed", key,
                       json_array_size(value), max);
    *ret = value;
    return true;
}

static void add_quoted(Buf *out, const char *text)
{
    buf_puts(out, "\"");
    while (*text != '\0') {
        size_t len = str_utf8_len(text);
        if (len == 0)
            buf_puts(out, "?");
        else if (*text == '"' || *text == '\\')
            buf_printf(out, "\\%c", *text);
        else if ((unsigned char) *text < 0x20 || *text == 0x7F)
            buf_printf(out, "\\u%04x", (unsigned) *text);
        else
            buf_add(out, text, len);
        text += len > 0 ? len : 1;
    }
    buf_puts(out, "\"");
}

/* The comma, unless this is the first of its object or array, and the key. */
static void begin(Buf *out, const char *key)
{
    if (out->len > 0 && strchr("{[:,\n", out->data[out->len - 1]) == NULL)
        buf_puts(out, ",");
    if (key != NULL) {
        add_quoted(out, key);
        buf_puts(out, ":");
    }
}

void json_add_open(Buf *out, const char *key, char bracket)
{
    begin(out, key);
    buf_add(out, &bracket, 1);
}

void json_add_close(Buf *out, char bracket)
{
    buf_add(out, &bracket, 1);
}

void json_add_raw(Buf *out, const char *key, const char *json, size_t len)
{
    begin(out, key);
    buf_add(out, json, len);
}

void json_add_null(Buf *out, const char *key)
{
    json_add_raw(out, key, "null", 4);
}

void json_add_bool(Buf *out, const char *key, bool value)
{
    json_add_raw(out, key, value ? "true" : "false", value ? 4 : 5);
}

void json_add_number(Buf *out, const char *key, int64_t value)
{
    begin(out, key);
    buf_printf(out, "%" PRId64, value);
}

void json_add_big(Buf *out, const char *key, uint64_t value)
{
    begin(out, key);
    buf_printf(out, "\"%" PRIu64 "\"", value);
}

void json_add_text(Buf *out, const char *key, const char *text)
{
    if (text == NULL) {
        json_add_null(out, key);
        return;
    }
    begin(out, key);
    add_quoted(out, text);
}

void json_add_uuid(Buf *out, const char *key, const Uuid *uuid)
{
    char text[UUID_TEXT_LEN];

    uuid_format(uuid, text);
    json_add_text(out, key, text);
}

void json_add_lsn(Buf *out, const char *key, Lsn lsn)
{
    char text[LSN_TEXT_LEN];

    lsn_format(lsn, text);
    json_add_text(out, key, text);
}

void json_add_lsn_or_null(Buf *out, const char *key, Lsn lsn)
{
    if (lsn != LSN_NONE)
        json_add_lsn(out, key, lsn);
    else
        json_add_null(out, key);
}

static void add_utc(Buf *out, const char *key, int64_t wall_us, int digits, int fraction)
{
    time_t seconds = (time_t) (wall_us / US_PER_SEC);
    char text[64];
    struct tm tm;

    if (wall_us <= 0 || gmtime_r(&seconds, &tm) == NULL) {
        json_add_null(out, key);
        return;
    }
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%0*dZ", digits, fraction);
    json_add_text(out, key, text);
}

void json_add_time(Buf *out, const char *key, int64_t wall_us)
{
    add_utc(out, key, wall_us, 3, (int) (wall_us % US_PER_SEC / US_PER_MS));
}

void json_add_time_us(Buf *out, const char *key, int64_t wall_us)
{
    add_utc(out, key, wall_us, 6, (int) (wall_us % US_PER_SEC));
}

static void add_seconds(Buf *out, const char *key, int64_t us)
{
    char text[48];
    int len =
        snprintf(text, sizeof text, "%lld.%06d", (long long) (us / US_PER_SEC), (int) (us % US_PER_SEC));

    json_add_raw(out, key, text, (size_t) len);
}

void json_add_replication(Buf *out, int64_t lag_us, int64_t min_lag_us, int64_t since_us)
{
    if (lag_us >= 0)
        add_seconds(out, "replication_time_lag", lag_us);
    if (min_lag_us >= 0)
        add_seconds(out, "min_replication_time_lag", min_lag_us);
    if (since_us > 0)
        add_seconds(out, "replication_start_time", since_us);
}
