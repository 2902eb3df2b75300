/*
 * lookout_state.h: the JSON of /state.json and of the state file, as pglookout writes and reads it.
 *
 * Times are ISO 8601 in UTC with microseconds and Z, positions X/Y texts, lags numbers of seconds. What is
 * unknown is null or left out, as there.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_STATE_H
#define PGVIGIL_FRONT_LOOKOUT_STATE_H

#include "base/err.h"
#include "base/str.h"
#include "base/types.h"
#include "pg/monitor.h"

#include <jansson.h>

/* What is known of a server. */
typedef struct LookoutSeen {
    bool known, connected, in_recovery;
    MonitorTrouble trouble;
    int64_t polled_us, contact_us, moved_us;                   /* boot clock; 0: never */
    int64_t polled_wall_us, db_time_wall_us, replayed_wall_us; /* 0: none */
    MonitorReplication replication;
    Lsn receive, replay; /* replay of a primary: its own position */
    uint32_t timeline;
    uint64_t system_identifier;
} LookoutSeen;

/* Takes a poll over. now: when it ended. */
void lookout_state_update(LookoutSeen *seen, const MonitorSample *sample, const Clock *now);

/* One server as a member of an object. */
void lookout_state_add(Buf *out, const char *name, const LookoutSeen *seen);

/* An observer as a member of "observer_nodes"; state: its answer, or NULL. */
void lookout_state_add_watch(Buf *out, const char *name, bool connected, int64_t fetch_wall_us,
                             const json_t *state);

/* Reads an observer's answer: one object, of any size that the client lets through. The caller frees it. */
json_t *lookout_state_parse(const char *text, size_t len, Err *err);

typedef bool LookoutIsOurs(void *arg, const char *name);

/*
 * The name of a primary that the observer sees connected, and polled within LOOKOUT_POSITION_US before it
 * answered, and that is ours; NULL if there is none. The age is reckoned by the observer's own clock (its
 * Date header), so that a clock that is wrong makes nothing old or new. Borrowed from state.
 */
const char *lookout_state_primary(const json_t *state, int64_t date_wall_us, LookoutIsOurs *is_ours,
                                  void *arg);

/* ISO 8601 in UTC as pglookout writes it, and HTTP's Date. False if it is neither. */
bool lookout_state_parse_time(const char *text, int64_t *ret_wall_us);
bool lookout_state_parse_date(const char *text, int64_t *ret_wall_us);

#endif
