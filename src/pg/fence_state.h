/*
 * fence_state.h: what the extension in the server says of itself, one line of key=value (src/ext/ext.h has
 * the keys).
 */
#ifndef PGVIGIL_PG_FENCE_STATE_H
#define PGVIGIL_PG_FENCE_STATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct FenceState {
    bool loaded;     /* the extension is */
    uint32_t layout; /* version of the fence file that it reads */
    uint64_t device; /* of the fence file that it has mapped; inode 0: none */
    uint64_t inode;
    bool open;           /* a commit would be allowed now */
    char closed[16];     /* why not: "file", "lease", "hold", "names"; "-" */
    uint32_t generation; /* of synchronous_standby_names, in force in all processes that matter */
    bool defined;        /* commits wait for standbys */
    bool unconfirmed;    /* recovered from a crash, not confirmed by a standby */
    uint64_t waits, refusals, cut;
} FenceState;

/* Reads the value of pgvigil.state; "" (the extension is not loaded): all zero. Unknown keys are passed over.
 */
void fence_state_parse(const char *text, FenceState *ret_state);

#endif
