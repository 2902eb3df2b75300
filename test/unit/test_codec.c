/*
 * test_codec.c: every field there and back; nothing malformed gets through.
 */
#include "samples.h"
#include "unit.h"
#include "wire/codec.h"
#include "wire/codec_table.h"

#include <stdlib.h>
#include <string.h>

#define ROUNDS 3000
#define FLIPS  8000

static void encode(const Msg *msg, const Document *doc, Buf *ret)
{
    ret->len = 0;
    codec_encode_msg(msg, doc, "pg1", ret);
    assert_false(ret->failed);
}

static void messages_come_back_the_same(void **state)
{
    Msg msg, back;
    Document doc, doc_back, none;
    Buf text = {0};
    char name[MEMBER_NAME_LEN];
    Err err = {0};

    (void) state;
    memset(&none, 0, sizeof none);
    none.primary = MEMBER_NONE;
    for (int i = 0; i < ROUNDS; i++) {
        sample_msg(&msg);
        sample_document(&doc);
        doc.id.term = doc.id.term <= msg.term ? doc.id.term : msg.term;
        encode(&msg, &doc, &text);
        assert_true(text.len < JSON_TEXT_MAX / 4);
        if (!codec_decode_msg(text.data, text.len, &back, &doc_back, name, &err))
            fail_msg("%s\n%s", err.text, text.data);
        assert_string_equal(name, "pg1");
        assert_memory_equal(&back, &msg, sizeof msg);
        assert_memory_equal(&doc_back, msg.has_doc ? &doc : &none, sizeof doc);
    }
    buf_done(&text);
}

static void records_come_back_the_same(void **state)
{
    Persist persist, back;
    Err err = {0};

    (void) state;
    for (int i = 0; i < ROUNDS; i++) {
        Buf text = {0};
        sample_persist(&persist);
        codec_encode_persist(&persist, &text);
        if (!codec_decode_persist(text.data, text.len, &back, &err))
            fail_msg("%s\n%s", err.text, text.data);
        assert_memory_equal(&back, &persist, sizeof persist);
        buf_done(&text);
    }
}

static void fill_longest(Persist *ret)
{
    memset(ret, 0, sizeof *ret);
    memset(&ret->node_uuid, 0xff, sizeof ret->node_uuid);
    memset(&ret->voted_for, 0xff, sizeof ret->voted_for);
    ret->term = ret->doc.id.term = ((uint64_t) 1 << 52) - 1;
    ret->doc.id.version = JSON_NUMBER_MAX;
    ret->promise_ms = ret->doc.lease_ms = 60000;
    ret->wal_epoch = ret->doc.epoch = UINT32_MAX;
    ret->stray_timeline = UINT32_MAX;
    ret->primary_at = (Position){true, UINT32_MAX, UINT64_MAX};
    ret->rewinding = ret->outside = ret->doc.paused = true;
    ret->doc.system_identifier = UINT64_MAX;
    ret->doc.primary = MEMBER_MAX - 1;
    ret->doc.sync_set = 1 << (MEMBER_MAX - 1);
    ret->doc.discard = 1 << (MEMBER_MAX - 1);
    ret->doc.synchronous = true;
    ret->doc.heartbeat_ms = 20000;
    ret->doc.pause_until_us = JSON_NUMBER_MAX;
    memset(ret->doc.pause_reason, 1, sizeof ret->doc.pause_reason - 1);
    ret->doc.history_len = DOC_HISTORY_MAX;
    for (uint32_t i = 0; i < DOC_HISTORY_MAX; i++) {
        uint32_t epoch = UINT32_MAX - DOC_HISTORY_MAX + 1 + i;
        ret->doc.history[i] = (DocEpoch){.epoch = epoch,
                                         .timeline = UINT32_MAX,
                                         .start = UINT64_MAX,
                                         .kept_from = UINT32_MAX,
                                         .settled = true,
                                         .primary = 8};
    }
    for (int i = 0; i < MEMBER_MAX; i++) {
        DocMember *member = &ret->doc.member[i];
        memset(member->name, 'a' + i, MEMBER_NAME_LEN - 1);
        memset(&member->uuid, 0xff - i, sizeof member->uuid);
        member->kind = i == MEMBER_MAX - 1 ? MEMBER_DATA : MEMBER_WITNESS;
        member->voter = true;
    }
    ret->doc.member[0].leaving = true;
}

