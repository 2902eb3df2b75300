/*
 * test_tags.c: the words of [node] tags.
 */
#include "config/tags.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static OptionList list_of(const char *const *words, size_t count)
{
    return (OptionList){.item = words, .count = count};
}

static bool reads(const char *word)
{
    OptionList list = list_of(&word, 1);
    Tag tags[TAGS_MAX];
    size_t count;
    Err err = {0};

    bool ok = tags_read(&list, tags, &count, &err);
    assert_true(ok || err.code == ERR_CONFIG);
    return ok;
}

static void values(void **state)
{
    static const char *const words[] = {"noloadbalance=on", "nofailover=no", "zone=b-1", "priority=0"};
    OptionList list = list_of(words, 4);
    Tag tags[TAGS_MAX];
    size_t count;

    (void) state;
    assert_true(tags_read(&list, tags, &count, NULL));
    assert_int_equal(count, 4);
    assert_string_equal(tags[0].value, "true");
    assert_string_equal(tags[1].value, "false");
    assert_true(tags[1].is_bool && !tags[2].is_bool);
    assert_string_equal(tags[2].key, "zone");
    assert_string_equal(tags[2].value, "b-1");
    assert_string_equal(tags[3].value, "0");
    assert_true(tags_is_set(&list, "noloadbalance"));
    assert_false(tags_is_set(&list, "nofailover"));
    assert_false(tags_is_set(&list, "zone"));
    assert_false(tags_is_set(&list, "nosync"));
}

static void wrong_words(void **state)
{
    static const char *const twice[] = {"zone=a", "zone=b"};
    OptionList list = list_of(twice, 2);
    Tag tags[TAGS_MAX];
    size_t count;
    Err err = {0};

    (void) state;
    assert_true(reads("a=b"));
    assert_true(reads("a=b=c"));
    assert_false(reads("a"));
    assert_false(reads("a="));
    assert_false(reads("=b"));
    assert_false(reads("a.b=c"));
    assert_false(reads("noloadbalance=maybe"));
    assert_false(reads("a_key_that_is_far_too_long_for_a_tag=1"));
    assert_false(tags_read(&list, tags, &count, &err));
    assert_has(err.text, "twice");
}

static void too_many(void **state)
{
    const char *words[TAGS_MAX + 1];
    char text[TAGS_MAX + 1][8];
    Tag tags[TAGS_MAX];
    size_t count;

    (void) state;
    for (int i = 0; i <= TAGS_MAX; i++) {
        snprintf(text[i], sizeof text[i], "k%d=v", i);
        words[i] = text[i];
    }
    OptionList list = list_of(words, TAGS_MAX), more = list_of(words, TAGS_MAX + 1);
    assert_true(tags_read(&list, tags, &count, NULL));
    assert_false(tags_read(&more, tags, &count, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(wrong_words),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
