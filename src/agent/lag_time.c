/*
 * lag_time.c: the primary's positions over time, and how long ago it was at one of them.
 */
#include "agent/lag.h"

#include <string.h>

/*
 * The one goes whose neighbours lie closest together for how long ago that is: far back they come to lie far
 * apart, and the newest stay close, for a standby that is behind by seconds beside one that is stuck for
 * days.
 */
static void drop_one(Lag *lag, int64_t now_us)
{
    int least = 1;
    double least_share = 1e300;

    for (int i = 1; i + 1 < lag->count; i++) {
        double gap = (double) (lag->sample[i + 1].at_us - lag->sample[i - 1].at_us);
        double share = gap / (double) (now_us - lag->sample[i].at_us + 1);
        if (share < least_share) {
            least = i;
            least_share = share;
        }
    }
    lag->count--;
    memmove(&lag->sample[least], &lag->sample[least + 1],
            sizeof lag->sample[0] * (size_t) (lag->count - least));
}

void lag_note(Lag *lag, Lsn at, int64_t now_us)
{
    if (lag->count > 0 && at < lag->sample[lag->count - 1].lsn)
        lag->count = 0; /* another primary, or another timeline */
    if (lag->count > 0 &&
        (at == lag->sample[lag->count - 1].lsn || now_us - lag->sample[lag->count - 1].at_us < LAG_APART_US))
        return;
    if (lag->count == LAG_SAMPLES)
        drop_one(lag, now_us);
    lag->sample[lag->count++] = (LagSample){.lsn = at, .at_us = now_us};
}

int64_t lag_behind_us(const Lag *lag, Lsn at, int64_t now_us)
{
    for (int i = 0; i < lag->count; i++)
        if (lag->sample[i].lsn > at)
            return now_us - lag->sample[i].at_us;
    return 0;
}
