/*
 * lookout_voters.h: what the other voters and the own agent say, by HTTP; private to src/front.
 *
 * GET /pgvigil.json of each other front end, where its /state.json is; GET /v1/cluster of the own agent. A
 * voter that answers without /pgvigil.json runs the old program, which cannot vote.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_VOTERS_H
#define PGVIGIL_FRONT_LOOKOUT_VOTERS_H

#include "front/lookout_native.h"

struct Config;
struct Lookout;
typedef struct LookoutVoterWatch LookoutVoterWatch;

typedef enum LookoutVotersWord {
    LOOKOUT_VOTERS_WAIT,  /* not all of them take part, or are known to */
    LOOKOUT_VOTERS_READY, /* all do */
    LOOKOUT_VOTERS_ON,    /* one has its lease on, so that all did */
} LookoutVotersWord;

typedef struct LookoutAgentView {
    bool known; /* its newest answer came */
    bool quorum, paused;
    int64_t asked_us; /* boot clock: nothing in it is older */
    char pause_reason[160], primary[64];
} LookoutAgentView;

LookoutVoterWatch *lookout_voters_new(struct Lookout *lookout);

/* Of the configuration; native is the agent's, which is not kept. config NULL: none. */
void lookout_voters_set(LookoutVoterWatch *watch, const LookoutConfig *config, const LookoutVoters *voters,
                        const struct Config *native);

/* Asks each that is not being asked, and the own agent as well if there is one. */
void lookout_voters_ask(LookoutVoterWatch *watch, bool agent_too);

/* What follows from the newest answers; reason is whom it waits for, "" before they were asked. */
LookoutVotersWord lookout_voters_word(const LookoutVoterWatch *watch, char *ret_reason, size_t size);

/* The names in their order, with commas between. */
const char *lookout_voters_names(const LookoutVoterWatch *watch);

/* What all voters have alike if their secrets are (auth_fingerprint); "": not known. */
const char *lookout_voters_fingerprint(const LookoutVoterWatch *watch);

/* The names of those that run the old program; NULL: none. Valid until the next call. */
const char *lookout_voters_old(LookoutVoterWatch *watch);

/* Whether another voter has its maintenance_mode_file, by what it said last. */
bool lookout_voters_maintenance(const LookoutVoterWatch *watch);

const LookoutAgentView *lookout_voters_agent(const LookoutVoterWatch *watch);

/* No question may be under way: the client's end comes first. */
void lookout_voters_free(LookoutVoterWatch *watch);

#endif
