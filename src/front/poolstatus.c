/*
 * poolstatus.c: pgpoolwatch's report: pgpool's nodes, repmgr's table, replication, the summary.
 *
 * The parts run one after the other on the loop, each with a deadline. One that fails says so in its place,
 * and the others are printed all the same.
 */
#include "front/front.h"
#include "front/status_parts.h"

#include "base/str.h"
#include "front/watch.h"
#include "net/operator.h"
#include "pg/conn.h"
#include "sys/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP_MS    5000
#define AGENT_MS   1000
#define OLD_REPMGR "/usr/pgsql-9.6/bin/repmgr"

const ArgsOption poolstatus_options[] = {
    {"host", "HOST", false, "pgpool's; default: localhost"},
    {"port", "NUMBER", false, "pgpool's; default: 5432"},
    {"user", "NAME", false, "at pgpool; default: pgpool"},
    {"database", "NAME", false, "at pgpool; default: postgres"},
    {"repmgr-user", "NAME", false, "at the nodes; default: repmgr"},
    {"repmgr-database", "NAME", false, "at the nodes; default: repmgr"},
    {"repmgr-path", "FILE", false, "the program; default: " OLD_REPMGR},
    {"repmgr-config", "FILE", false, "its repmgr.conf; default: it looks for it itself"},
    {"agent-port", "NUMBER", false,
     "where the nodes' pgvigil agents answer, who know their disks; 0: they are not asked; default: 8008"},
    {"disk-command", "WORDS", false,
     "without an agent: prints what `df -P` does; {host} becomes the node's; default: ssh -o BatchMode=yes -o ConnectTimeout=3 {host} df -P /"},
    {NULL},
};

enum { ALL_WELL = 0, NOT_FOUND = 1 };

typedef struct Reply {
    uv_loop_t *loop;
    Conn *conn;
    const char *sql;
    bool ok;
    PGresult *result;
    Buf output;
    Err err;
} Reply;

