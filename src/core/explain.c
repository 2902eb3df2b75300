/*
 * explain.c: rows and facts as text: why something was done, or was not.
 */
#include "core/internal.h"

#include <stdio.h>

const char *facts_name(Fact fact)
{
    static const char *const names[] = {
#define FACT_NAME(id, name, text) name,
        FACT_LIST(FACT_NAME)
#undef FACT_NAME
    };
    return (size_t) fact < FACTS ? names[fact] : "?";
}

const char *facts_text(Fact fact)
{
    static const char *const texts[] = {
#define FACT_TEXT(id, name, text) text,
        FACT_LIST(FACT_TEXT)
#undef FACT_TEXT
    };
    return (size_t) fact < FACTS ? texts[fact] : "?";
}

size_t explain_rule_count(void)
{
    return RULE_COUNT;
}

/* Name of the lowest fact in the set, or NULL. */
static const char *first_of(FactSet facts)
{
    for (int fact = 0; fact < FACTS; fact++)
        if (facts & (FactSet) 1 << fact)
            return facts_name((Fact) fact);
    return NULL;
}

ExplainRow explain_rule(FactSet facts, size_t row)
{
    const Rule *rule = &RULES[row];
    ExplainRow explained = {
        .name = rule->name,
        .text = rule->text,
        .action = rules_move_name(rule),
        .missing = first_of(rule->must & ~facts),
        .forbidden = first_of(rule->must_not & facts),
    };

    explained.matched = explained.missing == NULL && explained.forbidden == NULL;
    explained.decisive = rules_match(facts) == row;
    return explained;
}

void explain_election(const Core *core, char *ret_text, size_t size)
{
    const char *obstacle = election_obstacle(core);

    if (core->role == ROLE_LEADER && core_lease_holds(core, &core->now))
        snprintf(ret_text, size, "this member leads term %llu, and its lease holds",
                 (unsigned long long) core->persist.term);
    else if (core->role == ROLE_LEADER)
        snprintf(ret_text, size, "this member leads term %llu, but no majority confirms its lease",
                 (unsigned long long) core->persist.term);
    else if (core->leader != MEMBER_NONE)
        snprintf(ret_text, size, "%s leads term %llu, so nobody else stands",
                 names_member(core, core->leader), (unsigned long long) core->persist.term);
    else if (obstacle == NULL && core->positions_lack > 0)
        snprintf(
            ret_text, size,
            "no leader is known; this member stands, but %d more positions are needed of members that may hold "
            "what was acknowledged",
            core->positions_lack);
    else if (obstacle != NULL)
        snprintf(ret_text, size, "no leader is known; this member does not stand: %s", obstacle);
    else
        snprintf(ret_text, size, "no leader is known; this member stands for election and needs %d votes",
                 document_majority(&core->persist.doc));
}
