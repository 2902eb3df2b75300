/*
 * hooks.c: the hooks on statements: what the checks around a commit do not see, and who reads after a crash.
 */
#include "ext/ext.h"

#include <access/xact.h>
#include <access/xlog.h>
#include <executor/executor.h>
#include <fmgr.h>
#include <tcop/utility.h>

static ProcessUtility_hook_type next_utility;
static ExecutorStart_hook_type next_start;

/* The end of a prepared transaction: a commit record without a transaction number of its own. */
static bool ends_prepared(const Node *statement)
{
    if (!IsA(statement, TransactionStmt) || RecoveryInProgress())
        return false;
    TransactionStmtKind kind = ((const TransactionStmt *) statement)->kind;
    return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

/* What removes or moves files before it commits: refused then, it would leave a wreck. */
static bool cannot_be_undone(const Node *statement)
{
    switch (nodeTag(statement)) {
    case T_CreatedbStmt:
    case T_DropdbStmt:
    case T_AlterDatabaseStmt:
    case T_CreateTableSpaceStmt:
    case T_DropTableSpaceStmt: return !RecoveryInProgress();
    default: return false;
    }
}

static void on_utility(VERSION_UTILITY_PARAMETERS)
{
    const Node *statement = plan->utilityStmt;
    bool prepared = ends_prepared(statement);

    if (!IsA(statement, TransactionStmt))
        confirm_wait(plan);
    if (prepared)
        check_begin();
    else if (cannot_be_undone(statement))
        check_open();
    if (next_utility != NULL)
        next_utility(VERSION_UTILITY_ARGUMENTS);
    else
        standard_ProcessUtility(VERSION_UTILITY_ARGUMENTS);
    if (prepared)
        check_end(XactLastRecEnd);
}

static void on_start(QueryDesc *query, int flags)
{
    confirm_wait(query->plannedstmt);
    if (next_start != NULL)
        next_start(query, flags);
    else
        standard_ExecutorStart(query, flags);
}

void hooks_claim(const char *module)
{
    const char **owner = (const char **) find_rendezvous_variable("pgvigil fence");

    if (*owner != NULL)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("%s and %s cannot be loaded into one server", *owner, module),
                        errdetail("Each of them decides who is the primary, and fences the other's."),
                        errhint("Leave one of them in shared_preload_libraries.")));
    *owner = module;
}

void hooks_init(void)
{
    next_utility = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
    next_start = ExecutorStart_hook;
    ExecutorStart_hook = on_start;
}
