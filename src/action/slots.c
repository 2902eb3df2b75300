/*
 * slots.c: what has to be done so that the right slots are there, and doing it one statement after the other.
 *
 * A slot has nothing but its name, and an operator may like the same one (pgvigil_backup). So the names that
 * were kept here are noted in the state directory before anything is made, and no other slot is dropped.
 */
#include "action/slots.h"

#include "action/run.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 32
#define STATEMENT_LEN  200
#define NOTED_MAX      64
#define NOTED_FILE_MAX ((size_t) NOTED_MAX * PG_NAME_LEN)

/* Slots that are or were kept here, as in the file. */
typedef struct SlotsNoted {
    size_t count;
    char name[NOTED_MAX][PG_NAME_LEN];
} SlotsNoted;

typedef struct SlotsWork {
    Actions *actions; /* NULL: gone while the file was read or written */
    bool in_worker, reads;
    char state_directory[DATADIR_PATH_LEN], path[DATADIR_PATH_LEN + 64];
    SlotsNoted noted;
    Err err;
    size_t count, next;
    char sql[STATEMENTS_MAX][STATEMENT_LEN];
} SlotsWork;

void slots_name(const char *member, char *ret_name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    bool plain = true;
    size_t n = 0;

    str_copy(ret_name, PG_NAME_LEN, SLOTS_PREFIX);
    n = strlen(ret_name);
    for (const char *p = member; *p != '\0' && n < PG_NAME_LEN - 6; p++) {
        bool same = islower((unsigned char) *p) || isdigit((unsigned char) *p) || *p == '_';
        hash = (hash ^ (unsigned char) *p) * 16777619u;
        plain = plain && same;
        ret_name[n++] = same ? *p : isupper((unsigned char) *p) ? (char) tolower((unsigned char) *p) : '_';
    }
    ret_name[n] = '\0';
    if (!plain)
        snprintf(ret_name + n, PG_NAME_LEN - n, "_%04x", (unsigned) (hash >> 16 ^ (hash & 0xffff)));
}

/* name is of our making, and so needs no quoting. */
static void add(SlotsWork *work, const char *format, const char *name, Lsn lsn)
{
    char text[LSN_TEXT_LEN];

    if (work->count == STATEMENTS_MAX)
        return;
    lsn_format(lsn, text);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    snprintf(work->sql[work->count++], STATEMENT_LEN, format, name, text);
#pragma GCC diagnostic pop
}

static const PgSlot *find_slot(const PgStatus *status, const char *name)
{
    for (uint32_t i = 0; i < status->slot_count; i++)
        if (strcmp(status->slots[i].name, name) == 0)
            return &status->slots[i];
    return NULL;
}

static void keep_one(SlotsWork *work, const PgStatus *status, const SlotsMember *member)
{
    char name[PG_NAME_LEN];
    Lsn to = member->lsn < status->replay_lsn ? member->lsn : status->replay_lsn;

    slots_name(member->name, name);
    const PgSlot *slot = find_slot(status, name);
    if (slot != NULL && strcmp(slot->wal_status, "lost") == 0 && !slot->active) {
        add(work, "SELECT pg_drop_replication_slot('%s')", name, LSN_NONE);
        slot = NULL;
    }
    if (slot == NULL) {
        if (status->slots_complete)
            add(work, "SELECT pg_create_physical_replication_slot('%s', true)", name, LSN_NONE);
        return;
    }
    if (status->state == SERVER_STANDBY && status->position_known && !slot->active &&
        slot->restart != LSN_NONE && to > slot->restart && to - slot->restart >= status->wal_segment_size / 4)
        add(work, "SELECT pg_replication_slot_advance('%s', '%s')", name, to);
}

/* ---- The note ---- */

static bool is_noted(const SlotsNoted *noted, const char *name)
{
    for (size_t i = 0; i < noted->count; i++)
        if (strcmp(noted->name[i], name) == 0)
            return true;
    return false;
}

static void note(SlotsNoted *noted, const char *name)
{
    if (noted->count < NOTED_MAX && !is_noted(noted, name))
        str_copy(noted->name[noted->count++], PG_NAME_LEN, name);
}

static void parse_noted(char *text, SlotsNoted *ret)
{
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, SLOTS_PREFIX, strlen(SLOTS_PREFIX)) == 0 && strlen(line) < PG_NAME_LEN)
            note(ret, line);
}

/* In a worker. A file that cannot be read is as good as none: then less is dropped. */
static void use_file(void *arg)
{
    SlotsWork *work = arg;
    Buf text = {0};

    if (work->reads) {
        if (file_read(work->path, NOTED_FILE_MAX, &text, NULL) && text.data != NULL)
            parse_noted(text.data, &work->noted);
    } else {
        for (size_t i = 0; i < work->noted.count; i++)
            buf_printf(&text, "%s\n", work->noted.name[i]);
        if (dir_make(work->state_directory, 0700, &work->err))
            file_write_atomic(work->path, text.data != NULL ? text.data : "", text.len, 0600, &work->err);
    }
    buf_done(&text);
}

