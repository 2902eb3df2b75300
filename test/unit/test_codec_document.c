/*
 * test_codec_document.c: documents that say what the core could not bear are refused, with the reason.
 */
#include "core/core.h"
#include "unit.h"
#include "wire/codec.h"

#include <stdio.h>
#include <string.h>

#define START                                                                                                \
    "{\"name\":\"pg1\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000001\",\"term\":1"

static bool decode(const char *text, Err *err)
{
    Msg msg;
    Document doc;
    char name[MEMBER_NAME_LEN];

    return codec_decode_msg(text, strlen(text), &msg, &doc, name, err);
}

static const struct {
    const char *text, *why;
} bad_values[] = {
    {START ",\"document\":[]}", "document is not an object"},
    {START ",\"document\":{}}", "document: id is missing"},
    {START ",\"document\":{\"id\":{\"term\":1}}}", "version is missing"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"primary\":9}}", "primary is 9"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"sync_set\":512}}", "sync_set is 512"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"epoch\":1}}",
     "history ends in epoch 0, not in 1"},
    {START
     ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"epoch\":1,\"history\":[{\"epoch\":1,\"parent\":1}]}}",
     "out of order"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"history\":[1]}}", "history: not an object"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"history\":[1,2,3,4,5,6,7,8,9,10,11,12,13]}}",
     "history has 13 elements"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"members\":[{\"name\":\"a\"}]}}",
     "kind is missing"},
    {START
     ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"members\":[{\"name\":\"a\",\"kind\":\"free\"}]}}",
     "kind is \"free\""},
    {START
     ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"members\":[{\"name\":\"\",\"kind\":\"data\"}]}}",
     "without a name"},
    {START ",\"document\":{\"id\":{\"term\":1,\"version\":1},\"members\":[{\"name\":\"a\",\"kind\":\"data\"},"
           "{\"name\":\"a\",\"kind\":\"data\"}]}}",
     "a is there twice"},
};

static void bad_values_are_refused(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        Err err = {0};
        if (decode(bad_values[i].text, &err))
            fail_msg("accepted: %s", bad_values[i].text);
        assert_int_equal(err.code, ERR_PROTOCOL);
        assert_has(err.text, bad_values[i].why);
    }
}

#define ONE_EPOCH ",\"epoch\":1,\"history\":[{\"epoch\":1,\"primary\":"
#define TWO_MEMBERS                                                                                          \
    "\"members\":[{\"name\":\"pg1\",\"kind\":\"data\",\"voter\":true},{\"name\":\"w1\",\"kind\":\"witness\"}]}}"

typedef struct Row {
    const char *rest, *why; /* NULL: it is in order */
} Row;

/* Each is the rest of a document that a leader wrote, with times that are in order. */
static void assert_rows(const Row *rows, size_t count, const char *start)
{
    char text[800];

    for (size_t i = 0; i < count; i++) {
        Err err = {0};
        snprintf(text, sizeof text, "%s%s", start, rows[i].rest);
        bool ok = decode(text, &err);
        if (ok != (rows[i].why == NULL))
            fail_msg("%s\n%s", text, err.text);
        if (!ok)
            assert_has(err.text, rows[i].why);
    }
}

#define ASSERT_ROWS(rows, start) assert_rows(rows, sizeof(rows) / sizeof(rows)[0], start)
#define WRITTEN                  START ",\"document\":{\"id\":{\"term\":1,\"version\":1}"
#define IN_ORDER                 ",\"lease_ms\":1000,\"heartbeat_ms\":200"

static void slots_name_data_members(void **state)
{
    static const Row rows[] = {
        {",\"primary\":0,\"sync_set\":1" ONE_EPOCH "0}]," TWO_MEMBERS, NULL},
        {",\"primary\":1," TWO_MEMBERS, "primary is 1, which is no data member"},
        {",\"primary\":2," TWO_MEMBERS, "primary is 2, which is no data member"},
        {",\"primary\":0" ONE_EPOCH "1}]," TWO_MEMBERS,
         "the primary of epoch 1 is 1, which is no data member"},
        {",\"primary\":0" ONE_EPOCH "8}]," TWO_MEMBERS,
         "the primary of epoch 1 is 8, which is no data member"},
        {",\"primary\":0,\"sync_set\":3," TWO_MEMBERS, "sync_set has 1, which is no data member"},
        {",\"primary\":0,\"sync_set\":256," TWO_MEMBERS, "sync_set has 8, which is no data member"},
        {",\"primary\":0,\"synchronous\":true,\"sync_set\":1" ONE_EPOCH "0}]," TWO_MEMBERS, NULL},
        {",\"primary\":0,\"synchronous\":true" ONE_EPOCH "0}]," TWO_MEMBERS, "sync_set lacks the primary"},
        {",\"synchronous\":true," TWO_MEMBERS, "sync_set lacks the primary"},
        {",\"primary\":0,\"sync_set\":1,\"sync_needed\":1" ONE_EPOCH "0}]," TWO_MEMBERS,
         "sync_needed is 1, but it is asynchronous"},
        {",\"primary\":0,\"synchronous\":true,\"sync_set\":1,\"sync_needed\":1" ONE_EPOCH "0}]," TWO_MEMBERS,
         "sync_needed is 1, with 1 in sync_set"},
    };

    (void) state;
    ASSERT_ROWS(rows, WRITTEN IN_ORDER);
}

