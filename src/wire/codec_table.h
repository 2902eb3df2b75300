/*
 * codec_table.h: the field tables of everything that travels, and documents as a whole; private to src/wire.
 */
#ifndef PGVIGIL_WIRE_CODEC_TABLE_H
#define PGVIGIL_WIRE_CODEC_TABLE_H

#include "core/core.h"
#include "wire/codec_field.h"

/* Bounds are what the core can bear, not what is likely. */
#define CODEC_SLOT FIELD_RANGE(MEMBER_NONE, MEMBER_MAX - 1)
#define CODEC_COUNT                                                                                          \
    FIELD_RANGE(0, JSON_NUMBER_MAX) /* terms, versions, sequence numbers: these last for ever */
#define CODEC_TERM     FIELD_RANGE(0, ((int64_t) 1 << 52) - 1) /* the next one has to fit, too */
#define CODEC_LEASE_MS FIELD_RANGE(0, 60000)                   /* the option's largest value */
#define CODEC_BEAT_MS  FIELD_RANGE(0, 20000)

extern const FieldTable codec_table_report;
extern const FieldTable codec_table_msg;     /* without view and document */
extern const FieldTable codec_table_persist; /* without document */

/* Adds the document under "document". */
void codec_document_write(const Document *doc, Buf *out);

/* Reads "document" of object; there must be one. */
bool codec_document_read(const json_t *object, Document *ret, Err *err);

#endif
