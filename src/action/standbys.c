/*
 * standbys.c: whom commits wait for: synchronous_standby_names, and the number that tells which of them it
 * is.
 *
 * Files are not enough: walsenders release by what they have read, and a flag of the checkpointer makes
 * commits wait. With the extension each process tells. Without: a connection made after the reload shows that
 * all were told; walsenders from before are ended, and a checkpoint asked for then shows that the
 * checkpointer was told.
 */
#include "action/standbys.h"

#include "action/role.h"
#include "action/server.h"
#include "sys/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_LIMIT_MS   5000 /* a reload is read in milliseconds, unless the files have an error */
#define TELL_STEP_MS    5
#define ARRIVE_LIMIT_MS 1000

typedef struct NamesData {
    bool flagged;    /* commits are known to wait already */
    char gone[4096]; /* the query for the walsenders that were ended */
} NamesData;

/* ---- Files, reload, and a connection that has read them ---- */

static bool write_names(Run *run, Err *err)
{
    RoleSettings role = {0};

    role_add_names(run, &role);
    return autoconf_write(run->settings.data_directory, role.setting, role.count, NULL, err);
}

static void look_afresh(Run *run);

static void look_again(Run *run)
{
    if (clock_now().raw_us < run->settle_until_us)
        run_sleep(run, TELL_STEP_MS, look_afresh);
    else
        run_end_failed(
            run, "the server does not take synchronous_standby_names: a file of its configuration has an "
                 "error, or it was started with another value");
}

static void on_shown(Run *run)
{
    const char *names = run->ok ? conn_value(run->reply->result, 0) : "";
    const char *generation = run->ok ? conn_value(run->reply->result, 1) : "";
    bool same = run->request.names == NULL || strcmp(names, run->request.names) == 0;

    if (run->ok && same && strtoul(generation, NULL, 10) == run->request.generation)
        run->after(run);
    else
        look_again(run);
}

static void on_connected_afresh(Run *run)
{
    if (run->ok)
        run_query(
            run,
            "SELECT current_setting('synchronous_standby_names'), current_setting('pgvigil.generation', true)",
            ACT_QUERY_MS, on_shown);
    else
        look_again(run);
}

static void look_afresh(Run *run)
{
    ConnTarget target = server_target(run);

    if (run_status(run)->postmaster == 0)
        run_end_failed(run, "the server does not run");
    else
        run_connect(run, &target, ACT_QUERY_MS, on_connected_afresh);
}

static void on_names_written(Run *run)
{
    if (!run->ok)
        run_end_error(run, "cannot write synchronous_standby_names");
    else if (!run_signal(run_status(run)->postmaster, SIGHUP))
        run_end_failed(run, "the server does not run");
    else
        look_afresh(run);
}

void standbys_tell(Run *run, RunStep *then)
{
    run->after = then;
    run->settle_until_us = clock_now().raw_us + TELL_LIMIT_MS * US_PER_MS;
    run_work(run, write_names, on_names_written);
}

bool standbys_are_waited_for(const Run *run)
{
    const PgStatus *status = run_status(run);

    return status->names_known && status->names[0] != '\0' && status->generation != 0 &&
           (run->actions->names_done == status->generation ||
            (status->fence.loaded && status->fence.defined));
}

void standbys_note(Run *run)
{
    run->actions->names_done = run->request.generation;
}

/* ---- Until every process has them ---- */

static void on_seen(Run *run)
{
    run_end_ok(run, "%s", "");
}

static bool is_seen(const Run *run, const PgStatus *status)
{
    return status->generation == run->request.generation;
}

static void on_everywhere(Run *run)
{
    standbys_note(run);
    run_settle(run, is_seen, ARRIVE_LIMIT_MS, on_seen);
}

static void on_names_checkpointed(Run *run)
{
    if (run->ok)
        on_everywhere(run);
    else
        run_end_error(run, "checkpoint, which shows that commits wait");
}

static void make_wait(Run *run)
{
    const NamesData *data = run->data;

    if (data->flagged || run->request.names == NULL || run->request.names[0] == '\0')
        on_everywhere(run);
    else
        run_query(run, "CHECKPOINT", run->settings.checkpoint_timeout_ms, on_names_checkpointed);
}

static void look_for_senders(Run *run);

static void on_senders(Run *run)
{
    if (!run->ok)
        run_end_error(run, "the walsenders cannot be seen");
    else if (conn_value(run->reply->result, 0)[0] == '0')
        make_wait(run);
    else
        run_sleep(run, TELL_STEP_MS, look_for_senders);
}

static void look_for_senders(Run *run)
{
    const NamesData *data = run->data;

    run_query(run, data->gone, ACT_QUERY_MS, on_senders);
}

static void on_senders_ended(Run *run)
{
    NamesData *data = run->data;

    if (!run->ok) {
        run_end_error(run, "the walsenders cannot be ended");
        return;
    }
    const char *list = conn_value(run->reply->result, 0);
    int len = snprintf(data->gone, sizeof data->gone,
                       "SELECT count(*) FROM pg_stat_replication WHERE pid IN (%s)", list);
    if (list[0] == '\0')
        make_wait(run);
    else if (len < (int) sizeof data->gone)
        look_for_senders(run);
    else /* one that cannot be seen to be gone may still release by its old names */
        run_end_failed(run, "there are more walsenders than can be waited for");
}

/* Whoever copies the data directory releases nothing and is left alone. OFFSET 0: the view is a join, and the
 * planner would put the function before it, where it ends every session. */
static void end_senders(Run *run)
{
    run_query(run,
              "SELECT string_agg(pid::text, ',') FILTER (WHERE pg_terminate_backend(pid)) FROM"
              " (SELECT pid FROM pg_stat_replication WHERE state <> 'backup' OFFSET 0) s",
              ACT_QUERY_MS, on_senders_ended);
}

static bool has_arrived(const Run *run, const PgStatus *status)
{
    bool wants = run->request.names != NULL && run->request.names[0] != '\0';

    return is_seen(run, status) && status->fence.generation == run->request.generation &&
           (run->request.names == NULL || status->fence.defined == wants);
}

/* One that has not read them in so long is stuck. */
static void on_arrived(Run *run)
{
    if (has_arrived(run, run_status(run)))
        on_seen(run);
    else
        end_senders(run);
}

static void on_told(Run *run)
{
    if (run_status(run)->state != SERVER_PRIMARY)
        make_wait(run);
    else if (run_status(run)->fence.loaded)
        run_settle(run, has_arrived, ARRIVE_LIMIT_MS, on_arrived);
    else
        end_senders(run);
}

void standbys_set_names(Run *run)
{
    NamesData *data = run_alloc_data(run, sizeof *data);

    data->flagged = standbys_are_waited_for(run);
    run_set_deadline(run, ACT_PROGRAM_MS + run->settings.checkpoint_timeout_ms);
    standbys_tell(run, on_told);
}