/* The history names the primary of each epoch; there is one as soon as there is an epoch. */
static void the_primary_is_the_newest_of_the_history(void **state)
{
    static const Row rows[] = {
        {"," TWO_MEMBERS, NULL},
        {",\"primary\":0," TWO_MEMBERS, "primary is 0, and -1 by its history, in epoch 0"},
        {ONE_EPOCH "0}]," TWO_MEMBERS, "primary is -1, and 0 by its history, in epoch 1"},
        {",\"primary\":0" ONE_EPOCH "-1}]," TWO_MEMBERS, "primary is 0, and -1 by its history"},
        {ONE_EPOCH "-1}]," TWO_MEMBERS, "primary is -1, and -1 by its history, in epoch 1"},
    };

    (void) state;
    ASSERT_ROWS(rows, WRITTEN IN_ORDER);
}

static void times_fit(void **state)
{
    static const Row rows[] = {
        {",\"lease_ms\":600,\"heartbeat_ms\":200," TWO_MEMBERS, NULL},
        {",\"lease_ms\":600,\"heartbeat_ms\":201," TWO_MEMBERS, "heartbeat_ms is 201 and lease_ms 600"},
        {",\"lease_ms\":600," TWO_MEMBERS, "heartbeat_ms is 0"},
        {",\"heartbeat_ms\":200," TWO_MEMBERS, "heartbeat_ms is 200 and lease_ms 0"},
        {"," TWO_MEMBERS, "heartbeat_ms is 0 and lease_ms 0"},
    };

    (void) state;
    ASSERT_ROWS(rows, WRITTEN);
}

#define MEMBER(name, more) "{\"name\":\"" name "\",\"kind\":\"data\"" more "}"
#define VOTES              ",\"voter\":true"
#define GOES               ",\"leaving\":true"
#define ID(digit)          ",\"uuid\":\"00000000-0000-0000-0000-00000000000" digit "\""

static void members_are_told_apart(void **state)
{
    static const Row rows[] = {
        {"\"members\":[" MEMBER("a", VOTES ID("1")) "," MEMBER("b", VOTES ID("2")) "]}}", NULL},
        {"\"members\":[" MEMBER("a", VOTES) "," MEMBER("b", VOTES) "]}}", NULL}, /* not heard of yet */
        {"\"members\":[" MEMBER("a", VOTES ID("1")) "," MEMBER("b", ID("1")) "]}}",
         "a and b have the same uuid"},
        {"\"members\":[" MEMBER("a", VOTES) "," MEMBER("a", "") "]}}", "a is there twice"},
        {"\"members\":[" MEMBER("a", ID("1")) "," MEMBER("b", GOES) "]}}", "nobody has a vote"},
        {"\"members\":[]}}", "nobody has a vote"},
        {"\"members\":[" MEMBER("a", VOTES GOES) "," MEMBER("b", VOTES GOES) "]}}", "2 are leaving"},
    };

    (void) state;
    ASSERT_ROWS(rows, WRITTEN IN_ORDER ",");
}

/* Nobody has a document of a term that he does not know; and terms go on rising. */
static void terms_are_known(void **state)
{
    static const Row rows[] = {
        {"{\"term\":1,\"version\":1}" IN_ORDER "," TWO_MEMBERS, NULL},
        {"{\"term\":2,\"version\":1}" IN_ORDER "," TWO_MEMBERS, "its term is higher than the sender's"},
        {"{\"term\":4503599627370496,\"version\":1}" IN_ORDER "," TWO_MEMBERS, "term is 4503599627370496"},
    };
    Err err = {0};

    (void) state;
    ASSERT_ROWS(rows, START ",\"document\":{\"id\":");
    assert_false(
        decode("{\"name\":\"a\",\"kind\":\"vote\",\"sender\":\"00000000-0000-0000-0000-000000000001\","
               "\"term\":4503599627370496}",
               &err));
    assert_has(err.text, "term is 4503599627370496");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(slots_name_data_members),
        cmocka_unit_test(the_primary_is_the_newest_of_the_history),
        cmocka_unit_test(times_fit),
        cmocka_unit_test(members_are_told_apart),
        cmocka_unit_test(terms_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
