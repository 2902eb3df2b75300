/*
 * samples.h: random messages, documents and records that are valid, for the tests of codec and store.
 *
 * All structs are zeroed first, so that memcmp compares them, padding included.
 */
#ifndef TEST_SAMPLES_H
#define TEST_SAMPLES_H

#include "base/rng.h"
#include "core/core.h"

#include <stdio.h>
#include <string.h>

static uint64_t sample_state = 1;

/* 0 to most, often one of the ends. */
static inline uint64_t sample_to(uint64_t most)
{
    uint64_t way = rng_below(&sample_state, 8);
    uint64_t any = rng_next(&sample_state);

    return way == 0 ? 0 : way == 1 || most == UINT64_MAX ? (way == 1 ? most : any) : any % (most + 1);
}

static inline bool sample_bool(void)
{
    return sample_to(1) != 0;
}

static inline uint32_t sample_u32(void)
{
    return (uint32_t) sample_to(UINT32_MAX);
}

static inline uint64_t sample_count(void)
{
    return sample_to(((uint64_t) 1 << 53) - 1);
}

static inline uint64_t sample_term(void)
{
    return sample_to(((uint64_t) 1 << 52) - 1);
}

static inline uint64_t sample_u64(void)
{
    return sample_to(UINT64_MAX);
}

static inline MemberNo sample_slot(void)
{
    return (MemberNo) ((int) sample_to(MEMBER_MAX) - 1);
}

/* Never zero. */
static inline Uuid sample_uuid(void)
{
    Uuid uuid;

    for (int i = 0; i < 16; i++)
        uuid.byte[i] = (uint8_t) rng_next(&sample_state);
    uuid.byte[0] |= 1;
    return uuid;
}

static inline void sample_report(Report *ret)
{
    Observation *pg = &ret->pg;

    memset(ret, 0, sizeof *ret);
    pg->state = (PgState) sample_to(PG_PRIMARY);
    pg->responsive = sample_bool();
    pg->disk_stuck = sample_bool();
    pg->disk_full = sample_bool();
    pg->processes_left = sample_bool();
    pg->streaming = sample_bool();
    pg->can_rewind = sample_bool();
    pg->pending_restart = sample_bool();
    pg->self_restarts = sample_bool();
    pg->system_identifier = sample_u64();
    pg->server_version = sample_u32();
    pg->timeline = sample_u32();
    pg->timeline_start = sample_u64();
    pg->checkpoint_timeline = sample_u32();
    pg->lsn = sample_u64();
    pg->replay_lsn = sample_u64();
    pg->oldest_lsn = sample_u64();
    pg->size = sample_u64();
    pg->upstream = sample_slot();
    pg->upstream_epoch = sample_u32();
    pg->replay_lag_ms = (int32_t) ((int64_t) sample_to((uint64_t) INT32_MAX + 1) - 1);
    pg->standbys = (uint16_t) sample_to(UINT16_MAX);
    pg->names.kind = (NamesKind) sample_to(NAMES_FOREIGN);
    pg->names.set = (MemberSet) sample_to((1 << MEMBER_MAX) - 1);
    pg->names.needed = (uint8_t) sample_to(MEMBER_MAX);
    pg->names.epoch = sample_u32();
    pg->names.generation = sample_u32();
    pg->names_effective = sample_bool();
    pg->fenced = sample_bool();
    ret->action = (ActionKind) sample_to(ACTION_KINDS - 1);
    ret->progress = (uint8_t) sample_to(255);
    ret->wal_epoch = sample_u32();
    ret->no_failover = sample_bool();
    ret->no_sync = sample_bool();
    ret->no_load_balance = sample_bool();
    ret->eligible = sample_bool();
    ret->disk_failed = sample_bool();
    ret->cut_off = sample_bool();
    ret->silent = sample_bool();
    ret->settings_hash = sample_u64();
    ret->rule = (RuleId) sample_to(255);
    ret->lost.asks = sample_bool();
    ret->lost.fork = sample_u64();
    ret->lost.end = sample_u64();
    ret->lost.transactions = sample_u32();
    ret->lost.last_us = (int64_t) sample_count();
    ret->lost.complete = sample_bool();
}

static inline void sample_member(DocMember *ret, int no)
{
    snprintf(ret->name, sizeof ret->name, "member-%d_%.*s", no, (int) sample_to(22),
             "abcdefghijklmnopqrstuvwx");
    ret->uuid = sample_bool() ? sample_uuid() : (Uuid){{0}};
    ret->kind = sample_bool() ? MEMBER_DATA : MEMBER_WITNESS;
    ret->voter = sample_bool();
    ret->leaving = no == 3 && sample_bool();
}

