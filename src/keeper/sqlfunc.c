/*
 * sqlfunc.c: the functions of the extension, in the sessions of whoever calls them.
 *
 * None of them puts a text together for the parser: names and connection strings are values.
 */
#include "keeper/keeper.h"

#include <access/xact.h>
#include <access/xlog.h>
#include <catalog/pg_type.h>
#include <executor/spi.h>
#include <fmgr.h>
#include <funcapi.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <storage/latch.h>
#include <utils/builtins.h>

#include <libpq-fe.h>

#include <signal.h>

#include "base/str.h"
#include "sys/clock.h"

PG_FUNCTION_INFO_V1(pgkeeper_exchange);
PG_FUNCTION_INFO_V1(pgkeeper_add_node);
PG_FUNCTION_INFO_V1(pgkeeper_del_node_name);
PG_FUNCTION_INFO_V1(pgkeeper_del_node_seqno);
PG_FUNCTION_INFO_V1(pgkeeper_indirect_polling);
PG_FUNCTION_INFO_V1(pgkeeper_indirect_kill);
PG_FUNCTION_INFO_V1(pgkeeper_node_states);

static void need_primary(void)
{
    board_need_primary("Nodes are registered on the primary; the standbys get the table from there.");
    if (pair_is_set())
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("the nodes of this server come from its settings"),
                 errhint("pg_keeper.my_conninfo and pg_keeper.partner_conninfo say who they are. To register "
                         "nodes, set pg_keeper.node_name instead on both servers.")));
}

/* ---- Messages ---- */

/* exchange(message text): what the worker here answers to another node's; NULL: nothing. */
Datum pgkeeper_exchange(PG_FUNCTION_ARGS)
{
    text *message = PG_GETARG_TEXT_PP(0);

    board_need();
    char *answer = board_exchange(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message));
    if (answer == NULL)
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(answer));
}

/* ---- Nodes ---- */

/* The worker reads the table when the change can be seen. */
static void on_commit(XactEvent event, void *arg)
{
    bool *due = arg;

    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
        return;
    if (*due && event == XACT_EVENT_COMMIT)
        board_wake(true);
    *due = false;
}

static void tell_worker(void)
{
    static bool registered, due;

    if (!registered)
        RegisterXactCallback(on_commit, &due);
    registered = due = true;
}

/* One after the other: the first one is the primary, and there is one first. */
static void lock_nodes(void)
{
    SPI_connect();
    if (SPI_execute("LOCK TABLE pgkeeper.node IN SHARE ROW EXCLUSIVE MODE", false, 0) < 0)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the table of nodes could not be locked")));
    SPI_finish();
}

static uint64 change(const char *query, int count, Oid *types, Datum *values)
{
    lock_nodes();
    SPI_connect();
    if (SPI_execute_with_args(query, count, types, values, NULL, false, 0) < 0)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the table of nodes could not be changed")));
    uint64 changed = SPI_processed;
    SPI_finish();
    tell_worker();
    return changed;
}

/* shown: as the session has it */
static void check_other(const char *name, const char *shown, char *other)
{
    char id[MEMBER_NAME_LEN], other_id[MEMBER_NAME_LEN];

    name_make_id(name, id);
    name_make_id(name_from_server(other), other_id);
    if (strcmp(shown, other) == 0)
        ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("node \"%s\" is registered already", shown),
                        errhint("SELECT pgkeeper.del_node(%s) first, if it is somewhere else now.",
                                quote_literal_cstr(shown))));
    if (strcmp(id, other_id) == 0)
        ereport(ERROR,
                (errcode(ERRCODE_DUPLICATE_OBJECT),
                 errmsg("nodes \"%s\" and \"%s\" would have the same name inside, \"%s\"", shown, other, id),
                 errhint("Give one of them another pg_keeper.node_name.")));
}

/* Two that are found at one place: one of them would never answer, and who comes next waits for it. */
static void check_place(const KeeperNode *node, const char *shown, const char *other, const char *conninfo)
{
    KeeperNode there;
    Err err = {0};

    if (nodes_parse(conninfo, &there, &err) && strcmp(there.host, node->host) == 0 &&
        strcmp(there.port, node->port) == 0)
        ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                        errmsg("nodes \"%s\" and \"%s\" have the same host and port", shown, other)));
}

/*
 * How many there are, none of them with this name. Locked first, and with a new snapshot (not "read only"):
 * what others have committed meanwhile counts.
 */
