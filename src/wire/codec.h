/*
 * codec.h: messages between members, the persistent record and history entries as JSON, and back.
 *
 * Decoding lets nothing through that the core does not expect: unknown names of enum values, numbers out of
 * range and malformed texts are errors. Unknown keys are ignored, so that a newer member may say more.
 */
#ifndef PGVIGIL_WIRE_CODEC_H
#define PGVIGIL_WIRE_CODEC_H

#include "base/err.h"
#include "base/str.h"
#include "core/core.h"

/* The "format" of the persistent record. */
#define CODEC_PERSIST_FORMAT 1

/*
 * Appends the message as one JSON object, without a newline. doc is written when msg->has_doc, and may be
 * NULL otherwise. sender_name is this member's own name. msg->from is not written. Fields with their default
 * values are left out. Memory running out shows in out->failed.
 */
void codec_encode_msg(const Msg *msg, const Document *doc, const char *sender_name, Buf *out);

/*
 * Reads what codec_encode_msg wrote. ret_sender_name has MEMBER_NAME_LEN bytes; ret_msg->from is MEMBER_NONE.
 * *ret_doc is all zero, with MEMBER_NONE as the primary, unless ret_msg->has_doc. Without a view, all its
 * ages are -1. ERR_PROTOCOL if anything is wrong; the outputs are then of no meaning.
 */
bool codec_decode_msg(const char *text, size_t len, Msg *ret_msg, Document *ret_doc, char *ret_sender_name,
                      Err *err);

/* Appends the record as one JSON object; at most 4000 bytes for any record that can be decoded again. */
void codec_encode_persist(const Persist *persist, Buf *out);

/* ERR_CONFIG if a newer version wrote it, ERR_PROTOCOL if it is malformed; *ret is then of no meaning. */
bool codec_decode_persist(const char *text, size_t len, Persist *ret, Err *err);

/*
 * Appends an entry of /v1/history, one line without the newline. Names come from doc; wall_us is microseconds
 * since 1970; reason may be NULL.
 */
void codec_history_line(const History *history, const Document *doc, int64_t wall_us, const char *reason,
                        Buf *out);

/* True for 1 to MEMBER_NAME_LEN - 1 of a-z, 0-9, - and _. */
bool codec_is_name(const char *text);

#endif
