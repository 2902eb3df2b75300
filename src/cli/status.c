/*
 * status.c: the status table.
 *
 * Only the leader knows its lease; another member's answer leaves that open, and is not held against the
 * cluster.
 */
#include "cli/status.h"

#include "cli/field.h"
#include "cli/sides.h"

#include <inttypes.h>
#include <string.h>

#define OPERATION_SHOWN_MS ((int64_t) 5 * 60 * 1000) /* after its end */

static bool member_is_well(const json_t *member)
{
    const char *state = field_text(member, "state", "unknown");

    if (!field_true(member, "reachable") || field_true(member, "disk_failed"))
        return false;
    if (strcmp(field_text(member, "role", ""), "witness") == 0 || strcmp(state, "primary") == 0)
        return true;
    return strcmp(state, "standby") == 0 && field_true(member, "streaming");
}

bool status_knows_lease(const json_t *cluster)
{
    const char *leader = field_text(cluster, "leader", NULL);
    return leader != NULL && strcmp(leader, field_text(cluster, "member", "")) == 0;
}

static bool lease_is_lost(const json_t *cluster)
{
    return status_knows_lease(cluster) && !field_true(json_object_get(cluster, "lease"), "held");
}

const char *status_primary(const json_t *cluster)
{
    if (!field_true(cluster, "quorum") || lease_is_lost(cluster))
        return NULL;
    return field_text(cluster, "primary", NULL);
}

void status_no_primary(const json_t *cluster, char *ret_text)
{
    const char *former = field_text(cluster, "primary", NULL);
    const char *asked = field_text(cluster, "member", "?");

    if (field_text(cluster, "outside", NULL) != NULL)
        snprintf(ret_text, STATUS_REASON_LEN, "%.40s %.50s, and knows of none", asked,
                 field_text(cluster, "outside", ""));
    else if (former != NULL && lease_is_lost(cluster))
        snprintf(ret_text, STATUS_REASON_LEN, "%.40s was, but no majority confirms its lease", former);
    else if (former != NULL)
        snprintf(ret_text, STATUS_REASON_LEN, "%.40s was, but %.40s hears no majority", former, asked);
    else if (field_text(cluster, "leader", NULL) == NULL)
        snprintf(ret_text, STATUS_REASON_LEN,
                 "%.40s knows no leader: a majority is missing, or an election is under way", asked);
    else
        snprintf(ret_text, STATUS_REASON_LEN, "the cluster has not got one yet");
}

bool status_votes(const json_t *cluster, Buf *ret_text)
{
    const json_t *members = json_object_get(cluster, "members");
    int have = 0, all = 0, away = 0;
    Buf names = {0};

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        bool votes = !json_is_false(json_object_get(member, "voter"));
        bool there = field_true(member, "reachable");
        all += votes;
        have += votes && there;
        if (votes && !there)
            buf_printf(&names, "%s%s", away++ > 0 ? ", " : "", field_text(member, "name", "?"));
    }
    int need = all / 2 + 1;
    buf_printf(ret_text, "%d of %d votes %s there, %d %s needed", have, all, have == 1 ? "is" : "are", need,
               need == 1 ? "is" : "are");
    if (away > 0)
        buf_printf(ret_text, "; %s %s not answer", names.data != NULL ? names.data : "?",
                   away == 1 ? "does" : "do");
    buf_done(&names);
    return have >= need;
}

bool status_is_healthy(const json_t *cluster)
{
    const json_t *members = json_object_get(cluster, "members");

    if (status_primary(cluster) == NULL)
        return false;
    if (json_array_size(json_object_get(cluster, "alarms")) > 0)
        return false;
    for (size_t i = 0; i < json_array_size(members); i++) {
        if (!member_is_well(json_array_get(members, i)))
            return false;
    }
    return json_array_size(members) > 0;
}

/* "15.4" from 150004; "15" from 150000: a server that does not run is known by its data directory only. */
static void format_version(int64_t version, char *ret_text, size_t size)
{
    if (version % 10000 == 0)
        snprintf(ret_text, size, "%" PRId64, version / 10000);
    else
        snprintf(ret_text, size, "%" PRId64 ".%" PRId64, version / 10000, version % 10000);
}

/* "primary pg1", "no primary", or "no primary now (pg1 was)". */
static void add_primary(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    const char *primary = status_primary(cluster);
    const char *former = field_text(cluster, "primary", NULL);
    char text[96];

    if (primary != NULL)
        snprintf(text, sizeof(text), "primary %.60s", primary);
    else if (former != NULL)
        snprintf(text, sizeof(text), "no primary now (%.60s was)", former);
    else
        str_copy(text, sizeof(text), "no primary");
    show_text(out, style, primary != NULL ? TONE_GOOD : TONE_BAD, text);
}

