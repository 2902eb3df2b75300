/*
 * verb_simulate.c: the configuration of a file, or clusters of all kinds, under simulated faults; what came
 * of it, and what the settings expose to, in words.
 */
#include "agent/start.h"
#include "cli/show.h"
#include "cli/verb.h"
#include "sim/sim.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_MS         ((int64_t) 10 * 60 * 1000)
#define HOUR_MS        ((int64_t) 3600 * 1000)
#define HOURS_DEFAULT  24
#define RUNS_DEFAULT   100
#define EVERY_MS       20000 /* between two faults, with a configuration */
#define MINIMIZE_TRIES 1000
#define OUTAGES_MOST   200000

typedef struct Simulate {
    const Call *call;
    Config *config; /* NULL: clusters of all kinds */
    SimMembers members;
    SimOnly only;
    SimOptions options;
    int64_t runs, seed;
    SimResult result; /* of the newest run */
    struct {
        int64_t runs, ms;
        uint64_t events, failovers, switchovers, lost_bytes, lost_rows;
        int32_t *outage_ms;
        size_t outages;
        int64_t stopped_ms;
    } sum;
} Simulate;

/* ---- What is asked for ---- */

static bool take_config(Simulate *s, Err *err)
{
    if (!call_has(s->call, FLAG_CONFIG))
        return true;
    s->config = config_load_client(s->call->value[FLAG_CONFIG], NULL, err);
    if (s->config == NULL)
        return false;
    s->members.count = s->config->member_count;
    s->members.poll_ms = s->config->postgresql.poll_interval_ms;
    for (int i = 0; i < s->config->member_count; i++) {
        Config as = *s->config; /* the same file on each of its machines */
        as.self = i;
        s->members.member[i] = start_core_options(&as);
    }
    s->options.members = &s->members;
    s->options.every_ms = EVERY_MS;
    return true;
}

static bool take_flags(Simulate *s, Err *err)
{
    const Call *call = s->call;
    int64_t hours = 0;
    bool one = call_has(call, FLAG_SEED) && s->config == NULL;

    if (call_has(call, FLAG_HOURS) && call_has(call, FLAG_RUNS))
        return err_set(err, ERR_CONFIG, "simulate: --hours and --runs exclude each other");
    if (!call_number(call, FLAG_SEED, 0, INT64_MAX, 1, &s->seed, err) ||
        !call_number(call, FLAG_RUNS, 1, 1000000, one ? 1 : RUNS_DEFAULT, &s->runs, err) ||
        !call_number(call, FLAG_HOURS, 1, 100000, HOURS_DEFAULT, &hours, err))
        return false;
    bool by_hour = call_has(call, FLAG_HOURS) || (s->config != NULL && !call_has(call, FLAG_RUNS));
    if (by_hour)
        s->runs = hours;
    s->options.length_ms = by_hour ? HOUR_MS : RUN_MS;
    if (!call_has(call, FLAG_ONLY))
        return true;
    if (!call_has(call, FLAG_SEED))
        return err_set(err, ERR_CONFIG, "simulate: --only chooses among the events of one seed: give --seed");
    if (!sim_only_parse(call->value[FLAG_ONLY], &s->only))
        return err_set(err, ERR_CONFIG, "simulate: --only takes rising numbers below %d, as in 3,17,20-24",
                       SIM_EVENT_MAX);
    s->options.only = &s->only;
    s->runs = 1;
    return true;
}

/* ---- Running ---- */

static void add_up(Simulate *s)
{
    const SimResult *result = &s->result;

    s->sum.runs++;
    s->sum.ms += result->length_ms;
    s->sum.events += result->events;
    s->sum.failovers += result->failovers;
    s->sum.switchovers += result->switchovers;
    s->sum.lost_bytes += result->lost_bytes;
    s->sum.lost_rows += result->lost_rows;
    for (uint32_t i = 0; i < result->outages; i++) {
        s->sum.stopped_ms += result->outage_ms[i];
        if (s->sum.outages < OUTAGES_MOST)
            s->sum.outage_ms[s->sum.outages++] = result->outage_ms[i];
    }
}

static void show_progress(const Simulate *s, bool last)
{
    if (!isatty(STDERR_FILENO) || call_has(s->call, FLAG_TRACE))
        return;
    if (last)
        fprintf(stderr, "\r%40s\r", "");
    else
        fprintf(stderr, "\rrun %" PRId64 " of %" PRId64, s->sum.runs, s->runs);
}

