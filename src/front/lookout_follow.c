/*
 * lookout_follow.c: autofollow in steps: a look at the files, the stop command, the files, the start command.
 *
 * From PostgreSQL 13 on a running standby only reloads. A server that answers nothing but runs is left alone.
 */
#include "front/lookout_follow.h"

#include "front/lookout.h"
#include "front/lookout_standby.h"
#include "sys/clock.h"
#include "sys/exec.h"
#include "sys/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_US (30 * US_PER_SEC) /* after something failed */

struct LookoutFollow {
    Lookout *lookout;
    bool due, busy;
    bool owed; /* we stopped the server, and it has not been started since */
    int64_t not_before_us;
    char primary[256]; /* of the try under way */
    LookoutStandby standby;
};

LookoutFollow *lookout_follow_new(Lookout *lookout)
{
    LookoutFollow *follow = calloc(1, sizeof *follow);

    if (follow == NULL)
        abort();
    follow->lookout = lookout;
    return follow;
}

bool lookout_follow_is_busy(const LookoutFollow *follow)
{
    return follow->busy;
}

void lookout_follow_due(LookoutFollow *follow)
{
    follow->due = true;
    follow->not_before_us = 0;
}

static void end(LookoutFollow *follow, const Err *err)
{
    char text[600];

    explicit_bzero(follow->standby.conninfo, sizeof follow->standby.conninfo);
    follow->busy = false;
    if (err->code == ERR_NONE)
        return;
    follow->due = true;
    follow->not_before_us = clock_now().boot_us + AGAIN_US;
    lookout_log(follow->lookout, LOG_LEVEL_ERROR, "follow_failed", "primary=%s reason=%s", follow->primary,
                log_quote(err->text, text, sizeof text));
}

static void run(LookoutFollow *follow, const LookoutCommand *command,
                void (*on_exit)(void *arg, const ExecResult *result))
{
    ExecSpec spec = {.argv = command->argv,
                     .timeout_ms = LOOKOUT_COMMAND_MS,
                     .new_session = true,
                     .on_exit = on_exit,
                     .arg = follow};
    Err err = {0};

    if (command->argv[0] == NULL)
        err_set(&err, ERR_CONFIG, "pg_stop_command or pg_start_command is not in the configuration any more");
    if (err.code != ERR_NONE || exec_start(&follow->lookout->loop, &spec, &err) == NULL)
        end(follow, &err);
}

static void on_started(void *arg, const ExecResult *result)
{
    LookoutFollow *follow = arg;
    Err err = {0};

    if (result->status != 0) {
        exec_error(result, "pg_start_command", &err);
    } else {
        follow->owed = false;
        lookout_log(follow->lookout, LOG_LEVEL_WARN, "followed", "primary=%s by=restart", follow->primary);
    }
    end(follow, &err);
}

static void write_files(void *arg)
{
    LookoutFollow *follow = arg;

    lookout_standby_write(&follow->standby);
}

static void on_files(void *arg)
{
    LookoutFollow *follow = arg;
    LookoutStandby *standby = &follow->standby;
    Err err = standby->err;

    if (err.code != ERR_NONE) {
        end(follow, &err);
    } else if (standby->todo == LOOKOUT_STANDBY_RELOAD) {
        if (kill(standby->postmaster, SIGHUP) != 0)
            err_set_errno(&err, ERR_IO, errno, "could not make the server reload its configuration");
        else
            lookout_log(follow->lookout, LOG_LEVEL_WARN, "followed", "primary=%s by=reload", follow->primary);
        end(follow, &err);
    } else {
        run(follow, &follow->lookout->config->pg_start_command, on_started);
    }
}

/* A stop that fails on a server that does not run is no failure; lookout_standby_write looks. */
static void on_stopped(void *arg, const ExecResult *result)
{
    LookoutFollow *follow = arg;
    Err err = {0};
    char text[600];

    if (result->status != 0) {
        exec_error(result, "pg_stop_command", &err);
        lookout_log(follow->lookout, LOG_LEVEL_WARN, "stop_failed", "reason=%s",
                    log_quote(err.text, text, sizeof text));
    }
    loop_work(&follow->lookout->loop, write_files, on_files, follow);
}

static void look(void *arg)
{
    LookoutFollow *follow = arg;

    lookout_standby_look(&follow->standby);
}

