/*
 * condition.h: when a gate is open: a few words about this member, joined by and, or, not and parentheses.
 *
 * Parsed once into a struct of fixed size without pointers, which is sent to the process that holds the
 * ports. What is not known is neither true nor false: a condition holds only if it does whatever the unknown
 * is.
 */
#ifndef PGVIGIL_CONFIG_CONDITION_H
#define PGVIGIL_CONFIG_CONDITION_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define CONDITION_STEPS 32
#define CONDITION_DEPTH 8

/* The words, in the order of their bits; condition.c has their names. */
typedef enum ConditionWord {
    CONDITION_PRIMARY, /* the server can write, and the lease holds */
    CONDITION_REPLICA, /* a standby that streams */
    CONDITION_SYNC,    /* a standby that commits wait for, and that has what they need */
    CONDITION_HEALTHY, /* the server answers; on a witness: a leader is heard */
    CONDITION_LEADER,  /* this member leads */
    CONDITION_WITNESS,
    CONDITION_PAUSED,
    CONDITION_QUORUM, /* a leader is heard, or this one's lease holds */
    CONDITION_WORDS
} ConditionWord;

typedef struct ConditionFacts {
    uint32_t known; /* a bit for each word */
    uint32_t holds; /* of those known */
    uint64_t lag;   /* bytes of the primary's WAL that are not here */
    uint8_t lag_known;
} ConditionFacts;

/* In postfix order. */
typedef struct Condition {
    uint32_t count;
    struct {
        uint32_t kind; /* private to condition.c */
        uint64_t value;
    } step[CONDITION_STEPS];
} Condition;

/*
 * condition = term {"or" term}; term = factor {"and" factor}; factor = "not" factor | "(" condition ")" |
 * word | "lag" ("<" | "<=" | ">" | ">=") SIZE. The error names the column, from 1.
 */
bool condition_parse(const char *text, Condition *ret, Err *err);

/* Certainly true. An empty condition never is. */
bool condition_holds(const Condition *condition, const ConditionFacts *facts);

/* "primary"; NULL past the last. */
const char *condition_word(size_t index);

#endif
