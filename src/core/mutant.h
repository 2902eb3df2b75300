/*
 * mutant.h: rules of the protocol that can be left out, one at a time, so that the simulator proves itself by
 * finding each; private to src/core and the simulator's test.
 *
 * Only a build with PGVIGIL_MUTANTS, which makes no program but that test, has them. Elsewhere MUTANT() is 0.
 */
#ifndef PGVIGIL_CORE_MUTANT_H
#define PGVIGIL_CORE_MUTANT_H

#define MUTANT_LIST(X)                                                                                       \
    X(NO_FREEZE, "no_freeze", "a standby votes and goes on following")                                       \
    X(TIMELINE_ORDER, "timeline_order", "a timeline's number says which epoch WAL is of")                    \
    X(VERSION_ONLY, "version_only", "documents are compared by version, whatever their term")                \
    X(TRUST_INHERITED, "trust_inherited", "a new leader takes the document that it has as in force")         \
    X(NAMES_FIRST, "names_first", "who is waited for changes before the document allows it")                 \
    X(NO_BARRIER, "no_barrier", "what was acknowledged under the old names is not waited for")               \
    X(NO_SILENCE, "no_silence", "whoever restarted votes at once")                                           \
    X(LONG_LEASE, "long_lease", "a lease lasts longer than the promises it rests on")                        \
    X(LATE_LEASE, "late_lease", "a lease is counted from its acknowledgements")                              \
    X(OWN_VOTE, "own_vote", "a leader counts itself, though the document gives it no vote")                  \
    X(VOTE_UNCOVERED, "vote_uncovered", "the only vote is a standby's that no commit waits for")

typedef enum Mutant {
    MUTANT_NONE = 0,
#define MUTANT_ENUM(id, name, text) MUTANT_##id,
    MUTANT_LIST(MUTANT_ENUM)
#undef MUTANT_ENUM
        MUTANTS
} Mutant;

#ifdef PGVIGIL_MUTANTS
/* The one that is active. */
extern Mutant mutant_active;
#define MUTANT(id) (mutant_active == MUTANT_##id)
#else
#define MUTANT(id) 0
#endif

#endif
