/*
 * run.c: the operations that actions are made of, and how they end early.
 *
 * Every operation ends through finish_operation, on the loop and never within the call that started it.
 */
#include "action/run.h"

#include "sys/clock.h"
#include "sys/log.h"
#include "sys/programs.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Operations ---- */

static void end_stopped(Run *run)
{
    run->outcome.cancelled = run->cancelled;
    if (run->cancelled)
        run_end_failed(run, "cancelled");
    else
        run_end_failed(run, "not done within its time");
}

/* The operation ended: on with the next step, unless the action is to end. */
static void finish_operation(Run *run)
{
    RunStep *then = run->then;

    run->operation = RUN_IDLE;
    run->then = NULL;
    loop_timer_stop(&run->ticker);
    if (run->stopping && !run->cleaning) {
        RunStep *cleanup = run->cleanup;
        run->cleaning = true;
        if (cleanup != NULL)
            cleanup(run);
        else
            end_stopped(run);
        return;
    }
    then(run);
}

static void on_timer(void *arg)
{
    Run *run = arg;

    proc_watch_stop(&run->watch);
    finish_operation(run);
}

static void begin(Run *run, RunOperation operation, RunStep *then)
{
    run->operation = operation;
    run->then = then;
    run->ok = false;
    run->err = (Err){0};
    run->reply = NULL;
    run->result = NULL;
    run->gone = false;
}

/* Ends what is under way as soon as it can be; finish_operation follows. */
static void stop_operation(Run *run)
{
    switch (run->operation) {
    case RUN_IDLE:
    case RUN_WORK: return; /* the work looks at run->stopping, or is short */
    case RUN_EXEC:
        if (run->exec != NULL)
            exec_kill(run->exec);
        return;
    case RUN_ASK: poll_forget(run->actions->poll, run); break;
    case RUN_CONN: conn_close(run->conn); break;
    case RUN_EXIT: proc_watch_stop(&run->watch); break;
    case RUN_SLEEP: break;
    }
    loop_timer_start(&run->timer, 0, 0);
}

static void free_memory(Run *run)
{
    free(run->data);
    free(run->server);
    free(run);
}

static void do_work(void *arg)
{
    Run *run = arg;

    run->ok = run->work(run, &run->err);
}

static void on_worked(void *arg)
{
    Run *run = arg;

    if (run->actions == NULL) { /* freed meanwhile */
        free_memory(run);
        return;
    }
    finish_operation(run);
}

void run_work(Run *run, RunWork *work, RunStep *then)
{
    begin(run, RUN_WORK, then);
    run->work = work;
    loop_work(run->actions->loop, do_work, on_worked, run);
}

static void on_line(void *arg, const char *line)
{
    Run *run = arg;

    run->on_line(run, line);
}

static void on_exit_of_child(void *arg, const ExecResult *result)
{
    Run *run = arg;

    RunStep *ended = run->ended;

    run->exec = NULL;
    run->result = result;
    run->ended = NULL;
    if (ended != NULL)
        ended(run);
    finish_operation(run);
}

void run_exec(Run *run, const char *const *argv, const char *const *env, int64_t timeout_ms, bool outlives_us,
              void (*each_line)(Run *run, const char *line), RunStep *then)
{
    ExecSpec spec = {.argv = argv,
                     .env = env,
                     .timeout_ms = timeout_ms,
                     .new_session = !outlives_us, /* an end reaches what it has started, too */
                     .die_with_parent = !outlives_us,
                     .on_line = each_line != NULL ? on_line : NULL,
                     .on_exit = on_exit_of_child,
                     .arg = run};

    begin(run, RUN_EXEC, then);
    run->on_line = each_line;
    run->exec = exec_start(run->actions->loop, &spec, &run->err);
    if (run->exec == NULL)
        loop_timer_start(&run->timer, 0, 0);
}

static void on_reply(void *arg, const ConnReply *reply)
{
    Run *run = arg;

    run->ok = reply->ok;
    run->err = reply->err;
    run->reply = reply;
    finish_operation(run);
}

void run_ask(Run *run, const char *sql, int64_t timeout_ms, RunStep *then)
{
    begin(run, RUN_ASK, then);
    poll_query(run->actions->poll, sql, timeout_ms, on_reply, run);
}

void run_connect(Run *run, const ConnTarget *target, int64_t timeout_ms, RunStep *then)
{
    begin(run, RUN_CONN, then);
    if (run->conn == NULL)
        run->conn = conn_new(run->actions->loop);
    conn_connect(run->conn, target, timeout_ms, on_reply, run);
}

