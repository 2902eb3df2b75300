/*
 * candidate.c: who may become primary, in which order candidates stand, and who is ahead of whom.
 *
 * Positions are compared by epoch first: timeline numbers are no order, since two forks can bear the same
 * one.
 */
#include "core/internal.h"

#include <string.h>

/*
 * The named primary whose data directory holds everything of its epoch: it may go on without asking
 * positions. One that is being promoted may have arrived by now: a further epoch would be said to leave its
 * parent where this one does not. One that has arrived and runs as a standby was started so by somebody else.
 */
bool candidate_incumbent(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);

    if (doc->epoch == 0 || doc->primary != core->self || core->persist.wal_epoch != doc->epoch)
        return false;
    if (core->pg.state == PG_STANDBY)
        return last != NULL && !last->settled && core->pg.timeline < last->timeline;
    return core->pg.state == PG_PRIMARY || core->pg.state == PG_STOPPED || core->pg.state == PG_CRASHED ||
           core->pg.state == PG_STARTING;
}

/* The named primary stands without a vote of its own as well: others' are what it needs then. */
static bool may_stand(const Core *core, MemberNo no)
{
    return document_is_voter(core, no) || (no == core->persist.doc.primary && document_is_known(core, no));
}

/* Before there is a document: the one who already is the primary, or the first member where all are empty. */
static const char *bootstrap_obstacle(const Core *core)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        bool data = core->persist.doc.member[no].kind == MEMBER_DATA && no != core->self;

        if (data && peer->heard && peer->report.pg.state == PG_PRIMARY && core->pg.state != PG_PRIMARY)
            return "another member is the primary, and the one to begin";
        if (data && core->pg.state == PG_EMPTY && (!peer->heard || peer->report.pg.state != PG_EMPTY))
            return "a new cluster is created only while all data members answer and are empty";
    }
    if (core->pg.state == PG_PRIMARY)
        return resolve_obstacle(core);
    if (core->pg.state == PG_EMPTY && core->options.initdb)
        return NULL;
    if (core->pg.state == PG_EMPTY)
        return "the data directory is empty; with [postgresql] initdb = yes the first data member creates the cluster";
    return "the cluster has no document yet, and this server is not a primary";
}

/*
 * The primary's own word that I have all of it: it stopped in order, no process of its server is left, and it
 * never leads that term again. In a later term it may have led once more, and acknowledged what I lack.
 */
static bool holds_release(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const Release *release = &core->xfer;
    Position mine = view_position(core);

    if (uuid_is_zero(&release->leader) || release->lsn == LSN_NONE || doc->primary == MEMBER_NONE ||
        !uuid_equal(&release->leader, &doc->member[doc->primary].uuid))
        return false;
    return mine.known && mine.epoch == doc->epoch && mine.lsn >= release->lsn &&
           core->persist.term <= release->term + (core->phase == CANDIDATE_VOTE ? 1 : 0);
}

/*
 * The named primary, as a standby: somebody has started it so, and nobody else wrote in its epoch; or it was
 * elected and went down before it was promoted, and what it compared then is still all that there can be:
 * those who voted for it confirm nothing to the primary before.
 */
static bool is_primary_as_standby(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);
    Position mine = view_position(core);

    if (doc->primary != core->self || core->pg.state != PG_STANDBY || !mine.known || last == NULL)
        return false;
    if (core->persist.wal_epoch == doc->epoch)
        return mine.epoch == doc->epoch;
    return !last->settled && mine.epoch == last->parent && mine.lsn >= last->start;
}

/*
 * By an operator's order; or the document says so already, and the server went down before it was promoted:
 * who else could take over from an epoch that nobody has any WAL of?
 */
bool candidate_is_kept(const Core *core)
{
    const Document *doc = &core->persist.doc;
    const DocEpoch *last = document_last(doc);

    if (doc->epoch == 0 || candidate_incumbent(core))
        return false;
    return core->keep || (doc->primary == core->self && last != NULL && last->epoch > 1 &&
                          last->parent == 0 && !last->settled);
}

/* Its server is promoted from where it is: nothing else may be writing to it, and it must be whole. */
static const char *keep_obstacle(const Core *core)
{
    PgState state = core->pg.state;

    if (core->pg.processes_left)
        return "processes of its server are left";
    if (state != PG_STOPPED && state != PG_CRASHED && state != PG_STANDBY)
        return "its server runs as a primary, or has no data, or is not known";
    if (core->pg.timeline == 0)
        return "the timeline of its WAL is not known";
    return core->pg.disk_stuck ? "the server's disk takes no writes" : NULL;
}

bool candidate_needs_no_positions(const Core *core)
{
    return !core->persist.doc.synchronous || core->accept_loss || candidate_incumbent(core) ||
           candidate_is_kept(core) || is_primary_as_standby(core) || holds_release(core);
}

