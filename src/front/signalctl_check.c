/*
 * signalctl_check.c: one look at the server: connect if need be, ask for its role, then its standbys.
 */
#include "front/signalctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char role_sql[] = "select pg_is_in_recovery()";

struct SignalctlCheck {
    const SignalctlOptions *options;
    Conn *conn;
    Majority *majority; /* NULL: the standbys are not asked */
    SignalctlCheckFn *on_done;
    void *arg;
    bool busy;
    SignalctlVerdict verdict;
};

static void finish(SignalctlCheck *check, bool good, const char *reason)
{
    SignalctlVerdict verdict = check->verdict;

    check->busy = false;
    verdict.good = good;
    snprintf(verdict.reason, sizeof verdict.reason, "%s", reason);
    check->on_done(check->arg, &verdict);
}

static void on_majority(void *arg, bool good, const char *reason)
{
    finish(arg, good, reason);
}

static void on_list(void *arg, const ConnReply *reply)
{
    SignalctlCheck *check = arg;

    if (reply->ok)
        signalctl_majority_ask(check->majority, reply->result);
    else
        finish(check, false, reply->err.text);
}

static void on_role(void *arg, const ConnReply *reply)
{
    SignalctlCheck *check = arg;

    if (!reply->ok)
        finish(check, false, reply->err.text);
    else if (strcmp(conn_value(reply->result, 0), "f") != 0)
        finish(check, false, "a standby (in recovery)");
    else if (check->majority == NULL)
        finish(check, true, "primary");
    else
        conn_query(check->conn, signalctl_majority_sql, check->options->timeout_ms, on_list, check);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    SignalctlCheck *check = arg;

    if (reply->ok) {
        conn_query(check->conn, role_sql, check->options->timeout_ms, on_role, check);
        return;
    }
    /* Class 28: invalid authorization specification. */
    check->verdict.refused = strncmp(reply->sqlstate, "28", 2) == 0;
    finish(check, false, reply->err.text);
}

void signalctl_check_begin(SignalctlCheck *check)
{
    if (check->busy)
        signalctl_check_close(check);
    check->busy = true;
    check->verdict = (SignalctlVerdict){0};
    if (conn_is_connected(check->conn)) {
        conn_query(check->conn, role_sql, check->options->timeout_ms, on_role, check);
        return;
    }
    check->verdict.connected_new = true;
    conn_connect(check->conn, &check->options->target, check->options->timeout_ms, on_connected, check);
}

bool signalctl_check_is_busy(const SignalctlCheck *check)
{
    return check->busy;
}

void signalctl_check_watch(SignalctlCheck *check, ConnLostFn *on_lost)
{
    conn_watch(check->conn, on_lost, check->arg);
}

void signalctl_check_close(SignalctlCheck *check)
{
    check->busy = false;
    conn_close(check->conn);
    if (check->majority != NULL)
        signalctl_majority_close(check->majority);
}

SignalctlCheck *signalctl_check_new(uv_loop_t *loop, const SignalctlOptions *options,
                                    SignalctlCheckFn *on_done, void *arg)
{
    SignalctlCheck *check = calloc(1, sizeof *check);

    if (check == NULL)
        abort();
    *check = (SignalctlCheck){.options = options, .conn = conn_new(loop), .on_done = on_done, .arg = arg};
    if (options->majority)
        check->majority =
            signalctl_majority_new(loop, &options->target, options->timeout_ms, on_majority, check);
    return check;
}

void signalctl_check_free(SignalctlCheck *check)
{
    if (check == NULL)
        return;
    signalctl_majority_free(check->majority);
    conn_free(check->conn);
    free(check);
}
