/*
 * clustermon_command.c: the commands of config.ini, run by the shell as ever: people wrote them for it.
 *
 * Passwords are in them where %master_connstr% is, and are in nothing that is logged.
 */
#include "front/clustermon.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SHELL "/bin/sh"

static Exec *start(Clustermon *cm, ClustermonCommand command, const char *primary, int64_t timeout_ms,
                   void (*on_ended)(void *arg, const ExecResult *result), Err *err)
{
    Buf line = {0};
    Exec *exec = NULL;

    if (clustermon_config_line(cm->config, command, primary, &line) && line.data != NULL) {
        const char *const argv[] = {SHELL, "-c", line.data, NULL};
        ExecSpec spec = {.argv = argv,
                         .timeout_ms = timeout_ms,
                         /* A server that is started belongs to nobody's session but its own. */
                         .new_session = true,
                         .die_with_parent =
                             command == CLUSTERMON_CMD_STATUS || command == CLUSTERMON_CMD_NETWORK,
                         .on_exit = on_ended,
                         .arg = cm};
        exec = exec_start(&cm->loop, &spec, err);
        explicit_bzero(line.data, line.len);
    } else {
        err_set(err, ERR_MEMORY, "memory ran out");
    }
    buf_done(&line);
    return exec;
}

/* What it printed last, or how it ended. */
static void describe(const Clustermon *cm, const ExecResult *result, char *ret_text, size_t size)
{
    char line[300], how[100];
    Err err = {0};

    exec_last_line(result, line, sizeof line);
    exec_describe(result, how, sizeof how);
    if (result->status != 0 && !result->timed_out && line[0] != '\0')
        exec_error(result, "it ended", &err); /* its last line with an error, behind which may be others */
    mask_text(&cm->mask,
              result->timed_out || line[0] == '\0' ? how
              : err.code != ERR_NONE               ? err.text
                                                   : line,
              ret_text, size);
}

/* ---- one after the other ---- */

static void on_ended(void *arg, const ExecResult *result)
{
    Clustermon *cm = arg;
    const char *key = clustermon_config_command_key(cm->command_name);
    char text[300], how[100], quoted[620], quoted_how[110];
    void (*on_end)(Clustermon *, bool, const char *, const ExecResult *) = cm->on_command;

    cm->command = NULL;
    cm->on_command = NULL;
    if (cm->ending)
        return;
    describe(cm, result, text, sizeof text);
    exec_describe(result, how, sizeof how);
    /* `pg_ctl status` of a server that is down has 3. */
    bool fine = result->status == 0 || cm->command_name == CLUSTERMON_CMD_STATUS;
    log_line(fine ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "command_ended",
             "command=%s result=%s duration=%lldms said=%s", key,
             log_quote(how, quoted_how, sizeof quoted_how), (long long) result->duration_ms,
             log_quote(text, quoted, sizeof quoted));
    on_end(cm, result->status == 0, text, result);
}

typedef struct Failure {
    Clustermon *cm;
    void (*on_end)(Clustermon *cm, bool ok, const char *text, const ExecResult *result);
    Err err;
} Failure;

static void on_failure(void *arg)
{
    Failure *failure = arg;

    if (!failure->cm->ending)
        failure->on_end(failure->cm, false, failure->err.text, NULL);
    free(failure);
}

void clustermon_command_run(Clustermon *cm, ClustermonCommand command, const char *primary,
                            int64_t timeout_ms,
                            void (*on_end)(Clustermon *cm, bool ok, const char *text,
                                           const ExecResult *result))
{
    Err err = {0};

    log_line(LOG_LEVEL_INFO, "command", "command=%s doing=\"%s\"", clustermon_config_command_key(command),
             cm->doing != NULL ? cm->doing : "");
    cm->command_name = command;
    cm->on_command = on_end;
    cm->command = start(cm, command, primary, timeout_ms, on_ended, &err);
    if (cm->command != NULL)
        return;
    Failure *failure = calloc(1, sizeof *failure);
    if (failure == NULL)
        abort();
    *failure = (Failure){cm, on_end, err};
    loop_work(&cm->loop, NULL, on_failure, failure);
}

