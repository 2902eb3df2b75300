/*
 * writer.c: the write-gap client. Every few milliseconds it tries a one-row INSERT on every server at once
 * and notes who acknowledged which row, when, and on which timeline.
 *
 * One connection and at most one outstanding statement for each server; no call here waits for any one of
 * them.
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_STEP_NS (250 * NS_PER_MS)  /* without progress in connecting: try anew */
#define ANSWER_NS       (1000 * NS_PER_MS) /* without an answer to a statement: try anew */

static const char usage[] =
    "Usage: writer [--seconds N] [--interval-ms N] [--acks FILE] [--marks FIFO|-] NAME=CONNINFO...\n"
    "       writer verify --acks FILE CONNINFO\n"
    "\n"
    "Tries an INSERT on every server at once and reports, at SIGTERM or after --seconds, one line of JSON:\n"
    "the longest time without an acknowledgement, and acknowledgements that only a second primary can give.\n"
    "SIGUSR1 prints interim figures. Each line read from --marks names a moment; 'report' and 'quit' do what they say.\n"
    "verify counts acknowledged rows that a server does not have.\n";

typedef enum State { CLOSED, CONNECTING, IDLE, WAITING } State;

typedef struct Server {
    const char *conninfo;
    PGconn *conn;
    State state;
    PostgresPollingStatusType poll_status;
    int64_t deadline_ns;
    int64_t next_id;
    int64_t sent_id;
    bool create_next; /* the table was missing: the next statement creates it */
    bool creating;
    bool acked; /* the outstanding statement has been acknowledged */
} Server;

typedef struct Writer {
    Log log;
    Server servers[SERVER_MAX];
    FILE *acks_file;
    int marks_fd;
    char line[128];
    size_t line_len;
    bool stop, report;
    int64_t interval_ns;
    int64_t seconds;
} Writer;

static volatile sig_atomic_t got_stop, got_report;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        got_report = 1;
    else
        got_stop = 1;
}

int64_t writer_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t since_start(const Writer *w)
{
    return writer_now() - w->log.start_ns;
}

static void note_error(ServerCount *count, const char *text)
{
    snprintf(count->last_error, sizeof count->last_error, "%.*s", (int) strcspn(text, "\n"), text);
}

static void server_close(Server *s)
{
    PQfinish(s->conn);
    s->conn = NULL;
    s->state = CLOSED;
    s->acked = false;
}

/* What a server says on its own, for instance that it shuts down, shows as an error soon enough. */
static void ignore_notice(void *context, const char *message)
{
    (void) context;
    (void) message;
}

static void server_open(Server *s, ServerCount *count)
{
    s->conn = PQconnectStart(s->conninfo);
    if (s->conn == NULL || PQstatus(s->conn) == CONNECTION_BAD) {
        count->refused++;
        if (s->conn != NULL)
            note_error(count, PQerrorMessage(s->conn));
        server_close(s);
        return;
    }
    PQsetNoticeProcessor(s->conn, ignore_notice, NULL);
    s->state = CONNECTING;
    s->poll_status = PGRES_POLLING_WRITING;
    s->deadline_ns = writer_now() + CONNECT_STEP_NS;
}

static void server_connect_step(Server *s, ServerCount *count)
{
    s->poll_status = PQconnectPoll(s->conn);
    s->deadline_ns = writer_now() + CONNECT_STEP_NS;
    if (s->poll_status == PGRES_POLLING_FAILED) {
        count->refused++;
        note_error(count, PQerrorMessage(s->conn));
        server_close(s);
    } else if (s->poll_status == PGRES_POLLING_OK) {
        count->connects++;
        PQsetnonblocking(s->conn, 1);
        s->state = IDLE;
    }
}

static void server_send(Server *s, ServerCount *count)
{
    char sql[256];

    s->creating = s->create_next;
    s->create_next = false;
    s->sent_id = s->next_id;
    if (s->creating)
        snprintf(sql, sizeof sql,
                 "create table if not exists pgvigil_probe "
                 "(id bigint primary key, server text, at timestamptz default now())");
    else {
        s->next_id++;
        snprintf(sql, sizeof sql,
                 "insert into pgvigil_probe (id, server) values (%lld, '%s') "
                 "returning pg_current_wal_insert_lsn(), pg_walfile_name(pg_current_wal_insert_lsn())",
                 (long long) s->sent_id, count->name);
    }
    if (PQsendQuery(s->conn, sql) != 1 || PQflush(s->conn) < 0) {
        note_error(count, PQerrorMessage(s->conn));
        server_close(s);
        return;
    }
    s->state = WAITING;
    s->deadline_ns = writer_now() + ANSWER_NS;
}

