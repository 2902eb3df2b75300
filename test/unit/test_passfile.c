/*
 * test_passfile.c: whose password is found in libpq's password file.
 */
#include "unit.h"

#include "folder.h"
#include "pg/passfile.h"

static const char *find(const char *user)
{
    static char password[64];
    const char *path = folder_write("pass", "# a comment: *:*:*:anna:no\n"
                                            "#*:*:*:postgres:no\n"
                                            "10.0.0.1:5432:replication:rep\\:licator:with\\:colon\\\\\n"
                                            "*:*:*:empty:\n"
                                            "*:*:*:postgres:first\n"
                                            "*:*:*:postgres:second\n"
                                            "short:line\n"
                                            "*:*:*:last:without newline");

    return passfile_find(path, user, password, sizeof(password)) ? password : NULL;
}

static void finds_the_first_of_a_user(void **state)
{
    (void) state;
    assert_string_equal(find("postgres"), "first");
    assert_string_equal(find("rep:licator"), "with:colon\\");
    assert_string_equal(find("last"), "without newline");
    assert_null(find("empty"));
    assert_null(find("anna"));
}

static void takes_a_line_for_everybody(void **state)
{
    char password[64];

    (void) state;
    assert_true(passfile_find(folder_write("all", "*:*:*:*:open\n"), "anna", password, sizeof(password)));
    assert_string_equal(password, "open");
}

static void has_none_without_a_file(void **state)
{
    char password[64] = "before";

    (void) state;
    assert_false(passfile_find(NULL, "anna", password, sizeof(password)));
    assert_string_equal(password, "");
    assert_false(passfile_find("", "anna", password, sizeof(password)));
    assert_false(passfile_find("/nonexistent/passfile", "anna", password, sizeof(password)));
    assert_false(passfile_find(folder_write("none", ""), "anna", password, sizeof(password)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_first_of_a_user),
        cmocka_unit_test(takes_a_line_for_everybody),
        cmocka_unit_test(has_none_without_a_file),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
