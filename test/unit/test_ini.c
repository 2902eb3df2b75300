/*
 * test_ini.c: lines of an INI file with their numbers, and what is no line of one.
 */
#include "config/ini.h"
#include "config/suggest.h"
#include "folder.h"
#include "unit.h"

static char seen[8192];

static void on_entry(void *arg, const IniEntry *entry)
{
    size_t used = strlen(seen);

    (void) arg;
    snprintf(seen + used, sizeof seen - used, "%d[%s]%s=%s|", entry->line, entry->section, entry->key,
             entry->value);
}

static void on_problem(void *arg, int line, const char *text)
{
    size_t used = strlen(seen);

    (void) arg;
    snprintf(seen + used, sizeof seen - used, "%d!%s|", line, text);
}

static const char *read_text(const char *text)
{
    Err err = {0};

    seen[0] = '\0';
    if (!ini_read(folder_write("ini", text), on_entry, on_problem, NULL, &err))
        fail_msg("%s", err.text);
    return seen;
}

static void lines_and_sections(void **state)
{
    (void) state;
    assert_string_equal(read_text("# c\n[a]\nx = 1\n\n; c\n[b]\r\n  y=2 = 3 ; c\n\tz =\nw = a;b"),
                        "3[a]x=1|7[b]y=2 = 3|8[b]z=|9[b]w=a;b|");
    assert_string_equal(read_text("x=1\n"), "1[]x=1|");
    assert_string_equal(read_text("\xEF\xBB\xBF[a]\nx=1"), "2[a]x=1|");
    assert_string_equal(read_text(""), "");
    /* inih would take the indented line for more of the first value. */
    assert_string_equal(read_text("[a]\n  x = 1\n  y = 2\n  y = 3\n"), "2[a]x=1|3[a]y=2|4[a]y=3|");
}

static void what_is_no_line(void **state)
{
    (void) state;
    assert_string_equal(
        read_text("[a]\nnonsense\nx=1\n[b\n[c = d\n"),
        "2!\"nonsense\" is neither [section] nor key = value|3[a]x=1|4!\"[b\" is neither [section] nor "
        "key = value|5!\"[c = d\" is neither [section] nor key = value|");
}

static void long_lines(void **state)
{
    char text[700];

    (void) state;
    memset(text, 'v', sizeof text);
    memcpy(text, "[a]\nk=", 6);
    text[4 + INI_LINE_MAX] = '\0'; /* just fits */
    assert_has(read_text(text), "2[a]k=vvv");
    assert_null(strchr(seen, '!'));
    text[4 + INI_LINE_MAX] = 'v';
    text[4 + INI_LINE_MAX + 1] = '\0';
    assert_string_equal(read_text(text), "2!the line is longer than 197 characters|");
    text[4 + INI_LINE_MAX + 1] = 'v';
    strcpy(text + 600, "\nl=1");
    assert_string_equal(read_text(text), "2!the line is longer than 197 characters|3[a]l=1|");
}

static void no_text_file(void **state)
{
    Err err = {0};
    FILE *file = fopen(folder_path("bin"), "w");

    (void) state;
    fwrite("[a]\n\0x=1", 1, 8, file);
    fclose(file);
    assert_false(ini_read(folder_path("bin"), on_entry, on_problem, NULL, &err));
    assert_has(err.text, "not a text file");
    assert_false(ini_read(folder_path("none"), on_entry, on_problem, NULL, &err));
    assert_false(ini_read(folder, on_entry, on_problem, NULL, &err));
}

static const char *nearest(const char *word)
{
    Suggest suggest = suggest_for(word);

    suggest_offer(&suggest, "lease");
    suggest_offer(&suggest, "heartbeat");
    suggest_offer(&suggest, "maximum_lag");
    return suggest_best(&suggest);
}

static void suggestions(void **state)
{
    (void) state;
    assert_string_equal(nearest("leese"), "lease");
    assert_string_equal(nearest("laese"), "lease");
    assert_string_equal(nearest("heart_beat"), "heartbeat");
    assert_string_equal(nearest("max_lag") != NULL ? nearest("max_lag") : "none", "none");
    assert_null(nearest("x"));
    assert_null(nearest("something_else_entirely_that_is_longer_than_all_of_them"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_and_sections), IN_FOLDER(what_is_no_line),    IN_FOLDER(long_lines),
        IN_FOLDER(no_text_file),       cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