static void writer_add_ack(Writer *w, unsigned index, const PGresult *res)
{
    Log *log = &w->log;
    Ack *ack;
    unsigned hi = 0, lo = 0, tli = 0;

    if (log->count == log->capacity) {
        log->capacity = log->capacity ? log->capacity * 2 : 4096;
        log->acks = realloc(log->acks, log->capacity * sizeof *log->acks);
        if (log->acks == NULL)
            abort();
    }
    sscanf(PQgetvalue(res, 0, 0), "%X/%X", &hi, &lo);
    sscanf(PQgetvalue(res, 0, 1), "%8X", &tli);
    ack = &log->acks[log->count++];
    ack->id = w->servers[index].sent_id;
    ack->at_ns = since_start(w);
    ack->lsn = (uint64_t) hi << 32 | lo;
    ack->tli = tli;
    ack->server = index;
    log->servers[index].acks++;
    if (w->acks_file != NULL)
        fprintf(w->acks_file, "%lld %s %u %X/%X %lld\n", (long long) ack->id, log->servers[index].name, tli,
                hi, lo, (long long) (ack->at_ns / 1000));
}

static void server_result(Writer *w, unsigned index, const PGresult *res)
{
    Server *s = &w->servers[index];
    ServerCount *count = &w->log.servers[index];
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    switch (PQresultStatus(res)) {
    case PGRES_TUPLES_OK:
        if (PQntuples(res) == 1)
            writer_add_ack(w, index, res);
        break;
    case PGRES_COMMAND_OK: break;
    default:
        if (state != NULL &&
            strcmp(state, "25006") == 0) /* read_only_sql_transaction: a standby's answer of no */
            count->read_only++;
        else {
            s->create_next = state != NULL && strcmp(state, "42P01") == 0; /* undefined_table */
            count->errors++;
            note_error(count, PQresultErrorMessage(res));
        }
    }
}

static void server_read(Writer *w, unsigned index)
{
    Server *s = &w->servers[index];
    ServerCount *count = &w->log.servers[index];

    if (PQconsumeInput(s->conn) != 1 || PQflush(s->conn) < 0) {
        note_error(count, PQerrorMessage(s->conn));
        server_close(s);
        return;
    }
    while (!PQisBusy(s->conn)) {
        PGresult *res = PQgetResult(s->conn);

        if (res == NULL) {
            if (s->state == WAITING)
                s->state = IDLE;
            break;
        }
        server_result(w, index, res);
        PQclear(res);
    }
    if (PQstatus(s->conn) == CONNECTION_BAD)
        server_close(s);
}

/* Opens what is closed, drops what does not answer and sends what is due. Called once per interval. */
static void writer_tick(Writer *w)
{
    int64_t now = writer_now();

    for (unsigned i = 0; i < w->log.server_count; i++) {
        Server *s = &w->servers[i];
        ServerCount *count = &w->log.servers[i];

        if ((s->state == CONNECTING || s->state == WAITING) && now >= s->deadline_ns) {
            count->timeouts++;
            server_close(s);
        }
        if (s->state == CLOSED)
            server_open(s, count);
        else if (s->state == IDLE)
            server_send(s, count);
    }
}

static void writer_line(Writer *w, const char *line)
{
    Log *log = &w->log;

    if (strcmp(line, "report") == 0)
        w->report = true;
    else if (strcmp(line, "quit") == 0)
        w->stop = true;
    else if (line[0] != '\0' && log->mark_count < MARK_MAX) {
        Mark *mark = &log->marks[log->mark_count++];

        snprintf(mark->name, sizeof mark->name, "%.63s", line);
        mark->at_ns = since_start(w);
    }
}

static void writer_read_marks(Writer *w)
{
    char data[256];
    ssize_t n = read(w->marks_fd, data, sizeof data);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        if (w->marks_fd == STDIN_FILENO) /* whoever started this is gone */
            w->stop = true;
        w->marks_fd = -1;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            w->line[w->line_len] = '\0';
            writer_line(w, w->line);
            w->line_len = 0;
        } else if (w->line_len + 1 < sizeof w->line)
            w->line[w->line_len++] = data[i];
    }
}

