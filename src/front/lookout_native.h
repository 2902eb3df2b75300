/*
 * lookout_native.h: pglookout's configuration in pgvigil's own terms: the members, and what an agent needs.
 *
 * For two readers: the agent behind the front end (lookout_lease.h), and people who move over (config
 * convert). Pure: nothing is looked at but the configuration.
 */
#ifndef PGVIGIL_FRONT_LOOKOUT_NATIVE_H
#define PGVIGIL_FRONT_LOOKOUT_NATIVE_H

#include "base/str.h"
#include "front/lookout_config.h"

#define LOOKOUT_NATIVE_HOST 256

/* A member that is made of the configuration. */
typedef struct LookoutVoter {
    const char *name; /* of the configuration */
    char host[LOOKOUT_NATIVE_HOST];
    uint16_t port;                   /* of PostgreSQL; 0: a witness */
    const LookoutObserver *observer; /* of a witness, else NULL */
} LookoutVoter;

#define LOOKOUT_NATIVE_VOTERS 7 /* as many as a cluster has members */

typedef struct LookoutVoters {
    LookoutVoter voter[LOOKOUT_NATIVE_VOTERS];
    int count, own; /* own: index, -1 none */
} LookoutVoters;

/*
 * The servers of remote_conns, best first (failover_priorities, then the highest name: all nodes have to come
 * to the same order), and the witness. ERR_CONFIG: an address that others could not reach, or too many.
 */
bool lookout_native_voters(const LookoutConfig *config, LookoutVoters *ret_voters, Err *err);

/* Whether pgvigil_options may set that option ("section.key"); ERR_CONFIG says why not. */
bool lookout_native_may_set(const char *name, Err *err);

/*
 * Appends the configuration of the agent behind this front end, which promotes by order only. A secret that
 * stands in pglookout's file is in SECRET_FILE beside it. ERR_CONFIG: something cannot be said there.
 */
bool lookout_native_agent(const LookoutConfig *config, const LookoutVoters *voters, Buf *out, Err *err);

/* Appends the configuration for moving over, each option with its origin in a comment. */
bool lookout_native_convert(const LookoutConfig *config, const LookoutVoters *voters, Buf *out, Err *err);

/* Appends the words as one line of [commands], quoted where they have to be. ERR_CONFIG if that cannot be. */
bool lookout_native_command(const LookoutCommand *command, Buf *out, Err *err);

#define LOOKOUT_NATIVE_SECRET_FILE "secret" /* in pgvigil_directory */

#endif
