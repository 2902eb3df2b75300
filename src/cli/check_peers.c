/*
 * check_peers.c: what the other members have to do with this one: whether they are there, let this one
 * replicate, have settings that fit, and know the time.
 */
#include "cli/check.h"
#include "cli/client.h"
#include "cli/field.h"
#include "net/operator.h"
#include "sys/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REACH_TIMEOUT_MS 2000
#define CLOCK_APART_MS   1000

typedef enum Reach {
    REACH_OPEN,    /* somebody accepts connections */
    REACH_REFUSED, /* the machine is there, and nothing listens */
    REACH_SILENT,  /* no answer at all */
    REACH_UNKNOWN, /* the name has no address */
} Reach;

/* What becomes of a connection there within REACH_TIMEOUT_MS. */
static Reach reach(const char *host, uint32_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    Reach result = REACH_SILENT;
    int problem = 0;
    socklen_t len = sizeof(problem);

    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return REACH_UNKNOWN;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        bool at_once = connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno == ECONNREFUSED;
        bool ended = !at_once && poll(&wait, 1, REACH_TIMEOUT_MS) == 1 &&
                     getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) == 0;
        if (ended && problem == 0)
            result = REACH_OPEN;
        else if (at_once || problem == ECONNREFUSED)
            result = REACH_REFUSED;
        close(fd);
    }
    freeaddrinfo(found);
    return result;
}

/* The end of a sentence about a port that is not open. */
static const char *reach_text(Reach result)
{
    switch (result) {
    case REACH_OPEN: return "is open";
    case REACH_REFUSED: return "refuses: that machine is there, and nothing listens";
    case REACH_SILENT: return "does not answer: that machine is down or cut off, or a firewall drops it";
    case REACH_UNKNOWN: break;
    }
    return "cannot be asked: the name has no address";
}

/* No agent knows that verb: it says so, and so that it has our secret, and nothing is done. */
static void check_secret(Check *check, const ConfigMember *member, OperatorTarget *target)
{
    static const char order[] = "{\"verb\":\"check\"}";
    Buf body = {0};
    int status = 0;
    Err err = {0};

    target->cluster = check->config->cluster.name;
    target->member = member->name;
    target->secret = check->config->secret;
    target->secret_len = check->config->secret_len;
    if (operator_post(target, PEER_COMMAND_PATH, order, strlen(order), &status, &body, &err))
        check_line(check, CHECK_OK, member->name, NULL, "%s:%u is open, and has the same secret",
                   member->host, member->agent_port);
    else
        check_line(check, err.code == ERR_REFUSED ? CHECK_FAIL : CHECK_WARN, member->name,
                   "copy one configuration file and one secret to all members, and restart pgvigil",
                   "no vote and no heartbeat from it: %s", err.text);
    buf_done(&body);
}

/* An agent answers whoever has no signature with a refusal; one that hangs, or is stopped, with nothing. */
static void check_agent(Check *check, const ConfigMember *member)
{
    OperatorTarget target = {
        .host = member->host, .port = (uint16_t) member->agent_port, .timeout_ms = REACH_TIMEOUT_MS};
    Reach result = reach(member->host, member->agent_port);
    Buf body = {0};
    int status = 0;
    Err err = {0};

    if (result != REACH_OPEN)
        check_line(check, CHECK_WARN, member->name,
                   result == REACH_UNKNOWN ? "correct its host in [members], or the name service"
                                           : "start pgvigil there, or open the firewall for its agent_port",
                   "%s:%u %s; no vote and no heartbeat from it", member->host, member->agent_port,
                   reach_text(result));
    else if (operator_get(&target, PEER_MESSAGE_PATH, &status, &body, &err))
        check_secret(check, member, &target);
    else
        check_line(
            check, CHECK_WARN, member->name,
            "look at the process there, and its log: a stopped one goes on with kill -CONT, one that hangs is "
            "restarted",
            "%s:%u accepts connections and does not answer: its agent hangs or is stopped, or another program "
            "has the port",
            member->host, member->agent_port);
    buf_done(&body);
}

/* True if the host is an address of this machine: only such a one can be bound to. */
static bool is_here(const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;

    if (getaddrinfo(host, "0", &hints, &found) != 0)
        return false;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool here = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return here;
}