static void the_longest_record_fits_a_slot(void **state)
{
    Persist persist, back;
    Buf text = {0};
    Err err = {0};

    (void) state;
    fill_longest(&persist);
    codec_encode_persist(&persist, &text);
    print_message("the longest record has %zu bytes\n", text.len);
    assert_true(text.len <= 4000);
    assert_true(codec_decode_persist(text.data, text.len, &back, &err));
    assert_memory_equal(&back, &persist, sizeof persist);
    buf_done(&text);
}

/* A field that somebody adds to a struct and not to its table leaves a hole. */
static void assert_covered(const char *what, const FieldTable *table, size_t size, size_t elsewhere)
{
    size_t known = elsewhere;

    for (size_t i = 0; i < table->count; i++)
        known += table->field[i].size;
    if (known > size || size - known > 24)
        fail_msg("%s: %zu of %zu bytes have a row in the table", what, known, size);
}

static void tables_cover_their_structs(void **state)
{
    Msg *msg = NULL;

    (void) state;
    assert_covered("Report", &codec_table_report, sizeof(Report), 0);
    assert_covered("Persist", &codec_table_persist, sizeof(Persist), sizeof(Document));
    assert_covered("Msg", &codec_table_msg, sizeof(Msg),
                   sizeof msg->view + sizeof msg->view_age_ms + sizeof msg->from + 2 * sizeof(bool));
    for (size_t i = 0; i < codec_table_report.count; i++)
        if (codec_table_report.field[i].table != NULL && codec_table_report.field[i].size == sizeof(Lost))
            assert_covered("Lost", codec_table_report.field[i].table, sizeof(Lost), 0);
        else if (codec_table_report.field[i].table != NULL)
            assert_covered("Observation", codec_table_report.field[i].table, sizeof(Observation),
                           sizeof msg->report.pg.confirmed);
}

static void heartbeats_are_small(void **state)
{
    Msg msg;
    Buf text = {0};

    (void) state;
    memset(&msg, 0, sizeof msg);
    msg.kind = MSG_HEARTBEAT;
    msg.sender = sample_uuid();
    msg.term = msg.seq = 7;
    msg.report.pg.upstream = MEMBER_NONE;
    msg.report.pg.replay_lag_ms = -1;
    msg.release.to = MEMBER_NONE;
    encode(&msg, NULL, &text);
    assert_true(text.len < 128);
    assert_has(text.data, "{\"name\":\"pg1\",\"kind\":\"heartbeat\",\"sender\":\"");
    assert_null(strstr(text.data, "report"));
    buf_done(&text);
}

#define START                                                                                                \
    "{\"name\":\"pg1\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000001\",\"term\":1"

