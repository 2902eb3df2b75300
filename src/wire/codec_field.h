/*
 * codec_field.h: structs as tables of fields, so that one line serves encoding and decoding; private to
 * src/wire.
 *
 * A field with its default value is not written, and what is not there when reading gets its default: 0,
 * false, "", or -1 for numbers that may be negative.
 */
#ifndef PGVIGIL_WIRE_CODEC_FIELD_H
#define PGVIGIL_WIRE_CODEC_FIELD_H

#include "wire/json.h"

typedef enum FieldType {
    FIELD_BOOL,
    FIELD_NUMBER, /* an integer of any size; signed if min is negative */
    FIELD_BIG,    /* uint64_t of any value, as a decimal string */
    FIELD_LSN,
    FIELD_UUID,
    FIELD_TEXT,
    FIELD_NAME, /* of a member */
    FIELD_ENUM,
    FIELD_STRUCT,
} FieldType;

typedef const char *(*FieldNameOf)(int value);

struct FieldTable;

typedef struct Field {
    const char *name;
    FieldType type;
    size_t offset;
    size_t size;
    int64_t min; /* NUMBER; ENUM: the smallest value allowed */
    int64_t max;
    FieldNameOf name_of;            /* ENUM */
    const struct FieldTable *table; /* STRUCT */
    bool required;                  /* written even if it is the default, and missed when it is not there */
} Field;

typedef struct FieldTable {
    const Field *field;
    size_t count;
} FieldTable;

/* One row of a table each, to be put in braces: {FIELD(LSN, Report, lsn)}, {FIELD_INT(...), .required =
 * true}. */
#define FIELD(kind, of, member)                                                                              \
    .name = #member, .type = FIELD_##kind, .offset = offsetof(of, member), .size = sizeof(((of *) 0)->member)
#define FIELD_INT(of, member, range)         FIELD(NUMBER, of, member), range
#define FIELD_WORD(of, member, words, range) FIELD(ENUM, of, member), range, .name_of = (words)
#define FIELD_SUB(of, member, rows)          FIELD(STRUCT, of, member), .table = &(rows)

/* Both included. */
#define FIELD_RANGE(least, most) .min = (least), .max = (most)
#define FIELD_UNSIGNED           FIELD_RANGE(0, UINT32_MAX)

#define FIELD_TABLE(rows)                                                                                    \
    {                                                                                                        \
        .field = (rows), .count = sizeof(rows) / sizeof(rows)[0]                                             \
    }

/* Adds the fields of the struct at base to an object that is open. */
void codec_field_write(const FieldTable *table, const void *base, Buf *out);

/* Sets every field of the struct at base from object, or to its default if object is NULL. */
bool codec_field_read(const FieldTable *table, const json_t *object, void *base, Err *err);

#endif
