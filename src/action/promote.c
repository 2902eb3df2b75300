/*
 * promote.c: a standby becomes the primary.
 *
 * With nobody in the way of replay, and to a number that no fork has. A restore_command that hangs must not
 * hold it up: what the vote was about is in pg_wal, so the server is started again without an archive and
 * promoted then.
 */
#include "action/command.h"
#include "action/restore.h"
#include "action/role.h"
#include "action/standbys.h"
#include "pg/timeline.h"
#include "pg/wal.h"
#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMOTE_CLAIMS_MAX 1000u
#define PROMOTE_STEP_MS    2
#define PROMOTE_TICK_MS    20
#define PROMOTE_LATE_MS    2000 /* for a promotion that a failed command had begun */

#define SQLSTATE_NOT_IN_RECOVERY "55000"

typedef struct PromoteData {
    uint32_t timeline; /* before the promotion */
    uint32_t segment_size;
    char why[ACT_TEXT_LEN]; /* it was not promoted; "": not done in time */
    bool again;             /* after a start without an archive */
    bool hangs;             /* a restore_command does, while the promote command waits */
    int64_t failed_us;      /* when the promote command failed (raw clock); 0: it did not */
    int64_t seen_us;        /* when the server was seen as a primary while that command still ran */
    bool waits;             /* it was told before that commits wait, so that they do from the first on */
} PromoteData;

/*
 * Ends whoever could hold replay up, as long as there is something to replay: sessions inside a transaction
 * or with a snapshot. Raising no conflict, those of a standby that has replayed everything live on.
 */
#define CLEAR_QUERY                                                                                            \
    "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_get_activity(NULL) a,"                             \
    " pg_stat_get_activity(NULL) s WHERE s.backend_type = 'startup'"                                           \
    " AND coalesce(s.wait_event, '') NOT IN"                                                                   \
    "  ('RecoveryWalStream', 'RecoveryWalAll', 'RecoveryRetrieveRetryInterval')"                               \
    " AND pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()"                                 \
    " AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.application_name <> 'pgvigil'" \
    " AND (a.state <> 'idle' OR a.backend_xmin IS NOT NULL)"

#define PROMOTED_QUERY                                                                                       \
    "SELECT r.rec, CASE WHEN NOT r.rec THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,"        \
    " (" CLEAR_QUERY " AND r.rec) FROM (SELECT pg_is_in_recovery() AS rec OFFSET 0) r"

static void promote_look(Run *run);

static bool claim_numbers(Run *run, Err *err)
{
    const PromoteData *data = run->data;
    bool made;

    if (!timeline_fill(run->settings.data_directory, data->timeline, err))
        return false;
    for (uint32_t n = data->timeline + 1; n < run->request.timeline; n++)
        if (!timeline_claim(run->settings.data_directory, n, data->timeline, &made, err))
            return false;
    return true;
}

static bool remove_claims(Run *run, Err *err)
{
    const PromoteData *data = run->data;

    return timeline_trim_claims(run->settings.data_directory, data->segment_size, err);
}

static bool read_start(Run *run, Err *err)
{
    return timeline_start(run->settings.data_directory, run->outcome.timeline, &run->outcome.lsn, err);
}

static void on_not_promoted_cleaned(Run *run)
{
    const PromoteData *data = run->data;

    run_end_failed(run, "not promoted: %s", data->why[0] != '\0' ? data->why : "not done within its time");
}

static void on_promote_stopped(Run *run)
{
    run_work(run, remove_claims, on_not_promoted_cleaned);
}

/* Nothing is under way that could still promote it. */
static void give_up(Run *run, const char *what, const char *why)
{
    PromoteData *data = run->data;

    snprintf(data->why, sizeof data->why, "%s%.150s", what, why);
    run->cleaning = true;
    on_promote_stopped(run);
}

static bool is_primary(const Run *run, const PgStatus *status)
{
    return status->state == SERVER_PRIMARY && status->timeline == run->outcome.timeline;
}

static void on_primary_seen(Run *run)
{
    if (run->request.timeline != 0 && run->outcome.timeline != run->request.timeline)
        run_end_ok(run, "it came out on timeline %u, not on %u as claimed", (unsigned) run->outcome.timeline,
                   (unsigned) run->request.timeline);
    else
        run_end_ok(run, "%s", "");
}

static void on_start_read(Run *run)
{
    run_settle(run, is_primary, 500, on_primary_seen);
}

static void on_claimed(Run *run);

/* It runs again, with the WAL it has and no archive. */
static void promote_again(Run *run)
{
    PromoteData *data = run->data;

    data->again = true;
    data->hangs = false;
    data->failed_us = data->seen_us = 0;
    run_set_deadline(run, run->settings.promote_timeout_ms);
    run->cleanup = on_promote_stopped;
    run_work(run, claim_numbers, on_claimed);
}

/* What it may have left for the postmaster goes, so that nothing is promoted later. */
static bool take_back(Run *run, Err *err)
{
    char path[DATADIR_PATH_LEN + 32];

    (void) err;
    snprintf(path, sizeof path, "%s/promote.signal", run->settings.data_directory);
    (void) unlink(path);
    return remove_claims(run, NULL);
}

static void give_up_command(Run *run)
{
    run->cleanup = NULL;
    run->cleaning = true;
    run_work(run, take_back, on_not_promoted_cleaned);
}

