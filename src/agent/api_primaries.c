/*
 * api_primaries.c: what the public texts say of more than one primary, and of WAL that only one member has.
 */
#include "agent/internal.h"

#include "sys/clock.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

static void add_lsn(Buf *out, const char *key, Lsn lsn)
{
    if (lsn != LSN_NONE)
        json_add_lsn(out, key, lsn);
    else
        json_add_null(out, key);
}

void api_primaries_add(Buf *out, const Report *report)
{
    const Lost *lost = &report->lost;
    uint64_t size = report->pg.size;

    if (size != 0 && size <= (uint64_t) JSON_NUMBER_MAX)
        json_add_number(out, "size", (int64_t) size);
    else
        json_add_null(out, "size");
    add_lsn(out, "timeline_start", report->pg.timeline_start);
    if (lost->end == LSN_NONE && !lost->asks) {
        json_add_null(out, "lost");
        return;
    }
    json_add_open(out, "lost", '{');
    json_add_bool(out, "asks", lost->asks);
    add_lsn(out, "fork", lost->fork);
    add_lsn(out, "end", lost->end);
    json_add_number(out, "bytes",
                    lost->fork != LSN_NONE && lost->end > lost->fork ? (int64_t) (lost->end - lost->fork)
                                                                     : 0);
    json_add_number(out, "transactions", lost->transactions);
    json_add_time(out, "last", lost->last_us);
    json_add_bool(out, "complete", lost->complete);
    json_add_close(out, '}');
}

static int count(MemberSet set)
{
    int n = 0;

    for (; set != 0; set &= (MemberSet) (set - 1))
        n++;
    return n;
}

/* "pg1, pg2 and pg3" */
static void list(const Core *core, MemberSet set, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (MemberNo no = 0; no < MEMBER_MAX && used < size; no++) {
        bool last = (set >> no) == 1;
        if ((set >> no & 1) != 0)
            used += (size_t) snprintf(ret_text + used, size - used, "%s%s",
                                      used == 0 ? ""
                                      : last    ? " and "
                                                : ", ",
                                      core->persist.doc.member[no].name);
    }
}

static void twice_alarm(const Core *core, Alarms *alarms, MemberSet set)
{
    char names[MEMBER_MAX * (MEMBER_NAME_LEN + 5)], number[16];
    MemberNo choice;

    if (count(set) < 2)
        return;
    list(core, set, names, sizeof names);
    snprintf(number, sizeof number, "%d", count(set));
    const char *why = core_choice(core, &choice);
    if (core->persist.doc.epoch > 0)
        alarms_add(alarms, NOTIFY_EVENT_two_primaries, MEMBER_NONE,
                   "%s primaries: %s; the cluster's is %s, and what another writes is not the cluster's",
                   count(set) == 2 ? "two" : number, names,
                   core->persist.doc.member[core->persist.doc.primary].name);
    else if (choice != MEMBER_NONE)
        alarms_add(alarms, NOTIFY_EVENT_two_primaries, MEMBER_NONE,
                   "%s primaries: %s; %s is the one to be kept", count(set) == 2 ? "two" : number, names,
                   core->persist.doc.member[choice].name);
    else
        alarms_add(alarms, NOTIFY_EVENT_two_primaries, MEMBER_NONE, "%s primaries: %s; %s",
                   count(set) == 2 ? "two" : number, names, why);
}

static void asks_alarm(const Core *core, Alarms *alarms, MemberNo no)
{
    Report report = api_report(core, no);
    const Lost *lost = &report.lost;
    const char *name = core->persist.doc.member[no].name;
    char fork[LSN_TEXT_LEN];

    if (core->persist.doc.member[no].kind != MEMBER_DATA || !lost->asks || !api_is_reachable(core, no))
        return;
    lsn_format(lost->fork, fork);
    if (lost->complete)
        alarms_add(
            alarms, NOTIFY_EVENT_decision, no,
            "%s waits for a decision: it has %u transaction%s behind %s that the cluster does not have; pgvigil resolve "
            "shows both sides",
            name, (unsigned) lost->transactions, lost->transactions == 1 ? "" : "s", fork);
    else
        alarms_add(
            alarms, NOTIFY_EVENT_decision, no,
            "%s waits for a decision: it has WAL that the cluster does not have, and how much cannot be told; pgvigil "
            "resolve shows both sides",
            name);
}

void api_primaries_alarm(const Agent *agent, Alarms *alarms, MemberSet seen)
{
    const Core *core = &agent->core;

    twice_alarm(core, alarms, (MemberSet) (seen | core_primaries(core)));
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        asks_alarm(core, alarms, no);
}

int api_primaries_waiting(const Core *core)
{
    int waiting = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        waiting += core->persist.doc.member[no].kind == MEMBER_DATA && api_is_reachable(core, no) &&
                   api_report(core, no).lost.asks;
    return waiting;
}
