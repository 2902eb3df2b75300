/*
 * clustermon_poll.c: asks each node over a connection that stays, all at once; sizes only once a minute.
 */
#include "front/clustermon.h"

#include "sys/clock.h"
#include "sys/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZES_US (60 * US_PER_SEC)

#define SETUP                                                                                                \
    "SET search_path = pg_catalog; SET statement_timeout = 5000; SET lock_timeout = 5000; SET synchronous_commit = local"

/*
 * PostgreSQL 12 and later. A standby that streams nothing any more has what it replayed, and is on the
 * timeline of its newest WAL: its control file tells that of its last restartpoint.
 */
#define QUERY                                                                                                \
    "SELECT r.rec,"                                                                                          \
    " CASE WHEN r.rec THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"                    \
    " ELSE pg_current_wal_flush_lsn() END,"                                                                  \
    " CASE WHEN r.rec THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),"                        \
    " greatest(c.timeline_id, (SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) FROM pg_ls_waldir()"    \
    " WHERE name ~ '^[0-9A-F]{24}$')))"                                                                      \
    " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,"                  \
    " s.system_identifier, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,"                       \
    " current_setting('synchronous_standby_names'), current_setting('primary_conninfo'),"                    \
    " current_setting('primary_slot_name'), (SELECT count(*) FROM pg_replication_slots),"                    \
    " (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'),"                                 \
    " (SELECT status FROM pg_stat_wal_receiver),"                                                            \
    " (SELECT (extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000000)::bigint"             \
    " FROM pg_stat_wal_receiver WHERE status = 'streaming'), pg_last_wal_receive_lsn(),"                     \
    " pg_size_bytes(current_setting('wal_segment_size'))"                                                    \
    " FROM (SELECT pg_is_in_recovery() AS rec OFFSET 0) r, pg_control_checkpoint() c, pg_control_system() s"

enum {
    COL_RECOVERY,
    COL_LSN,
    COL_TIMELINE,
    COL_SYSTEM,
    COL_TIME,
    COL_NAMES,
    COL_CONNINFO,
    COL_SLOT,
    COL_SLOTS,
    COL_STREAMING,
    COL_RECEIVER,
    COL_HEARD,
    COL_RECEIVED,
    COL_SEGMENT
};

static const char *name_of(const ClustermonPeer *peer)
{
    return peer->cm->config->server[peer->index].name;
}

static void end(ClustermonPeer *peer)
{
    peer->asking = false;
    peer->node.polled = true;
    clustermon_look_answered(peer->cm);
}

/*
 * A server that says no, because it is full or by pg_hba.conf, takes connections all the same; one that
 * starts or stops does not.
 */
static bool is_refusal(const ConnReply *reply)
{
    return reply != NULL && (reply->sqlstate[0] != '\0' || reply->needs_password) &&
           strncmp(reply->sqlstate, "57P", 3) != 0;
}

static void fail(ClustermonPeer *peer, const Err *err, const ConnReply *reply)
{
    char reason[sizeof peer->problem], text[2 * sizeof reason];

    mask_text(&peer->cm->mask, err->text, reason, sizeof reason);
    conn_close(peer->conn);
    if (peer->node.connected || strcmp(reason, peer->problem) != 0)
        log_line(LOG_LEVEL_WARN, "node_lost", "node=%s reason=%s", name_of(peer),
                 log_quote(reason, text, sizeof text));
    str_copy(peer->problem, sizeof peer->problem, reason);
    peer->node.connected = false;
    peer->node.refuses = is_refusal(reply);
    end(peer);
}

static void take(ClustermonPeer *peer, const PGresult *row)
{
    ClustermonNode *node = &peer->node;
    ClustermonNode before = *node;

    node->connected = true;
    node->refuses = false;
    node->in_recovery = conn_value(row, COL_RECOVERY)[0] == 't';
    node->position = LSN_NONE;
    lsn_parse(conn_value(row, COL_LSN), &node->position);
    node->timeline = (uint32_t) strtoul(conn_value(row, COL_TIMELINE), NULL, 10);
    node->system_identifier = strtoull(conn_value(row, COL_SYSTEM), NULL, 10);
    const char *heard = conn_value(row, COL_HEARD);
    node->heard_us = heard[0] != '\0' ? strtoll(heard, NULL, 10) : -1;
    if (node->heard_us < 0 && heard[0] != '\0')
        node->heard_us = 0; /* its clock was set back since */
    node->bytes = peer->is_sized ? peer->sizes.database_bytes : -1;
    peer->version = conn_server_version(peer->conn);
    peer->answered_wall_us = clock_now().wall_us;
    peer->server_wall_us = strtoll(conn_value(row, COL_TIME), NULL, 10);
    str_copy(peer->names, sizeof peer->names, conn_value(row, COL_NAMES));
    str_copy(peer->conninfo, sizeof peer->conninfo, conn_value(row, COL_CONNINFO));
    str_copy(peer->slot, sizeof peer->slot, conn_value(row, COL_SLOT));
    str_copy(peer->receiver, sizeof peer->receiver, conn_value(row, COL_RECEIVER));
    str_copy(peer->received, sizeof peer->received, conn_value(row, COL_RECEIVED));
    peer->segment_size = (uint32_t) strtoul(conn_value(row, COL_SEGMENT), NULL, 10);
    peer->slots = strtoll(conn_value(row, COL_SLOTS), NULL, 10);
    peer->streaming = strtoll(conn_value(row, COL_STREAMING), NULL, 10);
    peer->problem[0] = '\0';
    if (!before.connected || before.in_recovery != node->in_recovery)
        log_line(LOG_LEVEL_INFO, "node", "node=%s role=%s timeline=%u", name_of(peer),
                 node->in_recovery ? "standby" : "primary", node->timeline);
}