/* How many of those that commits may wait for are in sync. */
static void add_waiting(const json_t *sync, Buf *out)
{
    size_t members = json_array_size(json_object_get(sync, "members"));

    if (field_true(sync, "synchronous"))
        buf_printf(out, ", %" PRId64 " of %zu in sync", field_number(sync, "in_sync", 0), members);
}

/* Whoever is no member knows nothing of the cluster that would still be true. */
static void add_outside(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    show_text(out, style, TONE_BOLD, field_text(cluster, "cluster", "?"));
    buf_puts(out, ": ");
    show_text(out, style, TONE_BOLD, field_text(cluster, "member", "?"));
    buf_puts(out, " ");
    show_text(out, style, TONE_BAD, field_text(cluster, "outside", "?"));
    buf_puts(out, "\n");
}

static void add_heading(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    const json_t *lease = json_object_get(cluster, "lease");
    const char *primary = field_text(cluster, "primary", NULL);
    const json_t *row = primary != NULL ? field_member(cluster, primary) : NULL;
    bool quorum = field_true(cluster, "quorum");
    char text[96];

    show_text(out, style, TONE_BOLD, field_text(cluster, "cluster", "?"));
    buf_puts(out, ": ");
    add_primary(cluster, style, out);
    buf_puts(out, ", ");
    show_text(out, style, quorum ? TONE_PLAIN : TONE_BAD, quorum ? "quorum" : "no quorum");
    if (status_knows_lease(cluster) && field_true(lease, "held"))
        buf_printf(out, ", lease %" PRId64 " of %" PRId64 " ms", field_number(lease, "remaining_ms", 0),
                   field_number(lease, "ms", 0));
    else if (status_knows_lease(cluster))
        show_text(out, style, TONE_BAD, ", no lease");
    buf_printf(out, ", term %" PRId64 ", epoch %" PRId64, field_number(cluster, "term", 0),
               field_number(cluster, "epoch", 0));
    if (field_number(row, "version", 0) > 0) {
        format_version(field_number(row, "version", 0), text, sizeof(text));
        buf_printf(out, ", PostgreSQL %s%s", text, field_true(row, "fenced") ? ", fenced" : "");
    }
    add_waiting(json_object_get(cluster, "sync"), out);
    buf_puts(out, ", seen by ");
    show_text(out, style, TONE_PLAIN, field_text(cluster, "member", "?"));
    buf_puts(out, "\n");
}

static void add_role(const json_t *member, ShowTable *table)
{
    const char *kind = field_text(member, "kind", "none");
    bool primary = strcmp(kind, "primary") == 0;

    if (strcmp(kind, "none") == 0)
        kind = field_text(member, "role", "-");
    if (field_true(member, "leader") && !primary)
        show_table_addf(table, TONE_BOLD, "%s, leader", kind);
    else
        show_table_add(table, primary ? TONE_BOLD : TONE_PLAIN, kind);
}

static void add_state(const json_t *member, ShowTable *table)
{
    const char *state = field_text(member, "state", "unknown");

    if (strcmp(state, "standby") == 0)
        state = field_true(member, "streaming") ? "streaming" : "not streaming";
    else if (strcmp(state, "primary") == 0)
        state = "running";
    else if (strcmp(field_text(member, "role", ""), "witness") == 0)
        state = NULL;
    show_table_add(table, member_is_well(member) ? TONE_GOOD : TONE_BAD, state);
}

/* "!" above the warning limit, "!!" above the critical one: of bytes or of time, whichever it is, on both. */
static void add_lag(const json_t *member, const char *text, ShowTable *table)
{
    const char *level = field_text(member, "lag", "");
    bool critical = strcmp(level, "critical") == 0, warning = strcmp(level, "warning") == 0;

    if (text[0] != '\0' && (critical || warning))
        show_table_addf(table, critical ? TONE_BAD : TONE_WARN, "%s %s", text, critical ? "!!" : "!");
    else
        show_table_add(table, TONE_PLAIN, text);
}