static void on_promote_look(Run *run)
{
    PromoteData *data = run->data;

    if (!run->ok && run_status(run)->postmaster == 0) {
        give_up(run, "the server ended", "");
    } else if (run->ok && conn_value(run->reply->result, 0)[0] == 'f') {
        run->cleanup = NULL;
        run->outcome.timeline = (uint32_t) strtoul(conn_value(run->reply->result, 1), NULL, 16);
        run_work(run, read_start, on_start_read);
    } else if (!data->again && restore_hangs(run, 0, run->settings.restore_promote_ms)) {
        run->cleanup = NULL;
        start_without_archive(run, promote_again);
    } else if (data->failed_us != 0 && clock_now().raw_us - data->failed_us > PROMOTE_LATE_MS * US_PER_MS) {
        give_up_command(run);
    } else {
        run_sleep(run, PROMOTE_STEP_MS, promote_look);
    }
}

static void promote_look(Run *run)
{
    run_ask(run, PROMOTED_QUERY, ACT_QUERY_MS, on_promote_look);
}

static void on_promotion_asked(Run *run)
{
    bool is_primary_already = !run->ok && strcmp(run->reply->sqlstate, SQLSTATE_NOT_IN_RECOVERY) == 0;

    /* What the server answered counts; without an answer it may have begun. */
    if (!run->ok && run->err.code == ERR_PG && !is_primary_already) {
        Err err = run->err;
        give_up(run, "the server refuses: ", err.text);
    } else if (run->ok && conn_value(run->reply->result, 0)[0] == 'f') {
        give_up(run, "the server refuses: its postmaster cannot be told", "");
    } else {
        promote_look(run);
    }
}

/* ---- By the user's command ---- */

static void on_promote_command(Run *run)
{
    PromoteData *data = run->data;
    Err err = run->err;

    if (run->result == NULL) {
        give_up(run, "", err.text);
        return;
    }
    /* It may have failed after it had begun: that is waited for a while. */
    if (!run->ok && !data->hangs && data->seen_us == 0) {
        snprintf(data->why, sizeof data->why, "%.180s", err.text);
        data->failed_us = clock_now().raw_us;
    }
    promote_look(run);
}

static void watch_promotion(Run *run)
{
    PromoteData *data = run->data;
    int64_t now_us = clock_now().raw_us;

    data->hangs = data->hangs || (!data->again && restore_hangs(run, 0, run->settings.restore_promote_ms));
    if (data->seen_us == 0 && run_status(run)->state == SERVER_PRIMARY)
        data->seen_us = now_us;
    if (data->hangs || (data->seen_us != 0 && now_us - data->seen_us > COMMAND_GRACE_MS * US_PER_MS))
        exec_kill(run->exec);
    else if (data->seen_us == 0)
        poll_now(run->actions->poll);
}

static void promote_by_command(Run *run)
{
    command_run(run, RUNS_PROMOTE, &(CommandValues){0}, NULL, NULL, run->settings.promote_timeout_ms, false,
                NULL, on_promote_command);
    if (run->exec != NULL)
        run_tick(run, PROMOTE_TICK_MS, watch_promotion);
}

static void on_cleared(Run *run)
{
    if (!run->ok) {
        Err err = run->err;
        give_up(run, "the server cannot be asked: ", err.text);
        return;
    }
    long ended = strtol(conn_value(run->reply->result, 0), NULL, 10);
    if (ended > 0)
        log_line(LOG_LEVEL_INFO, "promote_clears",
                 "id=%u sessions=%ld text=\"they could have held up replay\"", (unsigned) run->request.id,
                 ended);
    if (!run_may_write(run))
        give_up(run, RUN_NO_LEASE, "");
    else if (command_is_set(run, RUNS_PROMOTE))
        promote_by_command(run);
    else
        run_ask(run, "SELECT pg_promote(false)", ACT_QUERY_MS, on_promotion_asked);
}

static void on_claimed(Run *run)
{
    if (!run->ok)
        run_end_error(run, "cannot claim the timelines before it");
    else
        run_ask(run, CLEAR_QUERY, ACT_QUERY_MS, on_cleared);
}

static void claim(Run *run)
{
    run->cleanup = on_promote_stopped;
    run_work(run, claim_numbers, on_claimed);
}

/* What it acknowledges as a primary waits for those from the first commit on. Walsenders from before have
 * names that nobody bears. */
static void on_told(Run *run)
{
    const PromoteData *data = run->data;

    if (data->waits)
        standbys_note(run);
    claim(run);
}

void promote_begin(Run *run)
{
    const PgStatus *status = run_status(run);
    PromoteData *data = run_alloc_data(run, sizeof *data);

    data->timeline = status->timeline;
    data->segment_size = status->wal_segment_size != 0 ? status->wal_segment_size : WAL_SEGMENT_SIZE_NORMAL;
    run_set_deadline(run, run->settings.promote_timeout_ms);
    if (status->state != SERVER_STANDBY) {
        run_end_failed(run, "it does not run as a standby (%s)", status_state_name(status->state));
        return;
    }
    if (run->request.timeline > status->timeline + PROMOTE_CLAIMS_MAX) {
        run_end_failed(run, "timeline %u is too far from %u", (unsigned) run->request.timeline,
                       (unsigned) status->timeline);
        return;
    }
    data->waits = standbys_are_waited_for(run);
    if (run->request.names != NULL)
        standbys_tell(run, on_told);
    else
        claim(run);
}