/* Whether the cluster has the members that the file names, and no others, as that member knows it. */
static void check_belongs(Check *check, const char *name, const json_t *cluster)
{
    const json_t *members = json_object_get(cluster, "members");
    char cure[160];
    bool all = true;

    if (field_text(cluster, "primary", NULL) == NULL)
        return; /* there is no cluster yet, or it knows of none */
    for (int i = 0; i < check->config->member_count; i++) {
        const char *named = check->config->member[i].name;
        if (field_member(cluster, named) != NULL)
            continue;
        all = false;
        snprintf(cure, sizeof(cure), "pgvigil member add %s; or take its line out of [members] everywhere",
                 named);
        check_line(check, CHECK_WARN, name, cure, "[members] here has %s, which is no member of the cluster",
                   named);
    }
    for (size_t i = 0; i < json_array_size(members); i++) {
        const char *member = field_text(json_array_get(members, i), "name", "");
        if (config_find_member(check->config, member) >= 0)
            continue;
        all = false;
        check_line(check, CHECK_FAIL, name, "copy one file to all members, and pgvigil reload",
                   "%s is a member of the cluster, and [members] here does not have it", member);
    }
    if (all)
        check_line(check, CHECK_OK, name, NULL, "knows the same members as the file here");
}

static void check_clock(Check *check, const Client *client, int member)
{
    const char *name = check->config->member[member].name;
    json_t *cluster = NULL;
    Clock before = clock_now();
    Err err = {0};

    if (!client_get(client, member, "/v1/cluster", &cluster, &err)) {
        bool hangs =
            reach(check->config->member[member].host, check->config->member[member].http_port) == REACH_OPEN;
        check_line(check, CHECK_WARN, name,
                   hangs ? "look at the process there, and its log"
                         : "start pgvigil there; or open its http_port",
                   "public port: %s", err.text);
        return;
    }
    Clock after = clock_now();
    int64_t theirs = field_time_ms(cluster, "generated");
    int64_t apart = theirs - (before.wall_us + after.wall_us) / 2 / US_PER_MS;
    if (is_here(check->config->member[member].host))
        check_line(check, CHECK_OK, name, NULL, "answers; it is on this machine, with the same clock");
    else if (theirs < 0)
        check_line(check, CHECK_WARN, name, NULL, "its clock could not be compared: its answer has no time");
    else if (llabs(apart) > CLOCK_APART_MS)
        check_line(check, CHECK_WARN, name, "run chrony or systemd-timesyncd on both",
                   "its clock is %lld ms %s: no decision depends on it, but logs and history mislead",
                   llabs(apart), apart > 0 ? "ahead" : "behind");
    else
        check_line(check, CHECK_OK, name, NULL, "answers, its clock is %lld ms apart",
                   (long long) llabs(apart));
    check_belongs(check, name, cluster);
    json_decref(cluster);
}

/* What helps against a refused connection; database as pg_hba.conf names it. */
static void connection_cure(const Check *check, const ConfigMember *member, const char *database,
                            const char *user, const char *problem, char *ret_cure, size_t size)
{
    const char *passfile = check->config->postgresql.passfile;

    if (strstr(problem, "pg_hba.conf") != NULL)
        snprintf(ret_cure, size,
                 "pg_hba.conf of %s: host %s %s ADDRESS scram-sha-256, with the address of %s", member->name,
                 database, user, check->self->name);
    else if (strstr(problem, "password") != NULL)
        snprintf(ret_cure, size, "a line for %s in %s (postgresql.passfile), mode 0600", user,
                 passfile != NULL && passfile[0] != '\0' ? passfile : "~/.pgpass");
    else if (strstr(problem, "does not exist") != NULL)
        snprintf(ret_cure, size, "CREATE ROLE \"%s\" LOGIN REPLICATION, on the primary", user);
    else
        snprintf(ret_cure, size, "look at the log of PostgreSQL on %s", member->name);
}

/* A walsender's connection, as the walreceiver and pg_basebackup make it. */
static void check_replication(Check *check, const ConfigMember *member, const char *port)
{
    const char *user = check->config->postgresql.replication_user;
    char text[300], cure[300], identifier[24];
    PGconn *conn = check_connect(check, member->host, port, user, true);

    if (PQstatus(conn) != CONNECTION_OK) {
        check_pg_error(conn, text, sizeof(text));
        connection_cure(check, member, "replication", user, text, cure, sizeof(cure));
        check_line(check, CHECK_FAIL, member->name, cure, "no replication connection as %s: %s", user, text);
    } else {
        check_query(conn, "IDENTIFY_SYSTEM", NULL, identifier, sizeof(identifier));
        if (check->system_identifier[0] != '\0' && strcmp(identifier, check->system_identifier) != 0)
            check_line(check, CHECK_FAIL, member->name, "correct host and port in [members]",
                       "its server is of another cluster: system identifier %s, ours is %s", identifier,
                       check->system_identifier);
        else
            check_line(check, CHECK_OK, member->name, NULL, "lets %s replicate from here", user);
    }
    PQfinish(conn);
}

