/*
 * test_json.c: getters that check, adders that escape.
 */
#include "unit.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

static json_t *parse(const char *text)
{
    Err err = {0};
    json_t *json = json_parse(text, strlen(text), &err);

    if (json == NULL)
        fail_msg("%s: %s", text, err.text);
    return json;
}

static void assert_refused(const char *text, const char *why)
{
    Err err = {0};

    assert_null(json_parse(text, strlen(text), &err));
    assert_int_equal(err.code, ERR_PROTOCOL);
    assert_has(err.text, why);
}

static void parses_objects_only(void **state)
{
    Err err = {0};
    char *long_text = malloc(JSON_TEXT_MAX + 2);

    (void) state;
    json_decref(parse("{}"));
    json_decref(parse("{\"a\":[1,{\"b\":null}]}"));
    assert_refused("", "not JSON");
    assert_refused("[]", "not a JSON object");
    assert_refused("{} x", "not JSON");
    assert_refused("{\"a\":1,\"a\":2}", "not JSON");
    assert_refused("{\"a\":\"\\u0000\"}", "not JSON");
    assert_refused("{\"a\":\"\xff\"}", "not JSON");
    assert_refused("{\"a\":99999999999999999999}", "not JSON");
    memset(long_text, ' ', JSON_TEXT_MAX + 1);
    memcpy(long_text, "{}", 2);
    assert_null(json_parse(long_text, JSON_TEXT_MAX + 1, &err));
    assert_has(err.text, "too long");
    json_t *json = json_parse(long_text, JSON_TEXT_MAX, &err);
    assert_non_null(json);
    json_decref(json);
    free(long_text);
}

static void gets_what_is_there(void **state)
{
    json_t *json =
        parse("{\"yes\":true,\"n\":-3,\"big\":\"18446744073709551615\",\"t\":\"ab\",\"lsn\":\"A/10\","
              "\"u\":\"00010203-0405-0607-0809-0a0b0c0d0e0f\",\"o\":{},\"a\":[1,2],\"none\":null}");
    bool yes = false;
    int64_t n = 7;
    uint64_t big = 0;
    char text[3] = "zz";
    Lsn lsn = 0;
    Uuid uuid = {{0}};
    const json_t *inner = NULL;

    (void) state;
    assert_true(json_get_bool(json, "yes", &yes, NULL) && yes);
    assert_true(json_get_number(json, "n", -3, 3, &n, NULL));
    assert_int_equal(n, -3);
    assert_true(json_get_big(json, "big", &big, NULL) && big == UINT64_MAX);
    assert_true(json_get_text(json, "t", text, sizeof text, NULL));
    assert_string_equal(text, "ab");
    assert_true(json_get_lsn(json, "lsn", &lsn, NULL) && lsn == 0xA00000010);
    assert_true(json_get_uuid(json, "u", &uuid, NULL) && uuid.byte[15] == 15);
    assert_true(json_get_object(json, "o", &inner, NULL) && json_is_object(inner));
    assert_true(json_get_array(json, "a", 2, &inner, NULL) && json_array_size(inner) == 2);
    /* Absent and null leave what was there. */
    assert_true(json_get_number(json, "none", 0, 1, &n, NULL) && n == -3);
    assert_true(json_get_text(json, "absent", text, sizeof text, NULL));
    assert_string_equal(text, "ab");
    assert_true(json_require(json, "n", NULL));
    assert_false(json_require(json, "none", NULL));
    assert_false(json_require(json, "absent", NULL));
    json_decref(json);
}

