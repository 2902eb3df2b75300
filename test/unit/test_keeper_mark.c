/*
 * test_keeper_mark.c: a file that was marked here, a copy of it, and what cannot be told.
 */
#include "folder.h"
#include "keeper/mark.h"
#include "unit.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *file, *mark;

/* A file that is marked. */
static void make(void)
{
    Err err = {0};

    file = folder_write("state", "x");
    mark = folder_path("inode");
    if (!mark_settle(file, mark, &err))
        fail_msg("%s", err.text);
}

static void knows_what_was_marked(void **state)
{
    Err err = {0};

    (void) state;
    make();
    assert_int_equal(mark_look(file, mark, &err), MARK_SAME);
    assert_int_equal(unlink(mark), 0);
    assert_int_equal(mark_look(file, mark, &err), MARK_OTHER);
}

static void knows_a_copy(void **state)
{
    const char *copy = folder_path("copy");
    Err err = {0};

    (void) state;
    make();
    assert_true(file_copy(file, copy, &err));
    assert_int_equal(mark_look(copy, mark, &err), MARK_OTHER);
    assert_true(mark_settle(copy, mark, &err));
    assert_int_equal(mark_look(copy, mark, &err), MARK_SAME);
    assert_int_equal(mark_look(file, mark, &err), MARK_OTHER);
}

static void what_is_no_mark_is_another(void **state)
{
    Err err = {0};

    (void) state;
    make();
    folder_write("inode", "0123456789012345678901234567890123456789012345678901234567890123456789");
    assert_int_equal(mark_look(file, mark, &err), MARK_OTHER);
    assert_int_equal(unlink(mark), 0);
    assert_int_equal(mkdir(mark, 0700), 0);
    assert_int_equal(mark_look(file, mark, &err), MARK_OTHER);
}

static void without_a_file_there_is_nothing_to_mark(void **state)
{
    Err err = {0};

    (void) state;
    make();
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mark_look(file, mark, &err), MARK_NO_FILE);
    assert_false(mark_settle(file, mark, &err));
    assert_non_null(strstr(err.text, "is not there"));
}

static void without_descriptors_it_cannot_tell(void **state)
{
    struct rlimit before, none;
    Err err = {0}, settled = {0};

    (void) state;
    make();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    Mark found = mark_look(file, mark, &err);
    bool ok = mark_settle(file, mark, &settled);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(found, MARK_UNKNOWN);
    assert_non_null(strstr(err.text, mark));
    assert_non_null(strstr(err.text, strerror(EMFILE)));
    assert_false(ok);
    assert_string_equal(settled.text, err.text);
    assert_int_equal(mark_look(file, mark, &err), MARK_SAME);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(knows_what_was_marked),
        TEST(knows_a_copy),
        TEST(what_is_no_mark_is_another),
        TEST(without_a_file_there_is_nothing_to_mark),
        TEST(without_descriptors_it_cannot_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
