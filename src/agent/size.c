/*
 * size.c: how large this server's databases are, for the choice between two primaries that have the same WAL.
 *
 * Asked for only while there are two and no document, once a minute, on a connection of its own: on a big
 * server it takes long, and nothing else may wait for it.
 */
#include "agent/internal.h"

#include "pg/conn.h"
#include "sys/log.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_EVERY_US   (60 * US_PER_SEC)
#define SIZE_CONNECT_MS 5000
#define SIZE_QUERY_MS   60000
#define SIZE_QUERY                                                                                           \
    "SELECT pg_catalog.sum(pg_catalog.pg_database_size(oid))::bigint FROM pg_catalog.pg_database"

static void on_size(void *arg, const ConnReply *reply)
{
    Agent *agent = arg;

    if (reply->ok && reply->result != NULL)
        agent->size = strtoull(conn_value(reply->result, 0), NULL, 10);
    else
        log_line(LOG_LEVEL_WARN, "size_unknown", "reason=\"%s\"", reply->err.text);
    conn_close(agent->size_conn);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    Agent *agent = arg;

    if (reply->ok)
        conn_query(agent->size_conn, SIZE_QUERY, SIZE_QUERY_MS, on_size, agent);
    else
        log_line(LOG_LEVEL_WARN, "size_unknown", "reason=\"%s\"", reply->err.text);
}

uint64_t size_observe(Agent *agent, const PgStatus *status)
{
    const Core *core = &agent->core;
    ConnTarget target = {
        .host = status->socket_directory,
        .port = status->port,
        .user = agent->config->postgresql.user,
        .database = agent->config->postgresql.database,
        .passfile = agent->config->postgresql.passfile,
    };
    bool wanted = core->persist.doc.epoch == 0 && core_primaries(core) != 0 &&
                  status->state == SERVER_PRIMARY && target.host[0] != '\0' && target.port != 0;

    if (status->state != SERVER_PRIMARY)
        agent->size = 0;
    bool due = agent->size_asked_us == 0 || core->now.boot_us - agent->size_asked_us >= SIZE_EVERY_US;
    if (!wanted || !due || (agent->size_conn != NULL && conn_is_busy(agent->size_conn)))
        return agent->size;
    if (agent->size_conn == NULL)
        agent->size_conn = conn_new(&agent->loop);
    agent->size_asked_us = core->now.boot_us;
    conn_connect(agent->size_conn, &target, SIZE_CONNECT_MS, on_connected, agent);
    return agent->size;
}

void size_done(Agent *agent)
{
    conn_free(agent->size_conn);
    agent->size_conn = NULL;
}
