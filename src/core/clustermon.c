/*
 * clustermon.c: the policy of pgClusterMonitor as one ordered table, of which the first row that matches
 * wins.
 *
 * The old conditions, and what they lacked: of three or more nodes more than half have to be seen, a sign of
 * life of a primary holds a failover up, a former primary is not started beside the new one, and of two
 * primaries exactly one is kept whatever their sizes are.
 */
#include "core/clustermon.h"

enum {
    BUSY = 1 << 0,
    UNPOLLED = 1 << 1, /* a node has not been asked yet */
    LOCAL_UNKNOWN = 1 << 2,
    DOWN = 1 << 3,
    OWED = 1 << 4, /* the data directory is not whole */
    WAS_PRIMARY = 1 << 5,
    ONE = 1 << 6,     /* exactly one primary answers, and it is not the own server */
    SEVERAL = 1 << 7, /* more than one does, without the own if that is down */
    MAJORITY = 1 << 8,
    OWN_SILENT = 1 << 9,
    OWN_PRIMARY = 1 << 10,
    FOREIGN = 1 << 11, /* a primary that answers is of another cluster */
    DOWNGRADE_LONG = 1 << 12,
    KEPT = 1 << 13, /* of several, the own is the one */
    MAY_DISCARD = 1 << 14,
    CONFIRMED = 1 << 15,
    NETWORK = 1 << 16,
    FOLLOWS = 1 << 17,
    HAD_PRIMARY = 1 << 18,
    HEARD = 1 << 19, /* a standby hears from whom it streams */
    FAILOVER_LONG = 1 << 20,
    CANDIDATE = 1 << 21,
    FURTHEST = 1 << 22,  /* it is the own server */
    DOWN_LONG = 1 << 23, /* for timeout_to_downgrade_master_sec */
    REFUSES = 1 << 24,   /* the last that was a primary does */
};

typedef struct Row {
    const char *name;
    unsigned must, must_not;
    ClustermonMove move;
    const char *text;
} Row;

