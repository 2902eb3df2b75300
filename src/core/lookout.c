/*
 * lookout.c: the policy of pglookout as one ordered table, of which the first row that matches wins.
 *
 * Two things are stricter than in pglookout: more than half of the states have to be known (there: half), and
 * any sign of life of a primary, from whomever, holds everything up.
 */
#include "core/lookout.h"

#include <string.h>

enum {
    OBSERVER = 1 << 0,
    UNPOLLED = 1 << 1, /* a server has not been polled yet */
    OWN_PRIMARY = 1 << 2,
    OWN_SILENT = 1 << 3,
    BUSY = 1 << 4,
    TWO = 1 << 5,
    CONNECTED = 1 << 6,    /* a primary is, here */
    SEEN = 1 << 7,         /* by an observer */
    STREAMS = 1 << 8,      /* a standby received something just now */
    LAG_IS_SMALL = 1 << 9, /* a standby replayed what was committed within the failover limit */
    CATCHING_UP = 1 << 10,
    LOST = 1 << 11,          /* a primary of the configuration does not answer any more */
    RECENT = 1 << 12,        /* ... and did so within the failover limit */
    GONE = 1 << 13,          /* no server of the configuration was a primary, but one was */
    KNOWN_GONE = 1 << 14,    /* by the configuration's own word */
    UNDECIDED = 1 << 15,     /* a server never answered, and could be the primary */
    MISSING_LONG = 1 << 16,  /* the configuration is as it is for missing_master_from_config_timeout */
    LAG_TOO_LARGE = 1 << 17, /* the own */
    BY_DISCONNECT = 1 << 18, /* failover_on_disconnect */
    CANDIDATE = 1 << 19,     /* there is one */
    MAJORITY = 1 << 20,
    NEVER = 1 << 21,    /* the own server must not be promoted */
    FURTHEST = 1 << 22, /* the own server is it */
    MAINTENANCE = 1 << 23,
    COMMAND = 1 << 24,
    CONFIRMED = 1 << 25,
    ABSENT = 1 << 26, /* a server never answered */
};

typedef struct Row {
    const char *name;
    unsigned must, must_not;
    LookoutMove move;
    const char *text;
} Row;

