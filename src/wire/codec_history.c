/*
 * codec_history.c: entries of /v1/history, for people and scripts; never read back by the core.
 */
#include "wire/codec.h"
#include "wire/json.h"

/* null for nobody. */
static void add_member(Buf *out, const char *key, const Document *doc, MemberNo no)
{
    bool known = no >= 0 && no < MEMBER_MAX && doc->member[no].name[0] != '\0';

    json_add_text(out, key, known ? doc->member[no].name : NULL);
}

void codec_history_line(const History *history, const Document *doc, int64_t wall_us, const char *reason,
                        Buf *out)
{
    buf_puts(out, "{");
    json_add_time(out, "time", wall_us);
    json_add_text(out, "kind", history_name(history->kind));
    add_member(out, "member", doc, history->member);
    add_member(out, "from", doc, history->from);
    json_add_number(out, "epoch", history->epoch);
    json_add_number(out, "timeline", history->timeline);
    json_add_lsn_or_null(out, "lsn", history->lsn);
    if (history->duration_ms >= 0)
        json_add_number(out, "duration_ms", history->duration_ms);
    else
        json_add_null(out, "duration_ms");
    json_add_number(out, "bytes",
                    history->bytes <= (uint64_t) JSON_NUMBER_MAX ? (int64_t) history->bytes
                                                                 : JSON_NUMBER_MAX);
    json_add_number(out, "transactions", history->transactions);
    if (history->kind == HISTORY_PAUSE)
        json_add_time(out, "until", history->until_us);
    json_add_text(out, "reason", reason != NULL && reason[0] != '\0' ? reason : NULL);
    buf_puts(out, "}");
}
