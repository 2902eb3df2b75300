/*
 * resolve.c: more than one primary: which one is kept, and that nothing of another's is discarded before
 * somebody may.
 *
 * With a document there is nothing to choose: the lease says who writes. Without one, or by an operator's
 * order, it has to be chosen; protocol.md ("Two primaries") has the rules.
 */
#include "core/internal.h"

#include <stdio.h>
#include <string.h>

/* Without a leader each says once a second what it is; three of these may be lost. */
#define HEARD_US (4 * US_PER_SEC)
/* What a crashed primary said last is no second one: it is out of date by then. */
#define SURE_US US_PER_SEC

static int count(MemberSet set)
{
    int n = 0;

    for (; set != 0; set &= (MemberSet) (set - 1))
        n++;
    return n;
}

static const Observation *server_of(const Core *core, MemberNo no)
{
    return no == core->self ? &core->pg : &core->peer[no].report.pg;
}

/* By its own word, not long ago. */
static bool is_heard(const Core *core, MemberNo no)
{
    const Peer *peer = &core->peer[no];

    return no == core->self ||
           (peer->heard && !peer->relayed && core_since(core, &peer->heard_at) <= HEARD_US);
}

/* With a document only what is fresh counts; without one, whoever was a primary is one until it says
 * otherwise. */
static bool is_primary(const Core *core, MemberNo no)
{
    bool known =
        no == core->self || (core->persist.doc.epoch > 0 ? view_is_fresh(core, no) && !core->peer[no].relayed
                                                         : core->peer[no].heard);

    return core->persist.doc.member[no].kind == MEMBER_DATA && known &&
           server_of(core, no)->state == PG_PRIMARY;
}

static MemberSet all_primaries(const Core *core)
{
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (is_primary(core, no))
            set = (MemberSet) (set | 1u << no);
    return set;
}

MemberSet core_primaries(const Core *core)
{
    bool sure = core->persist.doc.epoch == 0 || core_since(core, &core->twice_seen) >= SURE_US;

    return sure ? core->twice : 0;
}

const char *core_choice(const Core *core, MemberNo *ret_choice)
{
    const char *why;

    *ret_choice = resolve_choice(core, &why);
    return why;
}

/* ---- The choice, while there is no document ---- */

/* What stands against a choice whoever is ahead; NULL: nothing. */
static const char *undecided(const Core *core)
{
    uint64_t identifier = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Observation *pg = server_of(core, no);
        if (core->persist.doc.member[no].kind != MEMBER_DATA)
            continue;
        if (!is_heard(core, no))
            return "there are two primaries, and a data member does not answer, which may be one, too: start its agent, "
                   "or pgvigil resolve --keep NAME";
        if (pg->state == PG_UNKNOWN || pg->state == PG_STARTING)
            return "there are two primaries, and what another server is cannot be told yet";
        if (pg->state != PG_PRIMARY)
            continue;
        if (pg->lsn == LSN_NONE)
            return "there are two primaries, and the position of one is not known yet";
        if (identifier != 0 && pg->system_identifier != identifier)
            return "the primaries are of different clusters, by their system identifiers: correct [members]";
        identifier = pg->system_identifier;
    }
    return NULL;
}

/*
 * The fork is one point for both, so that more WAL behind it is the larger position. Sizes count only where
 * both are known; the file's order is the slots'.
 */
static bool is_better(const Core *core, MemberNo no, MemberNo than)
{
    const Observation *a = server_of(core, no), *b = server_of(core, than);

    if (a->lsn != b->lsn)
        return a->lsn > b->lsn;
    if (a->size != 0 && b->size != 0 && a->size != b->size)
        return a->size > b->size;
    return no < than;
}

MemberNo resolve_choice(const Core *core, const char **ret_why)
{
    int64_t after_us = (int64_t) core->options.resolve_after_ms * US_PER_MS;
    MemberNo best = MEMBER_NONE;

    *ret_why = undecided(core);
    if (*ret_why != NULL)
        return MEMBER_NONE;
    if (core->options.resolve_ask)
        *ret_why =
            "there are two primaries, and [cluster] resolve = ask: pgvigil resolve shows both, and with --keep NAME "
            "one is kept";
    else if (core_since(core, &core->twice_since) < after_us)
        *ret_why =
            "there are two primaries: the one with more WAL is kept, if both are still there after resolve_after";
    if (*ret_why != NULL)
        return MEMBER_NONE;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (is_primary(core, no) && (best == MEMBER_NONE || is_better(core, no, best)))
            best = no;
    return best;
}

const char *resolve_obstacle(const Core *core)
{
    const char *why;

    if (core->keep || count(all_primaries(core)) < 2)
        return NULL;
    MemberNo best = resolve_choice(core, &why);
    if (best == MEMBER_NONE)
        return why;
    return best == core->self
               ? NULL
               : "there are two primaries, and another has more WAL, or the larger database, or stands first";
}

bool resolve_refuses(const Core *core, const Msg *msg)
{
    const char *why;

    if (core->persist.doc.epoch > 0 || msg->kept || count(all_primaries(core)) < 2)
        return false;
    return resolve_choice(core, &why) != msg->from;
}

bool resolve_needs_all(const Core *core)
{
    return core->persist.doc.epoch == 0 && !core->keep && count(all_primaries(core)) > 1;
}

bool resolve_has_double(const Core *core)
{
    MemberSet set = all_primaries(core);

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Observation *pg = server_of(core, no);
        if (no != core->self && (set >> no & 1) != 0 && pg->timeline == core->pg.timeline &&
            pg->timeline_start == core->pg.timeline_start)
            return true;
    }
    return false;
}

/* ---- What is seen ---- */

