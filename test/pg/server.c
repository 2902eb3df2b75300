/*
 * server.c: see server.h. Everything blocks and asserts: it is a test.
 */
#include "server.h"

#include "sys/clock.h"
#include "sys/file.h"
#include "sys/loop.h"
#include "sys/proc.h"
#include "sys/programs.h"

#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

uv_loop_t *test_loop;
char test_root[128];

static void die(const char *text)
{
    fprintf(stderr, "test_actions: %s\n", text);
    exit(1);
}

void servers_begin(void)
{
    char bin[1024], template[] = "/tmp/pgvigil-actions-XXXXXX";
    Err err = {0};

    if (geteuid() == 0) {
        const struct passwd *pw = getpwnam("postgres");
        if (pw == NULL)
            die("there is no user postgres to run servers as");
        if (initgroups("postgres", pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
            die("cannot become postgres");
    }
    if (!programs_find(getenv("PG_BIN"), "/nowhere", bin, sizeof bin, &err))
        die(err.text);
    if (mkdtemp(template) == NULL)
        die("cannot make a temporary directory");
    snprintf(test_root, sizeof test_root, "%s", template);
    if (chdir(test_root) != 0)
        die("cannot go there");
    test_loop = calloc(1, sizeof *test_loop);
    uv_loop_init(test_loop);
}

static void end_servers_in(const char *directory)
{
    pid_t pid;

    for (int i = 0; i < 500 && proc_list_in(directory, &pid, 1) > 0; i++) {
        proc_signal_in(directory, SIGKILL);
        usleep(10000);
    }
}

void servers_end(void)
{
    char path[256];

    for (char name = 'a'; name <= 'z'; name++) {
        snprintf(path, sizeof path, "%s/%c", test_root, name);
        end_servers_in(path);
    }
    if (getenv("KEEP") == NULL && chdir("/") == 0)
        file_remove_tree(test_root, NULL);
    loop_end(test_loop);
    free(test_loop);
}

static void on_status(void *arg, const PgStatus *status)
{
    (void) status;
    ((Node *) arg)->emitted++;
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool ret = fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof address) == 0;
    close(fd);
    return ret;
}

uint16_t free_port(void)
{
    static unsigned next;

    if (next == 0)
        next = (unsigned) getpid();
    for (int i = 0; i < 20000; i++) {
        uint16_t port = (uint16_t) (10000 + next++ % 20000);
        if (is_free(port))
            return port;
    }
    die("there is no free port");
    return 0;
}

void node_open(Node *node, const char *name, uint16_t port, const char *config_directory)
{
    char state[256], log[256];

    *node = (Node){.port = port};
    snprintf(node->name, sizeof node->name, "%s", name);
    snprintf(node->data, sizeof node->data, "%s/%s", test_root, name);
    snprintf(state, sizeof state, "%s/%s.state", test_root, name);
    snprintf(log, sizeof log, "%s/%s.log", test_root, name);
    const char *bin = getenv("PG_BIN"); /* NULL: the newest that is installed */
    PollOptions poll = {.disk_timeout_ms = 5000,
                        .data_directory = node->data,
                        .bin_directory = bin,
                        .user = "postgres",
                        .database = "postgres",
                        .poll_interval_ms = 200,
                        .poll_timeout_ms = 2000,
                        .fresh_interval_ms = 500};
    ActionsOptions actions = {.name = node->name,
                              .cluster = "test",
                              .bin_directory = bin,
                              .data_directory = node->data,
                              .config_directory = config_directory,
                              .state_directory = state,
                              .server_log = log,
                              .user = "postgres",
                              .database = "postgres",
                              .initdb_options = "--data-checksums --auth=trust --no-sync",
                              .port = port,
                              .use_slots = true,
                              .start_timeout_ms = 30000,
                              .stop_timeout_ms = 20000,
                              .restore_timeout_ms = 1000,
                              .member_host = {"127.0.0.1"}};
    node->poll = poll_new(test_loop, &poll, on_status, node);
    node->actions = actions_new(test_loop, &actions, node->poll);
}

void node_close(Node *node)
{
    actions_free(node->actions);
    poll_free(node->poll);
    node->actions = NULL;
    node->poll = NULL;
}

const PgStatus *node_status(const Node *node)
{
    return poll_status(node->poll);
}

double now_ms(void)
{
    return (double) clock_now().raw_us / 1000;
}

static void on_tick(void *arg)
{
    (void) arg;
}

static bool run_until(Node *node, bool (*holds)(const Node *node), int timeout_ms)
{
    LoopTimer tick = {0};
    double end = now_ms() + timeout_ms;
    bool ok;

    loop_timer_init(&tick, test_loop, on_tick, NULL);
    loop_timer_start(&tick, 2000, 2000);
    while (!(ok = holds != NULL && holds(node)) && now_ms() < end) {
        uv_run(test_loop, UV_RUN_ONCE);
        if (node != NULL && node->actions != NULL) {
            uint8_t progress = actions_progress(node->actions);
            if (progress <= 100)
                node->progress_seen[progress] = 1;
        }
    }
    loop_timer_done(&tick);
    return ok;
}

bool node_wait(Node *node, bool (*holds)(const Node *node), int timeout_ms)
{
    return run_until(node, holds, timeout_ms);
}

void loop_for(int ms)
{
    run_until(NULL, NULL, ms);
}

static void on_done(void *arg, const ActionOutcome *outcome)
{
    Node *node = arg;

    node->outcome = *outcome;
    node->done = true;
}

static bool is_done(const Node *node)
{
    return node->done;
}

void node_begin(Node *node, ActionKind kind, const Node *target, uint32_t epoch, uint32_t timeline, Lsn fork)
{
    static uint32_t id;
    ActionRequest request = {.id = ++id,
                             .kind = kind,
                             .host = target != NULL ? "127.0.0.1" : NULL,
                             .port = target != NULL ? target->port : 0,
                             .epoch = epoch,
                             .timeline = timeline,
                             .fork = fork,
                             .asked = node->asked};

    node->done = false;
    memset(&node->outcome, 0, sizeof node->outcome);
    actions_start(node->actions, &request, on_done, node);
}

bool node_end(Node *node, int timeout_ms)
{
    return run_until(node, is_done, timeout_ms) && node->outcome.ok;
}

bool node_do(Node *node, ActionKind kind, const Node *target, uint32_t epoch, uint32_t timeline, Lsn fork)
{
    node_begin(node, kind, target, epoch, timeline, fork);
    bool ok = node_end(node, 60000);
    printf("    %s on %s: %.1f ms %s %s\n", action_kind_name(kind), node->name,
           (double) node->outcome.duration_us / 1000, ok ? "" : "FAILED", node->outcome.text);
    return ok;
}

static PGconn *connect_to(const Node *node)
{
    char conninfo[256];

    snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=postgres dbname=postgres connect_timeout=5",
             test_root, (unsigned) node->port);
    return PQconnectdb(conninfo);
}

const char *node_sql(const Node *node, const char *sql)
{
    static char value[4096];
    PGconn *pg = connect_to(node);
    PGresult *result = PQexec(pg, sql);
    const char *ret = NULL;

    if (PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK) {
        snprintf(value, sizeof value, "%s",
                 PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
        ret = value;
    } else {
        printf("    %s: %s", node->name, PQerrorMessage(pg));
    }
    PQclear(result);
    PQfinish(pg);
    return ret;
}

void *node_send(const Node *node, const char *sql)
{
    PGconn *pg = connect_to(node);

    if (!PQsendQuery(pg, sql))
        printf("    %s: %s", node->name, PQerrorMessage(pg));
    return pg;
}

void node_hang_up(void *connection)
{
    PQfinish(connection);
}
