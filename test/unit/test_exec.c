/*
 * test_exec.c: children that end well, badly, late, never and loudly.
 */
#include "folder.h"
#include "sys/clock.h"
#include "sys/exec.h"
#include "sys/loop.h"
#include "sys/proc.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static ExecResult result;
static char output[EXEC_OUTPUT_MAX + 1];
static char lines[4096];
static int exits;

static int setup(void **state)
{
    exits = 0;
    lines[0] = '\0';
    return uv_loop_init(&loop) != 0 || folder_setup(state) != 0 ? -1 : 0;
}

static int teardown(void **state)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&loop);
    return status != 0 || folder_teardown(state) != 0 ? -1 : 0;
}

static void on_exit_(void *arg, const ExecResult *res)
{
    (void) arg;
    exits++;
    result = *res;
    memcpy(output, res->output, res->output_len + 1);
    result.output = output;
}

static void on_line(void *arg, const char *line)
{
    size_t used = strlen(lines);

    (void) arg;
    snprintf(lines + used, sizeof lines - used, "%s|", line);
}

/* A shell only because tests need one to write programs in. */
static ExecSpec shell(const char *script)
{
    static const char *argv[4] = {"/bin/sh", "-c", NULL, NULL};

    argv[2] = script;
    return (ExecSpec){.argv = argv, .timeout_ms = 10000, .on_exit = on_exit_, .on_line = on_line};
}

static void run(const ExecSpec *spec)
{
    Err err = {0};

    if (exec_start(&loop, spec, &err) == NULL)
        fail_msg("%s", err.text);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(exits, 1);
}

static void both_outputs_and_lines(void **state)
{
    ExecSpec spec = shell("echo one; echo two >&2; printf '10%%\\r20%%\\r\\nrest'; exit 3");
    char text[100];

    (void) state;
    run(&spec);
    assert_int_equal(result.status, 3);
    assert_int_equal(result.signal, 0);
    assert_false(result.timed_out || result.cancelled || result.output_cut);
    assert_string_equal(output, "one\ntwo\n10%\r20%\r\nrest");
    assert_int_equal(result.output_len, strlen(output));
    assert_string_equal(lines, "one|two|10%|20%|rest|");
    exec_describe(&result, text, sizeof text);
    assert_string_equal(text, "exit status 3");
    assert_string_equal(exec_last_line(&result, text, sizeof text), "rest");
}

static void not_there(void **state)
{
    static const char *const argv[] = {"no-such-program", NULL};
    ExecSpec spec = {.argv = argv, .timeout_ms = 1000, .on_exit = on_exit_};

    (void) state;
    run(&spec);
    assert_int_equal(result.status, 127);
    assert_has(output, "no-such-program: cannot be run: No such file or directory");
}

static void no_such_folder(void **state)
{
    ExecSpec spec = shell("true");

    (void) state;
    spec.cwd = "/no/such/folder";
    run(&spec);
    assert_int_equal(result.status, 127);
    assert_has(output, "/no/such/folder: cannot change to this directory");
}

static void killed_by_a_signal(void **state)
{
    ExecSpec spec = shell("kill -ABRT $$");
    char text[100];

    (void) state;
    run(&spec);
    assert_int_equal(result.status, -1);
    assert_int_equal(result.signal, SIGABRT);
    exec_describe(&result, text, sizeof text);
    assert_has(text, "killed by signal 6");
}

static void ends_at_the_deadline(void **state)
{
    ExecSpec spec = shell("echo begun; exec sleep 30");

    (void) state;
    spec.timeout_ms = 100;
    run(&spec);
    assert_true(result.timed_out);
    assert_int_equal(result.signal, SIGTERM);
    assert_in_range(result.duration_ms, 100, 1500);
    assert_string_equal(output, "begun\n");
}

static void kills_what_ignores_the_term(void **state)
{
    ExecSpec spec = shell("trap '' TERM; while :; do sleep 0.1; done");

    (void) state;
    spec.timeout_ms = 100;
    run(&spec);
    assert_true(result.timed_out);
    assert_int_equal(result.signal, SIGKILL);
    assert_in_range(result.duration_ms, EXEC_GRACE_MS + 50, EXEC_GRACE_MS + 1500);
}

static Exec *running_exec;

static void cancel_it(void *arg)
{
    (void) arg;
    exec_kill(running_exec);
    exec_kill(running_exec);
}

