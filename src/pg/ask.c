/*
 * ask.c: the poller's two connections: the persistent one with its queue, and the fresh ones.
 *
 * What counts as an answer: a row, but also "starting up" and "too many connections", for a postmaster that
 * says so is alive. Silence, a refused connection and a lost one that cannot be made anew are none.
 */
#include "base/str.h"
#include "pg/internal.h"
#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOCK_MS 1000

static int64_t now_ms(void)
{
    return clock_now().raw_us / US_PER_MS;
}

static ConnTarget target_of(const PgPoll *poll)
{
    bool tcp = poll->pidfile.socket_directory[0] == '\0' ||
               (poll->over_tcp && poll->pidfile.listen_address[0] != '\0');

    return (ConnTarget){.host = tcp ? poll->pidfile.listen_address : poll->pidfile.socket_directory,
                        .port = poll->pidfile.port,
                        .user = poll->user,
                        .database = poll->database,
                        .passfile = poll->passfile};
}

static bool sqlstate_is(const ConnReply *reply, const char *sqlstate)
{
    return strcmp(reply->sqlstate, sqlstate) == 0;
}

/* Refused for a reason that only an operator can remove: alive all the same. */
static bool is_refusal(const ConnReply *reply)
{
    return strncmp(reply->sqlstate, "28", 2) == 0 || strncmp(reply->sqlstate, "3D", 2) == 0 ||
           strncmp(reply->sqlstate, "42", 2) == 0;
}

static void set_problem(PgPoll *poll, const char *text, const char *cure)
{
    snprintf(poll->next.problem, sizeof poll->next.problem, "%.180s%s", text, cure);
}

static void finish(PollQuery *query, const ConnReply *reply)
{
    PollQuery done = *query;

    *query = (PollQuery){0};
    free(done.sql);
    if (done.on_done != NULL)
        done.on_done(done.arg, reply);
}

void ask_fail_queue(PgPoll *poll)
{
    ConnReply reply = {0};
    size_t count = poll->queued;

    err_set(&reply.err, ERR_NET, "no connection to the local server");
    for (size_t i = 0; i < count && poll->queued > 0; i++) {
        PollQuery query = poll->queue[0];
        poll->queued--;
        memmove(&poll->queue[0], &poll->queue[1], poll->queued * sizeof query);
        finish(&query, &reply);
    }
}

/* The server refused the persistent connection, or could not be reached. */
static void on_refused(PgPoll *poll, const ConnReply *reply)
{
    bool had_tcp = poll->over_tcp;

    poll->next.connections_full = false;
    if (sqlstate_is(reply, SQLSTATE_CANNOT_CONNECT_NOW)) {
        poll->answered = true;
        poll->next.state = SERVER_STARTING;
        poll_want_look(poll, LOOK_DIRECTORY);
        poll_hurry(poll);
    } else if (sqlstate_is(reply, SQLSTATE_TOO_MANY_CONNECTIONS)) {
        poll->answered = true;
        poll->next.connections_full = true;
        if (poll->next.state == SERVER_STARTING || poll->next.state == SERVER_UNKNOWN)
            poll_want_look(poll, LOOK_DIRECTORY);
    } else if (is_refusal(reply)) {
        poll->answered = true;
        poll->over_tcp = false; /* the socket may let in whom the listen address does not */
        poll_want_look(poll, LOOK_DIRECTORY);
        set_problem(poll, reply->err.text,
                    "; let this user in (pg_hba.conf, [postgresql] user, database, passfile)");
    } else {
        poll->answered = false;
        poll->over_tcp = !had_tcp && reply->err.code == ERR_NET && poll->pidfile.listen_address[0] != '\0';
        poll_want_look(poll, LOOK_DIRECTORY); /* the postmaster writes its file line by line */
        if (poll->next.state == SERVER_STARTING || poll->over_tcp)
            poll_hurry(poll);
    }
    poll_emit(poll);
    if (poll->queued > 0)
        loop_timer_start(&poll->defer, 0, 0);
}

