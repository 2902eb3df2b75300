/*
 * codec_table.c: one line for each field that travels or is kept. A new field of the core's structs is one
 * new line.
 *
 * Names and meanings, once released, stay.
 */
#include "wire/codec_table.h"

/* The names are functions of the enum types; the table wants one type for all. */
#define WORDS(function, of, type)                                                                            \
    static const char *function(int value)                                                                   \
    {                                                                                                        \
        return of((type) value);                                                                             \
    }

WORDS(state_word, pg_state_name, PgState)
WORDS(action_word, action_kind_name, ActionKind)
WORDS(msg_word, msg_name, MsgKind)
WORDS(refusal_word, refusal_name, Refusal)

static const char *names_word(int value)
{
    static const char *const names[] = {"unknown", "none", "ours", "foreign"};

    return value >= NAMES_UNKNOWN && value <= NAMES_FOREIGN ? names[value] : "?";
}

/* clang-format off */ /* one row a line */
static const Field names_field[] = {
    {FIELD_WORD(Names, kind, names_word, FIELD_RANGE(NAMES_UNKNOWN, NAMES_FOREIGN))},
    {FIELD_INT(Names, set, FIELD_RANGE(0, (1 << MEMBER_MAX) - 1))},
    {FIELD_INT(Names, needed, FIELD_RANGE(0, MEMBER_MAX))},
    {FIELD_INT(Names, epoch, FIELD_UNSIGNED)},
    {FIELD_INT(Names, generation, FIELD_UNSIGNED)},
};
static const FieldTable names_table = FIELD_TABLE(names_field);

static const Field observation_field[] = {
    {FIELD_WORD(Observation, state, state_word, FIELD_RANGE(PG_UNKNOWN, PG_PRIMARY))},
    {FIELD(BOOL, Observation, responsive)},
    {FIELD(BOOL, Observation, disk_stuck)},
    {FIELD(BOOL, Observation, disk_full)},
    {FIELD(BOOL, Observation, processes_left)},
    {FIELD(BOOL, Observation, streaming)},
    {FIELD(BOOL, Observation, can_rewind)},
    {FIELD(BOOL, Observation, pending_restart)},
    {FIELD(BOOL, Observation, self_restarts)},
    {FIELD(BIG, Observation, system_identifier)},
    {FIELD_INT(Observation, server_version, FIELD_UNSIGNED)},
    {FIELD_INT(Observation, timeline, FIELD_UNSIGNED)},
    {FIELD(LSN, Observation, timeline_start)},
    {FIELD_INT(Observation, checkpoint_timeline, FIELD_UNSIGNED)},
    {FIELD(LSN, Observation, lsn)},
    {FIELD(LSN, Observation, replay_lsn)},
    {FIELD(LSN, Observation, oldest_lsn)},
    {FIELD(BIG, Observation, size)},
    {FIELD_INT(Observation, upstream, CODEC_SLOT)},
    {FIELD_INT(Observation, upstream_epoch, FIELD_UNSIGNED)},
    {FIELD_INT(Observation, replay_lag_ms, FIELD_RANGE(-1, INT32_MAX))},
    {FIELD_INT(Observation, standbys, FIELD_RANGE(0, UINT16_MAX))},
    {FIELD_SUB(Observation, names, names_table)},
    {FIELD(BOOL, Observation, names_effective)},
    {FIELD(BOOL, Observation, fenced)},
};
static const FieldTable observation_table = FIELD_TABLE(observation_field);

static const Field lost_field[] = {
    {FIELD(BOOL, Lost, asks)},
    {FIELD(LSN, Lost, fork)},
    {FIELD(LSN, Lost, end)},
    {FIELD_INT(Lost, transactions, FIELD_UNSIGNED)},
    {FIELD_INT(Lost, last_us, CODEC_COUNT)},
    {FIELD(BOOL, Lost, complete)},
};
static const FieldTable lost_table = FIELD_TABLE(lost_field);

