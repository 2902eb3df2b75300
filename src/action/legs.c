/*
 * legs.c: along which timelines a server's own WAL runs.
 */
#include "action/legs.h"

#include "pg/timeline.h"

bool legs_find(const char *data_directory, uint32_t timeline, Lsn fork, Leg *ret_legs, int *ret_count,
               bool *ret_whole, Err *err)
{
    TimelineEntry entry[TIMELINE_MAX];
    int count, first;

    if (!timeline_read(data_directory, timeline, entry, TIMELINE_MAX - 1, &count, err))
        return false;
    *ret_whole = count >= 0;
    if (count < 0)
        count = 0;
    entry[count++] = (TimelineEntry){timeline, UINT64_MAX};
    /* Each begins where the one before it ends; the last that begins at the fork or before it has the fork.
     */
    for (first = count - 1; first > 0 && entry[first - 1].end > fork;)
        first--;
    if (count - first > LEGS_MAX) {
        first = count - LEGS_MAX;
        *ret_whole = false;
    }
    *ret_count = 0;
    for (int i = first; i < count; i++) {
        Lsn begin = i > 0 ? entry[i - 1].end : LSN_NONE;
        ret_legs[(*ret_count)++] = (Leg){entry[i].timeline, begin > fork ? begin : fork, entry[i].end};
    }
    return true;
}