/* What is noted once the members' slots are; a name that no slot has any more is forgotten. */
static SlotsNoted next_noted(const SlotsNoted *noted, const PgStatus *status, const SlotsMember *members,
                             size_t count)
{
    SlotsNoted next = {0};
    char name[PG_NAME_LEN];

    for (size_t i = 0; i < count; i++) {
        slots_name(members[i].name, name);
        if (!members[i].self)
            note(&next, name);
    }
    for (size_t i = 0; i < noted->count; i++)
        if (!status->slots_complete || find_slot(status, noted->name[i]) != NULL)
            note(&next, noted->name[i]);
    return next;
}

static bool same_noted(const SlotsNoted *one, const SlotsNoted *other)
{
    for (size_t i = 0; i < one->count; i++)
        if (!is_noted(other, one->name[i]))
            return false;
    return one->count == other->count;
}

/* ---- The work ---- */

/* Those that were kept for a member that is no longer listed, and this server's own, which nobody can use
 * here. */
static void drop_unused(SlotsWork *work, const PgStatus *status, const SlotsMember *members, size_t count)
{
    const SlotsNoted *noted = work->actions->slots_noted;
    char name[PG_NAME_LEN];

    for (uint32_t i = 0; i < status->slot_count; i++) {
        const PgSlot *slot = &status->slots[i];
        bool ours = is_noted(noted, slot->name), wanted = slot->active;
        for (size_t m = 0; m < count; m++) {
            slots_name(members[m].name, name);
            if (strcmp(name, slot->name) != 0)
                continue;
            ours = true;
            wanted = wanted || !members[m].self;
        }
        if (wanted || !ours)
            continue;
        log_line(LOG_LEVEL_INFO, "slot_drop", "slot=%s text=\"no member uses it\"", slot->name);
        add(work, "SELECT pg_drop_replication_slot('%s')", slot->name, LSN_NONE);
    }
}

static void send_next(SlotsWork *work);

static void on_done(void *arg, const ConnReply *reply)
{
    static LogLimit limit;
    SlotsWork *work = arg;

    if (!reply->ok)
        log_limited(&limit, LOG_LEVEL_WARN, "slot_failed", "sql=\"%s\" text=\"%s\"",
                    work->sql[work->next - 1], reply->err.text);
    if (!reply->connected)
        work->next = work->count;
    send_next(work);
}

static void send_next(SlotsWork *work)
{
    if (work->next < work->count) {
        poll_query(work->actions->poll, work->sql[work->next++], ACT_QUERY_MS, on_done, work);
        return;
    }
    work->actions->slots = NULL;
    work->actions->slots_ended_us = clock_now().boot_us;
    free(work);
}

static void on_file_used(void *arg)
{
    static LogLimit limit;
    SlotsWork *work = arg;
    Actions *actions = work->actions;

    work->in_worker = false;
    if (actions == NULL) {
        free(work);
        return;
    }
    if (work->err.text[0] != '\0')
        log_limited(&limit, LOG_LEVEL_WARN, "slots_not_noted", "text=\"%s\"", work->err.text);
    if (actions->slots_noted == NULL)
        actions->slots_noted = calloc(1, sizeof *actions->slots_noted);
    if (actions->slots_noted == NULL)
        abort();
    *actions->slots_noted = work->noted;
    if (!work->reads) {
        send_next(work);
        return;
    }
    actions->slots = NULL; /* the next call finds it read */
    free(work);
}

static void start_file(SlotsWork *work, bool reads)
{
    const ActionSettings *s = &work->actions->settings;

    str_copy(work->state_directory, sizeof work->state_directory, s->state_directory);
    snprintf(work->path, sizeof work->path, "%s/%s.slots", s->state_directory, s->name);
    work->reads = reads;
    work->in_worker = true;
    loop_work(work->actions->loop, use_file, on_file_used, work);
}

void slots_maintain(Actions *actions, const SlotsMember *members, size_t count)
{
    const PgStatus *status = poll_status(actions->poll);

    if (!actions->settings.use_slots || actions->slots != NULL || count == 0 ||
        !poll_is_connected(actions->poll) || status->looked_us <= actions->slots_ended_us ||
        (status->state != SERVER_PRIMARY && status->state != SERVER_STANDBY) || status->wal_segment_size == 0)
        return;
    SlotsWork *work = calloc(1, sizeof *work);
    if (work == NULL)
        abort();
    work->actions = actions;
    actions->slots = work;
    if (actions->slots_noted == NULL) {
        start_file(work, true);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!members[i].self)
            keep_one(work, status, &members[i]);
    drop_unused(work, status, members, count);
    work->noted = next_noted(actions->slots_noted, status, members, count);
    if (same_noted(&work->noted, actions->slots_noted))
        send_next(work);
    else
        start_file(work, false); /* before there is anything to be noted */
}

void slots_forget(Actions *actions)
{
    SlotsWork *work = actions->slots;

    free(actions->slots_noted);
    actions->slots_noted = NULL;
    actions->slots = NULL;
    if (work == NULL)
        return;
    work->actions = NULL;
    poll_forget(actions->poll, work);
    if (!work->in_worker)
        free(work);
}
