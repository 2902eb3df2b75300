/*
 * explain.c: rows and facts as text: why something was done, or was not.
 */
#include "core/internal.h"

#include <stdio.h>
#include <string.h>

/* Without a leader members say hello to each other each second. */
#define VOTE_HEARD_US (3 * VIEW_EVERY_US)

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

bool explain_lacks_lease(const Report *report)
{
    const Rule *rule = report->rule < RULE_COUNT ? &RULES[report->rule] : NULL;

    return rule != NULL && (rule->must & (FactSet) 1 << FACT_PG_PRIMARY) != 0 &&
           (rule->must_not & (FactSet) 1 << FACT_LEASE) != 0;
}

/* What became of the members' votes. */
typedef struct Votes {
    int all, have, silent, lost;
    char silent_names[CORE_TEXT_LEN / 2], lost_names[CORE_TEXT_LEN / 2];
} Votes;

/* It was heard of lately, by its own word. */
static bool is_heard(const Core *core, MemberNo no)
{
    const Peer *peer = &core->peer[no];

    return no == core->self ||
           (peer->heard && !peer->relayed && core_since(core, &peer->heard_at) <= VOTE_HEARD_US);
}

static void add_name(char names[CORE_TEXT_LEN / 2], int *count, const char *name)
{
    size_t len = strlen(names), size = CORE_TEXT_LEN / 2;
    bool fits = len + strlen(name) + sizeof ", ..." < size;

    if (fits || names[len - 1] != '.')
        snprintf(names + len, size - len, "%s%s", *count > 0 ? ", " : "", fits ? name : "...");
    (*count)++;
}

static void count_votes(const Core *core, Votes *votes)
{
    const Document *doc = &core->persist.doc;

    *votes = (Votes){0};
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        if (doc->member[no].kind == MEMBER_FREE || !doc->member[no].voter)
            continue;
        votes->all++;
        if (!is_heard(core, no))
            add_name(votes->silent_names, &votes->silent, doc->member[no].name);
        else if (!document_is_voter(core, no))
            add_name(votes->lost_names, &votes->lost, doc->member[no].name);
        else
            votes->have++;
    }
}

bool explain_votes(const Core *core, char *ret_text, size_t size)
{
    Votes votes;
    int need = document_majority(&core->persist.doc);

    count_votes(core, &votes);
    snprintf(ret_text, size, "%d of %d votes %s there, %d %s needed%s%s%s%s%s%s", votes.have, votes.all,
             votes.have == 1 ? "is" : "are", need, need == 1 ? "is" : "are", votes.silent > 0 ? "; " : "",
             votes.silent_names,
             votes.silent > 1   ? " do not answer"
             : votes.silent > 0 ? " does not answer"
                                : "",
             votes.lost > 0 ? "; " : "", votes.lost_names,
             votes.lost > 1   ? " answer with new identities"
             : votes.lost > 0 ? " answers with a new identity"
                              : "");
    return votes.have >= need;
}

bool explain_votes_lost(const Core *core)
{
    Votes votes;

    count_votes(core, &votes);
    return votes.all - votes.lost < document_majority(&core->persist.doc);
}

void explain_election(const Core *core, char *ret_text, size_t size)
{
    const char *obstacle = election_obstacle(core);
    char votes[CORE_TEXT_LEN];
    bool enough = explain_votes(core, votes, sizeof votes);

    if (core->role == ROLE_LEADER && core_lease_holds(core, &core->now))
        snprintf(ret_text, size, "this member leads term %llu, and its lease holds",
                 (unsigned long long) core->persist.term);
    else if (core->role == ROLE_LEADER)
        snprintf(ret_text, size, "this member leads term %llu, but no majority confirms its lease; %s",
                 (unsigned long long) core->persist.term, votes);
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
    else if (!enough)
        snprintf(ret_text, size, "no leader is known; this member stands for election: %s", votes);
    else
        snprintf(ret_text, size, "no leader is known; this member stands for election and needs %d votes",
                 document_majority(&core->persist.doc));
}
