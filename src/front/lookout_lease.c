/*
 * lookout_lease.c: the agent behind pglookout: its file, its life, the orders; lookout_voters.c asks the
 * others.
 *
 * A child and not a thread: the agent's loop, its signals and its deadlines stay its own, and a hundred slow
 * servers that are polled here delay no vote.
 */
#include "front/lookout_lease.h"

#include "config/config.h"
#include "front/lookout.h"
#include "front/lookout_native.h"
#include "front/lookout_voters.h"
#include "sys/clock.h"
#include "sys/exec.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/proc.h"
#include "wire/json.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM      "/proc/self/exe" /* the running one, even if an upgrade has replaced the file */
#define AGENT_MS     (10LL * 365 * 86400 * 1000)
#define ORDER_MS     (2 * 60 * 1000LL)
#define AGAIN_US     (100 * US_PER_MS) /* a crashed agent is back within the lease */
#define AGAIN_MOST   (30 * US_PER_SEC)
#define STEADY_US    (10 * US_PER_SEC)
#define END_US       (3 * US_PER_SEC)
#define SETTLE_US    US_PER_SEC
#define FORM_US      (2 * US_PER_SEC) /* a voter's own interval may be long, and the others have begun */
#define OWN_PAUSE    "maintenance_mode_file of "
#define VOTERS_LEAST 3

typedef enum Mode { MODE_OFF, MODE_FORMING, MODE_ON } Mode;

static const char *const mode_names[] = {"off", "forming", "on"};

struct LookoutLease {
    Lookout *lookout;
    Mode mode;
    bool was_on;      /* the agent's state is there */
    bool configured;  /* at the start */
    bool said;        /* the reason why it is off was told */
    char reason[500]; /* why it is not on; "" */
    char config[PATH_MAX], own[64];
    char mark[PATH_MAX + 16]; /* "--config=FILE" as one word: only agents that are run from here have it */
    LookoutVoterWatch *watch;
    Exec *agent, *order;  /* order: pause or resume */
    LoopTimer timer;      /* until the agent is started again */
    LoopTimer form_timer; /* while it is formed */
    LoopTimer end_timer;  /* until its end is not waited for any more */
    int64_t started_us, again_us;
    int64_t settle_us, settled_us; /* how long, and until when, an order is on its way to all */
    bool ending;
    const char *argv[16];
    char pause[128];
};

static void start_agent(void *arg);
static void on_forming(void *arg);

LookoutLease *lookout_lease_new(Lookout *lookout)
{
    LookoutLease *lease = calloc(1, sizeof *lease);

    if (lease == NULL)
        abort();
    lease->lookout = lookout;
    lease->watch = lookout_voters_new(lookout);
    loop_timer_init(&lease->timer, &lookout->loop, start_agent, lease);
    loop_timer_init(&lease->form_timer, &lookout->loop, on_forming, lease);
    return lease;
}

bool lookout_lease_is_on(const LookoutLease *lease)
{
    return lease->mode == MODE_ON;
}

/* ---- the agent ---- */

/* Its lines have time, level and event already. */
static void on_agent_line(void *arg, const char *line)
{
    (void) arg;
    log_copy(line);
}

static void on_agent_end(void *arg, const ExecResult *result)
{
    LookoutLease *lease = arg;
    char how[100], last[300], text[110], line[620];

    lease->agent = NULL;
    if (lease->ending)
        return;
    if (clock_now().boot_us - lease->started_us > STEADY_US)
        lease->again_us = AGAIN_US;
    exec_describe(result, how, sizeof how);
    lookout_log(lease->lookout, LOG_LEVEL_ERROR, "agent_ended", "result=%s again_in=%lldms reason=%s",
                log_quote(how, text, sizeof text), (long long) (lease->again_us / US_PER_MS),
                log_quote(exec_last_line(result, last, sizeof last), line, sizeof line));
    loop_timer_start(&lease->timer, lease->again_us, 0);
    lease->again_us = 2 * lease->again_us < AGAIN_MOST ? 2 * lease->again_us : AGAIN_MOST;
}

static void start_agent(void *arg)
{
    LookoutLease *lease = arg;
    const char *const argv[] = {"pgvigil", "run", lease->mark, NULL};
    ExecSpec spec = {.argv = argv,
                     .program = PROGRAM,
                     .timeout_ms = AGENT_MS,
                     .on_line = on_agent_line,
                     .on_exit = on_agent_end,
                     .arg = lease};
    Err err = {0};
    char text[600];

    /* One of a pglookout before us that was killed holds the lease, and hands over by ending. */
    snprintf(lease->mark, sizeof lease->mark, "--config=%s", lease->config);
    proc_signal_program("pgvigil", lease->mark, SIGTERM);
    lease->started_us = clock_now().boot_us;
    lease->agent = exec_start(&lease->lookout->loop, &spec, &err);
    if (lease->agent != NULL)
        return;
    lookout_log(lease->lookout, LOG_LEVEL_ERROR, "agent_failed", "reason=%s",
                log_quote(err.text, text, sizeof text));
    loop_timer_start(&lease->timer, AGAIN_MOST, 0);
}

