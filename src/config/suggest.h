/*
 * suggest.h: the nearest known word to one that is not known, for error texts.
 */
#ifndef PGVIGIL_CONFIG_SUGGEST_H
#define PGVIGIL_CONFIG_SUGGEST_H

#include <stddef.h>

typedef struct Suggest {
    const char *word;
    const char *best; /* a candidate, as it was offered */
    size_t distance;
} Suggest;

/* Begins with the unknown word. */
Suggest suggest_for(const char *word);

/* Offers a known word; it has to live as long as the answer is used. */
void suggest_offer(Suggest *suggest, const char *candidate);

/* The nearest offered word, or NULL if none is near enough to be meant. */
const char *suggest_best(const Suggest *suggest);

#endif
