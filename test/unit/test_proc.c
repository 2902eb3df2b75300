/*
 * test_proc.c: finding and watching processes that look like a server's.
 */
#include "folder.h"
#include "sys/clock.h"
#include "sys/loop.h"
#include "sys/proc.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static pid_t started[16];
static int start_count;

/* The program is a copy of sleep, named postgres. */
static int setup(void **state)
{
    start_count = 0;
    if (uv_loop_init(&loop) != 0 || folder_setup(state) != 0)
        return -1;
    dir_make(folder_path("data"), 0700, NULL);
    dir_make(folder_path("other"), 0700, NULL);
    return file_copy("/bin/sleep", folder_path("postgres"), NULL) &&
                   file_copy("/bin/sleep", folder_path("psql"), NULL)
               ? 0
               : -1;
}

static int teardown(void **state)
{
    for (int i = 0; i < start_count; i++)
        if (started[i] > 0) {
            kill(started[i], SIGKILL);
            waitpid(started[i], NULL, 0);
        }
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) != 0 || folder_teardown(state) != 0 ? -1 : 0;
}

static pid_t start(const char *program, const char *dir, const char *title)
{
    int ready[2];
    char c;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(folder_path(dir)) == 0)
            execl(folder_path(program), title, "60", (char *) NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 0); /* closed by exec */
    close(ready[0]);
    started[start_count++] = pid;
    return pid;
}