static void on_looked(void *arg)
{
    LookoutFollow *follow = arg;
    LookoutStandby *standby = &follow->standby;

    if (standby->err.code != ERR_NONE || standby->todo == LOOKOUT_STANDBY_NOTHING) {
        Err err = standby->err;
        end(follow, &err);
        return;
    }
    lookout_log(follow->lookout, LOG_LEVEL_WARN, "follow", "primary=%s how=%s was=%s", follow->primary,
                standby->todo == LOOKOUT_STANDBY_RELOAD ? "reload" : "restart",
                standby->state == LOOKOUT_OWN_STANDBY   ? "standby"
                : standby->state == LOOKOUT_OWN_PRIMARY ? "primary"
                                                        : "down");
    if (standby->todo == LOOKOUT_STANDBY_RELOAD) {
        loop_work(&follow->lookout->loop, write_files, on_files, follow);
        return;
    }
    follow->owed = true; /* whatever becomes of this try */
    run(follow, &follow->lookout->config->pg_stop_command, on_stopped);
}

/* The one primary that answers, beside the own server; NULL if nothing is to be done, or not now. */
static const LookoutNode *find_other(const Lookout *lookout)
{
    const LookoutNode *other = NULL;

    for (int i = 0; i < lookout->node_count; i++) {
        const LookoutNode *node = lookout->node[i];
        if (i == lookout->config->own || !node->seen.connected || node->seen.in_recovery)
            continue;
        if (other != NULL)
            return NULL;
        other = node;
    }
    return other;
}

/* False: it must not be touched, or cannot be judged. */
static bool judge(const Lookout *lookout, const LookoutSeen *other, LookoutOwn *ret_state, Err *err)
{
    const LookoutSeen *own = &lookout->node[lookout->config->own]->seen;
    bool is_foreign = own->system_identifier != 0 && other->system_identifier != 0 &&
                      own->system_identifier != other->system_identifier;

    if (is_foreign)
        return err_set(err, ERR_REFUSED, "the primary is of another database cluster (system identifier)");
    if (own->connected && own->in_recovery) {
        *ret_state = LOOKOUT_OWN_STANDBY;
    } else if (own->connected) {
        *ret_state = LOOKOUT_OWN_PRIMARY;
        /* Somebody promoted a standby beside it, by mistake perhaps: people have to say which one is right.
         */
        if (lookout->own_held)
            return err_set(err, ERR_REFUSED,
                           "the own server was the one primary before the other one was promoted");
        /* Which of two primaries is the former one: the one that was not promoted. */
        if (own->timeline == 0 || other->timeline == 0 || own->timeline >= other->timeline)
            return err_set(
                err, ERR_REFUSED,
                "the own server is a primary too, and its timeline (%u) does not tell that it is the former "
                "one: the other has %u",
                own->timeline, other->timeline);
    } else {
        *ret_state = LOOKOUT_OWN_DOWN; /* or hung, or it lets nobody in: lookout_standby_look finds out */
        return own->polled_us != 0;
    }
    return true;
}

void lookout_follow_check(LookoutFollow *follow)
{
    Lookout *lookout = follow->lookout;
    const LookoutConfig *config = lookout->config;
    LookoutStandby *standby = &follow->standby;
    Err err = {0};

    if (!config->autofollow || config->own < 0 || !follow->due || follow->busy ||
        clock_now().boot_us < follow->not_before_us)
        return;
    const LookoutNode *other = find_other(lookout);
    if (other == NULL) {
        if (strcmp(lookout->primary, config->own_db) == 0)
            follow->due = false; /* it is the own server */
        return;
    }
    *standby = (LookoutStandby){.system_identifier = other->seen.system_identifier};
    bool done = judge(lookout, &other->seen, &standby->state, &err);
    if (done && standby->state != LOOKOUT_OWN_DOWN)
        follow->owed = false; /* it runs */
    standby->owed = follow->owed;
    if (!done && err.code == ERR_NONE)
        return;
    follow->busy = true;
    follow->due = false;
    str_copy(follow->primary, sizeof follow->primary, other->name);
    const char *primary = NULL;
    for (int i = 0; i < config->conn_count; i++)
        if (strcmp(config->conn[i].name, other->name) == 0)
            primary = config->conn[i].value;
    done = done && primary != NULL &&
           lookout_follow_conninfo(config->primary_conninfo_template, primary, standby->conninfo,
                                   sizeof standby->conninfo, &err);
    if (!done) {
        end(follow, &err);
        return;
    }
    str_copy(standby->directory, sizeof standby->directory, config->pg_data_directory);
    loop_work(&lookout->loop, look, on_looked, follow);
}
