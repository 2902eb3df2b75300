/*
 * writer_verify.c: which acknowledged rows does a server lack, and which of them should it have?
 *
 * The server's timeline history says up to which position each older timeline was taken over. A row's commit
 * record lies before the position noted with the next row of the same server and timeline, so a missing row
 * whose successor lies before that point was lost although it had been replicated: that must never be.
 */
#include "writer.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_MAX 256
#define DETAIL_MAX  20

typedef struct Acked {
    int64_t id, at_us;
    uint64_t lsn, next_lsn; /* next_lsn: of the next row of this server and timeline; UINT64_MAX: none */
    uint32_t tli;
    char server[64];
    bool found;
} Acked;

typedef struct History {
    uint32_t tli; /* of the server now */
    uint32_t old_tli[HISTORY_MAX];
    uint64_t end[HISTORY_MAX]; /* where old_tli was left */
    size_t count;
} History;

static int by_id(const void *a, const void *b)
{
    int64_t x = ((const Acked *) a)->id, y = ((const Acked *) b)->id;

    return x < y ? -1 : x > y;
}

static Acked *read_acks(const char *path, size_t *ret_count)
{
    FILE *file = fopen(path, "r");
    Acked *acks = NULL;
    size_t count = 0, capacity = 0;
    long long id, at_us;
    unsigned tli, hi, lo;
    char server[64];

    if (file == NULL) {
        fprintf(stderr, "writer: cannot read %s: %s\n", path, strerror(errno));
        return NULL;
    }
    while (fscanf(file, "%lld %63s %u %X/%X %lld", &id, server, &tli, &hi, &lo, &at_us) == 6) {
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 4096;
            acks = realloc(acks, capacity * sizeof *acks);
            if (acks == NULL)
                abort();
        }
        acks[count] = (Acked){.id = id, .at_us = at_us, .lsn = (uint64_t) hi << 32 | lo, .tli = tli};
        acks[count].next_lsn = UINT64_MAX;
        memcpy(acks[count].server, server, sizeof server);
        /* Rows come in the order of time: the one before of the same server and timeline is not far back. */
        for (size_t i = count; i-- > 0;) {
            if (acks[i].tli == tli && strcmp(acks[i].server, server) == 0) {
                acks[i].next_lsn = acks[count].lsn;
                break;
            }
        }
        count++;
    }
    fclose(file);
    qsort(acks, count, sizeof *acks, by_id);
    *ret_count = count;
    return acks != NULL ? acks : calloc(1, sizeof *acks);
}

static PGresult *ask(PGconn *conn, const char *sql)
{
    PGresult *res = PQexec(conn, sql);

    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        fprintf(stderr, "writer: %s", PQerrorMessage(conn));
        PQclear(res);
        return NULL;
    }
    return res;
}

static bool read_history(PGconn *conn, History *history)
{
    /* pg_control_checkpoint lags behind a promotion and a standby has no insert position: take the newer of
     * both. */
    PGresult *res = ask(conn, "select greatest((select timeline_id from pg_control_checkpoint()),"
                              " (select received_tli from pg_stat_wal_receiver),"
                              " case when not pg_is_in_recovery() then ('x' || substr(pg_walfile_name("
                              "pg_current_wal_lsn()), 1, 8))::bit(32)::int end)");
    char sql[128];

    if (res == NULL)
        return false;
    history->tli = (uint32_t) strtoul(PQgetvalue(res, 0, 0), NULL, 10);
    PQclear(res);
    if (history->tli <= 1)
        return true;
    snprintf(sql, sizeof sql, "select pg_read_file('pg_wal/%08X.history')", history->tli);
    res = ask(conn, sql);
    if (res == NULL)
        return false;
    for (char *save = NULL, *line = strtok_r(PQgetvalue(res, 0, 0), "\n", &save);
         line != NULL && history->count < HISTORY_MAX; line = strtok_r(NULL, "\n", &save)) {
        unsigned tli, hi, lo;

        if (sscanf(line, "%u %X/%X", &tli, &hi, &lo) == 3) {
            history->old_tli[history->count] = tli;
            history->end[history->count++] = (uint64_t) hi << 32 | lo;
        }
    }
    PQclear(res);
    return true;
}

/* Should the server have this row? True on its present timeline, or on an older one before it was left. */
static bool must_have(const History *history, const Acked *ack)
{
    if (ack->tli == history->tli)
        return true;
    for (size_t i = 0; i < history->count; i++)
        if (history->old_tli[i] == ack->tli)
            return ack->next_lsn <= history->end[i];
    return false;
}

static bool mark_found(PGconn *conn, Acked *acks, size_t count)
{
    char sql[128];
    PGresult *res;

    if (count == 0)
        return true;
    snprintf(sql, sizeof sql, "select id from pgvigil_probe where id between %lld and %lld",
             (long long) acks[0].id, (long long) acks[count - 1].id);
    res = ask(conn, sql);
    if (res == NULL)
        return false;
    for (int i = 0; i < PQntuples(res); i++) {
        Acked key = {.id = strtoll(PQgetvalue(res, i, 0), NULL, 10)};
        Acked *ack = bsearch(&key, acks, count, sizeof *acks, by_id);

        if (ack != NULL)
            ack->found = true;
    }
    PQclear(res);
    return true;
}

static void print_verdict(const Acked *acks, size_t count, const History *history)
{
    size_t missing = 0, replicated = 0, shown = 0, by_tli[HISTORY_MAX] = {0};
    int64_t oldest_us = -1;

    for (size_t i = 0; i < count; i++) {
        if (acks[i].found)
            continue;
        missing++;
        replicated += must_have(history, &acks[i]);
        if (acks[i].tli < HISTORY_MAX)
            by_tli[acks[i].tli]++;
        if (oldest_us < 0 || acks[i].at_us < oldest_us)
            oldest_us = acks[i].at_us;
    }
    printf("{\"acked\":%zu,\"missing\":%zu,\"missing_replicated\":%zu,\"oldest_missing_ms\":", count, missing,
           replicated);
    if (missing > 0)
        printf("%.2f", (double) oldest_us / 1000.0);
    else
        printf("null");
    printf(",\"timeline\":%u,\"by_timeline\":{", history->tli);
    for (uint32_t tli = 0, n = 0; tli < HISTORY_MAX; tli++)
        if (by_tli[tli] > 0)
            printf("%s\"%u\":%zu", n++ > 0 ? "," : "", tli, by_tli[tli]);
    printf("},\"detail\":[");
    for (size_t i = 0; i < count && shown < DETAIL_MAX; i++) {
        if (acks[i].found)
            continue;
        printf("%s{\"id\":%lld,\"tli\":%u,\"lsn\":\"%X/%X\",\"ms\":%.2f,\"server\":", shown++ > 0 ? "," : "",
               (long long) acks[i].id, acks[i].tli, (unsigned) (acks[i].lsn >> 32), (unsigned) acks[i].lsn,
               (double) acks[i].at_us / 1000.0);
        json_string(stdout, acks[i].server);
        printf("}");
    }
    printf("]}\n");
}

int verify_main(const char *acks_path, const char *conninfo)
{
    static History history;
    size_t count = 0;
    Acked *acks = read_acks(acks_path, &count);
    PGconn *conn;
    int code = 3;

    if (acks == NULL)
        return 2;
    conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        fprintf(stderr, "writer: %s", PQerrorMessage(conn));
    else if (read_history(conn, &history) && mark_found(conn, acks, count)) {
        print_verdict(acks, count, &history);
        code = 0;
    }
    PQfinish(conn);
    free(acks);
    return code;
}