static void add_numbers(const json_t *cluster, const json_t *member, ShowTable *table)
{
    bool standby = strcmp(field_text(member, "kind", ""), "standby") == 0;
    int64_t timeline = field_number(member, "timeline", 0);
    /* By what the limits of [lag] are for; an older member says only what it has received. */
    int64_t lag = field_number(member, "replay_lag_bytes", field_number(member, "lag_bytes", -1));
    int64_t behind = field_number(member, "behind_ms", field_number(member, "lag_ms", -1));
    const json_t *lease = json_object_get(cluster, "lease");
    char text[SHOW_NUMBER_LEN] = "";

    if (timeline > 0)
        show_table_addf(table, TONE_PLAIN, "%" PRId64, timeline);
    else
        show_table_add(table, TONE_PLAIN, NULL);
    show_table_add(table, TONE_PLAIN, field_text(member, "lsn", NULL));
    if (standby && lag >= 0)
        show_bytes((uint64_t) lag, text);
    add_lag(member, text, table);
    text[0] = '\0';
    if (standby && behind >= 0)
        show_duration(behind, text);
    add_lag(member, text, table);
    text[0] = '\0';
    if (field_true(member, "leader") && status_knows_lease(cluster))
        show_duration(field_true(lease, "held") ? field_number(lease, "remaining_ms", 0) : 0, text);
    show_table_add(table, TONE_PLAIN, text);
}

/* A dash for a standby that nobody waits for. */
static void add_sync(const json_t *member, ShowTable *table)
{
    const char *sync = field_text(member, "sync", NULL);

    show_table_add(table, sync != NULL && strcmp(sync, "sync") != 0 ? TONE_WARN : TONE_PLAIN, sync);
}

static void add_seen(const json_t *member, ShowTable *table)
{
    bool reachable = field_true(member, "reachable");
    int64_t seen = field_number(member, "last_seen_ms", -1);
    char text[SHOW_NUMBER_LEN];

    show_table_add(table, reachable ? TONE_PLAIN : TONE_BAD, reachable ? "yes" : "no");
    if (field_true(member, "self")) {
        show_table_add(table, TONE_PLAIN, "here");
    } else if (seen < 0) {
        show_table_add(table, TONE_BAD, "never");
    } else {
        show_duration(seen, text);
        show_table_addf(table, reachable ? TONE_PLAIN : TONE_BAD, "%s ago", text);
    }
}

static void add_note(Buf *notes, bool holds, const char *text)
{
    if (holds)
        buf_printf(notes, "%s%s", notes->len > 0 ? ", " : "", text);
}

/* Where the primary's commits are fenced, so they should be wherever a primary may be. */
static bool lacks_fence(const json_t *cluster, const json_t *member)
{
    const char *primary = field_text(cluster, "primary", NULL);
    const char *kind = field_text(member, "kind", "none");

    return primary != NULL && field_true(field_member(cluster, primary), "fenced") &&
           !field_true(member, "fenced") && strcmp(kind, "standby") == 0;
}

static void add_action(const json_t *cluster, const json_t *member, ShowTable *table)
{
    const char *action = field_text(member, "action", NULL);
    int64_t progress = field_number(member, "progress", -1);
    Buf notes = {0};

    add_note(&notes, action != NULL, action);
    if (action != NULL && progress >= 0)
        buf_printf(&notes, " %" PRId64 " %%", progress);
    add_note(&notes, field_true(member, "pending_restart"), "restart pending");
    add_note(&notes, lacks_fence(cluster, member), "not fenced");
    add_note(&notes, field_true(member, "next"), "next primary");
    add_note(&notes, field_true(member, "no_failover"), "no failover");
    add_note(&notes, field_true(member, "no_sync"), "not waited for");
    add_note(&notes, field_true(member, "disk_failed"), "state not writable");
    add_note(&notes, json_is_false(json_object_get(member, "voter")), "no voter");
    add_note(&notes, field_true(member, "leaving"), "being removed");
    show_table_add(table, action != NULL || field_true(member, "disk_failed") ? TONE_WARN : TONE_PLAIN,
                   notes.data);
    buf_done(&notes);
}

static void add_members(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    static const char *const heads[] = {"Member", "Role",   "State", ">TL",   ">LSN",   ">Lag",
                                        ">Delay", ">Lease", "Reach", ">Seen", "Action", NULL};
    static const char *const heads_sync[] = {"Member", "Role", "State", ">TL",   ">LSN",   ">Lag", ">Delay",
                                             ">Lease", "Sync", "Reach", ">Seen", "Action", NULL};
    const json_t *members = json_object_get(cluster, "members");
    bool sync = field_true(json_object_get(cluster, "sync"), "synchronous");
    ShowTable table;

    show_table_init(&table, sync ? heads_sync : heads);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_array_get(members, i);
        show_table_add(&table, TONE_BOLD, field_text(member, "name", "?"));
        add_role(member, &table);
        add_state(member, &table);
        add_numbers(cluster, member, &table);
        if (sync)
            add_sync(member, &table);
        add_seen(member, &table);
        add_action(cluster, member, &table);
    }
    show_table_render(&table, style, out);
    show_table_done(&table);
}

