/*
 * test_deadline.c: the agent's fence file: what is found there, and what if somebody takes it away.
 */
#include "agent/deadline.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void) state;
    snprintf(folder, sizeof folder, "/tmp/pgvigil-deadline-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int drop_folder(void **state)
{
    char path[128];

    (void) state;
    snprintf(path, sizeof path, "%s/c-m.fence", folder);
    unlink(path);
    return rmdir(folder);
}

static void is_found_again(void **state)
{
    const Fence fence = {.epoch = 3, .until = {.raw_us = 5, .boot_us = 6}, .names = "x"};
    Deadline first, second;
    Err err = {0};

    (void) state;
    assert_true(deadline_open(&first, folder, "c", "m", &err));
    deadline_set(&first,
                 &(Fence){0}); /* the first word counts, whatever it is: closed is not the same as unknown */
    Fence read;
    assert_true(fence_read(first.file, &read));
    deadline_set(&first, &fence);
    deadline_done(&first);
    assert_true(deadline_open(&second, folder, "c", "m", &err));
    assert_true(fence_equal(&second.fence, &fence));
    deadline_done(&second);
}

static void a_new_file_is_not_readable(void **state)
{
    Deadline deadline;
    Fence read;
    Err err = {0};

    (void) state;
    assert_true(deadline_open(&deadline, folder, "c", "m", &err));
    unlink(deadline.path);
    deadline_done(&deadline);
    assert_true(deadline_open(&deadline, folder, "c", "m", &err));
    assert_false(fence_read(deadline.file, &read));
    deadline_done(&deadline);
}

static void is_made_again(void **state)
{
    const Fence fence = {.epoch = 3, .until = {.raw_us = 5, .boot_us = 6}};
    Deadline deadline;
    Fence read;
    Err err = {0};
    bool changed;

    (void) state;
    assert_true(deadline_open(&deadline, folder, "c", "m", &err));
    deadline_set(&deadline, &fence);
    deadline.file->guard_pid = 77;
    assert_true(deadline_reopen(&deadline, &changed, &err));
    assert_false(changed);
    FenceFile *old = deadline.file;
    uint64_t inode = deadline.inode;
    char path[600];
    snprintf(path, sizeof path, "%s.kept",
             deadline.path); /* or the new file could get the old one's number */
    assert_int_equal(rename(deadline.path, path), 0);
    assert_true(deadline_reopen(&deadline, &changed, &err));
    assert_true(changed);
    assert_int_equal(old->guard_pid, 0); /* its guard would see a deadline that nobody moves on */
    assert_false(deadline_is(&deadline, deadline.device, inode));
    assert_true(fence_read(deadline.file, &read));
    assert_true(fence_equal(&read, &fence));
    unlink(path);
    deadline_done(&deadline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_found_again, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_new_file_is_not_readable, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(is_made_again, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