/* A signal that was sent has not yet ended anything. */
static void wait_ended(pid_t pid)
{
    assert_int_equal(waitid(P_PID, (id_t) pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
}

static bool is_in(pid_t pid, const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

static void lists_the_servers_processes(void **state)
{
    pid_t pids[8] = {0};

    (void) state;
    pid_t postmaster = start("postgres", "data", "postgres");
    pid_t orphan = start("postgres", "data", "postgres: writer");
    start("postgres", "other", "postgres");
    start("psql", "data", "psql");
    assert_int_equal(symlink("data", folder_path("link")), 0);
    assert_int_equal(proc_list_in(folder_path("link"), pids, 8), 2);
    assert_true(is_in(postmaster, pids, 2) && is_in(orphan, pids, 2));
    memset(pids, 0, sizeof pids);
    assert_int_equal(proc_list_in(folder_path("data"), pids, 1), 2); /* more than there was room for */
    assert_int_equal(pids[1], 0);
    assert_int_equal(proc_list_in(folder_path("none"), pids, 8), 0);
}

static void an_upgraded_program_still_counts(void **state)
{
    pid_t pids[8];
    char name[32];

    (void) state;
    pid_t pid = start("postgres", "data", "postgres");
    unlink(folder_path("postgres"));
    assert_true(proc_program(pid, name, sizeof name));
    assert_string_equal(name, "postgres");
    assert_int_equal(proc_list_in(folder_path("data"), pids, 8), 1);
}

static void zombies_do_not_count(void **state)
{
    pid_t pids[8];

    (void) state;
    pid_t pid = start("postgres", "data", "postgres");
    assert_true(proc_is_alive(pid));
    kill(pid, SIGKILL);
    wait_ended(pid);
    assert_false(proc_is_alive(pid));
    assert_int_equal(proc_list_in(folder_path("data"), pids, 8), 0);
}

static void signals_only_the_servers(void **state)
{
    (void) state;
    start("postgres", "data", "postgres");
    start("postgres", "data", "postgres: x");
    pid_t other = start("postgres", "other", "postgres");
    assert_int_equal(proc_signal_in(folder_path("data"), SIGKILL), 2);
    for (int i = 0; i < 2; i++)
        wait_ended(started[i]);
    assert_false(proc_is_alive(started[0]) || proc_is_alive(started[1]));
    assert_true(proc_is_alive(other));
}

static void serves_and_signals_by_name(void **state)
{
    pid_t server = start("postgres", "data", "postgres");
    pid_t other = start("psql", "data", "postgres");

    (void) state;
    assert_true(proc_serves(server, folder_path("data")));
    assert_false(proc_serves(server, folder_path("other")));
    assert_false(proc_serves(other, folder_path("data"))); /* its number was another's before */
    assert_false(proc_serves(0, folder_path("data")));
    assert_false(proc_signal(other, folder_path("data"), SIGKILL));
    assert_false(proc_signal(server, folder_path("other"), SIGKILL));
    assert_false(proc_signal(0x7ffffff0, folder_path("data"), SIGKILL));
    assert_true(proc_signal(server, folder_path("data"), SIGKILL));
    wait_ended(server);
    assert_false(proc_serves(server, folder_path("data")));
    assert_true(proc_is_alive(other));
}

static void shared_memory(void **state)
{
    const key_t key = 0x7a000000 + getpid();
    int id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);

    (void) state;
    assert_true(id >= 0);
    assert_false(proc_memory_in_use(id, (uint64_t) key));
    void *at = shmat(id, NULL, 0);
    assert_true(proc_memory_in_use(id, (uint64_t) key));
    assert_false(proc_memory_in_use(id, (uint64_t) key + 1)); /* the id of another boot */
    assert_false(proc_memory_in_use(-1, (uint64_t) key));
    shmdt(at);
    shmctl(id, IPC_RMID, NULL);
    assert_false(proc_memory_in_use(id, (uint64_t) key));
}

static pid_t ended;
static Clock ended_at;

static void on_end(void *arg, pid_t pid)
{
    (void) arg;
    ended = pid;
    ended_at = clock_now();
}

static Clock killed_at;

static void finds_them_when_their_directory_is_gone(void **state)
{
    pid_t pids[8], pid = start("postgres", "data", "postgres"),
                   other = start("postgres", "other", "postgres");
    ProcPlace place;

    (void) state;
    assert_true(proc_place(pid, &place));
    assert_int_equal(rmdir(folder_path("data")), 0);
    assert_int_equal(proc_list_in(folder_path("data"), pids, 8), 1);
    assert_int_equal(pids[0], pid);
    dir_make(folder_path("data"), 0700, NULL);
    pid_t newer = start("postgres", "data", "postgres");
    assert_int_equal(proc_list_in(folder_path("data/"), pids, 8), 2); /* of the old one, and of the new */
    assert_int_equal(proc_signal_at(&place, 0), 1);
    assert_true(proc_signal(pid, folder_path("data"), SIGKILL));
    wait_ended(pid);
    assert_true(proc_serves(newer, folder_path("data")));
    /* moved: by its place only */
    assert_true(proc_place(newer, &place));
    assert_int_equal(rename(folder_path("data"), folder_path("data (deleted)")), 0);
    assert_int_equal(proc_list_in(folder_path("data"), pids, 8), 0); /* it really is called so */
    assert_int_equal(proc_signal_at(&place, SIGKILL), 1);
    wait_ended(newer);
    assert_false(proc_is_alive(newer));
    assert_true(proc_is_alive(other));
    assert_int_equal(proc_signal_at(&(ProcPlace){0}, SIGKILL), 0);
    assert_false(proc_place(0x7ffffff0, &place));
}

static void signals_by_program_and_argument(void **state)
{
    pid_t one = start("psql", "data", "-D"), other = start("postgres", "data", "-D");

    (void) state;
    assert_int_equal(proc_signal_program("psql", "6", SIGKILL), 0); /* the whole argument */
    assert_int_equal(proc_signal_program("psql", "60", SIGKILL), 1);
    assert_int_equal(waitpid(one, NULL, 0), one);
    started[0] = 0;
    assert_int_equal(proc_signal_program("psql", "60", SIGKILL), 0);
    assert_true(proc_is_alive(other));
}

static void kill_it(void *arg)
{
    killed_at = clock_now();
    kill(*(pid_t *) arg, SIGKILL);
}

static void watches_the_end(void **state)
{
    ProcWatch watch = {0};
    LoopTimer timer;
    pid_t pid = start("postgres", "data", "postgres");

    (void) state;
    ended = 0;
    assert_true(proc_watch_start(&watch, &loop, pid, on_end, NULL, NULL));
    loop_timer_init(&timer, &loop, kill_it, &pid);
    loop_timer_start(&timer, 20000, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(ended, pid);
    assert_true(clock_elapsed_most(&killed_at, &ended_at) < 100000);
    loop_timer_done(&timer);
}

static void stops_watching(void **state)
{
    ProcWatch watch = {0};
    Err err = {0};
    pid_t pid = start("postgres", "data", "postgres");
    pid_t other = start("postgres", "data", "postgres");

    (void) state;
    ended = 0;
    assert_true(proc_watch_start(&watch, &loop, pid, on_end, NULL, NULL));
    assert_true(proc_watch_start(&watch, &loop, other, on_end, NULL, NULL)); /* in the place of the first */
    kill(pid, SIGKILL);
    proc_watch_stop(&watch);
    proc_watch_stop(&watch);
    kill(other, SIGKILL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(ended, 0);
    assert_false(proc_watch_start(&watch, &loop, 0x7ffffff0, on_end, NULL, &err));
    assert_int_equal(err.code, ERR_PG);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lists_the_servers_processes),
        IN_FOLDER(an_upgraded_program_still_counts),
        IN_FOLDER(zombies_do_not_count),
        IN_FOLDER(signals_only_the_servers),
        IN_FOLDER(serves_and_signals_by_name),
        IN_FOLDER(signals_by_program_and_argument),
        IN_FOLDER(finds_them_when_their_directory_is_gone),
        IN_FOLDER(shared_memory),
        IN_FOLDER(watches_the_end),
        IN_FOLDER(stops_watching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
