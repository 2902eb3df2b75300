/*
 * writer.h: what the parts of the write-gap client share.
 *
 * The client remembers every acknowledgement in the order in which it came; gaps, takeovers and losses are
 * all read from that one list.
 */
#ifndef PGVIGIL_BENCH_WRITER_H
#define PGVIGIL_BENCH_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SERVER_MAX 15
#define MARK_MAX   256
#define NS_PER_MS  INT64_C(1000000)

/* id: seconds of the start (31 bits), server (4 bits), counter (28 bits): unique over runs and servers. */
#define ID_SERVER_SHIFT 28
#define ID_START_SHIFT  32

typedef struct Ack {
    int64_t id;
    int64_t at_ns; /* since the start, CLOCK_MONOTONIC */
    uint64_t lsn;  /* end of the WAL just before the row's commit record */
    uint32_t tli;
    uint32_t server;
} Ack;

typedef struct Mark {
    char name[64];
    int64_t at_ns;
} Mark;

typedef struct ServerCount {
    char name[64];
    uint64_t acks, read_only, errors, connects, refused, timeouts;
    char last_error[160];
} ServerCount;

typedef struct Log {
    Ack *acks;
    size_t count, capacity;
    Mark marks[MARK_MAX];
    size_t mark_count;
    ServerCount servers[SERVER_MAX];
    unsigned server_count;
    int64_t start_ns; /* CLOCK_MONOTONIC */
} Log;

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t writer_now(void);

/* Prints the log's figures as one line of JSON. now_ns: since the start. */
void report_print(const Log *log, int64_t now_ns, FILE *out);

/*
 * `writer verify`: reads the acknowledgements in acks_path and counts those missing on the server; prints one
 * line of JSON. Returns an exit code: 0 if it could ask (whatever the answer), 2 for wrong files, 3 if it
 * could not.
 */
int verify_main(const char *acks_path, const char *conninfo);

/* Writes text as a JSON string, quotes included. */
void json_string(FILE *out, const char *text);

#endif
