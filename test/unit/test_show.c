/*
 * test_show.c: widths, what is taken out of foreign texts, numbers, tables.
 */
#include "unit.h"

#include "cli/show.h"

#include <string.h>

static const ShowStyle plain, boxes = {.boxes = true, .width = 200}, colour = {.colour = true};

static void knows_widths(void **state)
{
    (void) state;
    assert_int_equal(show_width(""), 0);
    assert_int_equal(show_width("pg1"), 3);
    assert_int_equal(show_width("ünï"), 3);
    assert_int_equal(show_width("日本"), 4);
    assert_int_equal(show_width("e\xCC\x81"), 1); /* e and a combining accent */
    assert_int_equal(show_width("\xFFx"), 2);     /* no UTF-8 */
    assert_int_equal(show_width("\xE6\x97"), 2);  /* cut off in the middle of a character */
}

static void defuses_foreign_text(void **state)
{
    Buf out = {0};
    (void) state;

    show_text(&out, &plain, TONE_BAD, "a\033[31m\nb\x7F\xC2\x9Bü\xFF");
    assert_string_equal(out.data, "a?[31m?b??ü?");
    buf_done(&out);
    show_text(&out, &colour, TONE_BAD, "x");
    assert_string_equal(out.data, "\033[31mx\033[0m");
    buf_done(&out);
}

static void formats_numbers(void **state)
{
    char text[SHOW_NUMBER_LEN];
    (void) state;

    show_bytes(0, text);
    assert_string_equal(text, "0");
    show_bytes(1023, text);
    assert_string_equal(text, "1023 B");
    show_bytes(16777216, text);
    assert_string_equal(text, "16 MB");
    show_bytes(1536, text);
    assert_string_equal(text, "1.5 kB");
    show_bytes(UINT64_MAX, text);
    assert_string_equal(text, "16384 PB");
    show_duration(812, text);
    assert_string_equal(text, "812 ms");
    show_duration(1250, text);
    assert_string_equal(text, "1.2 s");
    show_duration(65000, text);
    assert_string_equal(text, "65 s");
    show_duration(3 * 3600 * 1000, text);
    assert_string_equal(text, "3 h");
}

static void draw(const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"Name", ">Lag", NULL};
    ShowTable table;

    show_table_init(&table, heads);
    show_table_add(&table, TONE_PLAIN, "日本");
    show_table_addf(&table, TONE_PLAIN, "%d", 12345);
    show_table_add(&table, TONE_PLAIN, NULL);
    show_table_add(&table, TONE_PLAIN, "7");
    show_table_render(&table, style, out);
    show_table_done(&table);
}

static void draws_tables(void **state)
{
    Buf out = {0};
    (void) state;

    draw(&plain, &out);
    assert_string_equal(out.data, "Name    Lag\n"
                                  "日本  12345\n"
                                  "-         7\n");
    buf_done(&out);
    draw(&boxes, &out);
    assert_string_equal(out.data, "┌──────┬───────┐\n"
                                  "│ Name │   Lag │\n"
                                  "├──────┼───────┤\n"
                                  "│ 日本 │ 12345 │\n"
                                  "│ -    │     7 │\n"
                                  "└──────┴───────┘\n");
    buf_done(&out);
}

static void cuts_the_last_column_to_the_terminal(void **state)
{
    static const char *const heads[] = {"A", "Reason", NULL};
    const ShowStyle narrow = {.boxes = true, .width = 24};
    ShowTable table;
    Buf out = {0};
    (void) state;

    show_table_init(&table, heads);
    show_table_add(&table, TONE_PLAIN, "x");
    show_table_add(&table, TONE_PLAIN, "a reason that is far too long");
    show_table_render(&table, &narrow, &out);
    show_table_done(&table);
    assert_non_null(strstr(out.data, "│ x │ a reason that i… │\n"));
    buf_done(&out);
}

static void wraps(void **state)
{
    Buf out = {0};
    (void) state;

    show_wrapped(&out, "one two three\n\nfour", 2, 9);
    assert_string_equal(out.data, "  one two\n  three\n\n  four\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_widths),
        cmocka_unit_test(defuses_foreign_text),
        cmocka_unit_test(formats_numbers),
        cmocka_unit_test(draws_tables),
        cmocka_unit_test(cuts_the_last_column_to_the_terminal),
        cmocka_unit_test(wraps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