static void on_rows(void *arg, const ConnReply *answer)
{
    Reply *reply = arg;

    reply->ok = answer->ok;
    reply->err = answer->err;
    if (answer->ok)
        reply->result = PQcopyResult(answer->result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    conn_close(reply->conn);
}

static void on_connected(void *arg, const ConnReply *answer)
{
    Reply *reply = arg;

    if (answer->ok)
        conn_query(reply->conn, reply->sql, STEP_MS, on_rows, reply);
    else
        reply->err = answer->err;
}

/* Connects, asks, ends. PQclear is the caller's; NULL with reply->err. */
static PGresult *ask(uv_loop_t *loop, const ConnTarget *target, const char *sql, Err *ret_err)
{
    Reply reply = {.loop = loop, .conn = conn_new(loop), .sql = sql};

    conn_connect(reply.conn, target, STEP_MS, on_connected, &reply);
    uv_run(loop, UV_RUN_DEFAULT);
    conn_free(reply.conn);
    uv_run(loop, UV_RUN_DEFAULT);
    *ret_err = reply.err;
    return reply.result;
}

static void on_exit_copy(void *arg, const ExecResult *result)
{
    Reply *reply = arg;

    buf_puts(&reply->output, result->output);
    reply->ok = result->status == 0;
}

static bool run(uv_loop_t *loop, const char *const *argv, Buf *ret_output, Err *err)
{
    Reply reply = {0};
    ExecSpec spec = {
        .argv = argv, .timeout_ms = STEP_MS, .die_with_parent = true, .on_exit = on_exit_copy, .arg = &reply};

    if (exec_start(loop, &spec, err) == NULL)
        return false;
    uv_run(loop, UV_RUN_DEFAULT);
    *ret_output = reply.output;
    return reply.ok;
}

static const char *option(const Args *args, const char *name, const char *fallback)
{
    const char *value = args_value(args, name);

    return value != NULL ? value : fallback;
}

/* The per cent in use, as df has it, by the word of the agent on that host. */
static bool ask_agent(const char *host, uint16_t port, char *ret_use, size_t size)
{
    OperatorTarget target = {.host = host, .port = port, .timeout_ms = AGENT_MS};
    Buf body = {0};
    int status = 0;
    bool ok = false;

    if (!operator_get(&target, "/v1/cluster", &status, &body, NULL) || status != 200)
        goto out;
    json_t *cluster = json_loadb(body.data, body.len, 0, NULL);
    const json_t *members = json_object_get(cluster, "members");
    for (size_t i = 0; i < json_array_size(members) && !ok; i++) {
        const json_t *member = json_array_get(members, i);
        int64_t all = json_integer_value(json_object_get(member, "disk_size"));
        int64_t left = json_integer_value(json_object_get(member, "disk_free"));
        ok = all > 0 && left >= 0 && left <= all;
        if (ok)
            snprintf(ret_use, size, "%.0f", 100 - 100 * ((double) left / (double) all));
    }
    json_decref(cluster);
out:
    buf_done(&body);
    return ok;
}

static void print_disk(uv_loop_t *loop, const Args *args, uint16_t agent_port, const char *role,
                       const RepmgrNode *node)
{
    char words[1024], host[REPMGR_HOST_LEN], use[8] = "?";
    const char *argv[32];
    int n = 0;
    Buf output = {0};
    Err err = {0};

    str_copy(host, sizeof host, node->host[0] != '\0' && node->host[0] != '-' ? node->host : "localhost");
    str_copy(words, sizeof words,
             option(args, "disk-command", "ssh -o BatchMode=yes -o ConnectTimeout=3 {host} df -P /"));
    for (char *save = NULL, *word = strtok_r(words, " ", &save); word != NULL && n < 31;
         word = strtok_r(NULL, " ", &save))
        argv[n++] = strcmp(word, "{host}") == 0 ? host : word;
    argv[n] = NULL;
    bool asked = agent_port > 0 && ask_agent(host, agent_port, use, sizeof use);
    if (!asked && n > 0 && run(loop, argv, &output, &err))
        status_parse_disk(output.data, use, sizeof use);
    buf_done(&output);
    printf("- %-22s | %-26s | Disk | %s%s\n", role, node->name, use, use[0] == '?' ? "" : "%");
}

static bool show_pool(uv_loop_t *loop, const Args *args, uint16_t port)
{
    ConnTarget target = {.host = option(args, "host", "localhost"),
                         .port = port,
                         .user = option(args, "user", "pgpool"),
                         .database = option(args, "database", "postgres")};
    Err err = {0};
    PGresult *rows = ask(loop, &target, "show pool_nodes", &err);
    bool ok = rows != NULL && PQntuples(rows) > 0;

    puts("Output of: show pool_nodes");
    if (rows == NULL)
        printf("not available: %s\n", err.text);
    else
        status_print_table(stdout, rows);
    PQclear(rows);
    puts("\n");
    return ok;
}

static bool show_repmgr(uv_loop_t *loop, const Args *args, RepmgrCluster *ret_cluster)
{
    const char *path = option(args, "repmgr-path", OLD_REPMGR), *config = args_value(args, "repmgr-config");
    const char *plain[] = {path, "cluster", "show", NULL},
               *with[] = {path, "-f", config, "cluster", "show", NULL};
    Buf output = {0};
    Err err = {0};

    run(loop, config != NULL ? with : plain, &output,
        &err); /* its exit code tells of nodes that are down too */
    const char *text = output.data != NULL ? output.data : err.text;
    printf("Output of: repmgr cluster show\n%s\n", text);
    bool ok = repmgr_parse_table(text, ret_cluster, &err);
    if (!ok)
        printf("not understood: %s\n\n", err.text);
    buf_done(&output);
    return ok;
}

static PGresult *ask_node(uv_loop_t *loop, const Args *args, const RepmgrNode *node, const char *sql,
                          Err *err)
{
    ConnTarget target = {.host = node->host[0] != '\0' ? node->host : "localhost",
                         .port = node->port,
                         .user = option(args, "repmgr-user", "repmgr"),
                         .database = option(args, "repmgr-database", "repmgr")};

    return ask(loop, &target, sql, err);
}

/* The position of WAL, and whether its process runs. False: the node did not answer. */
static bool show_node(uv_loop_t *loop, const Args *args, const RepmgrNode *node, bool is_primary,
                      char *ret_line, size_t size)
{
    Err err = {0};
    PGresult *rows =
        ask_node(loop, args, node, "select current_setting('server_version_num')::int >= 100000", &err);
    bool is_new = rows != NULL && strcmp(conn_value(rows, 0), "t") == 0, ok = rows != NULL;

    PQclear(rows);
    rows = ok ? ask_node(loop, args, node, status_sql_position(is_new, is_primary), &err) : NULL;
    ok = rows != NULL && conn_value(rows, 0)[0] != '\0';
    bool is_up = ok && strcmp(conn_value(rows, 1), "t") == 0;
    const char *position = ok ? conn_value(rows, 0) : "?";
    const char *who = is_primary ? "master" : "slave";
    printf("- xlog_location (%s)%*s | %s\n", who, is_primary ? 0 : 1, "", position);
    snprintf(ret_line, size, "- WAL Process (%s)%*s | %-26s | %s\n", who, is_primary ? 2 : 3, "", position,
             is_up ? "UP" : "DOWN");
    PQclear(rows);
    return ok && is_up;
}

static bool show_summary(uv_loop_t *loop, const Args *args, uint16_t agent_port, const RepmgrCluster *cluster,
                         const RepmgrNode *primary)
{
    char(*lines)[160] = calloc(REPMGR_NODES_MAX, sizeof *lines), now[CLOCK_TEXT_LEN];
    bool ok = true;
    Err err = {0};

    if (lines == NULL)
        abort();
    clock_format_utc(clock_now().wall_us, now, sizeof now);
    printf(
        "- Parameter              | Value\n-------------------------------------------------------------------\n"
        "- Current Datetime       | %s\n",
        now);
    for (int i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].is_primary)
            ok &= show_node(loop, args, &cluster->nodes[i], true, lines[i], sizeof lines[i]);
    for (int i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].is_standby)
            ok &= show_node(loop, args, &cluster->nodes[i], false, lines[i], sizeof lines[i]);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < cluster->count; i++)
            if (cluster->nodes[i].is_primary == (pass == 0))
                fputs(lines[i], stdout);
    PGresult *rows =
        primary != NULL ? ask_node(loop, args, primary, status_sql_events(cluster->version), &err) : NULL;
    printf("- Number of Events (all) | %s\n- Number of Events (24h) | %s\n",
           rows != NULL ? conn_value(rows, 0) : "?", rows != NULL ? conn_value(rows, 1) : "?");
    ok &= rows != NULL;
    PQclear(rows);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < cluster->count; i++)
            if (cluster->nodes[i].is_primary == (pass == 0))
                print_disk(loop, args, agent_port, pass == 0 ? "MASTER" : "SLAVE", &cluster->nodes[i]);
    free(lines);
    return ok;
}

