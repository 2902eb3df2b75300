/*
 * core_fixture.h: a core in the middle of a cluster's life, for white-box tests: three data nodes a, b, c and
 * a witness w; b is the one under test, a standby of a in epoch 2 on timeline 2.
 */
#ifndef TEST_CORE_FIXTURE_H
#define TEST_CORE_FIXTURE_H

#include "core/internal.h"

#include <stdio.h>
#include <string.h>

enum { A, B, C, W, MEMBERS };

static Effects fixture_out;

static inline Uuid fixture_uuid(int no)
{
    Uuid uuid = {0};
    uuid.byte[0] = (uint8_t) (no + 1);
    return uuid;
}

static inline Clock fixture_clock(int64_t ms)
{
    int64_t us = (1000000 + ms) * US_PER_MS;
    return (Clock){.raw_us = us, .boot_us = us, .wall_us = us};
}

static inline CoreOptions fixture_options(int self)
{
    static const char *const names[] = {"a", "b", "c", "w"};
    CoreOptions options = {
        .lease_ms = 1000,
        .heartbeat_ms = 200,
        .drift_ppm = 1000,
        .margin_ms = 30,
        .unresponsive_ms = 5000,
        .start_limit_ms = 30000,
        .stream_timeout_ms = 30000,
        .maximum_lag = 1000,
        .rejoin_rewind = true,
        .rejoin_clone = true,
    };

    for (int no = 0; no < MEMBERS; no++) {
        snprintf(options.member[no].name, sizeof options.member[no].name, "%s", names[no]);
        options.member[no].kind = no == W ? MEMBER_WITNESS : MEMBER_DATA;
        options.member[no].voter = true;
        options.member[no].uuid = fixture_uuid(no);
    }
    memcpy(options.name, options.member[self].name, sizeof options.name);
    options.kind = options.member[self].kind;
    return options;
}

static inline void fixture_epoch(Document *doc, uint32_t epoch, uint32_t parent, uint32_t timeline, Lsn start)
{
    doc->history[doc->history_len++] = (DocEpoch){.epoch = epoch,
                                                  .parent = parent,
                                                  .timeline = timeline,
                                                  .start = start,
                                                  .settled = true,
                                                  .primary = A};
    doc->epoch = epoch;
    doc->primary = A;
}

/* What every member says of itself when all is well. */
static inline Report fixture_report(int no)
{
    Report report = {.wal_epoch = 2};

    report.pg.state = no == W ? PG_NONE : no == A ? PG_PRIMARY : PG_STANDBY;
    report.pg.responsive = no != W;
    report.pg.system_identifier = no == W ? 0 : 7;
    report.pg.timeline = no == W ? 0 : 2;
    report.pg.lsn = report.pg.replay_lsn = no == W ? LSN_NONE : 5000;
    report.pg.streaming = no == B || no == C;
    report.pg.upstream = report.pg.streaming ? A : MEMBER_NONE;
    report.pg.upstream_epoch = report.pg.streaming ? 2 : 0;
    return report;
}

/* The agent started at 0 ms, and now it is 5 s later; nobody leads, nothing is promised. */
static inline Core fixture_core(int self)
{
    CoreOptions options = fixture_options(self);
    Persist persist = {.node_uuid = fixture_uuid(self), .term = 4, .promise_ms = 1000, .wal_epoch = 2};
    Clock start = fixture_clock(0), none = {0};
    Core core;

    document_bootstrap(&persist.doc, &options);
    persist.doc.id = (DocId){.term = 4, .version = 9};
    persist.doc.system_identifier = 7;
    fixture_epoch(&persist.doc, 1, 0, 1, LSN_NONE);
    fixture_epoch(&persist.doc, 2, 1, 2, 3000);
    core_init(&core, &options, &persist, 77, 1, &start, &none);
    core.now = fixture_clock(5000);
    core.pg = fixture_report(self).pg;
    core.pg_answered = core.now;
    for (int no = 0; no < MEMBERS; no++) {
        Peer *peer = &core.peer[no];
        peer->heard = no != self;
        peer->heard_at = core.now;
        peer->uuid = fixture_uuid(no);
        peer->report = fixture_report(no);
        peer->doc_id = persist.doc.id;
        peer->term = 4;
        peer->report.eligible = no == B || no == C;
        peer->position = (Position){.known = no != W, .epoch = 2, .lsn = 5000};
    }
    return core;
}

static inline Msg fixture_msg(const Core *core, MsgKind kind, int from)
{
    return (Msg){
        .kind = kind,
        .from = (MemberNo) from,
        .sender = fixture_uuid(from),
        .term = core->persist.term,
        .inc = 100 + (uint64_t) from,
        .seq = 1,
        .doc_id = core->persist.doc.id,
        .lease_ms = 1000,
        .report = core->peer[from].report,
        .position = core->peer[from].position,
    };
}

/* One step; the effects are in fixture_out. */
static inline void fixture_step(Core *core, int64_t ms, const Msg *msg)
{
    Event event = {.kind = msg != NULL ? EVENT_MESSAGE : EVENT_TICK,
                   .now = fixture_clock(ms),
                   .msg = msg,
                   .reply_token = 5};

    core_step(core, &event, &fixture_out);
}

/* The first message of that kind that the last step sent, or NULL. */
static inline const Msg *fixture_sent(MsgKind kind)
{
    for (uint32_t i = 0; i < fixture_out.count; i++)
        if (fixture_out.effect[i].kind == EFFECT_SEND && fixture_out.effect[i].msg.kind == kind)
            return &fixture_out.effect[i].msg;
    return NULL;
}

#endif
