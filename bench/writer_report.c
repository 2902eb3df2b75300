/*
 * writer_report.c: the figures of a run, from the list of acknowledgements.
 *
 * A takeover shows as a higher timeline. So acknowledgements by a second primary are told from a proper
 * return by one rule: timelines never go down from one acknowledgement to the next, and each belongs to one
 * server.
 */
#include "writer.h"

#include <string.h>

#define TOP_GAPS  5
#define OWNER_MAX 4096 /* timelines beyond this number are not looked at */

typedef struct Gap {
    int64_t start_ns, end_ns;
    int from, to; /* servers that acknowledged before and after; -1: none yet */
} Gap;

void json_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        if ((unsigned char) *text >= 0x20)
            fputc(*text, out);
    }
    fputc('"', out);
}

static double ms(int64_t ns)
{
    return (double) ns / (double) NS_PER_MS;
}

static void gap_insert(Gap *top, size_t *count, Gap gap)
{
    size_t at = *count;

    while (at > 0 && top[at - 1].end_ns - top[at - 1].start_ns < gap.end_ns - gap.start_ns)
        at--;
    if (at == TOP_GAPS)
        return;
    if (*count < TOP_GAPS)
        (*count)++;
    memmove(&top[at + 1], &top[at], (*count - at - 1) * sizeof *top);
    top[at] = gap;
}

static void print_gap(const Log *log, const Gap *gap, FILE *out)
{
    fprintf(out, "{\"start_ms\":%.2f,\"ms\":%.2f,\"from\":", ms(gap->start_ns),
            ms(gap->end_ns - gap->start_ns));
    json_string(out, gap->from < 0 ? "" : log->servers[gap->from].name);
    fprintf(out, ",\"to\":");
    json_string(out, gap->to < 0 ? "" : log->servers[gap->to].name);
    fprintf(out, "}");
}

static void print_gaps(const Log *log, FILE *out)
{
    Gap top[TOP_GAPS];
    size_t count = 0;

    for (size_t i = 1; i < log->count; i++) {
        const Ack *a = &log->acks[i - 1], *b = &log->acks[i];

        gap_insert(top, &count, (Gap){a->at_ns, b->at_ns, (int) a->server, (int) b->server});
    }
    fprintf(out, ",\"gap_ms\":%.2f,\"gaps\":[", count > 0 ? ms(top[0].end_ns - top[0].start_ns) : 0.0);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? "," : "", out);
        print_gap(log, &top[i], out);
    }
    fprintf(out, "]");
}

/* The longest gap that ends after the mark and begins before the next one; a gap not yet over counts as it
 * stands. */
static void print_mark(const Log *log, size_t number, int64_t now_ns, FILE *out)
{
    const Mark *mark = &log->marks[number];
    int64_t until = number + 1 < log->mark_count ? log->marks[number + 1].at_ns : now_ns;
    Gap worst = {mark->at_ns, mark->at_ns, -1, -1};
    size_t acks = 0;

    for (size_t i = 0; i <= log->count; i++) {
        Gap gap = {i > 0 ? log->acks[i - 1].at_ns : mark->at_ns, i < log->count ? log->acks[i].at_ns : now_ns,
                   i > 0 ? (int) log->acks[i - 1].server : -1,
                   i < log->count ? (int) log->acks[i].server : -1};

        if (i < log->count && log->acks[i].at_ns >= mark->at_ns && log->acks[i].at_ns < until)
            acks++;
        if (gap.end_ns >= mark->at_ns && gap.start_ns < until &&
            gap.end_ns - gap.start_ns > worst.end_ns - worst.start_ns)
            worst = gap;
    }
    fprintf(out, "{\"name\":");
    json_string(out, mark->name);
    fprintf(out, ",\"at_ms\":%.2f,\"acks\":%zu,\"gap_ms\":%.2f,\"gap\":", ms(mark->at_ns), acks,
            ms(worst.end_ns - worst.start_ns));
    print_gap(log, &worst, out);
    fprintf(out, "}");
}

static void print_two_writers(const Log *log, FILE *out)
{
    static int owner[OWNER_MAX];
    uint32_t highest = 0;
    size_t events = 0, first = 0;

    memset(owner, -1, sizeof owner);
    for (size_t i = 0; i < log->count; i++) {
        const Ack *ack = &log->acks[i];
        bool wrong = ack->tli < highest;

        if (ack->tli < OWNER_MAX) {
            if (owner[ack->tli] < 0)
                owner[ack->tli] = (int) ack->server;
            wrong = wrong || owner[ack->tli] != (int) ack->server;
        }
        if (ack->tli > highest)
            highest = ack->tli;
        if (wrong && events++ == 0)
            first = i;
    }
    fprintf(out, ",\"two_writers\":%zu,\"last_tli\":%u", events,
            log->count > 0 ? log->acks[log->count - 1].tli : 0);
    if (events > 0) {
        fprintf(out, ",\"two_writers_first\":{\"ms\":%.2f,\"tli\":%u,\"server\":", ms(log->acks[first].at_ns),
                log->acks[first].tli);
        json_string(out, log->servers[log->acks[first].server].name);
        fprintf(out, "}");
    }
}

static void print_servers(const Log *log, FILE *out)
{
    fprintf(out, ",\"per_server\":{");
    for (unsigned i = 0; i < log->server_count; i++) {
        const ServerCount *s = &log->servers[i];

        fputs(i > 0 ? "," : "", out);
        json_string(out, s->name);
        fprintf(out,
                ":{\"acks\":%llu,\"read_only\":%llu,\"errors\":%llu,\"connects\":%llu,\"refused\":%llu,"
                "\"timeouts\":%llu,\"last_error\":",
                (unsigned long long) s->acks, (unsigned long long) s->read_only,
                (unsigned long long) s->errors, (unsigned long long) s->connects,
                (unsigned long long) s->refused, (unsigned long long) s->timeouts);
        json_string(out, s->last_error);
        fprintf(out, "}");
    }
    fprintf(out, "}");
}

void report_print(const Log *log, int64_t now_ns, FILE *out)
{
    const Ack *last = log->count > 0 ? &log->acks[log->count - 1] : NULL;

    fprintf(out, "{\"acks\":%zu,\"now_ms\":%.2f,\"open_ms\":%.2f,\"last_server\":", log->count, ms(now_ns),
            ms(now_ns - (last != NULL ? last->at_ns : 0)));
    json_string(out, last != NULL ? log->servers[last->server].name : "");
    print_gaps(log, out);
    print_two_writers(log, out);
    fprintf(out, ",\"marks\":[");
    for (size_t i = 0; i < log->mark_count; i++) {
        fputs(i > 0 ? "," : "", out);
        print_mark(log, i, now_ns, out);
    }
    fprintf(out, "]");
    print_servers(log, out);
    fprintf(out, "}\n");
}