/* A failure leaves what was known. */
static void on_sizes(void *arg, const ConnReply *reply)
{
    ClustermonPeer *peer = arg;
    char reason[sizeof reply->err.text], text[2 * sizeof reason];

    if (reply->ok) {
        peer->sizes = sizes_read(reply->result);
        peer->sizes.primary_conninfo = NULL;
    } else {
        log_line(
            LOG_LEVEL_WARN, "sizes_unknown", "node=%s reason=%s", name_of(peer),
            log_quote(mask_text(&peer->cm->mask, reply->err.text, reason, sizeof reason), text, sizeof text));
    }
    peer->is_sized = peer->is_sized || reply->ok;
    conn_close(peer->size_conn);
}

static void on_size_connected(void *arg, const ConnReply *reply)
{
    ClustermonPeer *peer = arg;

    if (reply->ok)
        conn_query(peer->size_conn, SIZES_QUERY, SIZES_STATEMENT_MS + CLUSTERMON_POLL_MS, on_sizes, peer);
    else
        on_sizes(peer, reply);
}

/* Slow on a big server: over a connection of its own, beside the polls. */
static void ask_sizes(ClustermonPeer *peer)
{
    int64_t now_us = clock_now().boot_us;

    if (conn_is_busy(peer->size_conn) || (peer->sized_us != 0 && now_us - peer->sized_us < SIZES_US))
        return;
    peer->sized_us = now_us;
    ConnTarget target = dsn_target(peer->dsn, 0);
    conn_connect(peer->size_conn, &target, CLUSTERMON_POLL_MS, on_size_connected, peer);
}

static void on_row(void *arg, const ConnReply *reply)
{
    ClustermonPeer *peer = arg;

    if (!reply->ok) {
        fail(peer, &reply->err, reply);
        return;
    }
    take(peer, reply->result);
    ask_sizes(peer);
    end(peer);
}

static void ask(ClustermonPeer *peer)
{
    conn_query(peer->conn, QUERY, CLUSTERMON_POLL_MS, on_row, peer);
}

static void on_set_up(void *arg, const ConnReply *reply)
{
    ClustermonPeer *peer = arg;

    if (reply->ok)
        ask(peer);
    else
        fail(peer, &reply->err, reply);
}

static void on_connected(void *arg, const ConnReply *reply)
{
    ClustermonPeer *peer = arg;
    Err err = {0};

    if (!reply->ok) {
        fail(peer, &reply->err, reply);
    } else if (conn_server_version(peer->conn) < 120000) {
        err_set(&err, ERR_PG, "PostgreSQL 12 or later is needed, and it is %u",
                (unsigned) conn_server_version(peer->conn) / 10000);
        fail(peer, &err, NULL);
    } else {
        conn_query(peer->conn, SETUP, CLUSTERMON_POLL_MS, on_set_up, peer);
    }
}

void clustermon_poll_ask(ClustermonPeer *peer)
{
    if (peer->asking)
        return;
    peer->asking = true;
    peer->cm->pending++;
    if (conn_is_connected(peer->conn)) {
        ask(peer);
        return;
    }
    ConnTarget target = dsn_target(peer->dsn, 0);
    conn_connect(peer->conn, &target, CLUSTERMON_POLL_MS, on_connected, peer);
}

bool clustermon_poll_is_standby(const ClustermonPeer *peer)
{
    return peer->node.connected && peer->node.in_recovery;
}

bool clustermon_poll_streams(const ClustermonPeer *peer)
{
    return strcmp(peer->receiver, "streaming") == 0;
}

void clustermon_poll_new(Clustermon *cm)
{
    Err err = {0};

    for (int i = 0; i < cm->config->servers; i++) {
        ClustermonPeer *peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            abort();
        *peer = (ClustermonPeer){
            .cm = cm, .index = i, .conn = conn_new(&cm->loop), .size_conn = conn_new(&cm->loop)};
        peer->dsn = dsn_parse(cm->config->server[i].conninfo, &err); /* it was, when the file was read */
        if (peer->dsn == NULL)
            abort();
        peer->node.bytes = peer->node.heard_us = -1;
        cm->peer[i] = peer;
    }
}

void clustermon_poll_done(Clustermon *cm)
{
    for (int i = 0; i < cm->config->servers; i++) {
        conn_free(cm->peer[i]->conn);
        conn_free(cm->peer[i]->size_conn);
        dsn_free(cm->peer[i]->dsn);
        explicit_bzero(cm->peer[i], sizeof *cm->peer[i]);
        free(cm->peer[i]);
    }
}
