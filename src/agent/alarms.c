/*
 * alarms.c: the list of alarms, in the order in which people read it.
 */
#include "agent/internal.h"

#include <stdarg.h>
#include <stdio.h>

/* How fresh a report must be to count for the alarm of two primaries. */
#define TWICE_SEEN_MS 400

static void add(Alarms *alarms, NotifyEventKind kind, MemberNo member, const char *subject,
                const char *format, va_list args)
{
    if (alarms->count == ALARMS_MAX)
        return;
    Alarm *alarm = &alarms->alarm[alarms->count++];
    alarm->kind = kind;
    alarm->member = member;
    str_copy(alarm->subject, sizeof alarm->subject, subject);
    vsnprintf(alarm->text, sizeof alarm->text, format, args);
}

void alarms_add(Alarms *alarms, NotifyEventKind kind, MemberNo member, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(alarms, kind, member, "", format, args);
    va_end(args);
}

void alarms_add_of(Alarms *alarms, NotifyEventKind kind, MemberNo member, const char *subject,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(alarms, kind, member, subject, format, args);
    va_end(args);
}

/* What is not as it should be with its place in the cluster. */
static void place_alarms(const Agent *agent, Alarms *alarms, MemberNo no)
{
    const Core *core = &agent->core;
    const DocMember *member = &core->persist.doc.member[no];

    if (agent_member_index(agent, no) < 0)
        alarms_add_of(
            alarms, NOTIFY_EVENT_files_differ, no, "members",
            "%s is a member, and the configuration file of %s does not name it: copy one file to all members, "
            "and pgvigil reload",
            member->name, core->options.name);
    if (membership_has_twin(core, no))
        alarms_add(alarms, NOTIFY_EVENT_twin, no,
                   "two machines run as %s, or it has a copy of another's state directory: give each its own",
                   member->name);
    if (member->leaving)
        alarms_add(alarms, NOTIFY_EVENT_leaving, no, "%s is being removed", member->name);
    else if (document_is_other(core, no))
        alarms_add(alarms, NOTIFY_EVENT_no_vote, no,
                   "%s has lost its state and has no vote until a majority of the others answers",
                   member->name);
    else if (!member->voter)
        alarms_add(alarms, NOTIFY_EVENT_no_vote, no, "%s has no vote yet: it gets it when it %s",
                   member->name, member->kind == MEMBER_DATA ? "streams from the primary" : "answers");
}

static void stream_alarm(const Agent *agent, Alarms *alarms, MemberNo no)
{
    const char *name = agent->core.persist.doc.member[no].name;

    if (no != agent->core.self)
        alarms_add(
            alarms, NOTIFY_EVENT_not_streaming, no,
            "%s is a standby and does not stream; pgvigil explain --member %s says what is known of it", name,
            name);
    else if (streaming_problem(agent)[0] != '\0')
        alarms_add(alarms, NOTIFY_EVENT_not_streaming, no, "%s is a standby and does not stream: %s", name,
                   streaming_problem(agent));
    else
        alarms_add(alarms, NOTIFY_EVENT_not_streaming, no, "%s is a standby and does not stream", name);
}

static void server_alarms(const Agent *agent, Alarms *alarms, MemberNo no, const Report *report)
{
    const char *name = agent->core.persist.doc.member[no].name;

    if (report->pg.disk_stuck)
        alarms_add(alarms, NOTIFY_EVENT_disk_stuck, no, "the disk under the server of %s takes no writes",
                   name);
    if (report->pg.disk_full)
        alarms_add(alarms, NOTIFY_EVENT_disk_full, no, "the disk under the server of %s is full", name);
    if (report->failures > 0 && no != agent->core.self)
        alarms_add(alarms, NOTIFY_EVENT_action_failed, no,
                   "the last action on the server of %s failed; pgvigil explain --member %s says why", name,
                   name);
    if (report->pg.state == PG_STANDBY && !report->pg.streaming)
        stream_alarm(agent, alarms, no);
    if (report->pg.state != PG_STANDBY && report->pg.state != PG_PRIMARY)
        alarms_add(alarms, NOTIFY_EVENT_server, no,
                   report->pg.state == PG_CRASHED
                       ? "the server of %s does not run, and was not shut down in order"
                       : "the server of %s is %s",
                   name, pg_state_name(report->pg.state));
    lag_alarm(agent, alarms, no);
}

