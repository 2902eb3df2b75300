/*
 * only.c: a choice of events as text, "3,17,20-24", and back.
 */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>

void sim_only_format(const SimOnly *only, Buf *out)
{
    for (uint32_t i = 0; i < only->count;) {
        uint32_t j = i;
        while (j + 1 < only->count && only->event[j + 1] == only->event[j] + 1)
            j++;
        buf_printf(out, "%s%" PRIu32, i > 0 ? "," : "", only->event[i]);
        if (j > i)
            buf_printf(out, "-%" PRIu32, only->event[j]);
        i = j + 1;
    }
}

bool sim_only_parse(const char *text, SimOnly *ret)
{
    ret->used = true;
    ret->count = 0;
    while (*text != '\0') {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (end == text || *text == '-')
            return false;
        if (*end == '-') {
            text = end + 1;
            last = strtoul(text, &end, 10);
            if (end == text || *text == '-')
                return false;
        }
        if ((*end != ',' && *end != '\0') || last < first || last >= SIM_EVENT_MAX)
            return false;
        for (; first <= last && ret->count < SIM_EVENT_MAX; first++) {
            if (ret->count > 0 && ret->event[ret->count - 1] >= first)
                return false;
            ret->event[ret->count++] = (uint32_t) first;
        }
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}