/* A data member's slot, or none. */
static inline MemberNo sample_data_member(const Document *doc)
{
    MemberNo no = sample_slot();

    return no >= 0 && doc->member[no].kind == MEMBER_DATA ? no : MEMBER_NONE;
}

static inline MemberSet sample_data_members(const Document *doc)
{
    MemberSet set = 0;

    for (int i = 0; i < MEMBER_MAX; i++)
        if (doc->member[i].kind == MEMBER_DATA && sample_bool())
            set = (MemberSet) (set | 1u << i);
    return set;
}

/* Former primaries may have been removed since; the newest one is the primary. */
static inline void sample_history(Document *ret)
{
    ret->history_len = (uint8_t) sample_to(DOC_HISTORY_MAX);
    ret->primary = MEMBER_NONE;
    for (int i = 0; i < ret->history_len; i++) {
        DocEpoch *row = &ret->history[i];
        row->epoch = ret->epoch + 1 + (uint32_t) sample_to(1000000);
        row->parent = (uint32_t) sample_to(row->epoch - 1);
        row->timeline = sample_u32();
        row->start = sample_u64();
        row->settled = sample_bool();
        row->primary = sample_data_member(ret);
        if (i == ret->history_len - 1 && row->primary == MEMBER_NONE)
            row->primary = 1;
        ret->primary = row->primary;
        ret->epoch = row->epoch;
    }
}

static inline void sample_document(Document *ret)
{
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < MEMBER_MAX; i++)
        if (sample_bool() || i == 1)
            sample_member(&ret->member[i], i);
    ret->member[1].kind = MEMBER_DATA;
    ret->member[1].voter = true;
    ret->id = (DocId){sample_term(), sample_count()};
    ret->system_identifier = sample_u64();
    sample_history(ret);
    ret->sync_set = sample_data_members(ret);
    ret->synchronous = ret->primary != MEMBER_NONE && sample_bool();
    if (ret->synchronous) {
        ret->sync_set = (MemberSet) (ret->sync_set | 1u << ret->primary);
        ret->sync_needed = (uint8_t) sample_to((uint64_t) syncset_count(ret->sync_set) - 1);
    }
    ret->lease_ms = 3 + (uint32_t) sample_to(60000 - 3);
    ret->heartbeat_ms = 1 + (uint32_t) sample_to(ret->lease_ms / 3 - 1);
    ret->paused = sample_bool();
    ret->pause_until_us = (int64_t) sample_count();
    snprintf(
        ret->pause_reason, sizeof ret->pause_reason, "%.*s", (int) sample_to(79),
        "\"new\" disks\\\n and a reason that is long enough to fill all there is of it, and more, and more");
}

static inline Position sample_position(void)
{
    bool known = sample_bool();
    uint32_t epoch = sample_u32();

    return (Position){.known = known, .epoch = epoch, .lsn = sample_u64()};
}

static inline void sample_persist(Persist *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->node_uuid = sample_uuid();
    ret->term = sample_term();
    ret->voted_for = sample_bool() ? sample_uuid() : (Uuid){{0}};
    ret->promise_ms = (uint32_t) sample_to(60000);
    ret->wal_epoch = sample_u32();
    ret->stray_timeline = sample_u32();
    ret->primary_at = sample_position();
    ret->rewinding = sample_bool();
    ret->outside = sample_bool();
    sample_document(&ret->doc);
}

static inline void sample_msg(Msg *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = (MsgKind) (1 + sample_to(MSG_KINDS - 2));
    ret->from = MEMBER_NONE;
    ret->sender = sample_uuid();
    ret->term = sample_term();
    ret->inc = sample_u64();
    ret->seq = sample_count();
    ret->doc_id = (DocId){sample_term(), sample_count()};
    ret->has_doc = sample_bool();
    ret->granted = sample_bool();
    ret->frozen = sample_bool();
    ret->want_fresh = sample_bool();
    ret->has_view = sample_bool();
    ret->refusal = (Refusal) sample_to(REFUSALS - 1);
    ret->lease_ms = (uint32_t) sample_to(60000);
    ret->position = sample_position();
    ret->primary_at = sample_position();
    ret->release.leader = sample_bool() ? sample_uuid() : (Uuid){{0}};
    ret->release.term = sample_term();
    ret->release.inc = sample_u64();
    ret->release.seq = sample_count();
    ret->release.to = sample_slot();
    ret->release.lsn = sample_u64();
    ret->release.forced = sample_bool();
    ret->release.accept_loss = sample_bool();
    ret->config_hash = sample_u64();
    sample_report(&ret->report);
    for (int i = 0; i < MEMBER_MAX; i++) {
        ret->view_age_ms[i] = -1;
        if (!ret->has_view || !sample_bool())
            continue;
        ret->view_age_ms[i] = (int32_t) sample_to(INT32_MAX);
        sample_report(&ret->view[i]);
    }
}

#endif
