/*
 * orders.c: when the commands of the configuration are run.
 */
#include "keeper/body.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "keeper/spare.h"
#include "sys/clock.h"
#include "sys/log.h"

#define REJOIN_US    (60 * US_PER_SEC)
#define AFTER_MS     300000u
#define TELL_LEASES  3
#define AGAIN_LEASES 6 /* another node's turn: spare.c makes it wait for four */
#define TROUBLE_LEN  400

static KeeperCommand after = {.option = "after_command"}, rejoin = {.option = "rejoin_command"};
static Spare spare;
static Clock tried, left; /* when rejoin_command was started; when this node was silent for it, last */
static char trouble[TROUBLE_LEN]; /* why it does not go on */

static const KeeperNode *primary_node(const Core *core, const KeeperNodes *nodes)
{
    const Document *doc = &core->persist.doc;
    int index = doc->primary != MEMBER_NONE ? nodes_find(nodes, doc->member[doc->primary].name) : -1;

    return index >= 0 ? &nodes->node[index] : NULL;
}

void orders_promoted(const Core *core, const KeeperNodes *nodes)
{
    const KeeperNode *node = primary_node(core, nodes);

    command_start(&after, gucs_after_command, gucs_node_name, node != NULL ? node->conninfo : "", AFTER_MS);
}

/*
 * Before the new primary has written a checkpoint pg_rewind finds nothing to do. Who ordered a switchover
 * hears of its end first.
 */
static bool can_rejoin(const Core *core)
{
    if (core->plan.step != STEP_NONE || core->leader == MEMBER_NONE || core->leader == core->self ||
        core->leader != core->persist.doc.primary)
        return false;
    const Observation *pg = &core->peer[core->leader].report.pg;
    return pg->state == PG_PRIMARY && pg->checkpoint_timeline == pg->timeline;
}

/*
 * Where pg_rewind sees no difference, or not all of it, what it leaves is a standby with other data. A backup
 * that was put back has written WAL of its own in the place of the cluster's, on the same timeline. Whoever
 * was promoted behind the cluster's back has a timeline with a number that the cluster gave to another one.
 */
static bool can_be_rewound(const Core *core)
{
    uint32_t own = core->pg.timeline, theirs = core->peer[core->leader].report.pg.timeline;
    bool strayed = own == core->persist.stray_timeline;

    return core->persist.wal_epoch != 0 && own != theirs && (own > theirs || !strayed);
}

static void tell(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
    pg_attribute_printf(4, 5);

/* In the log and, as long as it is so, as an alarm. */
static void tell(LogLimit *limit, LogLevel level, const char *event, const char *format, ...)
{
    char text[TROUBLE_LEN];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    str_copy(trouble, sizeof trouble, tell_words(text));
    log_limited(limit, level, event, "%s", trouble);
}

static void tell_not_rewound(void)
{
    static LogLimit limit;

    tell(
        &limit, LOG_LEVEL_WARN, "rejoin_refused",
        "rejoin_command is not run: where this server's WAL left the cluster's cannot be told by its timeline, "
        "and pg_rewind would go by that; replace its data directory by a new copy of the primary's (pg_basebackup)");
}

static void tell_runs_long(const Clock *now)
{
    static LogLimit limit;
    int64 us = now->boot_us - tried.boot_us;

    if (rejoin.pid != 0 && us >= REJOIN_US)
        tell(
            &limit, LOG_LEVEL_WARN, "rejoin_runs",
            "rejoin_command has run for %d s, this node's vote is not counted meanwhile: see what its process "
            "group, %d, waits for, or end that; it is tried again later",
            (int) (us / US_PER_SEC), (int) rejoin.pid);
}

const char *orders_trouble(void)
{
    return trouble[0] != '\0' ? trouble : NULL;
}

void orders_hear(const Core *core, MemberNo no, const Msg *msg)
{
    Clock now = clock_now();

    if (no != MEMBER_NONE)
        spare_hear(&spare, core, no, msg, &now);
}

/* What has ended well may have left the stop to others, to systemd, and that may be about to begin. */
bool orders_leave(void)
{
    return rejoin.pid != 0 || (rejoin.done && clock_now().boot_us - tried.boot_us < REJOIN_US);
}

/* It was counted again for long enough since, so that one whose turn is later was not kept from going. */
static bool may_try(const Core *core, const Clock *now)
{
    int64 pause_us = Max(REJOIN_US, AGAIN_LEASES * (int64) core->persist.doc.lease_ms * US_PER_MS);

    return left.boot_us == 0 || now->boot_us - left.boot_us >= pause_us;
}

static void ask_others(const Core *core, const KeeperNodes *nodes, const Clock *now)
{
    static Clock asked;

    if (clock_elapsed_most(&asked, now) < (int64) core->persist.doc.heartbeat_ms * US_PER_MS)
        return;
    asked = *now;
    for (int i = 0; i < nodes->count; i++)
        if (strcmp(nodes->node[i].id, gucs_node_id) != 0)
            talk_hello(core, i);
}

/* Silent while that can still be a matter of the time that it takes to hear everybody. */
static bool can_leave(const Core *core, const KeeperNodes *nodes, const Clock *now)
{
    static LogLimit limit;
    static Clock since, looked;
    int64 tell_us = TELL_LEASES * (int64) core->persist.doc.lease_ms * US_PER_MS;
    char why[160];

    ask_others(core, nodes, now);
    bool can = spare_can_leave(&spare, core, now, why, sizeof why);
    if (can || since.boot_us == 0 || clock_elapsed_most(&looked, now) >= tell_us)
        since = *now;
    looked = *now;
    if (!can && why[0] != '\0' && clock_elapsed_most(&since, now) >= tell_us)
        tell(&limit, LOG_LEVEL_INFO, "rejoin_waits", "rejoin_command waits: %s", why);
    return can;
}

static void look_at_rejoin(const Core *core, const KeeperNodes *nodes, const Clock *now)
{
    const KeeperNode *node = primary_node(core, nodes);

    if (!can_rejoin(core) || !may_try(core, now))
        return;
    if (!can_be_rewound(core))
        tell_not_rewound();
    else if (node != NULL && can_leave(core, nodes, now)) {
        tried = left = *now;
        command_start(&rejoin, gucs_rejoin_command, node->name, node->conninfo, 0);
    }
}

void orders_look(const Core *core, const KeeperNodes *nodes)
{
    Clock now = clock_now();

    trouble[0] = '\0';
    command_look(&after);
    command_look(&rejoin);
    if (orders_leave()) {
        left = now;
        tell_runs_long(&now);
    } else if (core != NULL && act_closed() != NULL && gucs_rejoin_command[0] != '\0')
        look_at_rejoin(core, nodes, &now);
}
