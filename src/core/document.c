/*
 * document.c: the replicated document: its order, its history of epochs, and the changes that a leader makes.
 *
 * A change is in force when a majority of the voters it names has it on disk, under the leader's own term;
 * only then may the next one be made. An inherited document proves nothing (protocol.md, "Leader").
 */
#include "core/internal.h"

#include <string.h>

MemberNo document_find(const Document *doc, const char *name)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (doc->member[no].kind != MEMBER_FREE && strcmp(doc->member[no].name, name) == 0)
            return no;
    return MEMBER_NONE;
}

int document_compare(DocId a, DocId b)
{
    if (a.term != b.term && !MUTANT(VERSION_ONLY))
        return a.term < b.term ? -1 : 1;
    if (a.version != b.version)
        return a.version < b.version ? -1 : 1;
    return 0;
}

const DocEpoch *document_epoch(const Document *doc, uint32_t epoch)
{
    for (int i = doc->history_len - 1; i >= 0; i--)
        if (doc->history[i].epoch == epoch)
            return &doc->history[i];
    return NULL;
}

const DocEpoch *document_last(const Document *doc)
{
    return doc->history_len > 0 ? &doc->history[doc->history_len - 1] : NULL;
}

bool document_is_news(const Core *core, DocId theirs)
{
    const DocId *mine = &core->persist.doc.id;

    return document_compare(theirs, *mine) < 0 && mine->term <= core->persist.term;
}

int document_majority(const Document *doc)
{
    int voters = 0;

    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        voters += doc->member[no].kind != MEMBER_FREE && doc->member[no].voter;
    return voters / 2 + 1;
}

/* A member that lost its state has another UUID and does not count, whatever it says. */
static bool is_known(const Core *core, const Document *doc, MemberNo no)
{
    const DocMember *member = no >= 0 ? &doc->member[no] : NULL;

    if (member == NULL || member->kind == MEMBER_FREE)
        return false;
    if (uuid_is_zero(&member->uuid))
        return true;
    return uuid_equal(&member->uuid, no == core->self ? &core->persist.node_uuid : &core->peer[no].uuid);
}

bool document_is_known(const Core *core, MemberNo no)
{
    return is_known(core, &core->persist.doc, no);
}

bool document_is_other(const Core *core, MemberNo no)
{
    const Uuid *meant = &core->persist.doc.member[no].uuid;
    const Uuid *uuid = no == core->self ? &core->persist.node_uuid : &core->peer[no].uuid;

    if (no != core->self && core->peer[no].relayed)
        return false;
    return !uuid_is_zero(meant) && !uuid_is_zero(uuid) && !uuid_equal(meant, uuid);
}

bool document_names_voter(const Core *core, const Document *doc, MemberNo no)
{
    return is_known(core, doc, no) && doc->member[no].voter;
}

MemberNo document_owner(const Core *core, const Uuid *uuid)
{
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const DocMember *member = &core->persist.doc.member[no];
        const Uuid *heard = no == core->self ? &core->persist.node_uuid : &core->peer[no].uuid;
        const Uuid *owned = uuid_is_zero(&member->uuid) ? heard : &member->uuid;
        if (member->kind != MEMBER_FREE && !uuid_is_zero(owned) && uuid_equal(owned, uuid))
            return no;
    }
    return MEMBER_NONE;
}

bool document_is_voter(const Core *core, MemberNo no)
{
    return document_names_voter(core, &core->persist.doc, no);
}

static bool begins_there(const DocEpoch *row, Lsn start)
{
    return !row->settled || row->epoch == 1 || start == LSN_NONE || start == row->start;
}

uint32_t document_epoch_of(const Document *doc, uint32_t timeline, Lsn start, uint32_t wal_epoch)
{
    for (int i = doc->history_len - 1; i >= 0; i--) {
        const DocEpoch *row = &doc->history[i];
        if (row->timeline != timeline)
            continue;
        if (MUTANT(TIMELINE_ORDER) || (row->epoch <= wal_epoch && begins_there(row, start)))
            return row->epoch;
    }
    return 0;
}