/* clang-format off */
static const Row ROWS[] = {
    {"under_way", BUSY, 0, CLUSTERMON_NONE,
     "something is being done already, or failed and waits to be tried again"},
    {"starting", UNPOLLED, 0, CLUSTERMON_NONE,
     "not every node has been asked yet"},
    {"status_unknown", LOCAL_UNKNOWN, 0, CLUSTERMON_NONE,
     "cmd_get_db_status_string does not tell whether the local server runs, or postmaster.pid tells otherwise"},
    {"foreign", FOREIGN, 0, CLUSTERMON_NONE,
     "a primary that answers is of another database cluster (system identifier): mend [cluster]"},

    /* The local server is down. */
    {"status_wrong", DOWN, OWN_SILENT, CLUSTERMON_NONE,
     "cmd_get_db_status_string says that the local server does not run, and it answers"},
    {"clone", DOWN | OWED | ONE, 0, CLUSTERMON_CLONE,
     "the local data directory is not whole: the primary is copied"},
    {"clone_waits", DOWN | OWED, 0, CLUSTERMON_NONE,
     "the local data directory is not whole, and there is no one primary to copy"},
    {"rejoin_recent", DOWN | WAS_PRIMARY | ONE, DOWN_LONG, CLUSTERMON_NONE,
     "the local server was a primary and another one is by now, but it is not down for timeout_to_downgrade_master_sec yet"},
    {"rejoin_unsaved", DOWN | WAS_PRIMARY | ONE, MAY_DISCARD, CLUSTERMON_NONE,
     "the local server was a primary and another one is by now, but what only the local one has could not be saved whole"},
    {"rejoin_look", DOWN | WAS_PRIMARY | ONE, CONFIRMED, CLUSTERMON_LOOK_AGAIN,
     "the local server was a primary and another one is by now: one more look before it comes back as its standby"},
    {"rejoin", DOWN | WAS_PRIMARY | ONE, 0, CLUSTERMON_REJOIN,
     "the local server was a primary and another one is by now, also at the second look: it comes back as its standby"},
    {"rejoin_waits", DOWN | WAS_PRIMARY | SEVERAL, 0, CLUSTERMON_NONE,
     "the local server was a primary, and there are several others"},
    {"minority", DOWN | WAS_PRIMARY, MAJORITY, CLUSTERMON_NONE,
     "the local server was a primary, and among the nodes that cannot be seen there may be another one"},
    {"rejoin_heard", DOWN | WAS_PRIMARY | HEARD, 0, CLUSTERMON_NONE,
     "the local server was a primary, and a standby streams from another server, which cannot be seen"},
    {"start", DOWN, 0, CLUSTERMON_START,
     "the local server does not run"},
    {"own_silent", OWN_SILENT, 0, CLUSTERMON_NONE,
     "the local server runs, and does not answer"},

    /* It is a primary. */
    {"several_recent", OWN_PRIMARY | SEVERAL, DOWNGRADE_LONG, CLUSTERMON_NONE,
     "there is more than one primary, but not for timeout_to_downgrade_master_sec yet"},
    {"kept", OWN_PRIMARY | SEVERAL | KEPT, 0, CLUSTERMON_NONE,
     "there is more than one primary, and the local one is kept"},
    {"cannot_save", OWN_PRIMARY | SEVERAL, MAY_DISCARD, CLUSTERMON_NONE,
     "another primary is kept, but what the local one wrote cannot be saved whole"},
    {"downgrade_look", OWN_PRIMARY | SEVERAL, CONFIRMED, CLUSTERMON_LOOK_AGAIN,
     "another primary is kept: one more look before the local one is downgraded"},
    {"downgrade", OWN_PRIMARY | SEVERAL, 0, CLUSTERMON_DOWNGRADE,
     "there is more than one primary, also at the second look, and another one is kept"},
    {"primary", OWN_PRIMARY, 0, CLUSTERMON_NONE,
     "the local server is the one primary"},

    /* It is a standby. */
    {"network", 0, NETWORK, CLUSTERMON_NONE,
     "cmd_get_network_status_string does not say that the network is well"},
    {"several", SEVERAL, 0, CLUSTERMON_NONE,
     "there is more than one primary: until there is one"},
    {"follow", ONE, FOLLOWS, CLUSTERMON_FOLLOW,
     "primary_conninfo does not name the primary"},
    {"standby", ONE, 0, CLUSTERMON_NONE,
     "the local server follows the primary"},
    {"never_seen", 0, HAD_PRIMARY, CLUSTERMON_NONE,
     "no primary was seen since the start of this program: it may only be late, or somewhere else"},
    {"primary_recent", 0, FAILOVER_LONG, CLUSTERMON_NONE,
     "the primary does not answer, but not for timeout_to_failover_sec yet"},
    {"primary_refuses", REFUSES, 0, CLUSTERMON_NONE,
     "the primary refuses this program, and so takes connections"},
    {"standby_streams", HEARD, 0, CLUSTERMON_NONE,
     "a standby still hears from the server that it streams from"},
    {"no_majority", 0, MAJORITY, CLUSTERMON_NONE,
     "of three or more nodes not more than half are seen"},
    {"no_position", 0, CANDIDATE, CLUSTERMON_NONE,
     "no standby that streamed from the primary has a position"},
    {"not_furthest", 0, FURTHEST, CLUSTERMON_NONE,
     "another standby is to be promoted"},
    {"failover_look", 0, CONFIRMED, CLUSTERMON_LOOK_AGAIN,
     "the primary is gone and the local server is the furthest: one more look before it is promoted"},
    {"failover", 0, 0, CLUSTERMON_PROMOTE,
     "the primary is gone, also at the second look, and the local server is the furthest"},
};
/* clang-format on */

/* The larger position has more behind the fork, which is one point for both. Ties: earlier in the file. */
static bool is_kept_before(const ClustermonNode *a, const ClustermonNode *b)
{
    if (a->position != b->position)
        return a->position > b->position;
    return a->bytes >= 0 && b->bytes >= 0 && a->bytes > b->bytes;
}

static bool is_further(const ClustermonNode *a, const ClustermonNode *b)
{
    if (a->timeline != b->timeline)
        return a->timeline > b->timeline;
    return a->position > b->position;
}

static void count(const ClustermonFacts *facts, ClustermonVerdict *verdict)
{
    verdict->primary = verdict->furthest = -1;
    for (int i = 0; i < facts->nodes; i++) {
        const ClustermonNode *node = &facts->node[i];
        if (!node->connected)
            continue;
        verdict->connected++;
        if (!node->in_recovery) {
            verdict->primaries++;
            if (verdict->primary < 0 || is_kept_before(node, &facts->node[verdict->primary]))
                verdict->primary = i;
            continue;
        }
        verdict->standbys++;
        if (node->position != LSN_NONE && !node->strayed &&
            (verdict->furthest < 0 || is_further(node, &facts->node[verdict->furthest])))
            verdict->furthest = i;
    }
}

