/*
 * view.c: what is known of each member, how fresh it is, and who says so.
 *
 * A report is either the member's own word or relayed by the leader; only the member's own word makes it
 * fresh.
 */
#include "core/internal.h"

#include <string.h>

#define KEEP_ALONE_US US_PER_SEC        /* without a leader: an election would have written it by then */
#define KEEP_EVERY_US (10 * US_PER_SEC) /* at most */
/* The leader tells what it sees each second; one that is busy, or does not lead any more, is not waited for.
 */
#define ARRIVAL_LIMIT_US (5 * US_PER_SEC)

/* A peer counts as reachable for as long as two heartbeats may be lost, and at least half a second. */
static int64_t fresh_for_us(const Core *core)
{
    int64_t three = 3 * (int64_t) core->persist.doc.heartbeat_ms * US_PER_MS;
    return three > US_PER_SEC / 2 ? three : US_PER_SEC / 2;
}

static void reached(Core *core, Position position)
{
    if (position.known && view_position_less(core->persist.primary_at, position))
        core->persist.primary_at = position;
}

/* Of an own word only while its WAL is the present epoch's: a deposed primary's goes its own ways. */
static void reached_by(Core *core, const Observation *pg, uint32_t wal_epoch)
{
    if (pg->state == PG_PRIMARY && pg->lsn != LSN_NONE && wal_epoch == core->persist.doc.epoch)
        reached(core, (Position){.known = true, .epoch = wal_epoch, .lsn = pg->lsn});
}

void view_own(Core *core)
{
    if (core->persist.doc.primary == core->self)
        reached_by(core, &core->pg, core->persist.wal_epoch);
}

bool view_observer_sees_primary(const Core *core)
{
    const Document *doc = &core->persist.doc;

    return doc->epoch > 0 && doc->primary != MEMBER_NONE && core->seen.member == doc->primary &&
           core->now.boot_us < core->seen.until_us;
}

Lsn view_primary_reached(const Core *core)
{
    const DocEpoch *last = document_last(&core->persist.doc);
    Position at = core->persist.primary_at;

    if (last == NULL)
        return LSN_NONE;
    if (at.known && (at.epoch == last->epoch || (!last->settled && at.epoch == last->parent)))
        return at.lsn;
    return last->settled ? last->start : LSN_NONE;
}

/*
 * Every vote writes it, so it is left to be written where there is none: by a member that hears no leader,
 * and by one that lags. Both may be restarted, and meet nobody who knows better.
 */
void view_keep(Core *core, Effects *out)
{
    Position at = core->persist.primary_at, mine = view_position(core);
    bool news = view_position_less(core->noted, at);
    bool alone = core->leader == MEMBER_NONE && core_since(core, &core->led_at) > KEEP_ALONE_US;
    bool lags = mine.known && at.epoch == mine.epoch && at.lsn > mine.lsn &&
                at.lsn - mine.lsn > core->options.maximum_lag &&
                (core->noted.epoch != at.epoch || core->noted.lsn < mine.lsn ||
                 core->noted.lsn - mine.lsn <= core->options.maximum_lag);

    if (news && (alone || lags) && core_since(core, &core->noted_at) >= KEEP_EVERY_US)
        core_persist(core, out);
}

void view_heard(Core *core, const Msg *msg)
{
    Peer *peer = &core->peer[msg->from];

    /* What another identity under this name granted is not this one's. */
    if (!uuid_equal(&peer->uuid, &msg->sender))
        *peer = (Peer){.twin = peer->twin};
    peer->heard = true;
    peer->heard_at = core->now;
    peer->uuid = msg->sender;
    peer->doc_id = msg->doc_id;
    peer->term = msg->term;
    peer->report = msg->report;
    peer->relayed = false;
    peer->position = msg->position;
    peer->config_hash = msg->config_hash;
    reached(core, msg->primary_at);
    if (msg->from == core->persist.doc.primary)
        reached_by(core, &msg->report.pg, msg->report.wal_epoch);
}

