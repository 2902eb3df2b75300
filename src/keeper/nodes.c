/*
 * nodes.c: the table of nodes, as it is in this server: on a standby the primary's, by replication.
 *
 * It says who shall belong, and where to find him; who belongs is in the document.
 */
#include "keeper/keeper.h"

#include <access/xact.h>
#include <executor/spi.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>

#include <signal.h>

#include "base/str.h"
#include "sys/log.h"

#define NODES_QUERY "SELECT seqno::text, name, conninfo FROM pgkeeper.node ORDER BY seqno LIMIT 9"
/*
 * The extension's own table, of a superuser: this worker is one, and whatever else bears that name could be a
 * view with a function in it, made by anybody who may make a schema.
 */
#define TABLE_QUERY                                                                                          \
    "SELECT c.oid FROM pg_catalog.pg_class c"                                                                \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                              \
    " JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"                 \
    " AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'"                                            \
    " AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"                                     \
    " JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_keeper'"                      \
    " JOIN pg_catalog.pg_authid r ON r.oid = c.relowner AND r.rolsuper"                                      \
    " WHERE n.nspname = 'pgkeeper' AND c.relname = 'node' AND c.relkind = 'r'"

/* Not by pending_restart, which stays when the file is as it was again. One that was taken out is in the
 * error only. */
#define PENDING_QUERY                                                                                        \
    "SELECT string_agg(s.name, ', ' ORDER BY s.name) FROM pg_catalog.pg_settings s"                          \
    " WHERE s.context = 'postmaster' AND s.name LIKE 'pg\\_keeper.%' AND EXISTS"                             \
    " (SELECT FROM pg_catalog.pg_file_settings f WHERE f.error IS NOT NULL"                                  \
    " AND (f.name = s.name OR (f.name IS NULL AND strpos(f.error, s.name) > 0)))"

static bool pending_due = true; /* a worker before this one may have known of some */
static char pending[300];

void nodes_look_pending(void)
{
    pending_due = true;
}

const char *nodes_pending(void)
{
    return pending;
}

bool nodes_elect(const KeeperNodes *nodes)
{
    return nodes_can_elect(nodes, gucs_prefer == PREFER_STANDBY);
}

/* What the row says; false, with the reason, if that is no node. */
static bool read_row(HeapTuple row, TupleDesc columns, const KeeperNodes *nodes, KeeperNode *node, Err *err)
{
    char *seqno = SPI_getvalue(row, columns, 1), *name = SPI_getvalue(row, columns, 2),
         *conninfo = SPI_getvalue(row, columns, 3);

    name = name != NULL ? name_from_server(name) : NULL;
    node->seqno = seqno != NULL ? atoi(seqno) : 0;
    if (seqno == NULL || name == NULL || conninfo == NULL || !name_is_valid(name))
        return err_set(err, ERR_CONFIG, "it has no name that a node can have");
    str_copy(node->name, sizeof node->name, name);
    name_make_id(name, node->id);
    if (nodes_find(nodes, node->id) >= 0)
        return err_set(err, ERR_CONFIG, "inside it would be called %s, as another one is", node->id);
    return nodes_parse(conninfo, node, err);
}

static void read_rows(KeeperNodes *nodes)
{
    static LogLimit limit[MEMBER_MAX];

    for (uint64 i = 0; i < SPI_processed && nodes->count < MEMBER_MAX; i++) {
        KeeperNode *node = &nodes->node[nodes->count];
        Err err = {0};

        memset(node, 0, sizeof *node);
        if (read_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, nodes, node, &err)) {
            nodes->count++;
            continue;
        }
        nodes->left_out_seqno = nodes->left_out++ == 0 ? node->seqno : nodes->left_out_seqno;
        nodes->self_left_out = nodes->self_left_out || strcmp(node->name, gucs_node_name) == 0;
        log_limited(&limit[i], LOG_LEVEL_WARN, "node_left_out", "node=\"%s\" reason=\"%s\"", node->name,
                    err.text);
        memset(node, 0, sizeof *node);
    }
}

static Oid find_table(void)
{
    bool is_null = true;

    if (SPI_execute(TABLE_QUERY, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
        return InvalidOid;
    Datum oid = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    return is_null ? InvalidOid : DatumGetObjectId(oid);
}

static KeeperNodes loaded;

/* Found, locked and found again: the name cannot come to mean another one before it is read. */
static void query(void)
{
    KeeperNodes *nodes = &loaded;

    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    Oid table = find_table();
    if (OidIsValid(table)) {
        LockRelationOid(table, AccessShareLock);
        PopActiveSnapshot();
        PushActiveSnapshot(GetLatestSnapshot());
        Oid again = find_table();
        if (OidIsValid(again) && again != table)
            ereport(ERROR, (errmsg("the table of nodes was replaced while it was read")));
        nodes->there = OidIsValid(again);
        if (nodes->there && SPI_execute(NODES_QUERY, true, MEMBER_MAX) == SPI_OK_SELECT)
            read_rows(nodes);
    }
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
}

static volatile sig_atomic_t can_be_cancelled;

void nodes_cancel(int number)
{
    if (can_be_cancelled)
        StatementCancelHandler(number);
}

/* What the transaction leaves is as before it, also when it fails. */
bool nodes_try(void (*transaction)(void), Err *err)
{
    MemoryContext context = CurrentMemoryContext;
    volatile bool ok = true;

    can_be_cancelled = 1;
    PG_TRY();
    {
        transaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *error = CopyErrorData();
        HOLD_INTERRUPTS();
        AbortCurrentTransaction();
        FlushErrorState();
        RESUME_INTERRUPTS();
        ok = err_set(err, ERR_PG, "%.300s", error->message);
        FreeErrorData(error);
    }
    PG_END_TRY();
    can_be_cancelled = 0;
    QueryCancelPending = false; /* it came too late, and would end the worker at its next rest */
    MemoryContextSwitchTo(context);
    return ok;
}

static void query_pending(void)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    if (SPI_execute(PENDING_QUERY, true, 1) == SPI_OK_SELECT && SPI_processed == 1) {
        const char *names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
        str_copy(pending, sizeof pending, names != NULL ? names : "");
    }
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
}

/* Apart from the table, which is not to depend on it; what fails is not tried again before the next reload.
 */
static void read_pending(void)
{
    static LogLimit limit;
    Err err = {0};

    if (pending_due && !nodes_try(query_pending, &err))
        log_limited(
            &limit, LOG_LEVEL_WARN, "pending_unknown",
            "reason=\"%s\" whether a setting waits for a restart is not known; reload the configuration "
            "to have it looked at again",
            err.text);
    pending_due = false;
}

bool nodes_load(KeeperNodes *ret_nodes, Err *err)
{
    memset(&loaded, 0, sizeof loaded);
    if (!nodes_try(query, err))
        return false;
    if (pair_is_set())
        pair_replace(&loaded);
    read_pending();
    *ret_nodes = loaded;
    return true;
}