/* Returns the exit code. What else lacks than pool, primary and standby must not take the pool away. */
static int show_all(uv_loop_t *loop, const Args *args, uint16_t port, uint16_t agent_port)
{
    RepmgrCluster *cluster = calloc(1, sizeof *cluster);
    const RepmgrNode *primary = NULL;
    int primaries = 0, standbys = 0;
    Err err = {0};

    if (cluster == NULL)
        abort();
    bool pool = show_pool(loop, args, port), repmgr = show_repmgr(loop, args, cluster);
    for (int i = 0; i < cluster->count; i++) {
        standbys += cluster->nodes[i].is_standby;
        primaries += cluster->nodes[i].is_primary;
        if (cluster->nodes[i].is_primary)
            primary = &cluster->nodes[i];
    }
    puts("Output of: pg_stat_replication");
    PGresult *rows =
        primaries == 1 ? ask_node(loop, args, primary, "select * from pg_stat_replication", &err) : NULL;
    if (primaries != 1)
        printf("not available: %d running primaries\n\n", primaries);
    else if (rows == NULL)
        printf("not available: %s\n\n", err.text);
    else
        status_print_blocks(stdout, rows);
    PQclear(rows);
    bool rest = show_summary(loop, args, agent_port, cluster, primaries == 1 ? primary : NULL);
    free(cluster);
    /* The last line is what pgpwatch logs and mails. */
    const char *lacks = !pool            ? "pgpool does not answer"
                        : !repmgr        ? "repmgr's table of nodes cannot be had"
                        : primaries != 1 ? "there is not one running primary"
                        : rows == NULL   ? "the primary does not answer"
                        : standbys == 0  ? "no standby runs"
                                         : NULL;
    if (lacks != NULL)
        printf("Not healthy: %s; see above\n", lacks);
    else if (!rest)
        puts("Healthy, but not all is well: see above");
    return lacks != NULL ? NOT_FOUND : rest ? ALL_WELL : POOLSTATUS_USABLE;
}

int poolstatus_run(int argc, char **argv)
{
    Args args;
    Err err = {0};
    bool help;
    int64_t port, agent_port;
    uv_loop_t loop;

    if (!args_parse(poolstatus_options, argc, argv, false, &args, &help, &err) ||
        (!help && (!args_number(&args, "port", 1, 65535, 5432, &port, &err) ||
                   !args_number(&args, "agent-port", 0, 65535, 8008, &agent_port, &err)))) {
        return front_refuse("poolstatus", &err);
    }
    if (help)
        return front_show("poolstatus");
    setvbuf(stdout, NULL, _IOLBF, 0);
    uv_loop_init(&loop);
    int code = show_all(&loop, &args, (uint16_t) port, (uint16_t) agent_port);
    loop_end(&loop);
    return code;
}