static uint64 others_than(const char *name, const char *shown, const KeeperNode *node)
{
    lock_nodes();
    SPI_connect();
    if (SPI_execute("SELECT name, conninfo FROM pgkeeper.node", false, 0) != SPI_OK_SELECT)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the table of nodes could not be read")));
    for (uint64 i = 0; i < SPI_processed; i++) {
        char *other = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
        check_other(name, shown, other);
        check_place(node, shown, other, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
    }
    uint64 count = SPI_processed;
    SPI_finish();
    return count;
}

static void check_name(const char *name, const char *shown)
{
    if (!name_is_valid(name))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_NAME), errmsg("\"%s\" is not a name that a node can have", shown),
                 errhint("1 to %d bytes of UTF-8 without control characters, as pg_keeper.node_name there.",
                         NODE_NAME_LEN - 1)));
}

/* add_node(node_name text, conninfo text) */
Datum pgkeeper_add_node(PG_FUNCTION_ARGS)
{
    char *shown = text_to_cstring(PG_GETARG_TEXT_PP(0)), *conninfo = text_to_cstring(PG_GETARG_TEXT_PP(1));
    KeeperNode node;
    Err err = {0};

    need_primary();
    char *name = name_from_server(shown), *self = name_to_server(gucs_node_name);
    check_name(name, shown);
    if (!nodes_parse(conninfo, &node, &err))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the connection string of node \"%s\" cannot be used", shown),
                        errdetail("%s", err.text)));
    uint64 count = others_than(name, shown, &node);
    if (count == 0 && strcmp(name, gucs_node_name) != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the first node has to be the primary, \"%s\"", self),
                        errhint("SELECT pgkeeper.add_node(%s, ...) first, here.", quote_literal_cstr(self))));
    if (count >= MEMBER_MAX)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("there are %d nodes, and no more are possible", MEMBER_MAX)));
    Oid types[] = {TEXTOID, TEXTOID};
    Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
    (void) change(
        "INSERT INTO pgkeeper.node (seqno, name, conninfo) SELECT coalesce(pg_catalog.max(seqno), 0) + 1, $1, $2"
        " FROM pgkeeper.node",
        2, types, values);
    PG_RETURN_BOOL(true);
}

static void check_not_self(bool is_self)
{
    if (is_self)
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_IN_USE),
             errmsg("\"%s\" is the primary, and cannot be removed", name_to_server(gucs_node_name)),
             errhint(
                 "Another node has to be the primary first (pgkeeper.switchover); where it is the only node, "
                 "DROP EXTENSION pg_keeper and begin anew.")));
}

/* del_node(node_name text) */
Datum pgkeeper_del_node_name(PG_FUNCTION_ARGS)
{
    Oid types[] = {TEXTOID};
    Datum values[] = {PG_GETARG_DATUM(0)};

    need_primary();
    check_not_self(strcmp(text_to_cstring(PG_GETARG_TEXT_PP(0)), name_to_server(gucs_node_name)) == 0);
    PG_RETURN_BOOL(change("DELETE FROM pgkeeper.node WHERE name = $1", 1, types, values) > 0);
}

/* del_node(seqno integer) */
Datum pgkeeper_del_node_seqno(PG_FUNCTION_ARGS)
{
    Oid types[] = {INT4OID, TEXTOID};
    Datum values[] = {PG_GETARG_DATUM(0),
                      CStringGetTextDatum(gucs_node_name != NULL ? name_to_server(gucs_node_name) : "")};

    need_primary();
    SPI_connect();
    if (SPI_execute_with_args("SELECT 1 FROM pgkeeper.node WHERE seqno = $1 AND name = $2", 2, types, values,
                              NULL, true, 1) < 0)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("the table of nodes could not be read")));
    bool is_self = SPI_processed > 0;
    SPI_finish();
    check_not_self(is_self);
    PG_RETURN_BOOL(change("DELETE FROM pgkeeper.node WHERE seqno = $1", 1, types, values) > 0);
}

/* ---- Polling and signals ---- */

/* Until the socket is ready; false: it is too late. */
static bool wait_socket(PGconn *conn, int event, int64 until_us)
{
    for (;;) {
        int64 left_us = until_us - clock_now().boot_us;
        if (left_us <= 0)
            return false;
        int happened =
            WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | event,
                              PQsocket(conn), (long) (left_us / US_PER_MS) + 1, wait_event(WAIT_POLLING));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if ((happened & event) != 0)
            return true;
    }
}

static bool poll_server(PGconn *conn, int64 until_us)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (!wait_socket(conn, state == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
                         until_us))
            return false;
        state = PQconnectPoll(conn);
    }
    if (state != PGRES_POLLING_OK || PQsendQuery(conn, "SELECT 1") == 0)
        return false;
    while (PQisBusy(conn) != 0)
        if (!wait_socket(conn, WL_SOCKET_READABLE, until_us) || PQconsumeInput(conn) == 0)
            return false;
    PGresult *result = PQgetResult(conn);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    return ok;
}

/*
 * indirect_polling(conninfo text): does that server answer from here, within a lease? For people to ask: who
 * takes over is decided by votes.
 */
