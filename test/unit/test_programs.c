/*
 * test_programs.c: where PostgreSQL's programs are looked for.
 */
#include "folder.h"
#include "sys/programs.h"
#include "unit.h"

#include <unistd.h>

static void given(void **state)
{
    char path[PATH_MAX];
    Err err = {0};

    (void) state;
    assert_false(programs_find(folder, NULL, path, sizeof path, &err));
    assert_has(err.text, "[postgresql] bin_directory: there is no program postgres in /tmp/");
    folder_write("postgres", "");
    chmod(folder_path("postgres"), 0755);
    assert_true(programs_find(folder, "/nowhere", path, sizeof path, &err));
    assert_string_equal(path, folder);
}

static void by_the_data_directory(void **state)
{
    char path[PATH_MAX];
    Err err = {0};

    (void) state;
    setenv("PATH", "/nowhere", 1);
    folder_write("PG_VERSION", "7\n"); /* older than anything installed */
    assert_false(programs_find("", folder, path, sizeof path, &err));
    assert_has(err.text, "the programs of PostgreSQL 7 are not found");
}

static void in_path_at_last(void **state)
{
    char path[PATH_MAX], search[PATH_MAX];

    (void) state;
    folder_write("PG_VERSION", "7\n");
    folder_write("postgres", "");
    chmod(folder_path("postgres"), 0755);
    snprintf(search, sizeof search, "/nowhere:%s", folder);
    setenv("PATH", search, 1);
    assert_true(programs_find("", folder, path, sizeof path, NULL));
    assert_string_equal(path, folder);
}

static void what_execvp_would_run(void **state)
{
    char path[PATH_MAX], search[PATH_MAX];

    (void) state;
    folder_write("tool", "");
    snprintf(search, sizeof search, "/nowhere:%s:/", folder);
    setenv("PATH", search, 1);
    assert_false(programs_in_path("tool", path, sizeof path)); /* nobody may run it yet */
    chmod(folder_path("tool"), 0755);
    assert_true(programs_in_path("tool", path, sizeof path));
    assert_string_equal(path, folder_path("tool"));
    assert_true(programs_in_path(folder_path("tool"), path, sizeof path));
    assert_false(programs_in_path("./tool", path, sizeof path)); /* a slash: not by PATH */
    assert_false(programs_in_path("tmp", path, sizeof path));    /* a folder of / */
    assert_false(programs_in_path("tool", path, 4));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(given), IN_FOLDER(by_the_data_directory),
                                       IN_FOLDER(in_path_at_last), IN_FOLDER(what_execvp_would_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
