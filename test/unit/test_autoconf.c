/*
 * test_autoconf.c: editing postgresql.auto.conf: quoting, duplicates, foreign and broken lines, cut files.
 */
#include "unit.h"

#include "pg/autoconf.h"
#include "sys/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char edited[8192];

static bool edit(const char *text, const Setting *settings, size_t count)
{
    Buf out = {0};
    Err err = {0};
    bool ok = autoconf_edit(text, settings, count, &out, &err);

    snprintf(edited, sizeof edited, "%s", out.data != NULL ? out.data : "");
    buf_done(&out);
    return ok;
}

static void test_sets_and_removes(void **state)
{
    static const Setting set[] = {{"primary_conninfo", "host=a"}, {"primary_slot_name", NULL}};

    (void) state;
    assert_true(
        edit("# Do not edit\nwork_mem = '4MB'\nprimary_slot_name = 'x'\nprimary_conninfo = 'old'\n", set, 2));
    assert_string_equal(edited, "# Do not edit\nwork_mem = '4MB'\nprimary_conninfo = 'host=a'\n");
    assert_true(edit("", set, 2));
    assert_string_equal(edited, "primary_conninfo = 'host=a'\n");
}

static void test_all_occurrences(void **state)
{
    static const Setting set[] = {{"a", "2"}};

    (void) state;
    assert_true(edit("a = 1\nA='x'\n  a 7 # comment\nab = 1\na.b = 1\n#a = 3\na\n", set, 1));
    assert_string_equal(edited, "ab = 1\na.b = 1\n#a = 3\na = '2'\n");
}

static void test_cut_files(void **state)
{
    static const Setting set[] = {{"a", "1"}};

    (void) state;
    assert_true(edit("b = '2'", set, 1)); /* no newline at the end */
    assert_string_equal(edited, "b = '2'\na = '1'\n");
    assert_true(edit("b = '2'\na = 'half", set, 1)); /* cut within our value */
    assert_string_equal(edited, "b = '2'\na = '1'\n");
    assert_true(edit("a", set, 1));
    assert_string_equal(edited, "a = '1'\n");
    assert_true(edit("b = 'foreign and cut", set, 1)); /* not ours to mend */
    assert_string_equal(edited, "b = 'foreign and cut\na = '1'\n");
}

static void test_quoting_round_trip(void **state)
{
    static const char *const values[] = {
        "", "plain", "it's", "back\\slash", "'\\'", "a=b c='d e'", "\\n", "''", "host=x password='p\\'w'"};
    char value[256];

    (void) state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        Setting set = {"k", values[i]};
        assert_true(edit("", &set, 1));
        assert_true(autoconf_find(edited, "k", value, sizeof value));
        assert_string_equal(value, values[i]);
    }
}

static void test_find(void **state)
{
    char value[16];

    (void) state;
    assert_true(autoconf_find("a = 1\na = 'two'\n", "a", value, sizeof value));
    assert_string_equal(value, "two");
    assert_true(autoconf_find("A 3 # c\n", "a", value, sizeof value));
    assert_string_equal(value, "3");
    assert_true(autoconf_find("a='x\\'y''z\\101\\t'", "a", value, sizeof value));
    assert_string_equal(value, "x'y'zA\t");
    assert_false(
        autoconf_find("a = 1\na = 'cut", "a", value, sizeof value)); /* PostgreSQL would not start with it */
    assert_false(autoconf_find("ab = 1\n# a = 1\n", "a", value, sizeof value));
    assert_false(autoconf_find("a = 'far too long a value'\n", "a", value, sizeof value));
    assert_string_equal(value, "");
}

static void test_refused(void **state)
{
    char big[AUTOCONF_VALUE_LEN + 2];

    (void) state;
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    Setting line_break = {"a", "x\ny"}, no_name = {"a b", "x"}, empty = {"", "x"}, too_long = {"a", big};
    assert_false(edit("", &line_break, 1));
    assert_false(edit("", &no_name, 1));
    assert_false(edit("", &empty, 1));
    assert_false(edit("", &too_long, 1));
}

static void test_write(void **state)
{
    char directory[] = "/tmp/pgvigil-autoconf-XXXXXX", path[128], value[64];
    static const Setting set[] = {{"a", "1"}, {"b", "x'y"}};
    bool changed, found;
    struct stat st;

    (void) state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/" AUTOCONF_NAME, directory);
    assert_true(autoconf_write(directory, set, 2, &changed, NULL));
    assert_true(changed);
    assert_true(autoconf_write(directory, set, 2, &changed, NULL));
    assert_false(changed);
    assert_true(autoconf_read(directory, "b", value, sizeof value, &found, NULL));
    assert_true(found);
    assert_string_equal(value, "x'y");
    assert_true(autoconf_read(directory, "c", value, sizeof value, &found, NULL));
    assert_false(found);
    assert_int_equal(chmod(path, 0640), 0);
    Setting other = {"c", "3"};
    assert_true(autoconf_write(directory, &other, 1, &changed, NULL));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true(file_remove_tree(directory, NULL));
    assert_false(autoconf_write(directory, set, 2, &changed, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_and_removes),
        cmocka_unit_test(test_all_occurrences),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_quoting_round_trip),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
