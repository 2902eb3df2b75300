/*
 * lost.c: a report of transactions, gathered record by record.
 *
 * Everything has a bound: of transactions that are under way at once as many as fit the table are followed,
 * and each keeps the first eight relations that it touched. A commit is counted and written in any case.
 */
#include "action/lost.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OPEN_MAX       8192u /* transactions under way; a power of two */
#define OPEN_PROBES    64u
#define RELATIONS_MAX  8
#define TEXT_BYTES_MAX ((size_t) 4 << 20)

typedef struct Open {
    uint32_t xid; /* 0: a free place */
    uint8_t relations;
    bool more; /* relations than these */
    uint64_t bytes;
    LostRelation relation[RELATIONS_MAX];
} Open;

struct LostReport {
    Open open[OPEN_MAX];
    Buf text;
    LostTotals totals;
    LostRelation relation[LOST_RELATIONS_MAX];
    size_t relations;
};

LostReport *lost_new(void)
{
    LostReport *report = calloc(1, sizeof *report);

    if (report == NULL)
        abort();
    return report;
}

void lost_free(LostReport *report)
{
    if (report != NULL)
        buf_done(&report->text);
    free(report);
}

const Buf *lost_text(const LostReport *report)
{
    return &report->text;
}

LostTotals lost_totals(const LostReport *report)
{
    return report->totals;
}

size_t lost_relations(const LostReport *report, LostRelation *ret_relations)
{
    memcpy(ret_relations, report->relation, report->relations * sizeof *ret_relations);
    return report->relations;
}

/* ---- Transactions under way ---- */

/* NULL: it is not there; with make, there is no place near its own. A place is never moved, so that all of
 * the probes are looked at. */
static Open *find(LostReport *report, uint32_t xid, bool make)
{
    Open *empty = NULL;

    for (uint32_t i = 0; i < OPEN_PROBES; i++) {
        Open *open = &report->open[(xid * 2654435761u + i) % OPEN_MAX];
        if (open->xid == xid)
            return open;
        if (open->xid == 0 && empty == NULL)
            empty = open;
    }
    if (!make || empty == NULL)
        return NULL;
    *empty = (Open){.xid = xid};
    return empty;
}

static void touch(Open *open, LostRelation relation)
{
    for (int i = 0; i < open->relations; i++)
        if (memcmp(&open->relation[i], &relation, sizeof relation) == 0)
            return;
    if (open->relations == RELATIONS_MAX)
        open->more = true;
    else
        open->relation[open->relations++] = relation;
}

/* "blkref #0: rel 1663/5/16384 blk 0", and the same without a number in later versions. */
static void touch_all(Open *open, const char *line)
{
    for (const char *at = line; (at = strstr(at, " rel ")) != NULL; at += 5) {
        unsigned tablespace, database, node;
        if (sscanf(at, " rel %u/%u/%u", &tablespace, &database, &node) == 3)
            touch(open, (LostRelation){tablespace, database, node});
    }
}

static void join(Open *into, Open *from)
{
    into->bytes += from->bytes;
    into->more = into->more || from->more;
    for (int i = 0; i < from->relations; i++)
        touch(into, from->relation[i]);
    from->xid = 0;
}

/* "...; subxacts: 737 738; ...": what these did is part of the commit. */
static void join_subtransactions(LostReport *report, Open *open, const char *desc)
{
    const char *list = strstr(desc, "subxacts: ");
    char *end;

    for (const char *at = list != NULL ? list + 10 : ""; *at != '\0'; at = end) {
        uint32_t xid = (uint32_t) strtoul(at, &end, 10);
        if (end == at)
            break;
        Open *sub = find(report, xid, false);
        if (sub != NULL && sub != open)
            join(open, sub);
    }
}

/* ---- Ends ---- */

int64_t lost_parse_time(const char *text)
{
    struct tm tm = {0};
    unsigned micro = 0;

    if (sscanf(text, "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d.%6u", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &micro) < 6)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t) timegm(&tm) * 1000000 + micro;
}