static const struct {
    const char *text, *why;
} bad_values[] = {
    {"{}", "name is missing"},
    {"{\"name\":\"pg1\"}", "kind is missing"},
    {"{\"name\":\"PG 1\",\"kind\":\"vote\"}", "not a member's name"},
    {"{\"name\":\"\",\"kind\":\"vote\"}", "not a member's name"},
    {"{\"name\":\"pg1\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000001\"}",
     "term is missing"},
    {"{\"name\":\"pg1\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000000\",\"term\":1}",
     "zero UUID"},
    {"{\"name\":\"pg1\",\"kind\":\"none\"}", "kind is \"none\""},
    {"{\"name\":\"pg1\",\"kind\":\"\"}", "does not know"},
    {"{\"name\":\"pg1\",\"kind\":\"?\"}", "does not know"},
    {START ",\"refusal\":\"whim\"}", "refusal is \"whim\""},
    {START ",\"term\":2}", "not JSON"},
    {START ",\"seq\":-1}", "seq is -1"},
    {START ",\"seq\":9007199254740993}", "seq is"},
    {START ",\"doc_id\":{\"version\":9007199254740992}}", "version is 9007199254740992"},
    {"{\"name\":\"pg1\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000001\","
     "\"term\":9007199254740992}",
     "term is 9007199254740992, not from 0 to 4503599627370495"},
    {START ",\"inc\":5}", "inc is not a text"},
    {START ",\"lease_ms\":60001}", "lease_ms is"},
    {START ",\"granted\":1}", "granted is neither"},
    {START ",\"report\":{\"pg\":{\"state\":\"happy\"}}}", "report: pg: state is \"happy\""},
    {START ",\"report\":{\"pg\":{\"upstream\":9}}}", "upstream is 9, not from -1 to 8"},
    {START ",\"report\":{\"pg\":{\"upstream\":-2}}}", "upstream is -2"},
    {START ",\"report\":{\"pg\":{\"replay_lag_ms\":-2}}}", "replay_lag_ms is -2"},
    {START ",\"report\":{\"pg\":{\"timeline\":4294967296}}}", "timeline is"},
    {START ",\"report\":{\"action\":\"dance\"}}", "action is"},
    {START ",\"report\":{\"rule\":256}}", "rule is 256"},
    {START ",\"report\":[]}", "report is not an object"},
    {START ",\"release\":{\"to\":9}}", "release: to is 9"},
    {START ",\"view\":{}}", "view is not an array"},
    {START ",\"view\":[1]}", "view: not an object"},
    {START ",\"view\":[{}]}", "age_ms is missing"},
    {START ",\"view\":[{\"age_ms\":-1}]}", "age_ms is -1"},
    {START ",\"view\":[null,null,null,null,null,null,null,null,null,null]}", "view has 10 elements"},
};

static void bad_values_are_refused(void **state)
{
    Msg msg;
    Document doc;
    char name[MEMBER_NAME_LEN];

    (void) state;
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        Err err = {0};
        if (codec_decode_msg(bad_values[i].text, strlen(bad_values[i].text), &msg, &doc, name, &err))
            fail_msg("accepted: %s", bad_values[i].text);
        assert_int_equal(err.code, ERR_PROTOCOL);
        assert_has(err.text, bad_values[i].why);
    }
}

static void unknown_keys_are_ignored(void **state)
{
    const char *text = START ",\"mood\":{\"x\":[1]},\"report\":{\"weather\":1},\"view\":[]}";
    Msg msg;
    Document doc;
    char name[MEMBER_NAME_LEN];
    Err err = {0};

    (void) state;
    if (!codec_decode_msg(text, strlen(text), &msg, &doc, name, &err))
        fail_msg("%s", err.text);
    assert_int_equal(msg.kind, MSG_VOTE);
    assert_int_equal(msg.from, MEMBER_NONE);
    assert_int_equal(msg.release.to, MEMBER_NONE);
    assert_int_equal(msg.report.pg.upstream, MEMBER_NONE);
    assert_int_equal(msg.report.pg.replay_lag_ms, -1);
    assert_true(msg.has_view);
    assert_int_equal(msg.view_age_ms[MEMBER_MAX - 1], -1);
    assert_false(msg.has_doc);
    assert_int_equal(doc.primary, MEMBER_NONE);
}

