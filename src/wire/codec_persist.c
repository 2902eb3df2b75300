/*
 * codec_persist.c: the record that a member keeps. It has a format number, so that an older program does not
 * take a newer one's promises for something else.
 */
#include "wire/codec.h"
#include "wire/codec_table.h"

#include <inttypes.h>
#include <string.h>

void codec_encode_persist(const Persist *persist, Buf *out)
{
    buf_puts(out, "{");
    json_add_number(out, "format", CODEC_PERSIST_FORMAT);
    codec_field_write(&codec_table_persist, persist, out);
    codec_document_write(&persist->doc, out);
    buf_puts(out, "}");
}

static bool read_persist(const json_t *object, Persist *ret, Err *err)
{
    int64_t format = 0;

    if (!json_require(object, "format", err) ||
        !json_get_number(object, "format", 1, INT32_MAX, &format, err))
        return false;
    if (format > CODEC_PERSIST_FORMAT)
        return err_set(err, ERR_CONFIG,
                       "state file was written by a newer version (format %" PRId64
                       "); use that version, or remove the file to let this member join again",
                       format);
    if (!codec_field_read(&codec_table_persist, object, ret, err))
        return false;
    if (uuid_is_zero(&ret->node_uuid))
        return err_set(err, ERR_PROTOCOL, "node_uuid is zero");
    return codec_document_read(object, &ret->doc, err);
}

bool codec_decode_persist(const char *text, size_t len, Persist *ret, Err *err)
{
    memset(ret, 0, sizeof *ret);
    json_t *object = json_parse(text, len, err);
    bool ok = object != NULL && read_persist(object, ret, err);
    json_decref(object);
    return ok;
}