static void writer_wait(Writer *w, int64_t until_ns)
{
    struct pollfd fds[SERVER_MAX + 1];
    int64_t left = until_ns - writer_now();
    struct timespec ts = {.tv_nsec = left > 0 ? left : 0};
    unsigned n = w->log.server_count;

    for (unsigned i = 0; i < n; i++) {
        Server *s = &w->servers[i];
        bool writing = s->state == CONNECTING && s->poll_status == PGRES_POLLING_WRITING;

        fds[i].fd = s->conn != NULL ? PQsocket(s->conn) : -1;
        fds[i].events = writing ? POLLOUT : POLLIN;
        fds[i].revents = 0;
    }
    fds[n] = (struct pollfd){.fd = w->marks_fd, .events = POLLIN};
    if (ppoll(fds, n + 1, &ts, NULL) <= 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents == 0)
            continue;
        if (w->servers[i].state == CONNECTING)
            server_connect_step(&w->servers[i], &w->log.servers[i]);
        else
            server_read(w, i);
    }
    if (fds[n].revents != 0)
        writer_read_marks(w);
}

static void writer_report(Writer *w)
{
    if (w->acks_file != NULL)
        fflush(w->acks_file);
    report_print(&w->log, since_start(w), stdout);
    fflush(stdout);
    w->report = false;
}

static void writer_run(Writer *w)
{
    int64_t next = writer_now();

    while (!w->stop && !got_stop) {
        int64_t now = writer_now();

        if (w->seconds > 0 && now - w->log.start_ns >= w->seconds * 1000 * NS_PER_MS)
            break;
        if (now >= next) {
            writer_tick(w);
            next += w->interval_ns;
            if (next < now) /* fell behind: ticks are not made up for */
                next = now + w->interval_ns;
        }
        writer_wait(w, next);
        if (got_report || w->report) {
            got_report = 0;
            writer_report(w);
        }
    }
    writer_report(w);
    for (unsigned i = 0; i < w->log.server_count; i++)
        PQfinish(w->servers[i].conn);
}

static bool writer_add_server(Writer *w, char *arg, int64_t start_s)
{
    unsigned i = w->log.server_count;
    char *equals = strchr(arg, '=');

    if (equals == NULL || i == SERVER_MAX || equals == arg ||
        strcspn(arg, "'\\\"") < (size_t) (equals - arg)) {
        fprintf(stderr, "writer: '%s' is not NAME=CONNINFO, or there are more than %d\n", arg, SERVER_MAX);
        return false;
    }
    *equals = '\0';
    snprintf(w->log.servers[i].name, sizeof w->log.servers[i].name, "%.63s", arg);
    w->servers[i].conninfo = equals + 1;
    w->servers[i].next_id = (start_s & 0x7FFFFFFF) << ID_START_SHIFT | (int64_t) i << ID_SERVER_SHIFT;
    w->log.server_count++;
    return true;
}

static FILE *open_acks(const char *path)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        fprintf(stderr, "writer: cannot write %s: %s\n", path, strerror(errno));
    return file;
}

static int run_main(Writer *w, const char *acks, const char *marks, char **servers)
{
    struct sigaction action = {.sa_handler = on_signal};
    int64_t start_s = (int64_t) time(NULL);

    for (; *servers != NULL; servers++)
        if (!writer_add_server(w, *servers, start_s))
            return 2;
    if (acks != NULL && (w->acks_file = open_acks(acks)) == NULL)
        return 2;
    if (marks != NULL) {
        /* Opened for both, so that a FIFO does not end with its first writer. */
        w->marks_fd = strcmp(marks, "-") == 0 ? STDIN_FILENO : open(marks, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (w->marks_fd < 0) {
            fprintf(stderr, "writer: cannot open %s: %s\n", marks, strerror(errno));
            return 2;
        }
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    w->log.start_ns = writer_now();
    writer_run(w);
    if (w->acks_file != NULL)
        fclose(w->acks_file);
    free(w->log.acks);
    return 0;
}

int main(int argc, char **argv)
{
    static Writer w = {.marks_fd = -1, .interval_ns = 5 * NS_PER_MS};
    static const struct option options[] = {{"seconds", 1, NULL, 's'}, {"interval-ms", 1, NULL, 'i'},
                                            {"acks", 1, NULL, 'a'},    {"marks", 1, NULL, 'm'},
                                            {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    bool verify = argc > 1 && strcmp(argv[1], "verify") == 0;
    const char *acks = NULL, *marks = NULL;
    int c;

    optind = verify ? 2 : 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's': w.seconds = atoi(optarg); break;
        case 'i': w.interval_ns = atoi(optarg) * NS_PER_MS; break;
        case 'a': acks = optarg; break;
        case 'm': marks = optarg; break;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 2;
        }
    }
    if (optind == argc || w.interval_ns <= 0 || (verify && (acks == NULL || optind + 1 != argc))) {
        fputs(usage, stderr);
        return 2;
    }
    return verify ? verify_main(acks, argv[optind]) : run_main(&w, acks, marks, argv + optind);
}