void run_query(Run *run, const char *sql, int64_t timeout_ms, RunStep *then)
{
    begin(run, RUN_CONN, then);
    conn_query(run->conn, sql, timeout_ms, on_reply, run);
}

void run_sleep(Run *run, int64_t ms, RunStep *then)
{
    begin(run, RUN_SLEEP, then);
    loop_timer_start(&run->timer, ms * US_PER_MS, 0);
}

static void on_process_exit(void *arg, pid_t pid)
{
    Run *run = arg;

    (void) pid;
    run->gone = true;
    loop_timer_stop(&run->timer);
    finish_operation(run);
}

void run_wait_exit(Run *run, pid_t pid, int64_t timeout_ms, RunStep *then)
{
    begin(run, RUN_EXIT, then);
    if (proc_watch_start(&run->watch, run->actions->loop, pid, on_process_exit, run, NULL)) {
        loop_timer_start(&run->timer, timeout_ms * US_PER_MS, 0);
    } else {
        run->gone = true;
        loop_timer_start(&run->timer, 0, 0);
    }
}

/* ---- Operations made of several ---- */

static bool find_bin_work(Run *run, Err *err)
{
    return run_find_bin(run, err);
}

static void on_control(Run *run)
{
    RunStep *after = run->after;

    if (run->result != NULL && run->result->status == 0)
        run->ok = control_parse(run->result->output, &run->control, &run->err);
    else if (run->result != NULL)
        exec_error(run->result, "pg_controldata", &run->err);
    after(run);
}

static void on_bin_for_control(Run *run)
{
    static const char *const env[] = {"LC_ALL=C", "LANGUAGE=C", NULL};
    char program[DATADIR_PATH_LEN + 32];

    if (!run->ok) {
        run->after(run);
        return;
    }
    snprintf(program, sizeof program, "%s/pg_controldata", run->bin);
    const char *argv[] = {program, "-D", run->settings.data_directory, NULL};
    run_exec(run, argv, env, ACT_PROGRAM_MS, false, NULL, on_control);
}

void run_control(Run *run, RunStep *then)
{
    run->after = then;
    run_work(run, find_bin_work, on_bin_for_control);
}

static void settle_step(Run *run)
{
    if (run->is_there(run, run_status(run)) || clock_now().raw_us >= run->settle_until_us) {
        run->after(run);
        return;
    }
    poll_now(run->actions->poll);
    run_sleep(run, 4, settle_step);
}

bool run_may_write(const Run *run)
{
    const Actions *actions = run->actions;

    return actions->may_write == NULL || actions->may_write(actions->may_write_arg);
}

void run_settle(Run *run, bool (*is_there)(const Run *run, const PgStatus *status), int64_t limit_ms,
                RunStep *then)
{
    run->after = then;
    run->is_there = is_there;
    run->settle_until_us = clock_now().raw_us + limit_ms * US_PER_MS;
    poll_now(run->actions->poll);
    run_sleep(run, 1, settle_step);
}

/* ---- Ends ---- */

static void log_end(const Run *run)
{
    const ActionOutcome *o = &run->outcome;
    char quoted[ACT_TEXT_LEN * 2], lsn[LSN_TEXT_LEN];

    lsn_format(o->lsn, lsn);
    log_line(o->ok ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "action_end",
             "id=%u kind=%s ok=%s duration_ms=%.1f lsn=%s timeline=%u text=%s", (unsigned) o->id,
             action_kind_name(o->kind), o->ok ? "yes" : "no", (double) o->duration_us / 1000, lsn,
             (unsigned) o->timeline, log_quote(o->text, quoted, sizeof quoted));
}

static void end_run(Run *run)
{
    Actions *actions = run->actions;
    ActionOutcome outcome;
    ActionFn *on_done = run->on_done;
    void *arg = run->arg;

    run->outcome.duration_us = clock_now().raw_us - run->began_us;
    log_end(run);
    outcome = run->outcome;
    if (actions->current == run)
        actions->current = NULL;
    poll_now(actions->poll);
    run_free(run);
    if (on_done != NULL)
        on_done(arg, &outcome);
    actions_next(actions);
}

void run_end_ok(Run *run, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(run->outcome.text, sizeof run->outcome.text, format, args);
    va_end(args);
    run->outcome.ok = true;
    if (run->outcome.text[0] == '\0' && run->spoke)
        str_copy(run->outcome.text, sizeof run->outcome.text, run->said);
    end_run(run);
}

/* Which command the time went into. */
static void add_said(Run *run)
{
    size_t len = strlen(run->outcome.text);

    snprintf(run->outcome.text + len, sizeof run->outcome.text - len, " (%s)", run->said);
}