/* What the old way has begun comes to its end before an agent takes the server over. */
static bool is_idle(const LookoutLease *lease)
{
    return !lease->lookout->busy && !lookout_follow_is_busy(lease->lookout->follow);
}

static void engage(LookoutLease *lease, const char *why)
{
    lease->mode = MODE_ON;
    lease->reason[0] = '\0';
    lease->again_us = AGAIN_US;
    lookout_log(lease->lookout, LOG_LEVEL_WARN, "lease",
                "is=on member=%s config=%s because=\"%s\" from now on only the agent promotes", lease->own,
                lease->config, why);
    start_agent(lease);
}

/* ---- configuration ---- */

static bool write_file(const char *folder, const char *name, const char *text, size_t len, char *ret_path,
                       Err *err)
{
    if (snprintf(ret_path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return err_set(err, ERR_CONFIG, "pgvigil_directory: the path is too long");
    return file_write_atomic(ret_path, text, len, 0600, err);
}

static bool write_config(const LookoutConfig *config, const LookoutVoters *voters, char *ret_path, Err *err)
{
    const LookoutLeaseConfig *own = &config->lease;
    char path[PATH_MAX], name[80];
    Buf text = {0};
    bool ok = lookout_native_agent(config, voters, &text, err) && dir_make(own->directory, 0700, err);

    if (ok && own->secret != NULL)
        ok = write_file(own->directory, LOOKOUT_NATIVE_SECRET_FILE, own->secret, strlen(own->secret), path,
                        err);
    snprintf(name, sizeof name, "%.60s.conf.new", own->cluster);
    ok = ok && write_file(own->directory, name, text.data, text.len, ret_path, err);
    buf_done(&text);
    return ok;
}

/* Why there can be no lease, if there can be none. */
static bool may_have_one(const LookoutConfig *config, LookoutVoters *ret_voters, Err *err)
{
    if (config->lease.secret == NULL && config->lease.secret_file == NULL)
        return err_set(
            err, ERR_CONFIG,
            "neither pgvigil_secret_file nor pgvigil_secret is set: with the same one on all nodes, and "
            "three voters, a failover needs a majority of them");
    if (config->own >= 0 && geteuid() == 0)
        return err_set(
            err, ERR_CONFIG,
            "an agent must not run as root, because PostgreSQL does not: run pglookout as the owner of the "
            "data directory");
    if (config->own < 0 && config->lease.witness[0] == '\0')
        return err_set(err, ERR_CONFIG, "this observer does not vote: pgvigil_witness does not name it");
    if (!lookout_native_voters(config, ret_voters, err))
        return false;
    if (ret_voters->count < VOTERS_LEAST)
        return err_set(
            err, ERR_CONFIG,
            "there are only %d voters, and three are needed: add a server to remote_conns, or name an "
            "observer that runs pgvigil in pgvigil_witness",
            ret_voters->count);
    return true;
}

/* The agent that runs would go on under the old name, and orders would go by the new one. */
static bool stays(const LookoutLease *lease, const LookoutConfig *config, const LookoutVoters *voters,
                  Err *err)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%.60s.conf", config->lease.directory, config->lease.cluster);
    if (lease->mode != MODE_ON ||
        (strcmp(path, lease->config) == 0 && strcmp(voters->voter[voters->own].name, lease->own) == 0))
        return true;
    return err_set(err, ERR_CONFIG,
                   "pgvigil_cluster, pgvigil_directory and the own name cannot change while the lease is on: "
                   "restart pglookout");
}

static Config *load(LookoutLease *lease, LookoutVoters *ret_voters, Err *err)
{
    const LookoutConfig *config = lease->lookout->config;
    char fresh[PATH_MAX];

    if (!may_have_one(config, ret_voters, err) || !stays(lease, config, ret_voters, err) ||
        !write_config(config, ret_voters, fresh, err))
        return NULL;
    /* Judged under another name: an agent that is started again must find a file it can use. */
    Config *native = config_load(fresh, NULL, err);
    if (native == NULL)
        return NULL;
    snprintf(lease->config, sizeof lease->config, "%.*s", (int) (strlen(fresh) - strlen(".new")), fresh);
    if (rename(fresh, lease->config) == 0) {
        str_copy(lease->own, sizeof lease->own, ret_voters->voter[ret_voters->own].name);
        return native;
    }
    config_free(native);
    err_set(err, ERR_CONFIG, "%s: cannot be put in place", lease->config);
    return NULL;
}

static void turn_off(LookoutLease *lease, const Err *err)
{
    bool secretless =
        lease->lookout->config->lease.secret == NULL && lease->lookout->config->lease.secret_file == NULL;
    char text[700];

    log_quote(err->text, text, sizeof text);
    if (lease->mode == MODE_ON) {
        lookout_log(lease->lookout, LOG_LEVEL_ERROR, "lease_kept",
                    "the agent goes on as before; it ends with pglookout reason=%s", text);
        return;
    }
    if (!lease->said || strcmp(lease->reason, err->text) != 0)
        lookout_log(lease->lookout, secretless ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "lease",
                    "is=off reason=%s", text);
    lease->said = true;
    lease->mode = MODE_OFF;
    str_copy(lease->reason, sizeof lease->reason, err->text);
    lookout_voters_set(lease->watch, NULL, NULL, NULL);
}

/* The others hold lease and fence with us: without an agent we would promote with no vote. */
static bool was_on_before(const LookoutLease *lease)
{
    const LookoutLeaseConfig *own = &lease->lookout->config->lease;
    char state[PATH_MAX];

    snprintf(state, sizeof state, "%s/%s.state", own->directory, own->cluster);
    return file_exists(state);
}

bool lookout_lease_configure(LookoutLease *lease, Err *ret_err)
{
    LookoutVoters voters;
    Err err = {0};
    bool first = !lease->configured;
    Config *native = load(lease, &voters, &err);

    lease->configured = true;
    if (native == NULL) {
        if (first && was_on_before(lease))
            return err_set(ret_err, ERR_CONFIG,
                           "the lease was on, and cannot be now: %s (mend that; to go back for good, see "
                           "docs/replaces/pglookout.md)",
                           err.text);
        turn_off(lease, &err);
        return true;
    }
    lookout_voters_set(lease->watch, lease->lookout->config, &voters, native);
    lease->settle_us = SETTLE_US + 2 * (int64_t) native->cluster.heartbeat_ms * US_PER_MS;
    config_free(native);
    if (lease->mode == MODE_ON) {
        if (lease->agent != NULL)
            kill(exec_pid(lease->agent), SIGHUP);
        return true;
    }
    lease->mode = MODE_FORMING;
    str_copy(lease->reason, sizeof lease->reason, "the other voters have not answered yet");
    lease->was_on = was_on_before(lease);
    if (lease->was_on && is_idle(lease))
        engage(lease, "it was before");
    loop_timer_start(&lease->form_timer, FORM_US, FORM_US);
    return true;
}

/* ---- orders ---- */

static const char *const *order(LookoutLease *lease, const char *verb, const char *option, const char *value)
{
    const char *const argv[] = {PROGRAM, verb, "--config", lease->config, option, value, NULL};

    memcpy(lease->argv, argv, sizeof argv);
    return lease->argv;
}

const char *const *lookout_lease_order(LookoutLease *lease)
{
    if (lease->mode != MODE_ON)
        return NULL;
    order(lease, "failover", "--to", lease->own);
    lease->argv[6] = "--yes";
    lease->argv[7] = NULL;
    return lease->argv;
}

static void on_order_line(void *arg, const char *line)
{
    LookoutLease *lease = arg;
    char text[EXEC_LINE_MAX + 64];

    lookout_log(lease->lookout, LOG_LEVEL_INFO, "agent_says", "line=%s", log_quote(line, text, sizeof text));
}

static void on_order_end(void *arg, const ExecResult *result)
{
    LookoutLease *lease = arg;

    lease->order = NULL;
    lease->settled_us = clock_now().boot_us + lease->settle_us;
    if (result->status != 0 && !lease->ending)
        lookout_log(lease->lookout, LOG_LEVEL_ERROR, "pause_failed", "it is tried again with the next check");
}

/*
 * A pause that people ordered is theirs, and stays. After an order the agent is looked at anew when it has
 * heard of it: by an older answer, or one of a follower, a pause of theirs could be taken for ours. Ours
 * stays while another voter has its file, which has found the cluster paused already.
 */
static void keep_pause(LookoutLease *lease)
{
    Lookout *lookout = lease->lookout;
    const LookoutAgentView *view = lookout_voters_agent(lease->watch);
    bool wanted = file_exists(lookout->config->maintenance_mode_file);
    Err err = {0};

    snprintf(lease->pause, sizeof lease->pause, OWN_PAUSE "%s", lease->own);
    bool is_ours = view->paused && strcmp(view->pause_reason, lease->pause) == 0;
    if (!view->known || view->asked_us < lease->settled_us || lease->order != NULL ||
        (wanted ? view->paused : !is_ours || lookout_voters_maintenance(lease->watch)))
        return;
    const char *const *argv =
        wanted ? order(lease, "pause", "--reason", lease->pause) : order(lease, "resume", NULL, NULL);
    ExecSpec spec = {.argv = argv,
                     .timeout_ms = ORDER_MS,
                     .on_line = on_order_line,
                     .on_exit = on_order_end,
                     .arg = lease};
    lookout_log(lookout, LOG_LEVEL_WARN, wanted ? "pause" : "resume", "maintenance_mode_file=%s",
                lookout->config->maintenance_mode_file);
    lease->order = exec_start(&lookout->loop, &spec, &err);
    if (lease->order == NULL)
        lookout_log(lookout, LOG_LEVEL_ERROR, "pause_failed", "reason=\"%s\"", err.text);
}

void lookout_lease_check(LookoutLease *lease)
{
    char reason[sizeof lease->reason];

    if (lease->mode == MODE_OFF)
        return;
    lookout_voters_ask(lease->watch, lease->mode == MODE_ON);
    if (lease->mode == MODE_ON) {
        keep_pause(lease);
        return;
    }
    LookoutVotersWord word = lookout_voters_word(lease->watch, reason, sizeof reason);
    if (lease->was_on || word != LOOKOUT_VOTERS_WAIT) {
        if (is_idle(lease))
            engage(lease, lease->was_on                  ? "it was before"
                          : word == LOOKOUT_VOTERS_READY ? "all voters take part"
                                                         : "another voter has it on");
    } else if (reason[0] != '\0' && strcmp(reason, lease->reason) != 0) {
        char text[1100];
        lookout_log(lease->lookout, LOG_LEVEL_WARN, "lease",
                    "is=forming the old way stays, without a lease reason=%s",
                    log_quote(reason, text, sizeof text));
        str_copy(lease->reason, sizeof lease->reason, reason);
    }
}

static void on_forming(void *arg)
{
    LookoutLease *lease = arg;

    if (lease->mode == MODE_FORMING)
        lookout_lease_check(lease);
    else
        loop_timer_stop(&lease->form_timer);
}

void lookout_lease_add(const LookoutLease *lease, Buf *out, const char *key)
{
    json_add_open(out, key, '{');
    json_add_text(out, "lease", mode_names[lease->mode]);
    json_add_text(out, "reason", lease->reason[0] != '\0' ? lease->reason : NULL);
    json_add_text(out, "cluster", lease->lookout->config->lease.cluster);
    json_add_text(out, "member", lease->mode != MODE_OFF ? lease->own : NULL);
    json_add_text(out, "voters", lease->mode != MODE_OFF ? lookout_voters_names(lease->watch) : NULL);
    if (lease->mode == MODE_FORMING) /* and no longer than it is needed */
        json_add_text(out, "secret", lookout_voters_fingerprint(lease->watch));
    if (lease->mode == MODE_ON) {
        const LookoutAgentView *view = lookout_voters_agent(lease->watch);
        json_add_bool(out, "maintenance", file_exists(lease->lookout->config->maintenance_mode_file));
        json_add_bool(out, "agent", view->known);
        json_add_bool(out, "quorum", view->known && view->quorum);
        json_add_bool(out, "paused", view->known && view->paused);
        json_add_text(out, "primary", view->known && view->primary[0] != '\0' ? view->primary : NULL);
        json_add_text(out, "old_programs", lookout_voters_old(lease->watch));
    }
    json_add_close(out, '}');
}

/* ---- the end ---- */

static void on_late(void *arg)
{
    LookoutLease *lease = arg;

    lease->ending = false;
}

void lookout_lease_stop(LookoutLease *lease)
{
    exec_detach(lease->order);
    lease->order = NULL;
    lease->ending = true;
    lease->mode = MODE_OFF;
    loop_timer_stop(&lease->timer);
    if (lease->agent == NULL)
        return;
    loop_timer_init(&lease->end_timer, &lease->lookout->loop, on_late, lease);
    loop_timer_start(&lease->end_timer, END_US, 0);
    kill(exec_pid(lease->agent), SIGTERM);
    while (lease->agent != NULL && lease->ending)
        uv_run(&lease->lookout->loop, UV_RUN_ONCE);
    exec_detach(lease->agent);
    loop_timer_done(&lease->end_timer);
}

void lookout_lease_free(LookoutLease *lease)
{
    loop_timer_done(&lease->timer);
    loop_timer_done(&lease->form_timer);
    lookout_voters_free(lease->watch);
    free(lease);
}
