/*
 * codec_field.c: writes and reads structs by their tables.
 */
#include "wire/codec_field.h"

#include "wire/codec.h"

#include <string.h>

static int64_t default_of(const Field *field)
{
    return field->type == FIELD_NUMBER && field->min < 0 ? -1 : 0;
}

/* The integer of whatever size at that place. */
static int64_t load(const Field *field, const void *at)
{
    bool is_signed = field->min < 0;
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        int64_t i64;
    } value = {.i64 = 0};

    memcpy(&value, at, field->size);
    switch (field->size) {
    case 1: return is_signed ? value.i8 : value.u8;
    case 2: return is_signed ? value.i16 : value.u16;
    case 4: return is_signed ? value.i32 : (int64_t) value.u32;
    default: return value.i64;
    }
}

static void store(const Field *field, int64_t number, void *at)
{
    uint8_t u8 = (uint8_t) number;
    uint16_t u16 = (uint16_t) number;
    uint32_t u32 = (uint32_t) number;

    switch (field->size) {
    case 1: memcpy(at, &u8, sizeof u8); break;
    case 2: memcpy(at, &u16, sizeof u16); break;
    case 4: memcpy(at, &u32, sizeof u32); break;
    default: memcpy(at, &number, sizeof number); break;
    }
}

static bool is_zero(const void *at, size_t size)
{
    const unsigned char *byte = at;

    for (size_t i = 0; i < size; i++)
        if (byte[i] != 0)
            return false;
    return true;
}

static bool is_default(const Field *field, const void *at)
{
    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_ENUM: return load(field, at) == default_of(field);
    case FIELD_TEXT:
    case FIELD_NAME: return *(const char *) at == '\0';
    case FIELD_STRUCT: return false; /* found out by writing it */
    default: return is_zero(at, field->size);
    }
}

/* An object, or nothing if all of it is default. */
static void write_struct(const Field *field, const void *at, Buf *out)
{
    size_t before = out->len;

    json_add_open(out, field->name, '{');
    size_t opened = out->len;
    codec_field_write(field->table, at, out);
    if (out->len > opened) {
        json_add_close(out, '}');
    } else if (!out->failed) {
        out->len = before;
        out->data[before] = '\0';
    }
}

static void write_field(const Field *field, const void *at, Buf *out)
{
    uint64_t big;
    Uuid uuid;
    bool truth;

    switch (field->type) {
    case FIELD_BOOL:
        memcpy(&truth, at, sizeof truth);
        json_add_bool(out, field->name, truth);
        break;
    case FIELD_NUMBER: json_add_number(out, field->name, load(field, at)); break;
    case FIELD_BIG:
        memcpy(&big, at, sizeof big);
        json_add_big(out, field->name, big);
        break;
    case FIELD_LSN:
        memcpy(&big, at, sizeof big);
        json_add_lsn(out, field->name, big);
        break;
    case FIELD_UUID:
        memcpy(&uuid, at, sizeof uuid);
        json_add_uuid(out, field->name, &uuid);
        break;
    case FIELD_TEXT:
    case FIELD_NAME: json_add_text(out, field->name, at); break;
    case FIELD_ENUM: json_add_text(out, field->name, field->name_of((int) load(field, at))); break;
    case FIELD_STRUCT: write_struct(field, at, out); break;
    }
}

void codec_field_write(const FieldTable *table, const void *base, Buf *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->field[i];
        const void *at = (const char *) base + field->offset;
        if (field->required || !is_default(field, at))
            write_field(field, at, out);
    }
}

static bool read_enum(const Field *field, const json_t *object, void *at, Err *err)
{
    char text[64] = "";

    if (!json_get_text(object, field->name, text, sizeof text, err))
        return false;
    if (text[0] == '\0' && !field->required) {
        store(field, 0, at);
        return true;
    }
    for (int64_t value = field->min; value <= field->max; value++) {
        if (strcmp(field->name_of((int) value), text) == 0) {
            store(field, value, at);
            return true;
        }
    }
    return err_set(err, ERR_PROTOCOL, "%s is \"%s\", which this version does not know", field->name, text);
}

static bool read_number(const Field *field, const json_t *object, void *at, Err *err)
{
    int64_t number = default_of(field);

    if (!json_get_number(object, field->name, field->min, field->max, &number, err))
        return false;
    store(field, number, at);
    return true;
}

static bool read_name(const Field *field, const json_t *object, void *at, Err *err)
{
    memset(at, 0, field->size);
    if (!json_get_text(object, field->name, at, field->size, err))
        return false;
    return *(char *) at == '\0' || codec_is_name(at) ||
           err_set(err, ERR_PROTOCOL, "%s is \"%.32s\", not a member's name", field->name, (char *) at);
}

static bool read_struct(const Field *field, const json_t *object, void *at, Err *err)
{
    const json_t *inner = NULL;

    if (!json_get_object(object, field->name, &inner, err))
        return false;
    return codec_field_read(field->table, inner, at, err) || err_context(err, "%s", field->name);
}

/* What goes to plain types of one size; *at is all zero. */
static bool read_plain(const Field *field, const json_t *object, void *at, Err *err)
{
    bool truth = false, ok;
    uint64_t big = 0;
    Uuid uuid = {{0}};

    switch (field->type) {
    case FIELD_BOOL:
        ok = json_get_bool(object, field->name, &truth, err);
        memcpy(at, &truth, sizeof truth);
        return ok;
    case FIELD_UUID:
        ok = json_get_uuid(object, field->name, &uuid, err);
        memcpy(at, &uuid, sizeof uuid);
        return ok;
    case FIELD_LSN:
        ok = json_get_lsn(object, field->name, &big, err);
        memcpy(at, &big, sizeof big);
        return ok;
    default:
        ok = json_get_big(object, field->name, &big, err);
        memcpy(at, &big, sizeof big);
        return ok;
    }
}

static bool read_field(const Field *field, const json_t *object, void *at, Err *err)
{
    switch (field->type) {
    case FIELD_NUMBER: return read_number(field, object, at, err);
    case FIELD_ENUM: return read_enum(field, object, at, err);
    case FIELD_STRUCT: return read_struct(field, object, at, err);
    case FIELD_NAME: return read_name(field, object, at, err);
    case FIELD_TEXT:
        memset(at, 0, field->size);
        return json_get_text(object, field->name, at, field->size, err);
    default: return read_plain(field, object, at, err);
    }
}

bool codec_field_read(const FieldTable *table, const json_t *object, void *base, Err *err)
{
    for (size_t i = 0; i < table->count; i++) {
        const Field *field = &table->field[i];
        if (field->required && !json_require(object, field->name, err))
            return false;
        if (!read_field(field, object, (char *) base + field->offset, err))
            return false;
    }
    return true;
}
