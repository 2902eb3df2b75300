/*
 * codec.c: messages as a whole. What all of them carry is small; the view and the document come along now and
 * then.
 */
#include "wire/codec.h"

#include "wire/codec_table.h"

#include <string.h>

bool codec_is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_");

    return len > 0 && len < MEMBER_NAME_LEN && text[len] == '\0';
}

/* One element for each slot: null for a member never heard of. */
static void write_view(const Msg *msg, Buf *out)
{
    json_add_open(out, "view", '[');
    for (int i = 0; i < MEMBER_MAX; i++) {
        if (msg->view_age_ms[i] < 0) {
            json_add_null(out, NULL);
            continue;
        }
        json_add_open(out, NULL, '{');
        json_add_number(out, "age_ms", msg->view_age_ms[i]);
        codec_field_write(&codec_table_report, &msg->view[i], out);
        json_add_close(out, '}');
    }
    json_add_close(out, ']');
}

void codec_encode_msg(const Msg *msg, const Document *doc, const char *sender_name, Buf *out)
{
    buf_puts(out, "{");
    json_add_text(out, "name", sender_name);
    codec_field_write(&codec_table_msg, msg, out);
    if (msg->has_view)
        write_view(msg, out);
    if (msg->has_doc)
        codec_document_write(doc, out);
    buf_puts(out, "}");
}

static bool read_view_row(const json_t *row, Msg *ret, size_t no, Err *err)
{
    int64_t age_ms = 0;

    if (json_is_null(row))
        return true;
    if (!json_is_object(row))
        return err_set(err, ERR_PROTOCOL, "view: not an object");
    if (!json_require(row, "age_ms", err) || !json_get_number(row, "age_ms", 0, INT32_MAX, &age_ms, err) ||
        !codec_field_read(&codec_table_report, row, &ret->view[no], err))
        return err_context(err, "view");
    ret->view_age_ms[no] = (int32_t) age_ms;
    return true;
}

/* What is not there is of members never heard of. */
static bool read_view(const json_t *object, Msg *ret, Err *err)
{
    const json_t *rows = NULL;

    if (!json_get_array(object, "view", MEMBER_MAX, &rows, err))
        return false;
    ret->has_view = rows != NULL;
    for (size_t i = 0; i < MEMBER_MAX; i++) {
        ret->view_age_ms[i] = -1;
        if (i < json_array_size(rows) && !read_view_row(json_array_get(rows, i), ret, i, err))
            return false;
    }
    return true;
}

static bool read_msg(const json_t *object, Msg *ret_msg, Document *ret_doc, char *ret_sender_name, Err *err)
{
    const json_t *doc = NULL;

    if (!json_require(object, "name", err) ||
        !json_get_text(object, "name", ret_sender_name, MEMBER_NAME_LEN, err))
        return false;
    if (!codec_is_name(ret_sender_name))
        return err_set(err, ERR_PROTOCOL, "name is \"%.32s\", not a member's name", ret_sender_name);
    if (!codec_field_read(&codec_table_msg, object, ret_msg, err))
        return false;
    /* A vote for the zero UUID would be kept as one for nobody, and could be given again. */
    if (uuid_is_zero(&ret_msg->sender))
        return err_set(err, ERR_PROTOCOL, "sender is the zero UUID");
    if (!read_view(object, ret_msg, err) || !json_get_object(object, "document", &doc, err))
        return false;
    ret_msg->has_doc = doc != NULL;
    if (doc != NULL && !codec_document_read(object, ret_doc, err))
        return false;
    return ret_doc->id.term <= ret_msg->term ||
           err_set(err, ERR_PROTOCOL, "document: its term is higher than the sender's own");
}

bool codec_decode_msg(const char *text, size_t len, Msg *ret_msg, Document *ret_doc, char *ret_sender_name,
                      Err *err)
{
    memset(ret_msg, 0, sizeof *ret_msg);
    memset(ret_doc, 0, sizeof *ret_doc);
    memset(ret_sender_name, 0, MEMBER_NAME_LEN);
    ret_msg->from = MEMBER_NONE;
    ret_doc->primary = MEMBER_NONE;
    json_t *object = json_parse(text, len, err);
    bool ok = object != NULL && read_msg(object, ret_msg, ret_doc, ret_sender_name, err);
    json_decref(object);
    return ok || err_context(err, "message");
}
