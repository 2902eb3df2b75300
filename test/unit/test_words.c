/*
 * test_words.c: command lines split into words, with placeholders.
 */
#include "sys/words.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const WordsValue values[] = {
    {"data_directory", "/srv/my data/it's \"15\""},
    {"host", "h"},
    {"slot", NULL},
    {NULL, NULL},
};

/* The words in <>, or the error. */
static const char *split(const char *line)
{
    static char text[WORDS_TEXT_LEN + 4 * WORDS_MAX];
    static Words words;
    Err err = {0};
    size_t used = 0;

    if (!words_split(line, values, &words, &err)) {
        assert_int_equal(err.code, ERR_CONFIG);
        snprintf(text, sizeof text, "%s", err.text);
        return text;
    }
    assert_null(words.word[words.count]);
    text[0] = '\0';
    for (size_t i = 0; i < words.count; i++)
        used += (size_t) snprintf(text + used, sizeof text - used, "<%s>", words.word[i]);
    return text;
}

static void words(void **state)
{
    (void) state;
    assert_string_equal(split("pg_ctl start"), "<pg_ctl><start>");
    assert_string_equal(split("  a \t b  "), "<a><b>");
    assert_string_equal(split("sh -c 'a && b \"c\" \\d'"), "<sh><-c><a && b \"c\" \\d>");
    assert_string_equal(split("a \"b \\\" \\\\ \\n 'c'\""), "<a><b \" \\ \\n 'c'>");
    assert_string_equal(split("a\\ b c\\'d e\\\\f g\\"), "<a b><c'd><e\\f><g\\>");
    assert_string_equal(split("a '' \"\" b''c"), "<a><><><bc>");
    assert_string_equal(split("a$HOME *.c ~ ;"), "<a$HOME><*.c><~><;>");
}

static void placeholders(void **state)
{
    (void) state;
    assert_string_equal(split("a %host%"), "<a><h>");
    assert_string_equal(split("a -h%host%:%host% 100%%"), "<a><-hh:h><100%>");
    /* One word, whatever is in it; and in quotes as well. */
    assert_string_equal(split("a -D %data_directory%"), "<a><-D></srv/my data/it's \"15\">");
    assert_string_equal(split("a '%host% %slot%'"), "<a><h >");
    assert_string_equal(split("a %slot% b"), "<a><><b>");
    assert_true(words_has("a %host%", "host"));
    assert_true(words_has("a 5%% '%host%'", "host"));
    assert_false(words_has("a %%host%%", "host"));
    assert_false(words_has("a %hos% %host", "host"));
}

static void wrong(void **state)
{
    char line[WORDS_LINE_LEN + 1];

    (void) state;
    assert_non_null(
        strstr(split("a %hots%"), "%hots% is no placeholder; there are %data_directory% %host% %slot%"));
    assert_non_null(strstr(split("a 5% b"), "per cent sign alone"));
    assert_non_null(strstr(split("a %host"), "per cent sign alone"));
    assert_non_null(strstr(split("a 'b"), "' that is not closed"));
    assert_non_null(strstr(split("a \"b"), "\" that is not closed"));
    assert_non_null(strstr(split(""), "names no program"));
    assert_non_null(strstr(split("  "), "names no program"));
    assert_non_null(strstr(split("'' a"), "names no program"));
    memset(line, 'a', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_non_null(strstr(split(line), "longer than 1023 characters"));
    line[WORDS_LINE_LEN - 1] = '\0';
    assert_null(strstr(split(line), "longer"));
    for (size_t i = 0; i < 2 * (WORDS_MAX + 1); i += 2)
        memcpy(line + i, "a ", 3);
    assert_non_null(strstr(split(line), "more than 64 words"));
    line[2 * WORDS_MAX] = '\0';
    assert_null(strstr(split(line), "more than"));
}

static void long_values(void **state)
{
    static char value[WORDS_TEXT_LEN];
    static Words result;
    WordsValue one[] = {{"v", value}, {NULL, NULL}};
    Err err = {0};

    (void) state;
    for (size_t len = WORDS_TEXT_LEN - 8; len < WORDS_TEXT_LEN; len++) {
        memset(value, 'x', len);
        value[len] = '\0';
        bool fits = words_split("a %v% b", one, &result, &err);
        assert_int_equal(fits, len + strlen("a") + strlen("b") + 3 <= WORDS_TEXT_LEN);
        if (fits)
            assert_string_equal(result.word[2], "b");
        else
            assert_non_null(strstr(err.text, "longer than"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(placeholders),
        cmocka_unit_test(wrong),
        cmocka_unit_test(long_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