static void names_the_key_in_errors(void **state)
{
    json_t *json =
        parse("{\"a\":\"x\",\"n\":5,\"f\":1.0,\"m\":\"-1\",\"w\":\"18446744073709551616\",\"e\":\"\","
              "\"l\":[1,2,3]}");
    bool yes;
    int64_t n = 9;
    uint64_t big = 9;
    char text[2];
    Lsn lsn;
    Uuid uuid;
    const json_t *inner;
    Err err = {0};

    (void) state;
#define REFUSED(call, key, why)                                                                              \
    do {                                                                                                     \
        assert_false(call);                                                                                  \
        assert_int_equal(err.code, ERR_PROTOCOL);                                                            \
        assert_has(err.text, key " ");                                                                       \
        assert_has(err.text, why);                                                                           \
    } while (0)
    REFUSED(json_get_bool(json, "n", &yes, &err), "n", "neither true nor false");
    REFUSED(json_get_number(json, "a", 0, 9, &n, &err), "a", "whole number");
    REFUSED(json_get_number(json, "f", 0, 9, &n, &err), "f", "whole number");
    REFUSED(json_get_number(json, "n", 0, 4, &n, &err), "n", "is 5, not from 0 to 4");
    REFUSED(json_get_number(json, "n", 6, 9, &n, &err), "n", "is 5");
    REFUSED(json_get_big(json, "n", &big, &err), "n", "not a text");
    REFUSED(json_get_big(json, "m", &big, &err), "m", "decimal");
    REFUSED(json_get_big(json, "w", &big, &err), "w", "64 bits");
    REFUSED(json_get_big(json, "e", &big, &err), "e", "decimal");
    REFUSED(json_get_text(json, "m", text, sizeof text, &err), "m", "at most 1");
    REFUSED(json_get_lsn(json, "a", &lsn, &err), "a", "WAL position");
    REFUSED(json_get_uuid(json, "a", &uuid, &err), "a", "UUID");
    REFUSED(json_get_object(json, "a", &inner, &err), "a", "object");
    REFUSED(json_get_array(json, "a", 9, &inner, &err), "a", "array");
    REFUSED(json_get_array(json, "l", 2, &inner, &err), "l", "at most 2");
    assert_int_equal(n, 9);
    assert_int_equal(big, 9);
    json_decref(json);
}

static void puts_commas_where_they_belong(void **state)
{
    Buf out = {0};
    Uuid uuid = {{1}};

    (void) state;
    json_add_open(&out, NULL, '{');
    json_add_number(&out, "n", -1);
    json_add_open(&out, "a", '[');
    json_add_bool(&out, NULL, true);
    json_add_null(&out, NULL);
    json_add_open(&out, NULL, '{');
    json_add_close(&out, '}');
    json_add_close(&out, ']');
    json_add_big(&out, "b", UINT64_MAX);
    json_add_lsn(&out, "l", 0x300000060);
    json_add_uuid(&out, "u", &uuid);
    json_add_raw(&out, "r", "[1]", 3);
    json_add_time(&out, "t", 1795208371123456);
    json_add_time(&out, "z", 0);
    json_add_text(&out, "s", NULL);
    json_add_close(&out, '}');
    assert_string_equal(out.data,
                        "{\"n\":-1,\"a\":[true,null,{}],\"b\":\"18446744073709551615\",\"l\":\"3/60\","
                        "\"u\":\"01000000-0000-0000-0000-000000000000\",\"r\":[1],"
                        "\"t\":\"2026-11-20T20:59:31.123Z\",\"z\":null,\"s\":null}");
    buf_done(&out);
}

static void escapes_texts(void **state)
{
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\x7f", "\"\\u000a\\u0009\\u007f\""},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
         "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"cut \xe2\x82", "\"cut ??\""},
        {"\xc0\x80 \xed\xa0\x80 \xf5\x80\x80\x80", "\"?? ??? ????\""},
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf out = {0};
        json_add_text(&out, NULL, cases[i].text);
        assert_string_equal(out.data, cases[i].json);
        buf_done(&out);
    }
}

/* Whatever bytes a text has, what is written can be read again. */
static void writes_what_it_can_read(void **state)
{
    unsigned seed = 1;

    (void) state;
    for (int round = 0; round < 2000; round++) {
        char text[20] = "";
        for (size_t i = 0; i < sizeof text - 1; i++)
            text[i] = (char) (1 + rand_r(&seed) % 255);
        Buf out = {0};
        json_add_open(&out, NULL, '{');
        json_add_text(&out, text, text);
        json_add_close(&out, '}');
        json_decref(parse(out.data));
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_objects_only),     cmocka_unit_test(gets_what_is_there),
        cmocka_unit_test(names_the_key_in_errors), cmocka_unit_test(puts_commas_where_they_belong),
        cmocka_unit_test(escapes_texts),           cmocka_unit_test(writes_what_it_can_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
