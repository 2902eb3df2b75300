/*
 * switch.c: see switch.h. The session waits for its latch, the worker for nobody.
 *
 * One order at a time, handed to and fro by its state alone, as messages are (board.c).
 */
#include "keeper/switch.h"

#include <access/xact.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <port/atomics.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/shmem.h>
#include <utils/builtins.h>

#include "base/str.h"

#define TEXT_LEN     300
#define WAIT_MOST_MS 1000L

PG_FUNCTION_INFO_V1(pgkeeper_switchover);

typedef enum OrderState {
    ORDER_FREE = 0,
    ORDER_CLAIMED, /* a session writes it */
    ORDER_GIVEN,   /* the worker has not seen it */
    ORDER_TAKEN,   /* the worker carries it out */
    ORDER_ENDED,   /* the session reads what became of it */
    ORDER_LEFT,    /* taken, and nobody waits any more */
} OrderState;

typedef struct Order {
    pg_atomic_uint32 state;
    Latch *session;
    int sqlstate;
    char id[MEMBER_NAME_LEN];
    char text[TEXT_LEN];
} Order;

static Order *order;
static uint32 token_of; /* the worker's, of the order that it carries out; 0: none */

Size switch_size(void)
{
    return sizeof(Order);
}

void switch_startup(void)
{
    bool found;

    order = ShmemInitStruct("pg_keeper switchover", sizeof(Order), &found);
    if (!found)
        pg_atomic_init_u32(&order->state, ORDER_FREE);
}

static bool move_on(OrderState from, OrderState to)
{
    uint32 expected = from;

    return pg_atomic_compare_exchange_u32(&order->state, &expected, to);
}

/* ---- The worker ---- */

/* sqlstate 0: it is done. */
static void end(int sqlstate, const char *text)
{
    Latch *session = order->session;

    token_of = 0;
    order->sqlstate = sqlstate;
    str_copy(order->text, sizeof order->text, tell_words(text));
    pg_write_barrier();
    if (move_on(ORDER_TAKEN, ORDER_ENDED))
        SetLatch(session);
    else
        (void) move_on(ORDER_LEFT, ORDER_FREE);
}

void switch_attach(void)
{
    uint32 state = pg_atomic_read_u32(&order->state);

    if (state == ORDER_TAKEN || state == ORDER_LEFT)
        end(ERRCODE_OPERATOR_INTERVENTION, "the worker was restarted meanwhile");
}

bool switch_due(const Core *core, const KeeperNodes *nodes, uint32 token, char *ret_id)
{
    if (!move_on(ORDER_GIVEN, ORDER_TAKEN))
        return false;
    str_copy(ret_id, MEMBER_NAME_LEN, order->id);
    if (nodes_find(nodes, ret_id) < 0)
        end(ERRCODE_UNDEFINED_OBJECT, "no node of that name is registered");
    else if (core == NULL || document_find(&core->persist.doc, ret_id) == MEMBER_NONE)
        end(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "it has no vote yet: that takes a third node or pg_keeper.prefer = standby, and that it streams from "
            "the primary");
    else
        token_of = token;
    return token_of != 0;
}

bool switch_refused(uint32 token, const char *why)
{
    bool mine = token_of != 0 && token == token_of;

    if (mine)
        end(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, why);
    return mine;
}

void switch_look(const Core *core)
{
    const Op *op = core != NULL ? &core->op : NULL;
    bool known = op != NULL && op->id == token_of;

    if (token_of == 0 || (known && op->state == OP_RUNNING))
        return;
    if (known && op->state == OP_DONE)
        end(0, op->text);
    else
        end(ERRCODE_OPERATOR_INTERVENTION, known ? op->text : "something else was done meanwhile");
}

/* ---- A session ---- */

/* Whatever becomes of the session, the order does not stay with it. What the worker has taken goes on. */
static void leave(int code, Datum arg)
{
    (void) code;
    (void) arg;
    if (!move_on(ORDER_GIVEN, ORDER_FREE) && !move_on(ORDER_TAKEN, ORDER_LEFT))
        pg_atomic_write_u32(&order->state, ORDER_FREE);
}

/* Whether it can be called, with that name; ret_id: what the node is called inside. */
static void check(const char *name, char *ret_id)
{
    char *text = name_from_server(pstrdup(name));

    board_need_primary("The primary hands over: call it there; pgkeeper.node_info tells who that is.");
    if (!name_is_valid(text))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("no node of that name is registered")));
    name_make_id(text, ret_id);
    if (strcmp(ret_id, gucs_node_id) == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("\"%s\" is the primary already", name)));
    /* What it has written could never commit here. */
    if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
        ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
                        errmsg("switchover() cannot be called by a transaction that has written something"),
                        errhint("Call it by itself: SELECT pgkeeper.switchover(...).")));
}

static void wait_end(void)
{
    while (pg_atomic_read_u32(&order->state) != ORDER_ENDED) {
        (void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_MOST_MS,
                         wait_event(WAIT_SWITCHOVER));
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    pg_read_barrier();
}

/* switchover(node text): hands the primary's role over, and returns who has it when that is done. */
Datum pgkeeper_switchover(PG_FUNCTION_ARGS)
{
    char *name = text_to_cstring(PG_GETARG_TEXT_PP(0)), text[TEXT_LEN] = "", id[MEMBER_NAME_LEN];
    volatile int sqlstate = 0;
    int pid;

    check(name, id);
    if (!board_worker_pid(&pid))
        ereport(ERROR, (errcode(ERRCODE_CANNOT_CONNECT_NOW), errmsg("the worker of pg_keeper does not run"),
                        errhint("The server's log says why.")));
    if (!move_on(ORDER_FREE, ORDER_CLAIMED))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a switchover is under way"),
                        errhint("pgkeeper.node_info shows what becomes of it.")));
    str_copy(order->id, sizeof order->id, id);
    order->session = MyLatch;
    PG_ENSURE_ERROR_CLEANUP(leave, (Datum) 0);
    {
        pg_write_barrier();
        pg_atomic_write_u32(&order->state, ORDER_GIVEN);
        board_wake(false);
        wait_end();
        sqlstate = order->sqlstate;
        str_copy(text, sizeof text, order->text);
    }
    PG_END_ENSURE_ERROR_CLEANUP(leave, (Datum) 0);
    leave(0, (Datum) 0);
    if (sqlstate != 0)
        ereport(ERROR, (errcode(sqlstate), errmsg("\"%s\" has not become the primary", name),
                        errdetail("%s.", name_to_server(text)),
                        errhint("pgkeeper.node_info, or pgvigil status --dsn, shows how the nodes are.")));
    PG_RETURN_TEXT_P(cstring_to_text(name));
}
