/*
 * log_limit.c: what is logged at most once a minute, whoever writes the lines: log.c, or PostgreSQL's log for
 * code in it.
 */
#include "sys/log.h"

#include <stdio.h>

#include "sys/clock.h"

#define LOG_LIMIT_US (60 * US_PER_SEC)

bool log_limit_passes(LogLimit *limit, char ret_tail[LOG_TAIL_LEN])
{
    int64_t now = clock_now().boot_us;
    int64_t next = atomic_load(&limit->next_us);

    ret_tail[0] = '\0';
    /* Of several threads at the same moment, only the one that moves the limit on may speak. */
    if (now < next || !atomic_compare_exchange_strong(&limit->next_us, &next, now + LOG_LIMIT_US)) {
        atomic_fetch_add(&limit->suppressed, 1);
        return false;
    }
    uint64_t suppressed = atomic_exchange(&limit->suppressed, 0);
    if (suppressed > 0)
        snprintf(ret_tail, LOG_TAIL_LEN, " suppressed=%llu", (unsigned long long) suppressed);
    return true;
}
