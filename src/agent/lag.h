/*
 * lag.h: how far each standby is behind, in bytes and in time, and whether that is too far; private to
 * src/agent.
 *
 * The time is found without asking or writing anything: it is how long ago the primary was seen to have
 * written what the standby has not replayed. An idle primary writes nothing, and nobody is behind it.
 */
#ifndef PGVIGIL_AGENT_LAG_H
#define PGVIGIL_AGENT_LAG_H

#include "agent/alarms.h"
#include "base/str.h"

#define LAG_APART_US (US_PER_SEC / 2) /* not closer than this */
#define LAG_SAMPLES  128 /* of the primary's position; when they are too many, some between older ones go */

typedef enum LagLevel { LAG_UNKNOWN, LAG_OK, LAG_CATCHING_UP, LAG_WARNING, LAG_CRITICAL } LagLevel;

typedef struct LagSample {
    Lsn lsn;
    int64_t at_us; /* boot clock: when the primary was first seen to be there */
} LagSample;

typedef struct LagMember {
    LagLevel level;
    int64_t ms;      /* -1: not known */
    int64_t bytes;   /* not replayed; -1: not known */
    bool is_known;   /* it was a standby when it was looked at last */
    bool was_good;   /* within the limits since it started */
    int64_t from_us; /* boot clock: when it was first seen as a standby */
} LagMember;

typedef struct Lag {
    LagSample sample[LAG_SAMPLES]; /* oldest first, positions rise */
    int count;
    uint32_t epoch; /* of the samples */
    LagMember member[MEMBER_MAX];
} Lag;

/* Notes the primary's position: at was seen at now_us. A position below the newest begins anew. */
void lag_note(Lag *lag, Lsn at, int64_t now_us);

/* How long ago the primary wrote what is past at; 0: it has not written more. */
int64_t lag_behind_us(const Lag *lag, Lsn at, int64_t now_us);

/* Looks at all members. */
void lag_look(struct Agent *agent);

/* "lag", "replay_lag_bytes" and "behind_ms" of a member of /v1/cluster; the lines of /metrics; the alarms. */
void lag_add(const struct Agent *agent, Buf *out, MemberNo no);
void lag_metrics(const struct Agent *agent, Buf *out);
void lag_alarm(const struct Agent *agent, Alarms *alarms, MemberNo no);

#endif
