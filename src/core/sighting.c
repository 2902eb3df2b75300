/*
 * sighting.c: two machines under one name: one message may be of a former life, on its way for long.
 */
#include "core/sighting.h"

/* A member that lost its state and is back at once is no second machine; one that is refused for longer is.
 */
#define AFTER_US (2 * US_PER_SEC)
/* For how long it is told of after the last word of the second. */
#define TOLD_US (10 * US_PER_SEC)

bool sighting_is_told(const Sighting *sighting, const Clock *now)
{
    return sighting->at.boot_us - sighting->since.boot_us >= AFTER_US &&
           now->boot_us - sighting->at.boot_us < TOLD_US;
}

bool sighting_note(Sighting *sighting, const Clock *now)
{
    bool knew = sighting_is_told(sighting, now);

    if (sighting->at.boot_us == 0 || now->boot_us - sighting->at.boot_us >= TOLD_US)
        sighting->since = *now;
    sighting->at = *now;
    return !knew && sighting_is_told(sighting, now);
}