/* A data directory that was not under management yet is taken at its timeline's word. */
uint32_t document_own_epoch(const Core *core, uint32_t timeline)
{
    const Document *doc = &core->persist.doc;
    uint32_t newest = core->persist.wal_epoch != 0 ? core->persist.wal_epoch : doc->epoch;

    if (timeline != 0 && timeline == core->persist.stray_timeline)
        return 0;
    /* The first primary had a double with the same number: whose WAL this is, is not known. */
    if (core->persist.wal_epoch == 0 && doc->history_len > 0 && doc->history[0].epoch == 1 &&
        doc->history[0].kept_from != 0 && timeline >= doc->history[0].kept_from)
        return 0;
    return document_epoch_of(doc, timeline,
                             timeline == core->pg.timeline ? core->pg.timeline_start : LSN_NONE, newest);
}

/* Where the branch that ends in the epoch `from` leaves `ancestor`; UINT64_MAX if they are the same. */
static bool leaves_at(const Document *doc, uint32_t from, uint32_t ancestor, Lsn *ret_lsn)
{
    *ret_lsn = UINT64_MAX;
    while (from != ancestor) {
        const DocEpoch *row = document_epoch(doc, from);
        if (row == NULL || row->parent == 0 || row->parent >= from)
            return false;
        *ret_lsn = row->start;
        from = row->parent;
    }
    return true;
}

bool document_fork(const Document *doc, uint32_t epoch, Lsn *ret_fork)
{
    Lsn ours, theirs;

    for (uint32_t common = epoch; common != 0;) {
        if (leaves_at(doc, doc->epoch, common, &theirs) && leaves_at(doc, epoch, common, &ours)) {
            *ret_fork = ours < theirs ? ours : theirs;
            return true;
        }
        const DocEpoch *row = document_epoch(doc, common);
        common = row != NULL && row->parent < common ? row->parent : 0;
    }
    return false;
}

void document_bootstrap(Document *doc, const CoreOptions *options)
{
    memset(doc, 0, sizeof *doc);
    doc->primary = MEMBER_NONE;
    doc->lease_ms = options->lease_ms;
    doc->heartbeat_ms = options->heartbeat_ms;
    memcpy(doc->member, options->member, sizeof doc->member);
}

static bool is_grown_from(const Document *doc, const DocEpoch *next, uint32_t epoch)
{
    bool found = next->parent == epoch;

    for (int i = 0; i < doc->history_len; i++)
        found = found || doc->history[i].parent == epoch;
    return found;
}

/*
 * What goes when there is no room: the oldest claim that nothing grew out of, as elections leave that came to
 * nothing; else the oldest epoch. A member whose epoch has gone is only no longer known to be whole: it is
 * cloned. So never the one that all of them may still be in, which is what the next one grows from.
 */
static int least_needed(const Document *doc, const DocEpoch *next)
{
    int oldest = doc->history[0].epoch == next->parent ? 1 : 0;

    for (int i = 0; i < doc->history_len; i++)
        if (!doc->history[i].settled && !is_grown_from(doc, next, doc->history[i].epoch))
            return i;
    return oldest;
}

static void push_epoch(Document *doc, const DocEpoch *row)
{
    if (doc->history_len == DOC_HISTORY_MAX) {
        int gone = least_needed(doc, row);
        doc->history_len--;
        memmove(doc->history + gone, doc->history + gone + 1,
                sizeof *row * (size_t) (doc->history_len - gone));
    }
    doc->history[doc->history_len++] = *row;
}

/* The next number that no epoch has claimed; forks may bear lower ones. */
static uint32_t next_timeline(const Core *core)
{
    const Document *doc = &core->persist.doc;
    uint32_t newest = core->pg.timeline;

    for (int i = 0; i < doc->history_len; i++)
        if (doc->history[i].timeline > newest)
            newest = doc->history[i].timeline;
    return newest + 1;
}

