/*
 * test_history_store.c: the history file: appending, rotating, reading around what a crash left.
 */
#include "folder.h"
#include "store/history.h"
#include "unit.h"
#include "wire/json.h"

static void must_append(const char *line)
{
    Err err = {0};

    if (!history_append(folder, "shop", line, &err))
        fail_msg("%s", err.text);
}

static void assert_history(size_t most, const char *expected)
{
    Buf out = {0};
    Err err = {0};

    if (!history_read(folder, "shop", most, &out, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.data, expected);
    buf_done(&out);
}

static void reads_the_newest(void **state)
{
    (void) state;
    assert_history(10, "[]");
    must_append("{\"n\":1}");
    must_append("{\"n\":2}");
    must_append("{\"n\":3}");
    assert_history(10, "[{\"n\":1},{\"n\":2},{\"n\":3}]");
    assert_history(2, "[{\"n\":2},{\"n\":3}]");
    assert_history(0, "[]");
}

static void bears_half_lines(void **state)
{
    (void) state;
    folder_write("shop.history", "{\"n\":1}\nrubbish\n{\"n\":2}\n{\"n\":");
    assert_history(10, "[{\"n\":1},{\"n\":2}]");
    must_append("{\"n\":4}");
    assert_history(10, "[{\"n\":1},{\"n\":2},{\"n\":4}]");
    assert_history(2, "[{\"n\":2},{\"n\":4}]");
}

static void refuses_what_is_not_a_line(void **state)
{
    char text[HISTORY_LINE_MAX + 2];
    Err err = {0};

    (void) state;
    assert_false(history_append(folder, "shop", "{}\n{}", &err));
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(history_append(folder, "shop", text, &err));
    assert_false(file_exists(folder_path("shop.history")));
    assert_false(history_append(folder_path("none"), "shop", "{}", &err));
    assert_int_equal(err.code, ERR_IO);
}

static void rotates(void **state)
{
    char text[1024];
    Buf out = {0};
    Err err = {0};
    int count = 0;

    (void) state;
    while (!file_exists(folder_path("shop.history.1"))) {
        snprintf(text, sizeof text, "{\"n\":%d,\"fill\":\"%0990d\"}", ++count, 0);
        must_append(text);
        assert_in_range(count, 1, 1100);
    }
    assert_true(count > 1000);
    assert_true(history_read(folder, "shop", 3, &out, &err)); /* one from the new file, two from the old */
    json_error_t error;
    json_t *entries = json_loads(out.data, 0, &error);
    assert_int_equal(json_array_size(entries), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(json_integer_value(json_object_get(json_array_get(entries, (size_t) i), "n")),
                         count - 2 + i);
    json_decref(entries);
    buf_done(&out);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_the_newest),
        TEST(bears_half_lines),
        TEST(refuses_what_is_not_a_line),
        TEST(rotates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
