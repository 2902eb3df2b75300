/*
 * exec.c: fork, a pidfd for the end, a pipe for both outputs, a timer for the deadline.
 *
 * Our own fork and not uv_spawn: the kernel ends a child with us (PR_SET_PDEATHSIG), and nothing here waits
 * for the program to be read from a disk that may hang.
 */
#include "sys/exec.h"

#include "base/str.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXEC_NOT_RUN     127
#define READS_PER_TURN   16 /* so that a noisy child cannot hold the loop */
#define READS_AT_THE_END 64
#define CLOSE_RANGE_MARK 4u /* CLOSE_RANGE_CLOEXEC, which older headers lack */

typedef enum ExecPhase { EXEC_RUNNING, EXEC_TERMINATING, EXEC_KILLED } ExecPhase;

struct Exec {
    ExecSpec spec; /* callbacks and flags only: the pointers' targets may be gone */
    pid_t pid;
    int pidfd;
    int output_fd;
    uv_poll_t *pid_poll;
    uv_poll_t *output_poll; /* NULL after the end of output */
    LoopTimer timer;
    ExecPhase phase;
    Clock begun;
    bool timed_out, cancelled, output_cut;
    Buf output;
    size_t line_len;
    char line[EXEC_LINE_MAX];
};

static int running;

/* ---- The child's side: only what is safe after a fork of a process with threads ---- */

static void say(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void) n;
}

static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        sigaction(i, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_fail(const char *what, const char *name)
{
    const char *reason = strerrordesc_np(errno);

    say(name);
    say(what);
    say(reason != NULL ? reason : "unknown error");
    say("\n");
    _exit(EXEC_NOT_RUN);
}

static void child_run(const ExecSpec *spec, char *const *envp, int null_fd, int output_fd, pid_t parent)
    __attribute__((noreturn));

static void child_run(const ExecSpec *spec, char *const *envp, int null_fd, int output_fd, pid_t parent)
{
    const char *cwd = spec->cwd != NULL ? spec->cwd : "/";

    reset_signals();
    if (dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
        _exit(EXEC_NOT_RUN);
    if (spec->new_session)
        setsid();
    if (spec->die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(EXEC_NOT_RUN);
    }
    /* What a library opened without close-on-exec. An older kernel refuses; then ours at least are marked. */
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_MARK);
    if (chdir(cwd) != 0)
        child_fail(": cannot change to this directory: ", cwd);
    execvpe(spec->program != NULL ? spec->program : spec->argv[0], (char *const *) spec->argv, envp);
    child_fail(": cannot be run: ", spec->argv[0]);
    _exit(EXEC_NOT_RUN);
}

/* ---- Starting ---- */

/* True if an addition has the same name as entry. */
static bool is_replaced(const char *entry, const char *const *additions)
{
    size_t len = strcspn(entry, "=") + 1;

    for (; *additions != NULL; additions++)
        if (strncmp(*additions, entry, len) == 0)
            return true;
    return false;
}

/* Our environment with the additions; the array is for the caller to free, the texts are not. */
static char **make_env(const char *const *additions)
{
    static const char *const none[] = {NULL};
    size_t n = 0, count = 1;

    if (additions == NULL)
        additions = none;
    for (char **entry = environ; *entry != NULL; entry++)
        count++;
    for (const char *const *entry = additions; *entry != NULL; entry++)
        count++;
    char **envp = calloc(count, sizeof *envp);
    if (envp == NULL)
        return NULL;
    for (char **entry = environ; *entry != NULL; entry++)
        if (!is_replaced(*entry, additions))
            envp[n++] = *entry;
    for (const char *const *entry = additions; *entry != NULL; entry++)
        envp[n++] = (char *) *entry;
    return envp;
}

/* Forks with all signals blocked, so that none is handled in the child by our handlers. */
static pid_t fork_child(const ExecSpec *spec, char *const *envp, int null_fd, int output_fd)
{
    pid_t parent = getpid();
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0)
        child_run(spec, envp, null_fd, output_fd, parent);
    int cause = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = cause;
    return pid;
}

static bool spawn(Exec *exec, const ExecSpec *spec, char *const *envp, Err *err)
{
    int fds[2] = {-1, -1};
    bool ok = false;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null_fd < 0 || pipe2(fds, O_CLOEXEC) != 0) {
        err_set_errno(err, ERR_IO, errno, "%s cannot be run: no descriptors", spec->argv[0]);
        goto out;
    }
    exec->pid = fork_child(spec, envp, null_fd, fds[1]);
    if (exec->pid < 0) {
        err_set_errno(err, ERR_IO, errno, "%s cannot be run: no process can be made", spec->argv[0]);
        goto out;
    }
    exec->pidfd = (int) syscall(SYS_pidfd_open, exec->pid, 0u);
    if (exec->pidfd < 0) {
        err_set_errno(err, ERR_IO, errno, "%s cannot be watched", spec->argv[0]);
        kill(exec->pid, SIGKILL);
        waitpid(exec->pid, NULL, 0);
        goto out;
    }
    exec->output_fd = fds[0];
    fds[0] = -1;
    ok = true;