/* A position that tells what its member has of everything acknowledged: one on a fork does not. */
static bool counts(const Core *core, MemberNo no, Position position)
{
    const DocMember *member = &core->persist.doc.member[no];
    Lsn fork;

    return (core->persist.doc.sync_set >> no & 1) != 0 && no != core->persist.doc.primary &&
           document_is_voter(core, no) && !uuid_is_zero(&member->uuid) && position.known &&
           document_fork(&core->persist.doc, position.epoch, &fork) && position.lsn <= fork;
}

/* Members whose position is known now; all of them could be compared in an election. */
static int positions_known(const Core *core)
{
    int have = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        if (no == core->self)
            have += counts(core, no, view_position(core));
        else
            have += view_is_fresh(core, no) && !peer->relayed && counts(core, no, peer->position);
    }
    return have;
}

/* Of these, those that have no more than somebody at that position. */
static int positions_not_above(const Core *core, Position position)
{
    int have = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        have += no != core->self && view_is_fresh(core, no) && !peer->relayed &&
                counts(core, no, peer->position) && !view_position_less(position, peer->position);
    }
    return have;
}

/* Members that were frozen for their vote and have no more than I do. */
static int positions_won(const Core *core)
{
    Position mine = view_position(core);
    int have = core->self != MEMBER_NONE && core->frozen && counts(core, core->self, mine);

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        have += no != core->self && peer->vote_ok && peer->vote_frozen &&
                counts(core, no, peer->vote_position) && !view_position_less(mine, peer->vote_position);
    }
    return have;
}

int candidate_positions_lack(const Core *core, bool votes)
{
    int lack = syncset_quorum(&core->persist.doc) - (votes ? positions_won(core) : positions_known(core));

    return lack > 0 && !candidate_needs_no_positions(core) ? lack : 0;
}

/* In synchronous mode no lag is small enough. */
static const char *sync_obstacle(const Core *core)
{
    const Document *doc = &core->persist.doc;
    bool in_set = (doc->sync_set >> core->self & 1) != 0;

    if (core->accept_loss)
        return NULL;
    if (syncset_alone(doc) && !holds_release(core) && !is_primary_as_standby(core))
        return "commits waited for no standby: only the former primary has all that was acknowledged";
    if (doc->sync_needed > 0 && (core->pg.names.kind != NAMES_OURS || (!in_set && !core->pg.names_effective)))
        return "its server was not told yet that commits wait for standbys";
    return NULL;
}

static const char *standby_obstacle(const Core *core)
{
    const Document *doc = &core->persist.doc;
    Position mine = view_position(core);
    Lsn fork;

    if (core->pg.state != PG_STANDBY)
        return "the server does not run as a standby";
    if (!core->pg.responsive)
        return "the server does not answer";
    if (core->pg.disk_stuck)
        return "the server's disk takes no writes";
    if (!mine.known)
        return "its position in the cluster's history is not known";
    if (!document_fork(doc, mine.epoch, &fork) || core->pg.replay_lsn > fork)
        return "its WAL has left the cluster's history";
    if (core->diverged)
        return "its WAL has diverged";
    if (doc->synchronous)
        return sync_obstacle(core);
    Lsn reached = view_primary_reached(core);
    if (!core->forced && reached > mine.lsn && reached - mine.lsn > core->options.maximum_lag)
        return "it lags behind the primary by more than maximum_lag";
    return NULL;
}

bool core_is_eligible(const Core *core)
{
    return candidate_obstacle(core) == NULL;
}

const char *candidate_obstacle(const Core *core)
{
    const Document *doc = &core->persist.doc;

    if (core->options.kind != MEMBER_DATA)
        return "it is a witness";
    if (core->persist.outside)
        return "the cluster's document does not name it: pgvigil member add lets it in";
    if (core->self == MEMBER_NONE || !may_stand(core, core->self))
        return "it is not a voter of this cluster with this identity";
    if (core->disk_failed)
        return "it cannot write its state";
    if (core->persist.rewinding)
        return "a rewind or clone was interrupted";
    if (server_end_is_overdue(core))
        return "processes of its server cannot be ended";
    if (core->options.no_failover && doc->primary != core->self)
        return "no_failover is set";
    if (core->cut_off)
        return "this machine's network check has failed";
    if (doc->system_identifier != 0 && core->pg.system_identifier != 0 &&
        doc->system_identifier != core->pg.system_identifier)
        return "its data directory belongs to another cluster";
    if (doc->epoch == 0)
        return bootstrap_obstacle(core);
    if (candidate_incumbent(core))
        return core->now.boot_us < core->declined_until_us ? "it has just handed over" : NULL;
    if (candidate_is_kept(core))
        return keep_obstacle(core);
    return standby_obstacle(core);
}

bool candidate_reports_incumbent(const Core *core, MemberNo no, const Report *report)
{
    const Document *doc = &core->persist.doc;

    return doc->epoch > 0 && no == doc->primary && report->wal_epoch == doc->epoch &&
           report->pg.state != PG_STANDBY;
}