static void on_prepared(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;

    if (reply->ok) {
        poll->prepared = true;
        poll->settings_wanted = poll->wanted = true;
        ask_pump(poll);
        return;
    }
    if (reply->err.code == ERR_PG)
        set_problem(poll, reply->err.text, "");
    conn_close(poll->conn);
    on_refused(poll, reply);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;
    Err err = {0};

    if (!reply->ok) {
        on_refused(poll, reply);
        return;
    }
    if (!query_supports(conn_server_version(poll->conn), &err)) {
        conn_close(poll->conn);
        poll->next.state = SERVER_UNKNOWN;
        poll->answered = true;
        set_problem(poll, err.text, "");
        poll_emit(poll);
        return;
    }
    poll->next.server_version = conn_server_version(poll->conn);
    poll->next.problem[0] = '\0';
    poll->next.connections_full = false;
    conn_query(poll->conn, query_prepare(poll->next.server_version), poll->poll_timeout_ms, on_prepared,
               poll);
}

static void connect_now(PgPoll *poll)
{
    ConnTarget target = target_of(poll);

    poll->prepared = poll->polling = false;
    poll->connect_ms = now_ms();
    /* While postmaster.pid says that nobody would open, knocking only fills the server's log. Before it says
     * anything, its line with the socket may not be written yet either. */
    const char *status = poll->pidfile.status;
    bool closed = status[0] == '\0' || strcmp(status, "starting") == 0 || strcmp(status, "stopping") == 0;
    if (closed && now_ms() - poll->knocked_ms < KNOCK_MS) {
        poll->answered = true;
        poll->next.state = SERVER_STARTING;
        poll_want_look(poll, LOOK_DIRECTORY);
        poll_hurry(poll);
        if (poll->queued > 0)
            loop_timer_start(&poll->defer, 0, 0);
        if (poll->status.state != SERVER_STARTING || now_ms() - poll->emitted_ms >= poll->poll_interval_ms)
            poll_emit(poll);
        return;
    }
    poll->knocked_ms = now_ms();
    if (target.host[0] == '\0' || target.port == 0) {
        poll_want_look(poll, LOOK_DIRECTORY); /* not written yet */
        poll_hurry(poll);
        return;
    }
    conn_connect(poll->conn, &target, poll->poll_timeout_ms, on_connected, poll);
}

/* A query failed. A connection that was lost is made anew at once, but not in a tight loop. */
static void on_failed(PgPoll *poll, const ConnReply *reply)
{
    bool ended = strncmp(reply->sqlstate, "57P", 3) == 0; /* the server's last words on this connection */

    if (reply->connected && !ended) {
        set_problem(poll, reply->err.text, "");
        poll->answered = true;
        poll_emit(poll);
        return;
    }
    conn_close(poll->conn);
    poll->prepared = false;
    if (reply->err.code == ERR_TIMEOUT || now_ms() - poll->connect_ms < poll->poll_interval_ms) {
        poll->answered = false;
        poll_emit(poll);
        return;
    }
    poll->wanted = true;
    ask_pump(poll);
}

static void on_settings(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;
    Err err = {0};

    poll->settings_wanted = false;
    if (!reply->ok) {
        on_failed(poll, reply);
        return;
    }
    if (query_parse_settings(reply->result, &poll->next, &err))
        poll->facts_known = true;
    else
        set_problem(poll, err.text, "");
    ask_pump(poll);
}

static void on_row(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;
    QueryExtra extra;
    Err err = {0};

    poll->polling = false;
    poll->next.looked_us = poll->asked_us;
    if (!reply->ok) {
        on_failed(poll, reply);
        return;
    }
    if (!query_parse_poll(reply->result, &poll->next, &extra, &err)) {
        set_problem(poll, err.text, "");
        poll_emit(poll);
        return;
    }
    poll->answered = true;
    poll->over_tcp = false;
    poll->next.problem[0] = '\0';
    if (strcmp(extra.reloaded, poll->reloaded) != 0) {
        poll->settings_wanted = poll->reloaded[0] != '\0';
        poll->wanted = poll->wanted || poll->settings_wanted; /* so that they are seen at once */
        str_copy(poll->reloaded, sizeof poll->reloaded, extra.reloaded);
    }
    poll_on_row(poll, &extra);
    ask_pump(poll);
}

static void on_asked(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;
    PollQuery sent = poll->sent;

    poll->sent = (PollQuery){0};
    if (!reply->connected)
        poll->prepared = false;
    finish(&sent, reply);
    ask_pump(poll);
}