static void add_pause(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    Buf text = {0};
    const char *until = field_text(cluster, "pause_until", NULL);
    const char *reason = field_text(cluster, "pause_reason", "");

    buf_printf(&text, "Paused%s%s%s%s; nothing is done automatically", until != NULL ? " until " : "",
               until != NULL ? until : "", reason[0] != '\0' ? ": " : "", reason);
    show_text(out, style, TONE_WARN, text.data != NULL ? text.data : "Paused");
    buf_puts(out, "\n");
    buf_done(&text);
}

/*
 * What the member that was asked carries out, or has ended lately: each keeps its last operation for good,
 * and says since when it is over in ended_ms.
 */
static void add_operation(const json_t *operation, const ShowStyle *style, Buf *out)
{
    const char *state = field_text(operation, "state", "");
    bool running = strcmp(state, "running") == 0;
    int64_t ended_ms = field_number(operation, "ended_ms", INT64_MAX);
    char took[SHOW_NUMBER_LEN], ago[SHOW_NUMBER_LEN];

    if (!running && ended_ms > OPERATION_SHOWN_MS)
        return;
    show_duration(field_number(operation, "duration_ms", 0), took);
    buf_printf(out, "Operation %" PRId64 ", ", field_number(operation, "id", 0));
    show_text(out, style, TONE_PLAIN, field_text(operation, "verb", "?"));
    if (running) {
        buf_printf(out, ", running for %s: ", took);
    } else {
        show_duration(ended_ms, ago);
        buf_puts(out, ", ");
        show_text(out, style, strcmp(state, "done") == 0 ? TONE_GOOD : TONE_BAD, state);
        buf_printf(out, " after %s, %s ago; at its end: ", took, ago);
    }
    show_text(out, style, TONE_PLAIN, field_text(operation, "step", "?"));
    buf_puts(out, "\n");
}

/* Of the member that answered: "gates of pg1: writes 6432 open, reads 6433 closed (not replica)". */
static void add_held(const json_t *cluster, const ShowStyle *style, const char *list, const char *heading,
                     const char *key, Buf *out)
{
    const json_t *rows = json_object_get(cluster, list);
    bool gates = strcmp(key, "open") == 0;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bool on = field_true(row, key);
        if (i == 0)
            buf_printf(out, "%s of %s: ", heading, field_text(cluster, "member", "?"));
        buf_puts(out, i > 0 ? ", " : "");
        show_text(out, style, TONE_BOLD, field_text(row, gates ? "name" : "address", "?"));
        if (gates)
            buf_printf(out, " %" PRId64, field_number(row, "port", 0));
        buf_puts(out, on ? gates ? " open" : " held" : gates ? " closed (" : " not held (");
        if (!on) {
            show_text(out, style, TONE_PLAIN, field_text(row, "reason", "?"));
            buf_puts(out, ")");
        }
    }
    if (json_array_size(rows) > 0)
        buf_puts(out, "\n");
}

/* "Observers: o1 sees pg1, o2 does not see pg1 since 12 s". */
static void add_observers(const json_t *rows, const ShowStyle *style, Buf *out)
{
    char since[SHOW_NUMBER_LEN];

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bool sees = field_true(row, "sees_primary");
        buf_puts(out, i == 0 ? "Observers: " : ", ");
        show_text(out, style, TONE_BOLD, field_text(row, "name", "?"));
        show_text(out, style, sees ? TONE_PLAIN : TONE_BAD, sees ? " sees " : " does not see ");
        show_text(out, style, TONE_PLAIN, field_text(row, "primary", "?"));
        show_duration(field_number(row, "since_ms", 0), since);
        if (!sees)
            buf_printf(out, " since %s", since);
    }
    if (json_array_size(rows) > 0)
        buf_puts(out, "\n");
}

void status_render(const json_t *cluster, const ShowStyle *style, Buf *out)
{
    const json_t *operation = json_object_get(cluster, "operation");
    const json_t *alarms = json_object_get(cluster, "alarms");

    if (field_text(cluster, "outside", NULL) != NULL) {
        add_outside(cluster, style, out);
    } else {
        add_heading(cluster, style, out);
        add_members(cluster, style, out);
        if (field_true(cluster, "paused"))
            add_pause(cluster, style, out);
    }
    add_observers(json_object_get(cluster, "observers"), style, out);
    add_operation(operation, style, out);
    add_held(cluster, style, "gates", "Gates", "open", out);
    add_held(cluster, style, "virtual_addresses", "Virtual addresses", "held", out);
    if (sides_is_open(cluster))
        sides_render(cluster, style, out);
    for (size_t i = 0; i < json_array_size(alarms); i++) {
        const char *alarm = json_string_value(json_array_get(alarms, i));
        buf_puts(out, "Alarm: ");
        show_text(out, style, TONE_BAD, alarm != NULL ? alarm : "?");
        buf_puts(out, "\n");
    }
}
