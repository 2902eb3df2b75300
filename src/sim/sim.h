/*
 * sim.h: a cluster of shipped cores on a virtual clock, under faults that one seed decides; the public header
 * of src/sim.
 *
 * docs/design/simulator.md says what is modelled, what is checked and how a failing seed is read.
 */
#ifndef PGVIGIL_SIM_SIM_H
#define PGVIGIL_SIM_SIM_H

#include "base/str.h"
#include "core/core.h"

#include <stdio.h>

#define SIM_EVENT_MAX   16384 /* faults and orders in one run */
#define SIM_OUTAGE_MAX  2048
#define SIM_FAULT_MAX   64
#define SIM_CHECK_MAX   32
#define SIM_FAILURE_LEN 512

/* The cluster of a configuration; else one is drawn. */
typedef struct SimMembers {
    int count;
    uint32_t poll_ms; /* how often an agent looks at its server */
    CoreOptions member[MEMBER_MAX];
} SimMembers;

/* Which events happen; all by default. */
typedef struct SimOnly {
    bool used;
    uint32_t count;
    uint32_t event[SIM_EVENT_MAX]; /* rising */
} SimOnly;

typedef struct SimOptions {
    uint64_t seed;
    int64_t length_ms;         /* with faults; at least 1 */
    int64_t every_ms;          /* between two events on the average; 0: drawn */
    const SimMembers *members; /* NULL: drawn */
    const SimOnly *only;       /* NULL: all events */
    bool code_all;             /* every message goes through the codec, and not a share of them */
    FILE *trace;               /* NULL: none */
} SimOptions;

typedef struct SimResult {
    bool failed;                   /* something broke that must hold; nothing ran after it */
    char failure[SIM_FAILURE_LEN]; /* the invariant's name, and what broke it */
    int64_t failed_ms;
    uint64_t hash; /* of all that happened: the same for the same seed and build */
    int64_t length_ms;
    uint32_t drawn;  /* events drawn, which are numbered from 0 */
    uint32_t events; /* that could happen */
    uint64_t steps, messages, coded, records;
    uint32_t failovers, switchovers;
    uint64_t lost_bytes, lost_rows; /* acknowledged, and not in a later primary */
    int32_t outage_ms[SIM_OUTAGE_MAX];
    uint32_t outages;
} SimResult;

/* What a set of runs has reached, summed up. */
typedef struct SimCover {
    uint64_t runs, steps, messages, coded, records, torn;
    uint64_t rule[UINT8_MAX];
    uint64_t fault[SIM_FAULT_MAX];
    uint64_t check[SIM_CHECK_MAX];
} SimCover;

/* One run. cover may be NULL; it is added to. */
void sim_run(const SimOptions *options, SimResult *ret, SimCover *cover);

/*
 * Looks for the fewest events that still break the same invariant as *result, and as short a time; *ret_only
 * is then what to run. most bounds how many runs are tried.
 */
void sim_minimize(const SimOptions *options, const SimResult *result, uint32_t most, SimOnly *ret_only);

/* "3,17,20-24"; rising, each below SIM_EVENT_MAX. parse: false if it is anything else. "" is no event at all.
 */
void sim_only_format(const SimOnly *only, Buf *out);
bool sim_only_parse(const char *text, SimOnly *ret);

/* Prints what was reached and how often, one line each; returns how many rules, faults and checks were not.
 */
int sim_cover_print(const SimCover *cover, FILE *file, bool only_missing);

/* Faults and events by number. */
size_t sim_fault_count(void);
const char *sim_fault_name(size_t fault);
const char *sim_fault_text(size_t fault);

#endif