static const Field report_field[] = {
    {FIELD_SUB(Report, pg, observation_table)},
    {FIELD_WORD(Report, action, action_word, FIELD_RANGE(ACTION_NONE, ACTION_KINDS - 1))},
    {FIELD_INT(Report, progress, FIELD_RANGE(0, UINT8_MAX))},
    {FIELD_INT(Report, wal_epoch, FIELD_UNSIGNED)},
    {FIELD(BOOL, Report, no_failover)},
    {FIELD(BOOL, Report, no_sync)},
    {FIELD(BOOL, Report, no_load_balance)},
    {FIELD(BOOL, Report, eligible)},
    {FIELD(BOOL, Report, disk_failed)},
    {FIELD(BOOL, Report, cut_off)},
    {FIELD(BOOL, Report, silent)},
    {FIELD(BIG, Report, settings_hash)},
    {FIELD_INT(Report, rule, FIELD_RANGE(0, UINT8_MAX))}, /* a newer member may have more rules */
    {FIELD_INT(Report, failures, FIELD_RANGE(0, UINT8_MAX))},
    {FIELD_SUB(Report, lost, lost_table)},
};
const FieldTable codec_table_report = FIELD_TABLE(report_field);

static const Field position_field[] = {
    {FIELD(BOOL, Position, known)},
    {FIELD_INT(Position, epoch, FIELD_UNSIGNED)},
    {FIELD(LSN, Position, lsn)},
};
static const FieldTable position_table = FIELD_TABLE(position_field);

static const Field release_field[] = {
    {FIELD(UUID, Release, leader)},
    {FIELD_INT(Release, term, CODEC_TERM)},
    {FIELD(BIG, Release, inc)},
    {FIELD_INT(Release, seq, CODEC_COUNT)},
    {FIELD_INT(Release, to, CODEC_SLOT)},
    {FIELD(LSN, Release, lsn)},
    {FIELD(BOOL, Release, forced)},
    {FIELD(BOOL, Release, accept_loss)},
    {FIELD(BOOL, Release, keep)},
};
static const FieldTable release_table = FIELD_TABLE(release_field);

static const Field doc_id_field[] = {
    {FIELD_INT(DocId, term, CODEC_TERM)},
    {FIELD_INT(DocId, version, CODEC_COUNT)},
};
static const FieldTable doc_id_table = FIELD_TABLE(doc_id_field);

static const Field msg_field[] = {
    {FIELD_WORD(Msg, kind, msg_word, FIELD_RANGE(MSG_HEARTBEAT, MSG_KINDS - 1)), .required = true},
    {FIELD(UUID, Msg, sender), .required = true},
    {FIELD_INT(Msg, term, CODEC_TERM), .required = true},
    {FIELD(BIG, Msg, inc)},
    {FIELD_INT(Msg, seq, CODEC_COUNT)},
    {FIELD_SUB(Msg, doc_id, doc_id_table)},
    {FIELD(BOOL, Msg, granted)},
    {FIELD(BOOL, Msg, frozen)},
    {FIELD(BOOL, Msg, kept)},
    {FIELD(BOOL, Msg, want_fresh)},
    {FIELD_WORD(Msg, refusal, refusal_word, FIELD_RANGE(REFUSAL_NONE, REFUSALS - 1))},
    {FIELD_INT(Msg, lease_ms, CODEC_LEASE_MS)},
    {FIELD_SUB(Msg, position, position_table)},
    {FIELD_SUB(Msg, primary_at, position_table)},
    {FIELD_SUB(Msg, release, release_table)},
    {FIELD(BIG, Msg, config_hash)},
    {FIELD_SUB(Msg, report, codec_table_report)},
};
const FieldTable codec_table_msg = FIELD_TABLE(msg_field);

static const Field persist_field[] = {
    {FIELD(UUID, Persist, node_uuid), .required = true},
    {FIELD_INT(Persist, term, CODEC_TERM), .required = true},
    {FIELD(UUID, Persist, voted_for)},
    {FIELD_INT(Persist, promise_ms, CODEC_LEASE_MS)},
    {FIELD_INT(Persist, wal_epoch, FIELD_UNSIGNED)},
    {FIELD_INT(Persist, stray_timeline, FIELD_UNSIGNED)},
    {FIELD_SUB(Persist, primary_at, position_table)},
    {FIELD(BOOL, Persist, rewinding)},
    {FIELD(BOOL, Persist, outside)},
};
const FieldTable codec_table_persist = FIELD_TABLE(persist_field);
/* clang-format on */