/* The line that brings it about again. */
static void repeat_line(const Simulate *s, const SimOnly *only, Buf *out)
{
    buf_puts(out, "pgvigil simulate");
    if (s->config != NULL)
        buf_printf(out, " --config %s", s->config->path);
    if (s->options.length_ms == HOUR_MS)
        buf_puts(out, " --hours 1");
    else if (s->config != NULL)
        buf_puts(out, " --runs 1");
    buf_printf(out, " --seed %" PRIu64, s->options.seed);
    if (only->used) {
        buf_puts(out, " --only ");
        sim_only_format(only, out);
    }
    buf_puts(out, " --trace");
}

static bool run_all(Simulate *s)
{
    for (int64_t i = 0; i < s->runs; i++) {
        show_progress(s, false);
        s->options.seed = (uint64_t) (s->seed + i);
        sim_run(&s->options, &s->result, NULL);
        add_up(s);
        if (s->result.failed)
            break;
    }
    show_progress(s, true);
    return !s->result.failed;
}

/* ---- What came of it ---- */

static int by_length(const void *a, const void *b)
{
    int32_t x = *(const int32_t *) a, y = *(const int32_t *) b;
    return (x > y) - (x < y);
}

static int32_t outage_at(const Simulate *s, size_t part, size_t of)
{
    return s->sum.outages > 0 ? s->sum.outage_ms[(s->sum.outages - 1) * part / of] : 0;
}

static void print_failure(const Simulate *s, const SimOnly *only)
{
    Buf line = {0};

    repeat_line(s, only, &line);
    printf("BROKEN in the run of seed %" PRIu64 ", after %.1f s: %s\n", s->options.seed,
           (double) s->result.failed_ms / 1000, s->result.failure);
    printf("This must not happen with any configuration. It happens again with\n  %s\n", line.data);
    buf_done(&line);
}

static void print_sums(const Simulate *s)
{
    char median[SHOW_NUMBER_LEN], tenth[SHOW_NUMBER_LEN], worst[SHOW_NUMBER_LEN], bytes[SHOW_NUMBER_LEN];
    double share = s->sum.ms > 0 ? 100.0 * (double) s->sum.stopped_ms / (double) s->sum.ms : 0;

    printf("Simulated: %.1f hours in %" PRId64 " runs from seed %" PRId64 ", %" PRIu64
           " faults and orders.\n",
           (double) s->sum.ms / (double) HOUR_MS, s->sum.runs, s->seed, s->sum.events);
    printf("Failovers: %" PRIu64 ", switchovers: %" PRIu64 ".\n", s->sum.failovers, s->sum.switchovers);
    show_duration(outage_at(s, 1, 2), median);
    show_duration(outage_at(s, 9, 10), tenth);
    show_duration(outage_at(s, 1, 1), worst);
    printf("Writes stopped %zu times: median %s, one in ten longer than %s, worst %s; %.1f %% of the time.\n",
           s->sum.outages, median, tenth, worst, share);
    show_bytes(s->sum.lost_bytes, bytes);
    if (s->sum.lost_rows > 0)
        printf("Lost although acknowledged: %" PRIu64 " rows, %s of WAL.\n", s->sum.lost_rows, bytes);
    else
        printf("Nothing that was acknowledged was lost.\n");
    printf(
        "All that must hold did: one writer, one lease, one line of documents, and the cluster was whole again "
        "after every run.\n");
}

/* ---- What the settings expose to ---- */

typedef void Say(void *to, const char *text);

static void expose_members(const Config *config, Say *say, void *to)
{
    int data = 0, voters = config->member_count;

    for (int i = 0; i < voters; i++)
        data += config->member[i].role == MEMBER_ROLE_DATA;
    if (data < 2)
        say(to, "One data member: there is nobody to take over.");
    if (voters == 2)
        say(to,
            "Two members and no witness: both have to be there for a primary to keep its lease. If either is gone, "
            "writes stop. A witness on a third machine cures that.");
    else if (voters % 2 == 0)
        say(to, "An even number of members survives the loss of no more of them than one member less would.");
}

static void expose_sync(const Config *config, Say *say, void *to)
{
    int data = 0;

    for (int i = 0; i < config->member_count; i++)
        data += config->member[i].role == MEMBER_ROLE_DATA;
    switch (config->cluster.synchronous) {
    case SYNCHRONOUS_OFF:
        say(to,
            "Asynchronous: a failover loses what the primary acknowledged and no standby had got, at most "
            "maximum_lag and what came after the last report. [cluster] synchronous = on loses nothing.");
        if (config->cluster.maximum_lag_bytes < (uint64_t) 1 << 20)
            say(to,
                "maximum_lag is small: a standby that was only a moment behind does not take over by itself, and "
                "writes stop until an operator orders a failover.");
        break;
    case SYNCHRONOUS_ON:
        say(to,
            "synchronous = on: while too few standbys are in sync, commits wait for fewer, at last for none. If "
            "the primary is lost just then, nobody takes over until it is back.");
        break;
    case SYNCHRONOUS_STRICT:
        say(to,
            "synchronous = strict: while fewer standbys than standbys_per_commit are in sync, writes stop.");
        if ((int) config->cluster.standbys_per_commit >= data)
            say(to, "standbys_per_commit is more than there can ever be in sync: writes never begin.");
        else if ((int) config->cluster.standbys_per_commit == data - 1)
            say(to, "Every standby has to be in sync: one that is restarted stops writes.");
        break;
    }
}