/* The first of this server's timelines that others cannot have, as far as numbers go. */
static uint32_t kept_from(const Core *core)
{
    const DocEpoch *last = document_last(&core->persist.doc);
    uint32_t shared = fork_shared_timeline(core);

    if (!core->keep && last->kept_from != 0)
        return last->kept_from; /* chosen before, and not promoted yet */
    return (shared < core->pg.timeline ? shared : core->pg.timeline) + 1;
}

void document_take_over(const Core *core, Document *doc)
{
    Position mine = view_position(core);
    DocEpoch row = {.epoch = doc->epoch + 1, .primary = core->self};

    if (doc->epoch == 0) {
        doc->system_identifier = core->pg.system_identifier;
        row.timeline = core->pg.timeline > 0 ? core->pg.timeline : 1;
        row.settled = core->pg.state == PG_PRIMARY;
        row.kept_from = resolve_has_double(core) ? row.timeline : 0;
    } else {
        row.parent = candidate_is_kept(core) ? 0 : mine.epoch;
        row.timeline = next_timeline(core);
        row.start = row.parent != 0 ? mine.lsn : LSN_NONE;
        if (row.parent == 0)
            row.kept_from = kept_from(core);
    }
    push_epoch(doc, &row);
    doc->epoch = row.epoch;
    doc->primary = core->self;
    /* What was decided, was of the epoch before; who keeps one side gives up all others. */
    doc->discard = 0;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && doc->member[no].kind == MEMBER_DATA &&
            (core->keep || (row.epoch > 1 && row.kept_from != 0)))
            doc->discard = (MemberSet) (doc->discard | 1u << no);
    /* Who may hold what was acknowledged still may, the former primary included. */
    if (!doc->synchronous || core->accept_loss || (row.parent == 0 && row.epoch > 1)) {
        doc->sync_set = 0;
        doc->sync_needed = 0;
    }
    doc->sync_set = (MemberSet) (doc->sync_set | 1u << core->self);
}

void document_propose(Core *core, Effects *out, const Document *changed)
{
    DocId id = {.term = core->persist.term, .version = core->persist.doc.id.version + 1};
    Document old = core->persist.doc;

    core->persist.doc = *changed;
    view_align(core, &old);
    core->persist.doc.id = id;
    core->doc_in_force = false;
    core->doc_persist = core_persist(core, out);
    core->doc_at = core->now;
    lease_heartbeat(core, out);
}

/*
 * Before there was a document this member began the first epoch, and no majority had it: now that epoch is
 * another's. Its own server's WAL is none of the cluster's, whatever number its timeline has.
 */
static void drop_claim(Core *core, const Document *old)
{
    const DocEpoch *mine = document_epoch(old, core->persist.wal_epoch);
    const DocEpoch *theirs = document_epoch(&core->persist.doc, core->persist.wal_epoch);

    if (mine == NULL || theirs == NULL || mine->primary == theirs->primary || mine->primary != core->self)
        return;
    core->persist.wal_epoch = 0;
    core->persist.stray_timeline = mine->timeline;
}

void document_adopt(Core *core, const Document *doc)
{
    Document old = core->persist.doc;

    core->persist.doc = *doc;
    /* Whoever has a term's document knows the term. A leader stands for a higher one first. */
    if (doc->id.term > core->persist.term && core->role != ROLE_LEADER) {
        core->persist.term = doc->id.term;
        core->persist.voted_for = (Uuid){0};
    }
    drop_claim(core, &old);
    core->persist.outside = false;
    core->forgot = false;
    /* Somebody has led since: what may be lost is not what the operator was told. */
    if (doc->id.term > core->ordered_term)
        election_end_order(core);
    view_align(core, &old);
    /* What it streamed until it voted was this very primary's. */
    if (old.epoch == 0 && doc->epoch == 1 && core->persist.wal_epoch == 0 &&
        core->streamed_from != MEMBER_NONE && core->streamed_from == doc->primary)
        core->persist.wal_epoch = 1;
    if (old.epoch != doc->epoch) {
        core->inspected = core->diverged = core->wal_saved = core->rewind_failed = core->fork_known = false;
        core->lost = (Lost){0};
    }
}