void run_end_failed(Run *run, const char *format, ...)
{
    va_list args;
    bool stopped = run->stopping && run->cleaning;

    va_start(args, format);
    vsnprintf(run->outcome.text, sizeof run->outcome.text, format, args);
    va_end(args);
    run->outcome.ok = false;
    run->outcome.cancelled = stopped && run->cancelled;
    if (run->outcome.cancelled)
        snprintf(run->outcome.text, sizeof run->outcome.text, "cancelled");
    else if (stopped && run->said[0] != '\0')
        add_said(run);
    end_run(run);
}

void run_end_error(Run *run, const char *what)
{
    if (run->err.text[0] == '\0' && run->result != NULL)
        exec_error(run->result, "it", &run->err);
    Err err = run->err; /* its own copy: the text goes into the outcome */
    run_end_failed(run, "%s: %s", what, err.text[0] != '\0' ? err.text : "failed");
}

void run_free(Run *run)
{
    loop_timer_done(&run->timer);
    loop_timer_done(&run->deadline);
    loop_timer_done(&run->ticker);
    proc_watch_stop(&run->watch);
    conn_free(run->conn);
    run->conn = NULL;
    for (Run **p = &run->actions->runs; *p != NULL; p = &(*p)->next_run)
        if (*p == run) {
            *p = run->next_run;
            break;
        }
    if (run->exec != NULL) {
        exec_detach(run->exec);
        exec_kill(run->exec);
    }
    poll_forget(run->actions->poll, run);
    if (run->operation == RUN_WORK) { /* on_worked frees the rest */
        run->actions = NULL;
        return;
    }
    free_memory(run);
}

void run_stop(Run *run, bool cancelled)
{
    if (run->stopping)
        return;
    run->cancelled = cancelled;
    run->stopping = true;
    stop_operation(run);
}

static void on_deadline(void *arg)
{
    run_stop(arg, false);
}

static void on_tick(void *arg)
{
    Run *run = arg;

    if (!run->stopping)
        run->tick(run);
}

void run_tick(Run *run, int64_t interval_ms, RunStep *tick)
{
    run->tick = tick;
    loop_timer_start(&run->ticker, interval_ms * US_PER_MS, interval_ms * US_PER_MS);
}

Run *run_new(Actions *actions, const ActionRequest *request, ActionFn *on_done, void *arg)
{
    Run *run = calloc(1, sizeof *run);

    if (run == NULL)
        abort();
    run->actions = actions;
    run->settings = actions->settings;
    run->request = *request;
    str_copy(run->host, sizeof run->host, request->host != NULL ? request->host : "");
    run->request.host = run->host;
    if (request->names != NULL) {
        str_copy(run->names, sizeof run->names, request->names);
        run->request.names = run->names;
    }
    run->outcome.id = request->id;
    run->outcome.kind = request->kind;
    run->on_done = on_done;
    run->arg = arg;
    run->progress = ACT_PROGRESS_NONE;
    run->began_us = clock_now().raw_us;
    loop_timer_init(&run->timer, actions->loop, on_timer, run);
    loop_timer_init(&run->deadline, actions->loop, on_deadline, run);
    loop_timer_init(&run->ticker, actions->loop, on_tick, run);
    run->next_run = actions->runs;
    actions->runs = run;
    return run;
}

/* ---- Help for steps ---- */

void run_set_deadline(Run *run, int64_t timeout_ms)
{
    loop_timer_start(&run->deadline, timeout_ms * US_PER_MS, 0);
}

const PgStatus *run_status(const Run *run)
{
    return poll_status(run->actions->poll);
}

bool run_find_bin(Run *run, Err *err)
{
    return programs_find(run->settings.bin_directory, run->settings.data_directory, run->bin, sizeof run->bin,
                         err);
}

bool run_signal(pid_t pid, int signal_number)
{
    return pid > 0 && kill(pid, signal_number) == 0;
}

void run_log_destructive(const Run *run, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_line(LOG_LEVEL_WARN, "action_removes", "id=%u kind=%s %s", (unsigned) run->request.id,
             action_kind_name(run->request.kind), text);
}

void *run_alloc_data(Run *run, size_t size)
{
    run->data = calloc(1, size);
    if (run->data == NULL)
        abort();
    return run->data;
}

size_t run_add_words(const char **argv, size_t count, size_t max, char *words)
{
    char *rest = NULL;

    for (char *word = strtok_r(words, " \t", &rest); word != NULL && count + 1 < max;
         word = strtok_r(NULL, " \t", &rest))
        argv[count++] = word;
    argv[count] = NULL;
    return count;
}