static void expose(const Config *config, Say *say, void *to)
{
    char lease[SHOW_NUMBER_LEN], text[256];

    expose_members(config, say, to);
    expose_sync(config, say, to);
    show_duration(config->cluster.lease_ms, lease);
    snprintf(text, sizeof text,
             "Lease %s: a host or network that is silent for longer costs a failover, and a lost primary is "
             "replaced after about that time.",
             lease);
    say(to, text);
    if (config->postgresql.on_crash == ON_CRASH_RESTART)
        say(to, "on_crash = restart: a crash of PostgreSQL stops writes for as long as its recovery takes.");
    if (!config->postgresql.clone)
        say(to, "clone = no: a member whose data cannot be rewound waits for an operator.");
}

static void say_line(void *to, const char *text)
{
    Buf *out = to;

    show_wrapped(out, text, 2, 100);
}

static void say_json(void *to, const char *text)
{
    json_add_text(to, NULL, text);
}

static void print_json(const Simulate *s, const SimOnly *only)
{
    Buf out = {0}, line = {0};

    json_add_open(&out, NULL, '{');
    json_add_number(&out, "runs", s->sum.runs);
    json_add_number(&out, "seed", s->seed);
    json_add_number(&out, "simulated_ms", s->sum.ms);
    json_add_number(&out, "events", (int64_t) s->sum.events);
    json_add_number(&out, "failovers", (int64_t) s->sum.failovers);
    json_add_number(&out, "switchovers", (int64_t) s->sum.switchovers);
    json_add_number(&out, "outages", (int64_t) s->sum.outages);
    json_add_number(&out, "outage_median_ms", outage_at(s, 1, 2));
    json_add_number(&out, "outage_worst_ms", outage_at(s, 1, 1));
    json_add_number(&out, "stopped_ms", s->sum.stopped_ms);
    json_add_number(&out, "lost_bytes", (int64_t) s->sum.lost_bytes);
    json_add_number(&out, "lost_rows", (int64_t) s->sum.lost_rows);
    json_add_text(&out, "broken", s->result.failed ? s->result.failure : NULL);
    if (s->result.failed) {
        repeat_line(s, only, &line);
        json_add_text(&out, "again", line.data);
    }
    if (s->config != NULL) {
        json_add_open(&out, "exposed", '[');
        expose(s->config, say_json, &out);
        json_add_close(&out, ']');
    }
    json_add_close(&out, '}');
    buf_puts(&out, "\n");
    show_print(&out, stdout);
    buf_done(&line);
}

static void print(const Simulate *s, const SimOnly *only)
{
    Buf out = {0};

    if (call_has(s->call, FLAG_JSON)) {
        print_json(s, only);
        return;
    }
    if (s->result.failed)
        print_failure(s, only);
    else
        print_sums(s);
    if (s->config == NULL || s->result.failed)
        return;
    buf_puts(&out, "What these settings expose to:\n");
    expose(s->config, say_line, &out);
    show_print(&out, stdout);
}

int verb_simulate(const Call *call)
{
    static Simulate s;
    static SimOnly fewer;
    Err err = {0};

    s.call = call;
    if (!take_config(&s, &err) || !take_flags(&s, &err)) {
        config_free(s.config);
        return call_fail(&err);
    }
    s.options.trace = call_has(call, FLAG_TRACE) ? stdout : NULL;
    s.sum.outage_ms = calloc(OUTAGES_MOST, sizeof *s.sum.outage_ms);
    if (s.sum.outage_ms == NULL) {
        config_free(s.config);
        err_set(&err, ERR_MEMORY, "simulate: memory ran out");
        return call_fail(&err);
    }
    bool whole = run_all(&s);
    qsort(s.sum.outage_ms, s.sum.outages, sizeof *s.sum.outage_ms, by_length);
    fewer = s.only;
    if (!whole && call_has(call, FLAG_MINIMIZE))
        sim_minimize(&s.options, &s.result, MINIMIZE_TRIES, &fewer);
    print(&s, &fewer);
    free(s.sum.outage_ms);
    config_free(s.config);
    return whole ? EXIT_DONE : EXIT_NO;
}