/*
 * Without a leader the newest document is worth having from anybody: mine may not know a stranger, have no
 * vote for me, or let nobody take over, and the leader that changed that is gone. Whoever proposed it
 * inherited all that was in force before.
 */
void document_on_hello_ack(Core *core, Effects *out, const Event *event)
{
    bool idle = core->leader == MEMBER_NONE && core->role == ROLE_FOLLOWER && core->phase == CANDIDATE_NONE &&
                !core->ballot.pending;

    if (idle && event->msg->has_doc && document_compare(event->doc->id, core->persist.doc.id) > 0) {
        document_adopt(core, event->doc);
        core->doc_persist = core->accept_persist = core_persist(core, out);
    }
}

static bool is_in_force(const Core *core)
{
    const Document *doc = &core->persist.doc;
    int have = document_is_voter(core, core->self) && core->persisted_seq >= core->doc_persist;

    if (doc->id.term != core->persist.term)
        return false;
    for (MemberNo no = 0; no < MEMBER_MAX; no++)
        if (no != core->self && document_is_voter(core, no) && core->peer[no].heard)
            have +=
                core->peer[no].term == doc->id.term && document_compare(core->peer[no].doc_id, doc->id) == 0;
    return have >= document_majority(doc);
}

static bool is_of(const Core *core, MemberNo no, const Uuid *uuid)
{
    return no == MEMBER_NONE || uuid_equal(&core->persist.doc.member[no].uuid, uuid);
}

static void tell_takeover(Core *core, Effects *out)
{
    const DocEpoch *row = document_last(&core->persist.doc);
    const DocEpoch *parent = document_epoch(&core->persist.doc, row->parent);
    History history = {
        .kind = HISTORY_FAILOVER,
        .member = core->self,
        .from = parent != NULL ? parent->primary : MEMBER_NONE,
        .epoch = row->epoch,
        .timeline = row->timeline,
        .lsn = row->start,
        .duration_ms = (int32_t) (core_since(core, &core->bereft_at) / US_PER_MS),
    };

    core->told_epoch = row->epoch;
    if (row->parent == 0 && row->epoch > 1) {
        history.kind = HISTORY_RESOLVE;
        core_history(core, out, &history, "an operator chose to keep what %s has", core->options.name);
    } else if (row->parent == 0) {
        history.kind = HISTORY_BOOTSTRAP;
        core_history(core, out, &history, "first primary of the cluster");
    } else if (!uuid_is_zero(&core->xfer.leader) && core->xfer.lsn != LSN_NONE) {
        history.kind = HISTORY_SWITCHOVER;
        core_history(core, out, &history, "%s handed over", names_member(core, history.from));
    } else if (core->accept_loss) {
        core_history(core, out, &history,
                     "ordered by an operator who accepted that what others hold is lost");
    } else if (core->forced) {
        core_history(core, out, &history, "ordered by pgvigil failover");
    } else if (!uuid_is_zero(&core->xfer.leader) && !is_of(core, history.from, &core->xfer.leader)) {
        core_history(core, out, &history, "who was to follow %s was not promoted, and handed over",
                     names_member(core, history.from));
    } else if (!uuid_is_zero(&core->xfer.leader)) {
        core_history(core, out, &history, "the server of %s went down, its agent handed over",
                     names_member(core, history.from));
    } else if (core->promise.term == core->released.term && core->released.to != MEMBER_NONE &&
               core->released.to != history.from && uuid_equal(&core->promise.uuid, &core->released.leader)) {
        core_history(core, out, &history, "%s handed over to %s, which did not stand in time",
                     names_member(core, history.from), names_member(core, core->released.to));
    } else {
        core_history(core, out, &history, "the lease of %s ran out", names_member(core, history.from));
    }
    core->xfer = (Release){0};
    election_end_order(core);
}

