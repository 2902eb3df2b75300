/*
 * streaming.c: why this standby does not stream.
 *
 * The walreceiver says so in the server's log only: while it fails there is no row of it to read. So the
 * agent makes the same connection itself, to the same server, as the same role and with the same password,
 * and keeps what became of it.
 */
#include "agent/internal.h"
#include "base/str.h"
#include "pg/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_EVERY_US   (5 * US_PER_SEC)
#define TRY_TIMEOUT_MS 3000
#define LATE_US        (2 * US_PER_SEC) /* a walreceiver that can stream does within tenths of a second */

typedef struct Streaming {
    Agent *agent;
    LoopTimer timer;
    Conn *conn;
    char primary[MEMBER_NAME_LEN]; /* that is tried */
    char problem[STREAMING_PROBLEM_LEN];
} Streaming;

/* Where the walreceiver connects to, or NULL: there is nothing to find out. */
static const ConfigMember *find_primary(const Agent *agent)
{
    const FactSet wanted =
        FACT_BIT(LEADER_KNOWN) | FACT_BIT(PRIMARY_READY) | FACT_BIT(PG_STANDBY) | FACT_BIT(FOLLOWS);
    const Core *core = &agent->core;
    int index = agent_member_index(agent, core->persist.doc.primary);

    if ((core->facts & (wanted | FACT_BIT(STREAMS))) != wanted || index < 0 ||
        core->now.boot_us - core->stream_at.boot_us < LATE_US)
        return NULL;
    return &agent->config->member[index];
}

/* While it is stopped to be looked into, what was found out stays true. */
static bool is_past(const Core *core)
{
    return core->pg.streaming || core->leader == MEMBER_NONE || core->persist.doc.primary == core->self;
}

static void on_tried(void *arg, const ConnReply *reply)
{
    Streaming *streaming = arg;
    const char *user = streaming->agent->config->postgresql.replication_user;

    streaming->problem[0] = '\0';
    if (!reply->ok)
        snprintf(
            streaming->problem, sizeof streaming->problem,
            "no replication connection to %s as %s: %.200s; pgvigil check, on this machine, says the cure",
            streaming->primary, user, reply->err.text);
    conn_close(streaming->conn);
}

static void on_time(void *arg)
{
    Streaming *streaming = arg;
    const Config *config = streaming->agent->config;
    const ConfigMember *primary = find_primary(streaming->agent);

    if (is_past(&streaming->agent->core))
        streaming->problem[0] = '\0';
    if (primary == NULL || conn_is_busy(streaming->conn))
        return;
    ConnTarget target = {.host = primary->host,
                         .port = (uint16_t) primary->port,
                         .user = config->postgresql.replication_user,
                         .database = "replication", /* as the passfile has it */
                         .passfile = config->postgresql.passfile,
                         .replication = true};
    str_copy(streaming->primary, sizeof streaming->primary, primary->name);
    conn_connect(streaming->conn, &target, TRY_TIMEOUT_MS, on_tried, streaming);
}

void streaming_start(Agent *agent)
{
    Streaming *streaming = calloc(1, sizeof *streaming);

    if (streaming == NULL)
        abort();
    streaming->agent = agent;
    streaming->conn = conn_new(&agent->loop);
    loop_timer_init(&streaming->timer, &agent->loop, on_time, streaming);
    loop_timer_start(&streaming->timer, TRY_EVERY_US, TRY_EVERY_US);
    agent->streaming = streaming;
}

const char *streaming_problem(const Agent *agent)
{
    const Streaming *streaming = agent->streaming;

    return streaming != NULL && !is_past(&agent->core) ? streaming->problem : "";
}

void streaming_done(Agent *agent)
{
    Streaming *streaming = agent->streaming;

    if (streaming == NULL)
        return;
    loop_timer_done(&streaming->timer);
    conn_free(streaming->conn);
    free(streaming);
    agent->streaming = NULL;
}