static void cancels(void **state)
{
    ExecSpec spec = shell("sleep 30; echo no");
    LoopTimer timer;

    (void) state;
    running_exec = exec_start(&loop, &spec, NULL);
    assert_non_null(running_exec);
    loop_timer_init(&timer, &loop, cancel_it, NULL);
    loop_timer_start(&timer, 50000, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(exits, 1);
    assert_true(result.cancelled);
    assert_false(result.timed_out);
    loop_timer_done(&timer);
}

/* A shell does not end its children when it is ended; the process group does. */
static void ends_the_whole_group(void **state)
{
    char script[300];
    Buf pid = {0};

    (void) state;
    snprintf(script, sizeof script, "(trap '' TERM; exec sleep 31) & echo $! > %s; wait", folder_path("pid"));
    ExecSpec spec = shell(script);
    spec.new_session = true;
    spec.timeout_ms = 200;
    run(&spec);
    assert_true(file_read(folder_path("pid"), 100, &pid, NULL));
    for (int i = 0; i < 100 && proc_is_alive(atoi(pid.data)); i++)
        usleep(10000);
    assert_false(proc_is_alive(atoi(pid.data)));
    buf_done(&pid);
}

static void keeps_the_tail(void **state)
{
    ExecSpec spec = shell("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
                          "echo \"$i ........................................................\"; done");

    (void) state;
    spec.on_line = NULL;
    run(&spec);
    assert_true(result.output_cut);
    assert_int_equal(result.output_len, EXEC_OUTPUT_MAX);
    assert_int_equal(strlen(output), EXEC_OUTPUT_MAX);
    assert_has(output + EXEC_OUTPUT_MAX - 100, "\n3000 ...");
}

static void a_long_line_comes_in_pieces(void **state)
{
    ExecSpec spec = shell("head -c 5000 /dev/zero | tr '\\0' x");

    (void) state;
    run(&spec);
    assert_int_equal(result.output_len, 5000);
}

static void environment_and_folder(void **state)
{
    static const char *const env[] = {"PGVIGIL_TEST_A=new", "PGVIGIL_TEST_B=b c", NULL};
    ExecSpec spec =
        shell("echo $PGVIGIL_TEST_A/$PGVIGIL_TEST_B/$PGVIGIL_TEST_AB; pwd; env | grep -c PGVIGIL_TEST_A=");

    (void) state;
    setenv("PGVIGIL_TEST_A", "old", 1);
    setenv("PGVIGIL_TEST_AB", "kept", 1);
    spec.env = env;
    spec.cwd = folder;
    run(&spec);
    char expected[200];
    snprintf(expected, sizeof expected, "new/b c/kept|%s|1|", folder);
    assert_string_equal(lines, expected);
}

static void a_clean_start(void **state)
{
    ExecSpec spec = shell("exec grep -E 'SigBlk|SigIgn' /proc/self/status");
    sigset_t set, old;
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec, as some library may */

    (void) state;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    signal(SIGPIPE, SIG_IGN);
    run(&spec);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    assert_string_equal(lines, "SigBlk:\t0000000000000000|SigIgn:\t0000000000000000|");
    spec = shell("ls /proc/$$/fd; cat");
    exits = 0;
    run(&spec);
    close(leak);
    assert_has(lines, "0000|0|1|2|");
}

static void does_not_wait_for_grandchildren(void **state)
{
    ExecSpec spec = shell("sleep 3 & echo begun");

    (void) state;
    run(&spec);
    assert_int_equal(result.status, 0);
    assert_in_range(result.duration_ms, 0, 1500);
    assert_string_equal(output, "begun\n");
}

static void has_a_bound(void **state)
{
    ExecSpec spec = shell("sleep 30");
    Exec *exec[EXEC_MAX];
    Err err = {0};

    (void) state;
    for (int i = 0; i < EXEC_MAX; i++)
        assert_non_null(exec[i] = exec_start(&loop, &spec, NULL));
    assert_null(exec_start(&loop, &spec, &err));
    assert_int_equal(err.code, ERR_REFUSED);
    for (int i = 0; i < EXEC_MAX; i++)
        exec_kill(exec[i]);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(exits, EXEC_MAX);
    exits = 0;
    spec = shell("exit 3"); /* there is room again */
    run(&spec);
    assert_int_equal(result.status, 3);
}

static void a_detached_one_tells_nobody(void **state)
{
    ExecSpec spec = shell("echo x");
    Exec *exec = exec_start(&loop, &spec, NULL);

    (void) state;
    assert_non_null(exec);
    exec_detach(exec);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(exits, 0);
    assert_string_equal(lines, "");
}

static void dies_with_its_parent(void **state)
{
    char script[200];
    Buf pid = {0};
    int status;

    (void) state;
    snprintf(script, sizeof script, "echo $$ > %s; exec sleep 32", folder_path("pid"));
    pid_t parent = fork();
    if (parent == 0) {
        uv_loop_t own;
        ExecSpec spec = shell(script);
        spec.die_with_parent = true;
        uv_loop_init(&own);
        exec_start(&own, &spec, NULL);
        for (int i = 0; i < 200 && access(folder_path("pid"), R_OK) != 0; i++)
            usleep(10000);
        usleep(50000);
        _exit(0);
    }
    waitpid(parent, &status, 0);
    assert_true(file_read(folder_path("pid"), 100, &pid, NULL));
    for (int i = 0; i < 100 && proc_is_alive(atoi(pid.data)); i++)
        usleep(10000);
    assert_false(proc_is_alive(atoi(pid.data)));
    buf_done(&pid);
}

static void cancel_on_line(void *arg, const char *line)
{
    (void) arg;
    (void) line;
    exec_kill(running_exec);
}

static void cancelled_from_its_own_line(void **state)
{
    ExecSpec spec = shell("echo a; sleep 30");

    (void) state;
    spec.on_line = cancel_on_line;
    running_exec = exec_start(&loop, &spec, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(exits, 1);
    assert_true(result.cancelled);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LOOP(both_outputs_and_lines),
        ON_LOOP(not_there),
        ON_LOOP(no_such_folder),
        ON_LOOP(killed_by_a_signal),
        ON_LOOP(ends_at_the_deadline),
        ON_LOOP(kills_what_ignores_the_term),
        ON_LOOP(cancels),
        ON_LOOP(ends_the_whole_group),
        ON_LOOP(keeps_the_tail),
        ON_LOOP(a_long_line_comes_in_pieces),
        ON_LOOP(environment_and_folder),
        ON_LOOP(a_clean_start),
        ON_LOOP(does_not_wait_for_grandchildren),
        ON_LOOP(has_a_bound),
        ON_LOOP(a_detached_one_tells_nobody),
        ON_LOOP(dies_with_its_parent),
        ON_LOOP(cancelled_from_its_own_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
