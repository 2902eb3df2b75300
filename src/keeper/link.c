/*
 * link.c: one connection to each other node, asynchronous; messages go one after the other.
 *
 * A message that is older than a lease says nothing any more. So nothing is kept for long: a queue of a few,
 * and a node that does not answer in time is connected to anew.
 */
#include "keeper/keeper.h"

#include <miscadmin.h>
#include <storage/latch.h>
#include <utils/guc.h>

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <libpq/pqcomm.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/str.h"
#include "sys/clock.h"
#include "sys/log.h"

#define QUEUE_MAX   4
#define EXCHANGE    "SELECT pgkeeper.exchange($1)"
#define KEYWORDS    16
#define PAUSE_SHARE 10 /* after a failure: a tenth of a lease until the next try */

typedef enum LinkState { LINK_DOWN = 0, LINK_CONNECTS, LINK_READY, LINK_ASKS } LinkState;

typedef struct Letter {
    char *text;
    Clock at;
} Letter;

typedef struct Link {
    KeeperNode node;
    PGconn *conn;
    LinkState state;
    PostgresPollingStatusType poll;
    int64 until_us; /* boot clock: connecting or asking has to be done; down: not before */
    Letter queue[QUEUE_MAX];
    int queued;
    bool flushing;
    LogLimit complaint, kerberos;
    char told[200]; /* the newest complaint */
} Link;

static Link links[MEMBER_MAX];
static int count;
static int64 lease_us;
static LinkAnswer *answered;

static int64 now_us(void)
{
    return clock_now().boot_us;
}

/* ---- Letters ---- */

static void drop_first(Link *link)
{
    free(link->queue[0].text);
    memmove(&link->queue[0], &link->queue[1], sizeof link->queue[0] * (size_t) (--link->queued));
}

static void drop_old(Link *link)
{
    while (link->queued > 0 && now_us() - link->queue[0].at.boot_us > lease_us)
        drop_first(link);
}

/* NULL: there is no node of that number. */
static Link *find_link(int index)
{
    return index >= 0 && index < count ? &links[index] : NULL;
}

void link_send(int index, const char *text, size_t len)
{
    Link *link = find_link(index);

    if (link == NULL || len == 0)
        return;
    drop_old(link);
    if (link->queued == QUEUE_MAX)
        drop_first(link);
    char *copy = strndup(text, len);
    if (copy != NULL)
        link->queue[link->queued++] = (Letter){.text = copy, .at = clock_now()};
}

/* ---- Connecting ---- */

static void hang_up(Link *link)
{
    if (link->conn != NULL)
        PQfinish(link->conn);
    link->conn = NULL;
    link->state = LINK_DOWN;
    link->flushing = false;
    link->until_us = now_us() + lease_us / PAUSE_SHARE;
}

static void fail(Link *link, const char *what)
{
    char why[200];
    const char *said = link->conn != NULL ? PQerrorMessage(link->conn) : "";

    snprintf(why, sizeof why, "%s%s%.150s", what, said[0] != '\0' ? ": " : "", said);
    for (char *end = why + strlen(why); end > why && end[-1] == '\n';)
        *--end = '\0';
    for (char *at = why; (at = strchr(at, '\n')) != NULL;)
        *at = ' ';
    if (strncmp(why, link->told, sizeof link->told - 1) != 0)
        link->complaint.next_us = 0; /* such as a password that is wrong, once the connection was lost */
    str_copy(link->told, sizeof link->told, why);
    log_limited(&link->complaint, LOG_LEVEL_WARN, "node_unreachable", "node=%s reason=\"%s\"",
                link->node.name, why);
    hang_up(link);
}

/*
 * The string itself first; what follows counts before it. Without GSS encryption: PQconnectPoll() would wait
 * for the KDC in place, and the lease with it.
 */
static void connect_to(Link *link)
{
    const char *keyword[KEYWORDS] = {"dbname",   "dbname", "application_name", "options", "gssencmode",
                                     "hostaddr", NULL};
    char address[64], options[160];

    if (!resolve_address(link->node.host, address, sizeof address)) {
        link->until_us = now_us() + lease_us / PAUSE_SHARE;
        log_limited(&link->complaint, LOG_LEVEL_WARN, "name_unknown", "node=%s host=%s has no address yet",
                    link->node.name, link->node.host);
        return;
    }
    snprintf(options, sizeof options,
             "-c statement_timeout=%lld -c search_path=pg_catalog -c default_transaction_read_only=on",
             (long long) (2 * lease_us / US_PER_MS));
    const char *value[KEYWORDS] = {link->node.conninfo, gucs_database, "pg_keeper", options,
                                   "disable",           address,       NULL};
    if (address[0] == '\0')
        keyword[5] = NULL;
    link->conn = PQconnectStartParams(keyword, value, 1);
    link->until_us = now_us() + lease_us;
    if (link->conn == NULL || PQstatus(link->conn) == CONNECTION_BAD) {
        fail(link, "cannot connect");
        return;
    }
    link->state = LINK_CONNECTS;
    link->poll = PGRES_POLLING_WRITING;
}

/* PQconnectPoll() waits in place if it is called before that. */
static bool is_ready(const Link *link)
{
    struct pollfd at = {.fd = PQsocket(link->conn),
                        .events = link->poll == PGRES_POLLING_READING ? POLLIN : POLLOUT};

    return poll(&at, 1, 0) != 0;
}

/*
 * libpq would ask a KDC for a ticket, in place, for as long as that takes. The server's word is the first of
 * its answer; where TLS hides it nothing can be done.
 */