static bool is_resync(const Core *core)
{
    return core->op.state == OP_RUNNING &&
           (core->op.kind == COMMAND_REJOIN || core->op.kind == COMMAND_CLONE);
}

static void finish_arrival(Core *core)
{
    core->arrived = false;
    plan_finish(core, OP_DONE, "the standby streams from %s", names_member(core, core->persist.doc.primary));
}

void view_await_arrival(Core *core)
{
    core->arrived = is_resync(core);
    core->arrived_at = core->now;
    if (core->arrived)
        plan_step(core, "the standby streams from %s; waiting until the leader sees it",
                  names_member(core, core->persist.doc.primary));
}

void view_tick(Core *core)
{
    core->arrived = core->arrived && is_resync(core);
    if (core->arrived && core_since(core, &core->arrived_at) > ARRIVAL_LIMIT_US)
        finish_arrival(core);
}

void view_merge(Core *core, const Msg *msg)
{
    const Observation *own = core->self != MEMBER_NONE ? &msg->view[core->self].pg : NULL;

    if (core->arrived && own != NULL && msg->view_age_ms[core->self] >= 0 && own->state == PG_STANDBY &&
        own->streaming)
        finish_arrival(core);
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        Peer *peer = &core->peer[no];
        int64_t age_us = (int64_t) msg->view_age_ms[no] * US_PER_MS;

        if (no == core->self || no == msg->from || msg->view_age_ms[no] < 0)
            continue;
        if (peer->heard && core_since(core, &peer->heard_at) <= age_us)
            continue;
        peer->heard = true;
        peer->relayed = true;
        peer->report = msg->view[no];
        peer->heard_at = core->now;
        peer->heard_at.boot_us -= age_us;
        peer->heard_at.raw_us -= age_us;
    }
}

void view_fill(const Core *core, Msg *msg)
{
    msg->has_view = true;
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const Peer *peer = &core->peer[no];
        int64_t age_ms = peer->heard ? core_since(core, &peer->heard_at) / US_PER_MS : -1;

        msg->view[no] = peer->report;
        msg->view_age_ms[no] = age_ms > INT32_MAX ? INT32_MAX : (int32_t) age_ms;
    }
}

bool view_is_fresh(const Core *core, MemberNo no)
{
    if (no == core->self)
        return true;
    return no >= 0 && core->peer[no].heard &&
           core_since(core, &core->peer[no].heard_at) <= fresh_for_us(core);
}

bool view_answers(const Core *core, MemberNo no)
{
    return no == core->self || (view_is_fresh(core, no) && !core->peer[no].relayed);
}

void view_align(Core *core, const Document *old)
{
    Peer before[MEMBER_MAX];

    core->self = document_find(&core->persist.doc, core->options.name);
    memcpy(before, core->peer, sizeof before);
    memset(core->peer, 0, sizeof core->peer);
    for (MemberNo no = 0; no < MEMBER_MAX; no++) {
        const DocMember *member = &core->persist.doc.member[no];
        MemberNo was = member->kind == MEMBER_FREE ? MEMBER_NONE : document_find(old, member->name);
        if (was != MEMBER_NONE)
            core->peer[no] = before[was];
    }
}

Position view_position(const Core *core)
{
    const Document *doc = &core->persist.doc;
    Position position = {0};
    /* A standby frozen just after its start did not know its position yet; later it does, and it stays. */
    bool frozen = core->frozen && core->frozen_lsn != LSN_NONE;
    uint32_t timeline = frozen ? core->frozen_timeline : core->pg.timeline;
    Lsn lsn = frozen ? core->frozen_lsn : core->pg.lsn;

    if (core->pg.state != PG_STANDBY && core->pg.state != PG_PRIMARY)
        return position;
    if (lsn == LSN_NONE || doc->epoch == 0)
        return position;
    position.epoch = document_own_epoch(core, timeline);
    position.lsn = lsn;
    position.known = position.epoch != 0;
    return position;
}

bool view_position_less(Position a, Position b)
{
    if (!a.known || !b.known)
        return !a.known && b.known;
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.lsn < b.lsn;
}