/* An incumbent has everything, whatever position it reports. */
static bool is_incumbent(const Core *core, MemberNo no)
{
    const Report *report = &core->peer[no].report;

    return report->eligible && candidate_reports_incumbent(core, no, report);
}

/* True if that member should take over rather than I. Ties go to the earlier in the document. */
static bool is_ahead(const Core *core, MemberNo no)
{
    const Peer *peer = &core->peer[no];
    Position mine = view_position(core);

    if (core->persist.doc.member[no].kind != MEMBER_DATA || !may_stand(core, no) || !peer->report.eligible)
        return false;
    if (candidate_incumbent(core))
        return false;
    if (is_incumbent(core, no) || view_position_less(mine, peer->position))
        return true;
    return !view_position_less(peer->position, mine) && no < core->self;
}

int candidate_rank(const Core *core)
{
    const Document *doc = &core->persist.doc;
    MemberNo primary = doc->primary;
    int rank = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && no != primary && core->peer[no].heard)
            rank += is_ahead(core, no);
    /* A primary without a vote that is back has to ask for mine, and does within that time. */
    if (primary >= 0 && primary != core->self && !doc->member[primary].voter && view_is_fresh(core, primary))
        rank += is_incumbent(core, primary) ? 2 : 0;
    if (core->self != MEMBER_NONE && doc->member[core->self].leaving)
        rank += MEMBER_MAX; /* whoever stays goes first */
    return rank;
}

MemberNo candidate_ahead(const Core *core)
{
    MemberNo best = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        if (no == core->self || !peer->prevote_seen || !is_ahead(core, no))
            continue;
        /* Equal positions need no nudge: the rank already gave the earlier one its time. */
        if (!is_incumbent(core, no) && !view_position_less(view_position(core), peer->position))
            continue;
        if (best == MEMBER_NONE || is_incumbent(core, no) ||
            view_position_less(core->peer[best].position, peer->position))
            best = no;
    }
    return best;
}

const char *candidate_unfit(const Core *core, MemberNo no)
{
    const Peer *peer = no >= 0 ? &core->peer[no] : NULL;

    if (peer == NULL || core->persist.doc.member[no].kind == MEMBER_FREE)
        return "there is no such member";
    if (core->persist.doc.member[no].kind != MEMBER_DATA)
        return "it is a witness and has no PostgreSQL";
    if (no == core->self)
        return "it is the primary already";
    if (!view_is_fresh(core, no) || peer->relayed)
        return "its agent does not answer";
    if (peer->report.no_failover)
        return "no_failover is set there";
    if (peer->report.disk_failed)
        return "it cannot write its state";
    if (peer->report.cut_off)
        return "its machine's network check has failed";
    if (peer->report.pg.state != PG_STANDBY || !peer->report.pg.responsive)
        return "its server does not run as a standby, or does not answer";
    if (peer->report.pg.disk_stuck)
        return "its server's disk takes no writes";
    if (!document_is_voter(core, no))
        return "it is not a voter";
    if (core->persist.doc.member[no].leaving)
        return "it is being removed";
    if (!peer->position.known || peer->position.epoch != core->persist.doc.epoch)
        return "its WAL is not on the cluster's timeline";
    if (!peer->report.pg.streaming)
        return "it is not streaming from the primary";
    if (core->pg.lsn > peer->position.lsn && core->pg.lsn - peer->position.lsn > core->options.maximum_lag)
        return "it lags by more than maximum_lag";
    return NULL;
}

/* Before the first promotion of an epoch everybody is still at the end of the one before. */
static bool is_of_present_epoch(const Document *doc, Position position)
{
    const DocEpoch *last = document_last(doc);

    if (position.epoch == doc->epoch)
        return true;
    return last != NULL && !last->settled && position.epoch == last->parent && position.lsn >= last->start;
}

/*
 * After a crash the walreceiver is gone before anybody asks, so streaming does not count here; the position
 * and the promise that an agent answers do.
 */
MemberNo candidate_successor(const Core *core)
{
    MemberNo best = MEMBER_NONE;

    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        if (no == core->self || core->persist.doc.member[no].kind != MEMBER_DATA ||
            core->persist.doc.member[no].leaving || !document_is_voter(core, no))
            continue;
        if (!view_is_fresh(core, no) || peer->relayed || !peer->report.eligible || !peer->position.known)
            continue;
        if (!is_of_present_epoch(&core->persist.doc, peer->position))
            continue;
        if (best == MEMBER_NONE || view_position_less(core->peer[best].position, peer->position))
            best = no;
    }
    /* One that could not win is no successor: who is ahead of it may not be able to stand. */
    bool enough = !core->persist.doc.synchronous ||
                  (best != MEMBER_NONE && positions_not_above(core, core->peer[best].position) >=
                                              syncset_quorum(&core->persist.doc));
    return enough ? best : MEMBER_NONE;
}