static void member_alarms(const Agent *agent, Alarms *alarms, MemberNo no, MemberSet *primaries)
{
    const Core *core = &agent->core;
    const char *name = core->persist.doc.member[no].name;
    Report report = api_report(core, no);

    place_alarms(agent, alarms, no);
    if (!api_is_reachable(core, no)) {
        if (peer_net_other_secret(agent->peers, name))
            alarms_add(alarms, NOTIFY_EVENT_unreachable, no,
                       "%s is not heard: it and %s refuse each other's messages", name, core->options.name);
        else
            alarms_add(alarms, NOTIFY_EVENT_unreachable, no, "%s does not answer", name);
        return;
    }
    if (report.disk_failed)
        alarms_add(alarms, NOTIFY_EVENT_state_disk, no,
                   "%s cannot write its state: free or repair its disk; until then it does not vote", name);
    if (core->persist.doc.member[no].kind == MEMBER_WITNESS)
        return;
    /* A report from before a crash is no second primary. */
    if (report.pg.state == PG_PRIMARY &&
        (no == core->persist.doc.primary || api_seen_ms(core, no) < TWICE_SEEN_MS))
        *primaries = (MemberSet) (*primaries | 1u << no);
    if (report.cut_off && no != core->self) /* the own one has the reason with it: api_own.c */
        alarms_add(
            alarms, NOTIFY_EVENT_network, no,
            "the network check of %s has failed, it does not stand for election; pgvigil status there has the "
            "reason",
            name);
    server_alarms(agent, alarms, no, &report);
}

/* Somebody should be able to take over, unless nobody is meant to. */
static void successor_alarm(const Agent *agent, Alarms *alarms)
{
    const Core *core = &agent->core;
    const Document *doc = &core->persist.doc;
    int meant = 0, able = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        Report report = api_report(core, no);
        if (doc->member[no].kind != MEMBER_DATA || no == doc->primary || report.no_failover)
            continue;
        meant++;
        able += api_is_reachable(core, no) && report.eligible;
    }
    if (core->leader != MEMBER_NONE && meant > 0 && able == 0)
        alarms_add(alarms, NOTIFY_EVENT_no_successor, MEMBER_NONE,
                   "no other member could take over now; pgvigil explain --member NAME says why not");
}

/* What whoever is no member knew of the others is old, and none of its business. */
static void cluster_alarms(const Agent *agent, Alarms *alarms)
{
    const Core *core = &agent->core;
    MemberSet primaries = 0;

    if (core->leader == MEMBER_NONE)
        alarms_add(alarms, NOTIFY_EVENT_no_leader, core->self,
                   "no leader is known here; pgvigil explain --member %s says why", core->options.name);
    else if (core->role == ROLE_LEADER && !core_lease_holds(core, &core->now))
        alarms_add(alarms, NOTIFY_EVENT_lease, core->self,
                   "this member leads, but no majority confirms its lease");
    if (tell_lacks_primary(agent))
        alarms_add(alarms, NOTIFY_EVENT_no_primary, MEMBER_NONE,
                   "there is no primary; pgvigil explain says why");
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (core->persist.doc.member[no].kind != MEMBER_FREE)
            member_alarms(agent, alarms, no, &primaries);
    successor_alarm(agent, alarms);
    api_sync_alarm(agent, alarms);
    api_primaries_alarm(agent, alarms, primaries);
}

/* By the file and not the document: whoever has a wrong secret may never have seen one. */
static void secret_alarms(const Agent *agent, Alarms *alarms)
{
    const char *own = agent->core.options.name;

    for (int i = 0; i < agent->config->member_count; i++) {
        const char *name = agent->config->member[i].name;
        if (peer_net_other_secret(agent->peers, name))
            alarms_add_of(
                alarms, NOTIFY_EVENT_secret, document_find(&agent->core.persist.doc, name), name,
                "%s has another secret than %s, and each refuses the other's messages: [cluster] "
                "secret has to be the same on all members; copy the right one, and restart pgvigil there",
                name, own);
    }
}

void alarms_find(const Agent *agent, Alarms *ret_alarms)
{
    const Core *core = &agent->core;
    const char *name = core->options.name;

    ret_alarms->count = 0;
    if (core->persist.outside)
        alarms_add(
            ret_alarms, NOTIFY_EVENT_outside, core->self,
            "%s is not in the cluster's document: it %s, and neither votes nor acts; pgvigil member add %s, on "
            "any member, lets it in",
            name, membership_outside(core), name);
    else
        cluster_alarms(agent, ret_alarms);
    secret_alarms(agent, ret_alarms);
    if (membership_is_twin(core))
        alarms_add_of(ret_alarms, NOTIFY_EVENT_twin, core->self, "self",
                      "another machine runs as %s, or with a copy of its state directory: give each its own",
                      name);
    gates_alarm(agent, ret_alarms);
    if (agent->poll != NULL && poll_status(agent->poll)->fence.loaded && !core->pg.fenced)
        alarms_add(
            ret_alarms, NOTIFY_EVENT_fence_file, core->self,
            "the extension in this server reads another fence file than this agent writes: commits are "
            "refused until pgvigil restart %s",
            name);
    api_own_alarms(agent, ret_alarms);
    if (core->failures > 0)
        alarms_add(ret_alarms, NOTIFY_EVENT_action_failed, core->self,
                   "the last action on the server of %s failed: %s", name, core->failure);
    if (core_disagrees(core))
        alarms_add(ret_alarms, NOTIFY_EVENT_files_differ, MEMBER_NONE,
                   "the members' configuration files differ in [cluster] or [members]");
}
