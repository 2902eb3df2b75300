/*
 * lag_time.c: the primary's positions over time, and how long ago it was at one of them.
 */
#include "agent/lag.h"

void lag_note(Lag *lag, Lsn at, int64_t now_us)
{
    int kept = 0;

    if (lag->apart_us == 0)
        lag->apart_us = LAG_APART_US;
    if (lag->count > 0 && at < lag->sample[lag->count - 1].lsn)
        lag->count = 0; /* another primary, or another timeline */
    if (lag->count > 0 &&
        (at == lag->sample[lag->count - 1].lsn || now_us - lag->sample[lag->count - 1].at_us < lag->apart_us))
        return;
    if (lag->count == LAG_SAMPLES) {
        for (int i = 0; i < lag->count; i += 2)
            lag->sample[kept++] = lag->sample[i];
        lag->count = kept;
        lag->apart_us *= 2;
    }
    lag->sample[lag->count++] = (LagSample){.lsn = at, .at_us = now_us};
}

int64_t lag_behind_us(const Lag *lag, Lsn at, int64_t now_us)
{
    for (int i = 0; i < lag->count; i++)
        if (lag->sample[i].lsn > at)
            return now_us - lag->sample[i].at_us;
    return 0;
}