/* clang-format off */
static const Row ROWS[] = {
    {"observer", OBSERVER, 0, LOOKOUT_NONE,
     "an observer acts on nothing"},
    {"starting", UNPOLLED, 0, LOOKOUT_NONE,
     "not every server has been asked yet"},
    {"own_primary", OWN_PRIMARY, 0, LOOKOUT_NONE,
     "the own server is a primary"},
    {"own_silent", OWN_SILENT, 0, LOOKOUT_NONE,
     "the own server does not answer"},
    {"under_way", BUSY, 0, LOOKOUT_NONE,
     "a failover is under way"},
    {"two_primaries", TWO, 0, LOOKOUT_NONE,
     "more than one primary answers"},
    {"primary_connected", CONNECTED, 0, LOOKOUT_NONE,
     "the primary answers"},
    {"primary_seen", SEEN, 0, LOOKOUT_NONE,
     "an observer sees the primary connected"},
    {"standby_streams", STREAMS, 0, LOOKOUT_NONE,
     "a standby still receives WAL: somebody sends it"},
    {"catching_up", CATCHING_UP, KNOWN_GONE, LOOKOUT_NONE,
     "the own server is catching up and never was close to the primary"},
    {"known_gone_undecided", KNOWN_GONE | UNDECIDED, 0, LOOKOUT_NONE,
     "the primary is gone by the configuration's word, but a server that never answered could be the next one"},
    {"contact_recent", LOST | RECENT, KNOWN_GONE, LOOKOUT_NONE,
     "the primary answered within max_failover_replication_time_lag"},
    {"lag_is_small", LAG_IS_SMALL, KNOWN_GONE | GONE, LOOKOUT_NONE,
     "a standby replayed what was committed within max_failover_replication_time_lag"},
    {"lag_is_not_the_limit", 0, KNOWN_GONE | GONE | LAG_TOO_LARGE | BY_DISCONNECT, LOOKOUT_NONE,
     "failover_on_disconnect is off, and the own lag is not over max_failover_replication_time_lag"},
    {"undecided", UNDECIDED, LOST | KNOWN_GONE, LOOKOUT_NONE,
     "no primary is known, and a server that never answered could be it"},
    {"never_seen", 0, LOST | GONE | KNOWN_GONE | ABSENT, LOOKOUT_NONE,
     "all servers are standbys and were since the start: whom they follow is somewhere else"},
    {"missing", GONE, LOST | KNOWN_GONE | MISSING_LONG, LOOKOUT_NONE,
     "the primary is not in the configuration any more, but not for missing_master_from_config_timeout yet"},
    {"no_position", 0, CANDIDATE, LOOKOUT_NONE,
     "no standby that may be promoted has a position that is new enough"},
    {"no_majority", 0, MAJORITY, LOOKOUT_NONE,
     "not more than half of the states are known"},
    {"never_promote", NEVER, 0, LOOKOUT_NONE,
     "never_promote_these_nodes has the own server"},
    {"not_furthest", 0, FURTHEST, LOOKOUT_NONE,
     "another standby is to be promoted"},
    {"maintenance", MAINTENANCE, 0, LOOKOUT_NONE,
     "maintenance_mode_file is there"},
    {"no_command", 0, COMMAND, LOOKOUT_NONE,
     "failover_command is empty: there is nothing that could be run"},
    {"look_again", 0, CONFIRMED, LOOKOUT_LOOK_AGAIN,
     "the primary is gone and this standby is the furthest: one more look before failover_command"},
    {"failover", 0, 0, LOOKOUT_FAILOVER,
     "the primary is gone, also at the second look, and this standby is the furthest"},
};
/* clang-format on */

static bool is_within(int64_t then_us, int64_t now_us, int64_t limit_us)
{
    return then_us != 0 && now_us - then_us < limit_us;
}

static Lsn position(const LookoutServer *server)
{
    return server->receive != LSN_NONE ? server->receive : server->replay;
}

/* All nodes have to come to the same choice, whatever order they have their configuration in. */
static bool is_better(const LookoutServer *a, const LookoutServer *b)
{
    if (position(a) != position(b))
        return position(a) > position(b);
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return strcmp(a->name, b->name) > 0;
}

static void count(const LookoutFacts *facts, LookoutVerdict *verdict)
{
    int standbys = 0;

    verdict->primary = verdict->furthest = -1;
    for (int i = 0; i < facts->server_count; i++) {
        const LookoutServer *server = &facts->server[i];
        if (server->known && !server->in_recovery) {
            const LookoutServer *best = verdict->primary >= 0 ? &facts->server[verdict->primary] : NULL;
            verdict->primaries += server->connected;
            if (best == NULL || server->connected > best->connected ||
                (server->connected == best->connected && server->contact_us > best->contact_us))
                verdict->primary = i;
            continue;
        }
        standbys += server->known;
        if (!server->connected || !is_within(server->polled_us, facts->now_us, LOOKOUT_POSITION_US) ||
            position(server) == LSN_NONE)
            continue;
        verdict->known++;
        if (!server->never_promote &&
            (verdict->furthest < 0 || is_better(server, &facts->server[verdict->furthest])))
            verdict->furthest = i;
    }
    /* The primary counts, also one that left the configuration; so does one that was a primary before it. */
    verdict->total = standbys + 1 > facts->server_count ? standbys + 1 : facts->server_count;
    verdict->total += facts->observers;
    verdict->known += facts->connected;
}

static bool is_catching_up(const LookoutFacts *facts, const LookoutServer *own)
{
    if (own->replicates_us != 0 && facts->now_us - own->replicates_us > facts->catchup_us)
        return false;
    return own->receive == LSN_NONE || own->min_lag_us < 0 || own->min_lag_us >= facts->warning_us;
}

