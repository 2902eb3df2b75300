/*
 * clustermon_lock.c: two programs that decide at the same moment must not downgrade both primaries.
 *
 * Each takes a lock on both servers first, shared on the one that is kept, alone on its own, in the order of
 * the file. Who is kept can take the second of these no more, and so stays. The locks go with their
 * connections, whatever becomes of the program.
 */
#include "front/clustermon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One database for all, since such locks are of a database: everybody's configuration may name another one.
 */
#define DATABASE "postgres"
#define KEYS     "1885828969, 1818" /* "pgvi", and a number of ours */
#define SHARED   "SELECT NOT pg_is_in_recovery() AND pg_try_advisory_lock_shared(" KEYS ")"
#define ALONE    "SELECT pg_try_advisory_lock(" KEYS ")"

struct ClustermonLock {
    Clustermon *cm;
    int primary;
    bool both;
    Conn *there, *here;
    ConnParam params[2][CONN_PARAMS_MAX]; /* of there, of here: they have to stay until the connect is over */
    void (*on_end)(Clustermon *cm, const char *failed);
};

static void lock_here(ClustermonLock *lock);
static void lock_there(ClustermonLock *lock);

static bool is_first(const ClustermonLock *lock)
{
    return lock->cm->config->own < lock->primary;
}

static bool got(const ConnReply *reply)
{
    return reply->ok && conn_value(reply->result, 0)[0] == 't';
}

static void end_by(ClustermonLock *lock, const char *what, const ConnReply *reply)
{
    char text[300], reason[250];

    snprintf(text, sizeof text, "%.40s: %.240s", what,
             mask_text(&lock->cm->mask, reply->err.text, reason, sizeof reason));
    lock->on_end(lock->cm, text);
}

/* Connects with all that the node's string says, but to the database that the locks are in. */
static void connect_to(ClustermonLock *lock, Conn *conn, int node, ConnFn *on_connected)
{
    ConnTarget target = dsn_target(lock->cm->peer[node]->dsn, 0);
    ConnParam *params = lock->params[conn == lock->here];
    size_t count = 0;

    for (size_t i = 0; i < target.param_count; i++)
        if (strcmp(target.params[i].keyword, "dbname") != 0)
            params[count++] = target.params[i];
    target.params = params;
    target.param_count = count;
    target.database = DATABASE;
    conn_connect(conn, &target, CLUSTERMON_POLL_MS, on_connected, lock);
}

static void on_here(void *arg, const ConnReply *reply)
{
    ClustermonLock *lock = arg;

    if (!reply->ok)
        end_by(lock, "lock on the local server", reply);
    else if (!got(reply))
        lock->on_end(lock->cm, "another node is becoming a standby of the local server");
    else if (is_first(lock))
        lock_there(lock);
    else
        lock->on_end(lock->cm, NULL);
}

static void on_here_connected(void *arg, const ConnReply *reply)
{
    ClustermonLock *lock = arg;

    if (reply->ok)
        conn_query(lock->here, ALONE, CLUSTERMON_POLL_MS, on_here, lock);
    else
        on_here(lock, reply);
}

static void lock_here(ClustermonLock *lock)
{
    connect_to(lock, lock->here, lock->cm->config->own, on_here_connected);
}

static void on_there(void *arg, const ConnReply *reply)
{
    ClustermonLock *lock = arg;

    if (!reply->ok)
        end_by(lock, "lock on the primary", reply);
    else if (!got(reply))
        lock->on_end(lock->cm, "the other server is becoming a standby itself, or is no primary any more");
    else if (lock->both && !is_first(lock))
        lock_here(lock);
    else
        lock->on_end(lock->cm, NULL);
}

static void on_there_connected(void *arg, const ConnReply *reply)
{
    ClustermonLock *lock = arg;

    if (reply->ok)
        conn_query(lock->there, SHARED, CLUSTERMON_POLL_MS, on_there, lock);
    else
        on_there(lock, reply);
}

static void lock_there(ClustermonLock *lock)
{
    connect_to(lock, lock->there, lock->primary, on_there_connected);
}

ClustermonLock *clustermon_lock_take(Clustermon *cm, int primary, bool both,
                                     void (*on_end)(Clustermon *cm, const char *failed))
{
    ClustermonLock *lock = calloc(1, sizeof *lock);

    if (lock == NULL)
        abort();
    *lock = (ClustermonLock){.cm = cm,
                             .primary = primary,
                             .both = both,
                             .on_end = on_end,
                             .there = conn_new(&cm->loop),
                             .here = conn_new(&cm->loop)};
    if (both && is_first(lock))
        lock_here(lock);
    else
        lock_there(lock);
    return lock;
}

Conn *clustermon_lock_conn(const ClustermonLock *lock)
{
    return lock->there;
}

void clustermon_lock_free(ClustermonLock *lock)
{
    if (lock == NULL)
        return;
    conn_free(lock->there);
    conn_free(lock->here);
    free(lock);
}