static void newer_records_are_told(void **state)
{
    Persist persist;
    Buf text = {0};
    Err err = {0};

    (void) state;
    sample_persist(&persist);
    codec_encode_persist(&persist, &text);
    assert_has(text.data, "\"format\":1,");
    strstr(text.data, "\"format\":1,")[9] = '2';
    assert_false(codec_decode_persist(text.data, text.len, &persist, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_string_equal(err.text,
                        "state file was written by a newer version (format 2); use that version, or remove "
                        "the file to let this member join again");
    strstr(text.data, "\"format\":2,")[9] = '0';
    assert_false(codec_decode_persist(text.data, text.len, &persist, &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    buf_done(&text);
}

static void assert_slot(MemberNo no)
{
    assert_in_range(no + 1, 0, MEMBER_MAX);
}

static void assert_report_sane(const Report *report)
{
    assert_in_range(report->pg.state, PG_UNKNOWN, PG_PRIMARY);
    assert_in_range(report->action, ACTION_NONE, ACTION_KINDS - 1);
    assert_slot(report->pg.upstream);
    assert_true(report->pg.replay_lag_ms >= -1);
}

static void assert_document_sane(const Document *doc)
{
    assert_slot(doc->primary);
    assert_in_range(doc->history_len, 0, DOC_HISTORY_MAX);
    assert_in_range(doc->sync_set, 0, (1 << MEMBER_MAX) - 1);
    assert_non_null(memchr(doc->pause_reason, 0, sizeof doc->pause_reason));
    for (int i = 0; i < DOC_HISTORY_MAX; i++)
        assert_slot(doc->history[i].primary);
    for (int i = 0; i < MEMBER_MAX; i++) {
        const DocMember *member = &doc->member[i];
        assert_in_range(member->kind, MEMBER_FREE, MEMBER_WITNESS);
        assert_true(member->kind == MEMBER_FREE || codec_is_name(member->name));
    }
}

/* What was accepted must be in range, and say the same when it is sent on. */
static void assert_msg_sane(const Msg *msg, const Document *doc, const char *name)
{
    Buf text = {0};
    Msg back;
    Document doc_back;
    char name_back[MEMBER_NAME_LEN];
    Err err = {0};

    assert_in_range(msg->kind, MSG_HEARTBEAT, MSG_KINDS - 1);
    assert_in_range(msg->refusal, REFUSAL_NONE, REFUSALS - 1);
    assert_true(msg->term <= (uint64_t) JSON_NUMBER_MAX && msg->seq <= (uint64_t) JSON_NUMBER_MAX);
    assert_true(msg->lease_ms <= 60000);
    assert_slot(msg->release.to);
    assert_report_sane(&msg->report);
    for (int i = 0; i < MEMBER_MAX; i++)
        if (msg->view_age_ms[i] >= 0)
            assert_report_sane(&msg->view[i]);
    assert_document_sane(doc);
    codec_encode_msg(msg, doc, name, &text);
    if (!codec_decode_msg(text.data, text.len, &back, &doc_back, name_back, &err))
        fail_msg("%s\n%s", err.text, text.data);
    assert_memory_equal(&back, msg, sizeof back);
    assert_memory_equal(&doc_back, doc, sizeof doc_back);
    buf_done(&text);
}

/* A message with everything in it. */
static void sample_full(Buf *ret)
{
    Msg msg;
    Document doc;

    do
        sample_msg(&msg);
    while (!msg.has_doc || !msg.has_view);
    do
        sample_document(&doc);
    while (doc.history_len < 2);
    doc.id.term = doc.id.term <= msg.term ? doc.id.term : msg.term;
    encode(&msg, &doc, ret);
}

/* Copied to a block of exactly that size, so that a sanitizer sees a byte read too much. */
static bool decode_exactly(const char *text, size_t len, Msg *msg, Document *doc, char *name)
{
    char *copy = malloc(len > 0 ? len : 1);
    Err err = {0};

    memcpy(copy, text, len);
    bool ok = codec_decode_msg(copy, len, msg, doc, name, &err);
    free(copy);
    assert_true(ok || (err.code == ERR_PROTOCOL && err.text[0] != '\0'));
    return ok;
}

static void cut_messages_are_refused(void **state)
{
    Buf text = {0};
    Msg msg;
    Document doc;
    char name[MEMBER_NAME_LEN];

    (void) state;
    sample_full(&text);
    for (size_t len = 0; len < text.len; len++)
        assert_false(decode_exactly(text.data, len, &msg, &doc, name));
    assert_true(decode_exactly(text.data, text.len, &msg, &doc, name));
    buf_done(&text);
}

/* Bytes that are likely to make something else that is JSON, and any. */
static char sample_byte(void)
{
    static const char likely[] = "0123456789-.eE\"{}[]:,nulltrefas/ \\";

    return sample_bool() ? likely[rng_below(&sample_state, sizeof likely - 1)]
                         : (char) rng_next(&sample_state);
}

static void flipped_messages_are_refused_or_sane(void **state)
{
    Buf text = {0};
    Msg msg;
    Document doc;
    char name[MEMBER_NAME_LEN];
    int accepted = 0;

    (void) state;
    for (int i = 0; i < FLIPS; i++) {
        if (i % 200 == 0)
            sample_full(&text);
        char *copy = malloc(text.len);
        memcpy(copy, text.data, text.len);
        for (uint64_t flips = 1 + rng_below(&sample_state, 3); flips > 0; flips--)
            copy[rng_below(&sample_state, text.len)] = sample_byte();
        if (decode_exactly(copy, text.len, &msg, &doc, name)) {
            assert_msg_sane(&msg, &doc, name);
            accepted++;
        }
        free(copy);
    }
    assert_in_range(accepted, 100, FLIPS - 100); /* both happen */
    buf_done(&text);
}

static void records_bear_flips(void **state)
{
    Persist persist, back;
    Err err = {0};

    (void) state;
    for (int i = 0; i < FLIPS; i++) {
        Buf text = {0};
        sample_persist(&persist);
        codec_encode_persist(&persist, &text);
        text.data[rng_below(&sample_state, text.len)] = sample_byte();
        size_t len = sample_bool() ? text.len : rng_below(&sample_state, text.len);
        if (codec_decode_persist(text.data, len, &back, &err))
            assert_document_sane(&back.doc);
        buf_done(&text);
    }
}

static void history_is_one_line(void **state)
{
    Document doc;
    Buf text = {0};
    History history = {.kind = HISTORY_FAILOVER,
                       .member = 1,
                       .from = 0,
                       .epoch = 3,
                       .timeline = 4,
                       .lsn = 0x3000060,
                       .duration_ms = 812,
                       .bytes = 5,
                       .transactions = 2};

    (void) state;
    memset(&doc, 0, sizeof doc);
    strcpy(doc.member[0].name, "pg1");
    strcpy(doc.member[1].name, "pg2");
    codec_history_line(&history, &doc, 1795208371123456, "two\nlines", &text);
    assert_string_equal(
        text.data, "{\"time\":\"2026-11-20T20:59:31.123Z\",\"kind\":\"failover\",\"member\":\"pg2\","
                   "\"from\":\"pg1\",\"epoch\":3,\"timeline\":4,\"lsn\":\"0/3000060\",\"duration_ms\":812,"
                   "\"bytes\":5,\"transactions\":2,\"reason\":\"two\\u000alines\"}");
    text.len = 0;
    history = (History){.kind = HISTORY_PAUSE, .member = MEMBER_NONE, .from = 7, .duration_ms = -1};
    codec_history_line(&history, &doc, 1795208371123456, NULL, &text);
    assert_has(text.data,
               "\"kind\":\"pause\",\"member\":null,\"from\":null,\"epoch\":0,\"timeline\":0,\"lsn\":null,"
               "\"duration_ms\":null,\"bytes\":0,\"transactions\":0,\"until\":null,\"reason\":null}");
    text.len = 0;
    history.until_us = 1795208371123456;
    codec_history_line(&history, &doc, 1795208371123456, NULL, &text);
    assert_has(text.data, "\"until\":\"2026-11-20T20:59:31.123Z\",");
    buf_done(&text);
}

static void cut_off_reasons_do_not_break_the_document(void **state)
{
    Persist persist, back;
    Buf text = {0};
    Err err = {0};

    (void) state;
    sample_persist(&persist);
    memset(persist.doc.pause_reason, 0, sizeof persist.doc.pause_reason);
    strcpy(persist.doc.pause_reason, "cut off in a \xe2\x82");
    codec_encode_persist(&persist, &text);
    if (!codec_decode_persist(text.data, text.len, &back, &err))
        fail_msg("%s", err.text);
    assert_string_equal(back.doc.pause_reason, "cut off in a ??");
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back_the_same),
        cmocka_unit_test(records_come_back_the_same),
        cmocka_unit_test(the_longest_record_fits_a_slot),
        cmocka_unit_test(tables_cover_their_structs),
        cmocka_unit_test(heartbeats_are_small),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(unknown_keys_are_ignored),
        cmocka_unit_test(newer_records_are_told),
        cmocka_unit_test(cut_messages_are_refused),
        cmocka_unit_test(flipped_messages_are_refused_or_sane),
        cmocka_unit_test(records_bear_flips),
        cmocka_unit_test(history_is_one_line),
        cmocka_unit_test(cut_off_reasons_do_not_break_the_document),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