Datum pgkeeper_indirect_polling(PG_FUNCTION_ARGS)
{
    char *conninfo = text_to_cstring(PG_GETARG_TEXT_PP(0)), address[64];
    KeeperNode node;
    Err err = {0};
    volatile bool ok = false;

    board_need();
    if (!nodes_parse(conninfo, &node, &err))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the connection string cannot be used"), errdetail("%s", err.text)));
    int64 until_us = clock_now().boot_us + (int64) gucs_lease_ms() * US_PER_MS;
    while (!resolve_address(node.host, address, sizeof address)) {
        if (clock_now().boot_us >= until_us)
            PG_RETURN_BOOL(false);
        (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 50,
                         wait_event(WAIT_POLLING));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    const char *keyword[] = {"dbname", address[0] != '\0' ? "hostaddr" : NULL, NULL};
    const char *value[] = {conninfo, address, NULL};
    PGconn *conn = PQconnectStartParams(keyword, value, 1);
    PG_TRY();
    {
        ok = conn != NULL && poll_server(conn, until_us);
    }
    PG_FINALLY();
    {
        PQfinish(conn);
    }
    PG_END_TRY();
    PG_RETURN_BOOL(ok);
}

/* indirect_kill(signal text) */
Datum pgkeeper_indirect_kill(PG_FUNCTION_ARGS)
{
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    bool reread = strcmp(name, "SIGUSR2") == 0;
    int pid;

    board_need();
    if (!reread && strcmp(name, "SIGUSR1") != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("\"%s\" is no signal for the worker of pg_keeper", name),
                        errhint("SIGUSR1 or SIGUSR2.")));
    PG_RETURN_BOOL(board_worker_pid(&pid) && kill(pid, reread ? SIGUSR2 : SIGUSR1) == 0);
}

/*
 * What a worker that does not move told last is not told as if it were so. But that the server here is closed
 * is known all the same: the deadline tells.
 */
static void correct(BoardView *view)
{
    Clock now = clock_now();
    Fence fence = {0};
    bool closed = !RecoveryInProgress() && !(map_read(&fence, false) && fence_is_open(&fence, &now));
    int64 still_s = board_still_s(&now);

    for (uint32 i = 0; i < view->count; i++) {
        BoardNode *node = &view->node[i];
        char before[BOARD_STATE_LEN];
        str_copy(before, sizeof before, node->state);
        if (closed && strcmp(node->name, gucs_node_name) == 0 && strncmp(before, "primary", 7) == 0)
            snprintf(node->state, sizeof node->state, "closed: it has no lease");
        else if (still_s > 0)
            snprintf(node->state, sizeof node->state,
                     "not known: the worker here has not moved for %lld s; before: %s", (long long) still_s,
                     before);
    }
}

/* node_states(): seqno (null: as the table has it), name, is_master, is_nextmaster, is_sync, state, as the
 * worker here sees them. */
Datum pgkeeper_node_states(PG_FUNCTION_ARGS)
{
    enum { SEQNO, NAME, IS_MASTER, IS_NEXTMASTER, IS_SYNC, STATE, COLUMNS };
    FuncCallContext *context;
    BoardView *view;

    if (SRF_IS_FIRSTCALL()) {
        context = SRF_FIRSTCALL_INIT();
        MemoryContext before = MemoryContextSwitchTo(context->multi_call_memory_ctx);
        view = palloc0(sizeof *view);
        board_view(view);
        if (board_is_there())
            correct(view);
        context->user_fctx = view;
        if (get_call_result_type(fcinfo, NULL, &context->tuple_desc) != TYPEFUNC_COMPOSITE)
            ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                            errmsg("node_states() is not declared as it should be")));
        BlessTupleDesc(context->tuple_desc);
        MemoryContextSwitchTo(before);
    }
    context = SRF_PERCALL_SETUP();
    view = context->user_fctx;
    if (context->call_cntr >= view->count)
        SRF_RETURN_DONE(context);
    BoardNode *node = &view->node[context->call_cntr];
    Datum values[COLUMNS] = {[SEQNO] = Int32GetDatum(node->seqno),
                             [NAME] = CStringGetTextDatum(name_to_server(node->name)),
                             [IS_MASTER] = BoolGetDatum(node->is_primary),
                             [IS_NEXTMASTER] = BoolGetDatum(node->is_next),
                             [IS_SYNC] = BoolGetDatum(node->is_sync),
                             [STATE] = CStringGetTextDatum(name_to_server(node->state))};
    bool nulls[COLUMNS] = {[SEQNO] = node->seqno == 0};
    SRF_RETURN_NEXT(context, HeapTupleGetDatum(heap_form_tuple(context->tuple_desc, values, nulls)));
}
