/*
 * elsewhere.c: one question at a time, again each second while no postmaster is seen.
 */
#include "agent/elsewhere.h"

#include "action/command.h"
#include "agent/internal.h"
#include "sys/log.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_US US_PER_SEC

struct Elsewhere {
    Agent *agent;
    Exec *exec;
    LoopTimer timer;
    bool seen;    /* a postmaster was, in the newest status */
    bool settled; /* the command has answered since then: what it said counts */
    char text[ACT_TEXT_LEN];
};

static void set(Elsewhere *elsewhere, bool runs, const char *text)
{
    PgPoll *poll = elsewhere->agent->poll;

    if (poll_is_elsewhere(poll) != runs && elsewhere->settled) {
        char quoted[ACT_TEXT_LEN * 2];
        log_line(runs ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "server_elsewhere", "runs=%s text=%s",
                 runs ? "yes" : "no", log_quote(text, quoted, sizeof quoted));
    }
    str_copy(elsewhere->text, sizeof elsewhere->text, runs ? text : "");
    poll_set_elsewhere(poll, runs);
}

static void on_answer(void *arg, const ExecResult *result)
{
    Elsewhere *elsewhere = arg;

    elsewhere->exec = NULL;
    CommandAnswer answer = command_read(elsewhere->agent->actions, RUNS_STATUS, result,
                                        elsewhere->agent->config->commands.status_success);
    elsewhere->settled = true;
    loop_timer_start(&elsewhere->timer, AGAIN_US, 0);
    set(elsewhere, answer.yes || answer.unknown, answer.text);
}

static void ask(void *arg)
{
    Elsewhere *elsewhere = arg;
    const Agent *agent = elsewhere->agent;
    Err err = {0};

    if (elsewhere->exec != NULL || elsewhere->seen)
        return;
    if (!command_can_ask(agent->actions, RUNS_STATUS)) {
        set(elsewhere, false, "");
        return;
    }
    elsewhere->exec = command_ask(agent->actions, RUNS_STATUS, agent->config->postgresql.poll_timeout_ms,
                                  on_answer, elsewhere, &err);
    if (elsewhere->exec == NULL) {
        set(elsewhere, true, err.text);
        loop_timer_start(&elsewhere->timer, AGAIN_US, 0);
    }
}

void elsewhere_on_status(Elsewhere *elsewhere, const PgStatus *status)
{
    if (elsewhere == NULL)
        return;
    bool seen = status->postmaster != 0, was = elsewhere->seen;

    elsewhere->seen = seen;
    if (seen == was)
        return;
    elsewhere->settled = false;
    loop_timer_stop(&elsewhere->timer);
    if (seen) {
        set(elsewhere, false, "");
    } else if (command_can_ask(elsewhere->agent->actions, RUNS_STATUS)) {
        set(elsewhere, true, "the status command has not answered yet");
        loop_timer_start(&elsewhere->timer, 0, 0);
    }
}

void elsewhere_reload(Elsewhere *elsewhere)
{
    if (elsewhere == NULL || elsewhere->seen)
        return;
    /* A command that is new holds from now on, not from its first answer on. */
    if (!elsewhere->settled && command_can_ask(elsewhere->agent->actions, RUNS_STATUS))
        set(elsewhere, true, "the status command has not answered yet");
    loop_timer_start(&elsewhere->timer, 0, 0);
}

Elsewhere *elsewhere_new(struct Agent *agent)
{
    Elsewhere *elsewhere = calloc(1, sizeof *elsewhere);

    if (elsewhere == NULL)
        abort();
    elsewhere->agent = agent;
    loop_timer_init(&elsewhere->timer, &agent->loop, ask, elsewhere);
    if (command_can_ask(agent->actions, RUNS_STATUS)) {
        set(elsewhere, true, "the status command has not answered yet");
        loop_timer_start(&elsewhere->timer, 0, 0);
    }
    return elsewhere;
}

const char *elsewhere_text(const Elsewhere *elsewhere)
{
    return elsewhere != NULL ? elsewhere->text : "";
}

void elsewhere_free(Elsewhere *elsewhere)
{
    if (elsewhere == NULL)
        return;
    exec_detach(elsewhere->exec);
    exec_kill(elsewhere->exec);
    loop_timer_done(&elsewhere->timer);
    free(elsewhere);
}