/* Records what the claimed epoch became: PostgreSQL picks the number, and its history file says where it
 * begins. */
static bool settle(const Core *core, Document *doc)
{
    DocEpoch *row = doc->history_len > 0 ? &doc->history[doc->history_len - 1] : NULL;

    if (row == NULL || row->settled || core->pg.state != PG_PRIMARY || core->persist.wal_epoch != doc->epoch)
        return false;
    if (core->pg.timeline == 0 || (row->epoch > 1 && core->pg.timeline_start == LSN_NONE))
        return false;
    if (row->epoch > 1 && core->pg.timeline < row->timeline)
        return false; /* the number before: the claim is newer than any */
    row->timeline = core->pg.timeline;
    row->start = row->epoch > 1 ? core->pg.timeline_start : LSN_NONE;
    row->settled = true;
    doc->system_identifier = core->pg.system_identifier;
    return true;
}

/* Pause or resume; false while another change is under way. */
bool document_pause(Core *core, Effects *out, const Command *command)
{
    Document doc = core->persist.doc;
    History history = {.member = core->self, .from = MEMBER_NONE, .duration_ms = -1, .epoch = doc.epoch};

    if (!core->doc_in_force)
        return false;
    core->resuming = doc.paused && command->kind == COMMAND_RESUME;
    doc.paused = command->kind == COMMAND_PAUSE;
    doc.pause_until_us = doc.paused ? command->pause_until_us : 0;
    history.until_us = doc.pause_until_us;
    memset(doc.pause_reason, 0, sizeof doc.pause_reason);
    if (doc.paused)
        memcpy(doc.pause_reason, command->reason, sizeof doc.pause_reason);
    history.kind = doc.paused ? HISTORY_PAUSE : HISTORY_RESUME;
    core_history(core, out, &history, "%s", command->reason);
    document_propose(core, out, &doc);
    return true;
}

void document_tick(Core *core, Effects *out)
{
    const Document *present = &core->persist.doc;

    core->sync_step = (SyncStep){0};
    core->sync_evaluated = false;
    if (core->role != ROLE_LEADER)
        return;
    if (!core->doc_in_force && is_in_force(core)) {
        core->doc_in_force = true;
        core->bootstrapping = core->resuming = false;
        core->epoch_in_force = present->epoch;
        core_log(core, out, LOG_LEVEL_INFO, "document_in_force term=%llu version=%llu epoch=%u primary=%s",
                 (unsigned long long) present->id.term, (unsigned long long) present->id.version,
                 present->epoch, names_member(core, present->primary));
    }
    if (!core->doc_in_force)
        return;
    Document doc = *present;
    if (settle(core, &doc) || membership_step(core, &doc) || resolve_step(core, &doc)) {
        document_propose(core, out, &doc);
        return;
    }
    if (standbys_tick(core, out))
        return;
    const DocEpoch *row = document_last(&doc);
    if (row != NULL && row->settled && core->told_epoch < row->epoch && core->pg.state == PG_PRIMARY)
        tell_takeover(core, out);
    bool asked = core->pending.kind == COMMAND_PAUSE || core->pending.kind == COMMAND_RESUME;
    if (asked && core->pending.token != 0 && document_pause(core, out, &core->pending))
        core->pending.token = 0;
    else if (doc.paused && doc.pause_until_us != 0 && core->now.wall_us >= doc.pause_until_us)
        document_pause(core, out, &(Command){.kind = COMMAND_RESUME, .reason = "the pause's time is over"});
}