static unsigned node_bits(const ClustermonFacts *facts)
{
    uint64_t identifier = facts->node[facts->own].system_identifier;
    int64_t silence_us =
        facts->failover_us > CLUSTERMON_SILENCE_US ? facts->failover_us : CLUSTERMON_SILENCE_US;
    unsigned bits = 0;

    for (int i = 0; i < facts->nodes; i++) {
        const ClustermonNode *node = &facts->node[i];
        bits |= !node->polled ? UNPOLLED : 0;
        bits |= node->refuses && !node->in_recovery ? REFUSES : 0;
        if (!node->connected)
            continue;
        bool foreign =
            identifier != 0 && node->system_identifier != 0 && node->system_identifier != identifier;
        bits |= !node->in_recovery && foreign ? FOREIGN : 0;
        bits |= node->in_recovery && node->heard_us >= 0 && node->heard_us < silence_us ? HEARD : 0;
    }
    return bits;
}

static unsigned local_bits(const ClustermonFacts *facts, const ClustermonVerdict *verdict)
{
    const ClustermonNode *own = &facts->node[facts->own];
    bool primary = own->connected && !own->in_recovery;
    unsigned bits = 0;

    bits |= facts->local == CLUSTERMON_UNKNOWN ? LOCAL_UNKNOWN : 0;
    bits |= facts->local == CLUSTERMON_DOWN ? DOWN : 0;
    bits |= facts->clone_owed ? OWED : 0;
    bits |= facts->files == CLUSTERMON_FILES_PRIMARY ? WAS_PRIMARY : 0;
    bits |= !own->connected ? OWN_SILENT : 0;
    bits |= primary ? OWN_PRIMARY : 0;
    bits |= verdict->primaries == 1 && !primary ? ONE : 0;
    bits |= verdict->primaries > 1 ? SEVERAL : 0;
    bits |= verdict->primary == facts->own ? KEPT : 0;
    bits |= verdict->furthest == facts->own ? FURTHEST : 0;
    return bits;
}

static bool is_over(int64_t since_us, int64_t now_us, int64_t limit_us)
{
    return since_us != 0 && now_us - since_us >= limit_us;
}

static unsigned other_bits(const ClustermonFacts *facts, const ClustermonVerdict *verdict)
{
    unsigned bits = 0;

    bits |= facts->busy ? BUSY : 0;
    /* The local one is known, also when it is down. */
    int known = verdict->connected + !facts->node[facts->own].connected;
    bits |= facts->nodes < 3 || 2 * known > facts->nodes ? MAJORITY : 0;
    bits |= is_over(facts->several_us, facts->now_us, facts->downgrade_us) ? DOWNGRADE_LONG : 0;
    bits |= is_over(facts->down_us, facts->now_us, facts->downgrade_us) ? DOWN_LONG : 0;
    bits |= is_over(facts->no_primary_us, facts->now_us, facts->failover_us) ? FAILOVER_LONG : 0;
    bits |= facts->may_discard ? MAY_DISCARD : 0;
    bits |= facts->confirmed ? CONFIRMED : 0;
    bits |= facts->network ? NETWORK : 0;
    bits |= facts->follows ? FOLLOWS : 0;
    bits |= facts->had_primary ? HAD_PRIMARY : 0;
    bits |= verdict->furthest >= 0 ? CANDIDATE : 0;
    return bits;
}

void clustermon_decide(const ClustermonFacts *facts, ClustermonVerdict *ret_verdict)
{
    const Row *row = ROWS;

    *ret_verdict = (ClustermonVerdict){0};
    count(facts, ret_verdict);
    unsigned bits = node_bits(facts) | local_bits(facts, ret_verdict) | other_bits(facts, ret_verdict);
    if ((bits & OWN_PRIMARY) != 0)
        ret_verdict->names =
            ret_verdict->standbys > 0 && facts->streaming > 0 ? CLUSTERMON_NAMES_ALL : CLUSTERMON_NAMES_NONE;
    while ((bits & row->must) != row->must || (bits & row->must_not) != 0)
        row++;
    ret_verdict->rule = row->name;
    ret_verdict->text = row->text;
    ret_verdict->move = row->move;
}