void ask_pump(PgPoll *poll)
{
    if (poll->next.postmaster == 0 || conn_is_busy(poll->conn))
        return;
    if (!conn_is_connected(poll->conn)) {
        if (poll->wanted || poll->queued > 0)
            connect_now(poll);
    } else if (!poll->prepared) {
        return; /* on its way */
    } else if (poll->queued > 0) {
        poll->sent = poll->queue[0];
        poll->queued--;
        memmove(&poll->queue[0], &poll->queue[1], poll->queued * sizeof poll->queue[0]);
        conn_query(poll->conn, poll->sent.sql, poll->sent.timeout_ms, on_asked, poll);
    } else if (poll->settings_wanted) {
        conn_query(poll->conn, query_settings(), poll->poll_timeout_ms, on_settings, poll);
    } else if (poll->wanted) {
        poll->wanted = false;
        poll->polling = true;
        poll->asked_us = clock_now().boot_us;
        conn_query(poll->conn, query_poll(), poll->poll_timeout_ms, on_row, poll);
    }
}

void ask_start(PgPoll *poll)
{
    poll->prepared = poll->polling = poll->answered = poll->over_tcp = false;
    poll->knocked_ms = now_ms();
    poll->fresh_answered = true;
    poll->reloaded[0] = '\0';
    poll->wanted = true;
    ask_pump(poll);
    loop_timer_start(&poll->fresh_timer, poll->fresh_interval_ms * 1000, poll->fresh_interval_ms * 1000);
}

void ask_stop(PgPoll *poll)
{
    conn_close(poll->conn);
    conn_close(poll->fresh);
    loop_timer_stop(&poll->fresh_timer);
    poll->prepared = poll->polling = poll->answered = false;
    if (poll->sent.sql != NULL) {
        memmove(&poll->queue[1], &poll->queue[0], poll->queued * sizeof poll->queue[0]);
        poll->queue[0] = poll->sent;
        poll->sent = (PollQuery){0};
        poll->queued++;
    }
    if (poll->queued > 0)
        loop_timer_start(&poll->defer, 0, 0);
}

static void end_fresh(PgPoll *poll, bool answered)
{
    bool changed = poll->fresh_answered != answered;

    conn_close(poll->fresh);
    poll->fresh_answered = answered;
    if (changed)
        poll_emit(poll);
}

static void on_fresh_asked(void *arg, const ConnReply *reply)
{
    end_fresh(arg, reply->ok || reply->err.code == ERR_PG);
}

static void on_fresh(void *arg, const ConnReply *reply)
{
    PgPoll *poll = arg;

    if (reply->ok)
        conn_query(poll->fresh, "SELECT 1", poll->poll_timeout_ms, on_fresh_asked, poll);
    else
        end_fresh(poll, reply->sqlstate[0] != '\0');
}

void ask_fresh(PgPoll *poll)
{
    ConnTarget target = target_of(poll);

    if (poll->next.postmaster != 0 && conn_is_connected(poll->conn) && !conn_is_busy(poll->fresh) &&
        target.host[0] != '\0')
        conn_connect(poll->fresh, &target, poll->poll_timeout_ms, on_fresh, poll);
}

/* ---- Queries of others ---- */

void poll_query(PgPoll *poll, const char *sql, int64_t timeout_ms, ConnFn *on_done, void *arg)
{
    char *copy = strdup(sql);

    if (copy == NULL || poll->queued >= POLL_QUERY_MAX) {
        free(copy);
        ConnReply reply = {0};
        err_set(&reply.err, ERR_REFUSED, "too many queries wait for the local server");
        on_done(arg, &reply);
        return;
    }
    poll->queue[poll->queued++] =
        (PollQuery){.sql = copy, .timeout_ms = timeout_ms, .on_done = on_done, .arg = arg};
    if (poll->next.postmaster == 0)
        loop_timer_start(&poll->defer, 0, 0);
    else
        ask_pump(poll);
}

void poll_forget(PgPoll *poll, void *arg)
{
    if (poll->sent.arg == arg)
        poll->sent.on_done = NULL;
    for (size_t i = 0; i < poll->queued; i++)
        if (poll->queue[i].arg == arg)
            poll->queue[i].on_done = NULL;
}
