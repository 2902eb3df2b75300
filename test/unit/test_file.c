/*
 * test_file.c: whole files, locks, trees with links in them.
 */
#include "folder.h"
#include "sys/file.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_content(const char *path, const char *expected)
{
    Buf buf = {0};
    Err err = {0};

    if (!file_read(path, 100000, &buf, &err))
        fail_msg("%s", err.text);
    assert_string_equal(buf.data != NULL ? buf.data : "", expected);
    buf_done(&buf);
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static void reads_with_a_bound(void **state)
{
    Buf buf = {0};
    Err err = {0};

    (void) state;
    folder_write("a", "12345");
    assert_true(file_read(folder_path("a"), 5, &buf, &err));
    assert_int_equal(buf.len, 5);
    assert_false(file_read(folder_path("a"), 4, &buf, &err));
    assert_int_equal(errno, EFBIG);
    assert_has(err.text, "larger than 4 bytes");
    assert_false(file_read(folder_path("none"), 4, &buf, &err));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(err.code, ERR_IO);
    assert_has(err.text, folder_path("none"));
    assert_false(file_read(folder, 4, &buf, &err));
    assert_has(err.text, "not a regular file");
    assert_int_equal(mkfifo(folder_path("fifo"), 0600), 0);
    assert_false(file_read(folder_path("fifo"), 4, &buf, &err)); /* and does not wait */
    buf_done(&buf);
}

static void writes_at_once(void **state)
{
    struct stat st;
    Err err = {0};

    (void) state;
    assert_true(file_write_atomic(folder_path("b"), "one", 3, 0600, &err));
    assert_content(folder_path("b"), "one");
    assert_true(file_write_atomic(folder_path("b"), "three", 5, 0640, &err));
    assert_content(folder_path("b"), "three");
    assert_int_equal(stat(folder_path("b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(entries(folder), 1); /* nothing temporary is left */
    assert_false(file_write_atomic(folder_path("no/such/dir"), "x", 1, 0600, &err));
    assert_int_equal(mkdir(folder_path("d"), 0700), 0);
    assert_false(file_write_atomic(folder_path("d"), "x", 1, 0600, &err));
    assert_int_equal(entries(folder), 2);
}

static void appends_lines(void **state)
{
    (void) state;
    assert_true(file_append_line(folder_path("log"), "one", NULL));
    assert_true(file_append_line(folder_path("log"), "two", NULL));
    assert_content(folder_path("log"), "one\ntwo\n");
    folder_write("torn", "one\ntw");
    assert_true(file_append_line(folder_path("torn"), "three", NULL));
    assert_content(folder_path("torn"), "one\ntw\nthree\n");
    assert_false(file_append_line(folder_path("no/log"), "x", NULL));
}

static void sees_empty_directories(void **state)
{
    bool empty = false;

    (void) state;
    assert_true(dir_is_empty(folder, &empty, NULL) && empty);
    assert_true(dir_is_empty(folder_path("none"), &empty, NULL) && empty);
    folder_write("x", "");
    assert_true(dir_is_empty(folder, &empty, NULL) && !empty);
    assert_false(dir_is_empty(folder_path("x"), &empty, NULL));
}

static void makes_directories(void **state)
{
    struct stat st;
    Err err = {0};

    (void) state;
    assert_true(dir_make(folder_path("a//b/c/"), 0700, &err));
    assert_int_equal(stat(folder_path("a/b/c"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(dir_make(folder_path("a/b/c"), 0755, &err));
    folder_write("file", "");
    assert_false(dir_make(folder_path("file/x"), 0700, &err));
    assert_false(dir_make(folder_path("file"), 0700, &err));
    assert_int_equal(errno, ENOTDIR);
}

static void removes_and_follows_no_link(void **state)
{
    Err err = {0};

    (void) state;
    dir_make(folder_path("tree/a/b"), 0700, NULL);
    dir_make(folder_path("outside"), 0700, NULL);
    folder_write("outside/precious", "x");
    folder_write("tree/a/b/file", "x");
    assert_int_equal(symlink("../../outside", folder_path("tree/a/link")), 0);
    assert_int_equal(symlink("nowhere", folder_path("tree/dangling")), 0);
    assert_int_equal(symlink("tree", folder_path("top")), 0);
    assert_false(file_remove_tree(folder_path("top"), &err)); /* a link is not a tree */
    assert_false(file_empty_dir(folder_path("top"), &err));
    assert_true(file_exists(folder_path("tree/a/b/file")));
    assert_true(file_remove_tree(folder_path("tree"), &err));
    assert_false(file_exists(folder_path("tree")));
    assert_content(folder_path("outside/precious"), "x");
    assert_true(file_remove_tree(folder_path("tree"), &err)); /* nothing there */
    assert_true(file_empty_dir(folder_path("tree"), &err));
}

static void empties_but_keeps(void **state)
{
    bool empty;

    (void) state;
    dir_make(folder_path("tree/a/b"), 0700, NULL);
    folder_write("tree/x", "x");
    assert_true(file_empty_dir(folder_path("tree"), NULL));
    assert_true(dir_is_empty(folder_path("tree"), &empty, NULL) && empty);
    assert_true(file_exists(folder_path("tree")));
}

static void a_tree_has_a_depth(void **state)
{
    char path[1200];
    size_t used = (size_t) snprintf(path, sizeof path, "%s/deep", folder);
    Err err = {0};

    (void) state;
    for (int i = 0; i < 100; i++)
        used += (size_t) snprintf(path + used, sizeof path - used, "/d");
    assert_true(dir_make(path, 0700, NULL));
    assert_false(file_remove_tree(folder_path("deep"), &err));
    assert_int_equal(errno, ELOOP);
    path[strlen(folder) + 5 + 2 * 50] = '\0';
    assert_true(file_remove_tree(path, &err)); /* for the teardown */
}

static void copies_with_mode(void **state)
{
    struct stat st;
    Err err = {0};

    (void) state;
    folder_write("from", "some text");
    chmod(folder_path("from"), 0640);
    folder_write("to", "a much longer text that was there before");
    assert_true(file_copy(folder_path("from"), folder_path("to"), &err));
    assert_content(folder_path("to"), "some text");
    stat(folder_path("to"), &st);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_false(file_copy(folder_path("none"), folder_path("to"), &err));
    assert_false(file_copy(folder, folder_path("to"), &err));
    assert_content(folder_path("to"), "some text");
}

static void locks_once(void **state)
{
    int fd = -1, other = -1;
    char expected[64];
    Err err = {0};

    (void) state;
    assert_true(file_lock(folder_path("lock"), &fd, &err));
    assert_false(file_lock(folder_path("lock"), &other, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    snprintf(expected, sizeof expected, "process %d ", (int) getpid());
    assert_has(err.text, expected);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(open(folder_path("lock"), O_RDWR)); /* does not drop it */
    assert_false(file_lock(folder_path("lock"), &other, &err));
    close(fd);
    assert_true(file_lock(folder_path("lock"), &other, &err));
    close(other);
}

static void a_lock_ends_with_its_process(void **state)
{
    int fd = -1, status;
    pid_t child = fork();

    (void) state;
    if (child == 0)
        _exit(file_lock(folder_path("lock"), &fd, NULL) ? 0 : 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(file_lock(folder_path("lock"), &fd, NULL));
    close(fd);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(reads_with_a_bound),
        IN_FOLDER(writes_at_once),
        IN_FOLDER(appends_lines),
        IN_FOLDER(sees_empty_directories),
        IN_FOLDER(makes_directories),
        IN_FOLDER(removes_and_follows_no_link),
        IN_FOLDER(empties_but_keeps),
        IN_FOLDER(a_tree_has_a_depth),
        IN_FOLDER(copies_with_mode),
        IN_FOLDER(locks_once),
        IN_FOLDER(a_lock_ends_with_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