out:
    if (null_fd >= 0)
        close(null_fd);
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    return ok;
}

/* ---- Output ---- */

static void end_line(Exec *exec)
{
    if (exec->line_len == 0)
        return;
    exec->line[exec->line_len] = '\0';
    exec->line_len = 0;
    if (exec->spec.on_line != NULL)
        exec->spec.on_line(exec->spec.arg, exec->line);
}

static void take_output(Exec *exec, const char *data, size_t len)
{
    buf_add(&exec->output, data, len);
    if (exec->output.len > 2 * EXEC_OUTPUT_MAX) {
        size_t excess = exec->output.len - EXEC_OUTPUT_MAX;
        memmove(exec->output.data, exec->output.data + excess, EXEC_OUTPUT_MAX + 1);
        exec->output.len = EXEC_OUTPUT_MAX;
        exec->output_cut = true;
    }
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n' || data[i] == '\r') {
            end_line(exec);
            continue;
        }
        if (exec->line_len == EXEC_LINE_MAX - 1)
            end_line(exec);
        exec->line[exec->line_len++] = data[i] == '\0' ? ' ' : data[i];
    }
}

static void stop_output(Exec *exec)
{
    loop_close_free((uv_handle_t *) exec->output_poll);
    exec->output_poll = NULL;
    if (exec->output_fd >= 0)
        close(exec->output_fd);
    exec->output_fd = -1;
}

static void read_output(Exec *exec, int reads)
{
    char chunk[8192];

    while (exec->output_fd >= 0 && reads-- > 0) {
        ssize_t n = read(exec->output_fd, chunk, sizeof chunk);
        if (n > 0)
            take_output(exec, chunk, (size_t) n);
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && errno == EAGAIN)
            return;
        else
            stop_output(exec);
    }
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    Exec *exec = poll->data;

    (void) events;
    if (status < 0)
        stop_output(exec);
    else
        read_output(exec, READS_PER_TURN);
}

/* ---- The end ---- */

/* The child is not reaped yet, so that neither its id nor that of its group can be anybody else's. */
static void send_signal(const Exec *exec, int number)
{
    if (!exec->spec.new_session || kill(-exec->pid, number) != 0)
        kill(exec->pid, number);
}

static void terminate(Exec *exec)
{
    exec->phase = EXEC_TERMINATING;
    send_signal(exec, SIGTERM);
    loop_timer_start(&exec->timer, EXEC_GRACE_MS * US_PER_MS, 0);
}

static void on_timer(void *arg)
{
    Exec *exec = arg;

    if (exec->phase == EXEC_RUNNING) {
        exec->timed_out = true;
        terminate(exec);
    } else {
        exec->phase = EXEC_KILLED;
        send_signal(exec, SIGKILL);
    }
}

static void exec_free(Exec *exec)
{
    stop_output(exec);
    loop_close_free((uv_handle_t *) exec->pid_poll);
    if (exec->pidfd >= 0)
        close(exec->pidfd);
    loop_timer_done(&exec->timer);
    buf_done(&exec->output);
    free(exec);
}

static void finish(Exec *exec, int wait_status)
{
    Clock now = clock_now();
    ExecResult result = {
        .status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
        .signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0,
        .timed_out = exec->timed_out,
        .cancelled = exec->cancelled,
        .duration_ms = (now.boot_us - exec->begun.boot_us) / US_PER_MS,
    };

    exec->phase = EXEC_KILLED; /* its id is free now: no signal any more */
    read_output(exec, READS_AT_THE_END);
    stop_output(exec);
    end_line(exec);
    size_t skip = exec->output.len > EXEC_OUTPUT_MAX ? exec->output.len - EXEC_OUTPUT_MAX : 0;
    result.output = exec->output.data != NULL ? exec->output.data + skip : "";
    result.output_len = exec->output.len - skip;
    result.output_cut = exec->output_cut || skip > 0;
    running--;
    if (exec->spec.on_exit != NULL)
        exec->spec.on_exit(exec->spec.arg, &result);
    exec_free(exec);
}

