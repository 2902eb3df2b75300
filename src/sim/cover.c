/*
 * cover.c: which rules, faults and checks a set of runs has reached, and how often.
 */
#include "sim/fault.h"

#include <inttypes.h>

_Static_assert(FAULTS <= SIM_FAULT_MAX, "SimCover has room for every fault");
_Static_assert((int) INVARIANTS <= SIM_CHECK_MAX, "SimCover has room for every check");

static int line(FILE *file, const char *kind, const char *name, uint64_t times, bool only_missing)
{
    if (!only_missing || times == 0)
        fprintf(file, "%-6s %-22s %12" PRIu64 "%s\n", kind, name, times, times == 0 ? "  never reached" : "");
    return times == 0;
}

int sim_cover_print(const SimCover *cover, FILE *file, bool only_missing)
{
    int missing = 0;

    for (size_t i = 0; i < explain_rule_count(); i++)
        missing += line(file, "rule", explain_rule(0, i).name, cover->rule[i], only_missing);
    for (size_t i = 0; i < FAULTS; i++)
        missing += line(file, "fault", sim_fault_name(i), cover->fault[i], only_missing);
    for (size_t i = 0; i < INVARIANTS; i++)
        missing += line(file, "check", check_name((Invariant) i), cover->check[i], only_missing);
    return missing;
}