static bool asks_for_kerberos(const Link *link)
{
    uint32 request[2] = {0};
    char word[1 + sizeof request];

    if (recv(PQsocket(link->conn), word, sizeof word, MSG_PEEK | MSG_DONTWAIT) != sizeof word ||
        word[0] != 'R')
        return false;
    memcpy(request, word + 1, sizeof request);
    return ntohl(request[1]) == AUTH_REQ_GSS || ntohl(request[1]) == AUTH_REQ_SSPI;
}

static void go_on_connecting(Link *link)
{
    if (!is_ready(link))
        return;
    if (asks_for_kerberos(link)) {
        log_limited(
            &link->kerberos, LOG_LEVEL_ERROR, "kerberos_refused",
            "node=%s its pg_hba.conf has gss for the role of the nodes, and a ticket could hold this worker "
            "up: let that role in by password or certificate",
            link->node.name);
        fail(link, "it asks for Kerberos");
        return;
    }
    link->poll = PQconnectPoll(link->conn);
    if (link->poll == PGRES_POLLING_FAILED)
        fail(link, "cannot connect");
    else if (link->poll == PGRES_POLLING_OK && PQsetnonblocking(link->conn, 1) != 0)
        fail(link, "cannot connect");
    else if (link->poll == PGRES_POLLING_OK)
        link->state = LINK_READY;
}

/* ---- Asking ---- */

static void ask(Link *link)
{
    const char *values[1] = {link->queue[0].text};

    link->until_us = link->queue[0].at.boot_us + lease_us;
    bool sent = PQsendQueryParams(link->conn, EXCHANGE, 1, NULL, values, NULL, NULL, 0) == 1;
    drop_first(link);
    if (!sent) {
        fail(link, "cannot send");
        return;
    }
    link->state = LINK_ASKS;
    link->flushing = true;
}

static bool take_result(const Link *link, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        return false;
    answered(&link->node, PQgetvalue(result, 0, 0), (size_t) PQgetlength(result, 0, 0));
    return true;
}

static void go_on_asking(Link *link)
{
    bool ok = true;

    if (link->flushing) {
        int left = PQflush(link->conn);
        link->flushing = left == 1;
        ok = left >= 0;
    }
    if (!ok || PQconsumeInput(link->conn) == 0) {
        fail(link, "the connection was lost");
        return;
    }
    while (link->state == LINK_ASKS && PQisBusy(link->conn) == 0) {
        PGresult *result = PQgetResult(link->conn);
        if (result == NULL) {
            link->state = LINK_READY;
            return;
        }
        ok = take_result(link, result);
        PQclear(result);
        if (!ok) {
            fail(link, "it refuses");
            return;
        }
    }
}

static void turn(Link *link)
{
    int64 now = now_us();

    drop_old(link);
    if (link->state == LINK_DOWN && link->queued > 0 && now >= link->until_us)
        connect_to(link);
    if ((link->state == LINK_CONNECTS || link->state == LINK_ASKS) && now >= link->until_us)
        fail(link, link->state == LINK_ASKS ? "no answer in time" : "no connection in time");
    if (link->state == LINK_CONNECTS)
        go_on_connecting(link);
    if (link->state == LINK_ASKS)
        go_on_asking(link);
    /* The server may have ended it meanwhile. */
    if (link->state == LINK_READY &&
        (PQconsumeInput(link->conn) == 0 || PQstatus(link->conn) == CONNECTION_BAD))
        fail(link, "the connection was lost");
    if (link->state == LINK_READY && link->queued > 0) {
        ask(link);
        if (link->state == LINK_ASKS)
            go_on_asking(link);
    }
}

void link_turn(void)
{
    for (int i = 0; i < count; i++)
        turn(&links[i]);
}

int link_socket(int index, uint32 *ret_events)
{
    const Link *link = find_link(index);

    *ret_events = WL_SOCKET_READABLE;
    if (link == NULL || link->conn == NULL)
        return -1;
    if (link->state == LINK_CONNECTS && link->poll != PGRES_POLLING_READING)
        *ret_events = WL_SOCKET_WRITEABLE;
    else if (link->flushing)
        *ret_events |= WL_SOCKET_WRITEABLE;
    return PQsocket(link->conn);
}

long link_wait_ms(long most_ms)
{
    int64 now = now_us(), least_us = most_ms * US_PER_MS;

    for (int i = 0; i < count; i++) {
        const Link *link = &links[i];
        bool waits = link->state == LINK_CONNECTS || link->state == LINK_ASKS || link->queued > 0;
        if (waits && link->until_us - now < least_us)
            least_us = link->until_us - now;
    }
    return least_us > 0 ? (long) (least_us / US_PER_MS) + 1 : 0;
}

/* ---- The list ---- */

static void forget(Link *link)
{
    while (link->queued > 0)
        drop_first(link);
    hang_up(link);
    memset(link, 0, sizeof *link);
}

void link_update(const KeeperNodes *nodes, uint32 lease_ms, LinkAnswer *on_answer)
{
    Link old[MEMBER_MAX];

    memcpy(old, links, sizeof old);
    memset(links, 0, sizeof links);
    answered = on_answer;
    lease_us = (int64) lease_ms * US_PER_MS;
    for (int i = 0; i < nodes->count; i++) {
        links[i].node = nodes->node[i];
        for (int was = 0; was < count; was++)
            if (strcmp(old[was].node.name, nodes->node[i].name) == 0 &&
                strcmp(old[was].node.conninfo, nodes->node[i].conninfo) == 0) {
                links[i] = old[was];
                links[i].node.seqno = nodes->node[i].seqno;
                memset(&old[was], 0, sizeof old[was]);
            }
    }
    for (int was = 0; was < count; was++)
        if (old[was].node.name[0] != '\0')
            forget(&old[was]);
    count = nodes->count;
}

void link_close_all(void)
{
    for (int i = 0; i < count; i++)
        forget(&links[i]);
    count = 0;
}