static void list(const Core *core, MemberSet set, char *ret_text, size_t size)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if ((set >> no & 1) != 0 && used < size)
            used += (size_t) snprintf(ret_text + used, size - used, "%s%s", used > 0 ? "," : "",
                                      core->persist.doc.member[no].name);
}

static void tell(Core *core, Effects *out)
{
    MemberSet set = core_primaries(core);
    char names[CORE_TEXT_LEN / 2];

    if (set == core->twice_told)
        return;
    list(core, set != 0 ? set : core->twice_told, names, sizeof names);
    if (set != 0)
        core_log(core, out, LOG_LEVEL_ERROR, "two_primaries members=%s", names);
    else
        core_log(core, out, LOG_LEVEL_INFO, "one_primary again; there were %s", names);
    core->twice_told = set;
}

void resolve_tick(Core *core, Effects *out)
{
    MemberSet set = all_primaries(core);

    if (count(set) < 2)
        set = 0;
    if (set != core->twice && (core->twice == 0 || set == 0))
        core->twice_seen = core->now;
    if (set != core->twice || (core->persist.doc.epoch == 0 && set != 0 && undecided(core) != NULL))
        core->twice_since = core->now;
    core->twice = set;
    tell(core, out);
}

/* ---- What may be discarded ---- */

/*
 * By the option, where there is anything to lose. And by default by a server that was a primary when the
 * document came to it, whenever that was: what it has may be years of somebody's, so it goes by itself only
 * if all of it was saved.
 */
bool resolve_asks(const Core *core)
{
    bool decided = core->self >= 0 && (core->persist.doc.discard >> core->self & 1) != 0;
    bool foreign = core->persist.wal_epoch == 0 && core->persist.stray_timeline != 0;

    if (decided || !core->wal_saved || !core->diverged)
        return false;
    if (core->options.resolve_ask)
        return core->lost.transactions > 0 || !core->lost.complete;
    return foreign && !core->lost.complete;
}

Lost resolve_lost(const Core *core)
{
    Lost lost = core->lost;

    lost.asks = (core->facts & FACT_BIT(ASKS)) != 0;
    return lost;
}

/* ---- The order ---- */

static MemberSet those_who_ask(const Core *core)
{
    MemberSet set = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && core->persist.doc.member[no].kind == MEMBER_DATA && view_is_fresh(core, no) &&
            core->peer[no].report.lost.asks)
            set = (MemberSet) (set | 1u << no);
    return set;
}

bool resolve_step(Core *core, Document *doc)
{
    MemberSet before = doc->discard;

    if (core->pending.token != 0 && core->pending.kind == COMMAND_RESOLVE) {
        core->pending.token = 0;
        doc->discard = (MemberSet) (doc->discard | those_who_ask(core));
        return doc->discard != before;
    }
    /* It has come back: what it may write later is another matter. */
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if ((doc->discard >> no & 1) != 0 && no != core->self && view_is_fresh(core, no) &&
            core->peer[no].report.pg.streaming && core->peer[no].report.wal_epoch == doc->epoch)
            doc->discard = (MemberSet) (doc->discard & ~(1u << no));
    return doc->discard != before;
}

static void keep_own(Core *core, Effects *out, const Command *command)
{
    if (those_who_ask(core) == 0) {
        plan_answer(out, command, ANSWER_DONE, "%s is the primary, and no other member waits for a decision",
                    core->options.name);
    } else if (core->pending.token != 0) {
        plan_answer(out, command, ANSWER_REFUSED, "another change is under way; try again");
    } else {
        plan_begin(core, out, command, core->self, "asking a majority");
        core->pending = *command;
    }
}

static void keep_other(Core *core, Effects *out, const Command *command)
{
    const Peer *peer = &core->peer[command->target];
    const char *name = names_member(core, command->target);

    if (core->persist.doc.member[command->target].kind != MEMBER_DATA)
        plan_answer(out, command, ANSWER_REFUSED, "%s is a witness and has no PostgreSQL", name);
    else if (!view_is_fresh(core, command->target) || peer->relayed)
        plan_answer(out, command, ANSWER_REFUSED, "the agent of %s does not answer", name);
    else if (!peer->report.lost.asks)
        plan_answer(
            out, command, ANSWER_REFUSED,
            "%s does not wait for a decision: it has nothing that the cluster does not have, or not any more; "
            "pgvigil lost there shows what was saved",
            name);
    else if (peer->report.disk_failed || !document_is_voter(core, command->target))
        plan_answer(out, command, ANSWER_REFUSED, "%s has no vote now, and could not lead", name);
    else
        plan_keep(core, out, command);
}

void resolve_on_command(Core *core, Effects *out, const Command *command)
{
    bool leads = core->role == ROLE_LEADER && core_lease_holds(core, &core->now);

    if (command->target == MEMBER_NONE)
        plan_answer(out, command, ANSWER_REFUSED, "it has to be said which member's side is kept");
    else if (core->plan.step != STEP_NONE)
        plan_answer(out, command, ANSWER_REFUSED, "another order is under way; see pgvigil status");
    else if (leads && command->target == core->self)
        keep_own(core, out, command);
    else if (core->persist.doc
                 .paused) /* a server that is stopped would not be started: nobody would be primary */
        plan_answer(out, command, ANSWER_REFUSED, "the cluster is paused: pgvigil resume first");
    else if (leads)
        keep_other(core, out, command);
    else if (core->leader != MEMBER_NONE && core->leader != core->self)
        plan_answer(out, command, ANSWER_REFUSED, "%s leads the cluster: ask its agent",
                    names_member(core, core->leader));
    else if (core->role == ROLE_FOLLOWER)
        plan_stand(core, out, command, true, true);
    else
        plan_answer(out, command, ANSWER_REFUSED, "an election is under way; see pgvigil status");
}