static void on_pidfd(uv_poll_t *poll, int status, int events)
{
    Exec *exec = poll->data;
    int wait_status = 0;

    (void) status;
    (void) events;
    /* Before it is reaped its group's number is still its own: what it left behind goes with it. */
    if (exec->phase != EXEC_RUNNING && exec->spec.new_session)
        kill(-exec->pid, SIGKILL);
    pid_t pid = waitpid(exec->pid, &wait_status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR))
        return;
    finish(exec, wait_status);
}

static uv_poll_t *poll_start(uv_loop_t *loop, int fd, uv_poll_cb callback, Exec *exec)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);

    if (poll == NULL)
        return NULL;
    if (uv_poll_init(loop, poll, fd) != 0) {
        free(poll);
        return NULL;
    }
    poll->data = exec;
    if (uv_poll_start(poll, UV_READABLE, callback) == 0)
        return poll;
    loop_close_free((uv_handle_t *) poll);
    return NULL;
}

Exec *exec_start(uv_loop_t *loop, const ExecSpec *spec, Err *err)
{
    if (running >= EXEC_MAX) {
        err_set(err, ERR_REFUSED, "%s is not run: %d programs are running already", spec->argv[0], running);
        return NULL;
    }
    Exec *exec = calloc(1, sizeof *exec);
    char **envp = make_env(spec->env);
    if (exec == NULL || envp == NULL) {
        err_set(err, ERR_MEMORY, "no memory to run %s", spec->argv[0]);
        goto fail;
    }
    exec->spec = *spec;
    exec->pidfd = exec->output_fd = -1;
    exec->begun = clock_now();
    if (!spawn(exec, spec, envp, err))
        goto fail;
    exec->pid_poll = poll_start(loop, exec->pidfd, on_pidfd, exec);
    exec->output_poll = poll_start(loop, exec->output_fd, on_output, exec);
    if (exec->pid_poll == NULL || exec->output_poll == NULL) {
        send_signal(exec, SIGKILL);
        waitpid(exec->pid, NULL, 0);
        err_set(err, ERR_IO, "%s cannot be watched", spec->argv[0]);
        goto fail;
    }
    loop_timer_init(&exec->timer, loop, on_timer, exec);
    loop_timer_start(&exec->timer, spec->timeout_ms * US_PER_MS, 0);
    free(envp);
    running++;
    return exec;
fail:
    free(envp);
    if (exec != NULL)
        exec_free(exec);
    return NULL;
}

pid_t exec_pid(const Exec *exec)
{
    return exec->pid;
}

void exec_kill(Exec *exec)
{
    if (exec == NULL || exec->phase == EXEC_KILLED)
        return;
    exec->cancelled = true;
    exec->phase = EXEC_KILLED;
    send_signal(exec, SIGKILL);
}

void exec_detach(Exec *exec)
{
    if (exec == NULL)
        return;
    exec->spec.on_line = NULL;
    exec->spec.on_exit = NULL;
}

void exec_describe(const ExecResult *result, char *ret_text, size_t size)
{
    if (result->timed_out)
        snprintf(ret_text, size, "no end within its time, ended after %lld ms",
                 (long long) result->duration_ms);
    else if (result->cancelled)
        snprintf(ret_text, size, "cancelled after %lld ms", (long long) result->duration_ms);
    else if (result->signal != 0)
        snprintf(ret_text, size, "killed by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        snprintf(ret_text, size, "exit status %d", result->status);
}

const char *exec_last_line(const ExecResult *result, char *ret_text, size_t size)
{
    const char *end = result->output + result->output_len;

    while (end > result->output && strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    const char *begin = end;
    while (begin > result->output && begin[-1] != '\n' && begin[-1] != '\r')
        begin--;
    size_t len = (size_t) (end - begin);
    if (len >= size)
        len = size - 1;
    memcpy(ret_text, begin, len);
    ret_text[len] = '\0';
    return ret_text;
}

/* The last line that has the word; false if none has. */
static bool last_line_with(const ExecResult *result, const char *word, char *ret_text, size_t size)
{
    const char *found = NULL;

    for (const char *at = result->output; (at = strstr(at, word)) != NULL; at++)
        found = at;
    if (found == NULL)
        return false;
    while (found > result->output && found[-1] != '\n' && found[-1] != '\r')
        found--;
    snprintf(ret_text, size, "%.*s", (int) strcspn(found, "\r\n"), found);
    return true;
}

void exec_error(const ExecResult *result, const char *program, Err *err)
{
    char how[80], line[300];

    exec_describe(result, how, sizeof how);
    if (!last_line_with(result, ": error: ", line, sizeof line))
        exec_last_line(result, line, sizeof line);
    err_set(err, result->timed_out ? ERR_TIMEOUT : ERR_PG, "%s: %s%s%s", program, how,
            line[0] != '\0' ? ": " : "", line);
}
