/*
 * rng.h: SplitMix64, a small generator whose whole state is one number, so that a seed decides everything.
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
 */
#ifndef PGVIGIL_BASE_RNG_H
#define PGVIGIL_BASE_RNG_H

#include <stdint.h>

/* The next 64 bits; moves *state on. */
uint64_t rng_next(uint64_t *state);

/* A number from 0 to bound - 1; bound at least 1. Slightly uneven for bounds near 2^64, which nobody here
 * has. */
uint64_t rng_below(uint64_t *state, uint64_t bound);

#endif