static unsigned server_bits(const LookoutFacts *facts)
{
    unsigned bits = 0;

    for (int i = 0; i < facts->server_count; i++) {
        const LookoutServer *server = &facts->server[i];
        bool standby = server->known && server->in_recovery;
        bits |= server->polled_us == 0 ? UNPOLLED : 0;
        bool absent = !server->known && !server->known_gone;
        bits |= absent ? ABSENT : 0;
        bits |= absent && is_within(facts->started_us, facts->now_us, facts->failover_us) ? UNDECIDED : 0;
        bits |= standby && server->connected && is_within(server->moved_us, facts->now_us, facts->quiet_us)
                    ? STREAMS
                    : 0;
        bits |= standby && server->connected && server->lag_us >= 0 && server->lag_us < facts->failover_us
                    ? LAG_IS_SMALL
                    : 0;
        if (!server->known || server->in_recovery || server->connected)
            continue;
        bits |= LOST;
        bits |= is_within(server->contact_us, facts->now_us, facts->failover_us) && !server->known_gone
                    ? RECENT
                    : 0;
    }
    return bits;
}

static unsigned own_bits(const LookoutFacts *facts, const LookoutVerdict *verdict)
{
    unsigned bits = 0;

    if (facts->own < 0)
        return OBSERVER;
    const LookoutServer *own = &facts->server[facts->own];
    bits |= own->known && own->connected && !own->in_recovery ? OWN_PRIMARY : 0;
    bits |= !own->connected ? OWN_SILENT : 0;
    bits |= verdict->is_catching_up ? CATCHING_UP : 0;
    bits |= own->lag_us >= facts->failover_us ? LAG_TOO_LARGE : 0;
    bits |= own->never_promote ? NEVER : 0;
    bits |= verdict->furthest == facts->own ? FURTHEST : 0;
    return bits;
}

static unsigned other_bits(const LookoutFacts *facts, const LookoutVerdict *verdict)
{
    bool lost = verdict->primary >= 0 && verdict->primaries == 0;
    unsigned bits = 0;

    bits |= facts->busy ? BUSY : 0;
    bits |= verdict->primaries > 1 ? TWO : 0;
    bits |= verdict->primaries > 0 ? CONNECTED : 0;
    bits |= facts->seen_by != NULL ? SEEN : 0;
    bits |= verdict->primary < 0 && facts->had_primary ? GONE : 0;
    bits |= lost ? (facts->server[verdict->primary].known_gone ? KNOWN_GONE : 0)
                 : (facts->had_primary && facts->primary_known_gone ? KNOWN_GONE : 0);
    bits |= facts->now_us - facts->changed_us >= facts->missing_us ? MISSING_LONG : 0;
    bits |= facts->failover_on_disconnect ? BY_DISCONNECT : 0;
    bits |= verdict->furthest >= 0 ? CANDIDATE : 0;
    bits |= 2 * verdict->known > verdict->total ? MAJORITY : 0;
    bits |= facts->maintenance ? MAINTENANCE : 0;
    bits |= facts->has_command ? COMMAND : 0;
    bits |= facts->confirmed ? CONFIRMED : 0;
    return bits;
}

void lookout_decide(const LookoutFacts *facts, LookoutVerdict *ret_verdict)
{
    const Row *row = ROWS;

    *ret_verdict = (LookoutVerdict){0};
    count(facts, ret_verdict);
    if (facts->own >= 0) {
        const LookoutServer *own = &facts->server[facts->own];
        bool standby = own->known && own->in_recovery;
        ret_verdict->is_catching_up = standby && is_catching_up(facts, own);
        ret_verdict->is_warning =
            standby && own->connected && !ret_verdict->is_catching_up && own->lag_us >= facts->warning_us;
    }
    unsigned bits = server_bits(facts) | own_bits(facts, ret_verdict) | other_bits(facts, ret_verdict);
    while ((bits & row->must) != row->must || (bits & row->must_not) != 0)
        row++;
    ret_verdict->rule = row->name;
    ret_verdict->text = row->text;
    ret_verdict->move = row->move;
}
