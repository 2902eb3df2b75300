/*
 * rng.c: SplitMix64; the constants are the published ones.
 */
#include "base/rng.h"

uint64_t rng_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t rng_below(uint64_t *state, uint64_t bound)
{
    return rng_next(state) % bound;
}