static void remember(LostReport *report, LostRelation relation)
{
    for (size_t i = 0; i < report->relations; i++)
        if (memcmp(&report->relation[i], &relation, sizeof relation) == 0)
            return;
    if (report->relations < LOST_RELATIONS_MAX)
        report->relation[report->relations++] = relation;
}

static void write_relations(Buf *text, const Open *open)
{
    for (int i = 0; i < open->relations; i++)
        buf_printf(text, "%s%u/%u/%u", i > 0 ? "," : "", (unsigned) open->relation[i].tablespace,
                   (unsigned) open->relation[i].database, (unsigned) open->relation[i].node);
    if (open->more)
        buf_puts(text, ",...");
}

static void on_commit(LostReport *report, uint32_t xid, const char *lsn, const char *desc)
{
    Open none = {.xid = xid};
    Open *open = find(report, xid, true);
    Buf *text = &report->text;

    if (open == NULL)
        open = &none;
    join_subtransactions(report, open, desc);
    report->totals.commits++;
    for (int i = 0; i < open->relations; i++)
        remember(report, open->relation[i]);
    int64_t at_us = lost_parse_time(desc);
    if (at_us > report->totals.last_us)
        report->totals.last_us = at_us;
    if (text->len <= TEXT_BYTES_MAX) {
        buf_printf(text, "time=\"%.*s\" xid=%u lsn=%.*s bytes=%llu relations=", (int) strcspn(desc, ";"),
                   desc, (unsigned) xid, (int) strcspn(lsn, ","), lsn, (unsigned long long) open->bytes);
        write_relations(text, open);
        buf_puts(text, text->len > TEXT_BYTES_MAX ? "\n... and more\n" : "\n");
    }
    open->xid = 0;
}

static void on_abort(LostReport *report, uint32_t xid, const char *desc)
{
    Open *open = find(report, xid, true);

    if (open == NULL)
        return;
    join_subtransactions(report, open, desc);
    open->xid = 0;
}

/* "COMMIT 2026-...", "ABORT 2026-...", "COMMIT_PREPARED 737: 2026-...": the number is the transaction's. */
static void on_end(LostReport *report, uint32_t xid, const char *lsn, const char *desc)
{
    bool commit = strncmp(desc, "COMMIT", 6) == 0;
    const char *rest = desc + (commit ? 6 : 5);

    if (strncmp(rest, "_PREPARED ", 10) == 0) {
        char *end;
        xid = (uint32_t) strtoul(rest + 10, &end, 10);
        rest = *end == ':' ? end + 1 : end;
    }
    rest += strspn(rest, " ");
    if (commit)
        on_commit(report, xid, lsn, rest);
    else
        on_abort(report, xid, rest);
}

/* "rmgr: Heap  len (rec/tot):  59/  59, tx:  735, lsn: 0/0155F2A8, prev 0/..., desc: INSERT ..., blkref #0:
 * ..." */
void lost_line(LostReport *report, const char *line)
{
    const char *len = strstr(line, "len (rec/tot):"), *tx = strstr(line, ", tx:"),
               *lsn = strstr(line, ", lsn: "), *desc = strstr(line, ", desc: ");
    unsigned record, total, xid;

    if (strncmp(line, "rmgr: ", 6) != 0 || len == NULL || tx == NULL || lsn == NULL || desc == NULL ||
        sscanf(len, "len (rec/tot): %u/ %u", &record, &total) != 2 || sscanf(tx, ", tx: %u", &xid) != 1)
        return;
    desc += strlen(", desc: ");
    bool transaction = strncmp(line + 6, "Transaction ", 12) == 0;
    if (xid != 0) {
        Open *open = find(report, xid, true);
        if (open != NULL) {
            open->bytes += total;
            touch_all(open, desc);
        }
    }
    if (transaction && (strncmp(desc, "COMMIT", 6) == 0 || strncmp(desc, "ABORT", 5) == 0))
        on_end(report, xid, lsn + strlen(", lsn: "), desc);
}