void clustermon_command_is_done(Clustermon *cm)
{
    void (*on_end)(Clustermon *, bool, const char *, const ExecResult *) = cm->on_command;

    log_line(LOG_LEVEL_WARN, "command_left", "command=%s the server answers, and the command does not end",
             clustermon_config_command_key(cm->command_name));
    exec_detach(cm->command);
    cm->command = NULL;
    cm->on_command = NULL;
    on_end(cm, true, "", NULL);
}

/*
 * The server that a start has begun is its child, and a promotion must not stop half-way. All else is ended
 * in order first: runuser hands a SIGTERM on, and can do nothing about a SIGKILL.
 */
void clustermon_command_stop(Clustermon *cm, bool now)
{
    if (cm->command == NULL)
        return;
    if (cm->command_name == CLUSTERMON_CMD_START || cm->command_name == CLUSTERMON_CMD_PROMOTE) {
        exec_detach(cm->command);
        cm->command = NULL;
    } else if (now) {
        exec_kill(cm->command);
        cm->command = NULL;
    } else {
        kill(-exec_pid(cm->command), SIGTERM);
    }
}

/* ---- status and network ---- */

static bool says(const ExecResult *result, const char *wanted)
{
    return strstr(result->output, wanted) != NULL;
}

/*
 * The exit code never counted: `pg_ctl status` has 3 for a server that is down. But a shell that cannot run
 * it has 126 and 127, and an engine of containers 125.
 */
ClustermonLocal clustermon_command_local(const Clustermon *cm, const ExecResult *result)
{
    if (result == NULL || result->status < 0 || result->status >= 125)
        return CLUSTERMON_UNKNOWN;
    return says(result, cm->config->db_success) ? CLUSTERMON_RUNS : CLUSTERMON_DOWN;
}

static void on_status(void *arg, const ExecResult *result)
{
    Clustermon *cm = arg;
    static LogLimit limit;
    char text[300], quoted[620];

    cm->local = clustermon_command_local(cm, result);
    if (cm->local == CLUSTERMON_UNKNOWN) {
        describe(cm, result, text, sizeof text);
        log_limited(&limit, LOG_LEVEL_ERROR, "status_unknown", "command=cmd_get_db_status_string reason=%s",
                    log_quote(text, quoted, sizeof quoted));
    }
    clustermon_look_answered(cm);
}

static void on_network(void *arg, const ExecResult *result)
{
    Clustermon *cm = arg;
    bool before = cm->network;
    char text[300], quoted[620];

    cm->network = !result->timed_out && says(result, cm->config->network_success);
    if (cm->network != before || !cm->network_told) {
        describe(cm, result, text, sizeof text);
        log_line(cm->network ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "network", "is=%s said=%s",
                 cm->network ? "well" : "cut_off", log_quote(text, quoted, sizeof quoted));
    }
    cm->network_told = true;
    clustermon_look_answered(cm);
}

static void begin(Clustermon *cm, ClustermonCommand command,
                  void (*on_end)(void *arg, const ExecResult *result))
{
    Err err = {0};

    cm->pending++;
    if (start(cm, command, NULL, CLUSTERMON_ASK_MS, on_end, &err) != NULL)
        return;
    log_line(LOG_LEVEL_ERROR, "command_failed", "command=%s reason=\"%s\"",
             clustermon_config_command_key(command), err.text);
    cm->pending--; /* the look's own keeps it from ending here */
}

void clustermon_command_ask(Clustermon *cm)
{
    cm->local = CLUSTERMON_UNKNOWN;
    begin(cm, CLUSTERMON_CMD_STATUS, on_status);
    if (cm->config->command[CLUSTERMON_CMD_NETWORK][0] == '\0')
        cm->network = true;
    else
        begin(cm, CLUSTERMON_CMD_NETWORK, on_network);
}
