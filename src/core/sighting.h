/*
 * sighting.h: something that may be seen once by chance, and is told of only when it is seen for longer; part
 * of core.h.
 */
#ifndef PGVIGIL_CORE_SIGHTING_H
#define PGVIGIL_CORE_SIGHTING_H

#include "base/types.h"

/* A second machine under a name, as it is noticed again and again; zero: never. */
typedef struct Sighting {
    Clock since, at;
} Sighting;

/* It is noticed now. True if it is certain from now on, and was not before. */
bool sighting_note(Sighting *sighting, const Clock *now);
/* It is certain, and not long ago. */
bool sighting_is_told(const Sighting *sighting, const Clock *now);

#endif