/* Hazard: a standby whose settings are below the primary's stops replaying. */
static void check_standby_settings(Check *check, const ConfigMember *member, PGconn *other)
{
    static const char *const names[] = {"max_connections", "max_worker_processes",
                                        "max_prepared_transactions", "max_locks_per_transaction",
                                        "max_wal_senders"};
    char sql[128], ours[32], theirs[32], we_stand[8], they_stand[8], cure[200];
    bool all = true;

    check_query(check->server, "SELECT pg_is_in_recovery()", NULL, we_stand, sizeof(we_stand));
    check_query(other, "SELECT pg_is_in_recovery()", NULL, they_stand, sizeof(they_stand));
    if (strcmp(we_stand, they_stand) == 0 && we_stand[0] != '\0')
        return; /* two standbys: each is compared with the primary */
    bool we_are_primary = strcmp(we_stand, "f") == 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(sql, sizeof(sql), "SELECT current_setting('%s')", names[i]);
        check_query(check->server, sql, NULL, ours, sizeof(ours));
        check_query(other, sql, NULL, theirs, sizeof(theirs));
        if (ours[0] == '\0' || theirs[0] == '\0') {
            check_line(check, CHECK_WARN, member->name, "check again when it is back",
                       "a server went away while it was asked: its settings were not compared");
            return;
        }
        int primary = atoi(we_are_primary ? ours : theirs), standby = atoi(we_are_primary ? theirs : ours);
        if (standby >= primary)
            continue;
        all = false;
        snprintf(cure, sizeof(cure),
                 "on %s: ALTER SYSTEM SET %s = %d, or in its postgresql.conf, and a restart",
                 we_are_primary ? member->name : check->self->name, names[i], primary);
        check_line(check, CHECK_FAIL, member->name, cure,
                   "%s: the standby has %d, the primary %d; a standby below the primary stops replaying",
                   names[i], standby, primary);
    }
    if (all)
        check_line(check, CHECK_OK, member->name, NULL, "settings of standby and primary fit");
}

static void check_server_of(Check *check, const ConfigMember *member)
{
    const char *user = check->config->postgresql.user;
    char port[8], text[300], cure[300];

    snprintf(port, sizeof(port), "%u", member->port);
    Reach result = reach(member->host, member->port);
    if (result != REACH_OPEN) {
        check_line(
            check, CHECK_WARN, member->name,
            "if its PostgreSQL runs: listen_addresses in its postgresql.conf, and the firewall between",
            "%s:%s %s; whether this member may replicate from it was not checked", member->host, port,
            reach_text(result));
        return;
    }
    check_replication(check, member, port);
    PGconn *conn = check_connect(check, member->host, port, user, false);
    if (PQstatus(conn) != CONNECTION_OK) {
        check_pg_error(conn, text, sizeof(text));
        connection_cure(check, member, check->config->postgresql.database, user, text, cure, sizeof(cure));
        check_line(check, CHECK_FAIL, member->name, cure,
                   "no connection to database %s as %s, which a clone and pg_rewind need: %s",
                   check->config->postgresql.database, user, text);
    }
    if (PQstatus(conn) == CONNECTION_OK && check->server != NULL)
        check_standby_settings(check, member, conn);
    if (PQstatus(conn) == CONNECTION_OK)
        check_line(check, CHECK_OK, member->name, NULL, "lets %s in from here, for a clone and pg_rewind",
                   user);
    PQfinish(conn);
}

void check_peers(Check *check)
{
    /* The client borrows the configuration, which check owns. */
    Client client = {.config = (Config *) check->config, .pinned = -1, .answered = -1};

    for (int i = 0; i < check->config->member_count; i++) {
        const ConfigMember *member = &check->config->member[i];
        if (i == check->config->self)
            continue;
        check_agent(check, member);
        check_clock(check, &client, i);
        if (member->role == MEMBER_ROLE_DATA && check->self->role == MEMBER_ROLE_DATA)
            check_server_of(check, member);
    }
}
