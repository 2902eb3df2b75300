/*
 * pair.c: the form of 1.0: my_conninfo and partner_conninfo on two servers, in the place of names and table.
 *
 * A node's name is made of host and port, so that both servers call it the same. The extension is still what
 * they talk through: the primary makes it.
 */
#include "keeper/keeper.h"

#include <access/xact.h>
#include <access/xlog.h>
#include <executor/spi.h>
#include <utils/guc.h>
#include <utils/snapmgr.h>

#include <string.h>

#include "sys/log.h"

static KeeperNode mine, partner;

bool pair_is_set(void)
{
    return mine.name[0] != '\0';
}

static void take(const char *setting, const char *conninfo, KeeperNode *node)
{
    Err err = {0};

    if (!nodes_parse(conninfo, node, &err))
        ereport(FATAL, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s cannot be used", setting),
                        errdetail("%s", err.text)));
    if (!name_of_place(node->host, node->port, node->name))
        ereport(FATAL, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("%s cannot be used", setting),
                        errdetail("Host and port make a name of at most %d bytes.", NODE_NAME_LEN - 1)));
    name_make_id(node->name, node->id);
}

void pair_check(void)
{
    bool one = gucs_my_conninfo[0] != '\0', other = gucs_partner_conninfo[0] != '\0';

    if (!one && !other)
        return;
    if (one != other)
        ereport(FATAL,
                (errcode(ERRCODE_CONFIG_FILE_ERROR),
                 errmsg("pg_keeper.%s is set, and pg_keeper.%s is not",
                        one ? "my_conninfo" : "partner_conninfo", one ? "partner_conninfo" : "my_conninfo"),
                 errhint("Set both, the other way round on the other server; or neither, and "
                         "pg_keeper.node_name.")));
    if (gucs_node_name[0] != '\0')
        ereport(FATAL,
                (errcode(ERRCODE_CONFIG_FILE_ERROR),
                 errmsg("pg_keeper.node_name is set along with pg_keeper.my_conninfo"),
                 errhint("With my_conninfo the name is made of its host and port: remove node_name.")));
    take("pg_keeper.my_conninfo", gucs_my_conninfo, &mine);
    take("pg_keeper.partner_conninfo", gucs_partner_conninfo, &partner);
    if (strcmp(mine.name, partner.name) == 0)
        ereport(FATAL,
                (errcode(ERRCODE_CONFIG_FILE_ERROR),
                 errmsg("pg_keeper.my_conninfo and pg_keeper.partner_conninfo name the same server, \"%s\"",
                        mine.name),
                 errhint("my_conninfo is how the other server finds this one.")));
    SetConfigOption("pg_keeper.node_name", mine.name, PGC_POSTMASTER, PGC_S_OVERRIDE);
}

void pair_replace(KeeperNodes *nodes)
{
    static LogLimit limit;
    bool first = strcmp(mine.name, partner.name) < 0;

    if (nodes->count > 0)
        log_limited(&limit, LOG_LEVEL_WARN, "table_ignored",
                    "the nodes are those of pg_keeper.my_conninfo and partner_conninfo: empty pgkeeper.node");
    nodes->count = 2;
    nodes->left_out = nodes->left_out_seqno = 0;
    nodes->self_left_out = false;
    memset(nodes->node, 0, sizeof nodes->node);
    nodes->node[0] = first ? mine : partner;
    nodes->node[1] = first ? partner : mine;
    nodes->node[0].seqno = 1;
    nodes->node[1].seqno = 2;
}

static void create(void)
{
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    SPI_execute("CREATE EXTENSION pg_keeper", false, 0);
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
}

void pair_make_extension(const KeeperNodes *nodes)
{
    static LogLimit limit;
    Err err = {0};

    if (!pair_is_set() || nodes->there || RecoveryInProgress())
        return;
    if (nodes_try(create, &err))
        log_line(LOG_LEVEL_INFO, "extension", "pg_keeper was created in database %s", gucs_database);
    else
        log_limited(&limit, LOG_LEVEL_WARN, "extension_missing",
                    "reason=\"%s\" the nodes talk through it: CREATE EXTENSION pg_keeper in database %s",
                    err.text, gucs_database);
}
